#include "engine/ops/action_value_loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, the gradient of the sum with respect to the values, and the errors.
class ActionValueLossOp final : public Op {
 public:
  ActionValueLossOp(ActionValueError error, double delta) : error_(error), delta_(delta) {}

  absl::string_view kind() const override { return "action_value_loss"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& values = in[0].shape;
    if (values.rank() != 2) {
      return WrongShape("the values", "[batch, actions]", values);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the values", values));
    const Shape rows = {values[0]};
    if (in[1] != TensorType{rows, DType::kS32}) {
      return WrongShape("the actions taken", TensorType{rows, DType::kS32}.ToString(), in[1].shape);
    }
    for (const size_t i : {2, 3}) {
      if (in[i] != TensorType{rows, DType::kF32}) {
        return WrongShape(i == 2 ? "the wanted values" : "the weights",
                          TensorType{rows, DType::kF32}.ToString(), in[i].shape);
      }
    }
    if (error_ == ActionValueError::kHuber && !(delta_ > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("action_value_loss: delta must be positive, got ", delta_));
    }
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, {values, DType::kF32}, {rows, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(2), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t batch = in[0]->shape[0], actions = in[0]->shape[1];
    for (int64_t i = 0; i < batch; ++i) {
      const int64_t place = i * actions + static_cast<int64_t>((*in[1])[i]);
      const Term term = Of((*in[0])[place] - (*in[2])[i]);
      out[0][0] += (*in[3])[i] * term.loss;
      out[2][place] = (*in[3])[i] * term.gradient;
      out[3][i] = (*in[0])[place] - (*in[2])[i];
    }
    out[1][0] = static_cast<double>(batch);
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot values, l.PlainInput(0));
    const Slot taken = l.Input(1);
    HONE_ASSIGN_OR_RETURN(const Slot wanted, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot weights, l.PlainInput(3));
    const onednn::MemoryDesc scalar = onednn::MemoryDesc::Plain(l.output_type(0));
    const Slot loss = l.Output(0, scalar), weight = l.Output(1, scalar);
    const auto optional = [&](int output) {
      return l.wanted(output) ? l.Output(output, onednn::MemoryDesc::Plain(l.output_type(output)))
                              : Slot{-1};
    };
    const Slot gradient = optional(2), errors = optional(3);
    const Shape shape = l.input_type(0).shape;
    l.Emit(kind(), [=, op = *this, batch = shape[0], actions = shape[1]](const Memory& m,
                                                                         const RunScalars&) {
      auto* x = m.as<float>(values);
      auto* action = m.as<int32_t>(taken);
      auto* y = m.as<float>(wanted);
      auto* w = m.as<float>(weights);
      auto* to_loss = m.as<float>(loss);
      auto* to_weight = m.as<float>(weight);
      float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
      float* d = errors < 0 ? nullptr : m.as<float>(errors);
      if (dx != nullptr) {
        std::fill_n(dx, batch * actions, 0.0f);
      }
      double sum = 0;
      for (int64_t i = 0; i < batch; ++i) {
        if (action[i] < 0 || action[i] >= actions) {
          return false;
        }
        const int64_t place = i * actions + action[i];
        const double error = double{x[place]} - y[i];
        const Term term = op.Of(error);
        sum += w[i] * term.loss;
        if (dx != nullptr) {
          dx[place] = static_cast<float>(w[i] * term.gradient);
        }
        if (d != nullptr) {
          d[i] = static_cast<float>(error);
        }
      }
      *to_loss = static_cast<float>(sum);
      *to_weight = static_cast<float>(batch);
      return true;
    });
    return absl::OkStatus();
  }

 private:
  struct Term {
    double loss, gradient;
  };

  Term Of(double d) const {
    if (error_ == ActionValueError::kSquared) {
      return {d * d, 2 * d};
    }
    const double size = std::abs(d), sign = d > 0 ? 1 : -1;
    return size <= delta_ ? Term{d * d / 2, d} : Term{delta_ * (size - delta_ / 2), delta_ * sign};
  }

  ActionValueError error_;
  double delta_;
};

}  // namespace

ActionValueLossResult ActionValueLoss(Graph& graph, Value values, Value taken, Value wanted,
                                      Value weights, ActionValueError error, float delta) {
  const Value sum = graph.Add(std::make_shared<ActionValueLossOp>(error, delta),
                              {values, taken, wanted, weights});
  return {{sum, {sum.node, 1}, Value()}, {sum.node, 3}};
}

}  // namespace hone::engine
