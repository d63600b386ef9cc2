#include "server/jobs/reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hone::server::jobs {
namespace {

// Programs of clients compare with these texts. Whoever adds a reason adds it here.
TEST(Reason, NoneHasAnotherTextThanClientsKnow) {
  EXPECT_STREQ(reason::kInvalidField, "INVALID_FIELD");
  EXPECT_STREQ(reason::kInvalidName, "INVALID_NAME");
  EXPECT_STREQ(reason::kInvalidPageToken, "INVALID_PAGE_TOKEN");
  EXPECT_STREQ(reason::kJobNotFound, "JOB_NOT_FOUND");
  EXPECT_STREQ(reason::kModelNotFound, "MODEL_NOT_FOUND");
  EXPECT_STREQ(reason::kDatasetNotFound, "DATASET_NOT_FOUND");
  EXPECT_STREQ(reason::kArtifactNotFound, "ARTIFACT_NOT_FOUND");
  EXPECT_STREQ(reason::kValidationNotFound, "VALIDATION_NOT_FOUND");
  EXPECT_STREQ(reason::kSweepNotFound, "SWEEP_NOT_FOUND");
  EXPECT_STREQ(reason::kSweepState, "SWEEP_STATE");
  EXPECT_STREQ(reason::kJobState, "JOB_STATE");
  EXPECT_STREQ(reason::kJobInUse, "JOB_IN_USE");
  EXPECT_STREQ(reason::kModelInUse, "MODEL_IN_USE");
  EXPECT_STREQ(reason::kDatasetInUse, "DATASET_IN_USE");
  EXPECT_STREQ(reason::kCheckpointsGone, "CHECKPOINTS_GONE");
  EXPECT_STREQ(reason::kDatasetChanged, "DATASET_CHANGED");
  EXPECT_STREQ(reason::kRequestIdReused, "REQUEST_ID_REUSED");
  EXPECT_STREQ(reason::kDatasetExists, "DATASET_EXISTS");
  EXPECT_STREQ(reason::kQueueFull, "QUEUE_FULL");
  EXPECT_STREQ(reason::kDiskFull, "DISK_FULL");
  EXPECT_STREQ(reason::kQuotaExceeded, "QUOTA_EXCEEDED");
  EXPECT_STREQ(reason::kImportUnderWay, "IMPORT_UNDER_WAY");
  EXPECT_STREQ(reason::kTooMuchMemory, "TOO_MUCH_MEMORY");
  EXPECT_STREQ(reason::kTokenRefused, "TOKEN_REFUSED");
}

TEST(Reason, OfTheDomainThatClientsKnow) { EXPECT_STREQ(kErrorDomain, "hone"); }

TEST(Reason, TheFirstOneOfAnErrorStays) {
  const absl::Status status = WithReason(
      WithReason(absl::NotFoundError("gone"), reason::kJobNotFound), reason::kModelNotFound);
  EXPECT_EQ(ReasonOf(status), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace hone::server::jobs
