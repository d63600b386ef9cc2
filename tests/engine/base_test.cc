#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include "engine/base/files.h"
#include "engine/base/rng.h"
#include "engine/base/team.h"
#include "engine/tensor/tensor.h"
#include "tests/support/denormals.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::OnANewThread;
using ::hone::testing::StatusIs;
using ::hone::testing::ThreadsWithDenormals;
using ::testing::HasSubstr;

// Known answers from the authors' Random123 distribution (kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, OfTheSameSeedAndNameIsEqualAndOfAnotherIndexIsNot) {
  RandomStream a(7, "conv1.weight"), b(7, "conv1.weight"), c(7, "conv1.weight", 1);
  const uint32_t first = a.NextBits();
  EXPECT_EQ(first, b.NextBits());
  EXPECT_NE(first, c.NextBits());
}

// Its words are those of the blocks 0, 1, …, one block after another, however many are computed at
// a time.
TEST(RandomStream, GivesTheWordsOfPhiloxsBlocksInOrder) {
  constexpr uint64_t kSeed = 7, kIndex = uint64_t{3} << 32 | 5;
  const uint64_t mixed = kSeed * 0x9E3779B97F4A7C15 ^ NameHash("shuffle");
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(mixed),
                                       static_cast<uint32_t>(mixed >> 32)};
  RandomStream stream(kSeed, "shuffle", kIndex);
  for (uint32_t block = 0; block < 100; ++block) {
    for (const uint32_t word : Philox({block, 0, 5, 3}, key)) {
      ASSERT_EQ(stream.NextBits(), word) << "block " << block;
    }
  }
}

TEST(RandomStream, NormalHasMeanZeroAndVarianceOne) {
  RandomStream stream(1, "normal");
  double sum = 0, squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = stream.NextNormal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
}

TEST(RunTeam, RunsEveryIndexOnceAndWaitsForAll) {
  std::vector<int> seen(4, 0);
  RunTeam(4, [&](int k) { ++seen[static_cast<size_t>(k)]; });
  EXPECT_EQ(seen, std::vector<int>(4, 1));
}

TEST(RunTeam, FlushesDenormalsOnEveryThread) {
  OnANewThread([] {
    ASSERT_EQ(ThreadsWithDenormals(4), 4);
    std::atomic<int> flushed = 0;
    RunTeam(4, [&](int) {
      volatile float smallest = std::numeric_limits<float>::min();
      volatile float half = smallest / 2;
      flushed += half == 0 ? 1 : 0;
    });
    EXPECT_EQ(flushed, 4);
  });
}

TEST(RunTeam, LeavesTheCallerItsDenormals) {
  RunTeam(2, [](int) {});
  EXPECT_EQ(ThreadsWithDenormals(1), 1);
}

TEST(ScopedThreads, FlushesDenormalsInTeamsThatOthersWake) {
  OnANewThread([] {
    ASSERT_EQ(ThreadsWithDenormals(4), 4);
    const ScopedThreads scoped(4);
    EXPECT_EQ(ThreadsWithDenormals(4), 0);
  });
}

TEST(ScopedThreads, LeavesTheCallerItsDenormals) {
  { const ScopedThreads scoped(1); }
  EXPECT_EQ(ThreadsWithDenormals(1), 1);
}

TEST(RunTeam, OfTwoCallersAtATimeRunsTheWorkOfEach) {
  std::vector<int> seen(2, 0);
  std::vector<std::jthread> callers;
  for (size_t caller = 0; caller < 2; ++caller) {
    callers.emplace_back([&seen, caller] {
      std::atomic<int> count = 0;
      for (int i = 0; i < 200; ++i) {
        RunTeam(2, [&](int) { ++count; });
      }
      seen[caller] = count;
    });
  }
  callers.clear();
  EXPECT_EQ(seen, std::vector<int>(2, 400));
}

// As under OMP_THREAD_LIMIT=2.
TEST(RunTeam, LeavesNoPartOutWhereTheRuntimeGivesFewerThreads) {
  std::vector<int> seen(5, 0);
#pragma omp teams num_teams(1) thread_limit(2)
  RunTeam(5, [&](int k) { ++seen[static_cast<size_t>(k)]; });
  EXPECT_EQ(seen, std::vector<int>(5, 1));
}

TEST(CheckTeam, RefusesATeamThatTheRuntimeDoesNotGive) {
  absl::Status of_four, of_two;
#pragma omp teams num_teams(1) thread_limit(2)
  {
    of_four = CheckTeam(4);
    of_two = CheckTeam(2);
  }
  EXPECT_THAT(of_two, IsOk());
  EXPECT_THAT(of_four, StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("OpenMP gives this process 2 of 4 threads")));
}

TEST(ShareOf, CoversTheRangeOnceInWholeGrains) {
  int64_t covered = 0;
  for (int k = 0; k < 3; ++k) {
    const auto [begin, end] = ShareOf(100, k, 3, 16);
    EXPECT_EQ(begin, covered);
    EXPECT_TRUE(end % 16 == 0 || end == 100);
    covered = end;
  }
  EXPECT_EQ(covered, 100);
}

TEST(ForShares, GivesEachNumberToOneThread) {
  std::vector<int> seen(1000);
  ForShares(1000, 3, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      ++seen[static_cast<size_t>(i)];
    }
  });
  EXPECT_EQ(seen, std::vector<int>(1000, 1));
}

TEST(ForElements, KeepsToOneThreadWhereMoreDoNotPay) {
  std::atomic<int> calls = 0;
  ForElements(4000, 4, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Files, AnAtomicWriteReplacesTheWholeFileAndLeavesNothingElse) {
  const std::string folder = ::testing::TempDir() + "/atomic";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  ASSERT_THAT(WriteFileAtomically(folder + "/a", "first, and longer"), IsOk());
  ASSERT_THAT(WriteFileAtomically(folder + "/a", "second"), IsOk());
  EXPECT_EQ(*ReadFile(folder + "/a"), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST(Files, AMissingFileIsNotFoundAndNamed) {
  EXPECT_THAT(ReadFile("/nonexistent/x"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/x")));
}

TEST(Files, Sha256OfAbcIsThePublishedOne) {
  EXPECT_EQ(Sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(FromBf16(ToBf16(1.0f)), 1.0f);
  EXPECT_EQ(ToBf16(1.00390625f), 0x3f80);  // half way between two, to the even one
  EXPECT_EQ(ToBf16(1.01171875f), 0x3f82);
}

TEST(Shape, OfNoDimensionsHasOneElement) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{2, 3}).ToString(), "[2, 3]");
}

}  // namespace
}  // namespace hone::engine
