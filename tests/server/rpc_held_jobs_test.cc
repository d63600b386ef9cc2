// A job that cannot be started for a reason of its own.
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

class RpcHeldJobsTest : public RpcTest {
 protected:
  RpcHeldJobsTest() {
    config_.concurrent_jobs = 1;
    Start();
  }
  // A job with an uploaded data set that waits in the queue, whose bytes then go from the disk.
  v1::Job WaitingForLostBytes() {
    Upload("table", kBytes);
    const std::string running = Create(Request("wait")).name();
    v1::CreateJobRequest request = Request("succeed");
    request.mutable_spec()->mutable_data()->set_dataset("table");
    const v1::Job job = Create(request);
    std::filesystem::remove(File());
    EXPECT_TRUE(Cancel(running).ok());
    return job;
  }
  std::string File() const { return absl::StrCat(root_, "/datasets/", Sha256(kBytes), ".csv"); }
  v1::Job AwaitMessage(const std::string& name) {
    v1::Job job = Get(name);
    for (int i = 0; i < 12'000 && job.message().empty(); ++i) {
      absl::SleepFor(absl::Milliseconds(5));
      job = Get(name);
    }
    return job;
  }

  static constexpr char kBytes[] = "a,b\n1,2\n";
};

TEST_F(RpcHeldJobsTest, WhoseDataSetIsGoneSaysSoAndHoldsUpNoOther) {
  const v1::Job job = WaitingForLostBytes();
  const std::string other = Create(Request("succeed")).name();
  EXPECT_EQ(Watch(other).answers.back().event().state().state(), v1::Job::SUCCEEDED);
  const v1::Job held = Get(job.name());
  EXPECT_EQ(held.state(), v1::Job::QUEUED);
  EXPECT_EQ(held.queue_position(), 0);
  EXPECT_THAT(held.message(), HasSubstr("the bytes of its data set (SHA-256 "));
}

TEST_F(RpcHeldJobsTest, WhoseDataSetIsBackRunsAfterARestart) {
  const v1::Job job = WaitingForLostBytes();
  EXPECT_THAT(AwaitMessage(job.name()).message(), HasSubstr("restart the server"));
  std::ofstream(File()) << kBytes;
  Start();
  EXPECT_EQ(Watch(job.name()).answers.back().event().state().state(), v1::Job::SUCCEEDED);
}

}  // namespace
}  // namespace hone::server::rpc
