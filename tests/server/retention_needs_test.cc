// What the limits must leave, and how much they must take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "server/retention/retention.h"
#include "server/store/sqlite_store.h"
#include "tests/server/now.h"
#include "tests/support/status_matchers.h"

namespace hone::server::retention {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

class RetentionNeedsTest : public ::testing::Test {
 protected:
  RetentionNeedsTest()
      : root_(
            absl::StrCat(::testing::TempDir(), "/retention-needs-", ::getpid(), "-", counter_++)) {
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
    remover_ = std::make_unique<removal::Remover>(*store_, *writer_, *directory_);
  }
  ~RetentionNeedsTest() override {
    remover_.reset();
    writer_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  // Ended, with `events` events of a kilobyte each.
  std::string Ended(int events, absl::Time when = kNow) {
    const std::string id = jobs::NewId();
    store::Report report;
    for (int i = 0; i < events; ++i) {
      report.events.emplace_back().mutable_log()->set_text(std::string(1000, 'x'));
    }
    EXPECT_THAT(writer_->RunStatus([&](store::JobStore& store) -> absl::Status {
      (void)store.Insert({.id = id}, kNow);
      (void)store.Claim(1, kNow);
      (void)store.Append(id, 1, report, kNow);
      return store.Finish(id, 1, {.state = jobs::JobState::kFailed, .reason = v1::Job::BAD_DATA},
                          when);
    }),
                IsOk());
    return id;
  }
  std::string Checkpoints(const std::string& id) {
    const std::string folder = *directory_->PrepareAttempt(id, 1) + "/checkpoints/step-7";
    std::filesystem::create_directories(folder);
    return folder;
  }
  void Sweep(const Limits& limits, absl::Duration later) {
    Retention(limits, {}, *store_, *writer_, *directory_, *remover_).Sweep(kNow + later);
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<removal::Remover> remover_;
};

TEST_F(RetentionNeedsTest, CheckpointsThatAWaitingRetryBeginsWithStay) {
  const std::string old = Ended(0);
  const std::string checkpoint = Checkpoints(old);
  ASSERT_THAT(writer_->RunStatus([&](store::JobStore& store) {
    return store.Insert({.id = "retry", .retry_of = old}, kNow).status();
  }),
              IsOk());
  Sweep({}, absl::Hours(24 * 8));
  EXPECT_TRUE(std::filesystem::exists(checkpoint));
}

TEST_F(RetentionNeedsTest, ARetryThatComesAfterTheCheckpointsWereForgottenIsRefused) {
  const std::string old = Ended(0);
  const std::string checkpoint = Checkpoints(old);
  Sweep({}, absl::Hours(24 * 8));
  // The caller looked at the folder before the round.
  EXPECT_THAT(
      writer_->RunStatus([&](store::JobStore& store) {
        return store.Insert({.id = "retry", .retry_of = old}, kNow).status();
      }),
      StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("were removed")));
}

TEST_F(RetentionNeedsTest, OneRoundForgetsAsManyJobsAsTheStoreIsTooLarge) {
  for (int i = 0; i < 8; ++i) {
    Ended(200);
  }
  const std::string newest = Ended(1, kNow + absl::Hours(1));
  Sweep({.store_bytes = 500'000}, absl::ZeroDuration());
  const auto left = store_->List({});
  ASSERT_THAT(left, IsOk());
  EXPECT_LE(left->items.size(), 2u);
  EXPECT_THAT(store_->Get(newest), IsOk());
}

}  // namespace
}  // namespace hone::server::retention
