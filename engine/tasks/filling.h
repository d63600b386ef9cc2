#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"

// What stands at the masks of texts, asked of a model that was trained to find it.
namespace hone::engine::tasks {

// Of a program: the row of tokens that is asked for of each of its texts, s32 [batch], or of all of
// them together.
inline constexpr char kMaskedInput[] = "masked";

// The most probable tokens that an answer has for each mask.
inline constexpr size_t kFillsOfAMask = 100;

// The tokens of a text in which "[MASK]" stands for words that are sought. What stands between is
// cleaned and tokenized by itself. INVALID_ARGUMENT: it has none, or none before the text is cut
// off, more than 256 of them, or is no UTF-8.
absl::StatusOr<std::vector<int32_t>> ReadMasked(absl::string_view text,
                                                const data::TextPreprocessing& how);

// Asks a program with the inputs "tokens", "offsets" and kMaskedInput, which gives one row of
// logits for each text: once for each mask. The preprocessing outlives it. INVALID_ARGUMENT where
// its tokenizer has no mask token.
absl::StatusOr<std::unique_ptr<Answerer>> NewFillingAnswerer(
    const data::Preprocessing& preprocessing);

}  // namespace hone::engine::tasks
