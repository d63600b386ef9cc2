#include "engine/tasks/replay.h"

#include <gmock/gmock.h>

#include <array>
#include <map>

namespace hone::engine::tasks {
namespace {

constexpr int64_t kRecord = 2;

// A transition from the state `i` to the state i + 1.
void Add(Replay& replay, int i) {
  const std::array before = {std::byte(i), std::byte(0)}, after = {std::byte(i + 1), std::byte(0)};
  replay.Add({.before = before,
              .after = after,
              .action = i % 3,
              .reward = static_cast<float>(i),
              .discount = 0.5f});
}

TEST(Replay, GivesWhatItWasGiven) {
  Replay replay({.capacity = 4}, kRecord);
  Add(replay, 7);
  const Transition met = replay.at(0);
  EXPECT_EQ(met.before[0], std::byte(7));
  EXPECT_EQ(met.after[0], std::byte(8));
  EXPECT_EQ(met.action, 1);
  EXPECT_EQ(met.reward, 7);
  EXPECT_EQ(met.discount, 0.5f);
}

TEST(Replay, ForgetsTheOldestWhenItIsFull) {
  Replay replay({.capacity = 4}, kRecord);
  for (int i = 0; i < 6; ++i) {
    Add(replay, i);
  }
  EXPECT_EQ(replay.size(), 4);
  std::vector<float> rewards;
  for (int64_t place = 0; place < 4; ++place) {
    rewards.push_back(replay.at(place).reward);
  }
  EXPECT_THAT(rewards, ::testing::UnorderedElementsAre(2, 3, 4, 5));
}

// How often each place is drawn of so many.
std::map<int32_t, int> Counts(const Replay& replay, int draws, double beta,
                              std::map<int32_t, float>* weights = nullptr) {
  std::map<int32_t, int> counts;
  std::array<int32_t, 8> places;
  std::array<float, 8> of_places;
  for (int i = 0; i < draws; ++i) {
    RandomStream random(3, "test", static_cast<uint64_t>(i));
    replay.Draw(random, beta, places, of_places);
    for (size_t k = 0; k < places.size(); ++k) {
      ++counts[places[k]];
      if (weights != nullptr) {
        (*weights)[places[k]] = of_places[k];
      }
    }
  }
  return counts;
}

TEST(Replay, DrawsAllEquallyOften) {
  Replay replay({.capacity = 10}, kRecord);
  for (int i = 0; i < 4; ++i) {
    Add(replay, i);
  }
  for (const auto& [place, count] : Counts(replay, 1000, 0.4)) {
    EXPECT_NEAR(count, 2000, 150) << place;
  }
}

ReplayOptions Prioritized() {
  return {.capacity = 10, .prioritized = true, .alpha = 1, .beta = 0.4};
}

TEST(PrioritizedReplay, DrawsByErrors) {
  Replay replay(Prioritized(), kRecord);
  for (int i = 0; i < 4; ++i) {
    Add(replay, i);
  }
  const std::array<int32_t, 4> places = {0, 1, 2, 3};
  const std::array<float, 4> errors = {1, -2, 0, 5};
  replay.SetErrors(places, errors);
  std::map<int32_t, int> counts = Counts(replay, 1000, 0.4);
  EXPECT_NEAR(counts[0], 1000, 150);
  EXPECT_NEAR(counts[1], 2000, 150);
  EXPECT_LT(counts[2], 10);
  EXPECT_NEAR(counts[3], 5000, 150);
}

TEST(PrioritizedReplay, WeighsWhatIsDrawnOftenLess) {
  Replay replay(Prioritized(), kRecord);
  for (int i = 0; i < 2; ++i) {
    Add(replay, i);
  }
  replay.SetErrors(std::array<int32_t, 2>{0, 1}, std::array<float, 2>{1, 4});
  std::map<int32_t, float> weights;
  Counts(replay, 100, 1, &weights);
  EXPECT_NEAR(weights[0], 1, 1e-6);
  EXPECT_NEAR(weights[1], 0.25, 1e-5);
}

TEST(PrioritizedReplay, DrawsANewTransitionAsOftenAsTheWorst) {
  Replay replay(Prioritized(), kRecord);
  Add(replay, 0);
  replay.SetErrors(std::array<int32_t, 1>{0}, std::array<float, 1>{6});
  Add(replay, 1);
  std::map<int32_t, int> counts = Counts(replay, 1000, 0.4);
  EXPECT_NEAR(counts[0], counts[1], 200);
}

TEST(Replay, SavedAndRestoredDrawsTheSame) {
  for (const bool prioritized : {false, true}) {
    ReplayOptions options = Prioritized();
    options.prioritized = prioritized;
    Replay one(options, kRecord);
    for (int i = 0; i < 17; ++i) {
      Add(one, i);
      one.SetErrors(std::array<int32_t, 1>{i % 7}, std::array<float, 1>{0.1f * i});
    }
    Replay other(options, kRecord);
    ASSERT_TRUE(other.Restore(one.Save()).ok());
    EXPECT_EQ(other.Save(), one.Save());
    EXPECT_EQ(Counts(other, 50, 0.7), Counts(one, 50, 0.7));
    Add(one, 99);
    Add(other, 99);
    EXPECT_EQ(other.Save(), one.Save());
  }
}

TEST(Replay, RefusesBytesOfAnother) {
  Replay small({.capacity = 2}, kRecord), large({.capacity = 4}, kRecord);
  for (int i = 0; i < 4; ++i) {
    Add(large, i);
  }
  EXPECT_FALSE(small.Restore(large.Save()).ok());
  EXPECT_FALSE(small.Restore("").ok());
  EXPECT_FALSE(small.Restore(large.Save().substr(1)).ok());
}

}  // namespace
}  // namespace hone::engine::tasks
