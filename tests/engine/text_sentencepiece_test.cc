#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/text/growing_text.h"
#include "engine/text/pretrained_tokenizer.h"
#include "engine/text/sentencepiece_model.h"
#include "engine/text/sentencepiece_program.h"
#include "engine/text/sentencepiece_tokenizer.h"
#include "engine/text/tokenizer.h"
#include "tests/support/sentencepiece_program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::text {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ids = std::vector<int32_t>;
using Lines = std::vector<std::string>;

// Held against tests/golden/sentencepiece_ids.json: what SentencePiece itself makes of the same
// texts by the same models.
const nlohmann::json& Golden() {
  static const auto* const golden = new nlohmann::json([] {
    std::ifstream file(HONE_SOURCE_DIR "/tests/golden/sentencepiece_ids.json");
    return nlohmann::json::parse(file);
  }());
  return *golden;
}

std::string ModelOf(absl::string_view name) {
  std::string bytes;
  for (const nlohmann::json& model : Golden().at("models")) {
    if (model.at("name").get<std::string>() == std::string(name)) {
      EXPECT_TRUE(absl::Base64Unescape(model.at("model").get<std::string>(), &bytes));
    }
  }
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

std::unique_ptr<const Tokenizer> TokenizerOf(absl::string_view name) {
  return NewSentencePieceTokenizer(ModelOf(name)).value();
}

Ids Encode(const Tokenizer& tokenizer, absl::string_view text) {
  Ids ids;
  tokenizer.Encode(text, ids);
  return ids;
}

bool Contains(const Ids& ids, int32_t id) { return std::ranges::find(ids, id) != ids.end(); }

absl::StatusOr<std::unique_ptr<const Tokenizer>> Train(const SentencePieceTokens& options,
                                                       const Lines& texts) {
  return TrainTokenizer(options, {static_cast<int64_t>(texts.size()), [&](int64_t i) {
                                    return absl::string_view(texts[static_cast<size_t>(i)]);
                                  }});
}

constexpr auto kBpe = SentencePieceTokens::Algorithm::kBpe;

// Each of five words with each other one.
Lines Pairs() {
  Lines pairs;
  for (const char* first : {"painted", "repainted", "painting", "house", "houses"}) {
    for (const char* second : {"painted", "repainted", "painting", "house", "houses"}) {
      pairs.push_back(absl::StrCat(first, " ", second));
    }
  }
  return pairs;
}

// While it lives, this is the program that trains.
class OtherProgram {
 public:
  explicit OtherProgram(const std::string& path) {
    if (const char* before = std::getenv(kVariable); before != nullptr) {
      before_ = before;
    }
    ::setenv(kVariable, path.c_str(), 1);
  }
  ~OtherProgram() { ::setenv(kVariable, before_.c_str(), 1); }

 private:
  static constexpr char kVariable[] = "HONE_SENTENCEPIECE";
  std::string before_;
};

TEST(SentencePieceTokenizer, GivesTheIdsOfTheLibrary) {
  const auto texts = Golden().at("texts").get<Lines>();
  for (const nlohmann::json& model : Golden().at("models")) {
    const auto name = model.at("name").get<std::string>();
    if (absl::EndsWith(name, "of a map")) {
      continue;  // those of checkpoints alone are read
    }
    const auto tokenizer = TokenizerOf(name);
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(Encode(*tokenizer, texts[i]), model.at("ids").at(i).get<Ids>())
          << name << ", " << texts[i];
    }
  }
}

