#include "engine/ops/full.h"

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"

namespace hone::engine {
namespace {

class FullOp final : public Op {
 public:
  FullOp(Shape shape, double value) : shape_(std::move(shape)), value_(value) {}

  absl::string_view kind() const override { return "full"; }

  OpAttributes attributes() const override { return {{"value", {value_}}}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the shape", shape_));
    return std::vector<TensorType>{{shape_, DType::kF32}};
  }

  // It has no input that a gradient could go to.
  void Differentiate(Gradient&) const override {}

  void Reference(std::span<const DoubleTensor* const>, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    std::ranges::fill(out[0].values, value_);
  }

  absl::Status Lower(Lowering& l) const override {
    const Slot y = l.Output(0, onednn::MemoryDesc::Plain({shape_, DType::kF32}));
    const int64_t n = shape_.elements();
    l.Emit(kind(), [=, value = static_cast<float>(value_)](const Memory& m) {
      auto* to = m.as<float>(y);
      std::fill(to, to + n, value);
    });
    return absl::OkStatus();
  }

 private:
  Shape shape_;
  double value_;
};

}  // namespace

Value Full(Graph& graph, const Shape& shape, double value) {
  return graph.Add(std::make_shared<FullOp>(shape, value), {});
}

}  // namespace hone::engine
