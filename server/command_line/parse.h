#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace hone::server::command_line {

// A program whose first argument is one of these tells what shells and its manual ask for, instead
// of what it does otherwise: `__complete SHELL WORDS…` and `__describe`, its section of a page. Of
// other command lines: no value.
std::optional<std::string> Tell(const CLI::App& app, int argc, const char* const* argv);

// Parses the command line; the exit code where nothing is left to do: 0 after Tell, --help or
// --version, 2 after what is wrong was said.
std::optional<int> Parse(CLI::App& app, int argc, const char* const* argv);

}  // namespace hone::server::command_line
