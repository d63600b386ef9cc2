#include "engine/ops/regression_loss.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/graph.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, and the gradient of the sum with respect to the predictions.
class RegressionLossOp final : public Op {
 public:
  RegressionLossOp(RegressionKind kind, double delta) : kind_(kind), delta_(delta) {}

  absl::string_view kind() const override {
    switch (kind_) {
      case RegressionKind::kMeanSquaredError:
        return "mean_squared_error";
      case RegressionKind::kMeanAbsoluteError:
        return "mean_absolute_error";
      case RegressionKind::kHuber:
        return "huber";
    }
    return "";
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& predictions = in[0].shape;
    if (predictions.rank() < 1) {
      return WrongShape("the predictions", "[batch, ...]", predictions);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the predictions", predictions));
    if (in[1] != TensorType{predictions, DType::kF32}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the targets must be f32", predictions.ToString(), ", got ", in[1].ToString()));
    }
    if (kind_ == RegressionKind::kHuber && !(delta_ > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("huber: delta must be positive, got ", delta_));
    }
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, {predictions, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(2), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& shape = in[0]->shape;
    const double share = static_cast<double>(shape[0]) / static_cast<double>(shape.elements());
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const Term term = Of((*in[0])[i] - (*in[1])[i]);
      out[0][0] += share * term.loss;
      out[2][i] = share * term.gradient;
    }
    out[1][0] = static_cast<double>(shape[0]);
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot predictions, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot targets, l.PlainInput(1));
    const onednn::MemoryDesc scalar = onednn::MemoryDesc::Plain(l.output_type(0));
    const Slot loss = l.Output(0, scalar), weight = l.Output(1, scalar);
    const Slot gradient =
        l.wanted(2) ? l.Output(2, onednn::MemoryDesc::Plain(l.output_type(2))) : Slot{-1};
    const Shape shape = l.input_type(0).shape;
    const double share = static_cast<double>(shape[0]) / static_cast<double>(shape.elements());
    const auto emit = [&](auto term_of) {
      l.Emit(kind(), [=, batch = shape[0], n = shape.elements()](const Memory& m) {
        auto* x = m.as<float>(predictions);
        auto* y = m.as<float>(targets);
        float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) {
          const Term term = term_of(double{x[i]} - y[i]);
          sum += term.loss;
          if (dx != nullptr) {
            dx[i] = static_cast<float>(share * term.gradient);
          }
        }
        *m.as<float>(loss) = static_cast<float>(share * sum);
        *m.as<float>(weight) = static_cast<float>(batch);
      });
    };
    switch (kind_) {
      case RegressionKind::kMeanSquaredError:
        emit([](double d) { return Squared(d); });
        break;
      case RegressionKind::kMeanAbsoluteError:
        emit([](double d) { return Absolute(d); });
        break;
      case RegressionKind::kHuber:
        emit([delta = delta_](double d) { return Huber(d, delta); });
        break;
    }
    return absl::OkStatus();
  }

 private:
  struct Term {
    double loss, gradient;
  };

  // What a difference of d adds.
  static Term Squared(double d) { return {d * d, 2 * d}; }
  static Term Absolute(double d) {
    return {std::abs(d), static_cast<double>(d > 0) - static_cast<double>(d < 0)};
  }
  static Term Huber(double d, double delta) {
    const double inside = std::clamp(d, -delta, delta);
    return {inside * (d - inside / 2), inside};
  }
  Term Of(double d) const {
    switch (kind_) {
      case RegressionKind::kMeanSquaredError:
        return Squared(d);
      case RegressionKind::kMeanAbsoluteError:
        return Absolute(d);
      case RegressionKind::kHuber:
        return Huber(d, delta_);
    }
    return {0, 0};
  }

  RegressionKind kind_;
  double delta_;
};

}  // namespace

Loss RegressionLoss(Graph& graph, Value predictions, Value targets, RegressionKind kind,
                    float delta) {
  const Value sum =
      graph.Add(std::make_shared<RegressionLossOp>(kind, delta), {predictions, targets});
  return {sum, {sum.node, 1}, Value()};
}

}  // namespace hone::engine
