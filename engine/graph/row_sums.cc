#include "engine/graph/row_sums.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <utility>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/arrays.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Inputs: dy, index.
class ScatterRowsOp final : public Op {
 public:
  explicit ScatterRowsOp(Shape table) : table_(std::move(table)) {}

  absl::string_view kind() const override { return "embedding_gradient"; }

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
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(0));
    const Slot index = l.Input(1);
    const Slot dtable = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const int64_t count = l.input_type(1).shape.elements(), rows = table_[0], width = table_[1];
    const int parts = PartsFor((count + rows) * width, l.threads());
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* from = m.as<float>(dy);
      const auto* at = m.as<int32_t>(index);
      auto* to = m.as<float>(dtable);
      if (!NamesRows(at, count, rows)) {
        return false;
      }
      // Each worker has rows of the table, so that every sum is taken in the same order.
      ForShares(rows, parts, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * width, to + end * width, 0.0f);
        for (int64_t i = 0; i < count; ++i) {
          if (at[i] >= begin && at[i] < end) {
            float* sum = to + at[i] * width;
            kernels::AddArrays(DType::kF32, sum, from + i * width, sum, 0, width);
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  Shape table_;
};

// A part of a table's gradient in memory, `count` indices long.
struct PartSlots {
  Slot dy, index;
  int64_t count;
};

// Where an index came from: a place in dy, sorted behind its row.
struct Place {
  int32_t row;
  int32_t part;
  int32_t position;
};

// Inputs: dy, index, dy, index, …
class RowSumsOp final : public Op {
 public:
  RowSumsOp(Shape table, int parts) : table_(std::move(table)), parts_(parts) {}

  absl::string_view kind() const override { return "row_sums"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    int64_t most = 0;
    for (size_t i = 1; i < in.size(); i += 2) {
      most += in[i].shape.elements();
    }
    most = std::min(most, table_[0]);
    return std::vector<TensorType>{{Shape{most, table_[1]}, DType::kF32},
                                   {Shape{most}, DType::kS32}};
  }

  Cost EstimateCost(std::span<const TensorType> in, std::span<const TensorType>) const override {
    Cost cost;
    for (size_t i = 0; i < in.size(); i += 2) {
      cost.flops += static_cast<double>(in[i].shape.elements());
      cost.bytes += 2.0 * static_cast<double>(in[i].bytes()) +  // dy is read, sums are written
                    static_cast<double>(in[i + 1].bytes());
    }
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = table_[1];
    std::map<int64_t, std::vector<double>> sums;
    for (size_t part = 0; part < in.size(); part += 2) {
      for (int64_t i = 0; i < in[part]->shape.elements(); ++i) {
        std::vector<double>& sum = sums[static_cast<int64_t>((*in[part + 1])[i / width])];
        sum.resize(static_cast<size_t>(width));
        sum[static_cast<size_t>(i % width)] += (*in[part])[i];
      }
    }
    std::ranges::fill(out[1].values, -1);
    int64_t n = 0;
    for (const auto& [row, sum] : sums) {
      std::ranges::copy(sum, out[0].values.begin() + n * width);
      out[1][n++] = static_cast<double>(row);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t most = l.output_type(1).shape[0], width = table_[1], rows = table_[0];
    std::vector<PartSlots> inputs;
    int64_t total = 0;
    for (int part = 0; part < parts_; ++part) {
      HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(2 * part));
      const int64_t count = l.input_type(2 * part + 1).shape.elements();
      inputs.push_back({dy, l.Input(2 * part + 1), count});
      total += count;
    }
    const Slot sums = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot found = l.Output(1, MemoryDesc::Plain(l.output_type(1)));
    const Slot places = l.Scratch(2 * total * static_cast<int64_t>(sizeof(Place)));
    const Slot begins = l.Scratch((most + 1) * static_cast<int64_t>(sizeof(int32_t)));
    const int workers = PartsFor(total * width, l.threads());
    const Slot counts = l.Scratch(kMostDigits * static_cast<int64_t>(sizeof(int32_t)));
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* begin = m.as<int32_t>(begins);
      auto* row = m.as<int32_t>(found);
      auto* to = m.as<float>(sums);
      const Place* place = Sort(m, inputs, rows, m.as<Place>(places), total, m.as<int32_t>(counts));
      if (place == nullptr) {
        return false;
      }
      const int64_t n = FindRows(place, total, row, m.as<int32_t>(begins));
      std::fill(row + n, row + most, -1);
      ForShares(most, workers, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          float* sum = to + i * width;
          if (i >= n) {
            std::fill_n(sum, width, 0.0f);
            continue;
          }
          for (int64_t p = begin[i], end = begin[i + 1]; p < end; ++p) {
            const float* dy = m.as<float>(inputs[static_cast<size_t>(place[p].part)].dy);
            const float* more = dy + int64_t{place[p].position} * width;
            if (p == begin[i]) {
              std::copy_n(more, width, sum);
            } else {
              for (int64_t j = 0; j < width; ++j) {
                sum[j] += more[j];
              }
            }
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // Rows have so many values of a digit at most when they are sorted.
  static constexpr int64_t kMostDigits = int64_t{1} << 11;

  // The places of all indices, those of a row together, ascending, in the order of the parts and of
  // the index in each; in one half of `places`, which has room for twice as many. Null if an index
  // is out of range. Sorted digit by digit, each pass a stable one: of a batch's thousand indices
  // into a thousand rows in two passes over them.
  static const Place* Sort(const Memory& m, std::span<const PartSlots> parts, int64_t rows,
                           Place* places, int64_t total, int32_t* counts) {
    Place *from = places, *to = places + total;
    int64_t next = 0;
    for (size_t part = 0; part < parts.size(); ++part) {
      const auto* at = m.as<int32_t>(parts[part].index);
      if (!NamesRows(at, parts[part].count, rows)) {
        return nullptr;
      }
      for (int64_t i = 0; i < parts[part].count; ++i) {
        from[next++] = {at[i], static_cast<int32_t>(part), static_cast<int32_t>(i)};
      }
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
    return from;
  }

  // `row` are the different rows of the places, begin[i] the first place of row[i]; one more begin
  // stands behind the last. Returns their number.
  static int64_t FindRows(const Place* place, int64_t total, int32_t* row, int32_t* begin) {
    int64_t n = 0;
    for (int64_t p = 0; p < total; ++p) {
      if (p == 0 || place[p].row != place[p - 1].row) {
        row[n] = place[p].row;
        begin[n++] = static_cast<int32_t>(p);
      }
    }
    begin[n] = static_cast<int32_t>(total);
    return n;
  }

  Shape table_;
  int parts_;
};

}  // namespace

Value ScatterRows(Graph& graph, const Shape& table, const RowPart& part) {
  return graph.Add(std::make_shared<ScatterRowsOp>(table), {part.dy, part.index});
}

Value RowSums(Graph& graph, const Shape& table, const std::vector<RowPart>& parts) {
  std::vector<Value> inputs;
  for (const RowPart& part : parts) {
    inputs.push_back(part.dy);
    inputs.push_back(part.index);
  }
  return graph.Add(std::make_shared<RowSumsOp>(table, static_cast<int>(parts.size())),
                   std::move(inputs));
}

bool NamesRows(const int32_t* index, int64_t count, int64_t rows) {
  return std::all_of(index, index + count, [&](int32_t i) { return i >= 0 && i < rows; });
}

bool IsRowSums(const Graph& graph, Value value) {
  const Graph::Node& node = graph.node(value.node);
  return node.op != nullptr && dynamic_cast<const RowSumsOp*>(node.op.get()) != nullptr;
}

}  // namespace hone::engine