TEST(SentencePieceTokenizer, GivesBackEveryTextOfWhichNothingIsUnknown) {
  int64_t compared = 0;
  for (const char* name : {"bpe", "unigram", "bpe of bytes", "bpe with spaces inside pieces"}) {
    const auto tokenizer = TokenizerOf(name);
    for (const std::string& text : Golden().at("texts").get<Lines>()) {
      const Ids ids = Encode(*tokenizer, text);
      // U+2581 is how a piece writes a space.
      if (!Contains(ids, tokenizer->special().unknown) && !absl::StrContains(text, kSpacePiece)) {
        EXPECT_EQ(tokenizer->Decode(ids), text) << name;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 150);
}

TEST(SentencePieceTokenizer, HasNoUnknownTextWhereBytesStandForCharacters) {
  const auto tokenizer = TokenizerOf("bpe of bytes");
  const std::string text = "日本 😀";
  const Ids ids = Encode(*tokenizer, text);
  EXPECT_FALSE(Contains(ids, tokenizer->special().unknown));
  EXPECT_EQ(tokenizer->Decode(ids), text);
  // Without its last byte the last character is none.
  EXPECT_EQ(tokenizer->Decode({ids.data(), ids.size() - 1}), "日本 \uFFFD\uFFFD\uFFFD");
}

TEST(SentencePieceTokenizer, ShowsCharactersOfAGrowingTextWhenTheirLastByteIsThere) {
  const auto tokenizer = TokenizerOf("bpe of bytes");
  const Ids ids = Encode(*tokenizer, "o日 o");
  GrowingText text(*tokenizer, ids[0], {});
  Lines shown;
  for (size_t i = 1; i < ids.size(); ++i) {
    EXPECT_TRUE(text.Add(ids[i]));
    shown.push_back(text.Take());
  }
  EXPECT_THAT(shown, ElementsAre("", "", "日", " o"));
  EXPECT_EQ(text.Finish(), "");
}

TEST(SentencePieceTokenizer, ReadsALongTextAsItReadsItsLines) {
  for (const char* name : {"bpe", "unigram"}) {
    const auto tokenizer = TokenizerOf(name);
    const std::string line = "my friend was watching the old house .\n";
    const Ids one = Encode(*tokenizer, line), two = Encode(*tokenizer, line + line);
    const Ids next(two.begin() + static_cast<ptrdiff_t>(one.size()), two.end());
    std::string text;
    Ids expected = one;
    for (int i = 0; i < 5000; ++i) {
      text += line;
      if (i > 0) {
        expected.insert(expected.end(), next.begin(), next.end());
      }
    }
    EXPECT_EQ(Encode(*tokenizer, text), expected) << name;
  }
}

TEST(SentencePieceTokenizer, KnowsWhichTokensGoOnWithAWord) {
  const auto tokenizer = Train({.algorithm = kBpe, .vocabulary = 50}, Pairs());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const Ids ids = Encode(**tokenizer, "housed pained");
  std::string words;
  for (const int32_t id : ids) {
    words += (*tokenizer)->GoesOn(id) ? "" : "|";
    words += (*tokenizer)->Decode({&id, 1});
  }
  EXPECT_EQ(words, "|housed|pained");
  EXPECT_GT(ids.size(), 2U);
  const auto signs = TokenizerOf("bpe");
  const Ids sign = Encode(*signs, "too!");
  EXPECT_FALSE(signs->GoesOn(sign.back()));
}

TEST(SentencePieceTokenizer, ReadsTextsBesideAMaskAsIfAWordStoodThere) {
  const auto tokenizer = TokenizerOf("bpe");
  const Ids whole = Encode(*tokenizer, "the cat, too!");
  const Ids word = Encode(*tokenizer, "the cat");
  Ids with_mask = Encode(*tokenizer, "the cat");
  tokenizer->EncodeBesideMask(", too!", /*joined=*/true, with_mask);
  EXPECT_EQ(with_mask, whole);
  Ids spaced;
  tokenizer->EncodeBesideMask("the ", /*joined=*/false, spaced);
  tokenizer->EncodeBesideMask(" cat", /*joined=*/false, spaced);
  EXPECT_EQ(spaced, word);
  const Ids masked = {spaced[0], tokenizer->special().mask};
  EXPECT_THAT(tokenizer->Decode(masked), HasSubstr(" [MASK]"));
}

TEST(SentencePieceModel, IsRefusedWhereItEndsWithinAFieldAndNeverReadBeyond) {
  const std::string model = ModelOf("bpe");
  int64_t refused = 0;
  for (size_t size = 0; size < model.size(); ++size) {
    refused += SentencePieceModel::Parse(absl::string_view(model).substr(0, size)).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, static_cast<int64_t>(model.size()) / 2);
  EXPECT_THAT(SentencePieceModel::Parse(absl::string_view(model).substr(0, 40)),
              StatusIs(kInvalid, HasSubstr("ends within a field")));
}

TEST(SentencePieceModel, NamesWhatIsWrongWithIt) {
  const auto refused = [](absl::string_view bytes, absl::string_view why) {
    EXPECT_THAT(SentencePieceModel::Parse(bytes), StatusIs(kInvalid, HasSubstr(std::string(why))));
  };
  constexpr absl::string_view kUnknownPiece("\x0A\x09\x0A\x05<unk>\x18\x02", 11);
  refused("", "0 unknown pieces");
  refused(absl::StrCat(kUnknownPiece, kUnknownPiece), "piece 1 comes twice");
  refused(absl::StrCat(kUnknownPiece, absl::string_view("\x0A\x02\x18\x01", 4)),
          "piece 1 is empty");
  refused(absl::StrCat(kUnknownPiece, absl::string_view("\x0A\x03\x0A\x01\xFF", 5)), "no UTF-8");
  refused(absl::StrCat(kUnknownPiece, absl::string_view("\x0A\x05\x0A\x01\x61\x18\x09", 7)),
          "unknown type 9");
  refused(absl::StrCat(kUnknownPiece, absl::string_view("\x12\x02\x18\x03", 4)),
          "of words or characters");
  refused(absl::StrCat(kUnknownPiece, absl::string_view("\x12\x03\x98\x02\x01", 5)),
          "lacks pieces for some bytes");
  const std::string with_map =
      absl::StrCat(kUnknownPiece, absl::string_view("\x1A\x03\x12\x01x", 5));
  EXPECT_THAT(NewSentencePieceTokenizer(with_map),
              StatusIs(kInvalid, HasSubstr("data.text.cleaning.normalization")));
  EXPECT_THAT(TokenizerFromJson({{"kind", "sentencepiece"}, {"model", "*"}}),
              StatusIs(kInvalid, HasSubstr("Base64")));
  EXPECT_THAT(TokenizerFromJson({{"kind", "sentencepiece"}}),
              StatusIs(kInvalid, HasSubstr("model")));
}

// A checkpoint's folder that has a model of SentencePiece and no tokenizer.json.
class SentencePieceOfCheckpoint : public ::testing::Test {
 protected:
  SentencePieceOfCheckpoint() { std::filesystem::create_directories(path_); }
  ~SentencePieceOfCheckpoint() override { std::filesystem::remove_all(path_); }

  absl::StatusOr<ReadTokenizer> Read(absl::string_view model, const nlohmann::json& config,
                                     const std::string& file = "tokenizer.model") const {
    std::ofstream(path_ + "/" + file, std::ios::binary) << ModelOf(model);
    std::ofstream(path_ + "/tokenizer_config.json") << config.dump();
    return ReadPretrainedTokenizer(path_);
  }

  const std::string path_ = ::testing::TempDir() + "/hone-" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(SentencePieceOfCheckpoint, GivesTheTokensOfTheLibrary) {
  for (const char* name : {"bpe of bytes", "bpe with spaces inside pieces", "unigram of bytes",
                           "unigram of single spaces", "unigram of a map", "bpe of a map"}) {
    const auto read = Read(name, nlohmann::json::object());
    ASSERT_THAT(read, IsOk());
    EXPECT_EQ(read->file, "tokenizer.model");
    for (const nlohmann::json& model : Golden().at("models")) {
      for (size_t i = 0; model.at("name") == name && i < Golden().at("texts").size(); ++i) {
        const auto text = Golden().at("texts")[i].get<std::string>();
        if (absl::StrContains(text, "<s>") || absl::EndsWith(text, kSpacePiece)) {
          continue;  // special tokens are recognised, and a U+2581 at the end is no space
        }
        EXPECT_EQ(Encode(*read->tokenizer, text), model.at("ids")[i].get<Ids>()) << text;
      }
    }
  }
}

TEST_F(SentencePieceOfCheckpoint, PutsAroundATextWhatTheConfigSays) {
  const auto ids = [&](const nlohmann::json& config) {
    const auto read = Read("bpe of bytes", config);
    EXPECT_THAT(read, IsOk());
    return read.ok() ? read->tokenizer->EncodeInTemplate("the").ids : Ids();
  };
  const Ids alone = ids({{"add_bos_token", false}});
  Ids begun = alone, ended = alone;
  begun.insert(begun.begin(), 1);
  ended.push_back(2);
  EXPECT_EQ(ids(nlohmann::json::object()), begun);
  EXPECT_EQ(ids({{"add_bos_token", false}, {"add_eos_token", true}}), ended);
}

TEST_F(SentencePieceOfCheckpoint, TakesTokensThatTheConfigAdds) {
  const nlohmann::json token = {{"content", "<|im_start|>"}, {"special", true},
                                {"single_word", false},      {"lstrip", false},
                                {"rstrip", false},           {"normalized", false}};
  const auto read = Read("bpe of bytes", {{"added_tokens_decoder", {{"340", token}}}});
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokenizer->IdOf("<|im_start|>"), 340);
  EXPECT_EQ(Encode(*read->tokenizer, "<|im_start|>"), Ids({340}));
}

TEST_F(SentencePieceOfCheckpoint, ComesBackAsTheText) {
  const auto read = Read("bpe of bytes", nlohmann::json::object());
  ASSERT_THAT(read, IsOk());
  const std::string text = "the café\n日本  houses";
  EXPECT_EQ(read->tokenizer->Decode(Encode(*read->tokenizer, text)), text);
}

TEST_F(SentencePieceOfCheckpoint, OfAMapComesBackAsTheTextThatTheMapMakes) {
  const auto read = Read("unigram of a map", nlohmann::json::object());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokenizer->Decode(Encode(*read->tokenizer, "the  café!\nand ß ")),
            "the cafe and ss");
}

TEST_F(SentencePieceOfCheckpoint, OfAMapStandsForTheBytesOfTheText) {
  const auto read = Read("unigram of a map", nlohmann::json::object());
  ASSERT_THAT(read, IsOk());
  const std::string text = "  café house";
  const TokenizedText tokens = read->tokenizer->EncodeWithBytes(text);
  ASSERT_FALSE(tokens.bytes.empty());
  EXPECT_EQ(tokens.bytes.back().end, text.size());
  for (const TokenizedText::Bytes& bytes : tokens.bytes) {
    EXPECT_LT(bytes.begin, bytes.end);
  }
}

TEST_F(SentencePieceOfCheckpoint, ThatSaysNoClassIsUsedAsT5DoesWhereItIsASpieceModel) {
  const auto read = Read("unigram of bytes", {{"extra_ids", 2}}, "spiece.model");
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->file, "spiece.model");
  const int32_t size = 300;
  EXPECT_EQ(read->tokenizer->size(), size + 2);
  EXPECT_EQ(read->tokenizer->IdOf("<extra_id_0>"), size + 1);
  EXPECT_EQ(read->tokenizer->IdOf("<extra_id_1>"), size);
  EXPECT_EQ(read->roles.end, 2);
  Ids ended = Encode(*read->tokenizer, "the cat");
  ended.push_back(2);
  EXPECT_EQ(read->tokenizer->EncodeInTemplate("the cat").ids, ended);
}

