#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <thread>

namespace hone::testing {

// How many threads of the calling thread's OpenMP team, woken as oneDNN wakes it, make denormal
// numbers. The thread sanitizer, which does not see OpenMP's fork and join, does not look.
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
inline int
ThreadsWithDenormals(int threads) {
  std::atomic<int> count = 0;
#pragma omp parallel num_threads(threads)
  {
    volatile float smallest = std::numeric_limits<float>::min();
    volatile float half = smallest / 2;
    count += half != 0 ? 1 : 0;
  }
  return count;
}

// A new thread has a team of its own, whose threads nobody has changed yet.
inline void OnANewThread(const std::function<void()>& body) { std::jthread thread(body); }

}  // namespace hone::testing
