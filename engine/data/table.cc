#include "engine/data/table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/data/formats.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostClasses = 1000;
constexpr size_t kMostCategories = 1000;

absl::StatusOr<size_t> FindColumn(const Table& table, const std::string& name) {
  std::vector<std::string> names;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].name == name) {
      return c;
    }
    names.push_back(table.columns[c].name);
  }
  return absl::InvalidArgumentError(absl::StrCat(table.path, ": there is no column '", name,
                                                 "'; the columns are ",
                                                 absl::StrJoin(names, ", ")));
}

bool Missing(const Column& column, size_t row) {
  return column.is_category ? column.codes[row] < 0 : std::isnan(column.numbers[row]);
}

// Classes of a target column: categories as they are, whole numbers in their order.
absl::Status LabelRows(const Table& table, TableTask& task) {
  const Column& column = table.columns[task.target];
  task.labels.assign(static_cast<size_t>(table.rows), 0);
  std::map<double, int32_t> label_of;
  for (size_t row = 0; row < task.keep.size(); ++row) {
    if (!task.keep[row] || column.is_category) {
      continue;
    }
    const double value = column.numbers[row];
    if (value != std::floor(value) || std::abs(value) > 1e15) {
      return absl::InvalidArgumentError(absl::StrCat(
          table.path, ": line ", table.lines[row], ": target column '", column.name, "' has ",
          value,
          ", which is not a class: classes are words or whole numbers; for other numbers "
          "the task is regression"));
    }
    label_of.emplace(value, 0);
  }
  const int64_t classes =
      static_cast<int64_t>(column.is_category ? column.categories.size() : label_of.size());
  if (classes > kMostClasses) {
    return absl::InvalidArgumentError(
        absl::StrCat(table.path, ": target column '", column.name, "' has ", classes,
                     " different values; classification takes at most ", kMostClasses));
  }
  for (auto& [value, label] : label_of) {
    label = static_cast<int32_t>(task.class_names.size());
    task.class_names.push_back(absl::StrCat(static_cast<int64_t>(value)));
  }
  if (column.is_category) {
    task.class_names = column.categories;
  }
  for (size_t row = 0; row < task.keep.size(); ++row) {
    if (task.keep[row]) {
      task.labels[row] = column.is_category ? column.codes[row] : label_of.at(column.numbers[row]);
    }
  }
  return absl::OkStatus();
}

struct Moments {
  double mean = 0;
  double std = 1;
};

// Of the numbers that are there; deviation 1 where they are all the same.
Moments Measure(const std::vector<double>& numbers, std::span<const int32_t> rows) {
  double sum = 0;
  int64_t count = 0;
  for (const int32_t row : rows) {
    const double value = numbers[static_cast<size_t>(row)];
    if (!std::isnan(value)) {
      sum += value;
      ++count;
    }
  }
  if (count == 0) {
    return {};
  }
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  for (const int32_t row : rows) {
    const double value = numbers[static_cast<size_t>(row)];
    if (!std::isnan(value)) {
      squares += (value - mean) * (value - mean);
    }
  }
  const double std = std::sqrt(squares / static_cast<double>(count));
  return {mean, std > 1e-12 * std::abs(mean) && std > 0 ? std : 1};
}

double Median(const std::vector<double>& numbers, std::span<const int32_t> rows) {
  std::vector<double> present;
  for (const int32_t row : rows) {
    if (const double value = numbers[static_cast<size_t>(row)]; !std::isnan(value)) {
      present.push_back(value);
    }
  }
  if (present.empty()) {
    return 0;
  }
  const auto middle = present.begin() + static_cast<std::ptrdiff_t>(present.size() / 2);
  std::nth_element(present.begin(), middle, present.end());
  if (present.size() % 2 == 1) {
    return *middle;
  }
  return (*std::max_element(present.begin(), middle) + *middle) / 2;
}

// For each code of the column the index in `categories`, or -1.
std::vector<int32_t> MapCodes(const Column& column, const std::vector<std::string>& categories) {
  std::vector<int32_t> map;
  for (const std::string& name : column.categories) {
    const auto found = std::find(categories.begin(), categories.end(), name);
    map.push_back(found == categories.end() ? -1
                                            : static_cast<int32_t>(found - categories.begin()));
  }
  return map;
}

