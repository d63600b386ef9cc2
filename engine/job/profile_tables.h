#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/graph/op.h"
#include "engine/job/machine_rates.h"

namespace hone::engine::job {

// What takes time in a step: a step of the program, a pass of the optimizer, ….
struct ProfileRow {
  std::string layer = "";
  std::string op = "";
  std::string pass = "";
  double seconds = 0;
  Cost cost = {};
  std::string implementation = "";
  bool whole_machine = false;  // all threads work on it together, not each on its shard's
};

// `shard` and `machine` are the rates of one shard and of all threads.
struct ProfileRates {
  MachineRates machine;
  MachineRates shard;
};

enum class ProfileDetail {
  kSteps,  // each row, then what kSums has
  kSums,   // by op, and by kind of work
};

// What an op mostly does, by its name: "products", "attention", "recurrence", "norms", "dropout",
// "activations", "lookups", "losses", "elementwise", "copies", or "other ops". Of what is no op:
// its pass, "data" or "update"; of "step", which has waiting and what is not measured, what it is.
absl::string_view KindOfWork(absl::string_view op, absl::string_view pass);

// Each row, the same put together by op, then by kind of work, the longest first; `whole`: seconds
// of the step.
std::string ProfileTables(const std::vector<ProfileRow>& rows, double whole,
                          const ProfileRates& rates, ProfileDetail detail = ProfileDetail::kSteps);

}  // namespace hone::engine::job
