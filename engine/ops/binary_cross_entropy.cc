#include "engine/ops/binary_cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/graph.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/loss_terms.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, correct, and the gradient of the sum with respect to the logits.
class BinaryCrossEntropyOp final : public Op {
 public:
  explicit BinaryCrossEntropyOp(CrossEntropyOptions options) : options_(std::move(options)) {}

  absl::string_view kind() const override { return "binary_cross_entropy"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& logits = in[0].shape;
    if (logits.rank() < 1 || logits.rank() > 2 || (logits.rank() == 2 && logits[1] != 1)) {
      return WrongShape("the logits", "[batch] or [batch, 1]", logits);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the logits", logits));
    if (in[1].shape != Shape{logits[0]} || in[1].dtype != DType::kS32) {
      return WrongShape("the labels", absl::StrCat("s32[", logits[0], "]"), in[1].shape);
    }
    if (!options_.class_weights.empty() && options_.class_weights.size() != 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("class_weights must have 2 entries, got ", options_.class_weights.size()));
    }
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, scalar, {logits, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(3), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (int64_t i = 0; i < in[0]->shape[0]; ++i) {
      const LossTerm term = Of((*in[0])[i], static_cast<int>((*in[1])[i]));
      out[0][0] += term.loss;
      out[1][0] += term.weight;
      out[2][0] += term.correct;
      out[3][i] = term.gradient;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot logits, l.PlainInput(0));
    const Slot labels = l.Input(1);
    EmitLossTerms(l, kind(), l.input_type(0).shape[0], [=, op = *this](const Memory& m) {
      return [&op, x = m.as<float>(logits), y = m.as<int32_t>(labels)](int64_t i) {
        return op.Of(x[i], y[i]);
      };
    });
    return absl::OkStatus();
  }

 private:
  LossTerm Of(double x, int label) const {
    if (label < 0) {
      return {.weight = 0};
    }
    const double smoothing = options_.label_smoothing;
    const double target = (label > 0 ? 1 - smoothing : 0) + smoothing / 2;
    const double weight =
        options_.class_weights.empty() ? 1 : options_.class_weights[label > 0 ? 1 : 0];
    const double small = std::exp(-std::abs(x));  // never overflows
    const double probability = (x >= 0 ? 1 : small) / (1 + small);
    return {.loss = weight * (std::max(x, 0.0) - x * target + std::log1p(small)),
            .gradient = weight * (probability - target),
            .correct = (x > 0) == (label > 0) ? 1.0 : 0.0,
            .weight = weight};
  }

  CrossEntropyOptions options_;
};

}  // namespace

Loss BinaryCrossEntropy(Graph& graph, Value logits, Value labels,
                        const CrossEntropyOptions& options) {
  const Value sum = graph.Add(std::make_shared<BinaryCrossEntropyOp>(options), {logits, labels});
  return {sum, {sum.node, 1}, {sum.node, 2}};
}

}  // namespace hone::engine
