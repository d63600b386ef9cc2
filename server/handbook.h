#pragma once

#include <optional>

namespace hone::server {

// honed's commands beside the server itself, each with a command line of its own, and what the
// completion's script, the build and people ask for:
//   honed completion SHELL         the script that a shell reads
//   honed __complete SHELL WORDS…  what fits in the place of the last word
//   honed __man honed | worker     the manual page honed(8) or hone-worker(8), on stdout
// The exit code; no value: the command line is of none of them, but of the server.
std::optional<int> RunCommand(int argc, const char* const* argv);

}  // namespace hone::server
