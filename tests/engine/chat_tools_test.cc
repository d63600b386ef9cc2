#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/data/chat_lines.h"
#include "engine/data/chats.h"
#include "engine/data/packed_documents.h"
#include "engine/text/chat.h"
#include "engine/text/chat_template.h"
#include "engine/text/json_text.h"
#include "tests/engine/chat_tokenizer.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

// Tools in conversations: how lines have them, and how templates write them, held against what
// Jinja makes of the templates of Qwen2.5 and Llama 3.1.
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
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = text::ChatTemplate::Kind;
using Role = text::ChatMessage::Role;

const text::WrittenTokens kTokens = {.begin = "<|begin|>", .end = "<|end|>"};

nlohmann::json Golden() {
  return nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/chat_tools.json"));
}

std::vector<nlohmann::json> GoldenOfOurs() {
  std::vector<nlohmann::json> ours;
  for (const nlohmann::json& golden : Golden()) {
    if (golden["ours"].get<bool>()) {
      ours.push_back(golden);
    }
  }
  return ours;
}

class TemplatesWithTools : public ::testing::TestWithParam<nlohmann::json> {
 protected:
  static text::ChatTemplate Expected() { return text::ChatTemplateFromJson(GetParam()).value(); }
  static std::string Jinja() { return GetParam()["jinja"].get<std::string>(); }
};

class TemplatesWithToolsOfOurs : public TemplatesWithTools {};

TEST_P(TemplatesWithTools, AreKnownByTheirJinja) {
  const auto found = text::RecogniseChatTemplate(Jinja());
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, Expected());
}

TEST_P(TemplatesWithTools, AreWrittenAsJinjaWritesThem) {
  for (const nlohmann::json& golden : GetParam()["chats"]) {
    const auto chat = ParseChat(golden["line"].get<std::string>());
    ASSERT_THAT(chat, IsOk());
    ASSERT_THAT(text::CheckTools(Expected(), *chat), IsOk());
    EXPECT_EQ(text::Render(Expected(), kTokens, *chat).text, golden["text"].get<std::string>());
  }
}

TEST_P(TemplatesWithTools, LearnCallsAndAnswersAndNothingElse) {
  for (const nlohmann::json& golden : GetParam()["chats"]) {
    const auto chat = ParseChat(golden["line"].get<std::string>());
    ASSERT_THAT(chat, IsOk());
    const text::RenderedChat rendered = text::Render(Expected(), kTokens, *chat);
    std::vector<std::string> learned;
    for (const auto& [begin, end] : rendered.learned) {
      learned.push_back(rendered.text.substr(begin, end - begin));
    }
    EXPECT_EQ(learned, golden["learned"].get<std::vector<std::string>>());
  }
}

TEST_P(TemplatesWithToolsOfOurs, BecomeTheirJinjaAgain) {
  EXPECT_EQ(text::ToJinja(Expected()), Jinja());
}

std::string NameOfTemplate(const ::testing::TestParamInfo<nlohmann::json>& golden) {
  return golden.param["name"].get<std::string>();
}
INSTANTIATE_TEST_SUITE_P(Golden, TemplatesWithTools, ::testing::ValuesIn(Golden()), NameOfTemplate);
INSTANTIATE_TEST_SUITE_P(Golden, TemplatesWithToolsOfOurs, ::testing::ValuesIn(GoldenOfOurs()),
                         NameOfTemplate);

TEST(TemplateWithTools, IsPlainChatMlWhereItWritesThemOtherwise) {
  const auto found = text::RecogniseChatTemplate(
      "<|im_start|>assistant\\n{{ '<tool_call>' + call }}{{ content }}<|im_end|>\\n");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->kind, Kind::kChatMl);
}

TEST(TemplateWithTools, IsNotTakenForLlama31WhereItDiffers) {
  std::string jinja;
  for (const nlohmann::json& golden : Golden()) {
    jinja = golden["name"] == "Llama31" ? golden["jinja"].get<std::string>() : jinja;
  }
  jinja.replace(jinja.find("Do not use variables."), 2, "Please do");
  jinja.replace(jinja.rfind("Do not use variables."), 2, "Please do");
  EXPECT_THAT(text::RecogniseChatTemplate(jinja),
              StatusIs(kInvalid, HasSubstr("like Llama 3.1's, but not the same")));
}

