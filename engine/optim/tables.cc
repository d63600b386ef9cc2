#include <algorithm>
#include <cstring>

#include "engine/kernels/optimizer.h"
#include "engine/kernels/rows.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/portion.h"

// What an optimizer does with tables, whose gradients come as rows.
namespace hone::engine::optim {
namespace {

constexpr int64_t kBlock = 2048;  // floats that are in hand at once
constexpr int64_t kNarrow = 64;   // rows of so many floats are moved together

int64_t RowsIn(const RowGradient& part) {
  const int32_t* end = std::partition_point(part.rows, part.rows + part.capacity,
                                            [](int32_t row) { return row >= 0; });
  return end - part.rows;
}

}  // namespace

// The parts' lists ascend, so that the smallest of their next rows is the next of all.
void Optimizer::MergeRows(const Slabs& slabs, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    Table& table = tables_[static_cast<size_t>(t)];
    const auto given =
        std::ranges::find(slabs.tables, static_cast<int>(table.range), &TableGradient::range);
    table.parts = given == slabs.tables.end() ? std::span<const RowGradient>() : given->parts;
    table.rows.clear();
    table.places.clear();
    const size_t parts = table.parts.size();
    table.next.assign(parts, 0);
    table.counts.clear();
    for (const RowGradient& part : table.parts) {
      table.counts.push_back(RowsIn(part));
    }
    while (true) {
      int32_t row = -1;
      for (size_t p = 0; p < parts; ++p) {
        if (table.next[p] < table.counts[p]) {
          const int32_t mine = table.parts[p].rows[table.next[p]];
          row = row < 0 ? mine : std::min(row, mine);
        }
      }
      if (row < 0) {
        break;
      }
      table.rows.push_back(row);
      for (size_t p = 0; p < parts; ++p) {
        int64_t& next = table.next[p];
        const bool has = next < table.counts[p] && table.parts[p].rows[next] == row;
        table.places.push_back(has ? static_cast<int32_t>(table.parts[p].in_place ? row : next)
                                   : -1);
        next += has;
      }
    }
    table.squares.resize(table.rows.size());
  }
}

void Optimizer::SumRow(const Table& table, size_t i, int64_t begin, int64_t count,
                       const UpdateStep& step, float* sum) const {
  const int64_t width = ranges_[table.range].row_width;
  const auto scale = static_cast<float>(step.scale), clip = static_cast<float>(step.clip_value);
  bool first = true;
  for (size_t p = 0; p < table.parts.size(); ++p) {
    const int32_t place = table.places[i * table.parts.size() + p];
    if (place < 0) {
      continue;
    }
    const float* row = table.parts[p].sums + place * width + begin;
    for (int64_t j = 0; j < count; ++j) {
      sum[j] = first ? row[j] : sum[j] + row[j];
    }
    first = false;
  }
  for (int64_t j = 0; j < count; ++j) {
    const float g = sum[j] * scale;
    sum[j] = clip > 0 ? (g > clip ? clip : g < -clip ? -clip : g) : g;
  }
  std::fill(sum + count, sum + RoundUp(count), 0.0f);
}

// With a gradient of zero nothing would move, or nothing shall.
bool Optimizer::LeavesRowsAlone(const ParameterRange& range) const {
  const Sgd* sgd = std::get_if<Sgd>(&options_);
  return IsLazy(options_) || (sgd != nullptr && sgd->momentum == 0 && range.weight_decay == 0);
}

int64_t Optimizer::RowFloats(const Table& table) const {
  return RoundUp(static_cast<int64_t>(table.rows.size()) * ranges_[table.range].row_width);
}

void Optimizer::ReadRows(Table& table, int64_t first, int64_t last) {
  const int64_t width = ranges_[table.range].row_width;
  const UpdateStep plain;
  alignas(64) float scratch[kBlock];
  for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
    table.squares[i] = 0;
    if (width < kGrain) {
      SumRow(table, i, 0, width, plain, scratch);
      for (int64_t j = 0; j < width; ++j) {
        table.squares[i] += static_cast<double>(scratch[j]) * scratch[j];
      }
      continue;
    }
    for (int64_t from = 0; from < width; from += kBlock) {
      const int64_t count = std::min(kBlock, width - from);
      SumRow(table, i, from, count, plain, scratch);
      table.squares[i] += kernels::SumOfSquares(scratch, RoundUp(count));
    }
  }
}

