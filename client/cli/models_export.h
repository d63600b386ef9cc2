#pragma once

#include "client/cli/command.h"

namespace hone::client::cli {

// `hone models export`, a command of `models`. Globals outlive it.
void AddModelsExport(CLI::App& models, Globals& globals);

}  // namespace hone::client::cli
