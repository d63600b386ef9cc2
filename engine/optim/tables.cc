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

std::span<const RowGradient> PartsOf(const Slabs& slabs, size_t range) {
  const auto given =
      std::ranges::find(slabs.tables, static_cast<int>(range), &TableGradient::range);
  return given == slabs.tables.end() ? std::span<const RowGradient>() : given->parts;
}

// The lists are the very same ones, and so are the places in them.
bool HaveOneList(std::span<const RowGradient> a, std::span<const RowGradient> b) {
  return std::ranges::equal(a, b, [](const RowGradient& x, const RowGradient& y) {
    return x.rows == y.rows && x.capacity == y.capacity && x.in_place == y.in_place;
  });
}

}  // namespace

void Optimizer::MergeRows(const Slabs& slabs, int k, int workers) {
  int lists = 0;
  for (size_t t = 0; t < tables_.size(); ++t) {
    const std::span<const RowGradient> parts = PartsOf(slabs, tables_[t].range);
    const auto has_it = [&](size_t other) {
      return HaveOneList(PartsOf(slabs, tables_[other].range), parts);
    };
    size_t before = 0;
    while (before < t && !has_it(before)) {
      ++before;
    }
    if (before < t || lists++ % workers != k) {
      continue;  // with that table, or another worker's
    }
    MergeLists(parts, tables_[t]);
    TakeRows(parts, tables_[t], tables_[t]);
    for (size_t later = t + 1; later < tables_.size(); ++later) {
      if (has_it(later)) {
        TakeRows(PartsOf(slabs, tables_[later].range), tables_[t], tables_[later]);
        ForgetRows(tables_[later]);
      }
    }
    ForgetRows(tables_[t]);
  }
}

void Optimizer::ForgetRows(Table& table) const {
  if (RestsNow(ranges_[table.range])) {
    table.rows = {};
    table.squares.clear();
  }
}

void Optimizer::TakeRows(std::span<const RowGradient> parts, const Table& merged, Table& table) {
  const int64_t width = ranges_[table.range].row_width;
  table.rows = merged.rows;
  table.list = merged.list;
  table.parts.clear();
  int64_t most = 0;
  for (const RowGradient& part : parts) {
    table.parts.push_back(part.sums);
    most += part.capacity;
  }
  table.squares.resize((table.rows.size() + BlockRows(width) - 1) / BlockRows(width));
  if (table.list == nullptr) {
    table.sums = parts.empty() ? nullptr : parts[0].sums;
    return;
  }
  if (const int64_t bytes = most * width * sizeof(float); table.own_sums.bytes() < bytes) {
    table.own_sums = Buffer(bytes);
    table.zeros.assign(static_cast<size_t>(width), 0);
  }
  table.sums = table.own_sums.as<float>();
}

// The parts' lists ascend, so that the smallest of their next rows is the next of all.
void Optimizer::MergeLists(std::span<const RowGradient> given, Table& table) {
  if (given.size() == 1 && !given[0].in_place) {
    table.rows = {given[0].rows, static_cast<size_t>(RowsIn(given[0]))};
    table.list = nullptr;
    return;
  }
  RowList& list = table.own_list;
  const size_t parts = given.size();
  list.next.assign(parts, 0);
  list.counts.clear();
  size_t most = 0;
  for (const RowGradient& part : given) {
    list.counts.push_back(RowsIn(part));
    most += static_cast<size_t>(list.counts.back());
  }
  list.rows.resize(most);
  list.places.resize(most * parts);
  constexpr uint32_t kNone = 0xffffffff;
  const auto next_row = [&](size_t p) {
    const int64_t next = list.next[p];
    return next < list.counts[p] ? static_cast<uint32_t>(given[p].rows[next]) : kNone;
  };
  size_t n = 0;
  while (true) {
    uint32_t row = kNone;
    for (size_t p = 0; p < parts; ++p) {
      row = std::min(row, next_row(p));
    }
    if (row == kNone) {
      break;
    }
    // Whether a part has the row is chance: no jump hangs on it.
    for (size_t p = 0; p < parts; ++p) {
      const bool has = next_row(p) == row;
      const auto place = static_cast<int32_t>(given[p].in_place ? row : list.next[p]);
      list.places[n * parts + p] = has ? place : -1;
      list.next[p] += has;
    }
    list.rows[n++] = static_cast<int32_t>(row);
  }
  table.rows = {list.rows.data(), n};
  table.list = &list;
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
  const int64_t width = ranges_[table.range].row_width, block = BlockRows(width);
  alignas(64) float scratch[kBlock];
  for (int64_t i = first; i < last; i += block) {
    const int64_t rows = std::min(block, last - i), floats = rows * width;
    if (table.list != nullptr) {
      kernels::SumParts(table.parts, table.list->places.data(), table.zeros.data(), width,
                        table.own_sums.as<float>(), i, i + rows);
    }
    double squares = 0;
    for (int64_t from = 0; from < floats; from += kBlock) {
      const int64_t count = std::min(kBlock, floats - from);
      const float* sums = table.sums + i * width + from;
      if (count % kGrain != 0) {
        std::fill(std::copy_n(sums, count, scratch), scratch + RoundUp(count), 0.0f);
        sums = scratch;
      }
      squares += kernels::SumOfSquares(sums, RoundUp(count));
    }
    table.squares[static_cast<size_t>(i / block)] = squares;
  }
}

