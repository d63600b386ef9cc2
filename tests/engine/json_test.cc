#include "engine/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace hone {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Nested(size_t lists) { return std::string(lists, '[') + std::string(lists, ']'); }

TEST(ParseJson, ReadsAValueBehindAByteOrderMark) {
  const auto json = ParseJson("\xef\xbb\xbf{\"a\": [1, \"\\u00e9\"]}\n");
  ASSERT_THAT(json, IsOk());
  EXPECT_EQ((*json)["a"][1].get<std::string>(), "é");
}

TEST(ParseJson, NamesTheByteOfATextOfOneLine) {
  EXPECT_THAT(ParseJson("{\"a\": x}\n"), StatusIs(kInvalid, "is no JSON from its byte 7 on"));
}

TEST(ParseJson, NamesTheLineAndTheByteInIt) {
  EXPECT_THAT(ParseJson("{\n \"a\": 1,\n  b: 2\n}"),
              StatusIs(kInvalid, "is no JSON from line 3, byte 3 on"));
}

TEST(ParseJson, SaysThatATextEndsTooEarly) {
  EXPECT_THAT(ParseJson("{\"a\": [1"),
              StatusIs(kInvalid, "is no JSON from its byte 9 on, where it ends"));
  EXPECT_THAT(ParseJson(""), StatusIs(kInvalid, HasSubstr("where it ends")));
}

TEST(ParseJson, RefusesBytesThatAreNoUtf8) {
  EXPECT_THAT(ParseJson("\"caf\xe9\""), StatusIs(kInvalid, HasSubstr("is no JSON from its byte")));
}

TEST(ParseJson, RefusesANumberThatNoDoubleHolds) {
  EXPECT_THAT(ParseJson("{\"a\": 1e999}"), StatusIs(kInvalid, HasSubstr("a number at")));
}

TEST(ParseJson, ReadsAsManyListsWithinEachOtherAsItSays) {
  EXPECT_THAT(ParseJson(Nested(kDeepestJson)), IsOk());
}

TEST(ParseJson, RefusesAListWithinMoreAndNamesItsPlace) {
  EXPECT_THAT(ParseJson(Nested(kDeepestJson + 1)),
              StatusIs(kInvalid, AllOf(HasSubstr("within each other"), HasSubstr("byte 257"))));
}

TEST(ParseJson, RefusesAMillionBracketsBeforeItReadsThem) {
  EXPECT_THAT(ParseJson(std::string(1 << 20, '[')), StatusIs(kInvalid, HasSubstr("256")));
  std::string objects;
  for (int i = 0; i < 100000; ++i) {
    absl::StrAppend(&objects, "{\"a\":");
  }
  EXPECT_THAT(ParseJson(objects), StatusIs(kInvalid, HasSubstr("256")));
}

TEST(ParseJson, CountsNoBracketsInTexts) {
  const std::string brackets(1000, '[');
  EXPECT_THAT(ParseJson(absl::StrCat("[\"\\\"", brackets, "\", \"", brackets, "\"]")), IsOk());
}

TEST(ParseJsonObject, SaysWhatElseItIs) {
  EXPECT_THAT(ParseJsonObject("{}"), IsOk());
  EXPECT_THAT(ParseJsonObject("[1]"), StatusIs(kInvalid, "must be a JSON object, got array"));
}

}  // namespace
}  // namespace hone
