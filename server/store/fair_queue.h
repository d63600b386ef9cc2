#pragma once

#include <algorithm>
#include <string>

#include "absl/time/time.h"

namespace hone::server::store {

// Whose turn it is where several projects have jobs that wait. Each has an account of
// thread-seconds divided by its weight: an attempt counts its threads times its seconds, but a
// second at least and an hour at most. The project with the least is next; of several, the first by
// name. Within a project it is the job of the highest priority, of several the oldest.
//
// A project that comes back is taken for one whose turn is now (`served`, the account of whoever
// was claimed last): what it did not use meanwhile gives it nothing, and all that it may still have
// to pay is what it had running then, an hour for each attempt at most. So with equal weights two
// projects whose jobs take equally long are claimed by turns, however many wait in one of them.
struct Contender {
  std::string project = "";
  double weight = 1;   // above 0
  double used = 0;     // its account, without the attempts that run now
  double running = 0;  // thread-seconds of those, as they would count if they ended now
};

// Thread-seconds.
inline double CountedUse(int threads, absl::Duration ran) {
  return threads * absl::ToDoubleSeconds(std::clamp(ran, absl::Seconds(1), absl::Hours(1)));
}

// The least is next. Never less than `served`.
inline double TurnOf(const Contender& contender, double served) {
  return std::max(served, contender.used + contender.running / contender.weight);
}

// The account after a claim, whose attempt counts with those that run.
inline double UsedAfterClaim(const Contender& contender, double served) {
  return TurnOf(contender, served) - contender.running / contender.weight;
}

}  // namespace hone::server::store
