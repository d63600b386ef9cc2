#pragma once

#include <cstdint>
#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// A part of a table's gradient: row r of it is the sum of dy where index is r. `dy` has the
// index's dimensions and behind them the table's width.
struct RowPart {
  Value dy;
  Value index;
};

// All of it, [rows, width]: most of it zeros.
Value ScatterRows(Graph& graph, const Shape& table, const RowPart& part);

// The rows alone that the parts name, with the sum of all parts: f32 [n, width], the sums of the
// rows that RowsOf gives, in their order; n is what there may be at most, the smaller of all
// indices together and the table's rows. The sums behind the last row are zero. Nothing of the
// table's size is read or written, but for a map with a bit for each row, and that only where there
// are no more than 64 rows for each index. The sums are taken in the order of the parts and of the
// index in each.
Value RowSums(Graph& graph, const Shape& table, const std::vector<RowPart>& parts);
bool IsRowSums(const Graph& graph, Value value);
// The rows of a RowSums: s32 [n], ascending and each once, then −1. Tables of as many rows that are
// read by the same indices have the same ones: they are found once.
Value RowsOf(const Graph& graph, Value sums);

// Whether each of `count` indices names one of a table's rows.
bool NamesRows(const int32_t* index, int64_t count, int64_t rows);

}  // namespace hone::engine
