#include "client/cli/text_view.h"

#include <gmock/gmock.h>

namespace hone::client::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::Prediction::Embedded Vector(float x, float y) {
  v1::Prediction::Embedded embedded;
  embedded.add_values(x);
  embedded.add_values(y);
  return embedded;
}

TEST(AddNearest, TheMostSimilarComeFirstAndTheRestStaysAway) {
  const v1::Prediction::Embedded right = Vector(1, 0), up = Vector(0, 1),
                                 between = Vector(0.6f, 0.8f);
  v1::Prediction::Embedded question = Vector(1, 0);
  AddNearest({{"up", &up}, {"between", &between}, {"right", &right}}, 2, question);
  ASSERT_EQ(question.nearest_size(), 2);
  EXPECT_EQ(question.nearest(0).text(), "right");
  EXPECT_NEAR(question.nearest(0).similarity(), 1, 1e-6);
  EXPECT_EQ(question.nearest(1).text(), "between");
  EXPECT_THAT(EmbeddedLines(question), SizeIs(2));
}

TEST(EmbeddedLines, AreTheFirstNumbersOrTheSimilarity) {
  v1::Prediction::Embedded embedded = Vector(0.25f, -0.5f);
  EXPECT_THAT(EmbeddedLines(embedded)[0].Render(80, false), HasSubstr("0.2500 -0.5000"));
  embedded.set_similarity(0.75);
  ASSERT_THAT(EmbeddedLines(embedded), SizeIs(1));
  EXPECT_THAT(EmbeddedLines(embedded)[0].Render(80, false), HasSubstr("similarity 0.7500"));
  EXPECT_THAT(EmbeddedLines({}), SizeIs(0));
}

TEST(TaggedLines, AreAWordALineWithItsTag) {
  v1::Prediction::Tagged tagged;
  v1::Prediction::Word& word = *tagged.add_words();
  word.set_text("EU");
  word.set_tag("B-ORG");
  word.set_probability(0.5);
  ASSERT_THAT(TaggedLines(tagged), SizeIs(1));
  EXPECT_THAT(TaggedLines(tagged)[0].Render(80, false), HasSubstr("B-ORG"));
}

}  // namespace
}  // namespace hone::client::cli
