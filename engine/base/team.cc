#include "engine/base/team.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

#if defined(__SANITIZE_THREAD__)
#define HONE_NO_SANITIZE_THREAD __attribute__((no_sanitize_thread))
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#else
#define HONE_NO_SANITIZE_THREAD
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace hone::engine {
namespace {

// Of MXCSR: results that are denormal become zero, operands that are denormal count as zero.
constexpr uint32_t kFlushToZero = 1 << 15;
constexpr uint32_t kDenormalsAreZero = 1 << 6;

// For a thread of a team, which computes for the engine and nobody else.
void FlushDenormalsForGood() { _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero); }

// The thread sanitizer does not see libgomp's fork and join. Two addresses of the work tell it what
// happens before what; the fork itself, which hands the work to the threads, it must not look at.
struct Work {
  int threads;
  absl::FunctionRef<void(int)> body;
  char fork = 0;
  char join = 0;
};

__attribute__((noinline)) void Join(Work* work) {
  __tsan_acquire(&work->fork);
  FlushDenormalsForGood();
  const int there = omp_get_num_threads();
  for (int k = omp_get_thread_num(); k < work->threads; k += there) {
    work->body(k);
  }
  __tsan_release(&work->join);
}

HONE_NO_SANITIZE_THREAD __attribute__((noinline)) void Fork(Work* work) {
#pragma omp parallel num_threads(work->threads) firstprivate(work)
  Join(work);
}

}  // namespace

void RunTeam(int threads, absl::FunctionRef<void(int)> body) {
  const FlushDenormals flush;  // the caller, who may have another use for them afterwards
  if (threads <= 1 || omp_in_parallel()) {
    for (int k = 0; k < std::max(threads, 1); ++k) {
      body(k);
    }
    return;
  }
  Work work = {.threads = threads, .body = body};
  __tsan_release(&work.fork);
  Fork(&work);
  __tsan_acquire(&work.join);
}

absl::Status CheckTeam(int threads) {
  std::atomic<int> there = 1;
  if (!omp_in_parallel()) {
    RunTeam(threads, [&](int) { there = omp_get_num_threads(); });
  }
  if (there >= threads) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("threads: OpenMP gives this process ", there.load(), " of ", threads,
                   " threads; OMP_THREAD_LIMIT, OMP_DYNAMIC or OMP_MAX_ACTIVE_LEVELS may be set"));
}

std::pair<int64_t, int64_t> ShareOf(int64_t count, int k, int n, int64_t grain) {
  const int64_t grains = (count + grain - 1) / grain;
  const int64_t begin = grains * k / n * grain;
  const int64_t end = grains * (k + 1) / n * grain;
  return {std::min(begin, count), std::min(end, count)};
}

int PartsFor(int64_t elements, int threads) {
  constexpr int64_t kGrain = 8192;
  return static_cast<int>(
      std::clamp<int64_t>((elements + kGrain - 1) / kGrain, 1, std::max(threads, 1)));
}

void ForShares(int64_t count, int parts, absl::FunctionRef<void(int64_t, int64_t)> body,
               int64_t grain) {
  RunTeam(parts, [&](int k) {
    const auto [begin, end] = ShareOf(count, k, parts, grain);
    body(begin, end);
  });
}

void ForElements(int64_t count, int threads, absl::FunctionRef<void(int64_t, int64_t)> body) {
  ForShares(count, PartsFor(count, threads), body, /*grain=*/64);
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

FlushDenormals::FlushDenormals() : before_(_mm_getcsr()) { FlushDenormalsForGood(); }

FlushDenormals::~FlushDenormals() { _mm_setcsr(before_); }

ScopedThreads::ScopedThreads(int threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(threads);
  RunTeam(threads, [](int) {});  // oneDNN wakes the team by itself
}

ScopedThreads::~ScopedThreads() { omp_set_num_threads(before_); }

}  // namespace hone::engine
