#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// A tag for each word of a sentence (data/tagged_texts.h). The model gives logits [rows, tags], of
// which those of each word's first token are learned, by their cross-entropy in nats a word.
//
// Metrics: "entity_f1", "entity_precision" and "entity_recall", of whole entities (entities.h), and
// "tag_accuracy", of words; final ones have these names, others validation_entity_f1 and so on, by
// which the best checkpoint goes. The evaluation's classes are the types of entities. A word
// without a token counts as if it had been tagged O.
struct TokenTaggingOptions {};

std::unique_ptr<Task> MakeTokenTagging(const TokenTaggingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<TokenTaggingOptions> TokenTaggingFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
