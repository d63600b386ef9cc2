#include "engine/data/text_targets.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/formats.h"
#include "engine/data/rating_index.h"

namespace hone::engine::data {
namespace {

// The labels' names: whole numbers by their size, then words by their letters, or as the options
// call them in this order.
absl::StatusOr<std::vector<std::string>> NameClasses(const std::vector<std::string>& labels,
                                                     const LoadOptions& options) {
  if (options.class_names.empty()) {
    return labels;
  }
  if (options.class_names.size() != labels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are ", labels.size(), " labels (", absl::StrJoin(labels, ", "),
                     ") for the classes ", absl::StrJoin(options.class_names, ", ")));
  }
  return options.class_names;
}

constexpr auto kIdIsBefore = [](const std::string& a, const std::string& b) {
  return IdIsBefore(a, b);
};

// Those of the texts that are kept, in the order of their classes.
std::vector<std::string> LabelsOf(const TextLoading& loading) {
  std::set<std::string, decltype(kIdIsBefore)> all(kIdIsBefore);
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (loading.keep[static_cast<size_t>(i)]) {
      all.emplace(loading.label(i));
    }
  }
  return {all.begin(), all.end()};
}

// Puts a class behind each text: of a label the code that stands at its place. Those that are not
// kept have 0.
void SetCodes(const std::vector<std::string>& labels, const std::vector<int32_t>& codes,
              TextLoading& loading) {
  for (int64_t i = 0; i < loading.size(); ++i) {
    const auto found = std::ranges::lower_bound(labels, std::string(loading.label(i)), kIdIsBefore);
    const bool kept = loading.keep[static_cast<size_t>(i)];
    loading.targets.labels.push_back(kept ? codes[static_cast<size_t>(found - labels.begin())] : 0);
  }
}

// Classes to divide texts by that nothing else is made of: their labels, where all have one. Where
// there are almost as many as texts, they are no classes.
void SetStrata(TextLoading& loading) {
  constexpr size_t kTextsOfAClass = 10;
  const std::vector<std::string> labels = LabelsOf(loading);
  const auto missing = [](const std::string& label) { return IsMissing(label); };
  if (labels.empty() || std::ranges::any_of(labels, missing) ||
      labels.size() * kTextsOfAClass > loading.rows.rows.size()) {
    return;
  }
  std::vector<int32_t> codes(labels.size());
  std::iota(codes.begin(), codes.end(), 0);
  SetCodes(labels, codes, loading);
  loading.targets.class_names = labels;
}

// The place of a name among those of a checkpoint's head; their end where it is not there.
std::vector<std::string>::const_iterator FindInHead(const std::vector<std::string>& head,
                                                    const std::string& name) {
  const auto found = std::ranges::find(head, name);
  return found != head.end() ? found : std::ranges::find_if(head, [&](const std::string& other) {
    return absl::EqualsIgnoreCase(other, name);
  });
}

absl::Status SetClasses(TextLoading& loading) {
  const std::vector<std::string> labels = LabelsOf(loading);
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> names, NameClasses(labels, loading.options));
  const std::vector<std::string>& head = loading.options.head_classes;
  const auto in_head = [&](const std::string& name) {
    return FindInHead(head, name) != head.end();
  };
  std::vector<int32_t> codes;  // by label
  if (loading.as() == nullptr && !head.empty() && std::ranges::all_of(names, in_head)) {
    for (const std::string& name : names) {
      codes.push_back(static_cast<int32_t>(FindInHead(head, name) - head.begin()));
    }
    SetCodes(labels, codes, loading);
    loading.targets.class_names = head;
    return absl::OkStatus();
  }
  for (size_t c = 0; c < names.size(); ++c) {
    codes.push_back(static_cast<int32_t>(c));
    if (loading.as() != nullptr) {
      const std::vector<std::string>& known = loading.as()->class_names;
      const auto found = std::ranges::find(known, names[c]);
      if (found == known.end()) {
        return absl::InvalidArgumentError(absl::StrCat("the model does not know the class '",
                                                       names[c], "'; it knows ",
                                                       absl::StrJoin(known, ", ")));
      }
      codes.back() = static_cast<int32_t>(found - known.begin());
    }
  }
  SetCodes(labels, codes, loading);
  loading.targets.class_names = loading.as() != nullptr ? loading.as()->class_names : names;
  return absl::OkStatus();
}

absl::Status SetValues(TextLoading& loading) {
  if (loading.as() != nullptr && loading.as()->target_names.size() != 1) {
    return absl::InvalidArgumentError("the model predicts classes; this is regression");
  }
  Complaints complaints;
  for (int64_t i = 0; i < loading.size(); ++i) {
    const TextRow& row = loading.row(i);
    const std::optional<double> value = ToNumber(loading.label(i));
    if (!value) {
      complaints.Add(
          {.line = row.line,
           .text = absl::StrCat(loading.rows.Where(row), ": '", CutUtf8(loading.label(i), 40),
                                "' is not a number, which regression needs")});
    }
    loading.targets.targets.push_back(static_cast<float>(value.value_or(0)));
  }
  loading.targets.target_names = {loading.options.target.empty() ? "label"
                                                                 : loading.options.target};
  return complaints.status();
}

