#include <gmock/gmock.h>

#include "tests/client/server_commands_testing.h"

// `hone watch` and `hone metrics`: the events of a job.
namespace hone::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using EventCommands = ServerCommandsTest;

TEST_F(EventCommands, WatchComesAgainWhenTheServerSaysWhen) {
  training_.busy_watches = 1;
  EXPECT_EQ(Hone({"watch", "jobs/1", "--output", "json"}), 0);
  EXPECT_THAT(training_.tokens, ElementsAre("", ""));
}

TEST_F(EventCommands, WatchEndsWithTheJobsFate) {
  training_.end_state = v1::Job::FAILED;
  EXPECT_EQ(Hone({"watch", "1"}), 1);
  training_.end_state = v1::Job::CANCELLED;
  EXPECT_EQ(Hone({"watch", "jobs/1"}), 4);
}

TEST_F(EventCommands, WatchComesBackWithTheTokenAndShowsNothingTwice) {
  training_.break_after = 3;
  EXPECT_EQ(Hone({"watch", "jobs/1", "--output", "json"}), 0);
  EXPECT_THAT(training_.tokens, ElementsAre("", "3"));
  EXPECT_EQ(Lines().size(), 7u) << output_;
}

TEST_F(EventCommands, CtrlCLeavesTheViewAndNotTheJob) {
  training_.hang = true;
  const auto process = Start({"watch", "jobs/1", "--output", "text"});
  ASSERT_TRUE(process->AwaitOutput("running"));
  process->Signal(SIGINT);
  EXPECT_EQ(process->Wait(), 4);
  EXPECT_THAT(process->output(),
              HasSubstr("the job keeps running. To see it again: hone watch jobs/1"));
}

TEST_F(EventCommands, MetricsAsCsv) {
  EXPECT_EQ(Hone({"metrics", "1", "--csv"}), 0);
  EXPECT_THAT(output_, HasSubstr("step,epoch,samples,active_seconds,loss\n20,0,0,0,0.5\n"));
}

TEST_F(EventCommands, MetricsLeaveOutWhatALostAttemptToldOfLaterSteps) {
  training_.resumed_at = 4;
  training_.resumed_from_step = 20;
  EXPECT_EQ(Hone({"metrics", "1", "--csv"}), 0);
  EXPECT_EQ(output_, "step,epoch,samples,active_seconds,loss\n20,0,0,0,0.5\n50,0,0,0,0.2\n");
}

TEST_F(EventCommands, MetricsOfTheLayers) {
  training_.layers_at = 3;
  EXPECT_EQ(Hone({"metrics", "1", "--layers", "--csv"}), 0);
  EXPECT_EQ(output_,
            "step,layer,gradient_norm,weight_norm,dead_share,verdict\n"
            "30,dense_1,0.25,2,,vanishing\n");
  EXPECT_EQ(Hone({"metrics", "1", "--layers"}), 0);
  EXPECT_THAT(output_, ::testing::ContainsRegex("dense_1 +0.2500 +2.000 +0.1250 +– +vanishing"));
}

}  // namespace
}  // namespace hone::client::cli
