#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// What stands at places of a text that are masked (data/masked_texts.h). The model reads tokens and
// offsets (tensor/token_rows.h), may look at all of a text, and gives logits [rows, vocabulary];
// what is learned is their cross-entropy at the places that were drawn, in nats a token. The preset
// transformer_encoder computes no others. What it has learned of texts serves other tasks: they go
// on from it (job/pretrained.h), with its tokens.
//
// An example is a text (data/texts.h, without its label), or a window of one running text
// (data/running_text.h). In training each epoch draws other places; an evaluation has the same ones
// each time, and gives beside the loss "perplexity", e^loss, and "masked_accuracy", how often the
// largest logit is the token's.
struct MaskedLanguageModelingOptions {
  int64_t window = 0;  // of a running text, tokens that the model sees at once; 0: these are texts
};

std::unique_ptr<Task> MakeMaskedLanguageModeling(const MaskedLanguageModelingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<MaskedLanguageModelingOptions> MaskedLanguageModelingFromJson(
    const nlohmann::json& json);

}  // namespace hone::engine::tasks
