#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/data/chat_lines.h"
#include "engine/data/chats.h"
#include "engine/data/packed_documents.h"
#include "tests/engine/chat_tokenizer.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

// Conversations of JSON lines: their layouts, what is wrong with them, and what of them is learned.
namespace hone::engine::data {
namespace {

using ::hone::engine::testing::ChatTokenizer;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Role = text::ChatMessage::Role;

// "user: a | assistant: b", with "(read)" behind an answer that is not learned.
std::string Turns(const absl::StatusOr<text::Chat>& chat) {
  if (!chat.ok()) {
    return chat.status().ToString();
  }
  std::string turns = chat->text;
  for (const text::ChatMessage& message : chat->messages) {
    absl::StrAppend(&turns, turns.empty() ? "" : " | ",
                    message.role == Role::kSystem ? "system"
                    : message.role == Role::kUser ? "user"
                                                  : "assistant",
                    ": ", message.content, message.input.empty() ? "" : " + ", message.input,
                    message.learned || message.role != Role::kAssistant ? "" : " (read)");
  }
  return turns;
}

TEST(ParseChat, ReadsMessages) {
  EXPECT_EQ(Turns(ParseChat(R"({"messages": [{"role": "system", "content": "s"},
      {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0},
      {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})")),
            "system: s | user: a | assistant: b (read) | user: c | assistant: d");
}

TEST(ParseChat, ReadsConversations) {
  EXPECT_EQ(Turns(ParseChat(R"({"id": 7, "system": "s", "conversations":
      [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})")),
            "system: s | user: a | assistant: b");
}

TEST(ParseChat, ReadsPromptAndCompletionAsTexts) {
  EXPECT_EQ(Turns(ParseChat(R"({"prompt": "a", "completion": "b"})")), "user: a | assistant: b");
}

TEST(ParseChat, ReadsPromptAndCompletionAsMessagesOfWhichTheCompletionIsLearned) {
  EXPECT_EQ(Turns(ParseChat(R"({"prompt": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
      "completion": [{"role": "assistant", "content": "d"}]})")),
            "user: a | assistant: b (read) | user: c | assistant: d");
}

TEST(ParseChat, ReadsInstructions) {
  EXPECT_EQ(Turns(ParseChat(R"({"instruction": "c", "input": "i", "output": "d", "system": "s",
      "history": [["a", "b"]]})")),
            "system: s | user: a | assistant: b | user: c + i | assistant: d");
  EXPECT_EQ(Turns(ParseChat(R"({"instruction": "a", "input": "", "output": "b", "history": []})")),
            "user: a | assistant: b");
}

TEST(ParseChat, LearnsAnAnswerWhoseWeightIsNull) {
  EXPECT_EQ(Turns(ParseChat(R"({"messages": [{"role": "user", "content": "a", "weight": null},
      {"role": "assistant", "content": "b", "weight": null}]})")),
            "user: a | assistant: b");
}

TEST(ParseChat, RefusesWhatJsonCannotHold) {
  EXPECT_THAT(ParseChat(R"({"messages": [], "x": 1e999})"),
              StatusIs(kInvalid, HasSubstr("too large for 64 bits")));
  EXPECT_THAT(ParseChat(absl::StrCat(R"({"messages": )", std::string(300, '['), "1",
                                     std::string(300, ']'), "}")),
              StatusIs(kInvalid, HasSubstr("within each other")));
  EXPECT_FALSE(LooksLikeChat(R"({"messages": [], "x": 1e999})"));
}

TEST(ParseChat, ReadsTexts) { EXPECT_EQ(Turns(ParseChat(R"({"text": "once"})")), "once"); }

// Layouts in the order in which their keys are looked for, each with an answer that names it.
struct Layout {
  const char* name;
  const char* keys;
};
constexpr Layout kLayouts[] = {
    {"Messages", R"("messages": [{"role": "user", "content": "q"},
                                 {"role": "assistant", "content": "of messages"}])"},
    {"Conversations", R"("conversations": [{"from": "human", "value": "q"},
                                           {"from": "gpt", "value": "of conversations"}])"},
    {"PromptAndCompletion", R"("prompt": "q", "completion": "of prompt and completion")"},
    {"InstructionAndOutput", R"("instruction": "q", "output": "of instruction and output")"},
    {"Text", R"("text": "of text")"}};

class LayoutsInOneLine : public ::testing::TestWithParam<size_t> {
 protected:
  // A line with the keys of both.
  static std::string Read(const Layout& first, const Layout& second) {
    return Turns(ParseChat(absl::StrCat("{", first.keys, ", ", second.keys, "}")));
  }
  static std::string Alone(const Layout& layout) {
    return Turns(ParseChat(absl::StrCat("{", layout.keys, "}")));
  }
};

TEST_P(LayoutsInOneLine, AreReadByTheKeysThatAreLookedForFirst) {
  const Layout& first = kLayouts[GetParam()];
  for (size_t i = GetParam() + 1; i < std::size(kLayouts); ++i) {
    EXPECT_EQ(Read(first, kLayouts[i]), Alone(first)) << kLayouts[i].name;
  }
}

TEST_P(LayoutsInOneLine, AreReadTheSameWhicheverStandsFirstInTheLine) {
  const Layout& first = kLayouts[GetParam()];
  for (size_t i = GetParam() + 1; i < std::size(kLayouts); ++i) {
    EXPECT_EQ(Read(kLayouts[i], first), Alone(first)) << kLayouts[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(First, LayoutsInOneLine, ::testing::Range(size_t{0}, size_t{4}),
                         [](const auto& first) { return std::string(kLayouts[first.param].name); });

TEST(ParseChat, TakesAPromptWithoutACompletionForNoLayout) {
  EXPECT_EQ(Turns(ParseChat(R"({"prompt": "a", "text": "once"})")), "once");
}

// What a line has under "system".
struct SystemText {
  const char* name;
  const char* json;
};

class SystemOfNoWords : public ::testing::TestWithParam<SystemText> {};

TEST_P(SystemOfNoWords, IsNoTurnOfAConversation) {
  EXPECT_EQ(Turns(ParseChat(absl::StrCat(R"({"system": )", GetParam().json, R"(, "conversations":
      [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})"))),
            "user: a | assistant: b");
}

TEST_P(SystemOfNoWords, IsNoTurnBeforeAnInstruction) {
  EXPECT_EQ(Turns(ParseChat(absl::StrCat(R"({"system": )", GetParam().json,
                                         R"(, "instruction": "a", "output": "b"})"))),
            "user: a | assistant: b");
}

INSTANTIATE_TEST_SUITE_P(Texts, SystemOfNoWords,
                         ::testing::Values(SystemText{"Empty", R"("")"},
                                           SystemText{"Blank", R"(" \n")"},
                                           SystemText{"Null", "null"}),
                         [](const auto& system) { return std::string(system.param.name); });

TEST(ParseChat, SaysWhatIsWrong) {
  const auto wrong = [](const char* line, const char* what) {
    EXPECT_THAT(ParseChat(line), StatusIs(kInvalid, HasSubstr(what))) << line;
  };
  wrong("", "is no JSON from its byte");
  wrong(R"({"messages": [)", "is no JSON from its byte");
  wrong(R"({"text": "\ud800"})", "is no JSON from its byte");
  wrong("[1]", "must be a JSON object");
  wrong(R"({"question": "a", "answer": "b"})", "has none of the keys");
  wrong(R"({"messages": []})", "`messages` must be a list of turns");
  wrong(R"({"messages": {"role": "user"}})", "`messages` must be a list of turns");
  wrong(R"({"messages": ["a"]})", "`messages[0]` must be an object");
  wrong(R"({"messages": [{"content": "a"}]})", "`messages[0].role` is missing");
  wrong(R"({"messages": [{"role": "narrator", "content": "a"}]})",
        "`messages[0].role` is not known: \"narrator\"");
  wrong(R"({"messages": [{"role": "user", "content": " \n"}]})", "`messages[0].content` is empty");
  wrong(R"({"messages": [{"role": "user", "content": ["a"]}]})", "must be a text");
  wrong(R"({"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "a"},
      {"role": "assistant", "content": "b"}]})",
        "`messages[0].content` is empty");
  wrong(R"({"messages": [{"role": "user", "content": "a"}]})", "no turn of the assistant");
  wrong(R"({"messages": [{"role": "assistant", "content": "a", "weight": 0}]})",
        "no turn of the assistant");
  wrong(R"({"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]})",
        "`messages[0].weight` must be 0 or 1");
  wrong(R"({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "s"},
      {"role": "assistant", "content": "b"}]})",
        "turn 2 is one of the system");
  wrong(R"({"prompt": "a", "completion": ""})", "`completion` is empty");
  wrong(R"({"prompt": "a", "completion": "b", "label": true})", "judged answer");
  wrong(R"({"prompt": "a", "chosen": "b", "rejected": "c"})", "preference");
  wrong(R"({"instruction": "a"})", "`output` is missing");
  wrong(R"({"instruction": "a", "output": "b", "history": [["a"]]})", "`history[0]`");
  wrong(R"({"text": 7})", "`text` must be a text");
}

