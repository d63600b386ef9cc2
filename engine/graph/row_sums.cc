#include "engine/graph/row_sums.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/rows.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: dy, index.
class ScatterRowsOp final : public Op {
 public:
  explicit ScatterRowsOp(Shape table) : table_(std::move(table)) {}

  absl::string_view kind() const override { return "embedding_gradient"; }

  bool takes_bf16() const override { return true; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{table_, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = table_[1];
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      out[0][static_cast<int64_t>((*in[1])[i / width]) * width + i % width] += (*in[0])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.desc(0).type().dtype;
    HONE_ASSIGN_OR_RETURN(const Slot dy,
                          l.Input(0, MemoryDesc::Plain({l.input_type(0).shape, dtype})));
    const Slot index = l.Input(1);
    const Slot dtable = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t count = l.input_type(1).shape.elements(), rows = table_[0], width = table_[1];
    const int parts = PartsFor((count + rows) * width, l.threads());
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const void* from = m[dy];
      const auto* at = m.as<int32_t>(index);
      auto* to = m.as<float>(dtable);
      if (!NamesRows(at, count, rows)) {
        return false;
      }
      // Each worker has rows of the table, so that every sum is taken in the same order.
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * width, to + end * width, 0.0f);
        kernels::AddToRows(dtype, from, at, count, width, to, begin, end);
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  Shape table_;
};

// Inputs: index, index, … Outputs: the rows, and where each index stands among them.
class DistinctRowsOp final : public Op {
 public:
  explicit DistinctRowsOp(int64_t rows) : rows_(rows) {}

  int64_t rows() const { return rows_; }

  absl::string_view kind() const override { return "distinct_rows"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    int64_t total = 0;
    for (const TensorType& index : in) {
      total += index.shape.elements();
    }
    return std::vector<TensorType>{{Shape{std::min(total, rows_)}, DType::kS32},
                                   {Shape{total}, DType::kS32}};
  }

