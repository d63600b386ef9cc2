#include "server/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hone::server::log {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Log, ALogfmtLineHasTheSentenceThenTheFieldsInOrder) {
  EXPECT_EQ(Join(Format::kLogfmt, "attempt started",
                 {{"job", "abc"}, {"attempt", 3}, {"ms", 1.5}, {"error", "no space"}}),
            R"(msg="attempt started" job=abc attempt=3 ms=1.500 error="no space")");
}

TEST(Log, AJsonLineHasNumbersAsNumbers) {
  const std::string line =
      Join(Format::kJson, "attempt started", {{"job", "7"}, {"attempt", 3}, {"ms", 1.5}});
  EXPECT_EQ(line, R"("msg":"attempt started","job":"7","attempt":3,"ms":1.500)");
}

TEST(Log, FieldsWithoutTextAreLeftOut) {
  EXPECT_EQ(Join(Format::kLogfmt, "call", {{"request_id", ""}, {"code", "OK"}}),
            "msg=call code=OK");
}

TEST(Log, TextOfAStrangerCanForgeNeitherALineNorAField) {
  const std::string text =
      "x\nlevel=error msg=forged\r\t\" job=other \\\x1b[31m\xc2\x9b\xe2\x80\xa8\xff\x7f";
  for (const Format format : {Format::kLogfmt, Format::kJson}) {
    const std::string line = Join(format, "call failed", {{"error", text}});
    for (const char c : line) {
      EXPECT_TRUE(c >= ' ' && c < 0x7f) << static_cast<int>(c);
    }
    EXPECT_THAT(line, Not(HasSubstr("\n")));
    const std::string json = format == Format::kJson
                                 ? "{" + line + "}"
                                 : "{\"error\":" + line.substr(line.find("error=") + 6) + "}";
    const auto parsed = nlohmann::json::parse(json);
    EXPECT_EQ(parsed["error"].get<std::string>().substr(0, 24), text.substr(0, 24));
  }
}

TEST(Log, BareValuesHoldNothingThatSeparates) {
  for (const char* const text : {"a=b", "a b", "a\"b", "a\\b", "\xc3\xa4"}) {
    EXPECT_THAT(Join(Format::kLogfmt, "m", {{"k", text}}), HasSubstr("k=\"")) << text;
  }
}

TEST(Log, LongTextIsCut) {
  EXPECT_LT(Join(Format::kLogfmt, "m", {{"k", std::string(1 << 20, 'x')}}).size(),
            Field::kMaxText + 20);
}

}  // namespace
}  // namespace hone::server::log
