#include "engine/tasks/chat_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/text_rows.h"
#include "engine/text/chat_template.h"

namespace hone::engine::tasks {
namespace {

constexpr size_t kMostMessages = 4096;

// A conversation that is to be answered.
absl::StatusOr<text::Chat> ReadMessages(const WritingQuestion& wish,
                                        const text::ChatEncoder& encoder) {
  text::Chat chat;
  size_t bytes = 0;
  for (size_t i = 0; i < wish.messages.size(); ++i) {
    const WritingQuestion::Message& message = wish.messages[i];
    const std::string at = absl::StrCat("messages[", i, "]");
    const auto role = text::ChatRoleOf(message.role);
    if (!role.has_value() || *role == text::ChatMessage::Role::kTool ||
        (*role == text::ChatMessage::Role::kSystem && i > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, ".role: must be user, assistant or, of the first one, system, got \"",
                       CutUtf8(message.role, 40), "\""));
    }
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(message.content), absl::StrCat(at, ".content")));
    if (!data::HasWords(message.content)) {
      return absl::InvalidArgumentError(absl::StrCat(at, ".content: must not be empty"));
    }
    if (const absl::string_view mark = encoder.MarkIn(message.content); !mark.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, ".content: must not have ", mark,
                       " in it, by which the model tells where a turn or a text ends"));
    }
    bytes += message.content.size();
    chat.messages.push_back({.role = *role, .content = message.content});
  }
  if (bytes > kMostPromptBytes || chat.messages.size() > kMostMessages) {
    return absl::InvalidArgumentError(
        absl::StrCat("messages: must be at most ", kMostMessages, " of ", kMostPromptBytes,
                     " bytes together, got ", chat.messages.size(), " of ", bytes));
  }
  if (chat.messages.back().role != text::ChatMessage::Role::kUser) {
    return absl::InvalidArgumentError("messages: the last one must be the user's");
  }
  return chat;
}

}  // namespace

absl::StatusOr<ChatReader> ChatReader::Make(const data::TextPreprocessing& how) {
  if (how.chat.has_value()) {
    HONE_ASSIGN_OR_RETURN(text::ChatEncoder encoder,
                          text::ChatEncoder::Make(*how.chat, how.tokenizer));
    return ChatReader(std::move(encoder));
  }
  if (!how.chat_template.empty()) {
    HONE_RETURN_IF_ERROR(text::RecogniseChatTemplate(how.chat_template).status());
  }
  return absl::InvalidArgumentError("the model has no chat template: ask it by a prompt");
}

absl::StatusOr<std::vector<int32_t>> ChatReader::Read(const WritingQuestion& wish,
                                                      int64_t window) const {
  if (!wish.prompt.empty()) {
    return absl::InvalidArgumentError("messages: must not be given beside a prompt");
  }
  HONE_ASSIGN_OR_RETURN(const text::Chat chat, ReadMessages(wish, encoder_));
  const size_t first = chat.messages[0].role == text::ChatMessage::Role::kSystem ? 1 : 0;
  // With so many of the turns behind that of the system left out.
  const auto without = [&](size_t count) {
    text::Chat rest = chat;
    const auto begin = rest.messages.begin() + static_cast<std::ptrdiff_t>(first);
    rest.messages.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
    return encoder_.EncodeQuestion(rest);
  };
  const auto most = static_cast<size_t>(std::max(window - wish.count, window / 2));
  size_t few = 0, many = chat.messages.size() - first - 1;  // the last one stays
  if (const std::vector<int32_t> least = without(many); least.size() > most) {
    return absl::InvalidArgumentError(absl::StrCat("messages: the last turn comes to ",
                                                   least.size(), " tokens; of the model's window, ",
                                                   most, " are left for it"));
  }
  while (few < many) {
    const size_t middle = (few + many) / 2;
    if (without(middle).size() <= most) {
      many = middle;
    } else {
      few = middle + 1;
    }
  }
  // What is left begins with the user.
  while (many > 0 && chat.messages[first + many].role != text::ChatMessage::Role::kUser) {
    ++many;
  }
  return without(many);
}

}  // namespace hone::engine::tasks
