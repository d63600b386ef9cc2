#include "engine/ops/concat.h"

#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/dims.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// Elements of one index of dimension 1.
int64_t Inner(const Shape& x) { return x.elements() / (x[0] * x[1]); }

// Copies x[:, from:from + count] to y[:, to:to + count], row major.
struct Columns {
  int64_t rows, x_stride, y_stride, count;  // in elements

  template <typename T>
  void Copy(const T* x, T* y) const {
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(y + r * y_stride, x + r * x_stride, static_cast<size_t>(count) * sizeof(T));
    }
  }
  void Copy(DType dtype, const void* x, void* y) const {
    if (dtype == DType::kBf16) {
      Copy(static_cast<const uint16_t*>(x), static_cast<uint16_t*>(y));
    } else {
      Copy(static_cast<const float*>(x), static_cast<float*>(y));
    }
  }
};

// dx is dy at the columns that were taken, and 0 elsewhere.
class SliceGradientOp final : public Op {
 public:
  SliceGradientOp(Shape x, int64_t begin) : x_(std::move(x)), begin_(begin) {}

  absl::string_view kind() const override { return "slice_gradient"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{x_, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return Slice(g.graph(), g.dy(), begin_, begin_ + g.graph().shape(g.input(0))[1]);
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ColumnsOf(in[0]->shape).Copy(in[0]->values.data(), out[0].values.data() + begin_ * Inner(x_));
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = ActivationDType(l.desc(0).type());
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const MemoryDesc whole = MemoryDesc::Plain({x_, dtype});
    const Slot dx = l.Output(0, whole);
    const Columns columns = ColumnsOf(shape);
    const auto bytes = static_cast<size_t>(whole.bytes());
    const int64_t first = begin_ * Inner(x_);
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, from = m[dy], to = m[dx]](const RunScalars&) {
        std::memset(to, 0, bytes);
        columns.Copy(dtype, from, At(to, dtype, first));
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  Columns ColumnsOf(const Shape& dy) const {
    return {x_[0], dy[1] * Inner(dy), x_[1] * Inner(x_), dy[1] * Inner(dy)};
  }

  Shape x_;
  int64_t begin_;
};

class SliceOp final : public Op {
 public:
  SliceOp(int64_t begin, int64_t end) : begin_(begin), end_(end) {}

  absl::string_view kind() const override { return "slice"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    Shape y = in[0].shape;
    if (y.rank() < 2) {
      return WrongShape("the input", "[batch, channels, ...]", y);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", y));
    if (begin_ < 0 || begin_ >= end_ || end_ > y[1]) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot take [", begin_, ", ", end_, ") of ", y[1], " channels"));
    }
    y[1] = end_ - begin_;
    return std::vector<TensorType>{{y, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<SliceGradientOp>(g.graph().shape(g.input(0)), begin_),
                           {g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ColumnsOf(in[0]->shape)
        .Copy(in[0]->values.data() + begin_ * Inner(in[0]->shape), out[0].values.data());
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = ActivationDType(l.desc(0).type());
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const Columns columns = ColumnsOf(shape);
    const int64_t first = begin_ * Inner(shape);
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, from = At(m[x], dtype, first), to = m[y]](const RunScalars&) {
        columns.Copy(dtype, from, to);
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  Columns ColumnsOf(const Shape& x) const {
    const int64_t count = (end_ - begin_) * Inner(x);
    return {x[0], x[1] * Inner(x), count, count};
  }

  int64_t begin_, end_;
};

class ConcatOp final : public Op {
 public:
  absl::string_view kind() const override { return "concat"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    Shape y = in[0].shape;
    if (y.rank() < 2) {
      return WrongShape("an input", "[batch, channels, ...]", y);
    }
    y[1] = 0;
    for (const TensorType& part : in) {
      Shape expected = y;
      if (part.shape.rank() == y.rank()) {
        expected[1] = part.shape[1];
      }
      if (part.shape != expected) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot concatenate ", in[0].shape.ToString(), " and ",
                         part.shape.ToString(), ": all dimensions but the second must be equal"));
      }
      HONE_RETURN_IF_ERROR(CheckNotEmpty("an input", part.shape));
      y[1] += part.shape[1];
    }
    return std::vector<TensorType>{{y, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    int64_t begin = 0;
    for (int i = 0; i < g.input_count(); ++i) {
      const int64_t end = begin + g.graph().shape(g.input(i))[1];
      g.Accumulate(i, [&] { return Slice(g.graph(), g.dy(), begin, end); });
      begin = end;
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    double* to = out[0].values.data();
    for (const DoubleTensor* part : in) {
      const Columns columns = ColumnsOf(part->shape, out[0].shape);
      columns.Copy(part->values.data(), to);
      to += columns.count;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.output_type(0).shape;
    // The parts' number is known from how many columns they fill.
    DType dtype = DType::kBf16;
    int count = 0;
    for (int64_t filled = 0; filled < shape[1]; ++count) {
      filled += l.input_type(count).shape[1];
      dtype = l.desc(count).type().dtype == DType::kBf16 ? dtype : DType::kF32;
    }
    const Slot y = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    int64_t first = 0;
    for (int i = 0; i < count; ++i) {
      const Shape& part = l.input_type(i).shape;
      HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(i, MemoryDesc::Plain({part, dtype})));
      const Columns columns = ColumnsOf(part, shape);
      l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
        return [=, from = m[x], to = At(m[y], dtype, first)](const RunScalars&) {
          columns.Copy(dtype, from, to);
          return true;
        };
      });
      first += columns.count;
    }
    return absl::OkStatus();
  }

 private:
  static Columns ColumnsOf(const Shape& part, const Shape& y) {
    const int64_t count = part[1] * Inner(part);
    return {part[0], count, y[1] * Inner(y), count};
  }
};

}  // namespace

Value Concat(Graph& graph, const std::vector<Value>& parts) {
  if (parts.empty()) {
    return graph.Fail(absl::InvalidArgumentError("concat: there is nothing to join"));
  }
  return parts.size() == 1 ? parts[0] : graph.Add(std::make_shared<ConcatOp>(), parts);
}

Value Slice(Graph& graph, Value x, int64_t begin, int64_t end) {
  return graph.Add(std::make_shared<SliceOp>(begin, end), {x});
}

}  // namespace hone::engine
