// Projects in the store: whose turn it is, what each may have, and what it sees.
#include "server/store/project_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/store/dataset_store.h"
#include "server/store/fair_queue.h"
#include "server/store/sweep_store.h"
#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FairQueue, AnAttemptCountsASecondAtLeastAndAnHourAtMost) {
  EXPECT_EQ(CountedUse(2, absl::ZeroDuration()), 2);
  EXPECT_EQ(CountedUse(2, absl::Seconds(30)), 60);
  EXPECT_EQ(CountedUse(2, absl::Hours(1000)), 7200);
  EXPECT_EQ(CountedUse(1, -absl::Hours(5)), 1) << "the clock was set back";
}

TEST(FairQueue, WhoComesBackIsTakenForOneWhoseTurnIsNow) {
  EXPECT_EQ(TurnOf({.used = 5}, 100), 100);
  EXPECT_EQ(TurnOf({.used = 200}, 100), 200);
}

TEST(FairQueue, AWeightDividesWhatRuns) {
  EXPECT_EQ(TurnOf({.weight = 2, .used = 10, .running = 8}, 0), 14);
  EXPECT_EQ(UsedAfterClaim({.weight = 2, .used = 10, .running = 8}, 100), 96);
}

class ProjectStoreTest : public JobStoreTest {
 protected:
  std::string InsertIn(const std::string& project, int threads = 1, int64_t memory = 0,
                       int priority = 0) {
    NewJob job{.id = absl::StrCat(project, "-", ++number_),
               .project = project,
               .spec = Spec(),
               .threads = threads};
    job.spec.set_priority(priority);
    job.plan.set_peak_memory_bytes(memory);
    const auto inserted = store_->Insert(job, kNow);
    EXPECT_THAT(inserted, IsOk());
    return job.id;
  }
  void Share(const std::string& project, const Shares& shares) {
    EXPECT_THAT(store_->projects().SetShares(
                    project,
                    [&](Shares& changed) {
                      changed = shares;
                      return absl::OkStatus();
                    },
                    kNow),
                IsOk());
  }
  // The project of the job that is claimed; "": none.
  std::string Claim(absl::Time now = kNow, int threads = 64) {
    const auto job = store_->Claim(threads, now);
    EXPECT_THAT(job, IsOk());
    if (!job.ok() || !job->has_value()) {
      return "";
    }
    claimed_ = **job;
    return claimed_.project;
  }
  void End(absl::Time now) {
    EXPECT_THAT(store_->Finish(claimed_.id, claimed_.attempt, kCompleted, now), IsOk());
  }
  // Claims one job after another, each of which runs for so long; their projects.
  std::vector<std::string> Run(int jobs, absl::Duration each) {
    std::vector<std::string> projects;
    for (int i = 0; i < jobs; ++i) {
      projects.push_back(Claim(now_));
      now_ += each;
      if (!projects.back().empty()) {
        End(now_);
      }
    }
    return projects;
  }

  int number_ = 0;
  absl::Time now_ = kNow;
  jobs::Job claimed_;
};

INSTANTIATE_TEST_SUITE_P(Stores, ProjectStoreTest, ::testing::ValuesIn(kStoreBackends),
                         BackendName);

TEST_P(ProjectStoreTest, TheFiveJobsOfOneAreDoneBeforeTheTenthOfAnotherThatHasThousands) {
  ASSERT_THAT(store_->Commit([&] {
    for (int i = 0; i < 5000; ++i) {
      InsertIn("crowd");
    }
  }),
              IsOk());
  Run(3, absl::Seconds(10));  // it has the machine to itself
  for (int i = 0; i < 5; ++i) {
    InsertIn("few");
  }
  const std::vector<std::string> projects = Run(14, absl::Seconds(10));
  EXPECT_EQ(std::count(projects.begin(), projects.end(), "few"), 5);
  EXPECT_EQ(projects.back(), "crowd");
}

TEST_P(ProjectStoreTest, EqualProjectsAreClaimedByTurnsWhileNothingHasEnded) {
  for (const char* const project : {"a", "a", "a", "b", "b", "b"}) {
    InsertIn(project);
  }
  std::vector<std::string> projects;
  for (int i = 0; i < 6; ++i) {
    projects.push_back(Claim());
  }
  EXPECT_THAT(projects, ElementsAre("a", "b", "a", "b", "a", "b"));
}

