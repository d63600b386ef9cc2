#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/text_preprocessing.h"
#include "engine/tasks/prediction.h"
#include "engine/text/chat_encoder.h"

namespace hone::engine::tasks {

// Bytes of a prompt, or of all messages together, at most.
inline constexpr size_t kMostPromptBytes = size_t{1} << 20;

// Conversations that a model is asked to go on with, as tokens.
class ChatReader {
 public:
  // INVALID_ARGUMENT where the model answers none: its checkpoint has no chat template, or one that
  // is not known (text/chat_template.h); errors of text::ChatEncoder::Make.
  static absl::StatusOr<ChatReader> Make(const data::TextPreprocessing& how);

  // Up to where the answer begins; as NewWritingAnswerer has it, what is left out and what is
  // INVALID_ARGUMENT.
  absl::StatusOr<std::vector<int32_t>> Read(const WritingQuestion& wish, int64_t window) const;
  int32_t end_of_turn() const { return encoder_.end_of_turn(); }

 private:
  explicit ChatReader(text::ChatEncoder encoder) : encoder_(std::move(encoder)) {}

  text::ChatEncoder encoder_;
};

}  // namespace hone::engine::tasks
