#pragma once

#include <optional>
#include <string>

#include "client/cli/command.h"

namespace hone::client::cli {

inline constexpr char kProgram[] = "Hone trains and fine-tunes neural networks on CPUs.";

// What the completion's script and the build ask for, which is no command of people's:
//   hone __complete SHELL WORDS…   what fits in the place of the last word; the server's names, if
//                                  it answers within a second
//   hone __man hone                the manual page hone(1), on stdout
//   hone __man job-file FILE       hone-job-file(5), from the protos' descriptors in FILE, with
//                                  their comments
// `app` is declared, not parsed. No value: it is none of these.
std::optional<int> TellShell(const CLI::App& app, int argc, const char* const* argv);

}  // namespace hone::client::cli
