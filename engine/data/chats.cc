#include "engine/data/chats.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"
#include "engine/data/chat_lines.h"
#include "engine/data/fingerprint.h"
#include "engine/data/packed_documents.h"
#include "engine/data/prepare.h"
#include "engine/data/text_rows.h"
#include "engine/data/token_report.h"
#include "engine/text/chat_encoder.h"
#include "engine/text/chat_template.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

// Options by which lines are read as conversations.
LoadOptions ForLines(LoadOptions options) {
  options.task = Task::kLanguageModeling;
  options.text = options.text.value_or(TextOptions());
  options.chat = options.chat.value_or(ChatOptions());
  return options;
}

// What a line holds: a conversation, or both of a preference.
enum class Lines { kChats, kPreferences };

absl::StatusOr<std::vector<text::Chat>> ParseLine(absl::string_view line, Lines lines) {
  std::vector<text::Chat> chats;
  if (lines == Lines::kChats) {
    HONE_ASSIGN_OR_RETURN(text::Chat chat, ParseChat(line));
    chats.push_back(std::move(chat));
    return chats;
  }
  HONE_ASSIGN_OR_RETURN(Preference preference, ParsePreference(line));
  chats.push_back(std::move(preference.chosen));
  chats.push_back(std::move(preference.rejected));
  return chats;
}

// The line holds conversations that the template can write.
absl::Status CheckLine(absl::string_view line, Lines lines,
                       const text::ChatTemplate& chat_template) {
  HONE_ASSIGN_OR_RETURN(const std::vector<text::Chat> chats, ParseLine(line, lines));
  for (const text::Chat& chat : chats) {
    HONE_RETURN_IF_ERROR(text::CheckTools(chat_template, chat));
  }
  return absl::OkStatus();
}

// Tells of all lines that hold none.
absl::Status CheckLines(const TextRows& rows, Lines lines,
                        const text::ChatTemplate& chat_template) {
  Complaints complaints;
  for (const TextRow& row : rows.rows) {
    if (const absl::Status status = CheckLine(rows.text(row), lines, chat_template); !status.ok()) {
      complaints.Add(
          {.line = row.line, .text = absl::StrCat(rows.Where(row), ": ", status.message())});
    }
  }
  return complaints.status();
}

// The first rows that are wrong, and how many there are. Where they stand is known when all are
// read.
struct WrongRows {
  static constexpr size_t kKept = 20;  // as many as a status tells of

  void Add(const TextRow& row, absl::string_view what) {
    ++count;
    if (first.size() < kKept) {
      first.emplace_back(row, what);
    }
  }

  std::vector<std::pair<TextRow, std::string>> first;
  int64_t count = 0;
};

// How the conversations become tokens.
absl::StatusOr<TextPreprocessing> PreprocessingOf(const LoadOptions& options) {
  if (options.as != nullptr) {
    if (!options.as->text.has_value() || !options.as->text->chat.has_value()) {
      return absl::InvalidArgumentError(
          "the model answers no conversations, as data.chat has them");
    }
    return *options.as->text;
  }
  if (options.text->like == nullptr) {
    return absl::InvalidArgumentError(
        "data.chat: model.pretrained must name the checkpoint whose tokens and chat template these "
        "conversations are written with");
  }
  TextPreprocessing how = *options.text->like;
  how.max_tokens = 0;
  how.pairs = false;
  if (options.chat->kind.has_value()) {
    how.chat = text::DefaultChatTemplate(*options.chat->kind);
  } else if (!how.chat.has_value() && how.chat_template.empty()) {
    return absl::InvalidArgumentError(
        "data.chat.template: must be given, since the checkpoint has no chat template: CHATML, "
        "LLAMA3, ALPACA, PLAIN, CHATML_TOOLS or LLAMA31");
  } else if (!how.chat.has_value()) {
    HONE_ASSIGN_OR_RETURN(how.chat, text::RecogniseChatTemplate(how.chat_template));
  }
  if (options.chat->system.has_value()) {
    how.chat->system = *options.chat->system;
  }
  return how;
}

