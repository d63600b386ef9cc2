#pragma once

#include <string>

#include "client/cli/command.h"
#include "hone/v1/sweep.pb.h"

namespace hone::client::cli {

// Shows a sweep of the server until it ends, or Ctrl-C leaves it; it goes on. On a terminal the
// table, redrawn once a second; elsewhere a line for each trial that ends, and the table at the
// end. The exit code.
int WatchSweep(Client& client, const std::string& name, const Globals& globals);

// That of a sweep that has ended.
int ExitCodeOf(const v1::Sweep& sweep);

}  // namespace hone::client::cli
