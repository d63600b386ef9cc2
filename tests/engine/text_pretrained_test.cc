#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/text/growing_text.h"
#include "engine/text/pretrained_tokenizer.h"
#include "engine/text/unicode.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::text {
namespace {

using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Held against tests/golden/pretrained_tokens.json: what the Python package tokenizers makes of the
// same texts by the same files (pretrained_tokens.py).
const nlohmann::json& Golden() {
  static const auto* const golden = new nlohmann::json([] {
    std::ifstream file(HONE_SOURCE_DIR "/tests/golden/pretrained_tokens.json");
    return nlohmann::json::parse(file);
  }());
  return *golden;
}

std::string GoldenJson(absl::string_view name) {
  for (const nlohmann::json& one : Golden()["tokenizers"]) {
    if (one["name"].get<std::string>() == name) {
      return one["tokenizer"].get<std::string>();
    }
  }
  return "";
}

std::unique_ptr<const PretrainedTokenizer> Parsed(const std::string& json,
                                                  const TokenRoles* roles = nullptr) {
  auto tokenizer = ParseTokenizerJson(json, roles);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// The tokenizer of `name` with the part at `path` replaced.
absl::Status ErrorOf(absl::string_view name, const std::string& path, const nlohmann::json& part) {
  nlohmann::json json = nlohmann::json::parse(GoldenJson(name));
  json[nlohmann::json::json_pointer(path)] = part;
  return ParseTokenizerJson(json.dump()).status();
}

std::vector<int32_t> FlatBytes(const TokenizedText& text) {
  std::vector<int32_t> flat;
  for (const TokenizedText::Bytes& bytes : text.bytes) {
    flat.push_back(static_cast<int32_t>(bytes.begin));
    flat.push_back(static_cast<int32_t>(bytes.end));
  }
  return flat;
}

// A folder that is gone with the test.
class PretrainedFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::filesystem::path path_;
};

class GoldenTokens : public ::testing::TestWithParam<size_t> {
 protected:
  const nlohmann::json& golden() const { return Golden()["tokenizers"][GetParam()]; }
  std::string text(size_t i) const { return Golden()["texts"][i].get<std::string>(); }
};

TEST_P(GoldenTokens, HaveTheIdsOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    EXPECT_EQ(tokenizer->EncodeInTemplate(text(i)).ids,
              golden()["ids"][i].get<std::vector<int32_t>>())
        << text(i);
  }
}

TEST_P(GoldenTokens, StandForTheBytesOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    EXPECT_EQ(FlatBytes(tokenizer->EncodeInTemplate(text(i))),
              golden()["bytes"][i].get<std::vector<int32_t>>())
        << text(i);
  }
}

TEST_P(GoldenTokens, ComeBackAsTheTextOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    EXPECT_EQ(tokenizer->Decode(golden()["ids"][i].get<std::vector<int32_t>>()),
              golden()["decoded"][i].get<std::string>())
        << text(i);
  }
}

TEST_P(GoldenTokens, OfAPairHaveTheIdsAndSegmentsOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  const TokenizedText pair = tokenizer->EncodePairInTemplate(text(0), text(4));
  EXPECT_EQ(pair.ids, golden()["pair"]["ids"].get<std::vector<int32_t>>());
  EXPECT_EQ(pair.types, golden()["pair"]["types"].get<std::vector<int32_t>>());
}

TEST_P(GoldenTokens, AreTheSameWithAndWithoutBytes) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  for (size_t i = 0; i < Golden()["texts"].size(); ++i) {
    std::vector<int32_t> ids;
    tokenizer->Encode(text(i), ids);
    EXPECT_EQ(ids, tokenizer->EncodeWithBytes(text(i)).ids) << text(i);
  }
}

// The tokens that the Python package was given by add_tokens.
std::vector<std::string> NewTokens() {
  return Golden()["new_tokens"].get<std::vector<std::string>>();
}

TEST_P(GoldenTokens, ThatAreAddedHaveTheIdsOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  const auto grown = WithNewTokens(*tokenizer, NewTokens());
  ASSERT_TRUE(grown.ok()) << grown.status();
  std::vector<int32_t> ids;
  for (const std::string& token : NewTokens()) {
    ids.push_back((*grown)->IdOf(token));
  }
  EXPECT_EQ(ids, golden()["new"]["tokens"].get<std::vector<int32_t>>());
  for (size_t i = 0; i < Golden()["new_texts"].size(); ++i) {
    const std::string text = Golden()["new_texts"][i].get<std::string>();
    EXPECT_EQ((*grown)->EncodeInTemplate(text).ids,
              golden()["new"]["ids"][i].get<std::vector<int32_t>>())
        << text;
  }
}

