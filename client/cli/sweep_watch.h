#pragma once

#include <string>

#include "client/cli/command.h"
#include "hone/v1/sweep.pb.h"

namespace hone::client::cli {

// Shows a sweep of the server until it ends, or Ctrl-C leaves it; it goes on. On a terminal the
// table and a plot, redrawn when something changes; elsewhere a line for each trial that ends, and
// the table at the end. Watches again while the server is away, at most five minutes; the end of a
// trial is told once. The exit code.
int WatchSweep(Client& client, const std::string& name, const Globals& globals);

// Takes over what WatchSweep says has changed.
void ApplyChange(const v1::Sweep& change, v1::Sweep& sweep);

// That of a sweep that has ended.
int ExitCodeOf(const v1::Sweep& sweep);

}  // namespace hone::client::cli
