#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

// A tokenizer of a SentencePiece model, given by the bytes of its file (sentencepiece_model.h).
// INVALID_ARGUMENT also for one that replaces characters by a map of its own.
// A text's tokens are those that the library gives for it: reading them here needs no second
// process, cannot fail, and is for any number of threads at a time. A text of more than 64 KiB is
// read in stretches that end between words where no piece reaches over one, so that the sums of
// unigram's scores stay exact.
absl::StatusOr<std::unique_ptr<const Tokenizer>> NewSentencePieceTokenizer(absl::string_view model);

// Trained by the library (sentencepiece_trainer.h).
absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainSentencePieces(
    const SentencePieceTokens& options, const Corpus& corpus);
// Of {"kind": "sentencepiece", "model": the file's bytes in Base64}. Throws
// nlohmann::json::exception where a field is missing or of another type.
absl::StatusOr<std::unique_ptr<const Tokenizer>> SentencePiecesFromJson(const nlohmann::json& json);

}  // namespace hone::engine::text
