#include "engine/ops/segment_pool.h"

#include <algorithm>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/lowering.h"
#include "engine/kernels/segment_pool.h"
#include "engine/ops/segments.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// The row that a sequence's first or last token is, −1 where there is none.
int64_t EndRow(SegmentPoolKind kind, int64_t first, int64_t end) {
  if (first == end) {
    return -1;
  }
  return kind == SegmentPoolKind::kFirst ? first : end - 1;
}

// Inputs: dy, offsets, and for kMax the row that each number came from.
class SegmentPoolGradientOp final : public Op {
 public:
  SegmentPoolGradientOp(SegmentPoolKind kind, int64_t rows) : kind_(kind), rows_(rows) {}

  absl::string_view kind() const override { return "segment_pool_gradient"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{Shape{rows_, in[0].shape[1]}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    for (int64_t at = 0; at < in[0]->shape.elements(); ++at) {
      const int64_t i = at / width, j = at % width;
      const auto first = static_cast<int64_t>((*in[1])[i]);
      const auto end = static_cast<int64_t>((*in[1])[i + 1]);
      if (kind_ == SegmentPoolKind::kMean) {
        for (int64_t r = first; r < end; ++r) {
          out[0][r * width + j] = (*in[0])[at] / static_cast<double>(end - first);
        }
      } else if (first < end) {
        const int64_t r = kind_ == SegmentPoolKind::kMax ? static_cast<int64_t>((*in[2])[at])
                                                         : EndRow(kind_, first, end);
        out[0][r * width + j] = (*in[0])[at];
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const int64_t batch = l.input_type(0).shape[0], width = l.input_type(0).shape[1];
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot dy,
                          l.Input(0, MemoryDesc::Plain({l.input_type(0).shape, dtype})));
    const Slot offsets = l.Input(1);
    const Slot picked = kind_ == SegmentPoolKind::kMax ? l.Input(2) : Slot{-1};
    const Slot dx = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const int parts = PartsFor(rows_ * width, l.threads());
    l.Emit(kind(), [=, kind = kind_, rows = rows_](const Memory& m) {
      const void* from = m[dy];
      const auto* begins = m.as<int32_t>(offsets);
      const auto* row = picked < 0 ? nullptr : m.as<int32_t>(picked);
      void* to = m[dx];
      ClearRowsBehind(begins, batch, rows, width, dtype, to);
      ForShares(batch, parts, [&](int64_t begin, int64_t end) {
        if (kind == SegmentPoolKind::kMean) {
          return kernels::SegmentMeanGradient(dtype, from, begins, width, to, begin, end);
        }
        const auto scatter = [&](const auto* of_sequences, auto* of_rows) {
          std::fill(of_rows + begins[begin] * width, of_rows + begins[end] * width, 0);
          for (int64_t i = begin; i < end; ++i) {
            const int64_t end_row = EndRow(kind, begins[i], begins[i + 1]);
            for (int64_t at = i * width; end_row >= 0 && at < (i + 1) * width; ++at) {
              of_rows[(row != nullptr ? row[at] : end_row) * width + at % width] = of_sequences[at];
            }
          }
        };
        if (dtype == DType::kBf16) {
          scatter(static_cast<const uint16_t*>(from), static_cast<uint16_t*>(to));
        } else {
          scatter(static_cast<const float*>(from), static_cast<float*>(to));
        }
      });
    });
    return absl::OkStatus();
  }

 private:
  SegmentPoolKind kind_;
  int64_t rows_;
};

// Inputs: x, offsets. Outputs: y, and for kMax the row that each number came from.
class SegmentPoolOp final : public Op {
 public:
  explicit SegmentPoolOp(SegmentPoolKind kind) : kind_(kind) {}

  absl::string_view kind() const override { return "segment_pool"; }

  OpAttributes attributes() const override { return {{"kind", {static_cast<double>(kind_)}}}; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_RETURN_IF_ERROR(CheckTokenRows("the input", in[0]));
    HONE_RETURN_IF_ERROR(CheckOffsets(in[1]));
    const Shape y{in[1].shape[0] - 1, in[0].shape[1]};
    std::vector<TensorType> types = {{y, DType::kF32}};
    if (kind_ == SegmentPoolKind::kMax) {
      types.push_back({y, DType::kS32});
    }
    return types;
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      std::vector<Value> inputs = {g.dy(), g.input(1)};
      if (kind_ == SegmentPoolKind::kMax) {
        inputs.push_back(g.output(1));
      }
      return g.graph().Add(
          std::make_shared<SegmentPoolGradientOp>(kind_, g.graph().shape(g.input(0))[0]),
          std::move(inputs));
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    for (int64_t at = 0; at < out[0].shape.elements(); ++at) {
      const int64_t i = at / width, j = at % width;
      const auto first = static_cast<int64_t>((*in[1])[i]);
      const auto end = static_cast<int64_t>((*in[1])[i + 1]);
      const auto x = [&](int64_t r) { return (*in[0])[r * width + j]; };
      int64_t row = EndRow(kind_, first, end);
      for (int64_t r = first; r < end; ++r) {
        out[0][at] += kind_ == SegmentPoolKind::kMean ? x(r) / static_cast<double>(end - first) : 0;
        row = kind_ == SegmentPoolKind::kMax && (r == first || x(r) > x(row)) ? r : row;
      }
      if (kind_ != SegmentPoolKind::kMean && row >= 0) {
        out[0][at] = x(row);
      }
      if (kind_ == SegmentPoolKind::kMax) {
        out[1][at] = static_cast<double>(row);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const int64_t rows = shape[0], width = shape[1], batch = l.output_type(0).shape[0];
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const Slot offsets = l.Input(1);
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const Slot picked = kind_ == SegmentPoolKind::kMax
                            ? l.Output(1, MemoryDesc::Plain(l.output_type(1)))
                            : Slot{-1};
    const int parts = PartsFor(shape.elements(), l.threads());
    l.Emit(kind(), [=, kind = kind_](const Memory& m, const RunScalars&) {
      void* from = m[x];
      const auto* begins = m.as<int32_t>(offsets);
      void* to = m[y];
      auto* row_of = picked < 0 ? nullptr : m.as<int32_t>(picked);
      if (!AreOffsets({begins, static_cast<size_t>(batch) + 1}, rows)) {
        return false;
      }
      ForShares(batch, parts, [&](int64_t begin, int64_t end) {
        if (kind == SegmentPoolKind::kMean) {
          return kernels::SegmentMean(dtype, from, begins, width, to, begin, end);
        }
        if (kind == SegmentPoolKind::kMax) {
          return kernels::SegmentMax(dtype, from, begins, width, to, row_of, begin, end);
        }
        for (int64_t i = begin; i < end; ++i) {
          // The mean of one row, or of none.
          const auto row = static_cast<int32_t>(EndRow(kind, begins[i], begins[i + 1]));
          const int32_t alone[] = {std::max(row, 0), row + 1};
          kernels::SegmentMean(dtype, from, alone, width, At(to, dtype, i * width), 0, 1);
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  SegmentPoolKind kind_;
};

}  // namespace

Value SegmentPool(Graph& graph, Value x, Value offsets, SegmentPoolKind kind) {
  return graph.Add(std::make_shared<SegmentPoolOp>(kind), {x, offsets});
}

}  // namespace hone::engine
