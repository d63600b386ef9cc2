#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/functional/function_ref.h"

namespace hone::engine {

// Runs body(k) for every k in [0, threads), each on its own thread of the one OpenMP team of this
// process, and returns when all are done. body(0) runs on the caller. With threads == 1, or from
// inside a team, everything runs on the caller. Inside, oneDNN and nested calls run serially.
void RunTeam(int threads, absl::FunctionRef<void(int)> body);

// The part of [0, count) that is worker k's of n, in multiples of `grain`: contiguous, and the same
// for the same arguments.
std::pair<int64_t, int64_t> Slice(int64_t count, int k, int n, int64_t grain = 1);

// Where all workers of a team wait for each other. Spins, since waits are a few microseconds, then
// sleeps.
class Barrier {
 public:
  explicit Barrier(int workers) : workers_(workers) {}
  void Wait();

 private:
  const int workers_;
  std::atomic<int> arrived_ = 0;
  std::atomic<uint32_t> generation_ = 0;
};

// Sets how many threads oneDNN plans for on this thread, and back when it leaves scope.
class ScopedThreads {
 public:
  explicit ScopedThreads(int threads);
  ~ScopedThreads();
  ScopedThreads(const ScopedThreads&) = delete;
  ScopedThreads& operator=(const ScopedThreads&) = delete;

 private:
  int before_;
};

}  // namespace hone::engine
