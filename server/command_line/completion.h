#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::server::command_line {

// What may stand in the place of a word that is being typed, made from the program's own tree of
// commands and options: there is no second list that could differ from it.
struct Word {
  std::string text;
  std::string help = "";  // one line; "": none
};
struct Completion {
  std::vector<Word> words;
  bool files = false;  // names of files, too
};

// What the tree does not know, such as the names of jobs. `what`: the name of the positional
// ("JOB"), or of the option without its dashes ("context"). `given`: the program's own options that
// the line has so far, as they would be written ("--server=a:1"). False: nothing is known of it.
using Ask = std::function<bool(const std::string& what, const std::vector<std::string>& given,
                               Completion& completion)>;

// `words` are those after the program's name; the last one, perhaps empty, is being typed. Options
// are taken after a subcommand, too, as the program does where it has said `fallthrough`. A name
// such as `jobs/abc` also fits where `abc` is begun.
Completion Complete(const CLI::App& app, const std::vector<std::string>& words, const Ask& ask);

// The shells that there are scripts for.
inline constexpr const char* kShells[] = {"bash", "zsh", "fish"};

// What a shell reads to complete the command lines of `program`; "": it is none of kShells. The
// script calls `program __complete SHELL WORDS…`, which answers with CompletionText.
std::string CompletionScript(absl::string_view shell, absl::string_view program);

// The answer to those words in the form that the script of `shell` reads: a line for each word, its
// help behind a tab, and before them the line `:files` where names of files fit. bash takes the
// signs = and : for words of their own.
std::string CompletionText(absl::string_view shell, const CLI::App& app,
                           const std::vector<std::string>& words, const Ask& ask);

}  // namespace hone::server::command_line
