#include "engine/base/complaints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/status.h"

namespace hone {
namespace {

TEST(Complaints, AreFoundInTheirStatusAsTheyWereMade) {
  Complaints complaints;
  complaints.Add({.line = 7, .text = "line 7: 'a; b' is no number"});
  complaints.Add({.line = 9, .text = "line 9: too short"});
  const absl::Status status = Annotate(complaints.status(), "t.csv");
  EXPECT_EQ(status.message(), "t.csv: 2 errors: line 7: 'a; b' is no number; line 9: too short");
  const std::vector<Complaint> found = ComplaintsIn(status);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].line, 7);
  EXPECT_EQ(found[0].text, "line 7: 'a; b' is no number");
  EXPECT_EQ(found[1].line, 9);
}

TEST(Complaints, TwentyOfManyAreKept) {
  Complaints complaints;
  for (int i = 1; i <= 30; ++i) {
    complaints.Add({.line = i, .text = "x"});
  }
  EXPECT_EQ(ComplaintsIn(complaints.status()).size(), 20u);
  EXPECT_THAT(std::string(complaints.status().message()), ::testing::StartsWith("30 errors: x; "));
}

TEST(Complaints, AnotherStatusHasNone) {
  EXPECT_TRUE(ComplaintsIn(absl::InvalidArgumentError("line 3: wrong")).empty());
}

}  // namespace
}  // namespace hone
