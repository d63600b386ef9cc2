#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/data/formats.h"

namespace hone::engine::data {

// A folder or a tar of PNG and JPEG pictures, each in the folder of its class; train/ and test/
// above the classes make the parts (what is beside them is then passed over). All are brought to
// one size: the one asked for, else the first picture's. Damaged pictures are dropped and reported.
bool IsImageFolder(const std::string& path);
absl::StatusOr<Examples> ReadImageFolder(const std::string& path, const LoadOptions& options,
                                         Depth depth, DataReport& report);

}  // namespace hone::engine::data