TEST_F(SentencePieceOfCheckpoint, OfT5HasAHundredTokensBehindItUnlessTheConfigSaysOthers) {
  const auto read = Read("unigram of bytes", {{"tokenizer_class", "T5TokenizerFast"}});
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokenizer->size(), 400);
  EXPECT_THAT(
      Read("unigram of bytes", {{"tokenizer_class", "T5Tokenizer"}, {"extra_ids", -1}}).status(),
      StatusIs(kInvalid, HasSubstr("extra_ids: must be a whole number")));
}

TEST_F(SentencePieceOfCheckpoint, TakesAddedTokensInTheOrderOfTheirIds) {
  nlohmann::json added = nlohmann::json::object();
  for (int id = 300; id < 1010; ++id) {
    added[absl::StrCat(id)] = {{"content", absl::StrCat("<extra_id_", 1009 - id, ">")},
                               {"special", true}};
  }
  const auto read = Read("unigram of bytes", {{"added_tokens_decoder", added}}, "spiece.model");
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokenizer->IdOf("<extra_id_0>"), 1009);
  EXPECT_EQ(read->tokenizer->IdOf("<extra_id_709>"), 300);
  EXPECT_THAT(read->overridden, ::testing::IsEmpty());
}

TEST_F(SentencePieceOfCheckpoint, IsRefusedWhereItsTokensWouldBeOthers) {
  EXPECT_THAT(Read("bpe of unused pieces", nlohmann::json::object()).status(),
              StatusIs(kInvalid, AllOf(HasSubstr("tokenizer.model: "), HasSubstr("out of use"))));
}

