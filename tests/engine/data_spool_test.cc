#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "engine/data/spool.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SpoolTest : public DataTest {
 protected:
  // Letters, as much as twice of what is written at a time.
  static std::string Letters() {
    std::string letters;
    for (int i = 0; i < 2 << 20; ++i) {
      letters += static_cast<char>('a' + i % 23);
    }
    return letters;
  }
  static absl::Status AppendInPieces(absl::string_view bytes, size_t piece_bytes, Spool& spool) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece_bytes, bytes.size()))) {
      if (absl::Status status = spool.Append(bytes.substr(0, piece_bytes)); !status.ok()) {
        return status;
      }
    }
    return spool.Finish();
  }
  bool FolderIsEmpty() const { return std::filesystem::is_empty(folder_); }
};

TEST_F(SpoolTest, HoldsTheSameBytesInAFileAsInMemory) {
  const std::string letters = Letters();
  for (const size_t piece_bytes : {size_t{1000}, size_t{300'000}, letters.size()}) {
    for (const int64_t memory_bytes : {int64_t{0}, int64_t{500'000}, int64_t{4} << 20}) {
      Spool spool({.folder = folder_, .memory_bytes = memory_bytes}, "letters");
      ASSERT_THAT(AppendInPieces(letters, piece_bytes, spool), IsOk());
      EXPECT_TRUE(spool.bytes() == letters) << piece_bytes << " " << memory_bytes;
    }
  }
}

TEST_F(SpoolTest, IsInMemoryUpToItsLimitAlone) {
  for (const auto& [memory_bytes, in_memory] :
       {std::pair(int64_t{10}, int64_t{10}), std::pair(int64_t{9}, int64_t{0})}) {
    Spool spool({.folder = folder_, .memory_bytes = memory_bytes}, "digits");
    ASSERT_THAT(AppendInPieces("0123456789", 3, spool), IsOk());
    EXPECT_EQ(spool.memory_bytes(), in_memory);
    EXPECT_EQ(spool.size(), 10);
  }
}

TEST_F(SpoolTest, IsInMemoryWhereThereIsNoFolder) {
  Spool spool({.folder = "", .memory_bytes = 0}, "digits");
  ASSERT_THAT(AppendInPieces("0123456789", 3, spool), IsOk());
  EXPECT_EQ(spool.memory_bytes(), 10);
}

TEST_F(SpoolTest, WithoutBytesIsEmpty) {
  Spool spool({.folder = folder_, .memory_bytes = 0}, "nothing");
  ASSERT_THAT(spool.Append(""), IsOk());
  ASSERT_THAT(spool.Finish(), IsOk());
  EXPECT_EQ(spool.bytes(), "");
}

TEST_F(SpoolTest, LeavesNothingInItsFolderEvenWhileItIsThere) {
  Spool spool({.folder = folder_, .memory_bytes = 0}, "letters");
  ASSERT_THAT(spool.Append("abc"), IsOk());
  EXPECT_TRUE(FolderIsEmpty());
  ASSERT_THAT(spool.Finish(), IsOk());
  EXPECT_EQ(spool.bytes(), "abc");
  EXPECT_TRUE(FolderIsEmpty());
}

TEST_F(SpoolTest, ThatDoesNotFitSaysWhatAndWhere) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
  const std::string letters = Letters();
  absl::Status status;
  {
    Spool spool({.folder = folder_, .memory_bytes = 0}, "the letters");
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    status = AppendInPieces(letters, 100'000, spool);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               AllOf(HasSubstr("cannot write the letters"), HasSubstr(folder_))));
  EXPECT_TRUE(FolderIsEmpty());
}

TEST_F(SpoolTest, WhoseFolderIsNotThereSaysSo) {
  Spool spool({.folder = Path("nowhere"), .memory_bytes = 0}, "letters");
  EXPECT_THAT(AppendInPieces("abc", 3, spool),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace hone::engine::data
