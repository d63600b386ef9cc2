#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/data/load.h"

namespace hone::engine::data {

struct ChatLoad {
  int64_t window = 128;   // tokens of a row at most, and of a conversation
  bool together = false;  // several conversations share a row (packed_documents.h)
};

// Conversations (chat_lines.h) of JSON lines, as packed documents of which the answers are learned
// (options.chat). Files and parts are those of texts (text_rows.h). How they are written as one
// text is what the options say, else what the checkpoint has of which options.text->like is; of a
// model that reads them (options.as) all is the model's. The result's preprocessing says how
// conversations are written.
//
// What a conversation has behind options.chat->max_tokens, or behind what a window reads, is cut
// off and counted; one that has nothing left to learn is left out and counted. Shares are counted
// in conversations, `deduplicate` and `limit` as for texts.
//
// INVALID_ARGUMENT: with the file and the first 20 lines that are no conversations, or that the
// template cannot write (text::CheckTools); there is no
// tokenizer of a checkpoint; its chat template is not known, or there is none and the options name
// none (text/chat_template.h, text/chat_encoder.h); nothing is left to learn in the training part.
// Errors of ReadTextRows and Split.
absl::StatusOr<LoadedData> LoadChats(const LoadOptions& options, const ChatLoad& load);

// Preferences (ParsePreference, chat_lines.h) instead, as packed documents, too: a row for each,
// its first piece the chosen conversation, its second one the rejected. All else is as LoadChats
// has it; options.chat->learn_all is false. A preference of which the window reads nothing of an
// answer, or nothing in which the answers differ, is left out and counted.
absl::StatusOr<LoadedData> LoadPreferences(const LoadOptions& options, int64_t window);
inline constexpr int64_t kChosenPiece = 0, kRejectedPiece = 1;

// What conversations have of tools.
struct ToolCounts {
  int64_t with_tools = 0;  // conversations that offer some
  int64_t calls = 0;       // by the assistant
  int64_t tool_turns = 0;  // of tools

  void Add(const text::Chat& chat);
};
// As a sentence, without an end.
std::string Describe(const ToolCounts& counts);

// What is in a file, or folder, of conversations, without a tokenizer. Of a call the characters of
// its name and of its arguments are counted.
struct ChatSummary : ToolCounts {
  int64_t chats = 0;
  int64_t turns = 0;
  int64_t answers = 0;            // turns that are learned
  int64_t characters = 0;         // of all turns, and of the tools that are offered
  int64_t answer_characters = 0;  // of those that are learned
  int64_t longest_answer = 0;     // characters that are learned of one conversation, at most
};
// nullopt: the first line is no conversation. INVALID_ARGUMENT as LoadChats has it of lines. Errors
// of ReadTextRows.
absl::StatusOr<std::optional<ChatSummary>> InspectChats(const std::string& path);

// What is in a file, or folder, of preferences: their conversations with the chosen answers, and
// those with the rejected ones, which are equally many.
struct PreferenceSummary {
  ChatSummary chosen;
  ChatSummary rejected;
};
// nullopt: the first line is no preference. Errors as InspectChats has them.
absl::StatusOr<std::optional<PreferenceSummary>> InspectPreferences(const std::string& path);

}  // namespace hone::engine::data