TEST(JsonText, IsThatOfPython) {
  const auto of = [](const char* json) {
    return text::JsonText(nlohmann::ordered_json::parse(json));
  };
  EXPECT_EQ(of(R"({"b":[1,2.0,{}],"a":null})"), R"({"b": [1, 2.0, {}], "a": null})");
  EXPECT_EQ(of("[1e15, 1e16, 0.0001, 0.00001, -0.0, 1e300]"),
            "[1000000000000000.0, 1e+16, 0.0001, 1e-05, -0.0, 1e+300]");
  EXPECT_EQ(of(R"(["\u007f\u001f\u00e9\/\n"])"), "[\"\x7f\\u001f\xc3\xa9/\\n\"]");
}

// Of the turns the role's name, calls as "name(arguments)" and what is said.
std::string Turns(absl::string_view line) {
  const absl::StatusOr<text::Chat> chat = ParseChat(line);
  if (!chat.ok()) {
    return chat.status().ToString();
  }
  std::string turns;
  for (const text::ChatMessage& message : chat->messages) {
    absl::StrAppend(&turns, turns.empty() ? "" : " | ", text::NameOf(message.role), ": ",
                    message.content, message.is_json ? " as JSON" : "");
    for (const text::ToolCall& call : message.calls) {
      absl::StrAppend(&turns, " ", call.name, "(", call.arguments, ")");
    }
  }
  return turns;
}

TEST(ParseChat, ReadsCallsAndWhatToolsAnswer) {
  EXPECT_EQ(Turns(R"({"messages": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
        {"function": {"name": "g", "arguments": {"y": "z"}}}, {"name": "h", "arguments": {}}]},
      {"role": "tool", "tool_call_id": "1", "content": "7"},
      {"role": "tool", "content": {"b": 1, "a": 2}}, {"role": "assistant", "content": "b"}]})"),
            "user: a | assistant:  f({\"x\": 1}) g({\"y\": \"z\"}) h({}) | tool: 7 | "
            "tool: {\"b\": 1, \"a\": 2} as JSON | assistant: b");
}

TEST(ParseChat, ReadsFunctionCallsAndObservations) {
  EXPECT_EQ(Turns(R"({"conversations": [{"from": "human", "value": "a"},
      {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
      {"from": "observation", "value": "7"},
      {"from": "function_call", "value": "[{\"name\": \"f\", \"arguments\": \"{}\"}]"},
      {"from": "observation", "value": ""}, {"from": "gpt", "value": "b"}]})"),
            "user: a | assistant:  f({\"x\": 1}) | tool: 7 | assistant:  f({}) | tool:  | "
            "assistant: b");
}

