#include "engine/environments/maze_environment.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"

namespace hone::engine::environments {
namespace {

// One that is held back for evaluations, or one that is not. A size with few mazes may have none of
// a kind: after many tries any will do.
Maze Draw(const MazeOptions& options, bool held_back, RandomStream& random) {
  constexpr int kTries = 1000;
  Maze maze;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t high = random.NextBits();
    maze = GenerateMaze(options.shape, high << 32 | random.NextBits());
    if ((HashOf(maze) % kHeldBack == 0) == held_back) {
      break;
    }
  }
  return maze;
}

class MazeEnvironment final : public Environment {
 public:
  explicit MazeEnvironment(const MazeOptions& options)
      : options_(options), maze_(MazeOf(options)), sight_(options.view, maze_.height, maze_.width) {
    Enter();
    spec_ = {.observation = sight_.observation(),
             .observation_names = {},
             .actions = {kMoves.begin(), kMoves.end()},
             .record_bytes = sight_.record_bytes(),
             .most_steps = options.most_steps > 0 ? options.most_steps : 2 * maze_.size(),
             .evaluation_episodes = options.unseen      ? 0
                                    : options.any_start ? static_cast<int64_t>(starts_.size())
                                                        : 1};
  }

  const EnvironmentSpec& spec() const override { return spec_; }

  void Reset(uint64_t seed) override {
    seed_ = seed;
    RandomStream random(seed, "episode");
    if (options_.unseen) {
      maze_ = Draw(options_, /*held_back=*/false, random);
      Enter();
    }
    Begin(random);
  }

  void ResetForEvaluation(int64_t episode) override {
    seed_ = static_cast<uint64_t>(episode);
    RandomStream random(options_.seed, "evaluated start", static_cast<uint64_t>(episode));
    if (options_.unseen) {
      maze_ = EvaluationMaze(options_, episode);
      Enter();
    }
    Begin(random);
    if (!options_.unseen && options_.any_start) {
      const auto count = static_cast<int64_t>(starts_.size());
      cell_ = starts_[static_cast<size_t>(episode % count)];
      fewest_ = distances_[static_cast<size_t>(cell_)];
    }
  }

  Outcome Step(int64_t action) override {
    cell_ = Move(maze_, cell_, action);
    ++steps_;
    switch (maze_.at(cell_)) {
      case Cell::kGoal:
        return {.reward = options_.goal_reward, .terminated = true, .solved = true};
      case Cell::kTrap:
        return {.reward = options_.trap_reward, .terminated = true};
      case Cell::kFree:
      case Cell::kWall:
        break;
    }
    return {.reward = options_.step_reward, .truncated = steps_ >= spec_.most_steps};
  }

  void Record(std::span<std::byte> record) const override { sight_.Record(maze_, cell_, record); }
  void Observe(std::span<const std::byte> record, std::span<float> observation) const override {
    sight_.Observe(record, observation);
  }
  int64_t fewest_steps() const override { return fewest_; }

  std::string Save() const override {
    return absl::StrCat(seed_, " ", cell_, " ", steps_, " ", fewest_);
  }
  absl::Status Restore(const std::string& bytes) override {
    unsigned long long seed = 0;
    long long cell = 0, steps = 0, fewest = 0;
    if (std::sscanf(bytes.c_str(), "%llu %lld %lld %lld", &seed, &cell, &steps, &fewest) != 4 ||
        cell < 0 || cell >= maze_.size()) {
      return absl::InvalidArgumentError("the saved episode is not one of this maze");
    }
    Reset(seed);
    cell_ = cell;
    steps_ = steps;
    fewest_ = fewest;
    return absl::OkStatus();
  }

 private:
  // The maze is new.
  void Enter() {
    distances_ = DistancesToGoal(maze_);
    starts_.clear();
    for (int64_t cell = 0; cell < maze_.size(); ++cell) {
      if (distances_[static_cast<size_t>(cell)] > 0) {
        starts_.push_back(cell);
      }
    }
  }
  void Begin(RandomStream& random) {
    cell_ = options_.any_start ? starts_[random.NextBelow(starts_.size())] : maze_.start;
    fewest_ = distances_[static_cast<size_t>(cell_)];
    steps_ = 0;
  }

  MazeOptions options_;
  Maze maze_;
  MazeSight sight_;
  EnvironmentSpec spec_;
  std::vector<int32_t> distances_;
  std::vector<int64_t> starts_;  // free cells from which a way leads to a goal
  uint64_t seed_ = 0;            // of the episode
  int64_t cell_ = 0;
  int64_t steps_ = 0;
  int64_t fewest_ = -1;
};

}  // namespace

std::vector<int64_t> MazeSight::observation() const {
  return planes() ? std::vector<int64_t>{4, height_, width_}
                  : std::vector<int64_t>{height_ * width_};
}

void MazeSight::Record(const Maze& maze, int64_t cell, std::span<std::byte> record) const {
  record[0] = static_cast<std::byte>(cell & 0xff);
  record[1] = static_cast<std::byte>(cell >> 8);
  if (!planes()) {
    return;
  }
  std::ranges::fill(record.subspan(2), std::byte{0});
  for (int64_t i = 0; i < maze.size(); ++i) {
    record[static_cast<size_t>(2 + i / 4)] |= static_cast<std::byte>(maze.at(i)) << (2 * (i % 4));
  }
}

void MazeSight::Observe(std::span<const std::byte> record, std::span<float> observation) const {
  std::ranges::fill(observation, 0.0f);
  const auto cell = std::to_integer<size_t>(record[0]) | std::to_integer<size_t>(record[1]) << 8;
  const int64_t cells = height_ * width_;
  if (!planes()) {
    observation[cell] = 1;
    return;
  }
  for (int64_t i = 0; i < cells; ++i) {
    const auto kind =
        std::to_integer<int64_t>(record[static_cast<size_t>(2 + i / 4)] >> (2 * (i % 4))) & 3;
    if (kind != 0) {
      observation[static_cast<size_t>((kind - 1) * cells + i)] = 1;
    }
  }
  observation[static_cast<size_t>(3 * cells) + cell] = 1;
}

Maze MazeOf(const MazeOptions& options) {
  return options.own.has_value() ? *options.own : GenerateMaze(options.shape, options.seed);
}

Maze EvaluationMaze(const MazeOptions& options, int64_t episode) {
  if (!options.unseen) {
    return MazeOf(options);
  }
  RandomStream random(options.seed, "held back", static_cast<uint64_t>(episode));
  return Draw(options, /*held_back=*/true, random);
}

std::unique_ptr<Environment> MakeMazeEnvironment(const MazeOptions& options) {
  return std::make_unique<MazeEnvironment>(options);
}

}  // namespace hone::engine::environments
