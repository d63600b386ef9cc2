#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hone/v1/sweep.pb.h"
#include "server/rpc/byte_budget.h"

namespace hone::server::rpc {

// A sweep as it stood when somebody looked, and what tells it from how it stood before.
struct SweepLook {
  explicit SweepLook(v1::Sweep as_it_is);

  v1::Sweep sweep;
  v1::Sweep rest;                // without spec and trials
  uint64_t rest_print;           // of `rest`
  std::vector<uint64_t> prints;  // of the trials
};

// What one watcher of a sweep is to be sent next: the sweep, then what is different. It remembers
// prints of what was sent and no more, so that what a slow client is to be told does not grow: what
// changes meanwhile is told together. Knows no gRPC. Not for several threads at once; `budget`
// outlives it.
class SweepWatch {
 public:
  explicit SweepWatch(ByteBudget& budget) : budget_(&budget) {}

  enum class Next {
    kAnswer,   // `answer` is set
    kNothing,  // nothing is new
    kNoRoom,   // the budget has no room for it: `answer` is empty, and another Take tells the same
  };
  // The answer before is sent by then.
  Next Take(const SweepLook& look, v1::WatchSweepResponse& answer);
  // The answer is sent: what it took of the budget is given back.
  void Sent() { share_.reset(); }

  bool begun() const { return begun_; }
  // The last answer has told the end of the sweep.
  bool ended() const { return ended_; }

 private:
  ByteBudget* budget_;
  bool begun_ = false;
  bool ended_ = false;
  uint64_t rest_print_ = 0;
  std::vector<uint64_t> prints_;
  std::optional<ByteBudget::Share> share_;  // of the answer that is being sent
};

}  // namespace hone::server::rpc
