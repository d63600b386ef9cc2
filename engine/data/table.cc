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

bool Missing(const Table& table, size_t column, int64_t row) {
  return table.columns[column].is_category ? table.code(column, row) < 0
                                           : std::isnan(table.number(column, row));
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
    const double value = table.number(task.target, static_cast<int64_t>(row));
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
      const auto r = static_cast<int64_t>(row);
      task.labels[row] = column.is_category ? table.code(task.target, r)
                                            : label_of.at(table.number(task.target, r));
    }
  }
  return absl::OkStatus();
}

struct Moments {
  double mean = 0;
  double std = 1;
};

// Of the numbers that are there; deviation 1 where they are all the same.
Moments Measure(const Table& table, size_t column, std::span<const int32_t> rows) {
  double sum = 0;
  int64_t count = 0;
  for (const int32_t row : rows) {
    const double value = table.number(column, row);
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
    const double value = table.number(column, row);
    if (!std::isnan(value)) {
      squares += (value - mean) * (value - mean);
    }
  }
  const double std = std::sqrt(squares / static_cast<double>(count));
  return {mean, std > 1e-12 * std::abs(mean) && std > 0 ? std : 1};
}

double Median(const Table& table, size_t column, std::span<const int32_t> rows) {
  std::vector<double> present;
  present.reserve(rows.size());
  for (const int32_t row : rows) {
    if (const double value = table.number(column, row); !std::isnan(value)) {
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

// How the cells of a column become features.
struct EncodedColumn {
  size_t column = 0;
  const ColumnPreprocessing* how = nullptr;
  std::vector<int32_t> feature_of = {};  // by code; −1: none
};

// The features of one row.
void EncodeRow(const Table& table, int64_t row, std::span<const EncodedColumn> columns,
               std::vector<float>& out) {
  out.clear();
  for (const auto& [c, how, feature_of] : columns) {
    const bool is_category = table.columns[c].is_category;
    if (!how->is_category()) {
      // A column without a single value has no numbers.
      double value = is_category ? how->fill : table.number(c, row);
      value = std::isnan(value) ? how->fill : value;
      out.push_back(static_cast<float>((value - how->mean) / how->std));
      continue;
    }
    const size_t begin = out.size();
    out.resize(begin + static_cast<size_t>(how->features()));
    const int32_t code = is_category ? table.code(c, row) : -1;
    const int32_t feature = code < 0 ? -1 : feature_of[static_cast<size_t>(code)];
    if (feature >= 0) {
      out[begin + static_cast<size_t>(feature)] = 1;
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
    for (int64_t row = 0; row < table.rows; ++row) {
      report.missing_cells += Missing(table, c, row);
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
    if (Missing(table, task.target, static_cast<int64_t>(row))) {
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
        if (const int32_t code = table.code(c, row); code >= 0) {
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
      how.fill = Median(table, c, train);
      if (options.standardize) {
        const Moments moments = Measure(table, c, train);
        how.mean = moments.mean;
        how.std = moments.std;
      }
    }
    preprocessing.columns.push_back(std::move(how));
  }
  preprocessing.class_names = task.class_names;
  if (task.class_names.empty()) {
    const Moments moments =
        options.standardize_target ? Measure(table, task.target, train) : Moments{};
    preprocessing.target_names = {table.columns[task.target].name};
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
  HONE_RETURN_IF_ERROR(CheckedBytes(factors, options.max_bytes, table.path).status());
  std::vector<EncodedColumn> columns;
  auto how = preprocessing.columns.begin();
  for (const size_t c : task.features) {
    const Column& column = table.columns[c];
    if (how == preprocessing.columns.end() || how->name != column.name) {
      continue;  // FitTable left it out
    }
    columns.push_back({.column = c, .how = &*how, .feature_of = MapCodes(column, how->categories)});
    for (const std::string& category : how->categories) {
      parts.feature_names.push_back(absl::StrCat(how->name, "=", category));
    }
    if (!how->is_category()) {
      parts.feature_names.push_back(how->name);
    }
    ++how;
  }
  const auto spool = std::make_shared<Spool>(options.stream, "the table's features");
  std::vector<float> features;
  for (int64_t row = 0; row < table.rows; ++row) {
    EncodeRow(table, row, columns, features);
    HONE_RETURN_IF_ERROR(spool->Append(absl::string_view(
        reinterpret_cast<const char*>(features.data()), features.size() * sizeof(float))));
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  parts.spooled_values = spool;
  parts.class_names = task.class_names;
  parts.labels = task.labels;
  if (task.class_names.empty()) {
    parts.target_names = preprocessing.target_names;
    for (int64_t row = 0; row < table.rows; ++row) {
      const double value = table.number(task.target, row);
      const double known = std::isnan(value) ? preprocessing.target_mean[0] : value;
      parts.targets.push_back(
          static_cast<float>((known - preprocessing.target_mean[0]) / preprocessing.target_std[0]));
    }
  }
  return parts;
}

}  // namespace hone::engine::data
