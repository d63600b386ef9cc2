// Names, labels, priorities and pins that change, and what lists find by them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobUpdatesTest : public JobStoreTest {
 protected:
  std::vector<std::string> Found(const ListJobs& what) const {
    std::vector<std::string> ids;
    const auto page = store_->List(what);
    for (const jobs::Job& job : page->items) {
      ids.push_back(job.id);
    }
    return ids;
  }
  std::vector<std::string> Models(const struct ListModels& what) const {
    std::vector<std::string> names;
    const auto page = store_->ListModels(what);
    for (const v1::Model& model : page->items) {
      names.push_back(model.name());
    }
    return names;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, JobUpdatesTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(JobUpdatesTest, AJobIsStoredAsItWasSentAndWithEveryDefault) {
  const jobs::Job job = *store_->Get(Insert());
  EXPECT_EQ(job.spec.SerializeAsString(), Spec().SerializeAsString());
  EXPECT_EQ(job.resolved.training().batch_size(), 32);
}

TEST_P(JobUpdatesTest, ARetryTrainsWhatTheOldJobTrainedWhateverTheDefaultsAreNow) {
  v1::JobSpec resolved = jobs::Resolve(Spec());
  resolved.mutable_training()->set_batch_size(7);  // as an older version had it
  const auto job = store_->Insert({.id = "a", .spec = Spec(), .resolved = resolved}, kNow);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->resolved.training().batch_size(), 7);
}

TEST_P(JobUpdatesTest, AHigherPriorityIsClaimedFirst) {
  Insert();
  const std::string second = Insert();
  ASSERT_THAT(store_->UpdateJob(second, {.priority = 1}), IsOk());
  EXPECT_EQ(store_->Get(second)->queue_position, 1);
  EXPECT_EQ((*store_->Claim(8, kNow))->id, second);
}

TEST_P(JobUpdatesTest, AJobThatHasEndedTakesANameButNoPriority) {
  const std::string id = End(0);
  EXPECT_THAT(store_->UpdateJob(id, {.priority = 1}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("SUCCEEDED")));
  EXPECT_EQ(store_->UpdateJob(id, {.display_name = "best"})->resolved.display_name(), "best");
}

TEST_P(JobUpdatesTest, LabelsAreReplacedAndFound) {
  const std::string id = Insert();
  using Labels = std::map<std::string, std::string>;
  ASSERT_THAT(store_->UpdateJob(id, {.labels = Labels{{"team", "a"}, {"run", "1"}}}), IsOk());
  ASSERT_THAT(store_->UpdateJob(id, {.labels = Labels{{"team", "b"}}}), IsOk());
  EXPECT_THAT(Found({.labels = {"team=b"}}), ElementsAre(id));
  EXPECT_THAT(Found({.labels = {"team=a"}}), IsEmpty());
  EXPECT_THAT(Found({.labels = {"run=1"}}), IsEmpty());
}

TEST_P(JobUpdatesTest, TheRequestOfAChangedJobIsStillTheSameRequest) {
  const std::string id = Insert("once");
  ASSERT_THAT(store_->UpdateJob(id, {.display_name = "other", .priority = 3}), IsOk());
  EXPECT_EQ(Insert("once"), id);
}

TEST_P(JobUpdatesTest, AnUnknownJobIsNotFound) {
  EXPECT_THAT(store_->UpdateJob("nobody", {.priority = 1}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("jobs/nobody")));
}

TEST_P(JobUpdatesTest, TwoChangesOfAModelInOneTransactionBothStay) {
  const std::string id = EndWithModel("a", 10, 0);
  ASSERT_THAT(store_->Commit([&] {
    EXPECT_THAT(store_->UpdateModel(id, {.pinned = true}), IsOk());
    EXPECT_THAT(store_->UpdateModel(id, {.display_name = "b"}), IsOk());
  }),
              IsOk());
  EXPECT_TRUE(store_->GetModel(id)->pinned());
  EXPECT_EQ(store_->GetModel(id)->display_name(), "b");
}

TEST_P(JobUpdatesTest, AModelHasAnIdOfItsOwnAndIsFoundByItsJob) {
  const std::string job = InsertAndClaim();
  const std::string id = store_->Get(job)->makes_model;
  EXPECT_NE(id, job);
  Ending ending = kCompleted;
  ending.model.emplace().set_name(jobs::ModelName(id));
  ending.model->set_task("classification");
  ASSERT_THAT(store_->Finish(job, 1, ending, kNow), IsOk());
  EXPECT_EQ(store_->Get(job)->model_id, id);
  EXPECT_THAT(Models({.job_id = job}), ElementsAre(jobs::ModelName(id)));
  EXPECT_THAT(Models({.job_id = "other"}), IsEmpty());
  EXPECT_THAT(Models({.task = "classification"}), ElementsAre(jobs::ModelName(id)));
  EXPECT_THAT(Models({.task = "regression"}), IsEmpty());
  ASSERT_THAT(store_->DeleteModel(id), IsOk());
  EXPECT_EQ(store_->Get(job)->model_id, "");
}

TEST_P(JobUpdatesTest, ModelsAreFoundByNameAndPin) {
  const std::string a = EndWithModel("a", 10, 0), b = EndWithModel("b", 10, 0);
  ASSERT_THAT(store_->UpdateModel(b, {.pinned = true}), IsOk());
  EXPECT_THAT(Models({.display_name = "a"}), ElementsAre(jobs::ModelName(a)));
  EXPECT_THAT(Models({.pinned = true}), ElementsAre(jobs::ModelName(b)));
  EXPECT_THAT(Models({.pinned = false}), ElementsAre(jobs::ModelName(a)));
}

TEST_P(JobUpdatesTest, TheModelOfAJobThatWasRenamedWhileItRanHasTheNewName) {
  const std::string job = InsertAndClaim();
  ASSERT_THAT(store_->UpdateJob(job, {.display_name = "renamed"}), IsOk());
  Ending ending = kCompleted;
  ending.model.emplace().set_name("models/m");
  ending.model->set_display_name("digits");
  ASSERT_THAT(store_->Finish(job, 1, ending, kNow), IsOk());
  EXPECT_EQ(store_->GetModel("m")->display_name(), "renamed");
}

}  // namespace
}  // namespace hone::server::store
