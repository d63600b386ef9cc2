#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "engine/data/spool.h"

namespace hone::engine::data {

// The cells of a table, as numbers: written row by row, then read by column, so that a pass over
// one column of a table that lies in a file (spool.h) reads that column alone. They stand in blocks
// of several rows, in which a column's cells are next to each other. Not thread-safe until Finish,
// then immutable.
class TableCells {
 public:
  TableCells(size_t columns, const StreamOptions& stream);

  // A cell for each column. Errors of Spool.
  absl::Status Add(std::span<const double> row);
  // Before anything is read; nothing is added any more.
  absl::Status Finish();

  int64_t rows() const { return rows_; }
  double at(size_t column, int64_t row) const {
    const auto r = static_cast<size_t>(row);
    const size_t block = r >> shift_, rows = size_t{1} << shift_;
    // The last block has the rows that are left.
    const size_t stride = block == full_blocks_ ? rest_ : rows;
    return cells_[block * rows * columns_ + column * stride + (r & (rows - 1))];
  }
  // Of these, what is in memory and not in a file.
  int64_t memory_bytes() const { return spool_.memory_bytes(); }

 private:
  absl::Status Flush();

  size_t columns_;
  int shift_ = 0;  // a block has 2^shift_ rows
  Spool spool_;
  std::vector<double> block_;  // [columns, 2^shift_], of the rows that the spool does not have yet
  int64_t rows_ = 0;
  size_t full_blocks_ = 0;
  size_t rest_ = 0;  // rows behind these
  const double* cells_ = nullptr;
};

}  // namespace hone::engine::data
