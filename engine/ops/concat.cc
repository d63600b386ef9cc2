#include "engine/ops/concat.h"

#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/dims.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// A tensor as rows of columns: a row for each index of the dimensions before the axis, in it
// `inner` elements for each index of the axis.
struct Matrix {
  Matrix(const Shape& x, int axis) {
    for (int d = 0; d < axis; ++d) {
      rows *= x[d];
    }
    columns = x.elements() / rows;
    inner = columns / x[axis];
  }
  int64_t rows = 1, columns, inner;
};

absl::Status CheckAxis(const Shape& x, int axis) {
  return axis >= 0 && axis < x.rank()
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   absl::StrCat("axis must be a dimension of ", x.ToString(), ", got ", axis));
}

DType ResultDType(const TensorType& type) {
  return type.dtype == DType::kS32 ? DType::kS32 : DType::kF32;
}

// Copies `count` columns of each row.
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
  SliceGradientOp(Shape x, int64_t begin, int axis)
      : x_(std::move(x)), begin_(begin), axis_(axis) {}

  absl::string_view kind() const override { return "slice_gradient"; }

  Precision precision(int) const override { return {Precision::Rule::kCopied}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{x_, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      const int64_t end = begin_ + g.graph().shape(g.input(0))[axis_];
      return Slice(g.graph(), g.dy(), begin_, end, axis_);
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ColumnsOf(in[0]->shape).Copy(in[0]->values.data(), out[0].values.data() + First());
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const MemoryDesc whole = MemoryDesc::Plain({x_, dtype});
    const Slot dx = l.Output(0, whole);
    const Columns columns = ColumnsOf(shape);
    const auto bytes = static_cast<size_t>(whole.bytes());
    const int64_t first = First();
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
  int64_t First() const { return begin_ * Matrix(x_, axis_).inner; }
  Columns ColumnsOf(const Shape& dy) const {
    const Matrix taken(dy, axis_), all(x_, axis_);
    return {all.rows, taken.columns, all.columns, taken.columns};
  }

  Shape x_;
  int64_t begin_;
  int axis_;
};

class SliceOp final : public Op {
 public:
  SliceOp(int64_t begin, int64_t end, int axis) : begin_(begin), end_(end), axis_(axis) {}

  absl::string_view kind() const override { return "slice"; }

  Precision precision(int) const override { return {Precision::Rule::kCopied}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    Shape y = in[0].shape;
    HONE_RETURN_IF_ERROR(CheckAxis(y, axis_));
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", y));
    if (begin_ < 0 || begin_ >= end_ || end_ > y[axis_]) {
      return absl::InvalidArgumentError(absl::StrCat("cannot take [", begin_, ", ", end_, ") of ",
                                                     y[axis_], " in dimension ", axis_));
    }
    y[axis_] = end_ - begin_;
    return std::vector<TensorType>{{y, ResultDType(in[0])}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(
          std::make_shared<SliceGradientOp>(g.graph().shape(g.input(0)), begin_, axis_), {g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ColumnsOf(in[0]->shape).Copy(in[0]->values.data() + First(in[0]->shape), out[0].values.data());
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, MemoryDesc::Plain({shape, dtype})));
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, dtype}));
    const Columns columns = ColumnsOf(shape);
    const int64_t first = First(shape);
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [=, from = At(m[x], dtype, first), to = m[y]](const RunScalars&) {
        columns.Copy(dtype, from, to);
        return true;
      };
    });
    return absl::OkStatus();
  }

 private:
  int64_t First(const Shape& x) const { return begin_ * Matrix(x, axis_).inner; }
  Columns ColumnsOf(const Shape& x) const {
    const Matrix all(x, axis_);
    const int64_t count = (end_ - begin_) * all.inner;
    return {all.rows, all.columns, count, count};
  }

  int64_t begin_, end_;
  int axis_;
};

class ConcatOp final : public Op {
 public:
  ConcatOp(int parts, int axis) : parts_(parts), axis_(axis) {}

  absl::string_view kind() const override { return "concat"; }

  Precision precision(int) const override { return {Precision::Rule::kWidest}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    Shape y = in[0].shape;
    HONE_RETURN_IF_ERROR(CheckAxis(y, axis_));
    y[axis_] = 0;
    for (const TensorType& part : in) {
      Shape expected = y;
      if (part.shape.rank() == y.rank()) {
        expected[axis_] = part.shape[axis_];
      }
      if (part.shape != expected || ResultDType(part) != ResultDType(in[0])) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot concatenate ", in[0].ToString(), " and ", part.ToString(),
                         ": all dimensions but number ", axis_, " must be equal"));
      }
      HONE_RETURN_IF_ERROR(CheckNotEmpty("an input", part.shape));
      y[axis_] += part.shape[axis_];
    }
    return std::vector<TensorType>{{y, ResultDType(in[0])}};
  }

  void Differentiate(Gradient& g) const override {
    int64_t begin = 0;
    for (int i = 0; i < g.input_count(); ++i) {
      const int64_t end = begin + g.graph().shape(g.input(i))[axis_];
      g.Accumulate(i, [&] { return Slice(g.graph(), g.dy(), begin, end, axis_); });
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
    const DType dtype = l.output_dtype(0);
    std::vector<Slot> from(static_cast<size_t>(parts_));
    for (int i = 0; i < parts_; ++i) {
      HONE_ASSIGN_OR_RETURN(from[static_cast<size_t>(i)],
                            l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype})));
    }
    const Slot y = l.Output(0, MemoryDesc::Plain({shape, dtype}));
    int64_t first = 0;
    for (int i = 0; i < parts_; ++i) {
      const Slot x = from[static_cast<size_t>(i)];
      const Columns columns = ColumnsOf(l.input_type(i).shape, shape);
      l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
        return [=, part = m[x], to = At(m[y], dtype, first)](const RunScalars&) {
          columns.Copy(dtype, part, to);
          return true;
        };
      });
      first += columns.count;
    }
    return absl::OkStatus();
  }

 private:
  Columns ColumnsOf(const Shape& part, const Shape& y) const {
    const Matrix taken(part, axis_), all(y, axis_);
    return {all.rows, taken.columns, all.columns, taken.columns};
  }

  int parts_, axis_;
};

}  // namespace

Value Concat(Graph& graph, const std::vector<Value>& parts, int axis) {
  if (parts.empty()) {
    return graph.Fail(absl::InvalidArgumentError("concat: there is nothing to join"));
  }
  if (parts.size() == 1) {
    return parts[0];
  }
  return graph.Add(std::make_shared<ConcatOp>(static_cast<int>(parts.size()), axis), parts);
}

Value Slice(Graph& graph, Value x, int64_t begin, int64_t end, int axis) {
  return graph.Add(std::make_shared<SliceOp>(begin, end, axis), {x});
}

}  // namespace hone::engine
