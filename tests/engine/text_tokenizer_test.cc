#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/text/tokenizer.h"
#include "tests/support/sentencepiece_program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::text {
namespace {

using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Texts = std::vector<std::string>;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Train(const TokenizerOptions& options,
                                                       const Texts& texts) {
  return TrainTokenizer(options, {static_cast<int64_t>(texts.size()), [&](int64_t i) {
                                    return absl::string_view(texts[static_cast<size_t>(i)]);
                                  }});
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer, absl::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.Encode(text, ids);
  return ids;
}

Texts WordsOf(absl::string_view text, WordSplit split) {
  Texts words;
  ForEachWord(text, split, [&](absl::string_view word) { words.emplace_back(word); });
  return words;
}

// Sentences of few words by which all tokenizers have something to learn.
Texts Sentences() {
  const Texts subjects = {"the cat", "a dog", "the old house", "my friend", "her sister"};
  const Texts verbs = {"sees", "likes", "visited", "was watching", "painted"};
  Texts sentences;
  for (const std::string& subject : subjects) {
    for (const std::string& verb : verbs) {
      for (const std::string& object : subjects) {
        sentences.push_back(absl::StrCat(subject, " ", verb, " ", object, " ."));
      }
    }
  }
  return sentences;
}

TEST(ForEachWord, KeepsPunctuationApartAndApostrophesInside) {
  EXPECT_THAT(WordsOf("Don't stop, it's 'fine'!", WordSplit::kPunctuation),
              ElementsAre("Don't", "stop", ",", "it's", "'", "fine", "'", "!"));
}

TEST(ForEachWord, OfChineseIsEachCharacter) {
  EXPECT_THAT(WordsOf("我爱you。", WordSplit::kPunctuation), ElementsAre("我", "爱", "you", "。"));
}

TEST(ForEachWord, SplitBySpacesAloneKeepsTheRest) {
  EXPECT_THAT(WordsOf(" it 's\u3000n't.\n", WordSplit::kSpaces), ElementsAre("it", "'s", "n't."));
}

TEST(Words, AreNumberedByHowOftenTheyOccurBehindTheSpecialOnes) {
  const auto words = Train(WordTokens{}, {"b a b", "c b a", "d"});
  ASSERT_TRUE(words.ok()) << words.status();
  EXPECT_EQ((*words)->size(), 3 + 4);
  EXPECT_THAT(Encode(**words, "b a c d"), ElementsAre(3, 4, 5, 6));
}

TEST(Words, BeyondTheVocabularyOrTooRareAreUnknown) {
  const auto few = Train(WordTokens{.vocabulary = 4}, {"b a b"});
  EXPECT_THAT(Encode(**few, "b a"), ElementsAre(3, 0));
  const auto frequent = Train(WordTokens{.min_count = 2}, {"b a b"});
  EXPECT_THAT(Encode(**frequent, "b a"), ElementsAre(3, 0));
}

TEST(Words, SpelledLikeASpecialTokenAreNotTakenForOne) {
  const auto words = Train(WordTokens{.split = WordSplit::kSpaces}, {"</s> a"});
  EXPECT_THAT(Encode(**words, "</s> a <s>"), ElementsAre(3, 4, 0));
}

TEST(Characters, AreThoseOfTheTextsInTheirOrder) {
  const auto characters = Train(CharacterTokens{}, {"ba", "é b"});
  ASSERT_TRUE(characters.ok()) << characters.status();
  EXPECT_EQ((*characters)->size(), 3 + 4);
  EXPECT_THAT(Encode(**characters, " abéz"), ElementsAre(3, 4, 5, 6, 0));
}

TEST(Words, HaveAMaskTokenBehindTheSpecialOnesWhereOneIsWanted) {
  const auto words = Train(WordTokens{.vocabulary = 6, .mask = true}, {"b a b c"});
  ASSERT_TRUE(words.ok()) << words.status();
  EXPECT_EQ((*words)->special().mask, 3);
  EXPECT_EQ((*words)->size(), 6);
  EXPECT_THAT(Encode(**words, "b a c"), ElementsAre(4, 5, 0));
  EXPECT_EQ((*words)->Decode(std::vector<int32_t>{4, 3, 1}), "b [MASK]");
  EXPECT_EQ((*Train(WordTokens{}, {"b"}))->special().mask, -1);
}

// "-" mostly has no space on either side, "?" one before it and "," one behind it; letters always
// have one.
TEST(Words, StandBesideSignsAsTheyMostlyDoInTheTexts) {
  const std::vector<std::string> texts = {
      "où vivez-vous ?", "dis-moi (tout) !", "a - b", "non, est-ce (vrai) ?", "quoi?", "un,deux"};
  const auto words = Train(WordTokens{.spacing = true}, texts);
  ASSERT_TRUE(words.ok()) << words.status();
  const auto decoded = [](const Tokenizer& tokenizer, const std::string& text) {
    return tokenizer.Decode(Encode(tokenizer, text));
  };
  EXPECT_EQ(decoded(**words, "dis - vous ( tout ) , où ?"), "dis-vous (tout), où ?");
  const auto again = TokenizerFromJson((*words)->ToJson());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(decoded(**again, "( a )"), "(a)");
  EXPECT_EQ(decoded(**Train(WordTokens{}, texts), "est-ce"), "est - ce");
}

class EachTokenizer : public ::testing::TestWithParam<TokenizerOptions> {};

TEST_P(EachTokenizer, GivesBackTheTextOfItsTokens) {
  const auto tokenizer = Train(GetParam(), Sentences());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string text = "my friend painted the old house .";
  EXPECT_EQ((*tokenizer)->Decode(Encode(**tokenizer, text)), text);
}

TEST_P(EachTokenizer, ComesBackFromItsJsonWithTheSameTokens) {
  const auto was = Train(GetParam(), Sentences());
  ASSERT_TRUE(was.ok()) << was.status();
  const auto is = TokenizerFromJson((*was)->ToJson());
  ASSERT_TRUE(is.ok()) << is.status();
  EXPECT_EQ((*is)->size(), (*was)->size());
  const std::string text = "her sister likes unknown Ωords";
  EXPECT_EQ(Encode(**is, text), Encode(**was, text));
}

TEST_P(EachTokenizer, IsTheSameForTheSameTexts) {
  const auto one = Train(GetParam(), Sentences()), other = Train(GetParam(), Sentences());
  EXPECT_EQ((*one)->ToJson(), (*other)->ToJson());
}

TEST_P(EachTokenizer, GivesIdsWithinItsVocabularyAndUnknownForWhatItHasNever) {
  const auto tokenizer = Train(GetParam(), Sentences());
  const std::vector<int32_t> ids = Encode(**tokenizer, "cat Ω");
  for (const int32_t id : ids) {
    EXPECT_GE(id, 0);
    EXPECT_LT(id, (*tokenizer)->size());
  }
  EXPECT_EQ(ids.back(), (*tokenizer)->special().unknown);
}

TEST_P(EachTokenizer, GivesTheSameIdsInPieces) {
  const auto tokenizer = Train(GetParam(), Sentences());
  const std::string text =
      "The cat's  my friend\n\n, painted\u3000the l'été old house ? don' t don't";
  for (size_t piece_bytes = 1; piece_bytes < 20; ++piece_bytes) {
    std::vector<int32_t> ids;
    const absl::Status status =
        EncodeInPieces(**tokenizer, text, piece_bytes, [&](std::span<const int32_t> piece) {
          ids.insert(ids.end(), piece.begin(), piece.end());
          return absl::OkStatus();
        });
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(ids, Encode(**tokenizer, text)) << piece_bytes;
  }
}

TEST_P(EachTokenizer, HasTheSpecialTokensFirst) {
  const auto tokenizer = Train(GetParam(), Sentences());
  const SpecialTokens special = (*tokenizer)->special();
  EXPECT_THAT((std::vector{special.unknown, special.begin, special.end}), ElementsAre(0, 1, 2));
}

TEST_P(EachTokenizer, RefusesTextsThatAreEmpty) {
  EXPECT_THAT(Train(GetParam(), {"", "  "}), StatusIs(kInvalid, HasSubstr("empty")));
}

INSTANTIATE_TEST_SUITE_P(
    All, EachTokenizer,
    ::testing::Values(TokenizerOptions(WordTokens{}), TokenizerOptions(WordTokens{.mask = true}),
                      TokenizerOptions(CharacterTokens{}),
                      TokenizerOptions(CharacterTokens{.mask = true}),
                      TokenizerOptions(SentencePieceTokens{
                          .algorithm = SentencePieceTokens::Algorithm::kBpe, .vocabulary = 80}),
                      TokenizerOptions(SentencePieceTokens{.vocabulary = 30}),
                      TokenizerOptions(SentencePieceTokens{.vocabulary = 31, .mask = true})));

TEST(TokenizerFromJson, NamesWhatIsWrong) {
  EXPECT_THAT(TokenizerFromJson({{"kind", "runes"}}), StatusIs(kInvalid, HasSubstr("runes")));
  EXPECT_THAT(TokenizerFromJson({{"kind", "words"}, {"split", "spaces"}}),
              StatusIs(kInvalid, HasSubstr("tokens")));
  EXPECT_THAT(TokenizerFromJson({{"kind", "characters"}, {"tokens", {"a", "a"}}}),
              StatusIs(kInvalid, HasSubstr("twice")));
}

}  // namespace
}  // namespace hone::engine::text
