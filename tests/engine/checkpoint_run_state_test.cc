#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_replace.h"
#include "engine/checkpoint/run_state.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::checkpoint {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

RunState Full() {
  RunState state{.step = 1234,
                 .epoch = 3,
                 .data_position = 992,
                 .seed = UINT64_MAX,
                 .data_fingerprint = "0123456789abcdef"};
  state.plateau = {.factor = 0.1, .best = 1.0 / 3, .epochs_without_fall = 2};
  state.best = BestMetric{.name = "validation_accuracy", .value = 0.1 + 0.2, .step = 1000};
  state.epochs_without_improvement = 1;
  state.history = {{.step = 1, .epoch = 0.5, .values = {{"loss", 2.302585092994046}}},
                   {.step = 2, .epoch = 1, .values = {{"loss", 5e-324}, {"zero", -0.0}}}};
  state.scalars = {{"epsilon", 0.995}};
  state.sections = {{"replay", std::string("\0\xff\n\"binary", 10)}, {"empty", ""}};
  return state;
}

TEST(RunState, ComesBackAsItWas) {
  const auto back = RunStateFromJson(ToJson(Full()));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(*back, Full());
  EXPECT_TRUE(std::signbit(back->history[1].values.at("zero")));
}

TEST(RunState, ComesBackFromNothingToo) {
  const auto back = RunStateFromJson(ToJson(RunState{}));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(*back, RunState{});
}

TEST(RunState, GivesTheSameBytesForTheSameState) { EXPECT_EQ(ToJson(Full()), ToJson(Full())); }

TEST(RunState, KeepsTheBitsOfNumbersThatJsonDoesNotHave) {
  RunState state;
  const double nan = std::bit_cast<double>(uint64_t{0x7ff8000000abcdef});
  state.scalars = {{"nan", nan}, {"minus", -std::numeric_limits<double>::infinity()}};
  auto back = RunStateFromJson(ToJson(state));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(std::bit_cast<uint64_t>(back->scalars["nan"]), std::bit_cast<uint64_t>(nan));
  EXPECT_EQ(back->scalars["minus"], -std::numeric_limits<double>::infinity());
}

absl::Status Changed(absl::string_view from, absl::string_view to) {
  const std::string json = ToJson(Full());
  const std::string changed = absl::StrReplaceAll(json, {{from, to}});
  EXPECT_NE(changed, json) << from;
  return RunStateFromJson(changed).status();
}

TEST(RunState, NamesTheFieldThatIsWrong) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Changed("\"step\": 1234", "\"step\": \"x\""),
              StatusIs(invalid, HasSubstr("step: must be a whole number")));
  EXPECT_THAT(Changed("\"seed\": 18446744073709551615", "\"seed\": -1"),
              StatusIs(invalid, HasSubstr("seed")));
  EXPECT_THAT(Changed("\"data_position\"", "\"position\""),
              StatusIs(invalid, HasSubstr("data_position")));
  EXPECT_THAT(Changed("5e-324", "[]"), StatusIs(invalid, HasSubstr("history[1].values.loss")));
  EXPECT_THAT(Changed("0.995", "\"bits:zz\""), StatusIs(invalid, HasSubstr("scalars.epsilon")));
  EXPECT_THAT(Changed("\"version\": 1", "\"version\": 2"), StatusIs(invalid, HasSubstr("version")));
  EXPECT_THAT(Changed("\"seed\"", "\"other\": 1, \"seed\""),
              StatusIs(invalid, HasSubstr("other: not known")));
  EXPECT_THAT(Changed("\"empty\": \"\"", "\"empty\": \"%\""),
              StatusIs(invalid, HasSubstr("sections.empty: must be base64")));
  EXPECT_THAT(Changed("\"plateau\": {", "\"plateau\": 5, \"p\": {"),
              StatusIs(invalid, HasSubstr("plateau: must be an object")));
}

TEST(RunState, RefusesTextThatNestsTooDeeply) {
  EXPECT_THAT(RunStateFromJson(std::string(1 << 20, '[')),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("the run state"), HasSubstr("within each other"))));
}

TEST(RunState, RefusesTextCutAnywhere) {
  const std::string json = ToJson(Full());
  for (size_t size = 0; size + 2 < json.size(); ++size) {
    ASSERT_FALSE(RunStateFromJson(json.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace hone::engine::checkpoint
