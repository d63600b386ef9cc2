#include "server/command_line/completion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace hone::server::command_line {
namespace {

constexpr char kBash[] = R"(# Completion of PROGRAM for bash.
_PROGRAM() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o default
    else
      COMPREPLY+=("${line%%$'\t'*}")
    fi
  done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _PROGRAM PROGRAM
)";

constexpr char kZsh[] = R"(#compdef PROGRAM
# Completion of PROGRAM for zsh.
_PROGRAM() {
  local line files=
  local -a found
  for line in "${(@f)$("${words[1]/#\~/$HOME}" __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      files=1
    elif [[ -n $line ]]; then
      found+=("${${${line%%$'\t'*}//\\/\\\\}//:/\\:}:${line#*$'\t'}")
    fi
  done
  (( $#found )) && _describe -t PROGRAM PROGRAM found
  [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _PROGRAM ]]; then
  _PROGRAM "$@"
else
  compdef _PROGRAM PROGRAM
fi
)";

constexpr char kFish[] = R"(# Completion of PROGRAM for fish.
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete fish $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            printf '%s\n' $line
        end
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
)";

// Hidden ones have no group.
bool IsShown(const CLI::Option& option) { return !option.get_group().empty(); }

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_min() > 0; }

// By `--name` or `-n` in a command or those that it belongs to. Null: there is none.
const CLI::Option* FindOption(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_positional() && option->check_name(name)) {
        return option;
      }
    }
  }
  return nullptr;
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->check_name(name)) {
      return command;
    }
  }
  return nullptr;
}

// The n-th positional of a command, or the last one where that takes several values.
const CLI::Option* PositionalAt(const CLI::App& app, int n) {
  const CLI::Option* last = nullptr;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) {
      continue;
    }
    if (n-- == 0) {
      return option;
    }
    last = option;
  }
  return last != nullptr && last->get_items_expected_max() > 1 ? last : nullptr;
}

// The first sentence, in one line.
std::string Brief(const std::string& help) {
  const std::string line = absl::StrReplaceAll(help, {{"\n", " "}, {"\t", " "}});
  const size_t end = std::min(line.find(". "), line.find("; "));
  return std::string(absl::StripSuffix(line.substr(0, end), "."));
}

// "{a,b}" of CLI::IsMember.
std::vector<std::string> Choices(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    return {};
  }
  return absl::StrSplit(type.substr(begin + 1, end - begin - 1), ',', absl::SkipEmpty());
}

bool IsNumber(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return absl::StartsWith(type, "INT") || absl::StartsWith(type, "UINT") ||
         absl::StartsWith(type, "FLOAT");
}

// Where a line has come to.
class Walk {
 public:
  Walk(const CLI::App& app, const Ask& ask) : root_(app), ask_(ask), app_(&app) {}

  // A word that is whole.
  void Pass(const std::string& word) {
    if (open_ != nullptr) {
      Keep(*open_, word);
      open_ = nullptr;
    } else if (plain_ || word.size() < 2 || word[0] != '-') {
      const CLI::App* command = plain_ || positionals_ > 0 ? nullptr : FindCommand(*app_, word);
      app_ = command != nullptr ? command : app_;
      positionals_ = command != nullptr ? 0 : positionals_ + 1;
    } else if (word == "--") {
      plain_ = true;
    } else {
      PassOption(word);
    }
  }

  Completion Finish(const std::string& word) const {
    Completion found;
    if (open_ != nullptr) {
      AddValues(*open_, open_->get_single_name(), "", word, found);
    } else if (const size_t equals = word.find('=');
               !plain_ && absl::StartsWith(word, "--") && equals != std::string::npos) {
      if (const CLI::Option* option = FindOption(app_, word.substr(0, equals)); option != nullptr) {
        AddValues(*option, option->get_single_name(), word.substr(0, equals + 1),
                  word.substr(equals + 1), found);
      }
    } else if (!plain_ && absl::StartsWith(word, "-")) {
      AddOptions(word, found);
    } else {
      AddPlain(word, found);
    }
    return found;
  }

 private:
  void PassOption(const std::string& word) {
    const size_t equals = word.find('=');
    const CLI::Option* option = FindOption(app_, word.substr(0, equals));
    if (option == nullptr) {
      return;
    }
    if (equals != std::string::npos) {
      Keep(*option, word.substr(equals + 1));
    } else if (TakesValue(*option)) {
      open_ = option;
    } else {
      Keep(*option, "");
    }
  }

