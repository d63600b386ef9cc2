#include "engine/base/team.h"

#include <omp.h>

#include <algorithm>

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace hone::engine {
namespace {

// The thread sanitizer does not see libgomp's fork and join. The work is passed without captures (a
// captured variable would itself be a race to it), and these two addresses tell it what happens
// before what.
const absl::FunctionRef<void(int)>* g_body = nullptr;
char g_fork;
char g_join;

}  // namespace

void RunTeam(int threads, absl::FunctionRef<void(int)> body) {
  if (threads <= 1 || omp_in_parallel()) {
    for (int k = 0; k < std::max(threads, 1); ++k) {
      body(k);
    }
    return;
  }
  g_body = &body;
  __tsan_release(&g_fork);
#pragma omp parallel num_threads(threads)
  {
    __tsan_acquire(&g_fork);
    (*g_body)(omp_get_thread_num());
    __tsan_release(&g_join);
  }
  __tsan_acquire(&g_join);
}

std::pair<int64_t, int64_t> Slice(int64_t count, int k, int n, int64_t grain) {
  const int64_t grains = (count + grain - 1) / grain;
  const int64_t begin = grains * k / n * grain;
  const int64_t end = grains * (k + 1) / n * grain;
  return {std::min(begin, count), std::min(end, count)};
}

void Barrier::Wait() {
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers_) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    generation_.notify_all();
    return;
  }
  // Tens of microseconds: longer than workers of equal shares differ by. Whoever waits longer waits
  // for a thread that has lost its core; spinning on would only take the core from somebody else,
  // in the end from that thread.
  constexpr int kSpins = 2000;
  for (int spin = 0; spin < kSpins; ++spin) {
    if (generation_.load(std::memory_order_acquire) != generation) {
      return;
    }
    __builtin_ia32_pause();
  }
  generation_.wait(generation, std::memory_order_acquire);
}

ScopedThreads::ScopedThreads(int threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(threads);
}

ScopedThreads::~ScopedThreads() { omp_set_num_threads(before_); }

}  // namespace hone::engine