// One column of the features, `stride` floats from row to row.
void EncodeColumn(const Column& column, const ColumnPreprocessing& how, int64_t rows,
                  int64_t stride, float* out) {
  if (!how.is_category()) {
    for (int64_t row = 0; row < rows; ++row) {
      // A column without a single value has no numbers.
      double value = column.is_category ? how.fill : column.numbers[static_cast<size_t>(row)];
      value = std::isnan(value) ? how.fill : value;
      out[row * stride] = static_cast<float>((value - how.mean) / how.std);
    }
    return;
  }
  const std::vector<int32_t> feature_of = MapCodes(column, how.categories);
  if (column.codes.empty()) {
    return;
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t code = column.codes[static_cast<size_t>(row)];
    const int32_t feature = code < 0 ? -1 : feature_of[static_cast<size_t>(code)];
    if (feature >= 0) {
      out[row * stride + feature] = 1;
    }
  }
}

}  // namespace

absl::StatusOr<TableTask> PlanTable(const Table& table, const LoadOptions& options,
                                    DataReport& report) {
  TableTask task;
  std::set<size_t> ignored;
  for (const std::string& name : options.ignore) {
    HONE_ASSIGN_OR_RETURN(const size_t column, FindColumn(table, name));
    ignored.insert(column);
  }
  task.target = table.columns.size() - 1;
  if (!options.target.empty()) {
    HONE_ASSIGN_OR_RETURN(task.target, FindColumn(table, options.target));
  }
  const Column& target = table.columns[task.target];
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    if (c == task.target || ignored.contains(c)) {
      continue;
    }
    if (column.categories.size() > kMostCategories) {
      return absl::InvalidArgumentError(
          absl::StrCat(table.path, ": column '", column.name, "' has ", column.categories.size(),
                       " different words; a category has at most ", kMostCategories,
                       ". Leave it out with `ignore`"));
    }
    if (column.is_category && column.categories.empty()) {
      report.notes.push_back(absl::StrCat("column '", column.name, "' is empty and was left out"));
      continue;
    }
    task.features.push_back(c);
    for (size_t row = 0; row < static_cast<size_t>(table.rows); ++row) {
      report.missing_cells += Missing(column, row);
    }
  }
  if (task.features.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        table.path, ": no column is left to learn from beside the target '", target.name, "'"));
  }
  if (options.task == Task::kRegression && target.is_category) {
    return absl::InvalidArgumentError(
        absl::StrCat(table.path, ": target column '", target.name, "' holds words such as '",
                     target.categories.empty() ? "" : target.categories[0],
                     "'; regression needs numbers, words need classification"));
  }
  task.keep.assign(static_cast<size_t>(table.rows), true);
  for (size_t row = 0; row < task.keep.size(); ++row) {
    if (Missing(target, row)) {
      task.keep[row] = false;
      report.Drop("the target is missing", absl::StrCat("line ", table.lines[row]));
    }
  }
  if (options.task == Task::kClassification) {
    HONE_RETURN_IF_ERROR(LabelRows(table, task));
  }
  return task;
}

Preprocessing FitTable(const Table& table, const TableTask& task, std::span<const int32_t> train,
                       const LoadOptions& options) {
  Preprocessing preprocessing;
  preprocessing.input = Preprocessing::Input::kTable;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (std::ranges::find(task.features, c) == task.features.end()) {
      preprocessing.unused_columns.push_back(table.columns[c].name);
    }
  }
  for (const size_t c : task.features) {
    const Column& column = table.columns[c];
    ColumnPreprocessing how;
    how.name = column.name;
    if (column.is_category) {
      std::vector<bool> used(column.categories.size());
      for (const int32_t row : train) {
        if (const int32_t code = column.codes[static_cast<size_t>(row)]; code >= 0) {
          used[static_cast<size_t>(code)] = true;
        }
      }
      for (size_t code = 0; code < used.size(); ++code) {
        if (used[code]) {
          how.categories.push_back(column.categories[code]);
        }
      }
      if (how.categories.empty()) {
        preprocessing.unused_columns.push_back(column.name);
        continue;  // no training example has a value there
      }
    } else {
      how.fill = Median(column.numbers, train);
      if (options.standardize) {
        const Moments moments = Measure(column.numbers, train);
        how.mean = moments.mean;
        how.std = moments.std;
      }
    }
    preprocessing.columns.push_back(std::move(how));
  }
  preprocessing.class_names = task.class_names;
  if (task.class_names.empty()) {
    const Column& target = table.columns[task.target];
    const Moments moments = options.standardize_target ? Measure(target.numbers, train) : Moments{};
    preprocessing.target_names = {target.name};
    preprocessing.target_mean = {moments.mean};
    preprocessing.target_std = {moments.std};
  }
  return preprocessing;
}