// Visits the names in the labels of the texts that are kept; a name may come again.
absl::Status ForEachName(
    const TextLoading& loading,
    absl::FunctionRef<absl::Status(int64_t text, absl::string_view name)> visit) {
  for (int64_t i = 0; i < loading.size(); ++i) {
    if (!loading.keep[static_cast<size_t>(i)]) {
      continue;
    }
    for (absl::string_view name :
         absl::StrSplit(loading.label(i), loading.options.text->separator)) {
      name = absl::StripAsciiWhitespace(name);
      if (!name.empty()) {
        HONE_RETURN_IF_ERROR(visit(i, name));
      }
    }
  }
  return absl::OkStatus();
}

// INVALID_ARGUMENT where it takes more bytes than are allowed to say of each text which of so many
// classes it has.
absl::Status CheckSeveralClasses(const TextLoading& loading, int64_t classes) {
  const int64_t factors[] = {loading.size(), classes, sizeof(float)};
  return CheckedBytes(factors, loading.options.max_bytes,
                      absl::StrCat("multi_label_classification: ", loading.size(), " texts with ",
                                   classes, " classes"))
      .status();
}

using NumberOfName = absl::flat_hash_map<std::string, size_t>;

// The names in the labels. Errors of CheckSeveralClasses, before they are all in memory.
absl::StatusOr<NumberOfName> FindNames(const TextLoading& loading) {
  NumberOfName names;
  HONE_RETURN_IF_ERROR(ForEachName(loading, [&](int64_t, absl::string_view name) -> absl::Status {
    if (names.contains(name)) {
      return absl::OkStatus();
    }
    names.emplace(std::string(name), 0);
    return CheckSeveralClasses(loading, std::ssize(names));
  }));
  return names;
}

// Of each class whether a text has it, 1 or 0, as values whose names are the classes'.
absl::Status SetSeveralClasses(TextLoading& loading) {
  std::vector<std::string>& classes = loading.targets.target_names;
  NumberOfName numbers;
  if (loading.as() != nullptr) {
    classes = loading.as()->target_names;
  } else {
    HONE_ASSIGN_OR_RETURN(numbers, FindNames(loading));
    for (const auto& [name, number] : numbers) {
      classes.push_back(name);
    }
    std::ranges::sort(classes, kIdIsBefore);
  }
  if (classes.empty()) {
    return absl::InvalidArgumentError(
        "no text has a label; multi_label_classification needs at least one class");
  }
  const std::vector<std::string>& head = loading.options.head_classes;
  const auto in_head = [&](const std::string& name) {
    return FindInHead(head, name) != head.end();
  };
  if (loading.as() == nullptr && !head.empty() && std::ranges::all_of(classes, in_head)) {
    for (auto& [name, number] : numbers) {
      number = static_cast<size_t>(FindInHead(head, name) - head.begin());
    }
    classes = head;
  } else {
    for (size_t c = 0; c < classes.size(); ++c) {
      numbers[classes[c]] = c;
    }
  }
  HONE_RETURN_IF_ERROR(CheckSeveralClasses(loading, std::ssize(classes)));
  loading.targets.targets.assign(static_cast<size_t>(loading.size()) * classes.size(), 0);
  return ForEachName(loading, [&](int64_t text, absl::string_view name) -> absl::Status {
    const auto found = numbers.find(name);
    if (found == numbers.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          loading.rows.Where(loading.row(text)), ": the model does not know the class '",
          CutUtf8(name, 80), "'; it knows ", CutUtf8(absl::StrJoin(classes, ", "), 400)));
    }
    loading.targets.targets[static_cast<size_t>(text) * classes.size() + found->second] = 1;
    return absl::OkStatus();
  });
}

}  // namespace

bool HasNoTargets(const LoadOptions& options) {
  return options.task == Task::kLanguageModeling || options.task == Task::kTextPairs;
}

absl::Status SetTargets(TextLoading& loading) {
  switch (loading.options.task) {
    case Task::kClassification:
      return SetClasses(loading);
    case Task::kRegression:
      return SetValues(loading);
    case Task::kRecommendation:
    case Task::kForecasting:
    case Task::kTranslation:
    case Task::kTokenTagging:
      break;
    case Task::kMultiLabel:
      return SetSeveralClasses(loading);
    case Task::kTextPairs:
      return absl::OkStatus();
    case Task::kLanguageModeling:
      SetStrata(loading);
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError("holds texts, which classification and regression learn from");
}

void Standardize(TextLoading& loading) {
  Preprocessing& p = loading.data.preprocessing;
  if (loading.options.task == Task::kMultiLabel) {
    p.target_names = loading.targets.target_names;
    p.target_mean.assign(p.target_names.size(), 0);
    p.target_std.assign(p.target_names.size(), 1);
    return;
  }
  std::vector<float>& values = loading.targets.targets;
  if (loading.as() == nullptr) {
    double sum = 0, squares = 0;
    const auto count = static_cast<double>(loading.data.splits.train.size());
    for (const int32_t row : loading.data.splits.train) {
      sum += values[static_cast<size_t>(row)];
    }
    for (const int32_t row : loading.data.splits.train) {
      squares += std::pow(values[static_cast<size_t>(row)] - sum / count, 2);
    }
    const double std = std::sqrt(squares / count);
    const bool wanted = loading.options.standardize_target;
    p.target_names = loading.targets.target_names;
    p.target_mean = {wanted ? sum / count : 0};
    p.target_std = {wanted && std > 0 ? std : 1};
  }
  for (float& value : values) {
    value = static_cast<float>((value - p.target_mean[0]) / p.target_std[0]);
  }
}

}  // namespace hone::engine::data
