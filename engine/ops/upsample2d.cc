#include "engine/ops/upsample2d.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/upsample2d.h"
#include "engine/ops/channel_layout.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

kernels::Upsample2d Describe(const MemoryDesc& x, int64_t factor) {
  const Shape& shape = x.type().shape;
  const int64_t lanes = x.channel_block();
  return {.planes = shape[0] * ((shape[1] + lanes - 1) / lanes),
          .height = shape[2],
          .width = shape[3],
          .lanes = lanes,
          .factor = factor};
}

// body(begin, end) over the planes.
void ForPlanes(const kernels::Upsample2d& u, int threads,
               absl::FunctionRef<void(int64_t, int64_t)> body) {
  const int64_t elements = u.planes * u.height * u.width * u.lanes * u.factor * u.factor;
  const int used = static_cast<int>(std::min<int64_t>(PartsFor(elements, threads), u.planes));
  ForShares(u.planes, used, body);
}

// Input: dy. dx = the sum over each square of it.
class UpsampleGradientOp final : public Op {
 public:
  explicit UpsampleGradientOp(int64_t factor) : factor_(factor) {}

  absl::string_view kind() const override { return "upsample2d_gradient"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& dy = in[0].shape;
    return std::vector<TensorType>{
        {Shape{dy[0], dy[1], dy[2] / factor_, dy[3] / factor_}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t h = in[0]->shape[2], w = in[0]->shape[3];
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      const int64_t plane = i / (h * w), row = i / w % h / factor_, column = i % w / factor_;
      out[0][(plane * (h / factor_) + row) * (w / factor_) + column] += (*in[0])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    const MemoryDesc from_desc = ChannelDesc(l.desc(0), dtype);
    const MemoryDesc to = from_desc.WithType({l.output_type(0).shape, dtype});
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, from_desc));
    const Slot dx = l.Output(0, to);
    l.Emit(kind(), [=, what = Describe(to, factor_), threads = l.threads()](const Memory& m) {
      void* from = m[dy];
      void* into = m[dx];
      ForPlanes(what, threads, [&](int64_t begin, int64_t end) {
        kernels::UpsampleGradient(what, dtype, from, into, begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  int64_t factor_;
};

class UpsampleOp final : public Op {
 public:
  explicit UpsampleOp(int64_t factor) : factor_(factor) {}

  absl::string_view kind() const override { return "upsample2d"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() != 4) {
      return WrongShape("the input", "[batch, channels, height, width]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    if (factor_ < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the factor must be at least 1, got ", factor_));
    }
    return std::vector<TensorType>{
        {Shape{x[0], x[1], SaturatingProduct(x[2], factor_), SaturatingProduct(x[3], factor_)},
         DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(
        0, [&] { return g.graph().Add(std::make_shared<UpsampleGradientOp>(factor_), {g.dy()}); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const int64_t h = out[0].shape[2], w = out[0].shape[3];
    for (int64_t i = 0; i < out[0].shape.elements(); ++i) {
      const int64_t plane = i / (h * w), row = i / w % h / factor_, column = i % w / factor_;
      out[0][i] = (*in[0])[(plane * (h / factor_) + row) * (w / factor_) + column];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    const MemoryDesc from_desc = ChannelDesc(l.desc(0), dtype);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, from_desc));
    const Slot y = l.Output(0, from_desc.WithType({l.output_type(0).shape, dtype}));
    l.Emit(kind(),
           [=, what = Describe(from_desc, factor_), threads = l.threads()](const Memory& m) {
             void* from = m[x];
             void* to = m[y];
             ForPlanes(what, threads, [&](int64_t begin, int64_t end) {
               kernels::Upsample(what, dtype, from, to, begin, end);
             });
           });
    return absl::OkStatus();
  }

 private:
  int64_t factor_;
};

}  // namespace

Value Upsample2d(Graph& graph, Value x, int64_t factor) {
  return graph.Add(std::make_shared<UpsampleOp>(factor), {x});
}

}  // namespace hone::engine
