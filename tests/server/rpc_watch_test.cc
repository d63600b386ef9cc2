// Watches: from the first event, on from a token, many at a time, over the end of a server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::Each;

TEST_F(RpcTest, AJobGoesFromCreateOverWatchToItsEnd) {
  const v1::Job job = Create(Request("succeed"));
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_EQ(job.plan().parameters(), 121'930);
  const Watched watched = Watch(job.name());
  EXPECT_TRUE(watched.status.ok()) << watched.status.error_message();
  ASSERT_FALSE(watched.answers.empty());
  EXPECT_TRUE(watched.answers.front().has_snapshot());
  EXPECT_EQ(watched.answers.back().event().state().state(), v1::Job::SUCCEEDED);
  const v1::Job ended = Get(job.name());
  EXPECT_EQ(watched.Sequences(), UpTo(ended.last_sequence()));
  EXPECT_EQ(ended.evaluation().metrics().at("test_accuracy"), 0.9);
  EXPECT_THAT(ended.model(), ::testing::StartsWith("models/"));
}

TEST_F(RpcTest, AWatchGoesOnAfterItsTokenWithoutGapOrRepetition) {
  const v1::Job job = Create(Request("wait"));
  Watched first = Watch(job.name(), "", 6);
  EXPECT_TRUE(Cancel(job.name()).ok());
  const Watched second = Watch(job.name(), first.answers.back().resume_token());
  std::vector<int64_t> all = first.Sequences();
  for (const int64_t sequence : second.Sequences()) {
    all.push_back(sequence);
  }
  EXPECT_EQ(all, UpTo(Get(job.name()).last_sequence()));
}

TEST_F(RpcTest, ManyWatchersOfOneJobAllSeeEverything) {
  const v1::Job job = Create(Request("wait"));
  std::vector<std::unique_ptr<LiveWatch>> watches;
  for (int i = 0; i < 8; ++i) {
    watches.push_back(std::make_unique<LiveWatch>(*this, job.name()));
  }
  for (const auto& watch : watches) {
    EXPECT_TRUE(watch->AwaitAnswer());
  }
  // What comes from now on they all hear live.
  const int64_t before = Get(job.name()).last_sequence();
  for (const auto& watch : watches) {
    EXPECT_TRUE(watch->AwaitEventAfter(before));
  }
  EXPECT_TRUE(Cancel(job.name()).ok());
  std::vector<std::vector<int64_t>> seen;
  for (const auto& watch : watches) {
    seen.push_back(watch->Join().Sequences());
  }
  EXPECT_THAT(seen, Each(UpTo(Get(job.name()).last_sequence())));
}

TEST_F(RpcTest, WatchingAnEndedJobSendsItsHistoryAndEnds) {
  const v1::Job job = Create(Request("succeed"));
  const Watched live = Watch(job.name());
  const Watched again = Watch(job.name());
  EXPECT_EQ(again.Sequences(), live.Sequences());
  EXPECT_EQ(Watch(job.name(), again.answers.back().resume_token()).answers.size(), 1u);
}

TEST_F(RpcTest, ATokenOfAnotherLogIsRefused) {
  const v1::Job job = Create(Request("succeed"));
  EXPECT_EQ(Watch(job.name(), "other.log.1").status.error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

// Where nothing happens the next thing to hear would be a heartbeat after 15 seconds.
TEST_F(RpcTest, WhoComesBackHearsAtOnceThatItHasArrived) {
  for (int i = 0; i < config_.concurrent_jobs; ++i) {
    Create(Request("wait"));
  }
  const v1::Job waits = Create(Request("succeed"));
  const Watched first = Watch(waits.name(), "", 2);  // the snapshot, and that it is queued
  ASSERT_EQ(first.answers.size(), 2u);
  const Watched again = Watch(waits.name(), first.answers.back().resume_token(), 1);
  ASSERT_EQ(again.answers.size(), 1u);
  EXPECT_TRUE(again.answers[0].has_snapshot());
  EXPECT_EQ(again.answers[0].resume_token(), first.answers.back().resume_token());
}

TEST_F(RpcTest, ARestartInTheMiddleResumesTheJobAndTheWatch) {
  const v1::Job job = Create(Request("wait once then succeed"));
  const Watched before = Watch(job.name(), "", 5);
  Start();
  const Watched after = Watch(job.name(), before.answers.back().resume_token());
  EXPECT_TRUE(after.status.ok()) << after.status.error_message();
  std::vector<int64_t> all = before.Sequences();
  for (const int64_t sequence : after.Sequences()) {
    all.push_back(sequence);
  }
  const v1::Job ended = Get(job.name());
  EXPECT_EQ(all, UpTo(ended.last_sequence()));
  EXPECT_EQ(ended.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(ended.attempt(), 2);
}

TEST_F(RpcTest, AShutdownSaysGoodbyeToWatchers) {
  const v1::Job job = Create(Request("wait"));
  LiveWatch watch(*this, job.name());
  EXPECT_TRUE(watch.AwaitAnswer());
  server_->Shutdown();
  const Watched& watched = watch.Join();
  ASSERT_FALSE(watched.answers.empty());
  EXPECT_TRUE(watched.answers.back().has_goodbye());
  EXPECT_EQ(watched.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  server_.reset();
}

}  // namespace
}  // namespace hone::server::rpc