TEST_P(GoldenTokens, ThatAreAddedComeBackAsTheTextOfThePythonPackage) {
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>());
  ASSERT_NE(tokenizer, nullptr);
  const auto grown = WithNewTokens(*tokenizer, NewTokens());
  ASSERT_TRUE(grown.ok()) << grown.status();
  for (size_t i = 0; i < Golden()["new_texts"].size(); ++i) {
    EXPECT_EQ((*grown)->Decode(golden()["new"]["ids"][i].get<std::vector<int32_t>>()),
              golden()["new"]["decoded"][i].get<std::string>());
  }
}

TEST_P(GoldenTokens, StayTheSameWhenTheTokenizerIsStoredAndReadBack) {
  const TokenRoles roles = {.unknown = 1, .padding = 0, .begin = 2, .end = 3, .mask = 4};
  const auto tokenizer = Parsed(golden()["tokenizer"].get<std::string>(), &roles);
  ASSERT_NE(tokenizer, nullptr);
  const auto again = TokenizerFromJson(tokenizer->ToJson());
  ASSERT_TRUE(again.ok()) << again.status();
  std::vector<int32_t> before, behind;
  tokenizer->Encode(text(0), before);
  (*again)->Encode(text(0), behind);
  EXPECT_EQ(before, behind);
  EXPECT_EQ((*again)->special().mask, 4);
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, GoldenTokens,
                         ::testing::Range(size_t{0}, Golden()["tokenizers"].size()));

