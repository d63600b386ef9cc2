#pragma once

#include <string>

#include "engine/data/load.h"

namespace hone::engine::data {

// A hash, as 16 hexadecimal digits, of what a run learns from: examples, targets, splits and
// preprocessing. The same wherever the data lies, and on every machine. It tells other data, not
// data forged to look alike.
std::string Fingerprint(const LoadedData& data);

}  // namespace hone::engine::data
