// Jobs as they are made, found again and listed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::HasSubstr;

class JobListsTest : public JobStoreTest {};

INSTANTIATE_TEST_SUITE_P(Stores, JobListsTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobListsTest, TheSameRequestIdReturnsTheFirstJob) {
  const std::string first = Insert("once");
  EXPECT_EQ(Insert("once"), first);
  EXPECT_EQ(store_->List({})->items.size(), 1u);
}

TEST_P(JobListsTest, TheSameRequestIdWithAnotherSpecIsRefused) {
  Insert("once");
  EXPECT_THAT(
      store_->Insert({.id = jobs::NewId(), .spec = Spec("other"), .request_id = "once"}, kNow),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request_id")));
}

TEST_P(JobListsTest, AJobIsStillThereAfterOpeningAgain) {
  const std::string id = Insert();
  Open();
  const auto job = store_->Get(id);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->spec.display_name(), "digits");
  EXPECT_EQ(job->create_time, kNow);
}

TEST_P(JobListsTest, ListKeepsToTaskAndLabelsAndOrder) {
  v1::JobSpec red = Spec("red");
  (*red.mutable_labels())["colour"] = "red";
  (*red.mutable_labels())["size"] = "1";
  const auto job = store_->Insert({.id = jobs::NewId(), .spec = red}, kNow);
  const std::string plain = Insert();
  EXPECT_EQ(store_->List({.labels = {"colour=red", "size=1"}})->items.size(), 1u);
  EXPECT_TRUE(store_->List({.labels = {"colour=red", "size=2"}})->items.empty());
  EXPECT_TRUE(store_->List({.task = "regression"})->items.empty());
  EXPECT_EQ(store_->List({.task = "classification", .oldest_first = true})->items.front().id,
            job->id);
}

TEST_P(JobListsTest, MoreLabelsThanAListMayHaveAreRefused) {
  ListJobs what;
  for (size_t i = 0; i < ListJobs::kMostLabels; ++i) {
    what.labels.push_back(std::string(1, static_cast<char>('a' + i)) + "=1");
  }
  EXPECT_THAT(store_->List(what), IsOk());
  what.labels.push_back("z=1");
  EXPECT_THAT(store_->List(what),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("labels")));
}

TEST_P(JobListsTest, ListKeepsToTheAskedStates) {
  const std::string running = InsertAndClaim();
  Insert();
  const auto page = store_->List({.states = {JobState::kRunning, JobState::kFailed}});
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0].id, running);
}

TEST_P(JobListsTest, PagesCoverAllJobsOnceNewestFirst) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.insert(ids.begin(), Insert());
  }
  std::vector<std::string> seen;
  ListJobs what{.limit = 2};
  do {
    const auto page = store_->List(what);
    for (const jobs::Job& job : page->items) {
      seen.push_back(job.id);
    }
    what.from_row = page->next_row;
  } while (what.from_row != 0);
  EXPECT_EQ(seen, ids);
}

TEST_P(JobListsTest, PagesOfSeveralStatesCoverEachJobOnceAlsoWhereBytesEndThem) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(Insert());
    // Queued, cancelled and paused in turn; the paused ones are not asked for.
    if (i % 3 == 1) {
      EXPECT_THAT(store_->RequestCancel(ids.back(), kNow), IsOk());
    } else if (i % 3 == 2) {
      EXPECT_THAT(store_->RequestPause(ids.back(), kNow), IsOk());
      ids.pop_back();
    }
  }
  for (const bool oldest_first : {true, false}) {
    for (const int64_t bytes : {int64_t{1}, int64_t{100}, int64_t{1} << 20}) {
      std::vector<std::string> seen;
      ListJobs what{.states = {JobState::kQueued, JobState::kCancelled},
                    .oldest_first = oldest_first,
                    .limit = 3,
                    .max_bytes = bytes};
      do {
        const auto page = store_->List(what);
        ASSERT_THAT(page, IsOk());
        ASSERT_FALSE(page->items.empty());
        for (const jobs::Job& job : page->items) {
          seen.push_back(job.id);
        }
        what.from_row = page->next_row;
      } while (what.from_row != 0);
      EXPECT_EQ(seen, ids) << bytes;
    }
    std::reverse(ids.begin(), ids.end());
  }
}

}  // namespace
}  // namespace hone::server::store
