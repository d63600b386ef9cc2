#include "engine/base/traceparent.h"

#include <gtest/gtest.h>

#include <string>

namespace hone {
namespace {

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kExample[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceparentTest, TheSpecificationsExampleIsOne) {
  EXPECT_TRUE(IsTraceparent(kExample));
  EXPECT_EQ(TraceIdOf(kExample), kTrace);
}

TEST(TraceparentTest, WhatIsNoneHasNoTrace) {
  const std::string example = kExample;
  for (const std::string& text :
       {std::string(), std::string("x"), example.substr(0, 54), example + "0", example + "-more",
        "ff" + example.substr(2), "0G" + example.substr(2), "00_" + example.substr(3),
        std::string("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        std::string("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
        std::string("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
        "01" + example.substr(2) + "-a\nb",
        "01" + example.substr(2) + "-" + std::string(300, 'a')}) {
    EXPECT_FALSE(IsTraceparent(text)) << text;
    EXPECT_EQ(TraceIdOf(text), "") << text;
  }
}

TEST(TraceparentTest, ALaterVersionMayHaveMoreBehindIt) {
  EXPECT_TRUE(IsTraceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"));
  EXPECT_TRUE(IsTraceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
}

}  // namespace
}  // namespace hone