TEST_F(SentencePieceOfCheckpoint, OfAnotherClassIsRefusedByName) {
  EXPECT_THAT(Read("unigram", {{"tokenizer_class", "AlbertTokenizer"}}, "spiece.model").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("spiece.model: "), HasSubstr("AlbertTokenizer"),
                                       HasSubstr("save_pretrained"))));
}

TEST_F(SentencePieceOfCheckpoint, WhoseIdsAreNotThoseOfThePiecesIsRefused) {
  EXPECT_THAT(Read("unigram", nlohmann::json::object(), "sentencepiece.bpe.model").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("sentencepiece.bpe.model: the ids"),
                                       HasSubstr("save_pretrained"))));
}

TEST(TrainSentencePieces, MakesLineBreaksTokensAndLeavesSpacesAsTheyAre) {
  Lines texts = Pairs();
  texts.emplace_back("house\n\thouses\nhouse");
  const auto tokenizer =
      Train({.algorithm = kBpe, .vocabulary = 50, .character_coverage = 1}, texts);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string text = "  house\n\n\tpainted  houses \n";
  const Ids ids = Encode(**tokenizer, text);
  EXPECT_FALSE(Contains(ids, (*tokenizer)->special().unknown));
  EXPECT_EQ((*tokenizer)->Decode(ids), text);
}