TEST(TokenizerJson, SaysThatItsTruncationAndPaddingAreNotUsed) {
  nlohmann::json json = nlohmann::json::parse(GoldenJson("BERT in lower case"));
  json["truncation"] = {{"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json["padding"] = {{"strategy", {{"Fixed", 128}}}};
  std::vector<std::string> said;
  const auto tokenizer = ParseTokenizerJson(json.dump(), nullptr, &said);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(said, ElementsAre(HasSubstr("behind 4 tokens"), HasSubstr("padding")));
  EXPECT_GT((*tokenizer)->EncodeInTemplate("the cat the cat").ids.size(), 4);
}

TEST(TokenizerJson, NamesAPartThatIsNotKnownByItsPath) {
  EXPECT_THAT(ErrorOf("BERT in lower case", "/normalizer/type", "Nmt"),
              StatusIs(kInvalid, AllOf(HasSubstr("normalizer.type"), HasSubstr("Nmt"),
                                       HasSubstr("BertNormalizer"))));
  EXPECT_THAT(ErrorOf("Llama 3", "/pre_tokenizer/pretokenizers/0/type", "Jieba"),
              StatusIs(kInvalid, HasSubstr("pre_tokenizer.pretokenizers[0].type")));
  EXPECT_THAT(ErrorOf("Llama 2", "/decoder/decoders/1/type", "CTC"),
              StatusIs(kInvalid, HasSubstr("decoder.decoders[1].type")));
  EXPECT_THAT(ErrorOf("Unigram", "/model/type", "WordLevel"),
              StatusIs(kInvalid, HasSubstr("model.type")));
  EXPECT_THAT(ErrorOf("GPT-2", "/post_processor/type", "Other"),
              StatusIs(kInvalid, HasSubstr("post_processor.type")));
}

TEST(TokenizerJson, NamesASettingThatIsNotKnown) {
  EXPECT_THAT(ErrorOf("GPT-2", "/model/vocab_hash", 1),
              StatusIs(kInvalid, HasSubstr("model.vocab_hash: is not known here")));
  EXPECT_THAT(ErrorOf("GPT-2", "/model/dropout", 0.1),
              StatusIs(kInvalid, HasSubstr("model.dropout")));
}

TEST(TokenizerJson, RefusesAPatternThatExplodes) {
  for (const char* pattern : {"(a|a)+b", "(a+)+$"}) {
    EXPECT_THAT(ErrorOf("Llama 3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", pattern),
                StatusIs(kInvalid, AllOf(HasSubstr("pretokenizers[0].pattern.Regex"),
                                         HasSubstr("too many steps"))));
  }
}

TEST(TokenizerJson, RefusesAPatternThatIsNone) {
  EXPECT_THAT(ErrorOf("Llama 3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "(a"),
              StatusIs(kInvalid, HasSubstr("no regular expression")));
}

// The bytes of a map of characters: the size of its trie, units of it, "x" and a zero byte.
std::string MapOf(uint32_t trie_bytes, std::vector<uint32_t> units, size_t count = 256) {
  units.resize(count);
  units.insert(units.begin(), trie_bytes);
  std::string bytes;
  for (const uint32_t unit : units) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<char>(unit >> shift));
    }
  }
  return absl::StrCat(bytes, absl::string_view("x\0", 2));
}

absl::Status ErrorOfMap(const std::string& bytes) {
  return ErrorOf("Unigram of bytes", "/normalizer",
                 {{"type", "Precompiled"}, {"precompiled_charsmap", absl::Base64Escape(bytes)}});
}

// Its children are the units 1 ^ byte; a key may end at the one of 'a', whose own are 2 ^ byte.
constexpr uint32_t kRoot = 1 << 10;
constexpr size_t kUnitOfA = 1 ^ 'a';
std::vector<uint32_t> WithUnitOfA(uint32_t unit, uint32_t value) {
  std::vector<uint32_t> units(256);
  units[0] = kRoot;
  units[kUnitOfA] = unit;
  units[2] = value;
  return units;
}
constexpr uint32_t kEndsKey = 1 << 8;
constexpr uint32_t kUnitToTwo = (kUnitOfA ^ 2) << 10 | kEndsKey | 'a';

TEST(TokenizerJson, TakesAMapOfCharactersThatIsWhole) {
  EXPECT_TRUE(ErrorOfMap(MapOf(1024, WithUnitOfA(kUnitToTwo, 0))).ok());
  EXPECT_TRUE(ErrorOfMap(MapOf(1024, {})).ok());  // without keys: a way that leads back to itself
}

TEST(TokenizerJson, NamesWhatIsWrongWithAMapOfCharacters) {
  const auto refused = [](const std::string& bytes, absl::string_view why) {
    EXPECT_THAT(ErrorOfMap(bytes),
                StatusIs(kInvalid, AllOf(HasSubstr("normalizer.precompiled_charsmap: is no map of "
                                                   "characters: "),
                                         HasSubstr(std::string(why)))));
  };
  refused("", "it has 0 bytes");
  refused("abc", "it has 3 bytes");
  refused(MapOf(0, {}), "must be a multiple of 1024");
  refused(MapOf(1020, {}), "must be a multiple of 1024");
  refused(MapOf(4096, {}), "its trie has 4096 bytes, of which 1026 are there");
  refused(MapOf(0xffffffff, {}), "its trie has 4294967295 bytes");
  refused(MapOf(1024, {256 << 10}), "unit 0 of its trie points to unit 256 of 256");
  refused(MapOf(1024, WithUnitOfA(300 << 10 | 'a', 0)), "unit 96 of its trie points to unit");
  refused(MapOf(1024, WithUnitOfA(kUnitToTwo, 2)), "a replacement at byte 2 of 2 is none");
  refused(MapOf(1024, WithUnitOfA(kUnitToTwo, 0x7fffffff)), "a replacement at byte 2147483647");
  refused(MapOf(1024, {}) + "\xff", "its replacements are no UTF-8");
  EXPECT_THAT(ErrorOf("Unigram of bytes", "/normalizer",
                      {{"type", "Precompiled"}, {"precompiled_charsmap", "*"}}),
              StatusIs(kInvalid, HasSubstr("must be written in Base64")));
  EXPECT_THAT(ErrorOf("Unigram of bytes", "/normalizer",
                      {{"type", "Precompiled"}, {"precompiled_charsmap", nullptr}}),
              StatusIs(kInvalid, HasSubstr("precompiled_charsmap")));
}

TEST(TokenizerJson, RefusesAReplacementWithinACharacter) {
  EXPECT_THAT(ErrorOfMap(MapOf(1024, WithUnitOfA(kUnitToTwo, 3)) + "é"),
              StatusIs(kInvalid, HasSubstr("a replacement at byte 3 of 4 is none")));
}

TEST(TokenizerJson, RefusesAMapOfCharactersThatMakesTextsFarTooLong) {
  EXPECT_THAT(
      ErrorOfMap(MapOf(1024, WithUnitOfA(kUnitToTwo, 2)) + std::string(5000, 'x')),
      StatusIs(kInvalid, AllOf(HasSubstr("precompiled_charsmap"), HasSubstr("4096 times"))));
}

TEST(TokenizerJson, RefusesAMergeOfATokenThatIsNotThere) {
  EXPECT_THAT(ErrorOf("GPT-2", "/model/merges/0", {"t", "no such"}),
              StatusIs(kInvalid, AllOf(HasSubstr("model.merges"), HasSubstr("no such"))));
}

TEST(TokenizerJson, RefusesTwoTokensOfOneId) {
  EXPECT_THAT(ErrorOf("BERT in lower case", "/model/vocab/the", 5),
              StatusIs(kInvalid, HasSubstr("the same id 5")));
}

TEST(TokenizerJson, RefusesATemplateWithATokenBeyondTheVocabulary) {
  EXPECT_THAT(ErrorOf("BERT in lower case", "/post_processor/special_tokens/[CLS]/ids/0", 70000),
              StatusIs(kInvalid, HasSubstr("special_tokens.[CLS].ids[0]")));
}

TEST(TokenizerJson, RefusesWhatIsCutShort) {
  const std::string json = GoldenJson("GPT-2");
  EXPECT_THAT(ParseTokenizerJson(json.substr(0, json.size() / 2)).status(),
              StatusIs(kInvalid, HasSubstr("no JSON")));
}

TEST(TokenizerJson, RefusesWhatNestsTooDeeply) {
  EXPECT_THAT(ParseTokenizerJson("{\"model\": " + std::string(1 << 20, '[')).status(),
              StatusIs(kInvalid, HasSubstr("within each other")));
}

absl::Status ErrorOfNewTokens(const std::vector<std::string>& tokens) {
  return WithNewTokens(*Parsed(GoldenJson("BERT in lower case")), tokens).status();
}

TEST(NewTokens, StandBehindTheOthersAndAreNotSpecial) {
  const auto before = Parsed(GoldenJson("GPT-2"));
  const auto grown = WithNewTokens(*before, {"<a>", "<b>"});
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ((*grown)->size(), before->size() + 2);
  EXPECT_EQ((*grown)->IdOf("<b>"), before->size() + 1);
  EXPECT_FALSE((*grown)->IsSpecial((*grown)->IdOf("<a>")));
}

TEST(NewTokens, LeaveTheTokensOfOtherTextsAsTheyWere) {
  const auto before = Parsed(GoldenJson("Llama 3"));
  const auto grown = WithNewTokens(*before, {"<a>", "<b>"});
  ASSERT_TRUE(grown.ok()) << grown.status();
  for (const nlohmann::json& text : Golden()["texts"]) {
    EXPECT_EQ((*grown)->EncodeInTemplate(text.get<std::string>()).ids,
              before->EncodeInTemplate(text.get<std::string>()).ids);
  }
}

TEST(NewTokens, AreStoredWithTheTokenizer) {
  const TokenRoles roles = {.unknown = 1, .padding = 0, .begin = 2, .end = 3, .mask = 4};
  const auto before = Parsed(GoldenJson("BERT in lower case"), &roles);
  const auto grown = WithNewTokens(*before, {"<a>"});
  ASSERT_TRUE(grown.ok()) << grown.status();
  const auto again = TokenizerFromJson((*grown)->ToJson());
  ASSERT_TRUE(again.ok()) << again.status();
  std::vector<int32_t> ids;
  (*again)->Encode("the<a>", ids);
  EXPECT_EQ(ids.back(), before->size());
  EXPECT_EQ((*again)->special().mask, 4);
}

TEST(NewTokens, ThatTheTokenizerHasAreRefused) {
  EXPECT_THAT(ErrorOfNewTokens({"<a>", "[MASK]"}),
              StatusIs(kInvalid, "[1] (\"[MASK]\"): the tokenizer has it already, with the id 4"));
}

TEST(NewTokens, ThatAreThereTwiceAreRefused) {
  EXPECT_THAT(ErrorOfNewTokens({"<a>", "<b>", "<a>"}),
              StatusIs(kInvalid, "[2] (\"<a>\"): is there twice, as [0], too"));
}

TEST(NewTokens, WithoutCharactersAreRefused) {
  EXPECT_THAT(ErrorOfNewTokens({""}),
              StatusIs(kInvalid, "[0] (\"\"): must have at least one character"));
}

TEST(NewTokens, ThatAreNoUtf8AreRefused) {
  EXPECT_THAT(ErrorOfNewTokens({"<\xff>"}), StatusIs(kInvalid, HasSubstr("must be UTF-8")));
}

TEST(NewTokens, ThatDifferFromAnotherOneByTheirCaseAloneAreRefusedWhereThatIsDropped) {
  EXPECT_THAT(ErrorOfNewTokens({"<a>", "<A>"}),
              StatusIs(kInvalid, HasSubstr("would not be found in a text")));
}

TEST(NewTokens, OfATokenizerWhoseIdsHaveGapsAreRefused) {
  nlohmann::json json = nlohmann::json::parse(GoldenJson("BERT in lower case"));
  json["model"]["vocab"]["far"] = 5000;
  EXPECT_THAT(WithNewTokens(*Parsed(json.dump()), {"<a>"}).status(),
              StatusIs(kInvalid, HasSubstr("have gaps")));
}

TEST(PretrainedTokens, OfACharacterInSeveralPartsAreShownWhenItIsWhole) {
  const auto tokenizer = Parsed(GoldenJson("GPT-2"));
  ASSERT_NE(tokenizer, nullptr);
  std::vector<int32_t> ids;
  tokenizer->Encode("a 我 b", ids);
  GrowingText text(*tokenizer, ids[0], {});
  std::string shown;
  for (size_t i = 1; i < ids.size(); ++i) {
    text.Add(ids[i]);
    const std::string more = text.Take();
    EXPECT_EQ(CountCharacters(more) > 0, !more.empty());
    EXPECT_THAT(more, ::testing::Not(HasSubstr("\xEF\xBF\xBD")));
    shown += more;
  }
  EXPECT_EQ(shown + text.Finish(), " 我 b");
}

TEST(PretrainedTokens, ThatAreSpecialAreNoPartOfTheText) {
  const auto tokenizer = Parsed(GoldenJson("BERT in lower case"));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Decode(tokenizer->EncodeInTemplate("The cat").ids), "the cat");
  EXPECT_TRUE(tokenizer->IsSpecial(tokenizer->IdOf("[SEP]")));
  EXPECT_EQ(tokenizer->Written(tokenizer->IdOf("##fe")), "##fe");
}