void Count(const text::Chat& chat, ChatSummary& summary) {
  ++summary.chats;
  int64_t learned_characters = 0;
  const auto add = [&](int64_t characters, bool learned) {
    ++summary.turns;
    summary.answers += learned ? 1 : 0;
    summary.characters += characters;
    learned_characters += learned ? characters : 0;
  };
  if (!chat.text.empty()) {
    add(text::CountCharacters(chat.text), true);
  }
  summary.Add(chat);
  for (const std::string& tool : chat.tools) {
    summary.characters += text::CountCharacters(tool);
  }
  for (const text::ChatMessage& message : chat.messages) {
    int64_t characters =
        text::CountCharacters(message.content) + text::CountCharacters(message.input);
    for (const text::ToolCall& call : message.calls) {
      characters += text::CountCharacters(call.name) + text::CountCharacters(call.arguments);
    }
    add(characters, message.role == text::ChatMessage::Role::kAssistant && message.learned);
  }
  summary.answer_characters += learned_characters;
  summary.longest_answer = std::max(summary.longest_answer, learned_characters);
}

// Looks at all lines of a file, or folder, and keeps none: `count` is given each line's
// conversations. False: the first line is none of these.
absl::StatusOr<bool> InspectLines(const std::string& path, Lines kind,
                                  absl::FunctionRef<void(std::span<const text::Chat>)> count) {
  LoadOptions options;
  options.path = path;
  DataReport report;
  bool is_first = true, are_ours = true;
  WrongRows wrong;
  const auto look = [&](TextRow& row, ExampleTexts& texts) {
    std::string& line = texts.text;
    if (is_first) {
      are_ours = kind == Lines::kChats ? LooksLikeChat(line) : LooksLikePreference(line);
      is_first = false;
    }
    if (are_ours) {
      if (const absl::StatusOr<std::vector<text::Chat>> chats = ParseLine(line, kind); chats.ok()) {
        count(*chats);
      } else {
        wrong.Add(row, chats.status().message());
      }
    }
    line.clear();
  };
  const absl::StatusOr<TextRows> rows = ReadTextRows(path, ForLines(options), look, report);
  if (!are_ours) {
    return false;  // lines of another kind are not ours to complain of
  }
  HONE_RETURN_IF_ERROR(rows.status());
  Complaints complaints;
  for (const auto& [row, what] : wrong.first) {
    complaints.Add({.line = row.line, .text = absl::StrCat(rows->Where(row), ": ", what)});
  }
  complaints.AddUntold(wrong.count - std::ssize(wrong.first));
  HONE_RETURN_IF_ERROR(complaints.status());
  return !is_first;
}

class Loader {
 public:
  Loader(const LoadOptions& options, const ChatLoad& load, Lines lines)
      : options_(options), load_(load), lines_(lines) {}