// "user: a | assistant: b" of the chosen one, and of the rejected one, with " || " between them.
std::string BothOf(absl::string_view line) {
  absl::StatusOr<Preference> preference = ParsePreference(line);
  if (!preference.ok()) {
    return preference.status().ToString();
  }
  return absl::StrCat(Turns(std::move(preference->chosen)), " || ",
                      Turns(std::move(preference->rejected)));
}

TEST(ParsePreference, ReadsTexts) {
  EXPECT_EQ(BothOf(R"({"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 7})"),
            "user: a | assistant: b || user: a | assistant: c");
}

TEST(ParsePreference, ReadsMessagesBehindAPrompt) {
  EXPECT_EQ(BothOf(R"({"prompt": [{"role": "system", "content": "s"},
      {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
      {"role": "user", "content": "c"}],
      "chosen": [{"role": "assistant", "content": "d"}],
      "rejected": [{"role": "assistant", "content": "e"}]})"),
            "system: s | user: a | assistant: b (read) | user: c | assistant: d || "
            "system: s | user: a | assistant: b (read) | user: c | assistant: e");
}

TEST(ParsePreference, TakesForThePromptWhatBothBeginWith) {
  const std::string lists = R"("chosen": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": "b"}], "rejected": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": "c"}]})";
  const std::string both = "user: a | assistant: b || user: a | assistant: c";
  EXPECT_EQ(BothOf("{" + lists), both);
  EXPECT_EQ(BothOf(R"({"prompt": null, )" + lists), both);
  // As UltraFeedback has it: the question stands there twice.
  EXPECT_EQ(BothOf(R"({"prompt": "a", )" + lists), both);
}

