#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"

namespace hone::engine::checkpoint {

constexpr int64_t kMaxHeaderBytes = 100 * 1000 * 1000;
constexpr int kMaxRank = 8;
constexpr size_t kMaxNameBytes = 1024;

struct SafetensorsHeader {
  std::vector<FileTensor>
      tensors;  // in the order of their bytes, which are counted from the start of the data
  std::map<std::string, std::string> metadata;
};

// Checks everything that the header alone and the number of data bytes after it allow.
// INVALID_ARGUMENT names the tensor and what would be right.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         int64_t data_bytes);

// A name from a file, safe to be shown: quoted, escaped, cut after 80 bytes.
std::string Shown(absl::string_view name);

}  // namespace hone::engine::checkpoint
