#pragma once

#include <vector>

#include "client/cli/text.h"
#include "hone/v1/plan.pb.h"

namespace hone::client::cli {

// One plan: every layer, then depth, totals and cost.
std::vector<Line> PlanTable(const v1::Plan& plan);

// The layers alone, as of a model in the registry.
std::vector<Line> LayerTable(const v1::Plan& plan);

// Several plans side by side: totals and cost, one column each.
std::vector<Line> CompareTable(const std::vector<v1::Plan>& plans);

}  // namespace hone::client::cli
