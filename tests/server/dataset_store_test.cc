// What every DatasetStore must do.
#include "server/store/dataset_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "server/store/schema.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr int64_t kQuota = 1000;

Upload Uploading(const std::string& name, char digit = 'a', int64_t bytes = 100) {
  return {.id = jobs::NewId(),
          .name = name,
          .bytes = {.format = v1::CSV, .bytes = bytes, .sha256 = std::string(64, digit)}};
}

class DatasetStoreTest : public ::testing::Test {
 protected:
  DatasetStoreTest()
      : path_(
            absl::StrCat(::testing::TempDir(), "/datasets-", ::getpid(), "-", counter_++, ".db")) {}
  ~DatasetStoreTest() override {
    store_.reset();
    for (const char* tail : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_ + tail);
    }
  }
  void SetUp() override { Open(); }
  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<JobStore>> opened = OpenSqliteStore(path_);
    ASSERT_THAT(opened, IsOk());
    store_ = std::move(*opened);
  }
  DatasetStore& datasets() { return store_->datasets(); }
  void Add(const std::string& name, char digit = 'a') {
    const absl::StatusOr<Begun> begun =
        datasets().BeginUpload(Uploading(name, digit), kQuota, kNow);
    ASSERT_THAT(begun, IsOk());
    if (!begun->dataset.has_value()) {
      ASSERT_THAT(datasets().FinishUpload(begun->upload.id, kNow), IsOk());
    }
  }
  std::string AddJob(const std::string& dataset) {
    const auto job = store_->Insert({.id = jobs::NewId()}, kNow);
    EXPECT_THAT(job, IsOk());
    EXPECT_THAT(datasets().Use(job->id, dataset), IsOk());
    return job->id;
  }

  static inline int counter_ = 0;
  const std::string path_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(DatasetStoreTest, AnUploadIsFoundAgainByItsNameAndBytesAfterAReopening) {
  const auto first = datasets().BeginUpload(Uploading("one"), kQuota, kNow);
  ASSERT_THAT(first, IsOk());
  Open();
  const auto again = datasets().BeginUpload(Uploading("one"), kQuota, kNow);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->upload.id, first->upload.id);
}

TEST_F(DatasetStoreTest, AFinishedUploadIsADataSetAndNoUpload) {
  Add("one");
  const auto dataset = datasets().Get("one");
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->bytes.sha256, std::string(64, 'a'));
  EXPECT_EQ(dataset->create_time, kNow);
  EXPECT_THAT(*datasets().AllUploads(), ::testing::IsEmpty());
}

TEST_F(DatasetStoreTest, ANameKeepsItsBytes) {
  Add("one", 'a');
  EXPECT_THAT(datasets().BeginUpload(Uploading("one", 'b'), kQuota, kNow).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("datasets/one")));
}

TEST_F(DatasetStoreTest, OfTwoUploadsForOneNameTheFirstThatIsWholeGetsIt) {
  const auto slow = datasets().BeginUpload(Uploading("one", 'b'), kQuota, kNow);
  ASSERT_THAT(slow, IsOk());
  Add("one", 'a');
  EXPECT_THAT(datasets().FinishUpload(slow->upload.id, kNow).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("datasets/one")));
}

TEST_F(DatasetStoreTest, KnownBytesUnderANewNameAreADataSetAtOnceAndCountOnce) {
  Add("one");
  const auto begun = datasets().BeginUpload(Uploading("two"), 100, kNow);
  ASSERT_THAT(begun, IsOk());
  EXPECT_TRUE(begun->dataset.has_value());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::SizeIs(1));
}

TEST_F(DatasetStoreTest, TheQuotaCountsDataSetsAndUploads) {
  Add("one");
  ASSERT_THAT(datasets().BeginUpload(Uploading("two", 'b'), 200, kNow), IsOk());
  EXPECT_THAT(datasets().BeginUpload(Uploading("three", 'c'), 299, kNow).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("200 of at most 299")));
}

TEST_F(DatasetStoreTest, AnAbandonedUploadIsDroppedAndATouchedOneIsNot) {
  ASSERT_THAT(datasets().BeginUpload(Uploading("old", 'a'), kQuota, kNow), IsOk());
  ASSERT_THAT(datasets().BeginUpload(Uploading("new", 'b'), kQuota, kNow + absl::Hours(1)), IsOk());
  ASSERT_THAT(datasets().DropUploadsBefore(kNow + absl::Minutes(1)), IsOk());
  EXPECT_THAT(*datasets().AllUploads(), ::testing::SizeIs(1));
}

TEST_F(DatasetStoreTest, WhatAQueuedJobNeedsIsNotDeleted) {
  Add("one");
  const std::string job = AddJob("one");
  EXPECT_THAT(datasets().Delete("one", false),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("jobs/" + job)));
}

TEST_F(DatasetStoreTest, WhatAnEndedJobNeededIsDeleted) {
  Add("one");
  ASSERT_THAT(store_->RequestCancel(AddJob("one"), kNow), IsOk());
  EXPECT_THAT(datasets().Delete("one", false), IsOk());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::IsEmpty());
}

TEST_F(DatasetStoreTest, ByForceTheNameGoesAndTheBytesStayUntilTheJobHasEnded) {
  Add("one");
  const std::string job = AddJob("one");
  ASSERT_THAT(datasets().Delete("one", true), IsOk());
  ASSERT_THAT(datasets().DropUnused(), IsOk());
  EXPECT_THAT(datasets().Get("one").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("datasets/one")));
  const auto used = datasets().OfJob(job);
  ASSERT_THAT(used, IsOk());
  EXPECT_TRUE(used->has_value());
  ASSERT_THAT(store_->RequestCancel(job, kNow), IsOk());
  ASSERT_THAT(datasets().DropUnused(), IsOk());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::IsEmpty());
}

TEST_F(DatasetStoreTest, AJobKeepsItsDataSetWhenTheNameGoesToOtherBytes) {
  Add("one", 'a');
  const std::string job = AddJob("one");
  ASSERT_THAT(datasets().Delete("one", true), IsOk());
  Add("one", 'b');
  EXPECT_EQ((*datasets().OfJob(job))->bytes.sha256, std::string(64, 'a'));
}

TEST_F(DatasetStoreTest, ACheckSeesADeletionOfTheSameTransaction) {
  Add("one");
  absl::Status checked;
  ASSERT_THAT(store_->Commit([&] {
    ASSERT_THAT(datasets().Delete("one", false), IsOk());
    checked = datasets().Check("one");
  }),
              IsOk());
  EXPECT_THAT(checked, StatusIs(absl::StatusCode::kNotFound, HasSubstr("datasets/one")));
}

TEST(DatasetStoreMigration, AStoreOfTheFirstSchemaGetsTheTablesAndKeepsItsGeneration) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/migration-", ::getpid(), ".db");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const std::string first = absl::StrCat(
      kSchema0001, "INSERT INTO meta VALUES ('generation', 'old'); PRAGMA user_version = 1;");
  ASSERT_EQ(sqlite3_exec(db, first.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  {
    const auto store = OpenSqliteStore(path);
    ASSERT_THAT(store, IsOk());
    EXPECT_EQ((*store)->generation(), "old");
    EXPECT_THAT((*store)->datasets().List(1, 0), IsOk());
  }
  for (const char* tail : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path + tail);
  }
}

}  // namespace
}  // namespace hone::server::store
