#include "engine/ops/embedding.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/row_sums.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/rows.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

class EmbeddingOp final : public Op {
 public:
  absl::string_view kind() const override { return "embedding"; }

  Precision precision(int) const override { return {Precision::Rule::kForProducts}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 2) {
      return WrongShape("the table", "[rows, width]", in[0].shape);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the table", in[0].shape));
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the index", in[1].shape));
    if (in[1].dtype != DType::kS32) {
      return absl::InvalidArgumentError(
          absl::StrCat("the index must be s32, got ", in[1].ToString()));
    }
    std::vector<int64_t> dims = in[1].shape.dims();
    dims.push_back(in[0].shape[1]);
    return std::vector<TensorType>{{Shape(std::move(dims)), DType::kF32}};
  }

  void Differentiate(Gradient& g) const override { g.AccumulateRows(0, g.dy(), g.input(1)); }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    return {.flops = 0, .bytes = static_cast<double>(in[1].bytes()) + 2.0 * out[0].bytes()};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t width = in[0]->shape[1];
    for (int64_t i = 0; i < out[0].shape.elements(); ++i) {
      out[0][i] = (*in[0])[static_cast<int64_t>((*in[1])[i / width]) * width + i % width];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    // Rows are read where they lie: of a large table a batch needs few.
    const DType kept = l.kept_dtype(0) == DType::kBf16 ? DType::kBf16 : DType::kF32;
    HONE_ASSIGN_OR_RETURN(const Slot table,
                          l.Input(0, MemoryDesc::Plain({l.input_type(0).shape, kept})));
    const Slot index = l.Input(1);
    const DType dtype = l.output_dtype(0);
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const int64_t count = l.input_type(1).shape.elements();
    const int64_t rows = l.input_type(0).shape[0], width = l.input_type(0).shape[1];
    const int parts = PartsFor(count * width, l.threads());
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      void* from = m[table];
      const auto* at = m.as<int32_t>(index);
      void* to = m[y];
      if (!NamesRows(at, count, rows)) {
        return false;
      }
      ForShares(count, parts, [&](int64_t begin, int64_t end) {
        if (kept == DType::kF32 && dtype == DType::kF32) {
          return kernels::GatherRows(static_cast<const float*>(from), at, width,
                                     static_cast<float*>(to), begin, end);
        }
        kernels::GatherRowsAs(kept, from, at, width, dtype, to, begin, end);
      });
      return true;
    });
    return absl::OkStatus();
  }
};

}  // namespace

Value Embedding(Graph& graph, Value table, Value index) {
  return graph.Add(std::make_shared<EmbeddingOp>(), {table, index});
}

}  // namespace hone::engine