TEST_P(ProjectStoreTest, TimeIsWhatCountsAndNotTheNumberOfJobs) {
  for (int i = 0; i < 30; ++i) {
    InsertIn("long");
    InsertIn("short");
  }
  int shorts = 0;
  for (int i = 0; i < 22; ++i) {
    const std::string project = Claim(now_);
    now_ += project == "long" ? absl::Minutes(10) : absl::Minutes(1);
    End(now_);
    shorts += project == "short" ? 1 : 0;
  }
  EXPECT_EQ(shorts, 20);
}

TEST_P(ProjectStoreTest, AWeightGivesItsPart) {
  Share("heavy", {.weight = 3});
  for (int i = 0; i < 40; ++i) {
    InsertIn("heavy");
    InsertIn("light");
  }
  const std::vector<std::string> projects = Run(40, absl::Seconds(10));
  EXPECT_NEAR(std::count(projects.begin(), projects.end(), "heavy"), 30, 1);
}

TEST_P(ProjectStoreTest, WhatRunsCountsBeforeItHasEnded) {
  for (int i = 0; i < 9; ++i) {
    InsertIn("a");
  }
  Claim();
  Claim();
  InsertIn("b");
  InsertIn("b");
  // Two jobs of `a` have run for a minute, none of `b`.
  EXPECT_EQ(Claim(kNow + absl::Minutes(1)), "b");
  EXPECT_EQ(Claim(kNow + absl::Minutes(1)), "b");
}

TEST_P(ProjectStoreTest, WhoWasAwayGetsNoMoreThanItsPartWhenItIsBack) {
  for (int i = 0; i < 50; ++i) {
    InsertIn("there");
  }
  Run(20, absl::Minutes(10));
  for (int i = 0; i < 20; ++i) {
    InsertIn("back");
  }
  const std::vector<std::string> projects = Run(10, absl::Minutes(10));
  EXPECT_NEAR(std::count(projects.begin(), projects.end(), "back"), 5, 1);
}

TEST_P(ProjectStoreTest, WhoHadTheMachineAloneDoesNotPayForItForLong) {
  for (int i = 0; i < 5; ++i) {
    InsertIn("alone");
  }
  Run(1, absl::Hours(24 * 30));
  for (int i = 0; i < 100; ++i) {
    InsertIn("new");
  }
  std::vector<std::string> projects = Run(8, absl::Minutes(10));
  EXPECT_GE(std::count(projects.begin(), projects.end(), "alone"), 1);
}

TEST_P(ProjectStoreTest, AccountsAreKeptOverARestart) {
  for (int i = 0; i < 4; ++i) {
    InsertIn("a");
    InsertIn("b");
  }
  EXPECT_THAT(Run(1, absl::Minutes(10)), ElementsAre("a"));
  Open();
  EXPECT_THAT(Run(2, absl::Minutes(10)), ElementsAre("b", "a"));
}

TEST_P(ProjectStoreTest, APriorityCountsWithinItsProject) {
  InsertIn("a", 1, 0, 9);
  InsertIn("a", 1, 0, 9);
  InsertIn("b");
  const std::string urgent = InsertIn("b", 1, 0, 1);
  Claim();
  EXPECT_EQ(Claim(), "b");
  EXPECT_EQ(claimed_.id, urgent);
}

TEST_P(ProjectStoreTest, AProjectThatRunsItsNumberOfJobsWaitsAndOthersPass) {
  Share("a", {.running_jobs = 1});
  const std::string first = InsertIn("a"), second = InsertIn("a");
  InsertIn("b");
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(Claim(), "b");
  EXPECT_EQ(Claim(), "");
  ASSERT_THAT(store_->Finish(first, 1, kCompleted, kNow), IsOk());
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(claimed_.id, second);
}

TEST_P(ProjectStoreTest, AJobWaitsForItsProjectsThreadsAndSmallerOnesOfItDoNotPass) {
  Share("a", {.threads = 4});
  const std::string first = InsertIn("a", 3);
  InsertIn("a", 2);
  InsertIn("a", 1);
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(Claim(), "");
  ASSERT_THAT(store_->Finish(first, 1, kCompleted, kNow), IsOk());
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(claimed_.threads, 2);
}

TEST_P(ProjectStoreTest, AJobWaitsForItsProjectsMemory) {
  Share("a", {.memory_bytes = 100});
  const std::string first = InsertIn("a", 1, 60);
  InsertIn("a", 1, 50);
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(Claim(), "");
  ASSERT_THAT(store_->Finish(first, 1, kCompleted, kNow), IsOk());
  EXPECT_EQ(Claim(), "a");
}

