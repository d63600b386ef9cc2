#include "server/scheduler/run_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "server/metrics/prometheus.h"
#include "server/scheduler/executor.h"

namespace hone::server::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RunMetrics, TimeIsSpentInThePhaseThatTheWorkerTellsAndUnknownOnesAreOther) {
  metrics::Registry registry;
  RunMetrics run(registry);
  const std::vector<RunMetrics::Worker> workers = {{::getpid(), "training"},
                                                   {::getpid(), "\"made up\""}};
  run.Passed(workers, absl::Seconds(10));
  run.Passed(workers, absl::Seconds(13));
  const std::string text = metrics::Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"training\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"other\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"loading\"} 0\n"));
}

TEST(RunMetrics, MemoryIsThatOfTheWorkersThatAreThere) {
  metrics::Registry registry;
  RunMetrics run(registry);
  EXPECT_GT(ResidentBytes(::getpid()), 1 << 20);
  run.Passed({{::getpid(), "training"}}, absl::Seconds(1));
  EXPECT_THAT(metrics::Render(registry), Not(HasSubstr("hone_engine_memory_bytes 0\n")));
  run.Passed({}, absl::Seconds(1));
  EXPECT_THAT(metrics::Render(registry), HasSubstr("hone_engine_memory_bytes 0\n"));
}

TEST(Executor, CountsWhatItRefuses) {
  Executor executor(/*threads=*/0, /*max_queued=*/1);
  EXPECT_TRUE(executor.Submit([] {}));
  EXPECT_FALSE(executor.Submit([] {}));
  EXPECT_EQ(executor.refused(), 1);
}

}  // namespace
}  // namespace hone::server::scheduler
