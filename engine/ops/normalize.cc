#include "engine/ops/normalize.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/normalize.h"

namespace hone::engine {
namespace {

class NormalizePixelsOp final : public Op {
 public:
  explicit NormalizePixelsOp(PixelScaling scaling) : scaling_(std::move(scaling)) {}

  absl::string_view kind() const override { return "normalize_pixels"; }

  OpAttributes attributes() const override {
    return {{"scale", {scaling_.scale}},
            {"mean", {scaling_.mean.begin(), scaling_.mean.end()}},
            {"std", {scaling_.std.begin(), scaling_.std.end()}}};
  }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& shape = in[0].shape;
    if (shape.rank() != 4 || in[0].dtype != DType::kU8) {
      return WrongShape("the pictures", "u8[batch, channels, height, width]", shape);
    }
    for (const std::vector<float>* values : {&scaling_.mean, &scaling_.std}) {
      if (!values->empty() && static_cast<int64_t>(values->size()) != shape[1]) {
        return absl::InvalidArgumentError(
            absl::StrCat("mean and std must have one value for each of ", shape[1],
                         " channels, got ", values->size()));
      }
    }
    return std::vector<TensorType>{{shape, DType::kF32}};
  }

  void Differentiate(Gradient&) const override {}  // bytes have no gradient

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& shape = in[0]->shape;
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const int64_t c = i / (shape[2] * shape[3]) % shape[1];
      out[0][i] = ((*in[0])[i] * scaling_.scale - Mean(c)) / Std(c);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const Slot x = l.Input(0);
    const Slot y = l.Output(0, onednn::MemoryDesc::Plain({shape, dtype}));
    // (x · scale − mean) / std = (x − mean / scale) · (scale / std)
    std::vector<float> shift, factor;
    for (int64_t c = 0; c < shape[1]; ++c) {
      shift.push_back(Mean(c) / scaling_.scale);
      factor.push_back(scaling_.scale / Std(c));
    }
    // The op may be gone when the program is bound.
    l.Emit(kind(), [=, threads = l.threads()](const Memory& m) {
      auto* from = m.as<uint8_t>(x);
      void* to = m[y];
      const int64_t channels = shape[1], plane = shape[2] * shape[3];
      const auto convert = [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const auto c = static_cast<size_t>(p % channels);
          kernels::NormalizeBytes(from + p * plane, shift[c], factor[c], dtype,
                                  At(to, dtype, p * plane), 0, plane);
        }
      };
      const int64_t planes = shape[0] * channels;
      ForShares(planes, planes * plane < 65536 ? 1 : threads, convert);
    });
    return absl::OkStatus();
  }

 private:
  float Mean(int64_t c) const {
    return scaling_.mean.empty() ? 0 : scaling_.mean[static_cast<size_t>(c)];
  }
  float Std(int64_t c) const {
    return scaling_.std.empty() ? 1 : scaling_.std[static_cast<size_t>(c)];
  }

  PixelScaling scaling_;
};

}  // namespace

Value NormalizePixels(Graph& graph, Value bytes, const PixelScaling& scaling) {
  return graph.Add(std::make_shared<NormalizePixelsOp>(scaling), {bytes});
}

}  // namespace hone::engine
