// Deadlines, labels and what is forgotten: what every JobStore must do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/now.h"
#include "tests/server/store_backend.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using jobs::JobState;

class JobLimitsTest : public StoreConformance {
 protected:
  std::string Insert(const v1::JobSpec& spec, const std::string& retry_of = "") {
    const auto job =
        store_->Insert({.id = jobs::NewId(), .spec = spec, .retry_of = retry_of}, kNow);
    EXPECT_THAT(job, IsOk());
    return job.ok() ? job->id : "";
  }
  // A job that ended so many hours after kNow.
  std::string End(int hours) {
    const std::string id = Insert({});
    EXPECT_THAT(store_->RequestCancel(id, kNow + absl::Hours(hours)), IsOk());
    return id;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, JobLimitsTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobLimitsTest, APausedJobEndsAtItsDeadline) {
  v1::JobSpec spec;
  spec.set_deadline_seconds(10);
  const std::string id = Insert(spec);
  ASSERT_THAT(store_->RequestPause(id, kNow), IsOk());
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(9)), 0);
  EXPECT_EQ(*store_->FailOverdue(kNow + absl::Seconds(10)), 1);
  EXPECT_EQ(store_->Get(id)->end_reason, v1::Job::DEADLINE);
  EXPECT_THAT(store_->Get(id)->message, ::testing::HasSubstr("while it was paused"));
}

TEST_P(JobLimitsTest, AStoreThatIsTooLargeForgetsTheOldestThatNobodyNeeds) {
  const std::string needed = End(0), oldest = End(1);
  End(2);
  const std::string retry = Insert({}, needed);
  ASSERT_THAT(store_->RequestPause(retry, kNow), IsOk());
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::ElementsAre(oldest));
}

TEST_P(JobLimitsTest, JobsAboveTheirNumberAreForgottenBesideOnesThatAreNeeded) {
  const std::string needed = End(0), oldest = End(1);
  End(2);
  Insert({}, needed);
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 1}, 1), ::testing::ElementsAre(oldest));
}

TEST_P(JobLimitsTest, JobsOfLabelsAndAStateAreListedInOrderPageByPage) {
  std::vector<std::string> wanted;
  for (int i = 0; i < 12; ++i) {
    v1::JobSpec spec;
    (*spec.mutable_labels())["team"] = i % 2 == 0 ? "a" : "b";
    (*spec.mutable_labels())["run"] = i % 3 == 0 ? "x" : "y";
    const std::string id = Insert(spec);
    if (i % 2 == 0 && i % 3 != 0) {
      wanted.push_back(id);
    }
  }
  ListJobs what{.states = {JobState::kQueued, JobState::kPaused},
                .labels = {"run=y", "team=a"},
                .oldest_first = true,
                .limit = 2};
  std::vector<std::string> found;
  do {
    const auto page = store_->List(what);
    ASSERT_THAT(page, IsOk());
    for (const jobs::Job& job : page->items) {
      found.push_back(job.id);
    }
    what.from_row = page->next_row;
  } while (what.from_row != 0);
  EXPECT_EQ(found, wanted);
  EXPECT_EQ(store_->List({.labels = {"team=a", "run=y"}, .limit = 1})->items[0].id, wanted.back());
}

TEST_P(JobLimitsTest, TheBestModelsOfANameStayBesideTheNewest) {
  std::vector<std::string> ids;
  for (const double accuracy : {0.7, 0.9, 0.8, 0.6, -1.0}) {
    ids.push_back(Insert({}));
    ASSERT_THAT(store_->Claim(1, kNow), IsOk());
    Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
    ending.model.emplace().set_name(jobs::ModelName(ids.back()));
    if (accuracy >= 0) {
      (*ending.model->mutable_evaluation()->mutable_metrics())["test_accuracy"] = accuracy;
    }
    ASSERT_THAT(store_->Finish(ids.back(), 1, ending, kNow), IsOk());
  }
  EXPECT_THAT(*store_->DeleteModels({.of_a_name = 1, .best = 2}, 10),
              ::testing::ElementsAre(ids[0], ids[3]));
}

TEST_P(JobLimitsTest, OfModelsWithoutAccuracyTheLowestLossIsTheBest) {
  std::vector<std::string> ids;
  for (const double loss : {3.0, 1.0, 2.0, 4.0}) {
    ids.push_back(Insert({}));
    ASSERT_THAT(store_->Claim(1, kNow), IsOk());
    Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
    ending.model.emplace().set_name(jobs::ModelName(ids.back()));
    (*ending.model->mutable_evaluation()->mutable_metrics())["test_loss"] = loss;
    ASSERT_THAT(store_->Finish(ids.back(), 1, ending, kNow), IsOk());
  }
  EXPECT_THAT(*store_->DeleteModels({.of_a_name = 1, .best = 1}, 10),
              ::testing::ElementsAre(ids[0], ids[2]));
}

TEST_P(JobLimitsTest, TheQueueIsCountedWithoutJobsThatDoNotWait) {
  End(0);
  Insert({});
  Insert({});
  ASSERT_THAT(store_->RequestPause(Insert({}), kNow), IsOk());
  EXPECT_EQ(*store_->CountQueued(), 2);
}

}  // namespace
}  // namespace hone::server::store