TEST(PretrainedTokens, ThatGoOnWithAWordSaySo) {
  const auto bert = Parsed(GoldenJson("BERT in lower case"));
  EXPECT_TRUE(bert->GoesOn(bert->IdOf("##fe")));
  EXPECT_FALSE(bert->GoesOn(bert->IdOf("the")));
  const auto gpt = Parsed(GoldenJson("GPT-2"));
  EXPECT_TRUE(gpt->GoesOn(gpt->IdOf("the")));
  EXPECT_FALSE(gpt->GoesOn(gpt->IdOf("Ġthe")));
}

TEST_F(PretrainedFolder, HasRolesLengthAndChatTemplateOfTheFilesBesideTheTokenizer) {
  Write("tokenizer.json", GoldenJson("BERT in lower case"));
  Write(
      "tokenizer_config.json",
      R"({"unk_token":"[UNK]","pad_token":{"content":"[PAD]"},"cls_token":"[CLS]","sep_token":"[SEP]",
            "mask_token":"[MASK]","model_max_length":512,"chat_template":"{{x}}"})");
  const auto read = ReadPretrainedTokenizer(path_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->roles, (TokenRoles{.unknown = 1, .padding = 0, .begin = 2, .end = 3, .mask = 4}));
  EXPECT_EQ(read->tokenizer->special().end, 3);
  EXPECT_EQ(read->max_tokens, 512);
  EXPECT_EQ(read->chat_template, "{{x}}");
  EXPECT_THAT(read->overridden, IsEmpty());
}

