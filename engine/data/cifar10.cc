#include "engine/data/cifar10.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/file_tree.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kCifarPixels = 3 * 32 * 32;
constexpr int64_t kCifarRecord = 1 + kCifarPixels;
constexpr int64_t kCifarClasses = 10;
constexpr int64_t kMostNames = 1 << 16;  // bytes of batches.meta.txt
constexpr const char* kCifarNames[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                       "dog",      "frog",       "horse", "ship", "truck"};

std::string BaseName(const std::string& name) {
  return std::filesystem::path(name).filename().string();
}

bool IsTrain(const std::string& base) {
  return absl::StartsWith(base, "data_batch_") && absl::EndsWith(base, ".bin");
}
bool IsTest(const std::string& base) { return base == "test_batch.bin"; }

// The batches by name, so that the examples' order is not the archive's.
struct BatchFiles {
  std::map<std::string, int64_t> train;  // base name → first row
  std::map<std::string, int64_t> test;
  int64_t train_size = 0;
  int64_t size = 0;
  std::vector<std::string> class_names;
};

absl::Status ReadNames(const TreeFile& file, std::vector<std::string>& names) {
  HONE_ASSIGN_OR_RETURN(std::string bytes, file.read(kMostNames));
  const absl::StatusOr<std::string> text = FromUtf8(std::move(bytes));
  HONE_RETURN_IF_ERROR(Annotate(text.status(), file.name));
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (const absl::string_view name = absl::StripAsciiWhitespace(line); !name.empty()) {
      names.emplace_back(name);
    }
  }
  if (static_cast<int64_t>(names.size()) != kCifarClasses) {
    return absl::InvalidArgumentError(absl::StrCat(file.name, ": names ", names.size(),
                                                   " classes; CIFAR-10 has ", kCifarClasses));
  }
  return absl::OkStatus();
}

absl::StatusOr<BatchFiles> ListBatches(const std::string& path) {
  BatchFiles batches;
  const auto visit = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    const std::string base = BaseName(file.name);
    if (base == "batches.meta.txt" && batches.class_names.empty()) {
      HONE_RETURN_IF_ERROR(ReadNames(file, batches.class_names));
    }
    if (!IsTrain(base) && !IsTest(base)) {
      return Visit::kGoOn;
    }
    if (file.bytes == 0 || file.bytes % kCifarRecord != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, "/", file.name, ": truncated: its ", file.bytes,
                       " bytes are not a multiple of a record's ", kCifarRecord));
    }
    auto& part = IsTrain(base) ? batches.train : batches.test;
    if (!part.emplace(base, file.bytes / kCifarRecord).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": has two files called ", base));
    }
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, visit));
  for (auto* part : {&batches.train, &batches.test}) {
    for (auto& [name, count] : *part) {
      const int64_t first = batches.size;
      batches.size += count;
      count = first;
    }
    if (part == &batches.train) {
      batches.train_size = batches.size;
    }
  }
  if (batches.train_size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has no data_batch_1.bin"));
  }
  if (batches.class_names.empty()) {
    batches.class_names.assign(std::begin(kCifarNames), std::end(kCifarNames));
  }
  return batches;
}

}  // namespace

bool IsCifar10(const std::string& path) {
  return HasFile(path, [](const std::string& name) { return IsTrain(BaseName(name)); });
}

absl::StatusOr<Examples> ReadCifar10(const std::string& path, const LoadOptions& options,
                                     Depth depth, DataReport& report) {
  HONE_ASSIGN_OR_RETURN(BatchFiles batches, ListBatches(path));
  Examples examples;
  DatasetParts& parts = examples.parts;
  parts.size = batches.size;
  parts.features = {Shape{3, 32, 32}, DType::kU8};
  parts.class_names = std::move(batches.class_names);
  parts.labels.assign(static_cast<size_t>(batches.size), 0);
  examples.train_size = batches.train_size;
  report.examples_read = batches.size;
  const int64_t factors[] = {batches.size, kCifarPixels};
  HONE_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(factors, options.max_bytes, path));
  if (depth == Depth::kAll) {
    parts.feature_values = Buffer(bytes);
  }
  uint8_t* const pixels = parts.feature_values.as<uint8_t>();
  const auto read = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    const std::string base = BaseName(file.name);
    const auto& part = IsTrain(base) ? batches.train : batches.test;
    const auto first = part.find(base);
    if (first == part.end()) {
      return Visit::kGoOn;
    }
    HONE_ASSIGN_OR_RETURN(const std::string contents, file.read(options.max_bytes));
    const auto count = static_cast<int64_t>(contents.size()) / kCifarRecord;
    if (first->second + count > batches.size) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, "/", file.name, ": grew while it was read"));
    }
    for (int64_t i = 0; i < count; ++i) {
      const char* record = contents.data() + i * kCifarRecord;
      const auto label = static_cast<uint8_t>(record[0]);
      if (label >= kCifarClasses) {
        return absl::InvalidArgumentError(absl::StrCat(path, "/", file.name, ": label ", label,
                                                       " at record ", i, " is out of range 0..",
                                                       kCifarClasses - 1));
      }
      parts.labels[static_cast<size_t>(first->second + i)] = label;
      if (pixels != nullptr) {
        std::memcpy(pixels + (first->second + i) * kCifarPixels, record + 1, kCifarPixels);
      }
    }
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, read));
  return examples;
}

}  // namespace hone::engine::data
