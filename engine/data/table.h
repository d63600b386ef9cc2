#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/preprocessing.h"
#include "engine/data/report.h"
#include "engine/data/table_cells.h"

namespace hone::engine::data {

// A column as it was read: all numbers or all categories.
struct Column {
  std::string name;
  bool is_category = false;
  std::vector<std::string> categories;  // ascending
  std::vector<int32_t> code_of = {};    // of each category, in the order in which they were found
};

struct Table {
  std::string path;  // for errors
  int64_t rows = 0;
  std::vector<Column> columns;
  std::vector<int64_t> lines;  // [rows], where each row begins in its file
  // Of a category the number of those that were found before it.
  std::shared_ptr<const TableCells> cells;

  // Of a column of numbers; NaN where the cell is missing.
  double number(size_t column, int64_t row) const { return cells->at(column, row); }
  // Of a column of categories, the index of the cell's own; −1 where it is missing.
  int32_t code(size_t column, int64_t row) const {
    const double found = cells->at(column, row);
    return found < 0 ? -1 : columns[column].code_of[static_cast<size_t>(found)];
  }
};

// A table on its way to a data set: which column is the target, and what rows have a target at all.
struct TableTask {
  size_t target = 0;             // index of the column
  std::vector<size_t> features;  // indices of the columns used
  std::vector<bool> keep;        // [rows]: has a target
  std::vector<int32_t> labels;   // classification: [rows], 0 where there is none
  std::vector<std::string> class_names;
};

// Finds the target and the feature columns. INVALID_ARGUMENT names the column that is missing or
// does not suit the task. Rows without a target are dropped into the report, missing cells counted.
absl::StatusOr<TableTask> PlanTable(const Table& table, const LoadOptions& options,
                                    DataReport& report);

// Fits means, deviations, fill values and categories on the training rows alone.
Preprocessing FitTable(const Table& table, const TableTask& task, std::span<const int32_t> train,
                       const LoadOptions& options);

// The features are the model's columns, in its order, and the classes its own. INVALID_ARGUMENT
// names a column that the table does not have, or has as another kind, and a class that the model
// does not know.
absl::Status TakeAs(const Table& table, const Preprocessing& model, TableTask& task);

// All rows as floats by that preprocessing, in a spool. INVALID_ARGUMENT: they come to more than
// options.max_bytes, wherever they lie. Errors of Spool.
absl::StatusOr<DatasetParts> EncodeTable(const Table& table, const TableTask& task,
                                         const Preprocessing& preprocessing,
                                         const LoadOptions& options);

}  // namespace hone::engine::data