TEST_F(PretrainedFolder, WithBertsVocabularyFileReadsItAsTheTokenizerJsonDoes) {
  const nlohmann::json json = nlohmann::json::parse(GoldenJson("BERT in lower case"));
  std::vector<std::string> lines(json["model"]["vocab"].size());
  for (const auto& [token, id] : json["model"]["vocab"].items()) {
    lines[id.get<size_t>()] = token;
  }
  std::string text;
  for (const std::string& line : lines) {
    absl::StrAppend(&text, line, "\n");
  }
  Write("vocab.txt", text);
  const auto read = ReadPretrainedTokenizer(path_);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto same = Parsed(json.dump());
  for (const nlohmann::json& line : Golden()["texts"]) {
    const auto utf8 = line.get<std::string>();
    EXPECT_EQ(read->tokenizer->EncodeInTemplate(utf8).ids, same->EncodeInTemplate(utf8).ids);
  }
}

TEST_F(PretrainedFolder, WithGpt2sFilesReadsThemAsTheTokenizerJsonDoes) {
  const nlohmann::json json = nlohmann::json::parse(GoldenJson("GPT-2"));
  std::string merges = "#version: 0.2\n";
  for (const nlohmann::json& merge : json["model"]["merges"]) {
    absl::StrAppend(&merges, merge[0].get<std::string>(), " ", merge[1].get<std::string>(), "\n");
  }
  Write("vocab.json", json["model"]["vocab"].dump());
  Write("merges.txt", merges);
  const auto read = ReadPretrainedTokenizer(path_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->roles.end, 0);
  const auto same = Parsed(json.dump());
  for (const nlohmann::json& line : Golden()["texts"]) {
    const auto utf8 = line.get<std::string>();
    EXPECT_EQ(read->tokenizer->EncodeWithBytes(utf8).ids, same->EncodeWithBytes(utf8).ids);
  }
}

