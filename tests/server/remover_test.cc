#include "server/removal/remover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/store/sqlite_store.h"
#include "tests/server/now.h"
#include "tests/support/status_matchers.h"

namespace hone::server::removal {
namespace {

namespace fs = std::filesystem;
using ::hone::testing::IsOk;

class RemoverTest : public ::testing::Test {
 protected:
  RemoverTest()
      : root_(absl::StrCat(::testing::TempDir(), "/remover-", ::getpid(), "-", counter_++)) {
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
  }
  ~RemoverTest() override {
    writer_.reset();
    store_.reset();
    directory_.reset();
    fs::remove_all(root_);
  }
  // A job with a folder that has ended, with a model.
  std::string EndedJob() {
    const std::string id = jobs::NewId();
    EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) -> absl::Status {
      (void)store.Insert({.id = id}, kNow);
      (void)store.Claim(1, kNow);
      (void)store.DraftModel(id);
      store::Ending ending{.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED};
      ending.model.emplace().set_name(jobs::ModelName(id));
      return store.Finish(id, 1, ending, kNow);
    }),
                IsOk());
    EXPECT_THAT(directory_->PrepareAttempt(id, 1), IsOk());
    fs::create_directories(directory_->ModelDirectory(id));
    return id;
  }
  void Delete(const std::string& id) {
    EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) { return store.Delete(id); }),
                IsOk());
  }
  std::string Run(const std::string& id) const { return root_ + "/runs/" + id; }
  void Await(const std::string& gone) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (fs::exists(gone) && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_FALSE(fs::exists(gone));
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
};

TEST_F(RemoverTest, AForgottenJobLeavesNoFilesAndItsModelStays) {
  Remover remover(*store_, *writer_, *directory_);
  ASSERT_THAT(remover.Start(), IsOk());
  const std::string id = EndedJob(), other = EndedJob();
  Delete(id);
  remover.Wake();
  Await(Run(id));
  EXPECT_TRUE(fs::exists(directory_->ModelDirectory(id)));
  EXPECT_TRUE(fs::exists(Run(other)));
}

// Nor does the store's writer, whom everybody waits for.
TEST_F(RemoverTest, WhoForgetsAJobTouchesNoFile) {
  const std::string id = EndedJob();
  Delete(id);
  EXPECT_TRUE(fs::exists(Run(id)));
}

TEST_F(RemoverTest, WhatAKilledServerForgotAndDidNotRemoveGoesAtTheNextStart) {
  const std::string id = EndedJob();
  Delete(id);
  Remover remover(*store_, *writer_, *directory_);
  ASSERT_THAT(remover.Start(), IsOk());
  Await(Run(id));
}

TEST_F(RemoverTest, AForgottenModelLeavesNoFiles) {
  Remover remover(*store_, *writer_, *directory_);
  const std::string id = EndedJob();
  EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) { return store.DeleteModel(id); }),
              IsOk());
  ASSERT_THAT(remover.RemoveAll(), IsOk());
  EXPECT_FALSE(fs::exists(directory_->ModelDirectory(id)));
  EXPECT_TRUE(fs::exists(Run(id)));
}

TEST_F(RemoverTest, AModelWhoseJobsEndWasNeverStoredIsGoneBeforeAnythingIsPublished) {
  EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) { return store.DraftModel("draft"); }),
              IsOk());
  fs::create_directories(directory_->ModelDirectory("draft"));
  const std::string published = EndedJob();
  Remover remover(*store_, *writer_, *directory_);
  ASSERT_THAT(remover.Start(), IsOk());
  EXPECT_FALSE(fs::exists(directory_->ModelDirectory("draft")));
  EXPECT_TRUE(fs::exists(directory_->ModelDirectory(published)));
}

TEST_F(RemoverTest, ARoundLeavesAModelThatIsBeingPublished) {
  Remover remover(*store_, *writer_, *directory_);
  EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) { return store.DraftModel("draft"); }),
              IsOk());
  fs::create_directories(directory_->ModelDirectory("draft"));
  ASSERT_THAT(remover.RemoveAll(), IsOk());
  EXPECT_TRUE(fs::exists(directory_->ModelDirectory("draft")));
}

}  // namespace
}  // namespace hone::server::removal
