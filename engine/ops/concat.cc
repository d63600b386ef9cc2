#include "engine/ops/concat.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/shape_checks.h"

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

// Of the axis: [begin, end).
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
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

// Puts input `i` into y at the indices of the axis that begin there.
struct Part {
  Lowering::Strided x;
  Shape shape;
  int64_t begin;
};

absl::StatusOr<Part> PartInput(Lowering& l, int i, int64_t begin, DType dtype) {
  const Shape& shape = l.input_type(i).shape;
  if (l.desc(i).type().dtype == dtype) {
    HONE_ASSIGN_OR_RETURN(const Lowering::Strided x, l.View(i));
    return Part{x, shape, begin};
  }
  const MemoryDesc plain = MemoryDesc::Plain({shape, dtype});
  HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(i, plain));
  return Part{{plain, x}, shape, begin};
}

// From the first element to behind the last.
int64_t SpanBytes(const TensorType& type, const std::vector<int64_t>& strides) {
  int64_t last = 0;
  for (int d = 0; d < type.shape.rank(); ++d) {
    last += (type.shape[d] - 1) * strides[static_cast<size_t>(d)];
  }
  return (last + 1) * SizeOf(type.dtype);
}

// An index that is always 0 steps nowhere.
bool SameStrides(const Shape& shape, const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  for (size_t d = 0; d < a.size(); ++d) {
    if (a[d] != b[d] && shape[static_cast<int>(d)] > 1) {
      return false;
    }
  }
  return true;
}

// A row major part is copied by rows; one with strides of its own by a primitive; one that is there
// already is left.
absl::Status EmitPart(Lowering& l, absl::string_view kind, const Part& part,
                      const TensorType& whole, int axis, Slot y) {
  const Matrix taken(part.shape, axis), all(whole.shape, axis);
  const DType dtype = whole.dtype;
  const int64_t first = part.begin * all.inner;
  const std::vector<int64_t> strides = MemoryDesc::Plain(whole).strides();
  const TensorType type = {part.shape, dtype};
  if (l.Lies(part.x.slot, y, first * SizeOf(dtype)) &&
      SameStrides(part.shape, part.x.desc.strides(), strides)) {
    return absl::OkStatus();  // it was put there at once
  }
  if (part.x.desc.is_plain()) {
    const Columns columns = {all.rows, taken.columns, all.columns, taken.columns};
    l.Emit(kind, [=, x = part.x.slot](const Memory& m) {
      void* from = m[x];
      void* to = At(m[y], dtype, first);
      columns.Copy(dtype, from, to);
    });
    return absl::OkStatus();
  }
  const MemoryDesc place = MemoryDesc::Strided(type, strides);
  HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder, onednn::MakeReorder(part.x.desc, place));
  const Slot to = l.Inside(y, first * SizeOf(dtype), SpanBytes(type, strides));
  l.EmitPrimitive(reorder, {{onednn::Arg::kSrc, part.x.slot}, {onednn::Arg::kDst, to}});
  return absl::OkStatus();
}

// dx is each dy at the indices that were taken, which do not overlap, and 0 elsewhere. One part
// where a tensor was cut once; the plan joins more.
class SliceGradientOp final : public Op {
 public:
  SliceGradientOp(Shape x, std::vector<Range> parts, int axis)
      : x_(std::move(x)), parts_(std::move(parts)), axis_(axis) {}

  absl::string_view kind() const override { return "slice_gradient"; }

  int axis() const { return axis_; }
  int64_t begin(int i) const { return parts_[static_cast<size_t>(i)].begin; }

  Precision precision(int) const override { return {Precision::Rule::kWidest}; }

