#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace hone::server::rpc {

// The memory that the requests of calls under way may have together: many large ones at a time are
// refused, not added up. Any thread.
class CallBudget {
 public:
  static constexpr int64_t kMostBytes = int64_t{128} << 20;

  // A call's part of it, given back at its end. The budget outlives it.
  class Share {
   public:
    Share(CallBudget& budget, int64_t bytes) : budget_(&budget), bytes_(bytes) {}
    ~Share() {
      if (budget_ != nullptr) {
        budget_->taken_ -= bytes_;
      }
    }
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&&) = delete;

   private:
    CallBudget* budget_;
    int64_t bytes_;
  };

  // Nothing: there is no room now. A call that is alone always has room.
  std::optional<Share> Take(int64_t bytes) {
    if (taken_.fetch_add(bytes) > 0 && taken_ > kMostBytes) {
      taken_ -= bytes;
      return std::nullopt;
    }
    return Share(*this, bytes);
  }

 private:
  std::atomic<int64_t> taken_ = 0;
};

}  // namespace hone::server::rpc
