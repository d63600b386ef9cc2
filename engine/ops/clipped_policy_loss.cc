#include "engine/ops/clipped_policy_loss.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, the gradient of the sum with respect to the logits, and the sums of
// entropy, divergence and clipped examples.
class ClippedPolicyLossOp final : public Op {
 public:
  explicit ClippedPolicyLossOp(const ClippedPolicyOptions& options) : options_(options) {}

  absl::string_view kind() const override { return "clipped_policy_loss"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& logits = in[0].shape;
    if (logits.rank() != 2) {
      return WrongShape("the logits", "[batch, actions]", logits);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the logits", logits));
    const Shape rows = {logits[0]};
    if (in[1] != TensorType{rows, DType::kS32}) {
      return WrongShape("the actions taken", TensorType{rows, DType::kS32}.ToString(), in[1].shape);
    }
    for (const size_t i : {2, 3}) {
      if (in[i] != TensorType{rows, DType::kF32}) {
        return WrongShape(i == 2 ? "the log probabilities" : "the advantages",
                          TensorType{rows, DType::kF32}.ToString(), in[i].shape);
      }
    }
    if (!(options_.clip > 0) || !(options_.entropy >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("clipped_policy_loss: clip must be positive and entropy not negative, got ",
                       options_.clip, " and ", options_.entropy));
    }
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, {logits, DType::kF32}, scalar, scalar, scalar};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(2), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t batch = in[0]->shape[0], actions = in[0]->shape[1];
    Sums sums;
    for (int64_t i = 0; i < batch; ++i) {
      const int64_t row = i * actions;
      Add(&in[0]->values[static_cast<size_t>(row)], actions, static_cast<int64_t>((*in[1])[i]),
          (*in[2])[i], (*in[3])[i], &out[2].values[static_cast<size_t>(row)], sums);
    }
    out[0][0] = sums.loss;
    out[1][0] = static_cast<double>(batch);
    out[3][0] = sums.entropy;
    out[4][0] = sums.divergence;
    out[5][0] = sums.clipped;
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot logits, l.PlainInput(0));
    const Slot taken = l.Input(1);
    HONE_ASSIGN_OR_RETURN(const Slot log_taken, l.PlainInput(2));
    HONE_ASSIGN_OR_RETURN(const Slot advantages, l.PlainInput(3));
    const auto output = [&](int i) {
      return l.Output(i, onednn::MemoryDesc::Plain(l.output_type(i)));
    };
    const auto optional = [&](int i) { return l.wanted(i) ? output(i) : Slot{-1}; };
    const Slot loss = output(0), weight = output(1), gradient = optional(2);
    const Slot entropy = optional(3), divergence = optional(4), clipped = optional(5);
    const Shape shape = l.input_type(0).shape;
    l.Emit(kind(), [=, op = *this, batch = shape[0], actions = shape[1]](const Memory& m,
                                                                         const RunScalars&) {
      auto* x = m.as<float>(logits);
      auto* action = m.as<int32_t>(taken);
      auto* then = m.as<float>(log_taken);
      auto* advantage = m.as<float>(advantages);
      float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
      Sums sums;
      for (int64_t i = 0; i < batch; ++i) {
        if (action[i] < 0 || action[i] >= actions) {
          return false;
        }
        op.Add(x + i * actions, actions, action[i], double{then[i]}, double{advantage[i]},
               dx == nullptr ? nullptr : dx + i * actions, sums);
      }
      *m.as<float>(loss) = static_cast<float>(sums.loss);
      *m.as<float>(weight) = static_cast<float>(batch);
      for (const auto& [slot, sum] : {std::pair(entropy, sums.entropy),
                                      {divergence, sums.divergence},
                                      {clipped, sums.clipped}}) {
        if (slot >= 0) {
          *m.as<float>(slot) = static_cast<float>(sum);
        }
      }
      return true;
    });
    return absl::OkStatus();
  }

 private:
  struct Sums {
    double loss = 0, entropy = 0, divergence = 0, clipped = 0;
  };

  // One example; `dx`, where it is not null, is the gradient of its loss.
  template <typename T>
  void Add(const T* x, int64_t actions, int64_t taken, double log_then, double advantage, T* dx,
           Sums& sums) const {
    const double most = double{*std::max_element(x, x + actions)};
    double total = 0;
    for (int64_t k = 0; k < actions; ++k) {
      total += std::exp(double{x[k]} - most);
    }
    const double log_total = most + std::log(total);
    double entropy = 0;
    for (int64_t k = 0; k < actions; ++k) {
      const double log_p = double{x[k]} - log_total;
      entropy -= std::exp(log_p) * log_p;
    }
    const double log_ratio = double{x[taken]} - log_total - log_then;
    const double ratio = std::exp(log_ratio);
    const double low = 1 - double{options_.clip}, high = 1 + double{options_.clip};
    const double plain = ratio * advantage, cut = std::clamp(ratio, low, high) * advantage;
    sums.loss -= std::min(plain, cut) + double{options_.entropy} * entropy;
    sums.entropy += entropy;
    sums.divergence += ratio - 1 - log_ratio;
    sums.clipped += ratio < low || ratio > high ? 1 : 0;
    if (dx == nullptr) {
      return;
    }
    // Where the cut one is smaller it is a constant.
    const double slope = plain <= cut ? -plain : 0;
    for (int64_t k = 0; k < actions; ++k) {
      const double log_p = double{x[k]} - log_total, p = std::exp(log_p);
      dx[k] = static_cast<T>(slope * ((k == taken ? 1 : 0) - p) +
                             double{options_.entropy} * p * (log_p + entropy));
    }
  }

  ClippedPolicyOptions options_;
};

}  // namespace

ClippedPolicyResult ClippedPolicyLoss(Graph& graph, Value logits, Value taken, Value log_taken,
                                      Value advantages, const ClippedPolicyOptions& options) {
  const Value sum = graph.Add(std::make_shared<ClippedPolicyLossOp>(options),
                              {logits, taken, log_taken, advantages});
  return {{sum, {sum.node, 1}, Value()}, {sum.node, 3}, {sum.node, 4}, {sum.node, 5}};
}

}  // namespace hone::engine
