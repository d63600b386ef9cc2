#pragma once

#include <string>
#include <vector>

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

// Each row, then the same put together by op, the longest first; `whole`: seconds of the step.
std::string ProfileTables(const std::vector<ProfileRow>& rows, double whole,
                          const ProfileRates& rates);

}  // namespace hone::engine::job
