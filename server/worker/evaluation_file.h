#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/event.pb.h"

namespace hone::server::worker {

// What an event of an evaluation may have in bytes, and how many classes a summary keeps.
inline constexpr size_t kMostEvaluationBytes = size_t{512} << 10;
inline constexpr int kClassesOfASummary = 100;

// An evaluation of very many classes is too long for an event. It goes into
// `run_directory`/evaluation-<split>.json whole, with the confusion matrix as a list of rows, and
// `evaluation` becomes a summary: no confusion matrix, and of the classes those with the lowest F1.
// Returns the file; nothing, where the evaluation is short and stays as it is. The summary is made
// even where the file cannot be written: then the status says why.
absl::StatusOr<std::optional<v1::Artifact>> Summarise(v1::Evaluation& evaluation,
                                                      const std::string& run_directory);

}  // namespace hone::server::worker
