// What every DatasetStore must do.
#include "server/store/dataset_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/now.h"
#include "tests/server/store_backend.h"
#include "tests/support/status_matchers.h"

namespace hone::server::store {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kQuota = 1000;

Upload Uploading(const std::string& name, char digit = 'a', int64_t bytes = 100) {
  return {.id = jobs::NewId(),
          .name = name,
          .bytes = {.format = v1::Dataset::CSV, .bytes = bytes, .sha256 = std::string(64, digit)}};
}

class DatasetStoreTest : public StoreConformance {
 protected:
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
};

INSTANTIATE_TEST_SUITE_P(Stores, DatasetStoreTest, ::testing::ValuesIn(kStoreBackends),
                         BackendName);

TEST_P(DatasetStoreTest, AnUploadIsFoundAgainByItsNameAndBytesAfterAReopening) {
  const auto first = datasets().BeginUpload(Uploading("one"), kQuota, kNow);
  ASSERT_THAT(first, IsOk());
  Open();
  const auto again = datasets().BeginUpload(Uploading("one"), kQuota, kNow);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->upload.id, first->upload.id);
}

TEST_P(DatasetStoreTest, AFinishedUploadIsADataSetAndNoUpload) {
  Add("one");
  const auto dataset = datasets().Get(jobs::kDefaultProject, "one");
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->bytes.sha256, std::string(64, 'a'));
  EXPECT_EQ(dataset->create_time, kNow);
  EXPECT_THAT(*datasets().AllUploads(), ::testing::IsEmpty());
}

TEST_P(DatasetStoreTest, ANameKeepsItsBytes) {
  Add("one", 'a');
  EXPECT_THAT(datasets().BeginUpload(Uploading("one", 'b'), kQuota, kNow).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("datasets/one")));
}

TEST_P(DatasetStoreTest, OfTwoUploadsForOneNameTheFirstThatIsWholeGetsIt) {
  const auto slow = datasets().BeginUpload(Uploading("one", 'b'), kQuota, kNow);
  ASSERT_THAT(slow, IsOk());
  Add("one", 'a');
  EXPECT_THAT(datasets().FinishUpload(slow->upload.id, kNow).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("datasets/one")));
}

TEST_P(DatasetStoreTest, KnownBytesUnderANewNameAreADataSetAtOnceAndCountOnce) {
  Add("one");
  const auto begun = datasets().BeginUpload(Uploading("two"), 100, kNow);
  ASSERT_THAT(begun, IsOk());
  EXPECT_TRUE(begun->dataset.has_value());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::SizeIs(1));
}

TEST_P(DatasetStoreTest, TheQuotaCountsDataSetsAndUploads) {
  Add("one");
  ASSERT_THAT(datasets().BeginUpload(Uploading("two", 'b'), 200, kNow), IsOk());
  EXPECT_THAT(datasets().BeginUpload(Uploading("three", 'c'), 299, kNow).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("200 of at most 299")));
}

TEST_P(DatasetStoreTest, AnAbandonedUploadIsDroppedAndATouchedOneIsNot) {
  ASSERT_THAT(datasets().BeginUpload(Uploading("old", 'a'), kQuota, kNow), IsOk());
  ASSERT_THAT(datasets().BeginUpload(Uploading("new", 'b'), kQuota, kNow + absl::Hours(1)), IsOk());
  ASSERT_THAT(datasets().DropUploadsBefore(kNow + absl::Minutes(1)), IsOk());
  EXPECT_THAT(*datasets().AllUploads(), ::testing::SizeIs(1));
}

TEST_P(DatasetStoreTest, WhatAQueuedJobNeedsIsNotDeleted) {
  Add("one");
  const std::string job = AddJob("one");
  EXPECT_THAT(datasets().Delete(jobs::kDefaultProject, "one", false),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("jobs/" + job)));
}

TEST_P(DatasetStoreTest, WhatAnEndedJobNeededIsDeleted) {
  Add("one");
  ASSERT_THAT(store_->RequestCancel(AddJob("one"), kNow), IsOk());
  EXPECT_THAT(datasets().Delete(jobs::kDefaultProject, "one", false), IsOk());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::IsEmpty());
}

TEST_P(DatasetStoreTest, ByForceTheNameGoesAndTheBytesStayUntilTheJobHasEnded) {
  Add("one");
  const std::string job = AddJob("one");
  ASSERT_THAT(datasets().Delete(jobs::kDefaultProject, "one", true), IsOk());
  ASSERT_THAT(datasets().DropUnused(), IsOk());
  EXPECT_THAT(datasets().Get(jobs::kDefaultProject, "one").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("datasets/one")));
  const auto used = datasets().OfJob(job);
  ASSERT_THAT(used, IsOk());
  EXPECT_TRUE(used->has_value());
  ASSERT_THAT(store_->RequestCancel(job, kNow), IsOk());
  ASSERT_THAT(datasets().DropUnused(), IsOk());
  EXPECT_THAT(*datasets().AllBytes(), ::testing::IsEmpty());
}

