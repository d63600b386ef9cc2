#include "server/worker/failure.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "engine/base/files.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "server/worker/clients_words.h"

namespace hone::server::worker {
namespace {

using engine::job::Phase;

std::string ReasonOf(const absl::Status& status) {
  return ToFailure(status, Phase::kTraining, 0).end_reason();
}

TEST(Failure, AFullDiskIsNoLackOfMemoryWhateverItsPathIsCalled) {
  EXPECT_EQ(ReasonOf(ErrnoStatus(ENOSPC, "/srv/memory/runs/a")), "STORAGE_FULL");
}

TEST(Failure, LackOfMemoryNeedsNoWordForIt) {
  EXPECT_EQ(ReasonOf(OutOfMemoryError("a product of 3 x 4")), "OUT_OF_MEMORY");
  EXPECT_EQ(ReasonOf(ErrnoStatus(ENOMEM, "mmap")), "OUT_OF_MEMORY");
}

TEST(Failure, LackOfMemoryStaysOneInTheWordsOfAClient) {
  const ClientsWords words{v1::WorkerRequest()};
  EXPECT_EQ(ReasonOf(words.Of(Annotate(OutOfMemoryError("a product"), "layer 1"))),
            "OUT_OF_MEMORY");
}

TEST(Failure, AMessageThatIsNotUtf8CanBeSent) {
  const v1::Failure failure =
      ToFailure(absl::InvalidArgumentError("name \xff of \xc3"), Phase::kLoading, 0);
  EXPECT_EQ(failure.message(), "name \uFFFD of \uFFFD");
}

}  // namespace
}  // namespace hone::server::worker