TEST(ParsePreference, ReadsAnswersOfSeveralTurnsThatBeginAlike) {
  EXPECT_EQ(BothOf(R"({"prompt": "a", "chosen": [{"role": "assistant", "content": "b"},
      {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}],
      "rejected": [{"role": "assistant", "content": "b"}]})"),
            "user: a | assistant: b | user: c | assistant: d || user: a | assistant: b");
}

TEST(ParsePreference, NamesWhatIsWrong) {
  const auto wrong = [](absl::string_view line, const char* what) {
    EXPECT_THAT(ParsePreference(line), StatusIs(kInvalid, HasSubstr(what))) << line;
  };
  wrong("[]", "object");
  wrong(R"({"prompt": "a", "chosen": "b"})", "`rejected` is missing");
  wrong(R"({"prompt": "a", "rejected": "b"})", "`chosen` is missing");
  wrong(R"({"prompt": "a", "chosen": "b", "rejected": 7})", "`rejected` must be a text");
  wrong(R"({"prompt": "a", "chosen": " ", "rejected": "b"})", "`chosen` is empty");
  wrong(R"({"prompt": "a", "chosen": "b", "rejected": "b"})",
        "`chosen` and `rejected` are the same");
  wrong(R"({"chosen": "b", "rejected": "c"})", "`prompt` is missing");
  wrong(R"({"prompt": "a", "chosen": [], "rejected": "b"})", "`chosen` must be a list of turns");
  wrong(R"({"chosen": [{"role": "assistant", "content": "b"}],
            "rejected": [{"role": "assistant", "content": "c"}]})",
        "has no question");
  wrong(R"({"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "rejected": [{"role": "user", "content": "a"}]})",
        "`rejected` has no answer of the assistant");
  wrong(R"({"prompt": [{"role": "user", "content": "a"}],
            "chosen": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}],
            "rejected": [{"role": "assistant", "content": "d"}]})",
        "`chosen[0].role` must be assistant");
  wrong(R"({"prompt": "a", "rejected": "c",
            "chosen": [{"role": "assistant", "content": "b", "weight": 0}]})",
        "`chosen`: has no turn of the assistant");
}