  absl::StatusOr<LoadedData> Load() {
    HONE_RETURN_IF_ERROR(CheckSource(options_));
    if (options_.path.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data set ", options_.dataset, " holds no ", what(),
          lines_ == Lines::kChats ? ", which data.chat asks for" : ", which the task learns"));
    }
    report().source = options_.path;
    HONE_ASSIGN_OR_RETURN(TextPreprocessing how, PreprocessingOf(options_));
    HONE_ASSIGN_OR_RETURN(const text::ChatEncoder encoder,
                          text::ChatEncoder::Make(*how.chat, how.tokenizer));
    const auto as_it_stands = [](TextRow&, ExampleTexts&) {};
    HONE_ASSIGN_OR_RETURN(rows_, ReadTextRows(options_.path, options_, as_it_stands, report()));
    report().format = absl::StrCat(what(), " as JSON lines");
    if (rows_.rows.empty() || size() > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(options_.path, ": has ", size(), " ", what(),
                                                     "; it must have 1 to 2147483647"));
    }
    HONE_RETURN_IF_ERROR(CheckLines(rows_, lines_, *how.chat));
    FindExactCopies();
    const absl::StatusOr<Splits> parts = SplitChats();
    HONE_RETURN_IF_ERROR(Annotate(parts.status(), options_.path));
    HONE_RETURN_IF_ERROR(Annotate(Encode(how, encoder, *parts), options_.path));
    if (options_.as != nullptr) {
      data_.preprocessing = *options_.as;
    } else {
      data_.preprocessing.input = Preprocessing::Input::kText;
      data_.preprocessing.text = std::move(how);
    }
    data_.fingerprint = Fingerprint(data_);
    return std::move(data_);
  }

 private:
  absl::string_view what() const {
    return lines_ == Lines::kChats ? "conversations" : "preferences";
  }
  DataReport& report() { return data_.report; }
  int64_t size() const { return static_cast<int64_t>(rows_.rows.size()); }
  const TextRow& row(int64_t i) const { return rows_.rows[static_cast<size_t>(i)]; }
  int64_t CountOf(Part part) const { return std::ranges::count(rows_.rows, part, &TextRow::part); }

  void FindExactCopies() {
    const std::vector<bool> all(rows_.rows.size(), true);
    const auto text = [&](int64_t i) { return rows_.text(row(i)); };
    const auto hash = [&](int64_t i) {
      return ContentHash(text(i).data(), static_cast<int64_t>(text(i).size()));
    };
    const auto same = [&](int64_t a, int64_t b) { return text(a) == text(b); };
    const auto same_target = [](int64_t, int64_t) { return true; };
    keep_ = FindCopies({size(), CountOf(Part::kTrain), hash, same, same_target, &all},
                       options_.deduplicate, report());
  }

  // The data set's own parts, and what is drawn of its training part.
  absl::StatusOr<Splits> SplitChats() const {
    const int64_t train = CountOf(Part::kTrain), validation = CountOf(Part::kValidation);
    std::vector<bool> drawn_from = keep_;
    std::vector<int32_t> own_validation;
    for (int64_t i = train; i < train + validation; ++i) {
      if (keep_[static_cast<size_t>(i)]) {
        own_validation.push_back(static_cast<int32_t>(i));
      }
      drawn_from[static_cast<size_t>(i)] = false;
    }
    LoadOptions options = options_;
    if (validation > 0) {
      options.validation_fraction = 0;
      options.validation_count = 0;
    }
    const bool has_test = train + validation < size();
    HONE_ASSIGN_OR_RETURN(Splits splits, Split({.size = has_test ? size() : train,
                                                .train_size = train,
                                                .labels = {},
                                                .keep = &drawn_from},
                                               options));
    if (validation > 0) {
      splits.validation = std::move(own_validation);
    }
    return splits;
  }

  // Tokens of a conversation at most: all but the last are read.
  int64_t MostTokens() const {
    const int64_t of_window = load_.window + 1;
    const int64_t asked = options_.chat->max_tokens;
    return asked > 0 ? std::min(asked, of_window) : of_window;
  }

  void LookForMark(const text::ChatEncoder& encoder, absl::string_view said) {
    if (const absl::string_view mark = encoder.MarkIn(said); !mark.empty()) {
      ++with_mark_;
      mark_ = mark_.empty() ? std::string(mark) : mark_;
    }
  }

  // A conversation up to the last of its answers' tokens that is read; without tokens where none
  // is. `whole`: tokens that it has, or that it had where some of them were cut off.
  text::ChatTokens Cut(const text::ChatEncoder& encoder, const text::Chat& chat, int64_t& whole) {
    tools_.Add(chat);
    for (const text::ChatMessage& message : chat.messages) {
      LookForMark(encoder, message.content);
      LookForMark(encoder, message.input);
      for (const text::ToolCall& call : message.calls) {
        LookForMark(encoder, call.arguments);
      }
    }
    text::ChatTokens tokens = encoder.Encode(chat);
    whole = static_cast<int64_t>(tokens.ids.size());
    if (options_.chat->learn_all) {
      std::ranges::fill(tokens.learned, uint8_t{1});
    }
    if (whole > MostTokens()) {
      tokens.ids.resize(static_cast<size_t>(MostTokens()));
      tokens.learned.resize(tokens.ids.size());
    }
    const bool is_cut = static_cast<int64_t>(tokens.ids.size()) < whole;
    // What stands behind the last answer is read by nobody; the first token is never foretold.
    while (!tokens.learned.empty() && tokens.learned.back() == 0) {
      tokens.learned.pop_back();
    }
    if (tokens.learned.size() < 2) {
      tokens.learned.clear();
    }
    tokens.ids.resize(tokens.learned.size());
    whole = is_cut ? whole : static_cast<int64_t>(tokens.ids.size());
    return tokens;
  }

  // Puts a line's conversations behind the others; false: there is nothing to learn.
  absl::StatusOr<bool> Add(const text::ChatEncoder& encoder, int32_t i,
                           PackedDocuments::Masked& all, SplitReport& split) {
    HONE_ASSIGN_OR_RETURN(const std::vector<text::Chat> chats,
                          ParseLine(rows_.text(row(i)), lines_));
    std::vector<text::ChatTokens> tokens;
    std::vector<int64_t> whole(chats.size());
    for (size_t k = 0; k < chats.size(); ++k) {
      tokens.push_back(Cut(encoder, chats[k], whole[k]));
      if (tokens.back().ids.empty()) {
        report().Drop(absl::StrCat("no answer within ", MostTokens(), " tokens"),
                      rows_.Where(row(i)));
        return false;
      }
    }
    if (lines_ == Lines::kPreferences && tokens[0].ids == tokens[1].ids) {
      report().Drop(absl::StrCat("the same answers within ", MostTokens(), " tokens"),
                    rows_.Where(row(i)));
      return false;
    }
    if (!split.tokens.has_value()) {
      split.tokens.emplace();
    }
    for (size_t k = 0; k < chats.size(); ++k) {
      const auto& [ids, learned] = tokens[k];
      CountText(ids, whole[k], -1, rows_.Where(row(i)), *split.tokens);
      all.tokens.insert(all.tokens.end(), ids.begin(), ids.end());
      all.learned.insert(all.learned.end(), learned.begin(), learned.end());
      all.begin.push_back(static_cast<int64_t>(all.tokens.size()));
    }
    return true;
  }

  absl::Status Encode(const TextPreprocessing& how, const text::ChatEncoder& encoder,
                      const Splits& parts) {
    PackedDocuments::Masked all;
    Splits numbers;  // of those that are left
    int32_t number = 0;
    for (const auto& [from, to, split] :
         {std::tuple(&parts.train, &numbers.train, &report().train),
          std::tuple(&parts.validation, &numbers.validation, &report().validation),
          std::tuple(&parts.test, &numbers.test, &report().test)}) {
      for (const int32_t i : *from) {
        HONE_ASSIGN_OR_RETURN(const bool added, Add(encoder, i, all, *split));
        if (added) {
          to->push_back(number++);
        }
      }
    }
    if (options_.as == nullptr && numbers.train.empty()) {
      const bool chats = lines_ == Lines::kChats;
      return absl::InvalidArgumentError(
          absl::StrCat("no ", chats ? "conversation" : "preference", " of the training part has ",
                       chats ? "a token of an answer" : "two answers that differ",
                       " among its first ", MostTokens(), " tokens; a larger ",
                       chats ? "language_modeling" : "preference_optimization",
                       ".window, or data.chat.max_tokens, reads more of them"));
    }
    CountSplits(numbers, {}, 0, report());
    using Rows = PackedDocuments::Rows;
    const auto packed =
        std::make_shared<const PackedDocuments>(std::move(all), numbers, load_.window,
                                                lines_ == Lines::kPreferences ? Rows::kPairs
                                                : load_.together              ? Rows::kTogether
                                                                              : Rows::kAlone);
    data_.splits = packed->splits();
    data_.dataset = Dataset(packed);
    Tell(how, *packed);
    return absl::OkStatus();
  }

  void Tell(const TextPreprocessing& how, const PackedDocuments& packed) {
    std::vector<std::string>& notes = report().notes;
    notes.push_back(absl::StrCat(
        what(), " are written as ", text::NameOf(how.chat->kind), " has it",
        how.chat->system.empty()
            ? ""
            : absl::StrCat(", where they have no system text with \"", how.chat->system, "\"")));
    if (how.chat->kind == text::ChatTemplate::Kind::kLlama31) {
      notes.push_back(
          "the day in their system turns is 26 Jul 2024, as it stands in the template, whatever "
          "day it is");
    }
    if (tools_.with_tools + tools_.calls + tools_.tool_turns > 0) {
      notes.push_back(absl::StrCat(Describe(tools_), OtherFormOf(how)));
    }
    if (with_mark_ > 0) {
      notes.push_back(absl::StrCat(
          with_mark_, " contents have a token in them that divides turns or ends texts, such as ",
          mark_, ": the model reads it as that, as it does in transformers"));
    }
    for (const auto& [name, rows, split] :
         {std::tuple("training", &data_.splits.train, &report().train),
          std::tuple("validation", &data_.splits.validation, &report().validation),
          std::tuple("test", &data_.splits.test, &report().test)}) {
      if (!split->tokens.has_value()) {
        continue;
      }
      notes.push_back(Describe(name, *split->tokens, MostTokens()));
      const int64_t learned = packed.CountLearned(*rows), foretold = packed.CountTokens(*rows);
      notes.push_back(absl::StrFormat(
          "%s part: %d tokens are learned, %.1f %% of those that are read%s%s", name, learned,
          100.0 * static_cast<double>(learned) /
              static_cast<double>(std::max<int64_t>(foretold, 1)),
          options_.chat->learn_all ? "" : ": the answers",
          lines_ == Lines::kChats ? "" : BySide(packed, *rows)));
    }
    if (load_.together) {
      notes.push_back(absl::StrCat("they are packed into ", packed.size(), " rows of at most ",
                                   load_.window, " tokens"));
    }
  }

  // "; …" where the checkpoint's own template does not write tools as these conversations do.
  static std::string OtherFormOf(const TextPreprocessing& how) {
    const auto own = text::RecogniseChatTemplate(how.chat_template);
    return own.ok() && own->kind == how.chat->kind
               ? ""
               : absl::StrCat("; the checkpoint's own template does not write them as ",
                              text::NameOf(how.chat->kind), " does: it learns the form here");
  }

  // ", …": how the learned tokens are shared among the chosen and the rejected answers.
  static std::string BySide(const PackedDocuments& packed, std::span<const int32_t> rows) {
    int64_t chosen = 0, rejected = 0;
    for (const int32_t row : rows) {
      for (const auto& [piece, count] :
           {std::pair(kChosenPiece, &chosen), std::pair(kRejectedPiece, &rejected)}) {
        *count += std::ranges::count(packed.learned(row, piece).subspan(1), 1);
      }
    }
    return absl::StrCat(", ", chosen, " tokens of the chosen ones and ", rejected,
                        " of the rejected ones");
  }

  const LoadOptions& options_;
  const ChatLoad load_;
  const Lines lines_;
  TextRows rows_;
  std::vector<bool> keep_;
  int64_t with_mark_ = 0;  // contents that have a token of the template
  std::string mark_;       // the first of these
  ToolCounts tools_;       // of all conversations
  LoadedData data_;
};

}  // namespace