TEST_P(ProjectStoreTest, AJobThatItsProjectCanNeverRunIsPassedByThoseBehindIt) {
  Share("a", {.threads = 2, .memory_bytes = 100});
  InsertIn("a", 3);
  InsertIn("a", 1, 101);
  const std::string fits = InsertIn("a", 2, 100);
  EXPECT_EQ(Claim(), "a");
  EXPECT_EQ(claimed_.id, fits);
}

TEST_P(ProjectStoreTest, AJobThatWaitsForAShareIsToldForWhich) {
  const Project project{.name = "a", .shares = {.running_jobs = 2, .threads = 4}};
  jobs::Job job;
  job.threads = 3;
  EXPECT_EQ(WhyProjectWaits(project, {.running_jobs = 1, .threads = 1}, job), "");
  EXPECT_THAT(WhyProjectWaits(project, {.running_jobs = 2, .threads = 1}, job),
              HasSubstr("2 jobs run of at most 2"));
  EXPECT_THAT(WhyProjectWaits(project, {.running_jobs = 1, .threads = 2}, job),
              HasSubstr("uses 2 of at most 4"));
  job.threads = 5;
  EXPECT_THAT(WhyProjectWaits(project, {}, job), HasSubstr("asks for 5 threads"));
}

TEST_P(ProjectStoreTest, AJobBeyondItsProjectsQueueIsRefusedWithTheNumbersAndOthersAreNot) {
  Share("a", {.queued_jobs = 2});
  InsertIn("a");
  InsertIn("a");
  const absl::Status refused =
      store_->Insert({.id = "third", .project = "a", .spec = Spec()}, kNow).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted,
                                HasSubstr("the project a has 2 of at most 2 jobs in the queue")));
  EXPECT_EQ(jobs::ReasonOf(refused), jobs::reason::kQuotaExceeded);
  EXPECT_TRUE(refused.GetPayload(jobs::kRetryInfoUrl).has_value());
  EXPECT_THAT(store_->projects().HasRoomForJob("a"),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
  InsertIn("b");
}

TEST_P(ProjectStoreTest, AProjectFullOfModelsOrCheckpointsGetsNoJobs) {
  InsertIn("a");
  ASSERT_EQ(Claim(), "a");
  Report report;
  report.events.emplace_back().mutable_checkpoint()->set_bytes(70);
  report.events.back().mutable_checkpoint()->set_step(1);
  ASSERT_THAT(store_->Append(claimed_.id, 1, report, kNow), IsOk());
  Ending ending = kCompleted;
  ending.model.emplace().set_name("models/m");
  ending.model->set_bytes(50);
  ASSERT_THAT(store_->Finish(claimed_.id, 1, ending, kNow), IsOk());
  const ProjectUse use = *store_->projects().Use("a");
  EXPECT_EQ(use.checkpoint_bytes, 70);
  EXPECT_EQ(use.model_bytes, 50);
  Share("a", {.model_bytes = 50});
  EXPECT_THAT(store_->projects().HasRoomForJob("a"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("50 of at most 50 bytes")));
  EXPECT_THAT(store_->projects().HasRoomForModel("a"),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
  Share("a", {.checkpoint_bytes = 70});
  EXPECT_THAT(store_->projects().HasRoomForJob("a"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("checkpoints")));
  ASSERT_THAT(store_->ForgetCheckpoints(claimed_.id), IsOk());
  EXPECT_THAT(store_->projects().HasRoomForJob("a"), IsOk());
}

Upload Uploading(const std::string& project, const std::string& name, char digit = 'a') {
  return {.id = jobs::NewId(),
          .name = name,
          .bytes = {.format = v1::Dataset::CSV, .bytes = 100, .sha256 = std::string(64, digit)},
          .project = project};
}

TEST_P(ProjectStoreTest, DataBeyondAProjectsShareIsRefusedAndItsOwnCopiesAreNot) {
  Share("a", {.dataset_bytes = 150});
  const auto begun = store_->datasets().BeginUpload(Uploading("a", "one"), 1 << 20, kNow);
  ASSERT_THAT(begun, IsOk());
  ASSERT_THAT(store_->datasets().FinishUpload(begun->upload.id, kNow), IsOk());
  EXPECT_THAT(
      store_->datasets().BeginUpload(Uploading("a", "two", 'b'), 1 << 20, kNow).status(),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("100 of at most 150 bytes")));
  EXPECT_THAT(store_->datasets().BeginUpload(Uploading("a", "copy"), 1 << 20, kNow), IsOk());
}

