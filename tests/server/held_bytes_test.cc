// What is held in memory of jobs' events has a bound in bytes, too.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/metrics/bus.h"
#include "server/scheduler/report.h"

namespace hone::server {
namespace {

using metrics::Bus;
using scheduler::ReportBuffer;

// Of so many bytes, and a few more.
v1::Event Layers(size_t bytes) {
  v1::Event event;
  v1::LayerStatistics& statistics = *event.mutable_layer_statistics();
  constexpr size_t kEach = 104;  // as it is sent
  for (size_t i = 0; i + 1 < bytes / kEach; ++i) {
    statistics.add_layers()->set_name(std::string(100, 'x'));
  }
  statistics.add_layers()->set_name(std::string(bytes - event.ByteSizeLong(), 'x'));
  return event;
}

store::LoggedEvent Logged(const std::string& job, int64_t sequence, v1::Event event) {
  event.set_sequence(sequence);
  return {job, "classification", std::make_shared<const v1::Event>(std::move(event))};
}

v1::Event End() {
  v1::Event event;
  event.mutable_state()->set_state(v1::Job::SUCCEEDED);
  return event;
}

TEST(BusBytes, AJobHoldsNoMoreThanItsShareAndTheNewestStay) {
  Bus bus;
  for (int64_t i = 1; i <= 100; ++i) {
    bus.Publish(Logged("a", i, Layers(50'000)));
  }
  EXPECT_LE(bus.held_bytes(), Bus::kHeldBytesPerJob);
  Bus::Events events;
  EXPECT_EQ(bus.Read("a", 90, 100, events), Bus::Held::kYes);
  EXPECT_EQ(events.size(), 10u);
  EXPECT_EQ(bus.Read("a", 10, 100, events), Bus::Held::kUnknown);
}

TEST(BusBytes, AllJobsTogetherHoldNoMoreThanTheirShareAndTheOneQuietLongestIsForgotten) {
  Bus bus;
  const size_t jobs = Bus::kHeldBytes / Bus::kHeldBytesPerJob + 5;
  for (size_t job = 0; job < jobs; ++job) {
    bus.Publish(Logged(absl::StrCat(job), 1, Layers(Bus::kHeldBytesPerJob - 100)));
  }
  EXPECT_LE(bus.held_bytes(), Bus::kHeldBytes);
  Bus::Events events;
  EXPECT_EQ(bus.Read("0", 0, 100, events), Bus::Held::kUnknown);
  EXPECT_EQ(bus.Read(absl::StrCat(jobs - 1), 0, 100, events), Bus::Held::kYes);
}

TEST(BusBytes, AnEventBeyondTheShareIsNotHeld) {
  Bus bus;
  bus.Publish(Logged("a", 1, Layers(Bus::kHeldBytesPerJob)));
  EXPECT_EQ(bus.held_bytes(), 0u);
}

TEST(BusBytes, AnEndedJobThatNobodyWatchesIsForgotten) {
  Bus bus;
  bus.Publish(Logged("a", 1, Layers(1000)));
  bus.Publish(Logged("a", 2, End()));
  EXPECT_EQ(bus.held_bytes(), 0u);
}

TEST(BusBytes, AnEndedJobIsForgottenWhenItsLastWatcherLeaves) {
  Bus bus;
  const int64_t subscription = bus.Subscribe("a", [] {});
  bus.Publish(Logged("a", 1, Layers(1000)));
  bus.Publish(Logged("a", 2, End()));
  Bus::Events events;
  EXPECT_EQ(bus.Read("a", 0, 100, events), Bus::Held::kYes);
  bus.Unsubscribe("a", subscription);
  EXPECT_EQ(bus.held_bytes(), 0u);
}

TEST(ReportBytes, ABufferIsFullWhenItHoldsMuch) {
  ReportBuffer buffer((jobs::Job()));
  int events = 0;
  while (!buffer.full() && events < 1000) {
    buffer.Add(Layers(500'000), absl::ZeroDuration());
    ++events;
  }
  EXPECT_EQ(events, 9);  // 4 MiB
  buffer.Taken();
  EXPECT_FALSE(buffer.full());
}

TEST(ReportBytes, PointsThatAreMergedCountOnce) {
  ReportBuffer buffer((jobs::Job()));
  for (int64_t step = 1; step <= 200'000; ++step) {
    v1::Event event;
    event.mutable_metrics()->set_step(step);
    (*event.mutable_metrics()->mutable_values())["a name of some length, for a curve"] = 1;
    buffer.Add(std::move(event), absl::ZeroDuration());
  }
  EXPECT_FALSE(buffer.full());
}

}  // namespace
}  // namespace hone::server
