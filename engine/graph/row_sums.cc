#include "engine/graph/row_sums.h"

#include <algorithm>
#include <map>
#include <tuple>

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
    const Slot places = l.Scratch(total * static_cast<int64_t>(sizeof(Place)));
    const Slot begins = l.Scratch((most + 1) * static_cast<int64_t>(sizeof(int32_t)));
    const int workers = PartsFor(total * width, l.threads());
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      const auto* place = m.as<Place>(places);
      const auto* begin = m.as<int32_t>(begins);
      auto* row = m.as<int32_t>(found);
      auto* to = m.as<float>(sums);
      const int64_t n = Sort(m, inputs, rows, m.as<Place>(places), row, m.as<int32_t>(begins));
      if (n < 0) {
        return false;
      }
      std::fill(row + n, row + most, -1);
      ForShares(most, workers, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          float* sum = to + i * width;
          std::fill_n(sum, width, 0.0f);
          for (int64_t p = i < n ? begin[i] : 0, end = i < n ? begin[i + 1] : 0; p < end; ++p) {
            const float* dy = m.as<float>(inputs[static_cast<size_t>(place[p].part)].dy);
            const float* more = dy + int64_t{place[p].position} * width;
            kernels::AddArrays(DType::kF32, sum, more, sum, 0, width);
          }
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  // Puts the indices in order: `row` are the different ones, begin[i] the first place of row[i].
  // Returns their number; −1 if an index is out of range.
  static int64_t Sort(const Memory& m, std::span<const PartSlots> parts, int64_t rows, Place* place,
                      int32_t* row, int32_t* begin) {
    int64_t total = 0;
    for (size_t part = 0; part < parts.size(); ++part) {
      const auto* at = m.as<int32_t>(parts[part].index);
      if (!NamesRows(at, parts[part].count, rows)) {
        return -1;
      }
      for (int64_t i = 0; i < parts[part].count; ++i) {
        place[total++] = {at[i], static_cast<int32_t>(part), static_cast<int32_t>(i)};
      }
    }
    std::sort(place, place + total, [](const Place& a, const Place& b) {
      return std::tie(a.row, a.part, a.position) < std::tie(b.row, b.part, b.position);
    });
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
