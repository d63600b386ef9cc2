#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/image/image.h"

namespace hone::engine::tasks {

// What a model looked at while it wrote: a row for each token that it wrote, a column for each that
// it read, shares of 1.
using AttentionMap = std::vector<std::vector<float>>;

// A square for each share, the darker the larger; a grey line between squares. At least one row,
// all of one length.
image::Image Draw(const AttentionMap& map);
// The same as a table, tab-separated: the tokens that were read, then of each that was written the
// token and its shares.
std::string Tabulate(const AttentionMap& map, std::span<const std::string> read,
                     std::span<const std::string> written);

}  // namespace hone::engine::tasks
