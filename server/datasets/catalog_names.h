#pragma once

#include "absl/strings/string_view.h"

namespace hone::server::datasets {

// A data set of the catalogue has this name, which no upload may take: jobs of everybody mean the
// catalogue's by it. The catalogue itself is the engine's and known to workers alone.
bool IsCatalogName(absl::string_view name);

}  // namespace hone::server::datasets
