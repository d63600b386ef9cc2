#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace hone::engine {

// Runs body(k) for every k in [0, threads), each on its own thread of the calling thread's OpenMP
// team, and returns when all are done. body(0) runs on the caller. With threads == 1, or from
// inside a team, everything runs on the caller. Inside, oneDNN and nested calls run serially, and
// denormal numbers are zero (FlushDenormals).
//
// Where the runtime gives fewer threads than are asked for, some run several k, one after the
// other: bodies that wait for each other must have been preceded by CheckTeam.
void RunTeam(int threads, absl::FunctionRef<void(int)> body);

// FAILED_PRECONDITION where the runtime gives this thread a smaller team (OMP_THREAD_LIMIT): a
// Barrier would wait for ever for those that are missing, and so would oneDNN.
absl::Status CheckTeam(int threads);

// Worker k's share of [0, count) among n workers, in multiples of `grain`: contiguous, and the same
// for the same arguments.
std::pair<int64_t, int64_t> ShareOf(int64_t count, int k, int n, int64_t grain = 1);

// Among how many of `threads` threads it pays to share work on so many elements: each gets some
// microseconds of it. At least 1.
int PartsFor(int64_t elements, int threads);

// body(begin, end) for each of `parts` shares of [0, count), each on a thread of its own. PartsFor
// says how many parts pay.
void ForShares(int64_t count, int parts, absl::FunctionRef<void(int64_t, int64_t)> body,
               int64_t grain = 1);

// The same for elements of flat memory: on as many of `threads` threads as pay, each share but the
// last in multiples of 64 elements, so that threads seldom write one cache line.
void ForElements(int64_t count, int threads, absl::FunctionRef<void(int64_t, int64_t)> body);

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

// While it lives, this thread takes denormal numbers for zero and makes none: processors need a
// hundred times as long for them, and a net that knows its data by heart is full of them.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint32_t before_;
};

// Where a thread computes. Sets how many threads oneDNN plans for on this thread, and back when it
// leaves scope; meanwhile denormals are flushed on this thread and in its team, which keeps to it.
class ScopedThreads {
 public:
  explicit ScopedThreads(int threads);
  ~ScopedThreads();
  ScopedThreads(const ScopedThreads&) = delete;
  ScopedThreads& operator=(const ScopedThreads&) = delete;

 private:
  FlushDenormals flush_;
  int before_;
};

}  // namespace hone::engine
