#pragma once

#include <optional>

#include "absl/time/time.h"

namespace hone::server::retention {

// Whether the wall clock is to be believed. A machine that starts may have a wrong one until the
// network corrects it, and what is removed by a wrong age is gone: so it is believed when it has
// run as the steady clock does for kTrustAfter, and no more as soon as it was set. For one thread.
class ClockTrust {
 public:
  static constexpr absl::Duration kTrustAfter = absl::Minutes(10);
  // What a correction without a jump, and a thread that is held up between two readings, may make.
  static constexpr absl::Duration kTolerance = absl::Minutes(1);

  // To be asked once a minute or so, with what both clocks say. `steady` is SteadyNow().
  bool Trusts(absl::Time wall, absl::Duration steady);

 private:
  struct Reading {
    absl::Time wall;
    absl::Duration steady;
  };
  std::optional<Reading> even_since_;
};

}  // namespace hone::server::retention