TEST(TrainSentencePieces, MakesTheMaskATokenBehindTheOtherSpecialOnes) {
  const auto tokenizer = Train({.algorithm = kBpe, .vocabulary = 40, .mask = true}, Pairs());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->special().mask, 3);
  EXPECT_FALSE(Contains(Encode(**tokenizer, "[MASK]"), 3));
}

// The library leaves sentences out that are too long, and the last words of a long text with them.
TEST(TrainSentencePieces, LeavesNothingOfALongTextOut) {
  std::string text;
  while (text.size() < 40000) {
    text += "painted houses ";
  }
  const auto tokenizer = Train({.algorithm = kBpe, .vocabulary = 25, .character_coverage = 1},
                               {text + "ZQ " + std::string(9000, 'w') + "X"});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_FALSE(Contains(Encode(**tokenizer, "ZQwX"), (*tokenizer)->special().unknown));
}

TEST(TrainSentencePieces, SaysWhichVocabularyTheTextsCanHave) {
  for (const auto algorithm : {kBpe, SentencePieceTokens::Algorithm::kUnigram}) {
    EXPECT_THAT(Train({.algorithm = algorithm, .vocabulary = 9000}, Pairs()),
                StatusIs(kInvalid, AllOf(HasSubstr("sentencepiece.vocabulary: must be at most "),
                                         HasSubstr("got 9000"))));
    EXPECT_THAT(Train({.algorithm = algorithm, .vocabulary = 6}, Pairs()),
                StatusIs(kInvalid, AllOf(HasSubstr("sentencepiece.vocabulary: must be at least "),
                                         HasSubstr("got 6"))));
    EXPECT_THAT(Train({.algorithm = algorithm, .vocabulary = 1}, Pairs()),
                StatusIs(kInvalid, HasSubstr("must be more than 3")));
    EXPECT_THAT(Train({.algorithm = algorithm, .vocabulary = 259, .byte_fallback = true}, Pairs()),
                StatusIs(kInvalid, HasSubstr("must be more than 259")));
  }
}

