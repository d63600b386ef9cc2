#include "server/rpc/transfers.h"

#include <utility>
#include <vector>

namespace hone::server::rpc {

absl::StatusOr<int64_t> Transfers::Open(absl::Duration now, std::function<void()> end) {
  std::vector<std::function<void()>> idle;
  {
    const std::lock_guard lock(mutex_);
    if (open_.size() < kMost) {
      open_[next_] = {.moved = now, .end = std::move(end)};
      return next_++;
    }
    for (const auto& [id, transfer] : open_) {
      if (now - transfer.moved >= idle_) {
        idle.push_back(transfer.end);
      }
    }
  }
  // Without the lock: they call Close.
  for (const auto& end_idle : idle) {
    end_idle();
  }
  return absl::ResourceExhaustedError("too many uploads and downloads at a time; try again");
}

void Transfers::Moved(int64_t transfer, absl::Duration now) {
  const std::lock_guard lock(mutex_);
  if (const auto found = open_.find(transfer); found != open_.end()) {
    found->second.moved = now;
  }
}

void Transfers::Close(int64_t transfer) {
  const std::lock_guard lock(mutex_);
  open_.erase(transfer);
}

}  // namespace hone::server::rpc