  Cost EstimateCost(std::span<const TensorType>, std::span<const TensorType> out) const override {
    return {.flops = 0, .bytes = static_cast<double>(out[0].bytes() + 2 * out[1].bytes())};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    std::map<double, int64_t> number_of;
    for (const DoubleTensor* index : in) {
      for (const double row : index->values) {
        number_of[row] = 0;
      }
    }
    std::ranges::fill(out[0].values, -1);
    int64_t n = 0;
    for (auto& [row, number] : number_of) {
      out[0][n] = row;
      number = n++;
    }
    int64_t position = 0;
    for (const DoubleTensor* index : in) {
      for (const double row : index->values) {
        out[1][position++] = static_cast<double>(number_of[row]);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t most = l.output_type(0).shape[0], total = l.output_type(1).shape[0];
    const int64_t rows = rows_;
    std::vector<std::pair<Slot, int64_t>> lists;
    for (int64_t i = 0, seen = 0; seen < total; ++i) {
      const int64_t count = l.input_type(static_cast<int>(i)).shape.elements();
      lists.emplace_back(l.Input(static_cast<int>(i)), count);
      seen += count;
    }
    const Slot found = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot places = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Slot names = l.Scratch(total * static_cast<int64_t>(sizeof(int32_t)));
    const bool by_map = rows <= kMostRowsOfAMap * total;
    const Slot work = l.Scratch(by_map ? MapBytes(rows) : 2 * total * int64_t{sizeof(Place)});
    const Slot numbers = l.Scratch((by_map ? rows : kMostDigits) * int64_t{sizeof(int32_t)});
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      auto* name = m.as<int32_t>(names);
      for (int64_t next = 0; const auto& [slot, count] : lists) {
        std::copy_n(m.as<int32_t>(slot), count, name + next);
        next += count;
      }
      if (!NamesRows(name, total, rows)) {
        return false;
      }
      auto* row = m.as<int32_t>(found);
      auto* place = m.as<int32_t>(places);
      auto* number = m.as<int32_t>(numbers);
      const int64_t n = by_map ? FindByMap({name, static_cast<size_t>(total)}, rows,
                                           m.as<uint64_t>(work), number, row, place)
                               : FindBySorting({name, static_cast<size_t>(total)}, rows,
                                               m.as<Place>(work), number, row, place);
      std::fill(row + n, row + most, -1);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // A table of so many rows for each index, or fewer, is gone through by a map with a bit for each
  // row: a word of it, then, for each index. Of a larger one the indices are sorted.
  static constexpr int64_t kMostRowsOfAMap = 64;
  // Rows have so many values of a digit at most when they are sorted.
  static constexpr int64_t kMostDigits = int64_t{1} << 11;

  struct Place {
    int32_t row;
    int32_t position;
  };

  static int64_t MapBytes(int64_t rows) {
    return (rows + 63) / 64 * static_cast<int64_t>(sizeof(uint64_t));
  }

  // Both write the different rows, ascending, and where among them each index stands, and return
  // how many there are. `number` has room for all rows of the table.
  static int64_t FindByMap(std::span<const int32_t> index, int64_t rows, uint64_t* map,
                           int32_t* number, int32_t* found, int32_t* place) {
    const int64_t n = rows <= std::ssize(index) ? NumberMany(index, rows, number, found)
                                                : NumberFew(index, rows, map, number, found);
    std::ranges::transform(index, place, [&](int32_t row) { return number[row]; });
    return n;
  }

  // Of a small table all rows are gone through, without a jump.
  static int64_t NumberMany(std::span<const int32_t> index, int64_t rows, int32_t* number,
                            int32_t* found) {
    std::fill_n(number, rows, 0);
    for (const int32_t row : index) {
      number[row] = 1;
    }
    int32_t n = 0;
    for (int32_t row = 0; row < rows; ++row) {
      const int32_t is_there = number[row];
      found[n] = row;
      number[row] = n;
      n += is_there;
    }
    return n;
  }

  // Of a larger one those whose bit is set.
  static int64_t NumberFew(std::span<const int32_t> index, int64_t rows, uint64_t* map,
                           int32_t* number, int32_t* found) {
    const int64_t words = (rows + 63) / 64;
    std::fill_n(map, words, 0);
    for (const int32_t row : index) {
      map[row / 64] |= uint64_t{1} << (row % 64);
    }
    int32_t n = 0;
    for (int64_t w = 0; w < words; ++w) {
      for (uint64_t left = map[w]; left != 0; left &= left - 1) {
        const auto row = static_cast<int32_t>(w * 64 + std::countr_zero(left));
        number[row] = n;
        found[n++] = row;
      }
    }
    return n;
  }

  // Sorted digit by digit, each pass a stable one. `places` has room for twice as many as there are
  // indices, `counts` for the values of a digit.
  static int64_t FindBySorting(std::span<const int32_t> index, int64_t rows, Place* places,
                               int32_t* counts, int32_t* found, int32_t* place) {
    const auto total = static_cast<int64_t>(index.size());
    Place *from = places, *to = places + total;
    for (int64_t i = 0; i < total; ++i) {
      from[i] = {index[static_cast<size_t>(i)], static_cast<int32_t>(i)};
    }
    const int bits = std::bit_width(static_cast<uint64_t>(rows - 1));
    // Few indices are not worth a long list of counts.
    const int digit_bits = std::min(bits, total < 256 ? 8 : 11);
    for (int shift = 0; shift < bits; shift += digit_bits) {
      const int32_t mask = (1 << digit_bits) - 1;
      std::fill_n(counts, mask + 1, 0);
      for (int64_t p = 0; p < total; ++p) {
        ++counts[from[p].row >> shift & mask];
      }
      std::exclusive_scan(counts, counts + mask + 1, counts, 0);
      for (int64_t p = 0; p < total; ++p) {
        to[counts[from[p].row >> shift & mask]++] = from[p];
      }
      std::swap(from, to);
    }
    int32_t n = 0;
    for (int64_t p = 0; p < total; ++p) {
      if (p == 0 || from[p].row != from[p - 1].row) {
        found[n++] = from[p].row;
      }
      place[from[p].position] = n - 1;
    }
    return n;
  }

  int64_t rows_;
};

// Inputs: the outputs of a DistinctRows, and for each of its indices the dy.
class RowSumsOp final : public Op {
 public:
  explicit RowSumsOp(int64_t width) : width_(width) {}

  absl::string_view kind() const override { return "row_sums"; }

  bool takes_bf16() const override { return true; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{Shape{in[0].shape[0], width_}, DType::kF32}};
  }

  Cost EstimateCost(std::span<const TensorType> in, std::span<const TensorType>) const override {
    Cost cost = {.flops = 0, .bytes = static_cast<double>(in[1].bytes())};
    for (const TensorType& dy : in.subspan(2)) {
      cost.flops += static_cast<double>(dy.shape.elements());
      cost.bytes += 2.0 * static_cast<double>(dy.bytes());  // dy is read, sums are written
    }
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    int64_t position = 0;
    for (const DoubleTensor* dy : in.subspan(2)) {
      for (int64_t i = 0; i < dy->shape.elements(); ++i) {
        const auto place = static_cast<int64_t>((*in[1])[position + i / width_]);
        out[0][place * width_ + i % width_] += (*dy)[i];
      }
      position += dy->shape.elements() / width_;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t most = l.output_type(0).shape[0], total = l.input_type(1).shape[0];
    const int64_t width = width_;
    const Slot places = l.Input(1);
    struct Part {
      Slot dy;
      DType dtype;
      int64_t count;
    };
    std::vector<Part> parts;
    for (int64_t part = 2, seen = 0; seen < total; ++part) {
      const auto i = static_cast<int>(part);
      const Shape& shape = l.input_type(i).shape;
      const DType dtype = l.desc(i).type().dtype;
      HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(i, MemoryDesc::Plain({shape, dtype})));
      parts.push_back({dy, dtype, shape.elements() / width});
      seen += parts.back().count;
    }
    const Slot sums = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int workers = PartsFor(total * width, l.threads());
    l.Emit(kind(), [=](const Memory& m) {
      auto* to = m.as<float>(sums);
      // Each worker has rows of the sums, so that every sum is taken in the same order.
      ForShares(most, workers, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * width, to + end * width, 0.0f);
        const auto* place = m.as<int32_t>(places);
        for (const auto& [dy, dtype, count] : parts) {
          kernels::AddToRows(dtype, m[dy], place, count, width, to, begin, end);
          place += count;
        }
      });
    });
    return absl::OkStatus();
  }