class Chats : public DataTest {
 protected:
  // A conversation of each question, with "yes" for an answer.
  static std::string Lines(const std::vector<std::string>& questions) {
    std::string lines;
    for (const std::string& question : questions) {
      absl::StrAppend(&lines, R"({"prompt": ")", question, R"(", "completion": "yes"})", "\n");
    }
    return lines;
  }
  // To be read by a checkpoint whose template is ChatML without a system text.
  LoadOptions ForChats(const std::string& name) const {
    LoadOptions options = Options(name);
    TextPreprocessing like = {.tokenizer = tokenizer_};
    like.chat = text::ChatTemplate{};
    options.text.emplace().like = std::make_shared<const TextPreprocessing>(like);
    options.chat.emplace();
    options.test_fraction = 0;
    return options;
  }
  LoadOptions With(TextPreprocessing like) const {
    LoadOptions options = ForChats("chats.jsonl");
    options.text->like = std::make_shared<const TextPreprocessing>(std::move(like));
    return options;
  }
  std::string TextOf(const LoadedData& loaded, int32_t row) const {
    return ShownOf(PackedDocumentsOf(loaded.dataset).piece(row, 0), {});
  }
  std::string LearnedOf(const LoadedData& loaded, int32_t row, int64_t piece = 0) const {
    const PackedDocuments& chats = PackedDocumentsOf(loaded.dataset);
    return ShownOf(chats.piece(row, piece), chats.learned(row, piece));
  }

  const std::shared_ptr<const text::PretrainedTokenizer> tokenizer_ = ChatTokenizer();

 private:
  // As the tokens are written, with a space for what stands for it.
  std::string ShownOf(std::span<const int32_t> ids, std::span<const uint8_t> learned) const {
    std::string text;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (learned.empty() || learned[i] != 0) {
        const std::string written = tokenizer_->Written(ids[i]);
        absl::StrAppend(&text, written == "\xc4\x8a"   ? "\n"
                               : written == "\xc4\xa0" ? " "
                                                       : written);
      }
    }
    return text;
  }
};

TEST_F(Chats, AreARowEachOfWhichTheAnswerIsLearned) {
  Write("chats.jsonl", Lines({"hi", "no"}));
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->dataset.size(), 2);
  EXPECT_THAT(loaded->splits.train, ElementsAre(0, 1));
  EXPECT_EQ(TextOf(*loaded, 0),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n");
  EXPECT_EQ(LearnedOf(*loaded, 0), "yes<|im_end|>\n");
}

TEST_F(Chats, ShareRowsWhereTheyArePacked) {
  Write("chats.jsonl", Lines({"hi", "no", "what"}));
  // They are read in 25, 25 and 27 tokens.
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {.window = 60, .together = true});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->dataset.size(), 2);
  EXPECT_EQ(PackedDocumentsOf(loaded->dataset).CountPieces(loaded->splits.train), 3);
}

TEST_F(Chats, TellTheShareThatIsLearned) {
  Write("chats.jsonl", Lines({"hi", "no"}));
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {});
  ASSERT_THAT(loaded, IsOk());
  const PackedDocuments& chats = PackedDocumentsOf(loaded->dataset);
  EXPECT_EQ(chats.CountLearned(loaded->splits.train), 2 * 5);  // y e s, the end, a line feed
  const double share = 100.0 * 10 / static_cast<double>(chats.CountTokens(loaded->splits.train));
  EXPECT_THAT(loaded->report.notes,
              Contains(AllOf(HasSubstr("training part: 10 tokens are learned"),
                             HasSubstr(absl::StrFormat("%.1f %%", share)))));
}

TEST_F(Chats, AreLearnedAsAWholeWhereThatIsAskedFor) {
  Write("chats.jsonl", Lines({"hi"}));
  LoadOptions options = ForChats("chats.jsonl");
  options.chat->learn_all = true;
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(LearnedOf(*loaded, 0), TextOf(*loaded, 0));
}

TEST_F(Chats, EndWithTheirLastAnswer) {
  std::string line(R"({"messages": [{"role": "user", "content": "a"}, )");
  line += R"({"role": "assistant", "content": "b"}, {"role": "user", "content": "thanks"}]})";
  Write("chats.jsonl", line);
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(TextOf(*loaded, 0), Not(HasSubstr("thanks")));
}

