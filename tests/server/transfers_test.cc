#include "server/rpc/transfers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/status_matchers.h"

namespace hone::server::rpc {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kIdle = absl::Minutes(2);

class TransfersTest : public ::testing::Test {
 protected:
  absl::StatusOr<int64_t> Open(absl::Duration now) {
    return transfers_.Open(now, [this, name = opened_++] { told_.push_back(name); });
  }
  void Fill(absl::Duration now) {
    for (int i = 0; i < Transfers::kMost; ++i) {
      const auto transfer = Open(now);
      ASSERT_THAT(transfer, IsOk());
      numbers_.push_back(*transfer);
    }
  }

  Transfers transfers_{kIdle};
  int opened_ = 0;
  std::vector<int64_t> numbers_;
  std::vector<int> told_;
};

TEST_F(TransfersTest, MoreThanTheLimitAreRefusedUntilOneCloses) {
  Fill(absl::ZeroDuration());
  EXPECT_THAT(Open(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again")));
  transfers_.Close(numbers_[3]);
  EXPECT_THAT(Open(absl::ZeroDuration()), IsOk());
  EXPECT_THAT(Open(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again")));
}

TEST_F(TransfersTest, ThoseThatDoNotMoveAreToldToEndWhenAnotherOneComes) {
  Fill(absl::ZeroDuration());
  for (int i = 0; i < Transfers::kMost; ++i) {
    transfers_.Moved(numbers_[static_cast<size_t>(i)],
                     i == 5 ? absl::ZeroDuration() : absl::Seconds(1));
  }
  EXPECT_FALSE(Open(kIdle).ok());
  EXPECT_THAT(told_, ElementsAre(5));
}

TEST_F(TransfersTest, NobodyIsToldToEndWhileThereIsRoom) {
  EXPECT_THAT(Open(absl::ZeroDuration()), IsOk());
  EXPECT_THAT(Open(10 * kIdle), IsOk());
  EXPECT_THAT(told_, IsEmpty());
}

}  // namespace
}  // namespace hone::server::rpc
