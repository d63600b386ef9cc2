#include "engine/data/prepare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/memory_error.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

// Takes `count` of the rows at random, from every class in proportion to its size (largest
// remainder, the smaller class index first), and leaves the others in `rows`. Both are ascending.
std::vector<int32_t> Take(std::vector<int32_t>& rows, int64_t count, const SplitRequest& request,
                          RandomStream& stream) {
  const int64_t groups = request.labels.empty() ? 1 : request.classes;
  std::vector<std::vector<int32_t>> of_group(static_cast<size_t>(groups));
  for (const int32_t row : rows) {
    const int32_t group = request.labels.empty() ? 0 : request.labels[static_cast<size_t>(row)];
    of_group[static_cast<size_t>(group)].push_back(row);
  }
  const int64_t total = static_cast<int64_t>(rows.size());
  std::vector<int64_t> quota;
  std::vector<std::pair<int64_t, size_t>> remainders;  // negated, so that the largest sorts first
  int64_t given = 0;
  for (size_t g = 0; g < of_group.size(); ++g) {
    const int64_t share = count * static_cast<int64_t>(of_group[g].size());
    quota.push_back(share / total);
    given += share / total;
    remainders.emplace_back(-(share % total), g);
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t i = 0; given < count; ++i, ++given) {
    ++quota[remainders[i].second];
  }
  std::vector<int32_t> taken;
  rows.clear();
  for (size_t g = 0; g < of_group.size(); ++g) {
    std::vector<int32_t>& group = of_group[g];
    for (size_t i = group.size(); i > 1; --i) {
      std::swap(group[i - 1], group[static_cast<size_t>(stream.NextBelow(i))]);
    }
    const auto middle = group.begin() + quota[g];
    taken.insert(taken.end(), group.begin(), middle);
    rows.insert(rows.end(), middle, group.end());
  }
  std::sort(rows.begin(), rows.end());
  std::sort(taken.begin(), taken.end());
  return taken;
}

// The rows of part `index`, from 1, of `count` parts; the others stay in `rows`. Both are
// ascending. Parts differ by one row at most, in each class and together.
std::vector<int32_t> TakeFold(std::vector<int32_t>& rows, int64_t index, int64_t count,
                              const SplitRequest& request, RandomStream& stream) {
  const int64_t groups = request.labels.empty() ? 1 : request.classes;
  std::vector<std::vector<int32_t>> of_group(static_cast<size_t>(groups));
  for (const int32_t row : rows) {
    const int32_t group = request.labels.empty() ? 0 : request.labels[static_cast<size_t>(row)];
    of_group[static_cast<size_t>(group)].push_back(row);
  }
  std::vector<int32_t> taken;
  rows.clear();
  int64_t dealt = 0;
  for (std::vector<int32_t>& group : of_group) {
    for (size_t i = group.size(); i > 1; --i) {
      std::swap(group[i - 1], group[static_cast<size_t>(stream.NextBelow(i))]);
    }
    for (const int32_t row : group) {
      (dealt++ % count + 1 == index ? taken : rows).push_back(row);
    }
  }
  std::sort(rows.begin(), rows.end());
  std::sort(taken.begin(), taken.end());
  return taken;
}