TEST_F(Chats, AreCutAndCountedWhereTheyAreLong) {
  Write("chats.jsonl", Lines({"hi", "no"}) + R"({"prompt": "hi", "completion": "yesyesyes"})");
  LoadOptions options = ForChats("chats.jsonl");
  options.chat->max_tokens = 30;
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(PackedDocumentsOf(loaded->dataset).piece(2, 0).size(), 30u);
  EXPECT_THAT(loaded->report.notes, Contains(HasSubstr("1 texts were cut to 30 tokens")));
}

TEST_F(Chats, AreLeftOutAndCountedWhereNothingOfTheirAnswersIsLeft) {
  Write("chats.jsonl", Lines({"hi", std::string(100, 'x')}));
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {.window = 40});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->splits.train.size(), 1u);
  ASSERT_EQ(loaded->report.dropped.size(), 1u);
  EXPECT_EQ(loaded->report.dropped[0].reason, "no answer within 41 tokens");
}

TEST_F(Chats, AreAnErrorWhereNothingIsLeftToLearn) {
  Write("chats.jsonl", Lines({"hi", "no"}));
  EXPECT_THAT(LoadChats(ForChats("chats.jsonl"), {.window = 10}),
              StatusIs(kInvalid, AllOf(HasSubstr("no conversation of the training part"),
                                       HasSubstr("language_modeling.window"))));
}

TEST_F(Chats, KeepTheirOwnParts) {
  Write("parts/train.jsonl", Lines({"a", "b", "c"}));
  Write("parts/validation.jsonl", Lines({"d"}));
  Write("parts/test.jsonl", Lines({"e", "f"}));
  const auto loaded = LoadChats(ForChats("parts"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->splits.train.size(), 3u);
  ASSERT_EQ(loaded->splits.validation.size(), 1u);
  EXPECT_EQ(loaded->splits.test.size(), 2u);
  EXPECT_THAT(TextOf(*loaded, loaded->splits.validation[0]), HasSubstr("user\nd<|im_end|>"));
}

TEST_F(Chats, AreNamedByLineWhereTheyAreNone) {
  Write("chats.jsonl", Lines({"hi"}) + "{\"messages\": 7}\n" + Lines({"no"}) + "oh\n");
  EXPECT_THAT(LoadChats(ForChats("chats.jsonl"), {}),
              StatusIs(kInvalid, AllOf(HasSubstr("chats.jsonl line 2: `messages` must be a list"),
                                       HasSubstr("chats.jsonl line 4: is no JSON"))));
}

TEST_F(Chats, MayNotHaveTenMegabytes) {
  Write("chats.jsonl", Lines({"hi", std::string(size_t{10} << 20, 'x')}));
  EXPECT_THAT(LoadChats(ForChats("chats.jsonl"), {}),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr("bytes; it may have"))));
}

TEST_F(Chats, AreReadFromJsonLinesAlone) {
  Write("chats.csv", "prompt,completion\na,b\n");
  EXPECT_THAT(LoadChats(ForChats("chats.csv"), {}),
              StatusIs(kInvalid, HasSubstr("JSON lines (.jsonl)")));
}

TEST_F(Chats, NeedTheTokensOfACheckpoint) {
  Write("chats.jsonl", Lines({"hi"}));
  LoadOptions options = ForChats("chats.jsonl");
  options.text->like = nullptr;
  EXPECT_THAT(LoadChats(options, {}), StatusIs(kInvalid, HasSubstr("model.pretrained")));
}

TEST_F(Chats, NeedATemplateWhereTheCheckpointHasNone) {
  Write("chats.jsonl", Lines({"hi"}));
  LoadOptions options = With({.tokenizer = tokenizer_});
  EXPECT_THAT(LoadChats(options, {}), StatusIs(kInvalid, HasSubstr("data.chat.template")));
  options.chat->kind = text::ChatTemplate::Kind::kPlain;
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(TextOf(*loaded, 0), "hiyes<|im_end|>");
  EXPECT_EQ(loaded->preprocessing.text->chat->kind, text::ChatTemplate::Kind::kPlain);
}

TEST_F(Chats, AreRefusedWithTheNameOfATemplateThatIsNotKnown) {
  Write("chats.jsonl", Lines({"hi"}));
  TextPreprocessing like = {.tokenizer = tokenizer_};
  like.chat_template = "{{ '[INST]' }}";
  EXPECT_THAT(LoadChats(With(like), {}), StatusIs(kInvalid, HasSubstr("Llama 2 or Mistral")));
}

