#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "server/worker_process/confinement.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

class RpcMetricsTest : public RpcTest {
 protected:
  // The values of a metric's first label.
  std::set<std::string> Values(const std::string& metric) {
    std::set<std::string> values;
    for (const absl::string_view line : absl::StrSplit(Http("/metrics"), '\n')) {
      if (absl::StartsWith(line, metric + "{")) {
        values.insert(std::vector<std::string>(absl::StrSplit(line, '"'))[1]);
      }
    }
    return values;
  }
};

TEST_F(RpcMetricsTest, EveryBoundedQueueSaysWhatWaitsAndWhatItRefused) {
  const std::set<std::string> queues = {"store",    "reads",         "histories",    "lists",
                                        "datasets", "verifications", "worker_calls", "inspections",
                                        "imports",  "predictions",   "files"};
  EXPECT_EQ(Values("hone_tasks_queued"), queues);
  EXPECT_EQ(Values("hone_tasks_refused_total"), queues);
}

TEST_F(RpcMetricsTest, EveryModeOfWorkersBeginsAtZero) {
  EXPECT_EQ(Values("hone_worker_starts_total"),
            (std::set<std::string>{"train", "plan", "dataset", "import", "predict"}));
}

TEST_F(RpcMetricsTest, HowFarTheKernelConfinesWorkersIsSaid) {
  EXPECT_THAT(Http("/metrics"), HasSubstr(absl::StrCat("hone_worker_confinement{what=\"files\"} ",
                                                       worker_process::LandlockAbi(), "\n")));
}

TEST_F(RpcMetricsTest, AWatcherThatEndsIsTimed) {
  const v1::Job job = Create(Request("succeed"));
  EXPECT_TRUE(Watch(job.name()).status.ok());
  EXPECT_THAT(Http("/metrics"),
              HasSubstr("hone_rpc_duration_seconds_count{method=\"WatchJob\",code=\"OK\"} 1\n"));
}

}  // namespace
}  // namespace hone::server::rpc
