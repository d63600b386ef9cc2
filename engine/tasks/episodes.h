#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/environments/table.h"
#include "engine/tasks/state_bytes.h"

namespace hone::engine::tasks {

// Copies of an environment that act side by side, each in an episode of its own, and what the last
// episodes came to. Which episodes begin follows from the seed alone. Not thread safe; Observe is.
class Episodes {
 public:
  // Each copy has begun an episode.
  Episodes(const environments::EnvironmentOptions& options, int64_t copies, uint64_t seed);

  int64_t copies() const { return static_cast<int64_t>(copies_.size()); }
  int64_t actions() const { return static_cast<int64_t>(spec().actions.size()); }
  size_t observation_size() const { return static_cast<size_t>(spec().observation_size()); }
  size_t record_bytes() const { return static_cast<size_t>(spec().record_bytes); }
  int64_t steps() const { return steps_; }  // of all copies
  int64_t ended() const { return ended_; }  // episodes

  // A record of how the copy stands now; until its next step.
  std::span<const std::byte> state(int64_t copy) const { return at(copy).state; }
  // What a network is given of a record.
  void Observe(std::span<const std::byte> record, std::span<float> observation) const {
    copies_.front().environment->Observe(record, observation);
  }

  // Where the episode ends it is counted, and Begin comes before the next step.
  environments::Outcome Step(int64_t copy, int64_t action);
  void Begin(int64_t copy);

  // "environment_steps" and "episodes"; of the last hundred episodes "recent_return",
  // "recent_length" and "recent_success_rate".
  void AddMetrics(std::map<std::string, double>& values) const;

  void Save(StateWriter& out) const;
  // INVALID_ARGUMENT where the bytes are not of such episodes.
  absl::Status Restore(StateReader& in);

 private:
  struct Copy {
    std::unique_ptr<environments::Environment> environment;
    std::vector<std::byte> state;
    double sum = 0;  // of the episode's rewards
    int64_t length = 0;
  };
  struct Episode {
    double sum = 0;
    double length = 0;
    double solved = 0;
  };

  const environments::EnvironmentSpec& spec() const { return copies_.front().environment->spec(); }
  const Copy& at(int64_t copy) const { return copies_[static_cast<size_t>(copy)]; }

  const uint64_t seed_;
  std::vector<Copy> copies_;
  int64_t steps_ = 0;
  int64_t ended_ = 0;
  int64_t begun_ = 0;
  std::vector<Episode> recent_;  // a ring of the last ones
};

}  // namespace hone::engine::tasks