TEST(ParseChat, ReadsToolsInEitherForm) {
  const auto tools = [](absl::string_view json) {
    const auto chat =
        ParseChat(absl::StrCat(R"({"prompt": "a", "completion": "b", "tools": )", json, "}"));
    return chat.ok() ? chat->tools : std::vector<std::string>{chat.status().ToString()};
  };
  const char* const whole = R"({"type": "function", "function": {"name": "f", "b": 1, "a": 2}})";
  EXPECT_THAT(tools(absl::StrCat("[", whole, "]")), ElementsAre(whole));
  EXPECT_THAT(tools(R"([{"name": "f", "b": 1, "a": 2}])"), ElementsAre(whole));
  EXPECT_THAT(tools(R"("[{\"name\": \"f\", \"b\": 1, \"a\": 2}]")"), ElementsAre(whole));
  for (const char* const none : {"[]", "null", R"("")", R"("[]")"}) {
    EXPECT_THAT(tools(none), IsEmpty()) << none;
  }
}

TEST(ParseChat, SaysWhatIsWrongWithTools) {
  const auto wrong = [](const std::string& turns, const char* what) {
    EXPECT_THAT(Turns(R"({"messages": [{"role": "user", "content": "a"}, )" + turns + "]}"),
                HasSubstr(what))
        << turns;
  };
  const auto calls = [](const char* json) {
    return absl::StrCat(R"({"role": "assistant", "tool_calls": )", json, "}");
  };
  wrong(calls("7"), "`messages[1].tool_calls` must be an object with `name` and `arguments`");
  wrong(calls("[{}]"), "`messages[1].tool_calls[0].name` must be the name of a function");
  wrong(calls(R"([{"name": "f"}])"), "`messages[1].tool_calls[0].arguments` must be an object");
  wrong(calls(R"([{"name": "f", "arguments": "x = 1"}])"),
        "`messages[1].tool_calls[0].arguments` is no JSON");
  wrong(R"({"role": "user", "content": "b", "tool_calls": [{"name": "f", "arguments": {}}]})",
        "`messages[1].tool_calls` is given of a turn of user");
  wrong(
      R"({"role": "assistant", "content": ["b"], "tool_calls": [{"name": "f", "arguments": {}}]})",
      "`messages[1].content` must be a text, or null, beside `tool_calls`");
  wrong(R"({"role": "function_call", "content": "f 1"})", "`messages[1].content` is no JSON");
  wrong(R"({"role": "tool", "content": [1]})",
        "`messages[1].content` must be a text, or an object");
  wrong(R"({"role": "tool", "content": "7"})", "no turn of the assistant");
}

TEST(ParseChat, SaysWhichToolIsWrong) {
  const auto wrong = [](const char* tools, const char* what) {
    EXPECT_THAT(Turns(absl::StrCat(R"({"prompt": "a", "completion": "b", "tools": )", tools, "}")),
                HasSubstr(what));
  };
  wrong("7", "`tools` must be a list of tools");
  wrong(R"("search")", "`tools` is no JSON");
  wrong("[7]", "`tools[0]` must be an object");
  wrong(R"([{"type": "function"}])", "`tools[0].name` must be the name of a function");
  wrong(R"([{"type": "function", "function": {}}])", "`tools[0].function.name` must be the name");
}

TEST(ParsePreference, TellsAnswersApartByTheirCalls) {
  const auto preference = ParsePreference(R"({"prompt": "a", "tools": [{"name": "f"}],
      "chosen": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}],
      "rejected": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {}}]}]})");
  ASSERT_THAT(preference, IsOk());
  EXPECT_EQ(preference->chosen.messages[1].calls[0].arguments, R"({"x": 1})");
  EXPECT_EQ(preference->rejected.tools.size(), 1u);
}

text::Chat WithTools() {
  return {.messages = {{.content = "a"},
                       {.role = Role::kAssistant, .calls = {{.name = "f", .arguments = "{}"}}},
                       {.role = Role::kTool, .content = "7"},
                       {.role = Role::kAssistant, .content = "b"}}};
}

class TemplatesWithoutTools : public ::testing::TestWithParam<Kind> {};

TEST_P(TemplatesWithoutTools, RefuseACallByItsTurn) {
  EXPECT_THAT(text::CheckTools({.kind = GetParam()}, WithTools()),
              StatusIs(kInvalid, AllOf(HasSubstr("turn 2 (assistant) calls a tool"),
                                       HasSubstr(std::string(text::NameOf(GetParam()))),
                                       HasSubstr("CHATML_TOOLS"))));
}

TEST_P(TemplatesWithoutTools, RefuseTheAnswerOfAToolByItsTurn) {
  text::Chat chat = WithTools();
  chat.messages.erase(chat.messages.begin() + 1);
  EXPECT_THAT(text::CheckTools({.kind = GetParam()}, chat),
              StatusIs(kInvalid, HasSubstr("turn 2 (tool) is the answer of a tool")));
}

TEST_P(TemplatesWithoutTools, RefuseToolsThatAreOffered) {
  EXPECT_THAT(
      text::CheckTools({.kind = GetParam()}, {.messages = {{.content = "a"}}, .tools = {"{}"}}),
      StatusIs(kInvalid, HasSubstr("`tools` are given")));
}

TEST_P(TemplatesWithoutTools, TakeConversationsWithoutTools) {
  EXPECT_THAT(text::CheckTools({.kind = GetParam()}, {.messages = {{.content = "a"}}}), IsOk());
}

INSTANTIATE_TEST_SUITE_P(All, TemplatesWithoutTools,
                         ::testing::Values(Kind::kChatMl, Kind::kLlama3, Kind::kAlpaca,
                                           Kind::kPlain),
                         [](const auto& kind) { return std::string(text::NameOf(kind.param)); });