TEST_F(Chats, HaveAnotherSystemTextWhereTheJobHasOne) {
  Write("chats.jsonl", Lines({"hi"}));
  LoadOptions options = ForChats("chats.jsonl");
  options.chat->system = "be nice";
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(TextOf(*loaded, 0),
              ::testing::StartsWith("<|im_start|>system\nbe nice<|im_end|>\n<|im_start|>user"));
}

// Of a checkpoint whose template has a system text.
class ChatsWithSystem : public Chats {
 protected:
  LoadOptions WithSystem(const std::string& lines) const {
    Write("chats.jsonl", lines);
    TextPreprocessing like = {.tokenizer = tokenizer_};
    like.chat = text::ChatTemplate{.system = "be nice"};
    return With(like);
  }
};

TEST_F(ChatsWithSystem, HaveThatOfTheTemplateWhereNobodySaysOtherwise) {
  const auto loaded = LoadChats(WithSystem(Lines({"hi"})), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(TextOf(*loaded, 0),
              ::testing::StartsWith("<|im_start|>system\nbe nice<|im_end|>\n<|im_start|>user"));
}

TEST_F(ChatsWithSystem, HaveNoneWhereTheJobsTextIsEmpty) {
  LoadOptions options = WithSystem(Lines({"hi"}));
  options.chat->system = "";
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(TextOf(*loaded, 0),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n");
}

TEST_F(ChatsWithSystem, KeepAnEmptySystemTextOfTheJobInTheModel) {
  LoadOptions options = WithSystem(Lines({"hi"}));
  options.chat->system = "";
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->preprocessing.text->chat->system, "");
}

TEST_F(ChatsWithSystem, HaveThatOfTheTemplateWhereTheirOwnIsEmpty) {
  const auto loaded =
      LoadChats(WithSystem(R"({"system": "", "instruction": "hi", "output": "yes"})"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(TextOf(*loaded, 0),
              ::testing::StartsWith("<|im_start|>system\nbe nice<|im_end|>\n<|im_start|>user"));
}

TEST_F(ChatsWithSystem, HaveTheirOwnInItsPlace) {
  const auto loaded =
      LoadChats(WithSystem(R"({"system": "be short", "instruction": "hi", "output": "yes"})"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(TextOf(*loaded, 0),
              ::testing::StartsWith("<|im_start|>system\nbe short<|im_end|>\n<|im_start|>user"));
}

TEST_F(Chats, AreWrittenAsTheModelHasItThatReadsThem) {
  Write("chats.jsonl", Lines({"hi"}));
  Preprocessing as;
  as.input = Preprocessing::Input::kText;
  as.text = TextPreprocessing{.tokenizer = tokenizer_};
  as.text->chat = text::ChatTemplate{.kind = text::ChatTemplate::Kind::kPlain};
  LoadOptions options = Options("chats.jsonl");
  options.as = std::make_shared<const Preprocessing>(as);
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(TextOf(*loaded, 0), "hiyes<|im_end|>");
}

TEST_F(Chats, TellOfTokensOfTheTemplateInWhatIsSaid) {
  Write("chats.jsonl", Lines({"hi", "a<|im_end|>b", "c<|im_end|>"}));
  const auto loaded = LoadChats(ForChats("chats.jsonl"), {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->report.notes, Contains(AllOf(HasSubstr("2 contents have a token in them"),
                                                   HasSubstr("such as <|im_end|>"))));
  EXPECT_EQ(TextOf(*loaded, 1),
            "<|im_start|>user\na<|im_end|>b<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n");
}

TEST_F(Chats, LoseTheirCopies) {
  Write("chats.jsonl", Lines({"hi", "no", "hi"}));
  LoadOptions options = ForChats("chats.jsonl");
  options.deduplicate = true;
  const auto loaded = LoadChats(options, {});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->splits.train.size(), 2u);
}

TEST_F(Chats, HaveAFingerprintOfWhatIsLearned) {
  Write("chats.jsonl", Lines({"hi", "no"}));
  LoadOptions options = ForChats("chats.jsonl");
  const auto answers = LoadChats(options, {});
  options.chat->learn_all = true;
  const auto all = LoadChats(options, {});
  ASSERT_THAT(answers, IsOk());
  ASSERT_THAT(all, IsOk());
  EXPECT_NE(answers->fingerprint, all->fingerprint);
}

TEST_F(Chats, AreCountedWithoutATokenizer) {
  Write("chats.jsonl", Lines({"hello", "oh"}));
  const auto summary = InspectChats(Path("chats.jsonl"));
  ASSERT_THAT(summary, IsOk());
  ASSERT_TRUE(summary->has_value());
  EXPECT_EQ((*summary)->chats, 2);
  EXPECT_EQ((*summary)->turns, 4);
  EXPECT_EQ((*summary)->answers, 2);
  EXPECT_EQ((*summary)->characters, 5 + 2 + 3 + 3);
  EXPECT_EQ((*summary)->answer_characters, 3 + 3);
}

TEST_F(Chats, AreToldFromTexts) {
  Write("texts.jsonl", "{\"text\": \"good\", \"label\": 1}\nno JSON\n");
  const auto summary = InspectChats(Path("texts.jsonl"));
  ASSERT_THAT(summary, IsOk());
  EXPECT_FALSE(summary->has_value());
}

TEST_F(Chats, AreCheckedWithTheirLines) {
  Write("chats.jsonl", Lines({"hello"}) + R"({"prompt": "a", "completion": " "})");
  EXPECT_THAT(InspectChats(Path("chats.jsonl")),
              StatusIs(kInvalid, HasSubstr("line 2: `completion` is empty")));
}

TEST_F(Chats, AreCheckedToTheirEndWhereManyAreWrong) {
  std::string lines = Lines({"hello"});
  for (int i = 0; i < 30; ++i) {
    lines += "{\"prompt\": \"a\", \"completion\": \" \"}\n";
  }
  Write("chats.jsonl", lines);
  EXPECT_THAT(InspectChats(Path("chats.jsonl")),
              StatusIs(kInvalid, AllOf(HasSubstr("30 errors"), HasSubstr("line 21: "),
                                       Not(HasSubstr("line 22: ")))));
}

// A preference of each of the chosen answers, over "no".
std::string Preferences(const std::vector<std::string>& chosen) {
  std::string lines;
  for (const std::string& answer : chosen) {
    absl::StrAppend(&lines, R"({"prompt": "hi", "chosen": ")", answer, R"(", "rejected": "no"})",
                    "\n");
  }
  return lines;
}

TEST_F(Chats, ArePairsOfWhichTheAnswersAreLearnedWhereTheyArePreferences) {
  Write("chats.jsonl", Preferences({"yes", "so"}));
  const auto loaded = LoadPreferences(ForChats("chats.jsonl"), 128);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->splits.train, ElementsAre(0, 1));
  const PackedDocuments& pairs = PackedDocumentsOf(loaded->dataset);
  EXPECT_EQ(pairs.size(), 2);
  EXPECT_EQ(pairs.CountPieces(0), 2);
  EXPECT_EQ(LearnedOf(*loaded, 0, kChosenPiece), "yes<|im_end|>\n");
  EXPECT_EQ(LearnedOf(*loaded, 1, kChosenPiece), "so<|im_end|>\n");
  EXPECT_EQ(LearnedOf(*loaded, 0, kRejectedPiece), "no<|im_end|>\n");
  EXPECT_EQ(LearnedOf(*loaded, 1, kRejectedPiece), "no<|im_end|>\n");
  EXPECT_EQ(loaded->report.format, "preferences as JSON lines");
}

TEST_F(Chats, KeepTheirPartsWhereTheyArePreferences) {
  Write("parts/train.jsonl", Preferences({"yes", "so"}));
  Write("parts/validation.jsonl", Preferences({"well"}));
  const auto loaded = LoadPreferences(ForChats("parts"), 128);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->splits.train, ElementsAre(0, 1));
  EXPECT_THAT(loaded->splits.validation, ElementsAre(2));
  EXPECT_EQ(LearnedOf(*loaded, 2, kChosenPiece), "well<|im_end|>\n");
}

// The question and what stands around it are 21 tokens, so that two are left of each answer.
TEST_F(Chats, LeaveOutPreferencesOfWhichTheSameIsRead) {
  Write("chats.jsonl", Preferences({"yes", "nope", "note"}));
  const auto loaded = LoadPreferences(ForChats("chats.jsonl"), 22);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->dataset.size(), 1);
  EXPECT_EQ(LearnedOf(*loaded, 0, kChosenPiece), "ye");
}

TEST_F(Chats, NameTheLinesThatAreNoPreferences) {
  Write("chats.jsonl", Preferences({"yes", "no"}) + Lines({"hi"}));
  EXPECT_THAT(LoadPreferences(ForChats("chats.jsonl"), 128),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2: `chosen` and `rejected` are the same"),
                                       HasSubstr("line 3: `chosen` is missing"))));
}

