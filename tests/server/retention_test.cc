#include "server/retention/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "absl/strings/str_cat.h"
#include "server/store/sqlite_store.h"
#include "tests/server/now.h"
#include "tests/support/status_matchers.h"

namespace hone::server::retention {
namespace {

using ::hone::testing::IsOk;
using jobs::JobState;

class RetentionTest : public ::testing::Test {
 protected:
  RetentionTest()
      : root_(absl::StrCat(::testing::TempDir(), "/retention-", ::getpid(), "-", counter_++)) {
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
    remover_ = std::make_unique<removal::Remover>(*store_, *writer_, *directory_);
  }
  ~RetentionTest() override {
    remover_.reset();
    writer_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  // Claimed, with a folder; it has ended if `ended`, and then it has a model.
  std::string Job(bool ended) {
    const std::string id = jobs::NewId();
    EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) -> absl::Status {
      (void)store.Insert({.id = id}, kNow);
      (void)store.Claim(1, kNow);
      if (!ended) {
        return absl::OkStatus();
      }
      store::Ending ending{.state = JobState::kSucceeded, .reason = v1::Job::COMPLETED};
      ending.model.emplace().set_name(jobs::ModelName(id));
      std::filesystem::create_directories(directory_->ModelDirectory(id));
      return store.Finish(id, 1, ending, kNow);
    }),
                IsOk());
    const auto attempt = directory_->PrepareAttempt(id, 1);
    EXPECT_THAT(attempt, IsOk());
    std::filesystem::create_directories(*attempt + "/checkpoints/step-7");
    return id;
  }
  std::vector<std::string> WithCheckpoints() {
    std::vector<std::string> ids = *directory_->Runs();
    std::erase_if(ids, [this](const std::string& id) {
      return *directory_->FindCheckpoints(id) == artifacts::CheckpointFiles::kNone;
    });
    return ids;
  }
  void Sweep(const Limits& limits, absl::Duration later) {
    Retention retention(
        limits, {.model_removed = [this](const std::string& id) { removed_.push_back(id); }},
        *store_, *writer_, *directory_, *remover_);
    retention.Sweep(kNow + later);
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::vector<std::string> removed_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<removal::Remover> remover_;
};

TEST_F(RetentionTest, CheckpointsOfAJobGoAWeekAfterItsEndAndTheJobStays) {
  const std::string ended = Job(true), running = Job(false);
  Sweep({}, absl::Hours(24 * 6));
  EXPECT_THAT(WithCheckpoints(), ::testing::UnorderedElementsAre(ended, running));
  Sweep({}, absl::Hours(24 * 8));
  EXPECT_THAT(WithCheckpoints(), ::testing::ElementsAre(running));
  EXPECT_TRUE(std::filesystem::exists(root_ + "/runs/" + ended + "/attempt-1"));
  EXPECT_THAT(store_->Get(ended), IsOk());
}

TEST_F(RetentionTest, NothingGoesByItsAgeWhileTheClockIsNotBelieved) {
  const std::string ended = Job(true);
  Retention retention(
      {.jobs = absl::Hours(1), .models = absl::Hours(1), .datasets = absl::Hours(1)}, {}, *store_,
      *writer_, *directory_, *remover_);
  retention.Sweep(std::nullopt);
  EXPECT_THAT(WithCheckpoints(), ::testing::ElementsAre(ended));
  EXPECT_THAT(store_->Get(ended), IsOk());
  EXPECT_THAT(store_->GetModel(ended), IsOk());
}

TEST_F(RetentionTest, TheFirstRoundAfterAStartBelievesNoClock) {
  const std::string ended = Job(true);  // years ago
  std::promise<void> round;             // which can be kept once: the next one is in a minute
  Retention retention({.jobs = absl::Hours(1), .models = absl::Hours(1)},
                      {.datasets_removed = [&] { round.set_value(); }}, *store_, *writer_,
                      *directory_, *remover_);
  retention.Start();
  round.get_future().wait();
  EXPECT_THAT(store_->Get(ended), IsOk());
  EXPECT_THAT(store_->GetModel(ended), IsOk());
  EXPECT_THAT(WithCheckpoints(), ::testing::ElementsAre(ended));
}

TEST_F(RetentionTest, AForgottenJobTakesItsFolderAndLeavesItsModel) {
  const std::string ended = Job(true), running = Job(false);
  Sweep({.jobs = absl::Hours(1)}, absl::Hours(2));
  EXPECT_EQ(store_->Get(ended).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/runs/" + ended));
  EXPECT_THAT(store_->GetModel(ended), IsOk());
}

TEST_F(RetentionTest, ARemovedModelTakesItsFilesAndIsTold) {
  const std::string id = Job(true);
  Sweep({.models = absl::Hours(1)}, absl::Hours(2));
  EXPECT_EQ(store_->GetModel(id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(directory_->ModelDirectory(id)));
  EXPECT_THAT(removed_, ::testing::ElementsAre(id));
}

TEST_F(RetentionTest, NothingButOldCheckpointsGoesWithoutLimits) {
  const std::string id = Job(true);
  Sweep({.checkpoints = absl::InfiniteDuration()}, absl::Hours(24 * 10'000));
  EXPECT_THAT(store_->Get(id), IsOk());
  EXPECT_THAT(store_->GetModel(id), IsOk());
  EXPECT_THAT(WithCheckpoints(), ::testing::ElementsAre(id));
}

}  // namespace
}  // namespace hone::server::retention