TEST_P(ProjectStoreTest, NobodyGetsAnothersBytesForTheirSha256) {
  const auto begun = store_->datasets().BeginUpload(Uploading("a", "one"), 1 << 20, kNow);
  ASSERT_THAT(store_->datasets().FinishUpload(begun->upload.id, kNow), IsOk());
  const auto other = store_->datasets().BeginUpload(Uploading("b", "one"), 1 << 20, kNow);
  ASSERT_THAT(other, IsOk());
  EXPECT_FALSE(other->dataset.has_value()) << "all of it is to be sent";
  EXPECT_NE(other->upload.id, begun->upload.id);
}

TEST_P(ProjectStoreTest, TheSameNameInTwoProjectsIsTwoDataSets) {
  for (const auto& [project, digit] : {std::pair("a", 'a'), std::pair("b", 'b')}) {
    const auto begun =
        store_->datasets().BeginUpload(Uploading(project, "one", digit), 1 << 20, kNow);
    ASSERT_THAT(begun, IsOk());
    ASSERT_THAT(store_->datasets().FinishUpload(begun->upload.id, kNow), IsOk());
  }
  EXPECT_EQ(store_->datasets().Get("a", "one")->bytes.sha256[0], 'a');
  EXPECT_EQ(store_->datasets().Get("b", "one")->bytes.sha256[0], 'b');
  ASSERT_THAT(store_->datasets().Delete("a", "one", false), IsOk());
  EXPECT_THAT(store_->datasets().Get("b", "one"), IsOk());
  EXPECT_EQ(store_->datasets().List({.project = "a"})->items.size(), 0U);
  EXPECT_EQ(store_->datasets().List({.project = "b"})->items.size(), 1U);
}

TEST_P(ProjectStoreTest, AJobUsesTheDataSetOfItsProject) {
  for (const auto& [project, digit] : {std::pair("a", 'a'), std::pair("b", 'b')}) {
    const auto begun =
        store_->datasets().BeginUpload(Uploading(project, "one", digit), 1 << 20, kNow);
    ASSERT_THAT(store_->datasets().FinishUpload(begun->upload.id, kNow), IsOk());
  }
  const std::string job = InsertIn("b");
  ASSERT_THAT(store_->datasets().Use(job, "one"), IsOk());
  EXPECT_EQ((*store_->datasets().OfJob(job))->bytes.sha256[0], 'b');
  EXPECT_EQ(store_->Get(job)->dataset_sha256[0], 'b');
}

TEST_P(ProjectStoreTest, ARequestIdIsOfItsProject) {
  const auto insert = [&](const std::string& project) {
    return store_
        ->Insert({.id = jobs::NewId(), .project = project, .spec = Spec(), .request_id = "once"},
                 kNow)
        ->id;
  };
  const std::string one = insert("a");
  EXPECT_EQ(insert("a"), one);
  EXPECT_NE(insert("b"), one);
  EXPECT_EQ((*store_->FindRequest("a", "once"))->id, one);
  EXPECT_EQ(*store_->FindRequest("c", "once"), std::nullopt);
}

