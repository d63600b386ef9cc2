#include "engine/ops/add_channels.h"

#include <algorithm>
#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/channel_layout.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Input: x [n, c, h, w]; output: its sum over all but the channels [c].
class ChannelSumsOp final : public Op {
 public:
  absl::string_view kind() const override { return "channel_sums"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{Shape{in[0].shape[1]}, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& x = in[0]->shape;
    for (int64_t i = 0; i < x.elements(); ++i) {
      out[0][i / (x[2] * x[3]) % x[1]] += (*in[0])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const ChannelLayout layout(l.desc(0), l.desc(0).type().dtype, l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, layout.desc));
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    // Of the values and of their squares, which nobody asks for.
    const Slot sums = l.Scratch(layout.sum_bytes());
    const Slot zeros = l.Scratch(layout.row_bytes(1));
    l.Emit(kind(), [=, channels = l.output_type(0).shape[0]](const Memory& m) {
      void* from = m[x];
      auto* to = m.as<float>(y);
      auto* sums_at = m.as<double>(sums);
      auto* center = m.as<float>(zeros);
      std::memset(center, 0, static_cast<size_t>(layout.row_bytes(1)));
      layout.Sum(sums_at, [&](int64_t begin, int64_t end, double* sum, double* squares) {
        kernels::ChannelMoments(layout.view, layout.dtype(), from, center, begin, end, sum,
                                squares);
      });
      std::transform(sums_at, sums_at + channels, to,
                     [](double sum) { return static_cast<float>(sum); });
    });
    return absl::OkStatus();
  }
};

class AddChannelsOp final : public Op {
 public:
  explicit AddChannelsOp(bool relu = false) : relu_(relu) {}

  absl::string_view kind() const override { return "add_channels"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    if (x.rank() != 4) {
      return WrongShape("the input", "[batch, channels, height, width]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    if (in[1].shape != Shape{x[1]}) {
      return WrongShape("the bias", absl::StrCat("[", x[1], "]"), in[1].shape);
    }
    return std::vector<TensorType>{{x, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return g.dy(); });
    g.Accumulate(1, [&] { return g.graph().Add(std::make_shared<ChannelSumsOp>(), {g.dy()}); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& x = in[0]->shape;
    for (int64_t i = 0; i < x.elements(); ++i) {
      const double sum = (*in[0])[i] + (*in[1])[i / (x[2] * x[3]) % x[1]];
      out[0][i] = relu_ && sum < 0 ? 0 : sum;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const ChannelLayout layout(l.desc(0), l.output_dtype(0), l.threads());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, layout.desc));
    HONE_ASSIGN_OR_RETURN(const Slot bias, l.PlainInput(1));
    const Slot y = l.OutputInPlace(0, layout.desc, 0);
    const int64_t padded = layout.view.padded_channels();
    // For each channel what is taken away (0), the factor (1, 0 in the padding) and the bias.
    const Slot rows = l.Scratch(layout.row_bytes(3));
    l.Emit(kind(), [=, relu = relu_, channels = l.input_type(1).shape[0]](const Memory& m) {
      void* from = m[x];
      void* to = m[y];
      auto* by = m.as<float>(bias);
      auto* const center = m.as<float>(rows);
      float *const factor = center + padded, *const offset = factor + padded;
      std::fill_n(center, 3 * padded, 0.0f);
      std::fill_n(factor, channels, 1.0f);
      std::copy_n(by, channels, offset);
      layout.ForParts([&](int, int64_t begin, int64_t end) {
        kernels::ChannelScale(layout.view, layout.dtype(), from, center, factor, offset, relu,
                              begin, end, to);
      });
    });
    return absl::OkStatus();
  }

  std::shared_ptr<const Op> WithActivation(ActivationKind kind) const override {
    return kind == ActivationKind::kRelu && !relu_ ? std::make_shared<AddChannelsOp>(true)
                                                   : nullptr;
  }

 private:
  bool relu_;
};

}  // namespace

Value AddToChannels(Graph& graph, Value x, Value b) {
  return graph.Add(std::make_shared<AddChannelsOp>(), {x, b});
}

}  // namespace hone::engine
