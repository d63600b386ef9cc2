#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hone::server::command_line {

// A manual page in the language of man(7), which man-db and mandoc read; its date is
// SOURCE_DATE_EPOCH's, else today. Commands, options, their ranges, variables and defaults are
// those of the program's own tree; what a tree cannot say is here, as plain text: an empty line
// begins a paragraph, and a line that begins with four spaces is shown as it is.
struct Prose {
  std::string heading;  // "EXIT STATUS"
  // Pairs of a term and what it means; then the text.
  std::vector<std::pair<std::string, std::string>> terms = {};
  std::string text = "";
};
struct Page {
  std::string name = "";                   // "hone"
  int section = 1;                         // of the manual
  std::string version = "";                // of the program
  std::string title = "";                  // one line: "trains neural networks"
  std::string synopsis = "";               // "hone [OPTIONS] COMMAND"; "": none
  std::vector<Prose> before = {};          // the options and the commands
  std::vector<Prose> after = {};           // them
  std::vector<std::string> see_also = {};  // "honed(8)"
};

// `tree`: what TreeText has made of the program's commands; "": it has none.
std::string ManualPage(const Page& page, const std::string& tree);

// The section OPTIONS of a program; then, as the section COMMANDS, each command with its own.
std::string TreeText(const CLI::App& app);
// Of a command that has an app of its own, for the section COMMANDS.
std::string CommandText(const CLI::App& app, const std::string& path);
// The section ENVIRONMENT: the variables of all options, and others.
std::string EnvironmentText(const CLI::App& app,
                            const std::vector<std::pair<std::string, std::string>>& others);

// One paragraph's text, so that nothing in it is taken for a command of the page.
std::string Escape(const std::string& text);

}  // namespace hone::server::command_line
