#include "engine/ops/moving_average.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"

namespace hone::engine {
namespace {

class MovingAverageOp final : public Op {
 public:
  MovingAverageOp(double keep, double take) : keep_(keep), take_(take) {}

  absl::string_view kind() const override { return "moving_average"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (in[0].shape != in[1].shape) {
      return WrongShape("the new value", in[0].shape.ToString(), in[1].shape);
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < out[0].values.size(); ++i) {
      out[0].values[i] = keep_ * in[0]->values[i] + take_ * in[1]->values[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot old, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot now, l.PlainInput(1));
    const Slot y = l.Output(0, onednn::MemoryDesc::Plain(l.output_type(0)));
    const int64_t n = l.output_type(0).shape.elements();
    const auto keep = static_cast<float>(keep_), take = static_cast<float>(take_);
    l.Emit(kind(), [=](const Memory& m) {
      auto* a = m.as<float>(old);
      auto* b = m.as<float>(now);
      auto* to = m.as<float>(y);
      for (int64_t i = 0; i < n; ++i) {
        to[i] = keep * a[i] + take * b[i];
      }
    });
    return absl::OkStatus();
  }

 private:
  double keep_, take_;
};

}  // namespace

Value MovingAverage(Graph& graph, Value old, Value now, double momentum, double factor) {
  if (!(momentum >= 0 && momentum <= 1)) {
    return graph.Fail(
        absl::InvalidArgumentError(absl::StrCat("momentum must be in [0, 1], got ", momentum)));
  }
  return graph.Add(std::make_shared<MovingAverageOp>(momentum, (1 - momentum) * factor),
                   {old, now});
}

}  // namespace hone::engine