TEST(TrainSentencePieces, MayBeDoneBySeveralThreadsAtATime) {
  const auto expected = Train({.algorithm = kBpe, .vocabulary = 40}, Pairs());
  ASSERT_TRUE(expected.ok()) << expected.status();
  std::vector<nlohmann::json> made(3);
  {
    std::vector<std::jthread> threads;
    for (nlohmann::json& json : made) {
      threads.emplace_back([&json] {
        const auto tokenizer = Train({.algorithm = kBpe, .vocabulary = 40}, Pairs());
        json = tokenizer.ok() ? (*tokenizer)->ToJson() : nlohmann::json();
      });
    }
  }
  EXPECT_THAT(made, ::testing::Each((*expected)->ToJson()));
}

TEST(TrainSentencePieces, SaysWhereTheProgramIsMissing) {
  const OtherProgram none("/nowhere/hone-sentencepiece");
  EXPECT_THAT(Train({.vocabulary = 30}, Pairs()),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("HONE_SENTENCEPIECE=/nowhere/hone-sentencepiece")));
}

TEST(TrainSentencePieces, SaysWhereTheProgramEndsOrAnswersNonsense) {
  {
    const OtherProgram ends("/bin/true");
    EXPECT_THAT(Train({.vocabulary = 30}, Pairs()),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("exited with 0")));
  }
  const OtherProgram echo("/bin/cat");
  EXPECT_THAT(Train({.vocabulary = 30}, Pairs()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("no answer")));
}

// Its library makes threads, of which each has a stack of 8 MiB, and one that fails cannot say so.
TEST(TrainSentencePieces, SaysWhereItsMemoryIsNotEnough) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "under sanitizers memory is no measure";
#endif
  const std::string script = ::testing::TempDir() + "/little-memory";
  for (const char* begin :
       {"ulimit -s 8192\nulimit -d 20000\nexec " HONE_SENTENCEPIECE_BINARY, "exit 3",
        "ulimit -s 8192\nulimit -d 6000\nexec " HONE_SENTENCEPIECE_BINARY}) {
    std::ofstream(script) << "#!/bin/sh\n" << begin << "\n";
    std::filesystem::permissions(script, std::filesystem::perms::owner_all);
    const OtherProgram with_little(script);
    EXPECT_TRUE(IsOutOfMemory(Train({.vocabulary = 20}, Pairs()).status())) << begin;
  }
}

TEST(SentencePieceProgram, ThatIsKilledIsAnErrorThatAnotherTryMayNotHave) {
  const auto program = SentencePieceProgram::Start();
  ASSERT_TRUE(program.ok()) << program.status();
  const auto answer = (*program)->Train({{"vocab_size", "30"}},
                                        [&](absl::FunctionRef<bool(absl::string_view)> visit) {
                                          visit("painted houses");
                                          ::kill((*program)->pid(), SIGKILL);
                                          visit("houses");
                                        });
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ended by signal 9")));
  EXPECT_THAT(Train({.algorithm = kBpe, .vocabulary = 40}, Pairs()), IsOk());
}

TEST(SentencePieceProgram, TrainsOneModelAfterAnother) {
  const auto program = SentencePieceProgram::Start();
  ASSERT_TRUE(program.ok()) << program.status();
  const auto train = [&](const std::string& vocabulary) {
    return (*program)->Train(
        {{"vocab_size", vocabulary}, {"model_type", "bpe"}, {"minloglevel", "2"}},
        [](absl::FunctionRef<bool(absl::string_view)> visit) {
          for (const std::string& text : Pairs()) {
            visit(text);
          }
        });
  };
  const auto wrong = train("7"), right = train("30"), again = train("30");
  ASSERT_TRUE(wrong.ok() && right.ok() && again.ok()) << wrong.status() << right.status();
  EXPECT_FALSE(wrong->trained);
  EXPECT_TRUE(right->trained);
  EXPECT_EQ(right->bytes, again->bytes);
}

}  // namespace
}  // namespace hone::engine::text
