#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/preprocessing.h"
#include "engine/data/text_rows.h"

// The first steps of LoadTexts (texts.h): texts come in, and some of them do not stay.
namespace hone::engine::data {

// On its way from a path to a data set. Rows are those of `rows`, of which `keep` says which are
// still there.
struct TextLoading {
  const LoadOptions& options;
  TextRows rows;
  std::vector<bool> keep;
  DatasetParts targets;
  LoadedData data = {};

  int64_t size() const { return static_cast<int64_t>(rows.rows.size()); }
  const TextRow& row(int64_t i) const { return rows.rows[static_cast<size_t>(i)]; }
  const Preprocessing* as() const { return options.as.get(); }
  bool pairs() const { return apart() || !options.text->second_columns.empty(); }
  // The texts of a pair, or of a triple, are rows of tokens of their own.
  bool apart() const { return options.task == Task::kTextPairs; }
  int64_t texts_of_each() const { return !pairs() ? 1 : rows.triples ? 3 : 2; }
  absl::string_view text(int64_t i) const { return rows.text(row(i)); }
  absl::string_view second(int64_t i) const { return rows.second(row(i)); }
  absl::string_view negative(int64_t i) const { return rows.negative(row(i)); }
  // Text `which` of an example, of texts_of_each.
  absl::string_view text(int64_t i, int64_t which) const {
    return which == 0 ? text(i) : which == 1 ? second(i) : negative(i);
  }
  absl::string_view label(int64_t i) const { return rows.label(row(i)); }
  int64_t CountOf(Part part) const { return std::ranges::count(rows.rows, part, &TextRow::part); }
};

// Reads all texts, cleaned, and says of each what becomes of it.
absl::Status ReadAndCleanTexts(TextLoading& loading);

// Leaves out texts that are too short or too long, and pairs and triples with one that is.
absl::Status LeaveOut(TextLoading& loading);

// Leaves out copies, exact ones and near ones, as the options say.
void DropTextCopies(TextLoading& loading);

}  // namespace hone::engine::data