absl::Status TakeAs(const Table& table, const Preprocessing& model, TableTask& task) {
  if (model.input != Preprocessing::Input::kTable) {
    return absl::InvalidArgumentError(
        absl::StrCat(table.path, ": is a table; the model reads pictures"));
  }
  task.features.clear();
  for (const ColumnPreprocessing& how : model.columns) {
    HONE_ASSIGN_OR_RETURN(const size_t c, FindColumn(table, how.name));
    const Column& column = table.columns[c];
    const bool empty = column.is_category && column.categories.empty();
    if (column.is_category != how.is_category() && !empty) {
      return absl::InvalidArgumentError(absl::StrCat(
          table.path, ": column '", how.name, "' holds ", column.is_category ? "words" : "numbers",
          "; the model was trained with ", how.is_category() ? "words" : "numbers", " there"));
    }
    task.features.push_back(c);
  }
  if (task.class_names.empty() != model.class_names.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        table.path, ": the model predicts ", model.class_names.empty() ? "numbers" : "classes"));
  }
  std::vector<int32_t> label_of;
  for (const std::string& name : task.class_names) {
    const auto found = std::ranges::find(model.class_names, name);
    if (found == model.class_names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(table.path, ": the model does not know the class '", name, "'; it knows ",
                       absl::StrJoin(model.class_names, ", ")));
    }
    label_of.push_back(static_cast<int32_t>(found - model.class_names.begin()));
  }
  for (size_t row = 0; row < task.labels.size() && !label_of.empty(); ++row) {
    task.labels[row] = label_of[static_cast<size_t>(task.labels[row])];
  }
  task.class_names = model.class_names;
  return absl::OkStatus();
}

absl::StatusOr<DatasetParts> EncodeTable(const Table& table, const TableTask& task,
                                         const Preprocessing& preprocessing,
                                         const LoadOptions& options) {
  DatasetParts parts;
  parts.size = table.rows;
  parts.features = preprocessing.features();
  const int64_t width = parts.features.shape.elements();
  const int64_t factors[] = {table.rows, width, SizeOf(DType::kF32)};
  HONE_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(factors, options.max_bytes, table.path));
  parts.feature_values = Buffer(bytes);
  float* out = parts.feature_values.as<float>();
  auto how = preprocessing.columns.begin();
  for (const size_t c : task.features) {
    const Column& column = table.columns[c];
    if (how == preprocessing.columns.end() || how->name != column.name) {
      continue;  // FitTable left it out
    }
    EncodeColumn(column, *how, table.rows, width, out);
    for (const std::string& category : how->categories) {
      parts.feature_names.push_back(absl::StrCat(how->name, "=", category));
    }
    if (!how->is_category()) {
      parts.feature_names.push_back(how->name);
    }
    out += how->features();
    ++how;
  }
  parts.class_names = task.class_names;
  parts.labels = task.labels;
  if (task.class_names.empty()) {
    parts.target_names = preprocessing.target_names;
    for (const double value : table.columns[task.target].numbers) {
      const double known = std::isnan(value) ? preprocessing.target_mean[0] : value;
      parts.targets.push_back(
          static_cast<float>((known - preprocessing.target_mean[0]) / preprocessing.target_std[0]));
    }
  }
  return parts;
}

}  // namespace hone::engine::data
