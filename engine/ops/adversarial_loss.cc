#include "engine/ops/adversarial_loss.h"

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/loss_terms.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, correct, and the gradient of the sum with respect to the outputs.
class AdversarialLossOp final : public Op {
 public:
  AdversarialLossOp(AdversarialSide side, const AdversarialOptions& options)
      : side_(side), options_(options) {}

  absl::string_view kind() const override { return "adversarial_loss"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() < 1 || x.rank() > 2 || (x.rank() == 2 && x[1] != 1)) {
      return WrongShape("the discriminator's outputs", "[batch] or [batch, 1]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the discriminator's outputs", x));
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, scalar, {x, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(3), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (int64_t i = 0; i < in[0]->shape[0]; ++i) {
      const LossTerm term = Of((*in[0])[i]);
      out[0][0] += term.loss;
      out[1][0] += term.weight;
      out[2][0] += term.correct;
      out[3][i] = term.gradient;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot outputs, l.PlainInput(0));
    EmitLossTerms(l, kind(), l.input_type(0).shape[0], [=, op = *this](const Memory& m) {
      return [&op, x = m.as<float>(outputs)](int64_t i) { return op.Of(x[i]); };
    });
    return absl::OkStatus();
  }

 private:
  LossTerm Of(double x) const {
    const double border = options_.kind == AdversarialKind::kLeastSquares ? 0.5 : 0;
    LossTerm term = Lost(x);
    term.correct = side_ == AdversarialSide::kReal ? x > border : x <= border;
    return term;
  }

  LossTerm Lost(double x) const {
    const bool real = side_ == AdversarialSide::kReal, drawn = side_ == AdversarialSide::kDrawn;
    const double target = drawn ? 0 : real ? 1 - double{options_.label_smoothing} : 1;
    switch (options_.kind) {
      case AdversarialKind::kNonSaturating: {
        const double small = std::exp(-std::abs(x));  // never overflows
        const double probability = (x >= 0 ? 1 : small) / (1 + small);
        return {std::max(x, 0.0) - x * target + std::log1p(small), probability - target};
      }
      case AdversarialKind::kLeastSquares:
        return {(x - target) * (x - target) / 2, x - target};
      case AdversarialKind::kHinge: {
        const double sign = drawn ? 1 : -1;
        if (!real && !drawn) {
          return {-x, -1};
        }
        // A NaN stays one.
        return 1 + sign * x <= 0 ? LossTerm{0, 0} : LossTerm{1 + sign * x, sign};
      }
      case AdversarialKind::kWasserstein:
        return drawn ? LossTerm{x, 1} : LossTerm{-x, -1};
    }
    return {};
  }

  AdversarialSide side_;
  AdversarialOptions options_;
};

}  // namespace

Loss AdversarialLoss(Graph& graph, Value outputs, AdversarialSide side,
                     const AdversarialOptions& options) {
  const Value sum = graph.Add(std::make_shared<AdversarialLossOp>(side, options), {outputs});
  return {sum, {sum.node, 1}, {sum.node, 2}};
}

}  // namespace hone::engine
