#include "engine/job/profile_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace hone::engine::job {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr ProfileRates kRates = {.machine = {1e9, 1e9}, .shard = {1e9, 1e9}};

ProfileRow Row(std::string layer, std::string op, std::string pass, double seconds) {
  return {
      .layer = std::move(layer), .op = std::move(op), .pass = std::move(pass), .seconds = seconds};
}

std::vector<ProfileRow> Rows() {
  return {Row("", "fill the batch", "data", 1e-6),
          Row("dense_1", "linear", "forward", 2e-6),
          Row("dense_2", "linear", "forward", 3e-6),
          Row("dense_2", "linear_data_gradient", "backward", 4.5e-6),
          Row("", "read the gradients", "update", 10e-6),
          Row("", "write the weights", "update", 20e-6),
          Row("", "wait for other threads", "step", 4e-6)};
}

// The ops of the lines behind the one that is `head`, which begin with a number of steps.
std::vector<std::string> OpsBehind(const std::string& table, const std::string& head) {
  std::vector<std::string> ops;
  bool inside = false;
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    if (inside && !absl::ascii_isdigit(static_cast<unsigned char>(line[0]))) {
      break;
    }
    if (inside) {
      ops.emplace_back(absl::StripAsciiWhitespace(line.substr(17, 28)));
    }
    inside = inside || line == head;
  }
  return ops;
}

TEST(ProfileTablesTest, StepsOfOneOpAreAddedUpAndTheLongestComeFirst) {
  const std::string table = ProfileTables(Rows(), 45e-6, kRates);
  EXPECT_THAT(OpsBehind(table, "by op"),
              ElementsAre("write the weights", "read the gradients", "linear",
                          "linear_data_gradient", "wait for other threads", "fill the batch"));
}

TEST(ProfileTablesTest, KindsOfWorkPutBothPassesTogether) {
  const std::string table = ProfileTables(Rows(), 45e-6, kRates);
  EXPECT_THAT(OpsBehind(table, "by kind of work"),
              ElementsAre("update", "products", "wait for other threads", "data"));
}

TEST(ProfileTablesTest, SumsAloneNameNoLayer) {
  EXPECT_THAT(ProfileTables(Rows(), 45e-6, kRates), HasSubstr("dense_2"));
  EXPECT_THAT(ProfileTables(Rows(), 45e-6, kRates, ProfileDetail::kSums),
              Not(HasSubstr("dense_2")));
}

TEST(ProfileTablesTest, WhatIsNoOpIsNamedByItsPassAndWaitingByItself) {
  EXPECT_EQ(KindOfWork("repack the weights", "update"), "update");
  EXPECT_EQ(KindOfWork("fill the batch", "data"), "data");
  EXPECT_EQ(KindOfWork("wait for other threads", "step"), "wait for other threads");
}

TEST(ProfileTablesTest, TheFirstWordThatFitsNamesTheKind) {
  EXPECT_EQ(KindOfWork("additive_attention", "forward"), "attention");
  EXPECT_EQ(KindOfWork("conv2d_transpose", "forward"), "products");
  EXPECT_EQ(KindOfWork("mul_broadcast", "forward"), "elementwise");
  EXPECT_EQ(KindOfWork("matmul", "forward"), "products");
  EXPECT_EQ(KindOfWork("random_normal", "forward"), "other ops");
}

}  // namespace
}  // namespace hone::engine::job