// Rows as copies side by side, as many as fit into a block, aligned as the inner loops want them.
void Optimizer::WriteNarrowRows(const Slabs& slabs, const UpdateStep& step, const Table& table,
                                int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width, together = kBlock / width;
  alignas(64) float gradient[kBlock + kGrain], copies[4][kBlock];
  const std::array<float*, 3> state = StateAt(range.begin);
  const std::array<float*, 4> there = {slabs.values + range.begin, state[0], state[1], state[2]};
  std::array<float*, 4> here = {};
  for (size_t a = 0; a < there.size(); ++a) {
    here[a] = there[a] == nullptr ? nullptr : copies[a];
  }
  for (int64_t i = first; i < last; i += together) {
    const int64_t count = std::min(together, last - i), floats = count * width;
    for (int64_t r = 0; r < count; ++r) {
      SumRow(table, static_cast<size_t>(i + r), 0, width, step, gradient + r * width);
    }
    std::fill(gradient + floats, gradient + RoundUp(floats), 0.0f);
    const int32_t* rows = table.rows.data() + i;
    for (size_t a = 0; a < there.size() && there[a] != nullptr; ++a) {
      kernels::GatherRows(there[a], rows, width, here[a], 0, count);
      std::fill(here[a] + floats, here[a] + RoundUp(floats), 0.0f);
    }
    Update(step, range, gradient, here[0], here.data() + 1, RoundUp(floats));
    for (size_t a = 0; a < there.size() && there[a] != nullptr; ++a) {
      kernels::ScatterRows(here[a], rows, width, there[a], 0, count);
    }
  }
}

void Optimizer::WriteRows(const Slabs& slabs, const UpdateStep& step, const Table& table,
                          int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width;
  if (width <= kNarrow) {
    return WriteNarrowRows(slabs, step, table, first, last);
  }
  alignas(64) float gradient[kBlock], copies[4][kBlock];
  for (int64_t i = first; i < last; ++i) {
    const int64_t row = range.begin + table.rows[static_cast<size_t>(i)] * width;
    for (int64_t from = 0; from < width; from += kBlock) {
      const int64_t count = std::min(kBlock, width - from), position = row + from;
      SumRow(table, static_cast<size_t>(i), from, count, step, gradient);
      std::array<float*, 3> state = StateAt(position);
      float* value = slabs.values + position;
      if (width % kGrain == 0) {
        Update(step, range, gradient, value, state.data(), count);
        continue;
      }
      // Such a row is not aligned as the inner loops want it: it is moved as a copy that is.
      const int64_t padded = RoundUp(count);
      const auto bytes = static_cast<size_t>(count) * sizeof(float);
      std::array<float*, 4> there = {value, state[0], state[1], state[2]}, here = {};
      for (size_t a = 0; a < there.size(); ++a) {
        if (there[a] != nullptr) {
          here[a] = copies[a];
          std::memcpy(here[a], there[a], bytes);
          std::fill(here[a] + count, here[a] + padded, 0.0f);
        }
      }
      Update(step, range, gradient, here[0], here.data() + 1, padded);
      for (size_t a = 0; a < there.size(); ++a) {
        if (there[a] != nullptr) {
          std::memcpy(there[a], here[a], bytes);
        }
      }
    }
  }
}

// All rows, those without a gradient with one of zero.
void Optimizer::WriteWholeTable(const Slabs& slabs, const UpdateStep& step, const Table& table,
                                int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width;
  alignas(64) float gradient[kBlock], row[kBlock];
  for (int64_t begin = first; begin < last; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, last);
    std::fill(gradient, gradient + (end - begin), 0.0f);
    auto i = static_cast<size_t>(
        std::ranges::lower_bound(table.rows, static_cast<int32_t>(begin / width)) -
        table.rows.begin());
    for (; i < table.rows.size() && table.rows[i] * width < end; ++i) {
      const int64_t at = table.rows[i] * width;
      const int64_t from = std::max(at, begin), to = std::min(at + width, end);
      SumRow(table, i, from - at, to - from, step, row);
      std::copy(row, row + (to - from), gradient + (from - begin));
    }
    const int64_t position = range.begin + begin;
    Update(step, range, gradient, slabs.values + position, StateAt(position).data(), end - begin);
  }
}

}  // namespace hone::engine::optim
