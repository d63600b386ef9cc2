#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace hone::server::rpc {

// Memory that many have together, in bytes: where it is taken, those who want much of it are
// refused, not added up. What is small is not counted, so that it is there for everybody always;
// its number has bounds of its own. Any thread.
class ByteBudget {
 public:
  static constexpr int64_t kSmall = int64_t{16} << 10;

  explicit ByteBudget(int64_t most) : most_(most) {}

  // A part of it, given back at its end. The budget outlives it.
  class Share {
   public:
    Share(ByteBudget& budget, int64_t bytes) : budget_(&budget), bytes_(bytes) {}
    ~Share() { GiveBack(); }
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&& other) noexcept {
      if (this != &other) {
        GiveBack();
        budget_ = std::exchange(other.budget_, nullptr);
        bytes_ = other.bytes_;
      }
      return *this;
    }

   private:
    void GiveBack() {
      if (budget_ != nullptr) {
        budget_->taken_ -= bytes_;
      }
    }

    ByteBudget* budget_;
    int64_t bytes_;
  };

  // Nothing: there is no room now. Who is alone always has room.
  std::optional<Share> Take(int64_t bytes) {
    if (bytes <= kSmall) {
      return Share(*this, 0);
    }
    if (taken_.fetch_add(bytes) > 0 && taken_ > most_) {
      taken_ -= bytes;
      return std::nullopt;
    }
    return Share(*this, bytes);
  }

  // The same, also where there is no room.
  Share Charge(int64_t bytes) {
    const int64_t counted = bytes <= kSmall ? 0 : bytes;
    taken_ += counted;
    return Share(*this, counted);
  }

  int64_t taken() const { return taken_; }

 private:
  const int64_t most_;
  std::atomic<int64_t> taken_ = 0;
};

}  // namespace hone::server::rpc
