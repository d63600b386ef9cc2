#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/job/plan.h"

namespace hone::engine::job {

// A checkpoint in Hugging Face's form before anything is done with it.
struct CheckpointPlan {
  // The layers that it has values of. Costs are those of one text of `tokens` tokens; nothing is
  // trained, so that all parameters are frozen.
  Plan plan;
  int64_t tokens = 0;
  // What it answers by itself: "language_modeling", "masked_language_modeling", the task of the
  // head that it brings, such as "classification", or "text_embedding" (predict::TaskOfCheckpoint).
  std::string task;
};

// Reads config.json, the tokenizer and the headers of the weights: all that can be wrong with a
// checkpoint but its numbers. With `memory` the forward program is compiled, too, and the plan says
// what answering needs; without, it says the bytes of the files alone. Errors of
// huggingface::Weights::Open, ReadTokens, DescribeModel and ReadHead.
absl::StatusOr<CheckpointPlan> PlanCheckpoint(const std::string& directory, int threads,
                                              bool memory);

}  // namespace hone::engine::job
