#include "engine/ops/row_cross_entropy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/cross_entropy.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/loss_terms.h"
#include "engine/ops/reshape.h"

namespace hone::engine {
namespace {

// Outputs: the rows' losses, and the gradient of each with respect to its logits.
class RowCrossEntropyOp final : public Op {
 public:
  absl::string_view kind() const override { return "row_cross_entropy"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& logits = in[0].shape;
    if (logits.rank() != 2) {
      return WrongShape("the logits", "[rows, classes]", logits);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the logits", logits));
    const TensorType labels{Shape{logits[0]}, DType::kS32};
    if (in[1].shape != labels.shape || in[1].dtype != labels.dtype) {
      return WrongShape("the labels", labels.ToString(), in[1].shape);
    }
    return std::vector<TensorType>{{Shape{logits[0]}, DType::kF32}, {logits, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      const int64_t rows = g.graph().shape(g.output(1))[0];
      return MulBroadcast(g.graph(), g.output(1), Reshape(g.graph(), g.dy(0), {rows, 1}));
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t rows = in[0]->shape[0], classes = in[0]->shape[1];
    for (int64_t r = 0; r < rows; ++r) {
      const auto label = static_cast<int64_t>((*in[1])[r]);
      if (label < 0) {
        continue;
      }
      const double* x = in[0]->values.data() + r * classes;
      const double log_sum = LogSumExp({x, static_cast<size_t>(classes)});
      out[0][r] = log_sum - x[label];
      for (int64_t c = 0; c < classes; ++c) {
        out[1][r * classes + c] = std::exp(x[c] - log_sum) - (c == label ? 1 : 0);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot logits, l.PlainInput(0));
    const Slot labels = l.Input(1);
    const Slot losses = l.Output(0, onednn::MemoryDesc::Plain(l.output_type(0)));
    const Slot gradient =
        l.wanted(1) ? l.OutputInPlace(1, onednn::MemoryDesc::Plain(l.output_type(1)), 0) : Slot{-1};
    const int64_t rows = l.input_type(0).shape[0], classes = l.input_type(0).shape[1];
    const int parts = static_cast<int>(
        std::min<int64_t>({PartsFor(rows * classes, l.threads()), rows, kMostParts}));
    l.Emit(kind(), [=](const Memory& m, const RunScalars&) {
      auto* x = m.as<float>(logits);
      auto* y = m.as<int32_t>(labels);
      auto* loss = m.as<float>(losses);
      float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
      std::array<bool, kMostParts> of_part{};
      RunTeam(parts, [&](int k) {
        const auto [begin, end] = ShareOf(rows, k, parts);
        bool known = true;
        for (int64_t r = begin; r < end; ++r) {
          const std::optional<kernels::LossSums> row =
              kernels::SoftmaxCrossEntropy(x, y, classes, 0, {}, dx, r, r + 1);
          known = known && row.has_value();
          loss[r] = row.has_value() ? static_cast<float>(row->loss) : 0;
        }
        of_part[static_cast<size_t>(k)] = known;
      });
      return std::all_of(of_part.begin(), of_part.begin() + parts,
                         [](bool known) { return known; });
    });
    return absl::OkStatus();
  }

 private:
  static constexpr int kMostParts = 64;
};

}  // namespace

Value RowCrossEntropy(Graph& graph, Value logits, Value labels) {
  return graph.Add(std::make_shared<RowCrossEntropyOp>(), {logits, labels});
}

}  // namespace hone::engine
