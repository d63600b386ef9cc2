#pragma once

#include "engine/environments/maze_environment.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Answers mazes with the way that an agent would take and what it thinks of each cell, by the input
// "features". A maze is of the size that the agent was trained on; where that was one maze alone,
// it must be that one, but for the start.
class MazeAnswerer final : public Answerer {
 public:
  explicit MazeAnswerer(const environments::MazeOptions& options);

  absl::Status CheckOutputs(int64_t outputs) const override;
  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override;
  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override;

 private:
  // Of one maze: what the network is given in each cell.
  std::vector<Example> CellsOf(const environments::Maze& maze) const;

  const environments::MazeOptions options_;
  const environments::Maze known_;  // of unseen mazes only its size
  const environments::MazeSight sight_;
};

}  // namespace hone::engine::tasks
