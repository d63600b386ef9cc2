#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// Scheduled sampling (Bengio, Vinyals, Jaitly, Shazeer, "Scheduled Sampling for Sequence Prediction
// with Recurrent Neural Networks", 2015): while it learns, a share of the tokens before are the
// model's own guesses, as when it translates. All of a batch are guessed at once, each from the
// true tokens before (models/translation.h). The share rises evenly over the first steps and is the
// metric "sampled_share".
struct ScheduledSampling {
  double from = 0;  // at the first step
  double to = 0.25;
  int64_t steps = 10000;  // until it is `to`

  // At a step, counted from 1.
  double ShareAt(int64_t step) const;
};

// From one language into another. The data are sentences with their translations
// (data/sentence_pairs.h), the model is a preset that translates (models/translation.h). It learns
// to foretell each token of a translation from the sentence and the tokens before, all of which are
// true ones (teacher forcing) where there is no scheduled sampling; the loss is their
// cross-entropy, in nats a token of the translation.
//
// An evaluation gives the loss of its part and "perplexity", e^loss. Then each sentence of the part
// once, at the ends of epochs only `evaluation_sentences` of them, spread evenly, is translated by
// greedy search and compared with all translations that the data have of it: "bleu" (text/bleu.h)
// and "chrf" (text/chrf.h). Some are told as its note. After the training, where `beams` is above
// 1, "beam_bleu" and "beam_chrf" are those of beam search; and what the model looked at for each
// word is left as pictures, "attention/1.png", beside the words, "attention/1.txt".
struct TranslationOptions {
  float label_smoothing = 0;  // of the training's loss
  std::optional<ScheduledSampling> sampling = {};
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
