#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/data/formats.h"

namespace hone::engine::data {

// CIFAR-10's binary version, a folder or a tar: data_batch_1.bin … data_batch_5.bin and
// test_batch.bin, each a row of records of one label byte and 3x32x32 pixels; batches.meta.txt
// names the classes. Source: https://www.cs.toronto.edu/~kriz/cifar.html.
bool IsCifar10(const std::string& path);
absl::StatusOr<Examples> ReadCifar10(const std::string& path, const LoadOptions& options,
                                     Depth depth, DataReport& report);

}  // namespace hone::engine::data