TEST_F(PretrainedFolder, NamesTheLineOfBertsVocabularyThatComesTwice) {
  Write("vocab.txt", "[UNK]\n[CLS]\n[SEP]\nthe\n[CLS]\n");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid,
                       "vocab.txt: line 5: has `[CLS]`, as line 2 has; each line must be "
                       "another token"));
}

TEST_F(PretrainedFolder, NamesTheSpecialTokenThatBertsVocabularyLacks) {
  Write("vocab.txt", "[UNK]\n[CLS]\nthe\n");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid, AllOf(HasSubstr("vocab.txt: none of its 3 lines"),
                                       HasSubstr("`[SEP]`"), HasSubstr("sep_token"))));
}

TEST_F(PretrainedFolder, NamesTheLineOfMergesThatIsNotTwoTokens) {
  Write("vocab.json", R"({"t": 0, "h": 1, "th": 2})");
  for (const char* line : {"th", "t h e", "t  h", " t", "t\th"}) {
    Write("merges.txt", absl::StrCat("#version: 0.2\nt h\n", line, "\n"));
    EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
                StatusIs(kInvalid, AllOf(HasSubstr("merges.txt: line 3: must be two tokens"),
                                         HasSubstr(line))))
        << line;
  }
}

TEST_F(PretrainedFolder, NamesTheLineOfMergesWithATokenThatTheVocabularyLacks) {
  Write("vocab.json", R"({"t": 0, "h": 1, "th": 2})");
  Write("merges.txt", "t h\nth e\n");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid, HasSubstr("merges.txt: line 2: joins `e`, which must be in")));
  Write("merges.txt", "t h\n\nh t\n");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid, HasSubstr("merges.txt: line 3: makes `ht`, which must be in")));
}

TEST_F(PretrainedFolder, NamesTheTokenOfAVocabularyWhoseIdIsNoNumber) {
  Write("vocab.json", R"({"t": 0, "h": "1"})");
  Write("merges.txt", "");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid, HasSubstr("vocab.json: the id of `h` must be a whole number")));
}

TEST_F(PretrainedFolder, WithoutATokenizerIsNotFound) {
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tokenizer.json")));
}

TEST_F(PretrainedFolder, NamesTheFileThatIsWrong) {
  Write("tokenizer.json", "{}");
  EXPECT_THAT(ReadPretrainedTokenizer(path_).status(),
              StatusIs(kInvalid, HasSubstr("tokenizer.json: model")));
}

}  // namespace
}  // namespace hone::engine::text