  // The same with the parts of another; null where they overlap or are not of one tensor.
  std::shared_ptr<const Op> With(const SliceGradientOp& other) const {
    std::vector<Range> parts = parts_;
    for (const Range& part : other.parts_) {
      const auto overlaps = [&](const Range& mine) {
        return part.begin < mine.end && mine.begin < part.end;
      };
      if (std::ranges::any_of(parts_, overlaps)) {
        return nullptr;
      }
      parts.push_back(part);
    }
    return other.x_ == x_ && other.axis_ == axis_
               ? std::make_shared<SliceGradientOp>(x_, std::move(parts), axis_)
               : nullptr;
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{x_, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    for (size_t i = 0; i < parts_.size(); ++i) {
      g.Accumulate(static_cast<int>(i),
                   [&] { return Slice(g.graph(), g.dy(), parts_[i].begin, parts_[i].end, axis_); });
    }
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Matrix all(x_, axis_);
    for (size_t i = 0; i < parts_.size(); ++i) {
      const int64_t count = parts_[i].size() * all.inner;
      const Columns columns = {all.rows, count, all.columns, count};
      columns.Copy(in[i]->values.data(), out[0].values.data() + parts_[i].begin * all.inner);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const TensorType whole = {x_, l.output_dtype(0)};
    std::vector<Part> parts;
    for (size_t i = 0; i < parts_.size(); ++i) {
      HONE_ASSIGN_OR_RETURN(parts.emplace_back(),
                            PartInput(l, static_cast<int>(i), parts_[i].begin, whole.dtype));
    }
    const Slot dx = l.Output(0, MemoryDesc::Plain(whole));
    for (const Range& gap : Gaps()) {
      EmitZeros(l, whole, gap, dx);
    }
    for (const Part& part : parts) {
      HONE_RETURN_IF_ERROR(EmitPart(l, kind(), part, whole, axis_, dx));
    }
    return absl::OkStatus();
  }

 private:
  // What no part covers.
  std::vector<Range> Gaps() const {
    std::vector<Range> parts = parts_, gaps;
    std::ranges::sort(parts, {}, &Range::begin);
    parts.push_back({x_[axis_], x_[axis_]});
    int64_t end = 0;
    for (const Range& part : parts) {
      if (part.begin > end) {
        gaps.push_back({end, part.begin});
      }
      end = part.end;
    }
    return gaps;
  }

  void EmitZeros(Lowering& l, const TensorType& whole, const Range& gap, Slot dx) const {
    const Matrix all(x_, axis_);
    const int64_t first = gap.begin * all.inner, size = SizeOf(whole.dtype);
    const auto bytes = static_cast<size_t>(gap.size() * all.inner * size);
    l.Emit("zeros", [=, dtype = whole.dtype](const Memory& m) {
      void* to = m[dx];
      for (int64_t r = 0; r < all.rows; ++r) {
        std::memset(At(to, dtype, r * all.columns + first), 0, bytes);
      }
    });
  }

  Shape x_;
  std::vector<Range> parts_;
  int axis_;
};

class SliceOp final : public Op {
 public:
  SliceOp(int64_t begin, int64_t end, int axis) : begin_(begin), end_(end), axis_(axis) {}

  absl::string_view kind() const override { return "slice"; }

  OpAttributes attributes() const override {
    return {{"begin", {static_cast<double>(begin_)}},
            {"end", {static_cast<double>(end_)}},
            {"axis", {static_cast<double>(axis_)}}};
  }

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
          std::make_shared<SliceGradientOp>(g.graph().shape(g.input(0)),
                                            std::vector<Range>{{begin_, end_}}, axis_),
          {g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    ColumnsOf(in[0]->shape).Copy(in[0]->values.data() + First(in[0]->shape), out[0].values.data());
  }

  // x where it lies, from the first element on.
  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Lowering::Strided x, l.View(0));
    const TensorType type = {l.output_type(0).shape, x.desc.type().dtype};
    std::vector<int64_t> strides = x.desc.strides();
    const int64_t first = begin_ * strides[static_cast<size_t>(axis_)];
    // What an index that is always 0 would step over does not matter: as if there were no gap.
    for (int d = type.shape.rank() - 1; d >= 0; --d) {
      const auto at = static_cast<size_t>(d);
      if (type.shape[d] == 1) {
        strides[at] = d + 1 < type.shape.rank() ? strides[at + 1] * type.shape[d + 1] : 1;
      }
    }
    const Slot part = l.Inside(x.slot, first * SizeOf(type.dtype), SpanBytes(type, strides));
    l.OutputView(0, MemoryDesc::Strided(type, strides), part);
    return absl::OkStatus();
  }

  bool shares_memory() const override { return true; }

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

  OpAttributes attributes() const override { return {{"axis", {static_cast<double>(axis_)}}}; }

  int axis() const { return axis_; }

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
    const TensorType whole = {l.output_type(0).shape, l.output_dtype(0)};
    std::vector<Part> parts;
    int64_t begin = 0;
    for (int i = 0; i < parts_; ++i) {
      HONE_ASSIGN_OR_RETURN(parts.emplace_back(), PartInput(l, i, begin, whole.dtype));
      begin += l.input_type(i).shape[axis_];
    }
    const Slot y = l.Output(0, MemoryDesc::Plain(whole));
    for (const Part& part : parts) {
      HONE_RETURN_IF_ERROR(EmitPart(l, kind(), part, whole, axis_, y));
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

std::optional<PartPlace> PartOf(const Op& op, std::span<const TensorType> inputs, int i) {
  if (const auto* gradient = dynamic_cast<const SliceGradientOp*>(&op)) {
    return PartPlace{gradient->axis(), gradient->begin(i)};
  }
  const auto* concat = dynamic_cast<const ConcatOp*>(&op);
  if (concat == nullptr) {
    return std::nullopt;
  }
  PartPlace place = {.axis = concat->axis()};
  for (int before = 0; before < i; ++before) {
    place.begin += inputs[static_cast<size_t>(before)].shape[concat->axis()];
  }
  return place;
}

std::shared_ptr<const Op> JoinedGradientsOfSlices(const Op& a, const Op& b) {
  const auto* first = dynamic_cast<const SliceGradientOp*>(&a);
  const auto* second = dynamic_cast<const SliceGradientOp*>(&b);
  return first == nullptr || second == nullptr ? nullptr : first->With(*second);
}

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
