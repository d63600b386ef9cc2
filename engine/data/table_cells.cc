#include "engine/data/table_cells.h"

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

// A block of few columns has so many rows that a column's cells in it are some pages; one of many
// columns has fewer, because a whole block is in memory while it is written.
constexpr int kMostShift = 12;
constexpr size_t kMostBlockCells = size_t{1} << 20;

}  // namespace

TableCells::TableCells(size_t columns, const StreamOptions& stream)
    : columns_(columns), spool_(stream, "the table's cells") {
  while (shift_ < kMostShift && columns_ << (shift_ + 1) <= kMostBlockCells) {
    ++shift_;
  }
  block_.resize(columns_ << shift_);
}

absl::Status TableCells::Add(std::span<const double> row) {
  for (size_t c = 0; c < columns_; ++c) {
    block_[(c << shift_) + rest_] = row[c];
  }
  ++rows_;
  if (++rest_ < size_t{1} << shift_) {
    return absl::OkStatus();
  }
  ++full_blocks_;
  return Flush();
}

absl::Status TableCells::Flush() {
  for (size_t c = 0; c < columns_; ++c) {
    HONE_RETURN_IF_ERROR(spool_.Append(absl::string_view(
        reinterpret_cast<const char*>(block_.data() + (c << shift_)), rest_ * sizeof(double))));
  }
  rest_ = 0;
  return absl::OkStatus();
}

absl::Status TableCells::Finish() {
  const size_t rest = rest_;
  HONE_RETURN_IF_ERROR(Flush());
  HONE_RETURN_IF_ERROR(spool_.Finish());
  rest_ = rest;
  std::vector<double>().swap(block_);
  cells_ = reinterpret_cast<const double*>(spool_.bytes().data());
  return absl::OkStatus();
}

}  // namespace hone::engine::data
