#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// How tokenizer_config.json has a model of SentencePiece used.
struct SentencePieceUse {
  std::string begin = "<s>", end = "</s>";
  bool add_begin = true, add_end = false;  // around each text of a template
  bool space_before = true;                // a text is read as if a space stood before it
  // Every part of a text between special tokens is read as if a space stood before it, as
  // transformers did at first; else the text's first part alone.
  bool legacy = true;
  // T5's "<extra_id_0>" and so on, so many, behind the pieces of the model, the last one first.
  int64_t sentinels = 0;
};

// The tokenizer.json that gives the tokens of a model of SentencePiece, given by the bytes of its
// file. Of a BPE model the merges follow from the scores: those of two pieces into a third are in
// the order of its score, the highest first, as SentencePiece joins them. The model's own map of
// characters and what it does to spaces become normalizers. INVALID_ARGUMENT: the bytes are no such
// model; it has pieces out of use; it lacks the begin or end that is to be added. Errors of
// SentencePieceModel::Parse.
absl::StatusOr<nlohmann::json> SentencePieceAsJson(absl::string_view model,
                                                   const SentencePieceUse& use);

}  // namespace hone::engine::text