TEST_F(Chats, TellHowManyTokensOfBothAnswersAreLearnedWhereTheyArePreferences) {
  Write("chats.jsonl", Preferences({"yes", "so"}));
  const auto loaded = LoadPreferences(ForChats("chats.jsonl"), 128);
  ASSERT_THAT(loaded, IsOk());
  const PackedDocuments& pairs = PackedDocumentsOf(loaded->dataset);
  int64_t chosen = 0, rejected = 0;
  for (const int32_t row : {0, 1}) {
    chosen += std::ranges::count(pairs.learned(row, kChosenPiece), 1);
    rejected += std::ranges::count(pairs.learned(row, kRejectedPiece), 1);
  }
  EXPECT_THAT(
      loaded->report.notes,
      Contains(HasSubstr(absl::StrCat(": the answers, ", chosen, " tokens of the chosen ones and ",
                                      rejected, " of the rejected ones"))));
}

TEST_F(Chats, AreCountedBySideWhereTheyArePreferences) {
  Write("chats.jsonl", Preferences({"yes", "certainly"}));
  const auto summary = InspectPreferences(Path("chats.jsonl"));
  ASSERT_THAT(summary, IsOk());
  ASSERT_TRUE(summary->has_value());
  EXPECT_EQ((*summary)->chosen.chats, 2);
  EXPECT_EQ((*summary)->chosen.characters, 2 + 3 + 2 + 9);
  EXPECT_EQ((*summary)->chosen.answer_characters, 3 + 9);
  EXPECT_EQ((*summary)->chosen.longest_answer, 9);
  EXPECT_EQ((*summary)->rejected.chats, 2);
  EXPECT_EQ((*summary)->rejected.characters, 2 + 2 + 2 + 2);
  EXPECT_EQ((*summary)->rejected.answer_characters, 2 + 2);
  EXPECT_EQ((*summary)->rejected.longest_answer, 2);
}

