#include "engine/base/utf8.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/common.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace hone {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The parser of our messages refuses what this says no to.
bool ProtobufTakes(const std::string& text) {
  return google::protobuf::internal::IsStructurallyValidUTF8(text.data(),
                                                             static_cast<int>(text.size()));
}

TEST(Utf8, IsWhatTheParserOfOurMessagesTakes) {
  // Bytes at the ends of every range of the standard's table of well-formed sequences.
  const std::string bytes(
      "\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee"
      "\xef\xf0\xf1\xf3\xf4\xf5\xff",
      24);
  for (const char a : bytes) {
    for (const char b : bytes) {
      for (const char c : bytes) {
        for (const char d : bytes) {
          const std::string text = {a, b, c, d};
          ASSERT_EQ(Utf8Prefix(text) == text.size(), ProtobufTakes(text))
              << ::testing::PrintToString(text);
        }
      }
    }
  }
}

TEST(Utf8, PrefixEndsBeforeTheFirstByteThatIsWrongWhereverItIs) {
  for (size_t at = 0; at < 40; ++at) {
    std::string text(40, 'x');
    text[at] = '\xe4';
    EXPECT_EQ(Utf8Prefix(text), at);
  }
}

TEST(Utf8, CheckNamesTheLineAndWhatToDo) {
  EXPECT_THAT(CheckUtf8("a\nb\xc3\xa4\n"), IsOk());
  EXPECT_THAT(CheckUtf8("a\nb\xc3\xa4\nm\xe4nnlich\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("line 3 is not UTF-8"), HasSubstr("0xe4"),
                             HasSubstr("save the file as UTF-8"))));
}

TEST(Utf8, CheckOfTheRestOfATextCountsFromItsBegin) {
  EXPECT_THAT(CheckUtf8("b\nm\xe4nnlich\n", /*line=*/7, /*offset=*/100),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("line 8 is not UTF-8"), HasSubstr("at offset 103"))));
}

TEST(Utf8, OfAFileIsReadWithoutItsByteOrderMark) {
  const auto text = FromUtf8(
      "\xef\xbb\xbf"
      "caf\xc3\xa9");
  ASSERT_THAT(text, IsOk());
  EXPECT_EQ(*text, "caf\xc3\xa9");
}

TEST(Utf8, OffsetsBehindAByteOrderMarkAreThoseOfTheFile) {
  EXPECT_THAT(FromUtf8("\xef\xbb\xbf"
                       "m\xe4nnlich\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("line 1 is not UTF-8"), HasSubstr("at offset 4"))));
}

TEST(Utf8, IsCutWhereACharacterBegins) {
  const std::string text = "a\xc3\xa4\xe2\x82\xac";  // 1, 2 and 3 bytes
  const size_t wanted[] = {0, 1, 1, 3, 3, 3, 6, 6};
  for (size_t longest = 0; longest < std::size(wanted); ++longest) {
    EXPECT_EQ(CutUtf8(text, longest), text.substr(0, wanted[longest])) << longest;
  }
}

}  // namespace
}  // namespace hone