absl::Status CheckOptions(const LoadOptions& options) {
  HONE_RETURN_IF_ERROR(CheckFractions(options));
  if (options.fold_count != 0 && (options.fold_count < 2 || options.fold_index < 1 ||
                                  options.fold_index > options.fold_count)) {
    return absl::InvalidArgumentError(
        absl::StrCat("fold ", options.fold_index, " of ", options.fold_count,
                     " cannot be; there must be 2 or more, numbered from 1"));
  }
  if (options.validation_count < 0 || options.limit < 0) {
    return absl::InvalidArgumentError("validation_count and limit must not be negative");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSource(const LoadOptions& options) {
  if (options.dataset.empty() != options.path.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      options.path.empty() ? "no data: give `dataset` (a name of the catalogue) or `path`"
                           : "both `dataset` and `path` are given; give one of the two");
}

absl::Status CheckFractions(const LoadOptions& options) {
  for (const auto& [name, share] : {std::pair("validation_fraction", options.validation_fraction),
                                    std::pair("test_fraction", options.test_fraction)}) {
    if (!(share >= 0 && share < 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", share, "; it must be at least 0 and below 1"));
    }
  }
  return absl::OkStatus();
}

int64_t CountOfFraction(double fraction, int64_t all) {
  return std::llround(fraction * static_cast<double>(all));
}

uint64_t ContentHash(const void* bytes, int64_t size) {
  constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;
  const auto mix = [](uint64_t hash, uint64_t word) {
    const unsigned __int128 product = static_cast<unsigned __int128>(hash ^ word) * (kFactor | 1);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  const auto* data = static_cast<const uint8_t*>(bytes);
  uint64_t hash = mix(kFactor, static_cast<uint64_t>(size));
  while (size > 0) {
    uint64_t word = 0;
    const int64_t take = std::min<int64_t>(size, 8);
    std::memcpy(&word, data, static_cast<size_t>(take));
    hash = mix(hash, word) + kFactor;
    data += take;
    size -= take;
  }
  return hash;
}

absl::Status KeepClasses(const std::vector<std::string>& classes, Examples& examples,
                         DataReport& report) {
  DatasetParts& parts = examples.parts;
  if (classes.empty()) {
    return absl::OkStatus();
  }
  std::vector<int32_t> renumbered(parts.class_names.size(), -1);
  for (size_t c = 0; c < classes.size(); ++c) {
    const auto found = std::find(parts.class_names.begin(), parts.class_names.end(), classes[c]);
    if (found == parts.class_names.end() ||
        renumbered[static_cast<size_t>(found - parts.class_names.begin())] >= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data.classes: ", found == parts.class_names.end() ? "there is no class " : "twice: ",
          classes[c], "; there are ", absl::StrJoin(parts.class_names, ", ")));
    }
    renumbered[static_cast<size_t>(found - parts.class_names.begin())] = static_cast<int32_t>(c);
  }
  const auto bytes = static_cast<size_t>(parts.features.bytes());
  const bool pixels = parts.feature_values.bytes() > 0;
  int64_t kept = 0, kept_train = 0;
  for (int64_t row = 0; row < parts.size; ++row) {
    const int32_t label = renumbered[static_cast<size_t>(parts.labels[static_cast<size_t>(row)])];
    if (label < 0) {
      continue;
    }
    parts.labels[static_cast<size_t>(kept)] = label;
    if (pixels && kept != row) {
      auto* values = parts.feature_values.as<std::byte>();
      std::memcpy(values + static_cast<size_t>(kept) * bytes,
                  values + static_cast<size_t>(row) * bytes, bytes);
    }
    ++kept;
    kept_train += row < examples.train_size ? 1 : 0;
  }
  if (kept < parts.size) {
    report.Drop("of a class that was not asked for", "", parts.size - kept);
  }
  if (pixels) {
    Buffer fitting(std::max<int64_t>(kept * static_cast<int64_t>(bytes), 1));
    std::memcpy(fitting.data(), parts.feature_values.data(), static_cast<size_t>(kept) * bytes);
    parts.feature_values = std::move(fitting);
  }
  parts.labels.resize(static_cast<size_t>(kept));
  parts.size = kept;
  parts.class_names = classes;
  examples.train_size = kept_train;
  return absl::OkStatus();
}

std::vector<bool> FindCopies(const ExampleContents& examples, bool drop, DataReport& report) {
  struct Hashed {
    uint64_t hash;
    int64_t row;
  };
  std::vector<bool> keep(static_cast<size_t>(examples.size), true);
  if (examples.keep != nullptr) {
    keep = *examples.keep;
  }
  std::vector<Hashed> sorted;
  sorted.reserve(static_cast<size_t>(examples.size));
  for (int64_t row = 0; row < examples.size; ++row) {
    if (keep[static_cast<size_t>(row)]) {
      sorted.push_back({examples.hash(row), row});
    }
  }
  std::sort(sorted.begin(), sorted.end(), [](const Hashed& a, const Hashed& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.row < b.row;
  });
  std::vector<int64_t> originals;  // rows of this hash that are no copies
  for (size_t i = 0; i < sorted.size(); ++i) {
    const int64_t row = sorted[i].row;
    if (i == 0 || sorted[i - 1].hash != sorted[i].hash) {
      originals.clear();
    }
    bool copy = false;
    bool contradiction = false;
    for (const int64_t original : originals) {
      if (!examples.same_features(original, row)) {
        continue;
      }
      if (!examples.same_target(original, row)) {
        contradiction = true;
        continue;
      }
      copy = true;
      const bool across = original < examples.train_size && row >= examples.train_size;
      ++(across ? report.duplicates_across_parts : report.duplicates);
      if (drop) {
        keep[static_cast<size_t>(row)] = false;
        report.Drop(across ? "exact copy of a training example in the test part"
                           : "exact copy of an earlier example",
                    absl::StrCat("example ", row, " is example ", original));
      }
      break;
    }
    if (!copy) {
      report.contradictions += contradiction;
      originals.push_back(row);
    }
  }
  return keep;
}

absl::StatusOr<Splits> Split(const SplitRequest& request, const LoadOptions& options) {
  HONE_RETURN_IF_ERROR(CheckOptions(options));
  Splits splits;
  for (int64_t row = 0; row < request.size; ++row) {
    if (request.keep == nullptr || (*request.keep)[static_cast<size_t>(row)]) {
      (row < request.train_size ? splits.train : splits.test).push_back(static_cast<int32_t>(row));
    }
  }
  const auto share = [](double fraction, const std::vector<int32_t>& rows) {
    return CountOfFraction(fraction, static_cast<int64_t>(rows.size()));
  };
  if (options.fold_count > 0) {
    if (static_cast<int64_t>(splits.train.size()) < options.fold_count) {
      return absl::InvalidArgumentError(
          absl::StrCat("data.fold.count: must be at most the number of training examples, ",
                       splits.train.size(), ", got ", options.fold_count));
    }
    RandomStream stream(options.seed, "split fold");
    splits.test = TakeFold(splits.train, options.fold_index, options.fold_count, request, stream);
  } else if (request.train_size == request.size && !splits.train.empty()) {
    RandomStream stream(options.seed, "split test");
    splits.test = Take(splits.train, share(options.test_fraction, splits.train), request, stream);
  }
  if (options.limit > 0 && options.limit < static_cast<int64_t>(splits.train.size())) {
    RandomStream stream(options.seed, "split limit");
    splits.train = Take(splits.train, options.limit, request, stream);
  }
  const int64_t available = static_cast<int64_t>(splits.train.size());
  const int64_t validation = options.validation_count > 0
                                 ? options.validation_count
                                 : share(options.validation_fraction, splits.train);
  if (validation >= available) {
    return absl::InvalidArgumentError(
        absl::StrCat("nothing is left to train on: the training part has ", available,
                     " examples, and ", validation, " are set aside for validation"));
  }
  if (validation > 0) {
    RandomStream stream(options.seed, "split validation");
    splits.validation = Take(splits.train, validation, request, stream);
  }
  return splits;
}

void CountSplits(const Splits& splits, std::span<const int32_t> labels, int64_t classes,
                 DataReport& report) {
  const auto count = [&](const std::vector<int32_t>& rows, SplitReport& split) {
    split.examples = static_cast<int64_t>(rows.size());
    if (!labels.empty()) {
      split.class_counts.assign(static_cast<size_t>(classes), 0);
      for (const int32_t row : rows) {
        ++split.class_counts[static_cast<size_t>(labels[static_cast<size_t>(row)])];
      }
    }
  };
  count(splits.train, report.train);
  count(splits.validation, report.validation);
  count(splits.test, report.test);
}

absl::StatusOr<LoadedData> WithinMemory(const LoadOptions& options, absl::string_view what,
                                        absl::FunctionRef<absl::StatusOr<LoadedData>()> load) {
  try {
    return load();
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError(
        absl::StrCat(options.dataset, options.path, ": not enough memory for ", what));
  }
}

}  // namespace hone::engine::data
