#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// Vectors of texts, close to each other by the cosine of their angle where texts belong together.
// An example is a pair of texts, or a triple with a hard negative (data/text_pairs.h), each text
// read by itself: a batch of n pairs is 2 n texts of one program, the first texts of all pairs,
// then the second ones; one of n triples is 3 n, the negatives behind these. The loss is multiple
// negatives ranking (Henderson et al., "Efficient Natural Language Response Suggestion for Smart
// Reply", 2017, section 4.4; Reimers and Gurevych, "Sentence-BERT", 2019, have the library whose
// constants these are): cross-entropy over the n logits scale · cos(first i, second j), of triples
// over the 2 n with the logits scale · cos(first i, negative j) behind them, of which that of
// second i is the right one; in nats an example.
//
// The model gives a row for each text, or for each token, which are pooled. Evaluations find among
// all second texts of a part, or of its first 5,000 examples, the one most similar to each first
// text: "recall_at_1", how often that is its own, and "mrr", the mean of 1 ÷ rank. Negatives are no
// candidates there, so that pairs and triples of the same texts have the same numbers; of triples
// "triplet_accuracy" says for them how often the second text is nearer to the first than the
// negative is, by the cosine, over all of the part. Final metrics have these names, others
// validation_recall_at_1 and so on, by which the best checkpoint goes. What the training begins
// with is evaluated, too: start_recall_at_1.
struct TextEmbeddingOptions {
  enum class Pooling { kMean, kFirst };
  Pooling pooling = Pooling::kMean;
  float scale = 20;
};

std::unique_ptr<Task> MakeTextEmbedding(const TextEmbeddingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<TextEmbeddingOptions> TextEmbeddingFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
