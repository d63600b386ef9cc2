#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/rng.h"

namespace hone::engine::tasks {

struct ReplayOptions {
  int64_t capacity = 10'000;  // transitions; when it is full, the oldest goes
  // Drawn by their errors, proportionally: Schaul et al., "Prioritized experience replay", 2016.
  bool prioritized = false;
  double alpha = 0.6;  // how much errors count: 0 not at all
  // How much the weights of a loss make up for that, rising to 1 at the end of training.
  double beta = 0.4;
};

// What an agent has met: n steps in one, from a state to the state after them.
struct Transition {
  std::span<const std::byte> before;  // records of the environment
  std::span<const std::byte> after;
  int32_t action = 0;
  float reward = 0;    // of the steps together, discounted
  float discount = 0;  // by which what comes after counts; 0 where the episode has ended
};

// The newest transitions, to draw batches from. All memory is there from the beginning. Not thread
// safe.
class Replay {
 public:
  Replay(const ReplayOptions& options, int64_t record_bytes);

  static int64_t BytesFor(const ReplayOptions& options, int64_t record_bytes);

  int64_t size() const { return size_; }
  // Counts as the one with the largest error that has been, so that it is drawn soon.
  void Add(const Transition& transition);
  // Points into the replay, until the next Add.
  Transition at(int64_t place) const;

  // Draws as many as `places` takes, with replacement, and by how much each counts in the loss: at
  // most 1. `beta` as in ReplayOptions. The replay is not empty.
  void Draw(RandomStream& random, double beta, std::span<int32_t> places,
            std::span<float> weights) const;
  // What their errors have come to.
  void SetErrors(std::span<const int32_t> places, std::span<const float> errors);

  // All that is in it, and back. INVALID_ARGUMENT where the bytes are not of a replay like this.
  std::string Save() const;
  absl::Status Restore(const std::string& bytes);

 private:
  // Sums over a binary tree whose leaves are priorities: drawing and changing one take log n.
  void SetPriority(int64_t place, double priority);
  int64_t Find(double sum) const;
  double priority(int64_t place) const { return tree_[static_cast<size_t>(leaves_ + place)]; }

  ReplayOptions options_;
  int64_t record_bytes_;
  int64_t size_ = 0;
  int64_t next_ = 0;                // place of the next one
  double most_ = 1;                 // the largest priority that has been
  std::vector<std::byte> records_;  // [capacity, 2, record_bytes]
  std::vector<int32_t> actions_;
  std::vector<float> rewards_;
  std::vector<float> discounts_;
  int64_t leaves_ = 0;        // a power of two
  std::vector<double> tree_;  // node i has the children 2 i and 2 i + 1; empty: not prioritised
};

}  // namespace hone::engine::tasks
