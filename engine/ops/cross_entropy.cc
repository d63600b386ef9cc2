#include "engine/ops/cross_entropy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/cross_entropy.h"
#include "engine/ops/loss_terms.h"
#include "engine/ops/scale.h"

namespace hone::engine {
namespace {

// Outputs: loss sum, weight, correct, and the gradient of the sum with respect to the logits, which
// costs little beside them.
class CrossEntropyOp final : public Op {
 public:
  explicit CrossEntropyOp(CrossEntropyOptions options) : options_(std::move(options)) {}

  absl::string_view kind() const override { return "cross_entropy"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& logits = in[0].shape;
    if (logits.rank() < 2) {
      return WrongShape("the logits", "[batch, ..., classes]", logits);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the logits", logits));
    const Shape rows(std::vector<int64_t>(logits.dims().begin(), logits.dims().end() - 1));
    if (in[1].shape != rows || in[1].dtype != DType::kS32) {
      return WrongShape("the labels", TensorType{rows, DType::kS32}.ToString(), in[1].shape);
    }
    const auto weights = static_cast<int64_t>(options_.class_weights.size());
    if (weights != 0 && weights != logits.back()) {
      return absl::InvalidArgumentError(
          absl::StrCat("class_weights must have ", logits.back(), " entries, got ", weights));
    }
    const TensorType scalar{Shape{}, DType::kF32};
    return std::vector<TensorType>{scalar, scalar, scalar, {logits, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.output(3), g.dy(0)); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t classes = in[0]->shape.back(), rows = in[0]->shape.elements() / classes;
    const double smoothing = options_.label_smoothing;
    for (int64_t r = 0; r < rows; ++r) {
      const auto label = static_cast<int64_t>((*in[1])[r]);
      if (label < 0) {
        continue;
      }
      const double* x = in[0]->values.data() + r * classes;
      const double log_sum = LogSumExp({x, static_cast<size_t>(classes)});
      double mass = 0;
      for (int64_t c = 0; c < classes; ++c) {
        const double target = (c == label ? 1 - smoothing : 0) * Weight(label) +
                              smoothing / static_cast<double>(classes) * Weight(c);
        mass += target;
        out[0][0] += target * (log_sum - x[c]);
        out[3][r * classes + c] -= target;
      }
      const double z = options_.z_loss * Weight(label);
      out[0][0] += z * log_sum * log_sum;
      mass += 2 * z * log_sum;
      for (int64_t c = 0; c < classes; ++c) {
        out[3][r * classes + c] += mass * std::exp(x[c] - log_sum);
      }
      out[1][0] += Weight(label);
      out[2][0] += std::max_element(x, x + classes) == x + label ? 1 : 0;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot logits, l.PlainInput(0));
    const Slot labels = l.Input(1);
    const onednn::MemoryDesc desc = onednn::MemoryDesc::Plain(l.output_type(3));
    const onednn::MemoryDesc scalar = onednn::MemoryDesc::Plain(l.output_type(0));
    const Slot sums[3] = {l.Output(0, scalar), l.Output(1, scalar), l.Output(2, scalar)};
    const Slot gradient = l.wanted(3) ? l.OutputInPlace(3, desc, 0) : Slot{-1};
    const Shape& shape = l.input_type(0).shape;
    const int64_t classes = shape.back(), rows = shape.elements() / classes;
    const int parts = static_cast<int>(
        std::min<int64_t>({PartsFor(shape.elements(), l.threads()), rows, kMostParts}));
    l.Emit(kind(),
           [=, options = options_, sums = std::to_array(sums)](const Memory& m, const RunScalars&) {
             auto* x = m.as<float>(logits);
             auto* y = m.as<int32_t>(labels);
             const auto loss = m.as<float>(sums[0]);
             const auto weight = m.as<float>(sums[1]);
             const auto correct = m.as<float>(sums[2]);
             float* dx = gradient < 0 ? nullptr : m.as<float>(gradient);
             std::array<std::optional<kernels::LossSums>, kMostParts> of_part;
             RunTeam(parts, [&](int k) {
               const auto [begin, end] = ShareOf(rows, k, parts);
               of_part[static_cast<size_t>(k)] = kernels::SoftmaxCrossEntropy(
                   x, y, classes, options.label_smoothing, options.class_weights, dx, begin, end,
                   options.z_loss);
             });
             kernels::LossSums total;
             for (int k = 0; k < parts; ++k) {
               const std::optional<kernels::LossSums>& part = of_part[static_cast<size_t>(k)];
               if (!part.has_value()) {
                 return false;
               }
               total.loss += part->loss;
               total.weight += part->weight;
               total.correct += part->correct;
             }
             *loss = static_cast<float>(total.loss);
             *weight = static_cast<float>(total.weight);
             *correct = static_cast<float>(total.correct);
             return true;
           });
    return absl::OkStatus();
  }

 private:
  static constexpr int kMostParts = 64;

  double Weight(int64_t c) const {
    return options_.class_weights.empty() ? 1 : options_.class_weights[static_cast<size_t>(c)];
  }

  CrossEntropyOptions options_;
};

}  // namespace

Loss CrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options) {
  const Value sum = graph.Add(std::make_shared<CrossEntropyOp>(options), {logits, labels});
  return {sum, {sum.node, 1}, {sum.node, 2}};
}

}  // namespace hone::engine