TEST_P(DatasetStoreTest, AJobKeepsItsDataSetWhenTheNameGoesToOtherBytes) {
  Add("one", 'a');
  const std::string job = AddJob("one");
  ASSERT_THAT(datasets().Delete(jobs::kDefaultProject, "one", true), IsOk());
  Add("one", 'b');
  EXPECT_EQ((*datasets().OfJob(job))->bytes.sha256, std::string(64, 'a'));
}

TEST_P(DatasetStoreTest, ACheckSeesADeletionOfTheSameTransaction) {
  Add("one");
  absl::Status checked;
  ASSERT_THAT(store_->Commit([&] {
    ASSERT_THAT(datasets().Delete(jobs::kDefaultProject, "one", false), IsOk());
    checked = datasets().Check(jobs::kDefaultProject, "one");
  }),
              IsOk());
  EXPECT_THAT(checked, StatusIs(absl::StatusCode::kNotFound, HasSubstr("datasets/one")));
}

TEST_P(DatasetStoreTest, WhatNoJobNeededForLongIsForgotten) {
  Add("unused");
  Add("needed", 'b');
  AddJob("needed");
  ASSERT_THAT(datasets().DropUnusedSince(kNow), IsOk());
  EXPECT_THAT(datasets().Get(jobs::kDefaultProject, "unused"), IsOk());
  ASSERT_THAT(datasets().DropUnusedSince(kNow + absl::Hours(1)), IsOk());
  EXPECT_THAT(datasets().Get(jobs::kDefaultProject, "unused").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("unused")));
  EXPECT_THAT(datasets().Get(jobs::kDefaultProject, "needed"), IsOk());
}

v1::DatasetValidation Validation(size_t bytes = 10) {
  v1::DatasetValidation validation;
  validation.set_message(std::string(bytes, 'x'));
  return validation;
}

TEST_P(DatasetStoreTest, AValidationIsOfANameWithItsBytesAndTheNewestCounts) {
  Add("one");
  Add("two");
  const Dataset one = *datasets().Get(jobs::kDefaultProject, "one"),
                two = *datasets().Get(jobs::kDefaultProject, "two");
  ASSERT_THAT(datasets().SaveValidation(one, Validation(10)), IsOk());
  ASSERT_THAT(datasets().SaveValidation(one, Validation(20)), IsOk());
  Open();
  EXPECT_EQ((*datasets().FindValidation(one))->message().size(), 20u);
  EXPECT_FALSE(datasets().FindValidation(two)->has_value());
}

TEST_P(DatasetStoreTest, AValidationOfADataSetThatIsGoneIsNotKept) {
  Add("one");
  const Dataset one = *datasets().Get(jobs::kDefaultProject, "one");
  ASSERT_THAT(datasets().SaveValidation(one, Validation()), IsOk());
  ASSERT_THAT(datasets().Delete(jobs::kDefaultProject, "one", false), IsOk());
  EXPECT_FALSE(datasets().FindValidation(one)->has_value());
  ASSERT_THAT(datasets().SaveValidation(one, Validation()), IsOk());
  EXPECT_FALSE(datasets().FindValidation(one)->has_value());
}

TEST_P(DatasetStoreTest, TheOldestValidationsGoWhereThereIsNoRoomInBytes) {
  Add("one");
  Add("two");
  Add("three");
  const Dataset one = *datasets().Get(jobs::kDefaultProject, "one"),
                two = *datasets().Get(jobs::kDefaultProject, "two"),
                three = *datasets().Get(jobs::kDefaultProject, "three");
  constexpr size_t kHalf = DatasetStore::kMostValidationBytes / 2;
  ASSERT_THAT(datasets().SaveValidation(one, Validation(kHalf - 100)), IsOk());
  ASSERT_THAT(datasets().SaveValidation(two, Validation(kHalf - 100)), IsOk());
  EXPECT_TRUE(datasets().FindValidation(one)->has_value());
  ASSERT_THAT(datasets().SaveValidation(three, Validation(1000)), IsOk());
  EXPECT_FALSE(datasets().FindValidation(one)->has_value());
  EXPECT_TRUE(datasets().FindValidation(two)->has_value());
}

}  // namespace
}  // namespace hone::server::store
