#include "engine/ops/pool2d.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/arrays.h"
#include "engine/kernels/pool2d.h"
#include "engine/ops/implementation.h"
#include "engine/ops/reshape.h"
#include "engine/ops/windows.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

int64_t OutputSize(const PoolGeometry& g, int dim, int64_t size) {
  return WindowsIn(size + g.padding_before[dim] + g.padding_after[dim], g.kernel[dim], g.stride);
}

absl::StatusOr<Shape> PooledShape(const PoolGeometry& g, const Shape& x) {
  if (x.rank() != 4) {
    return WrongShape("the input", "[batch, channels, height, width]", x);
  }
  HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
  const Shape y{x[0], x[1], OutputSize(g, 0, x[2]), OutputSize(g, 1, x[3])};
  if (y[2] < 1 || y[3] < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a window of ", g.kernel[0], "x", g.kernel[1],
                                                   " does not fit into a picture of ", x[2], "x",
                                                   x[3], ": use a smaller one, or padding SAME"));
  }
  return y;
}

// oneDNN wants no window without a value, and padding that is used: cut what the last window does
// not reach.
onednn::Pool Describe(const PoolGeometry& g, onednn::Pooling kind, const MemoryDesc& src,
                      const Shape& y) {
  onednn::Pool p;
  p.kind = kind;
  p.src = src;
  p.dst = MemoryDesc::Any({y, src.type().dtype});
  for (int dim = 0; dim < 2; ++dim) {
    p.kernel[dim] = g.kernel[dim];
    p.stride[dim] = g.stride;
    p.padding_before[dim] = g.padding_before[dim];
    p.padding_after[dim] = (y[dim + 2] - 1) * g.stride + g.kernel[dim] - g.padding_before[dim] -
                           src.type().shape[dim + 2];
  }
  return p;
}

// window(y index, plane's first x index, first row, end row, first column, end column) for every
// output.
template <typename Window>
void ForWindows(const PoolGeometry& g, const Shape& x, const Shape& y, Window&& window) {
  int64_t at = 0;
  for (int64_t plane = 0; plane < y[0] * y[1]; ++plane) {
    for (int64_t yh = 0; yh < y[2]; ++yh) {
      for (int64_t yw = 0; yw < y[3]; ++yw, ++at) {
        const int64_t h = yh * g.stride - g.padding_before[0];
        const int64_t w = yw * g.stride - g.padding_before[1];
        window(at, plane * x[2] * x[3], std::max<int64_t>(h, 0), std::min(h + g.kernel[0], x[2]),
               std::max<int64_t>(w, 0), std::min(w + g.kernel[1], x[3]));
      }
    }
  }
}

// Whether oneDNN has more than plain loops for both passes.
bool OneDnnHasCode(const PoolGeometry& g, onednn::Pooling kind, const MemoryDesc& x,
                   const Shape& y) {
  const auto has = [](const absl::StatusOr<onednn::Primitive>& made) {
    return made.ok() && !absl::StartsWith(made->implementation(), "ref") &&
           !absl::StartsWith(made->implementation(), "simple");
  };
  onednn::Pool pool = Describe(g, kind, x, y);
  const absl::StatusOr<onednn::Primitive> forward = onednn::MakePool(pool, true);
  if (!has(forward)) {
    return false;
  }
  pool.dst = forward->desc(Arg::kDst);
  return has(onednn::MakePoolGradient(pool));
}

// The pool as our own kernels see it; nothing where the rule leaves it to oneDNN. Forward and
// gradient ask with the same desc.
std::optional<kernels::Pool2d> InPlanes(const PoolGeometry& g, onednn::Pooling kind,
                                        const MemoryDesc& x, const Shape& y) {
  const TensorType type = x.type();
  const int64_t lanes = x.channel_block();
  const bool side_by_side =
      g.kernel[0] == g.stride && g.kernel[1] == g.stride &&
      g.padding_before[0] + g.padding_before[1] + g.padding_after[0] + g.padding_after[1] == 0;
  if (PoolBy(type.dtype, lanes, g.kernel[0] * g.kernel[1], side_by_side,
             OneDnnHasCode(g, kind, x, y)) == Implementation::kOneDnn) {
    return std::nullopt;
  }
  return kernels::Pool2d{.planes = type.shape[0] * ((type.shape[1] + lanes - 1) / lanes),
                         .height = type.shape[2],
                         .width = type.shape[3],
                         .lanes = lanes,
                         .out_height = y[2],
                         .out_width = y[3],
                         .kernel_height = g.kernel[0],
                         .kernel_width = g.kernel[1],
                         .stride = g.stride,
                         .padding_top = g.padding_before[0],
                         .padding_left = g.padding_before[1]};
}

// body(begin, end) over the planes, shared by the threads where there is work for them.
void ForPlanes(const kernels::Pool2d& pool, int threads,
               absl::FunctionRef<void(int64_t, int64_t)> body) {
  const int used = pool.planes * pool.height * pool.width * pool.lanes < 65536 ? 1 : threads;
  ForShares(pool.planes, used, body);
}