void ToolCounts::Add(const text::Chat& chat) {
  with_tools += chat.tools.empty() ? 0 : 1;
  for (const text::ChatMessage& message : chat.messages) {
    calls += std::ssize(message.calls);
    tool_turns += message.role == text::ChatMessage::Role::kTool ? 1 : 0;
  }
}

std::string Describe(const ToolCounts& counts) {
  return absl::StrCat(counts.with_tools, " conversations offer tools; the assistant calls tools ",
                      counts.calls, " times in its answers, and ", counts.tool_turns,
                      " turns are what tools have answered");
}

absl::StatusOr<LoadedData> LoadChats(const LoadOptions& options, const ChatLoad& load) {
  return WithinMemory(options, "the conversations", [&] {
    const LoadOptions lines = ForLines(options);
    return Loader(lines, load, Lines::kChats).Load();
  });
}

absl::StatusOr<LoadedData> LoadPreferences(const LoadOptions& options, int64_t window) {
  return WithinMemory(options, "the preferences", [&] {
    const LoadOptions lines = ForLines(options);
    return Loader(lines, {.window = window}, Lines::kPreferences).Load();
  });
}

absl::StatusOr<std::optional<ChatSummary>> InspectChats(const std::string& path) {
  ChatSummary summary;
  const auto count = [&](std::span<const text::Chat> chats) { Count(chats[0], summary); };
  HONE_ASSIGN_OR_RETURN(const bool are_chats, InspectLines(path, Lines::kChats, count));
  return are_chats ? std::optional(summary) : std::nullopt;
}

absl::StatusOr<std::optional<PreferenceSummary>> InspectPreferences(const std::string& path) {
  PreferenceSummary summary;
  const auto count = [&](std::span<const text::Chat> chats) {
    Count(chats[kChosenPiece], summary.chosen);
    Count(chats[kRejectedPiece], summary.rejected);
  };
  HONE_ASSIGN_OR_RETURN(const bool are_preferences, InspectLines(path, Lines::kPreferences, count));
  return are_preferences ? std::optional(summary) : std::nullopt;
}

}  // namespace hone::engine::data