TEST_F(Chats, AreToldFromPreferences) {
  Write("chats.jsonl", Lines({"hello"}));
  const auto summary = InspectPreferences(Path("chats.jsonl"));
  ASSERT_THAT(summary, IsOk());
  EXPECT_FALSE(summary->has_value());
}

TEST_F(Chats, AreCheckedWithTheirLinesWhereTheyArePreferences) {
  Write("chats.jsonl", Preferences({"yes", "no"}) + R"({"prompt": "a", "chosen": "b"})");
  EXPECT_THAT(InspectPreferences(Path("chats.jsonl")),
              StatusIs(kInvalid, AllOf(HasSubstr("line 2: `chosen` and `rejected` are the same"),
                                       HasSubstr("line 3: `rejected` is missing"))));
}

TEST(LooksLikePreference, KnowsALineThatLacksOneOfItsAnswers) {
  EXPECT_TRUE(LooksLikePreference(R"({"prompt": "a", "chosen": "b"})"));
}

TEST(LooksLikePreference, KnowsOneThatHoldsAConversationToo) {
  EXPECT_TRUE(LooksLikePreference(R"({"messages": [], "chosen": [], "rejected": []})"));
}

TEST(LooksLikePreference, LeavesOtherLinesToOthers) {
  EXPECT_FALSE(LooksLikePreference(R"({"prompt": "a", "completion": "b"})"));
  EXPECT_FALSE(LooksLikePreference(R"({"text": "a", "chosen": "b"})"));
  EXPECT_FALSE(LooksLikePreference("no JSON"));
}

TEST_F(Chats, RefuseAWindowThatReadsNoAnswersThatDiffer) {
  Write("chats.jsonl", Preferences({"yes"}));
  EXPECT_THAT(LoadPreferences(ForChats("chats.jsonl"), 10),
              StatusIs(kInvalid, HasSubstr("preference_optimization.window")));
}

}  // namespace
}  // namespace hone::engine::data