// Inputs: dy, the pool's input (for its layout and the reference), the pool's workspace.
class PoolGradientOp final : public Op {
 public:
  PoolGradientOp(const PoolGeometry& geometry, onednn::Pooling pooling)
      : geometry_(geometry), pooling_(pooling) {}

  bool is_max() const { return pooling_ == onednn::Pooling::kMax; }

  absl::string_view kind() const override {
    return is_max() ? "max_pool2d_gradient" : "average_pool2d_gradient";
  }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 1}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[1].shape, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor& dy = *in[0];
    const Shape& shape = out[0].shape;
    ForWindows(geometry_, shape, dy.shape,
               [&](int64_t y, int64_t plane, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
                 const auto count = static_cast<double>((h1 - h0) * (w1 - w0));
                 for (int64_t h = h0; h < h1 && !is_max(); ++h) {
                   for (int64_t w = w0; w < w1; ++w) {
                     out[0][plane + h * shape[3] + w] += dy[y] / count;
                   }
                 }
                 if (is_max()) {
                   out[0][static_cast<int64_t>((*in[2])[y])] += dy[y];
                 }
               });
  }

  absl::Status Lower(Lowering& l) const override {
    MemoryDesc x = l.desc(1);
    if (x.type().dtype != l.output_dtype(0)) {
      x = MemoryDesc::Plain({x.type().shape, l.output_dtype(0)});
    }
    if (const auto planes = InPlanes(geometry_, pooling_, x, l.input_type(0).shape)) {
      return LowerPlanes(l, x, *planes);
    }
    const onednn::Pool pool = Describe(geometry_, pooling_, x, l.input_type(0).shape);
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive forward, onednn::MakePool(pool, true));
    onednn::Pool backward = pool;
    backward.dst = forward.desc(Arg::kDst);
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive primitive, onednn::MakePoolGradient(backward));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, primitive.desc(Arg::kDiffDst)));
    std::vector<std::pair<Arg, Slot>> arguments = {
        {Arg::kDiffDst, dy}, {Arg::kDiffSrc, l.Output(0, primitive.desc(Arg::kDiffSrc))}};
    if (is_max()) {
      arguments.emplace_back(Arg::kWorkspace, l.Input(2));
    }
    l.EmitPrimitive(primitive, std::move(arguments));
    return absl::OkStatus();
  }

 private:
  absl::Status LowerPlanes(Lowering& l, const MemoryDesc& x, const kernels::Pool2d& pool) const {
    const DType dtype = x.type().dtype;
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, x.WithType({l.input_type(0).shape, dtype})));
    const Slot where = is_max() ? l.Input(2) : Slot{-1}, dx = l.Output(0, x);
    l.Emit("planes", [=, threads = l.threads()](const Memory& m) {
      void* from = m[dy];
      const auto at = where < 0 ? nullptr : m.as<uint8_t>(where);
      void* to = m[dx];
      ForPlanes(pool, threads, [&](int64_t begin, int64_t end) {
        if (at != nullptr) {
          kernels::MaxPoolGradient(pool, dtype, from, at, to, begin, end);
        } else {
          kernels::AveragePoolGradient(pool, dtype, from, to, begin, end);
        }
      });
    });
    return absl::OkStatus();
  }

  PoolGeometry geometry_;
  onednn::Pooling pooling_;
};

// Outputs: y and, for max pooling, the position of each window's largest value: in a program
// oneDNN's workspace, in the reference the index into x.
class PoolOp final : public Op {
 public:
  PoolOp(const PoolGeometry& geometry, onednn::Pooling pooling)
      : geometry_(geometry), pooling_(pooling) {}

  bool is_max() const { return pooling_ == onednn::Pooling::kMax; }

  absl::string_view kind() const override { return is_max() ? "max_pool2d" : "average_pool2d"; }

  OpAttributes attributes() const override {
    const auto pair = [](const int64_t(&values)[2]) {
      return std::vector<double>{static_cast<double>(values[0]), static_cast<double>(values[1])};
    };
    return {{"kernel", pair(geometry_.kernel)},
            {"stride", {static_cast<double>(geometry_.stride)}},
            {"padding_before", pair(geometry_.padding_before)},
            {"padding_after", pair(geometry_.padding_after)}};
  }

