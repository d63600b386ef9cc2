#pragma once

#include <atomic>

#include "absl/status/status.h"

namespace hone::server::rpc {

// How many uploads and downloads are open; each has a message of up to 4 MiB in memory. Any thread.
class Transfers {
 public:
  static constexpr int kMost = 32;

  // RESOURCE_EXHAUSTED: too many are open, and this one does not count. Else Close once.
  absl::Status Open() {
    if (open_.fetch_add(1) >= kMost) {
      Close();
      return absl::ResourceExhaustedError("too many uploads and downloads at a time; try again");
    }
    return absl::OkStatus();
  }
  void Close() { --open_; }

 private:
  std::atomic<int> open_ = 0;
};

}  // namespace hone::server::rpc
