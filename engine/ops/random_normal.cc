#include "engine/ops/random_normal.h"

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/random_normal.h"
#include "engine/ops/random_key.h"

namespace hone::engine {
namespace {

class RandomNormalOp final : public Op {
 public:
  RandomNormalOp(Shape shape, float stddev, uint64_t layer)
      : shape_(std::move(shape)), stddev_(stddev), layer_(layer) {}

  absl::string_view kind() const override { return "random_normal"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    if (shape_.rank() < 1) {
      return WrongShape("random numbers", "[batch, ...]", shape_);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("random numbers", shape_));
    return std::vector<TensorType>{{shape_, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const>, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const uint64_t key = RandomKey(scalars, layer_), first = First(scalars);
    for (int64_t i = 0; i < shape_.elements(); ++i) {
      out[0][i] = double{stddev_} * kernels::NormalAt(key, first + static_cast<uint64_t>(i));
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Slot y = l.Output(0, onednn::MemoryDesc::Plain(l.output_type(0)));
    l.Emit(kind(),
           [=, op = *this, threads = l.threads()](const Memory& m, const RunScalars& scalars) {
             auto* to = m.as<float>(y);
             const uint64_t key = RandomKey(scalars, op.layer_), first = op.First(scalars);
             ForElements(op.shape_.elements(), threads, [&](int64_t begin, int64_t end) {
               kernels::RandomNormal(key, op.stddev_, first + static_cast<uint64_t>(begin),
                                     end - begin, to + begin);
             });
             return true;
           });
    return absl::OkStatus();
  }

 private:
  uint64_t First(const RunScalars& scalars) const {
    return static_cast<uint64_t>(scalars.first_example * (shape_.elements() / shape_[0]));
  }

  Shape shape_;
  float stddev_;
  uint64_t layer_;
};

}  // namespace

Value RandomNormal(Graph& graph, const Shape& shape, float stddev) {
  const uint64_t layer = RandomLayer(graph, "random_normal");
  return graph.Add(std::make_shared<RandomNormalOp>(shape, stddev, layer), {});
}

}  // namespace hone::engine
