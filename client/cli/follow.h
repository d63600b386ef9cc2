#pragma once

#include <string>

#include "client/cli/command.h"

namespace hone::client::cli {

// Shows a job of the server until it ends, with the live view or, with --output json, one event a
// line and the job last. Reconnects with the resume token while the server is away (at most five
// minutes), so nothing is missing and nothing comes twice. Ctrl-C leaves the view, not the job.
// Returns the exit code.
int Follow(const std::string& job_name, const Globals& globals);

}  // namespace hone::client::cli
