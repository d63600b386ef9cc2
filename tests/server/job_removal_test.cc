// What is deleted, forgotten in time and kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::HasSubstr;

class JobRemovalTest : public JobStoreTest {};

INSTANTIATE_TEST_SUITE_P(Stores, JobRemovalTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobRemovalTest, ADeletedJobIsGoneAndItsEventsFollowInSlices) {
  const std::string id = InsertAndClaim();
  Report report;
  report.events.resize(10);
  ASSERT_THAT(store_->Append(id, 1, report, kNow), IsOk());
  ASSERT_THAT(
      store_->Finish(id, 1, {.state = JobState::kFailed, .reason = v1::Job::BAD_DATA}, kNow),
      IsOk());
  ASSERT_THAT(store_->Delete(id), IsOk());
  EXPECT_THAT(store_->Get(id), StatusIs(absl::StatusCode::kNotFound, HasSubstr(id)));
  EXPECT_EQ(*store_->RemoveGarbage(8), 8);
  EXPECT_EQ(*store_->RemoveGarbage(8), 5);
  EXPECT_EQ(*store_->RemoveGarbage(8), 0);
}

TEST_P(JobRemovalTest, CheckpointsThatAJobNeedsAreNotForgotten) {
  const std::string running = InsertAndClaim();
  EXPECT_THAT(store_->ForgetCheckpoints(running),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("RUNNING")));
  ASSERT_THAT(store_->Finish(running, 1, {}, kNow), IsOk());
  ASSERT_THAT(store_->Insert({.id = "retry", .spec = Spec(), .retry_of = running}, kNow), IsOk());
  EXPECT_THAT(store_->ForgetCheckpoints(running),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("jobs/retry")));
}

TEST_P(JobRemovalTest, NoJobBeginsWithCheckpointsThatWereForgotten) {
  const std::string old = InsertAndClaim();
  ASSERT_THAT(store_->Finish(old, 1, {}, kNow), IsOk());
  ASSERT_THAT(store_->ForgetCheckpoints(old), IsOk());
  EXPECT_THAT(store_->Insert({.id = "retry", .spec = Spec(), .retry_of = old}, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("from_start")));
}

TEST_P(JobRemovalTest, AJobThatMayStillRunIsNotDeleted) {
  EXPECT_THAT(store_->Delete(InsertAndClaim()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("RUNNING")));
  EXPECT_THAT(store_->Delete(Insert()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("QUEUED")));
}

TEST_P(JobRemovalTest, AJobWhoseRetryHasNotEndedIsNeitherDeletedNorForgotten) {
  const std::string old = Insert();
  ASSERT_THAT(store_->RequestCancel(old, kNow), IsOk());
  const auto retry = store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow);
  ASSERT_THAT(retry, IsOk());
  EXPECT_THAT(store_->Delete(old),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(retry->id)));
  const auto forgotten = store_->DeleteEnded({.ended_since = kNow + absl::Hours(1)}, 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_TRUE(forgotten->empty());
  ASSERT_THAT(store_->RequestCancel(retry->id, kNow), IsOk());
  EXPECT_THAT(store_->Delete(old), IsOk());
  EXPECT_THAT(store_->Insert({.id = jobs::NewId(), .spec = Spec(), .retry_of = old}, kNow),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
}

TEST_P(JobRemovalTest, JobsThatEndedLongAgoAreForgottenAndOthersAreNot) {
  const std::string old = InsertAndClaim(), fresh = InsertAndClaim(), waiting = Insert();
  const Ending ending{.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED};
  ASSERT_THAT(store_->Finish(old, 1, ending, kNow), IsOk());
  ASSERT_THAT(store_->Finish(fresh, 1, ending, kNow + absl::Hours(2)), IsOk());
  const auto forgotten = store_->DeleteEnded({.ended_since = kNow + absl::Hours(1)}, 10);
  ASSERT_THAT(forgotten, IsOk());
  EXPECT_THAT(*forgotten, ::testing::ElementsAre(old));
  EXPECT_THAT(store_->Get(old).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(old)));
  EXPECT_THAT(store_->Get(fresh), IsOk());
  EXPECT_THAT(store_->Get(waiting), IsOk());
}

TEST_P(JobRemovalTest, OfTheEndedJobsTheNewestAreKept) {
  const std::string first = End(0), second = End(1), third = End(2), waiting = Insert();
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 2}, 10), ::testing::ElementsAre(first));
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 2}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteEnded({.at_most = 1}, 10), ::testing::ElementsAre(second));
  EXPECT_THAT(store_->Get(third), IsOk());
  EXPECT_THAT(store_->Get(waiting), IsOk());
}

TEST_P(JobRemovalTest, AStoreThatIsTooLargeForgetsTheOldestAndWaitsUntilItsEventsAreGone) {
  const std::string first = End(0), second = End(1);
  EXPECT_THAT(*store_->DeleteEnded({.bytes = int64_t{1} << 40}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::ElementsAre(first));
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::IsEmpty());
  while (*store_->RemoveGarbage(100) > 0) {
  }
  EXPECT_THAT(*store_->DeleteEnded({.bytes = 1}, 10), ::testing::ElementsAre(second));
}

TEST_P(JobRemovalTest, ModelsAreLimitedByAgeByNumberOfANameAndByBytes) {
  const std::string old = EndWithModel("a", 10, 0), middle = EndWithModel("a", 10, 1),
                    other = EndWithModel("b", 10, 2), fresh = EndWithModel("a", 10, 3);
  EXPECT_THAT(*store_->DeleteModels({}, 10), ::testing::IsEmpty());
  EXPECT_THAT(*store_->DeleteModels({.made_since = kNow + absl::Hours(1)}, 10),
              ::testing::ElementsAre(old));
  EXPECT_THAT(*store_->DeleteModels({.of_a_name = 1}, 10), ::testing::ElementsAre(middle));
  EXPECT_THAT(*store_->DeleteModels({.bytes = 10}, 10), ::testing::ElementsAre(other));
  EXPECT_THAT(store_->GetModel(fresh), IsOk());
}

TEST_P(JobRemovalTest, APinnedModelStaysAndSaysSo) {
  const std::string id = EndWithModel("a", 10, 0);
  EXPECT_TRUE(store_->UpdateModel(id, {.pinned = true})->pinned());
  EXPECT_TRUE(store_->GetModel(id)->pinned());
  const KeepModels nothing{.made_since = kNow + absl::Hours(1), .bytes = 1};
  EXPECT_THAT(*store_->DeleteModels(nothing, 10), ::testing::IsEmpty());
  ASSERT_THAT(store_->UpdateModel(id, {.pinned = false}), IsOk());
  EXPECT_THAT(*store_->DeleteModels(nothing, 10), ::testing::ElementsAre(id));
  EXPECT_THAT(store_->UpdateModel(id, {.pinned = true}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(id)));
}

}  // namespace
}  // namespace hone::server::store
