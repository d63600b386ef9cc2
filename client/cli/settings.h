#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"

namespace hone::client::cli {

// Where the server is and who calls it. Each of these settings is what its flag says, else what its
// variable says, else what the context says, else the default. The context is the one that
// --context or HONE_CONTEXT names, else the current one of config.yaml (client/cli/contexts.h).
//
// A token goes only where it belongs: where a flag or a variable names a server and no context is
// named, no context counts, and a context that is named together with another server is an error.

// Declares them; when the command line was read, `globals` has them, or says in `context_error` why
// not.
void AddSettings(CLI::App& app, Globals& globals);

// What counts and by whom it was said, for people: "--server", "variable HONE_SERVER", "context
// lab", "default". A token itself is not among them.
struct Setting {
  std::string name;
  std::string value;
  std::string source;
};
std::vector<Setting> SettingsOf(const CLI::App& app, const Globals& globals);

}  // namespace hone::client::cli
