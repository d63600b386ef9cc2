#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// From one language into another. The data are sentences with their translations
// (data/sentence_pairs.h), the model is a preset that translates (models/translation.h). It learns
// to foretell each token of a translation from the sentence and the tokens before, all of which are
// true ones (teacher forcing); the loss is their cross-entropy, in nats a token of the translation.
//
// An evaluation gives the loss of its part and "perplexity", e^loss. Then each sentence of the part
// once, at the ends of epochs only the first `evaluation_sentences` of them, is translated by
// greedy search and compared with all translations that the data have of it: "bleu" (text/bleu.h)
// and "chrf" (text/chrf.h). Some are told as its note. After the training, where `beams` is above
// 1, "beam_bleu" and "beam_chrf" are those of beam search; and what the model looked at for each
// word is left as pictures, "attention/1.png", beside the words, "attention/1.txt".
struct TranslationOptions {
  float label_smoothing = 0;  // of the training's loss
  // How translations are looked for when nobody says otherwise (text::BeamOptions).
  int64_t beams = 1;
  double length_penalty = 1;
  int64_t longest = 100;               // tokens of a translation at most
  int64_t evaluation_sentences = 200;  // 0: none are translated at the ends of epochs
  int64_t attention_maps = 4;          // pictures at the end
};

// Texts that are kept at a time, at most.
inline constexpr int64_t kMostBeams = 16;

std::unique_ptr<Task> MakeTranslation(const TranslationOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<TranslationOptions> TranslationFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