 private:
  int64_t width_;
};

// The same values again where another table of as many rows is read by the same indices.
Value DistinctRows(Graph& graph, int64_t rows, const std::vector<Value>& indices) {
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const auto* op = dynamic_cast<const DistinctRowsOp*>(graph.nodes()[i].op.get());
    if (op != nullptr && op->rows() == rows && graph.nodes()[i].inputs == indices) {
      return {static_cast<int32_t>(i), 0};
    }
  }
  return graph.Add(std::make_shared<DistinctRowsOp>(rows), indices);
}

}  // namespace

Value ScatterRows(Graph& graph, const Shape& table, const RowPart& part) {
  return graph.Add(std::make_shared<ScatterRowsOp>(table), {part.dy, part.index});
}

Value RowSums(Graph& graph, const Shape& table, const std::vector<RowPart>& parts) {
  std::vector<Value> indices, inputs;
  for (const RowPart& part : parts) {
    indices.push_back(part.index);
  }
  const Value rows = DistinctRows(graph, table[0], indices);
  inputs = {rows, {rows.node, 1}};
  for (const RowPart& part : parts) {
    inputs.push_back(part.dy);
  }
  return graph.Add(std::make_shared<RowSumsOp>(table[1]), std::move(inputs));
}

Value RowsOf(const Graph& graph, Value sums) { return graph.node(sums.node).inputs[0]; }

bool NamesRows(const int32_t* index, int64_t count, int64_t rows) {
  // All are looked at, by comparisons that the smallest vectors have: a loop that may end early, or
  // compares wider numbers, is none of vectors.
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const auto last = static_cast<int32_t>(std::min(rows - 1, kMost));
  int32_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    wrong |= static_cast<int32_t>(index[i] < 0) | static_cast<int32_t>(index[i] > last);
  }
  return wrong == 0;
}

bool IsRowSums(const Graph& graph, Value value) {
  const Graph::Node& node = graph.node(value.node);
  return node.op != nullptr && dynamic_cast<const RowSumsOp*>(node.op.get()) != nullptr;
}

}  // namespace hone::engine
