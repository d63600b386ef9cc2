#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/data/formats.h"

namespace hone::engine::data {

// IDX, the format of MNIST: a folder with train-images-idx3-ubyte and train-labels-idx1-ubyte and,
// if it has a test part, the same with t10k; plain or .gz; also with a dot before idx. Source:
// http://yann.lecun.com/exdb/mnist.
bool IsIdxFolder(const std::string& path);
absl::StatusOr<Examples> ReadIdxFolder(const std::string& path, const LoadOptions& options,
                                       Depth depth, DataReport& report);

}  // namespace hone::engine::data
