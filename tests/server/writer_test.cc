// Writes that are committed together, and what the writer tells of them.
#include "server/store/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::HasSubstr;

class WriterTest : public JobStoreTest {};

INSTANTIATE_TEST_SUITE_P(Stores, WriterTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(WriterTest, WritesOfOneCommitStandAloneWhenOneIsRefused) {
  const std::string id = InsertAndClaim();
  absl::Status refused;
  const auto events = store_->Commit([&] {
    refused = store_->Append(id, 9, {}, kNow);
    Insert();
  });
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 9")));
  EXPECT_EQ(events->size(), 1u);
  EXPECT_EQ(store_->List({})->items.size(), 2u);
}

TEST_P(WriterTest, TheWriterTellsEventsInOrderBeforeTheResult) {
  std::vector<int64_t> sequences;
  std::atomic<bool> told = false;
  Writer writer(*store_, [&](const LoggedEvent& event) {
    EXPECT_FALSE(told);
    sequences.push_back(event.event->sequence());
  });
  const auto job = writer.Run<jobs::Job>([&](JobStore& store) {
    auto inserted = store.Insert({.id = "a", .spec = Spec()}, kNow);
    EXPECT_THAT(store.Claim(1, kNow), IsOk());
    return inserted;
  });
  told = true;
  ASSERT_THAT(job, IsOk());
  EXPECT_THAT(sequences, ::testing::ElementsAre(1, 2));
}

TEST_P(WriterTest, TheWriterTellsOfEachCommitAndOfWritesThatAreLostThroughTheStoresFault) {
  int commits = 0, failures = 0;
  Writer writer(*store_, [](const LoggedEvent&) {},
                {.committed = [&](absl::Duration) { ++commits; }, .failed = [&] { ++failures; }});
  const auto fail = [&](const absl::Status& status) {
    EXPECT_EQ(writer.RunStatus([&](JobStore&) { return status; }), status);
  };
  fail(absl::OkStatus());
  fail(absl::NotFoundError("no such job"));
  fail(absl::FailedPreconditionError("has ended"));
  fail(absl::ResourceExhaustedError("the quota is used up"));
  EXPECT_EQ(commits, 4);
  EXPECT_EQ(failures, 0);
  fail(absl::UnavailableError("disk I/O error"));
  fail(absl::DataLossError("malformed"));
  EXPECT_EQ(failures, 2);
}

}  // namespace
}  // namespace hone::server::store