void Optimizer::ScaledSums(const Table& table, int64_t i, int64_t column, int64_t count,
                           const PreparedStep& step, float* out) const {
  kernels::ScaleGradient(table.sums + i * ranges_[table.range].row_width + column, count,
                         static_cast<float>(step.step.scale),
                         static_cast<float>(step.step.clip_value), out);
  std::fill(out + count, out + RoundUp(count), 0.0f);
}

void Optimizer::WriteRows(const Slabs& slabs, const PreparedStep& step, const Table& table,
                          int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width;
  if (width % kGrain != 0 || width > kBlock) {
    return width <= kNarrow ? WriteNarrowRows(slabs, step, table, first, last)
                            : WriteWideRows(slabs, step, table, first, last);
  }
  // As the inner loops want them where they lie.
  alignas(64) float gradient[kBlock];
  const int64_t together = kBlock / width;
  for (int64_t i = first; i < last; i += together) {
    const int64_t count = std::min(together, last - i);
    ScaledSums(table, i, 0, count * width, step, gradient);
    Update(step, range, {.rows = table.rows.data() + i, .count = count, .width = width}, gradient,
           slabs.values + range.begin, StateAt(range.begin).data());
  }
}

// Rows as copies side by side, as many as fit into a block, aligned as the inner loops want them.
void Optimizer::WriteNarrowRows(const Slabs& slabs, const PreparedStep& step, const Table& table,
                                int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width, together = kBlock / width;
  const std::array<float*, 3> state = StateAt(range.begin);
  const std::array<float*, 4> there = {slabs.values + range.begin, state[0], state[1], state[2]};
  alignas(64) float gradient[kBlock], copies[4][kBlock];
  const std::array<float*, 4> here = {copies[0], copies[1], copies[2], copies[3]};
  for (int64_t i = first; i < last; i += together) {
    const int64_t count = std::min(together, last - i), floats = count * width;
    ScaledSums(table, i, 0, floats, step, gradient);
    const int32_t* rows = table.rows.data() + i;
    for (size_t a = 0; a < there.size() && there[a] != nullptr; ++a) {
      kernels::GatherRows(there[a], rows, width, here[a], 0, count);
      std::fill(here[a] + floats, here[a] + RoundUp(floats), 0.0f);
    }
    Update(step, range, {.width = RoundUp(floats)}, gradient, here[0], here.data() + 1);
    for (size_t a = 0; a < there.size() && there[a] != nullptr; ++a) {
      kernels::ScatterRows(here[a], rows, width, there[a], 0, count);
    }
  }
}

// Rows that are no multiple of the grain, or longer than a block: each is moved in parts.
void Optimizer::WriteWideRows(const Slabs& slabs, const PreparedStep& step, const Table& table,
                              int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width;
  alignas(64) float gradient[kBlock], copies[4][kBlock];
  for (int64_t i = first; i < last; ++i) {
    const int64_t row = range.begin + table.rows[static_cast<size_t>(i)] * width;
    for (int64_t from = 0; from < width; from += kBlock) {
      const int64_t count = std::min(kBlock, width - from), position = row + from;
      ScaledSums(table, i, from, count, step, gradient);
      std::array<float*, 3> state = StateAt(position);
      float* value = slabs.values + position;
      if (width % kGrain == 0) {
        Update(step, range, {.width = count}, gradient, value, state.data());
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
      Update(step, range, {.width = padded}, gradient, here[0], here.data() + 1);
      for (size_t a = 0; a < there.size(); ++a) {
        if (there[a] != nullptr) {
          std::memcpy(there[a], here[a], bytes);
        }
      }
    }
  }
}

// All rows, those without a gradient with one of zero.
void Optimizer::WriteWholeTable(const Slabs& slabs, const PreparedStep& step, const Table& table,
                                int64_t first, int64_t last) {
  const ParameterRange& range = ranges_[table.range];
  const int64_t width = range.row_width;
  alignas(64) float gradient[kBlock], row[kBlock + kGrain];
  for (int64_t begin = first; begin < last; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, last);
    std::fill(gradient, gradient + (end - begin), 0.0f);
    auto i = std::ranges::lower_bound(table.rows, static_cast<int32_t>(begin / width)) -
             table.rows.begin();
    for (; i < std::ssize(table.rows) && table.rows[static_cast<size_t>(i)] * width < end; ++i) {
      const int64_t at = table.rows[static_cast<size_t>(i)] * width;
      const int64_t from = std::max(at, begin), to = std::min(at + width, end);
      ScaledSums(table, i, from - at, to - from, step, row);
      std::copy(row, row + (to - from), gradient + (from - begin));
    }
    const int64_t position = range.begin + begin;
    Update(step, range, {.width = end - begin}, gradient, slabs.values + position,
           StateAt(position).data());
  }
}

}  // namespace hone::engine::optim
