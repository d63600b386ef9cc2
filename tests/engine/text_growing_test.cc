#include <gmock/gmock.h>

#include "engine/text/growing_text.h"
#include "engine/text/tokenizer.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::text {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

// A tokenizer of the text's own characters or words, and the text as its tokens.
struct Tokens {
  std::unique_ptr<const Tokenizer> tokenizer;
  std::vector<int32_t> ids;

  Tokens(const TokenizerOptions& options, const std::string& text) {
    tokenizer =
        TrainTokenizer(options, {1, [&](int64_t) { return absl::string_view(text); }}).value();
    tokenizer->Encode(text, ids);
  }
};

// What is shown after each token but the first, which it goes on from, and in the end.
std::vector<std::string> Shown(const Tokens& tokens, std::vector<std::string> stops) {
  GrowingText text(*tokens.tokenizer, tokens.ids[0], std::move(stops));
  std::vector<std::string> shown;
  bool goes_on = true;
  for (size_t i = 1; i < tokens.ids.size() && goes_on; ++i) {
    goes_on = text.Add(tokens.ids[i]);
    shown.push_back(text.Take());
  }
  shown.push_back(text.Finish());
  return shown;
}

using Pieces = std::vector<std::string>;

TEST(GrowingText, ShowsCharactersAsTheyCome) {
  EXPECT_EQ(Shown(Tokens(CharacterTokens(), "aé€b"), {}), Pieces({"é", "€", "b", ""}));
}

TEST(GrowingText, HasSpacesBetweenWords) {
  EXPECT_EQ(Shown(Tokens(WordTokens{.vocabulary = 20}, "one two three"), {}),
            Pieces({" two", " three", ""}));
}

TEST(GrowingText, EndsBeforeAStopTextThatSpansTokens) {
  EXPECT_EQ(Shown(Tokens(CharacterTokens(), "xabcdef"), {"cde"}),
            Pieces({"a", "b", "", "", "", ""}));
}

TEST(GrowingText, ShowsWhatOnlyBeganLikeAStopText) {
  EXPECT_EQ(Shown(Tokens(CharacterTokens(), "xababc"), {"abc"}),
            Pieces({"", "", "ab", "", "", ""}));
  EXPECT_EQ(Shown(Tokens(CharacterTokens(), "xabd"), {"abc"}), Pieces({"", "", "abd", ""}));
  EXPECT_EQ(Shown(Tokens(CharacterTokens(), "xab"), {"abc"}), Pieces({"", "", "ab"}));
}

TEST(GrowingText, EndsAtTheFirstOfSeveralStopTexts) {
  EXPECT_EQ(Shown(Tokens(WordTokens{.vocabulary = 20}, "one two three"), {"ree", "wo th"}),
            Pieces({" t", "", ""}));
}

TEST(GrowingText, GoesOnWithWhatItHeld) {
  const Tokens tokens(CharacterTokens(), "xabc");
  GrowingText text(*tokens.tokenizer, tokens.ids[0], {"abc"});
  EXPECT_TRUE(text.Add(tokens.ids[1]));
  EXPECT_TRUE(text.Add(tokens.ids[2]));
  EXPECT_EQ(text.Take(), "");
  GrowingText later(*tokens.tokenizer, tokens.ids[2], {"abc"}, text.held());
  EXPECT_FALSE(later.Add(tokens.ids[3]));
  EXPECT_EQ(later.Take() + later.Finish(), "");
}

TEST(GrowingText, KeepsBytesThatAreNoCharacterYet) {
  const Tokens tokens(CharacterTokens(), "xa");
  GrowingText text(*tokens.tokenizer, tokens.ids[0], {}, "\xC3");
  EXPECT_EQ(text.Take(), "");
  EXPECT_EQ(text.Finish(), "\xEF\xBF\xBD");
}

TEST(Stops, ThatAreEmptyOrNoUtf8AreRefusedByTheirNumbers) {
  EXPECT_THAT(CheckStops({"a", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, "stop[1]: must not be empty"));
  EXPECT_THAT(CheckStops({"\xff"}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("stop[0]")));
  EXPECT_THAT(CheckStops({"a", "\n\n"}), IsOk());
}

}  // namespace
}  // namespace hone::engine::text
