// A store whose disk or rows fail it.
#include "tests/server/now.h"
#include "tests/server/sqlite_faults.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "server/store/dataset_store.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

class SqliteFaultsTest : public ::testing::Test {
 protected:
  SqliteFaultsTest()
      : path_(absl::StrCat(::testing::TempDir(), "/faults-", ::getpid(), "-", counter_++, ".db")) {
    auto opened = OpenSqliteStore(path_);
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
  }
  ~SqliteFaultsTest() override {
    store_.reset();
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_ + tail);
    }
  }
  std::string Insert() {
    const auto job = store_->Insert({.id = jobs::NewId()}, kNow);
    return job.ok() ? job->id : "";
  }
  // One batch: what SQLite has no room for and rolls back with everything, then `after`.
  absl::Status CommitAfterAFullDisk(const std::function<void()>& after) {
    const std::string running = Insert();
    EXPECT_THAT(store_->Claim(1, kNow), IsOk());
    v1::Event big;
    big.mutable_log()->set_text(std::string(1 << 20, 'x'));
    EXPECT_EQ(
        sqlite3_exec(connections_.writer(), "PRAGMA max_page_count = 1", nullptr, nullptr, nullptr),
        SQLITE_OK);
    return store_
        ->Commit([&] {
          EXPECT_THAT(store_->Append(running, 1, {.events = {big}}, kNow),
                      StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
          after();
        })
        .status();
  }

  static inline int counter_ = 0;
  const std::string path_;
  OpenedConnections connections_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(SqliteFaultsTest, WhatComesAfterAFullDiskInItsBatchIsNotStored) {
  std::string id;
  EXPECT_FALSE(CommitAfterAFullDisk([&] { id = Insert(); }).ok());
  EXPECT_EQ(store_->List({})->items.size(), 1u);
}

// Which is no more than one statement.
TEST_F(SqliteFaultsTest, AnUploadAfterAFullDiskInItsBatchIsNotStored) {
  const Upload upload{
      .id = "u", .name = "digits", .bytes = {.bytes = 7, .sha256 = std::string(64, 'a')}};
  EXPECT_FALSE(CommitAfterAFullDisk([&] {
                 (void)store_->datasets().BeginUpload(upload, 1 << 20, kNow);
               }).ok());
  EXPECT_TRUE(store_->datasets().AllUploads()->empty());
}

TEST_F(SqliteFaultsTest, ABatchThatAFullDiskEndedSaysThatTheDiskIsFull) {
  EXPECT_THAT(CommitAfterAFullDisk([&] { Insert(); }),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("full")));
}

TEST_F(SqliteFaultsTest, TheBatchAfterOneThatFailedIsStored) {
  EXPECT_FALSE(CommitAfterAFullDisk([] {}).ok());
  EXPECT_THAT(store_->Commit([&] { Insert(); }), IsOk());
  EXPECT_EQ(store_->List({})->items.size(), 2u);
}

TEST_F(SqliteFaultsTest, AReadThatFindsDamageLeavesNoOldViewBehind) {
  const std::string damaged = Insert();
  OtherConnection(path_).Run("UPDATE event SET payload = x'ffff'");
  EXPECT_THAT(store_->ReadEvents(damaged, 0, 10, int64_t{1} << 40),
              StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
  EXPECT_THAT(store_->Get(Insert()), IsOk());
}

}  // namespace
}  // namespace hone::server::store
