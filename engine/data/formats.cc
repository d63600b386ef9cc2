#include "engine/data/formats.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/data/cifar10.h"
#include "engine/data/csv.h"
#include "engine/data/idx.h"
#include "engine/data/image_folder.h"

namespace hone::engine::data {
namespace {

constexpr Format kFormats[] = {
    {"idx", IsIdxFolder, ReadIdxFolder},
    {"csv", IsCsv, ReadCsv},
    {"cifar10", IsCifar10, ReadCifar10},
    {"image folder", IsImageFolder, ReadImageFolder},
};

}  // namespace

std::span<const Format> Formats() { return kFormats; }

absl::StatusOr<const Format*> DetectFormat(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    if (format.matches(path)) {
      return &format;
    }
    names.emplace_back(format.name);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": is in no known format; the known ones are ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<int64_t> CheckedBytes(std::span<const int64_t> factors, int64_t max_bytes,
                                     const std::string& what) {
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(product, factor, &product) || product > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", absl::StrJoin(factors, "x"),
                                                     " bytes are more than the limit of ",
                                                     max_bytes));
    }
  }
  return product;
}

}  // namespace hone::engine::data
