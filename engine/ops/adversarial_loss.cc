#include "engine/ops/adversarial_loss.h"

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
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
      const Term term = Of((*in[0])[i]);
      out[0][0] += term.loss;
      out[2][0] += term.correct;
      out[3][i] = term.gradient;
    }
    out[1][0] = static_cast<double>(in[0]->shape[0]);
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot outputs, l.PlainInput(0));
    const onednn::MemoryDesc scalar = onednn::MemoryDesc::Plain(l.output_type(0));
    const Slot loss = l.Output(0, scalar), weight = l.Output(1, scalar);
    const Slot correct = l.Output(2, scalar);
    const Slot gradient =
        l.wanted(3) ? l.Output(3, onednn::MemoryDesc::Plain(l.output_type(3))) : Slot{-1};
    l.Emit(kind(), [=, op = *this, batch = l.input_type(0).shape[0]](const Memory& m) {
      auto* x = m.as<float>(outputs);
      auto* to_loss = m.as<float>(loss);
      auto* to_weight = m.as<float>(weight);
      auto* to_correct = m.as<float>(correct);
      float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
      Term sum;
      for (int64_t i = 0; i < batch; ++i) {
        const Term term = op.Of(x[i]);
        sum.loss += term.loss;
        sum.correct += term.correct;
        if (dx != nullptr) {
          dx[i] = static_cast<float>(term.gradient);
        }
      }
      *to_loss = static_cast<float>(sum.loss);
      *to_weight = static_cast<float>(batch);
      *to_correct = static_cast<float>(sum.correct);
    });
    return absl::OkStatus();
  }

 private:
  struct Term {
    double loss = 0, gradient = 0, correct = 0;
  };

  Term Of(double x) const {
    const double border = options_.kind == AdversarialKind::kLeastSquares ? 0.5 : 0;
    Term term = Lost(x);
    term.correct = side_ == AdversarialSide::kReal ? x > border : x <= border;
    return term;
  }

  Term Lost(double x) const {
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
        return 1 + sign * x <= 0 ? Term{0, 0} : Term{1 + sign * x, sign};
      }
      case AdversarialKind::kWasserstein:
        return drawn ? Term{x, 1} : Term{-x, -1};
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