  Precision precision(int output) const override {
    return output == 0 ? Precision{Precision::Rule::kFollows, 0} : Precision{Precision::Rule::kOwn};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    HONE_ASSIGN_OR_RETURN(const Shape y, PooledShape(geometry_, in[0].shape));
    return std::vector<TensorType>{{y, DType::kF32}, {y, DType::kS32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<PoolGradientOp>(geometry_, pooling_),
                           {g.dy(), g.input(0), g.output(1)});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const DoubleTensor& x = *in[0];
    ForWindows(geometry_, x.shape, out[0].shape,
               [&](int64_t y, int64_t plane, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
                 double best = -std::numeric_limits<double>::infinity(), sum = 0;
                 int64_t where = 0;
                 for (int64_t h = h0; h < h1; ++h) {
                   for (int64_t w = w0; w < w1; ++w) {
                     const int64_t i = plane + h * x.shape[3] + w;
                     sum += x[i];
                     if (x[i] > best || std::isnan(x[i])) {
                       best = x[i];
                       where = i;
                     }
                   }
                 }
                 out[0][y] = is_max() ? best : sum / static_cast<double>((h1 - h0) * (w1 - w0));
                 out[1][y] = static_cast<double>(where);
               });
  }

  absl::Status Lower(Lowering& l) const override {
    const bool training = is_max() && l.wanted(1);
    MemoryDesc src = l.desc(0);
    if (src.type().dtype != l.output_dtype(0)) {
      src = MemoryDesc::Plain({src.type().shape, l.output_dtype(0)});
    }
    if (const auto planes = InPlanes(geometry_, pooling_, src, l.output_type(0).shape)) {
      return LowerPlanes(l, src, *planes, training);
    }
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakePool(Describe(geometry_, pooling_, src, l.output_type(0).shape), training));
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, src));
    const Slot y = l.Output(0, primitive.desc(Arg::kDst));
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, x}, {Arg::kDst, y}};
    if (training) {
      arguments.emplace_back(Arg::kWorkspace, l.Output(1, primitive.desc(Arg::kWorkspace)));
    }
    l.EmitPrimitive(primitive, std::move(arguments));
    if (is_max()) {
      EmitNanCheck(l, src, x, y);
    }
    return absl::OkStatus();
  }

 private:
  // oneDNN's largest of a NaN and a number is the number. A NaN anywhere in x is put into y, so
  // that the loss, or a gradient, tells of it.
  static void EmitNanCheck(Lowering& l, const MemoryDesc& src, Slot x, Slot y) {
    const DType dtype = src.type().dtype;
    const int64_t elements = src.bytes() / SizeOf(dtype);
    l.Emit("nan", [=, threads = l.threads()](const Memory& m) {
      void* from = m[x];
      void* to = m[y];
      std::atomic<bool> found = false;
      ForElements(elements, threads, [&](int64_t begin, int64_t end) {
        if (kernels::HasNan(dtype, from, begin, end)) {
          found = true;
        }
      });
      if (found && dtype == DType::kBf16) {
        *static_cast<uint16_t*>(to) = ToBf16(std::numeric_limits<float>::quiet_NaN());
      } else if (found) {
        *static_cast<float*>(to) = std::numeric_limits<float>::quiet_NaN();
      }
    });
  }

  absl::Status LowerPlanes(Lowering& l, const MemoryDesc& src, const kernels::Pool2d& pool,
                           bool training) const {
    const DType dtype = src.type().dtype;
    const Shape shape = l.output_type(0).shape;
    const Slot x = l.Input(0), y = l.Output(0, src.WithType({shape, dtype}));
    const Slot where = training ? l.Output(1, src.WithType({shape, DType::kU8})) : Slot{-1};
    l.Emit("planes", [=, max = is_max(), threads = l.threads()](const Memory& m) {
      void* from = m[x];
      void* to = m[y];
      const auto at = where < 0 ? nullptr : m.as<uint8_t>(where);
      ForPlanes(pool, threads, [&](int64_t begin, int64_t end) {
        if (max) {
          kernels::MaxPool(pool, dtype, from, to, at, begin, end);
        } else {
          kernels::AveragePool(pool, dtype, from, to, begin, end);
        }
      });
    });
    return absl::OkStatus();
  }

  PoolGeometry geometry_;
  onednn::Pooling pooling_;
};

// One window as large as the picture.
Value WholePicture(Graph& graph, Value x, Value (*pool)(Graph&, Value, const PoolGeometry&),
                   absl::string_view name) {
  const Shape shape = graph.shape(x);
  if (shape.rank() != 4) {
    return graph.Fail(
        WrongShape(absl::StrCat(name, ": the input"), "[batch, channels, height, width]", shape));
  }
  const Value pooled = pool(graph, x, {.kernel = {shape[2], shape[3]}, .stride = 1});
  return Reshape(graph, pooled, Shape{shape[0], shape[1]});
}

}  // namespace

Value MaxPool2d(Graph& graph, Value x, const PoolGeometry& geometry) {
  return graph.Add(std::make_shared<PoolOp>(geometry, onednn::Pooling::kMax), {x});
}

Value AveragePool2d(Graph& graph, Value x, const PoolGeometry& geometry) {
  return graph.Add(std::make_shared<PoolOp>(geometry, onednn::Pooling::kAverage), {x});
}

Value GlobalAveragePool2d(Graph& graph, Value x) {
  return WholePicture(graph, x, &AveragePool2d, "global_avg_pool2d");
}

Value GlobalMaxPool2d(Graph& graph, Value x) {
  return WholePicture(graph, x, &MaxPool2d, "global_max_pool2d");
}

bool IsMaxPoolGradient(const Op& op) {
  const auto* gradient = dynamic_cast<const PoolGradientOp*>(&op);
  return gradient != nullptr && gradient->is_max();
}

}  // namespace hone::engine
