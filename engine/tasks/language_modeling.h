#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// What comes next in a running text (data/running_text.h). The model reads tokens and offsets
// (tensor/token_rows.h) and gives logits [rows, vocabulary], of each token those of the one behind
// it; what is learned is their cross-entropy, in nats a token. It must look at no token that is
// behind its own: causal attention, recurrence to the right, causal convolution.
//
// A batch is `batch_size` windows that begin anywhere in the training part, drawn for (seed, epoch,
// row); an epoch has as many windows as stand there one behind another, rounded up to whole
// batches. An evaluation has all of its part, in windows one behind another. Beside the loss it
// gives "perplexity", e^loss, and "bits_per_byte", which does not depend on the tokenizer.
struct LanguageModelingOptions {
  int64_t window = 128;  // tokens that the model sees at once
  float z_loss = 0;      // of the training alone: CrossEntropyOptions::z_loss
};

std::unique_ptr<Task> MakeLanguageModeling(const LanguageModelingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<LanguageModelingOptions> LanguageModelingFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
