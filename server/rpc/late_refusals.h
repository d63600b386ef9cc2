#pragma once

#include <atomic>
#include <memory>

namespace hone::server::rpc {

// Refusals that are told late. Until then each keeps its call in memory, and strangers choose how
// many there are: beyond kMost at a time the others are told at once. Any thread.
class LateRefusals {
  struct GiveBack {
    void operator()(std::atomic<int>* taken) const { --*taken; }
  };

 public:
  static constexpr int kMost = 256;

  // Of one that waits, given back at its end. The places outlive it.
  using Place = std::unique_ptr<std::atomic<int>, GiveBack>;

  // None: all places are taken.
  Place Take() {
    if (taken_.fetch_add(1) >= kMost) {
      --taken_;
      return nullptr;
    }
    return Place(&taken_);
  }

 private:
  std::atomic<int> taken_ = 0;
};

}  // namespace hone::server::rpc
