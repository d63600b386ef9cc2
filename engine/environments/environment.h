#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hone::engine::environments {

// What an environment is, whatever happens in it.
struct EnvironmentSpec {
  std::vector<int64_t> observation;            // shape, such as {4} or {4, 7, 7}
  std::vector<std::string> observation_names;  // one for each number, where they have names
  std::vector<std::string> actions;            // their names; an action is an index
  int64_t record_bytes = 0;
  int64_t most_steps = 0;  // of an episode: after so many it is cut short
  // Different episodes of an evaluation, such as the starts in one maze; 0: any number.
  int64_t evaluation_episodes = 0;

  int64_t observation_size() const {
    int64_t size = 1;
    for (const int64_t extent : observation) {
      size *= extent;
    }
    return size;
  }
};

// What a step came to.
struct Outcome {
  float reward = 0;
  bool terminated = false;  // the episode has come to an end of its own
  bool truncated = false;   // it has not, and is cut short because it has lasted most_steps
  bool solved = false;      // it ended as it should
};

// Something to act in: steps of the same environment after the same seed are the same, on every
// machine and in any order of objects. Not thread safe; Observe is.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const EnvironmentSpec& spec() const = 0;

  // Begins the episode that the seed, beside the environment's own options, decides.
  virtual void Reset(uint64_t seed) = 0;
  // Begins the i-th episode of an evaluation, from 0: always the same one, and none that training
  // begins in a place (or a maze) that must not be known.
  virtual void ResetForEvaluation(int64_t episode) = 0;
  // An episode has begun and has not ended; the action is below spec().actions.size().
  virtual Outcome Step(int64_t action) = 0;

  // The state as it is seen, in spec().record_bytes bytes: what a replay keeps of it.
  virtual void Record(std::span<std::byte> record) const = 0;
  // What a network is given of a record: spec().observation_size() numbers. Safe from any thread.
  virtual void Observe(std::span<const std::byte> record, std::span<float> observation) const = 0;

  // The fewest steps from the episode's beginning that solve it; −1: not known.
  virtual int64_t fewest_steps() const { return -1; }

  // The running episode as bytes, and back: it goes on as if nothing had been. INVALID_ARGUMENT
  // where they are not of this environment.
  virtual std::string Save() const = 0;
  virtual absl::Status Restore(const std::string& bytes) = 0;
};

}  // namespace hone::engine::environments