TEST_P(ProjectStoreTest, AJobBeginsWithNothingOfAnotherProject) {
  const std::string old = InsertIn("a");
  ASSERT_EQ(Claim(), "a");
  Ending ending = kCompleted;
  ending.model.emplace().set_name("models/m");
  ASSERT_THAT(store_->Finish(old, 1, ending, kNow), IsOk());
  NewJob job{.id = "other", .project = "b", .spec = Spec()};
  job.retry_of = old;
  EXPECT_THAT(store_->Insert(job, kNow).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is no job")));
  job.retry_of = "";
  job.spec.mutable_model()->mutable_pretrained()->set_model("models/m");
  EXPECT_THAT(store_->Insert(job, kNow).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is no model")));
  job.project = "a";
  EXPECT_THAT(store_->Insert(job, kNow), IsOk());
}

TEST_P(ProjectStoreTest, ListsHaveWhatIsOfOneProject) {
  const std::string a = InsertIn("a"), b = InsertIn("b");
  v1::Model model;
  model.set_name("models/m");
  model.set_project("a");
  ASSERT_THAT(store_->AddModel(model), IsOk());
  NewSweep sweep;
  sweep.sweep.set_name("sweeps/s");
  sweep.sweep.set_project("a");
  sweep.sweep.set_state(v1::Sweep::RUNNING);
  ASSERT_THAT(store_->sweeps().Insert(sweep), IsOk());
  const auto jobs = store_->List({.project = "b"});
  ASSERT_EQ(jobs->items.size(), 1U);
  EXPECT_EQ(jobs->items[0].id, b);
  EXPECT_EQ(store_->List({.project = "b", .states = {JobState::kQueued}})->items.size(), 1U);
  EXPECT_EQ(store_->List({.project = "c", .states = {JobState::kQueued}})->items.size(), 0U);
  EXPECT_EQ(store_->List({.project = ""})->items.size(), 2U);
  EXPECT_EQ(store_->ListModels({.project = "a"})->items.size(), 1U);
  EXPECT_EQ(store_->ListModels({.project = "a"})->items[0].project(), "a");
  EXPECT_EQ(store_->ListModels({.project = "b"})->items.size(), 0U);
  EXPECT_EQ(store_->sweeps().List({.project = "a"})->items.size(), 1U);
  EXPECT_EQ(store_->sweeps().List({.project = "b"})->items.size(), 0U);
  EXPECT_EQ(*store_->ProjectOfJob(a), "a");
  EXPECT_EQ(*store_->ProjectOfModel("m"), "a");
  EXPECT_EQ(*store_->sweeps().ProjectOf("s"), "a");
}

TEST_P(ProjectStoreTest, AJobsPlaceInTheQueueIsThatInItsProject) {
  for (int i = 0; i < 3; ++i) {
    InsertIn("a");
  }
  const std::string first = InsertIn("b"), second = InsertIn("b");
  EXPECT_EQ(store_->Get(first)->queue_position, 1);
  EXPECT_EQ(store_->Get(second)->queue_position, 2);
  EXPECT_EQ(store_->List({.project = "b"})->items[0].queue_position, 2);
  EXPECT_DOUBLE_EQ(*store_->projects().PartOf("b"), 0.5);
  Share("a", {.weight = 3});
  EXPECT_DOUBLE_EQ(*store_->projects().PartOf("b"), 0.25);
  EXPECT_DOUBLE_EQ(*store_->projects().PartOf("c"), 0.2);
}

TEST_P(ProjectStoreTest, KeptModelsOfANameAreThoseOfAProject) {
  for (const char* const project : {"a", "a", "b"}) {
    v1::Model model;
    model.set_name(jobs::ModelName(jobs::NewId()));
    model.set_project(project);
    model.set_display_name("digits");
    ASSERT_THAT(store_->AddModel(model), IsOk());
  }
  EXPECT_EQ(store_->DeleteModels({.of_a_name = 1}, 10)->size(), 1U);
  EXPECT_EQ(store_->ListModels({.project = "b"})->items.size(), 1U);
}

TEST_P(ProjectStoreTest, AProjectWithoutThingsAndSharesMakesRoomForOthers) {
  Share("kept", {.weight = 2});
  for (int i = 2; i < ProjectStore::kMost; ++i) {
    ASSERT_THAT(store_->projects().Ensure(absl::StrCat("p", i), kNow), IsOk());
  }
  EXPECT_EQ(store_->projects().All()->size(), static_cast<size_t>(ProjectStore::kMost));
  InsertIn("new");
  EXPECT_EQ(store_->projects().All()->size(), 3U) << "default, kept and new";
  EXPECT_EQ(Claim(), "new");
}

TEST_P(ProjectStoreTest, ThereAreNoMoreProjectsThanThereMayBe) {
  for (int i = 1; i < ProjectStore::kMost; ++i) {
    Share(absl::StrCat("p", i), {.weight = 2});
  }
  EXPECT_THAT(store_->Insert({.id = "x", .project = "one-more", .spec = Spec()}, kNow).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 1000")));
}

TEST_P(ProjectStoreTest, SharesAreKeptOverARestart) {
  const Shares shares{.queued_jobs = 1,
                      .running_jobs = 2,
                      .threads = 3,
                      .memory_bytes = 4,
                      .dataset_bytes = 5,
                      .model_bytes = 6,
                      .checkpoint_bytes = 7,
                      .calls_per_second = 8.5,
                      .weight = 9.5};
  Share("a", shares);
  Open();
  EXPECT_EQ(store_->projects().Get("a")->shares, shares);
  EXPECT_EQ(store_->projects().Get("none")->shares, Shares());
}

TEST_P(ProjectStoreTest, OnlyWhatCanBeANameIsAProject) {
  EXPECT_THAT(store_->Insert({.id = "x", .project = "a b", .spec = Spec()}, kNow).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("project")));
  EXPECT_THAT(ProjectOfName("projects/a/b").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  EXPECT_EQ(*ProjectOfName("projects/a"), "a");
}

}  // namespace
}  // namespace hone::server::store