  // What the program itself was told.
  void Keep(const CLI::Option& option, const std::string& value) {
    const auto own = root_.get_options();
    if (!option.get_lnames().empty() && std::ranges::find(own, &option) != own.end()) {
      given_.push_back(absl::StrCat("--", option.get_lnames()[0],
                                    TakesValue(option) ? absl::StrCat("=", value) : ""));
    }
  }

  static void Add(const std::string& text, const std::string& help, const std::string& begun,
                  Completion& found) {
    const size_t slash = text.find('/');
    if (absl::StartsWith(text, begun)) {
      found.words.push_back({text, help});
    } else if (slash != std::string::npos && absl::StartsWith(text.substr(slash + 1), begun)) {
      found.words.push_back({text.substr(slash + 1), help});
    }
  }

  void AddOptions(const std::string& begun, Completion& found) const {
    for (const CLI::App* app = app_; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* option : app->get_options()) {
        if (!option->get_positional() && IsShown(*option)) {
          for (const std::string& name : option->get_lnames()) {
            Add(absl::StrCat("--", name), Brief(option->get_description()), begun, found);
          }
        }
      }
    }
  }

  void AddPlain(const std::string& begun, Completion& found) const {
    if (positionals_ == 0 && !plain_) {
      for (const CLI::App* command : app_->get_subcommands([](const CLI::App*) { return true; })) {
        if (!command->get_group().empty()) {
          Add(command->get_name(), Brief(command->get_description()), begun, found);
        }
      }
    }
    if (const CLI::Option* option = PositionalAt(*app_, positionals_); option != nullptr) {
      AddValues(*option, option->get_name(true), "", begun, found);
    }
  }

  // `before` stands before each word: the option's own name where the value is a part of it.
  void AddValues(const CLI::Option& option, const std::string& name, const std::string& before,
                 const std::string& begun, Completion& found) const {
    Completion values;
    const std::vector<std::string> choices = Choices(option);
    for (const std::string& choice : choices) {
      values.words.push_back({choice});
    }
    const bool known = !choices.empty() || (ask_ && ask_(name, given_, values));
    found.files = values.files || (!known && !IsNumber(option));
    Completion fitting;
    for (const Word& word : values.words) {
      Add(word.text, word.help, begun, fitting);
    }
    for (Word& word : fitting.words) {
      found.words.push_back({absl::StrCat(before, word.text), std::move(word.help)});
    }
  }

  const CLI::App& root_;
  const Ask& ask_;
  const CLI::App* app_;
  const CLI::Option* open_ = nullptr;  // the next word is its value
  int positionals_ = 0;
  bool plain_ = false;  // after `--`
  std::vector<std::string> given_;
};

// bash has made words of these signs.
bool IsSign(const std::string& word) { return word == "=" || word == ":"; }

std::vector<std::string> Join(const std::vector<std::string>& words) {
  std::vector<std::string> joined;
  bool open = false;  // the next word belongs to the last one
  for (const std::string& word : words) {
    if (!joined.empty() && (open || IsSign(word))) {
      joined.back() += word;
    } else {
      joined.push_back(word);
    }
    open = IsSign(word);
  }
  return joined;
}

}  // namespace

Completion Complete(const CLI::App& app, const std::vector<std::string>& words, const Ask& ask) {
  Walk walk(app, ask);
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    walk.Pass(words[i]);
  }
  return walk.Finish(words.empty() ? "" : words.back());
}

std::string CompletionScript(absl::string_view shell, absl::string_view program) {
  const char* const script = shell == "bash"   ? kBash
                             : shell == "zsh"  ? kZsh
                             : shell == "fish" ? kFish
                                               : "";
  return absl::StrReplaceAll(script, {{"PROGRAM", program}});
}

std::string CompletionText(absl::string_view shell, const CLI::App& app,
                           const std::vector<std::string>& words, const Ask& ask) {
  const std::vector<std::string> whole = shell == "bash" ? Join(words) : words;
  const Completion found = Complete(app, whole, ask);
  std::string text = found.files ? ":files\n" : "";
  // Of the word that is being typed bash wants only what comes after its last sign.
  size_t cut = 0;
  if (shell == "bash" && !whole.empty()) {
    cut = whole.back().find_last_of("=:") + 1;
  }
  for (const Word& word : found.words) {
    absl::StrAppend(&text, word.text.substr(std::min(cut, word.text.size())), "\t", word.help,
                    "\n");
  }
  return text;
}

}  // namespace hone::server::command_line
