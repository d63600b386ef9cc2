#pragma once

#include <memory>
#include <optional>
#include <span>

#include "engine/environments/environment.h"
#include "engine/environments/maze.h"

namespace hone::engine::environments {

struct MazeOptions {
  enum class View {
    kCell,    // the cell alone, one of height × width numbers is 1: for one maze
    kPlanes,  // the map, [4, height, width] of 0 and 1: walls, goals, traps, and where the agent is
  };

  std::optional<Maze> own;  // else one of the shape, made by the seed
  MazeShape shape;
  uint64_t seed = 1;
  // Each episode has a maze of its own, and evaluations have mazes in which no episode of training
  // ever was: those whose hash is divisible by kHeldBack.
  bool unseen = false;
  bool any_start = true;  // else all episodes begin at the start
  View view = View::kCell;

  float goal_reward = 1;
  float step_reward = -0.01f;  // of each move that does not end the episode
  float trap_reward = -1;
  int64_t most_steps = 0;  // 0: twice the number of cells
};

inline constexpr uint64_t kHeldBack = 8;

// How cells of mazes of one size are recorded and seen: what an environment and a drawn path share.
class MazeSight {
 public:
  MazeSight(MazeOptions::View view, int64_t height, int64_t width)
      : view_(view), height_(height), width_(width) {}

  std::vector<int64_t> observation() const;
  int64_t observation_size() const { return (planes() ? 4 : 1) * height_ * width_; }
  // The number of the cell in two bytes; of planes, two bits for each cell before it.
  int64_t record_bytes() const { return 2 + (planes() ? (height_ * width_ + 3) / 4 : 0); }

  void Record(const Maze& maze, int64_t cell, std::span<std::byte> record) const;
  void Observe(std::span<const std::byte> record, std::span<float> observation) const;

 private:
  bool planes() const { return view_ == MazeOptions::View::kPlanes; }

  MazeOptions::View view_;
  int64_t height_, width_;
};

// The maze of the options, where there is one for all episodes.
Maze MazeOf(const MazeOptions& options);
// The maze of the i-th episode of an evaluation: MazeOf, unless mazes are unseen.
Maze EvaluationMaze(const MazeOptions& options, int64_t episode);

// A move into a goal ends the episode, solved; one into a trap ends it, too.
std::unique_ptr<Environment> MakeMazeEnvironment(const MazeOptions& options);

}  // namespace hone::engine::environments
