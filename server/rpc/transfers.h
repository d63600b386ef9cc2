#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hone::server::rpc {

// The open uploads and downloads; each has a message of up to 4 MiB in memory. One that makes no
// progress is ended when another one needs its place. Times are SteadyNow(). Any thread.
class Transfers {
 public:
  static constexpr int kMost = 32;

  // `idle`: so long a stream may wait for its client.
  explicit Transfers(absl::Duration idle) : idle_(idle) {}

  // A number for the two below. RESOURCE_EXHAUSTED: too many are open; of those, the ones that wait
  // for too long were told to end. `end`, called on any thread until Close, and perhaps once more,
  // tells the stream.
  absl::StatusOr<int64_t> Open(absl::Duration now, std::function<void()> end);
  // The client has sent or taken something.
  void Moved(int64_t transfer, absl::Duration now);
  void Close(int64_t transfer);

 private:
  struct Transfer {
    absl::Duration moved;
    std::function<void()> end;
  };

  const absl::Duration idle_;
  std::mutex mutex_;
  std::map<int64_t, Transfer> open_;  // guarded by mutex_
  int64_t next_ = 1;                  // guarded by mutex_
};

}  // namespace hone::server::rpc