TEST(CheckTools, WantsOneCallOrATextOfLlama31) {
  text::Chat chat = WithTools();
  EXPECT_THAT(text::CheckTools({.kind = Kind::kLlama31}, chat), IsOk());
  chat.messages[1].content = "I look.";
  EXPECT_THAT(text::CheckTools({.kind = Kind::kLlama31}, chat),
              StatusIs(kInvalid, HasSubstr("turn 2 (assistant) has a text beside a call")));
  EXPECT_THAT(text::CheckTools({.kind = Kind::kChatMlTools}, chat), IsOk());
  chat.messages[1] = {.role = Role::kAssistant, .calls = {{"f", "{}"}, {"g", "{}"}}};
  EXPECT_THAT(text::CheckTools({.kind = Kind::kLlama31}, chat),
              StatusIs(kInvalid, HasSubstr("turn 2 (assistant) calls several tools")));
}

TEST(CheckTools, WantsTheUserFirstWhereLlama31TellsHimTools) {
  text::Chat chat = WithTools();
  chat.tools = {R"({"name": "f"})"};
  chat.messages.insert(chat.messages.begin(), {.role = Role::kSystem, .content = "s"});
  EXPECT_THAT(text::CheckTools({.kind = Kind::kLlama31}, chat), IsOk());
  chat.messages.erase(chat.messages.begin() + 1);
  EXPECT_THAT(text::CheckTools({.kind = Kind::kLlama31}, chat),
              StatusIs(kInvalid, HasSubstr("the first turn of the user")));
}

TEST(CheckTools, RefusesAnAnswerThatHasTheFormOfTheTemplateAlready) {
  text::Chat chat = WithTools();
  chat.messages[2].content = "<tool_response>\n7\n</tool_response>";
  EXPECT_THAT(text::CheckTools({.kind = Kind::kChatMlTools}, chat),
              StatusIs(kInvalid, HasSubstr("turn 3 (tool) has <tool_response> around it already")));
}

class ChatsWithTools : public DataTest {
 protected:
  LoadOptions ForChats(Kind kind) const {
    LoadOptions options = Options("chats.jsonl");
    TextPreprocessing like = {.tokenizer = ChatTokenizer()};
    like.chat = text::ChatTemplate{};
    like.chat_template = text::ToJinja(*like.chat);
    options.text.emplace().like = std::make_shared<const TextPreprocessing>(like);
    options.chat.emplace().kind = kind;
    options.test_fraction = 0;
    return options;
  }
  // A conversation with a tool, and one without.
  void WriteChats() const {
    std::string lines = R"({"tools": [{"name": "f"}], "messages": [)";
    lines += R"({"role": "user", "content": "a"}, )";
    lines += R"({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}, )";
    lines += R"({"role": "tool", "content": "7"}, {"role": "assistant", "content": "b"}]})";
    lines += "\n{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    Write("chats.jsonl", lines);
  }
};

TEST_F(ChatsWithTools, AreLearnedWhereTheJobNamesATemplateThatKnowsThem) {
  WriteChats();
  const auto loaded = LoadChats(ForChats(Kind::kChatMlTools), {.window = 1000});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->report.notes,
              Contains(AllOf(HasSubstr("1 conversations offer tools"), HasSubstr("calls tools 1"),
                             HasSubstr("1 turns are what tools have answered"),
                             HasSubstr("the checkpoint's own template does not write them"))));
}

TEST_F(ChatsWithTools, AreRefusedByLineWhereTheTemplateHasNoFormForThem) {
  WriteChats();
  EXPECT_THAT(LoadChats(ForChats(Kind::kAlpaca), {.window = 1000}),
              StatusIs(kInvalid, AllOf(HasSubstr("chats.jsonl line 1: `tools` are given"),
                                       HasSubstr("the chat template alpaca has no form"),
                                       Not(HasSubstr("line 2")))));
}

TEST_F(ChatsWithTools, AreCountedWithoutATokenizer) {
  WriteChats();
  const auto summary = InspectChats(Path("chats.jsonl"));
  ASSERT_THAT(summary, IsOk());
  ASSERT_TRUE(summary->has_value());
  EXPECT_EQ((*summary)->with_tools, 1);
  EXPECT_EQ((*summary)->calls, 1);
  EXPECT_EQ((*summary)->tool_turns, 1);
  EXPECT_EQ((*summary)->answers, 3);
  EXPECT_EQ((*summary)->answer_characters, 1 + 8 + 1 + 1);  // f, {"x": 1}, b, b
  // a, 7, a, and the tool: {"type": "function", "function": {"name": "f"}}
  EXPECT_EQ((*summary)->characters, (*summary)->answer_characters + 3 + 47);
}

}  // namespace
}  // namespace hone::engine::data
