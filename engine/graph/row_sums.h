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

// The rows alone that the parts name, with the sum of all parts. Output 0: the sums, f32 [n,
// width]; output 1: their rows, s32 [n], ascending and each once; n is what there may be at most,
// the smaller of all indices together and the table's rows. Behind the last the rows are −1 and the
// sums zero. Nothing of the table's size is read or written. The sums are taken in the order of the
// parts and of the index in each.
Value RowSums(Graph& graph, const Shape& table, const std::vector<RowPart>& parts);
bool IsRowSums(const Graph& graph, Value value);

// Whether each of `count` indices names one of a table's rows.
bool NamesRows(const int32_t* index, int64_t count, int64_t rows);

}  // namespace hone::engine
