#include "engine/ops/broadcast.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/sum.h"
#include "engine/kernels/arrays.h"
#include "engine/ops/mul.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// How the small shape lies in the large one: the large one as rows of `run` elements, row major;
// row r meets the small tensor at offset(r), and goes along it or stays on one element.
class Broadcast {
 public:
  Broadcast(const Shape& large, const Shape& small) : small_(small.elements()) {
    std::vector<int64_t> extents(static_cast<size_t>(large.rank() - small.rank()), 1);
    extents.insert(extents.end(), small.dims().begin(), small.dims().end());
    int first = large.rank();  // of the dimensions that make up a run
    along_ = large.rank() == 0 || extents.back() == large.back();
    while (first > 0 && (along_ ? extents[static_cast<size_t>(first - 1)] == large[first - 1]
                                : extents[static_cast<size_t>(first - 1)] == 1)) {
      run_ *= large[--first];
    }
    int64_t rows = 1, stride = along_ ? run_ : 1;
    for (int d = first - 1; d >= 0; --d) {
      const int64_t extent = extents[static_cast<size_t>(d)];
      outer_.push_back({rows, large[d], extent == 1 ? 0 : stride});
      rows *= large[d];
      stride *= extent;
    }
    rows_ = rows;
  }

  static bool Fits(const Shape& large, const Shape& small) {
    for (int d = 0; d < small.rank() && small.rank() <= large.rank(); ++d) {
      const int64_t extent = small[d];
      if (extent != 1 && extent != large[large.rank() - small.rank() + d]) {
        return false;
      }
    }
    return small.rank() <= large.rank();
  }

  int64_t rows() const { return rows_; }
  int64_t run() const { return run_; }
  bool along() const { return along_; }
  int64_t offset(int64_t row) const {
    int64_t at = 0;
    for (const Dimension& d : outer_) {
      at += row / d.rows % d.extent * d.stride;
    }
    return at;
  }
  // Where element i of the large tensor meets the small one.
  int64_t Of(int64_t i) const { return offset(i / run_) + (along_ ? i % run_ : 0); }

  // Elements [begin, end) of the small tensor `sums` = what meets them in the large one, row after
  // row: the same sums however the small tensor is shared out.
  void SumIntoSmall(const float* large, int64_t begin, int64_t end, float* sums) const {
    std::fill(sums + begin, sums + end, 0.0f);
    for (int64_t row = 0; row < rows_; ++row) {
      const int64_t at = offset(row);
      const int64_t first = std::max(begin, at), last = std::min(end, at + (along_ ? run_ : 1));
      if (first < last) {
        AddPiece(large + row * run_, along_ ? first - at : 0, along_ ? last - at : run_, sums + at);
      }
    }
  }
  // All of the small tensor `sums` = what meets it of elements [begin, end) of the large one.
  void SumOfLarge(const float* large, int64_t begin, int64_t end, float* sums) const {
    std::fill(sums, sums + small_, 0.0f);
    for (int64_t i = begin; i < end;) {
      const int64_t row = i / run_, stop = std::min(end, (row + 1) * run_);
      AddPiece(large + row * run_, i - row * run_, stop - row * run_, sums + offset(row));
      i = stop;
    }
  }

 private:
  // Elements [begin, end) of a row of the large tensor.
  void AddPiece(const float* row, int64_t begin, int64_t end, float* sum) const {
    if (along_) {
      kernels::AddArrays(DType::kF32, sum, row, sum, begin, end);
    } else {
      *sum += static_cast<float>(kernels::SumArray(row, begin, end));
    }
  }

  struct Dimension {
    int64_t rows, extent, stride;
  };
  std::vector<Dimension> outer_;
  int64_t small_;
  int64_t rows_ = 1;
  int64_t run_ = 1;
  bool along_ = true;
};

class SumToOp final : public Op {
 public:
  explicit SumToOp(Shape shape) : shape_(std::move(shape)) {}

  absl::string_view kind() const override { return "sum_to"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (!Broadcast::Fits(in[0].shape, shape_)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot sum ", in[0].shape.ToString(), " to ", shape_.ToString()));
    }
    return std::vector<TensorType>{{shape_, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Broadcast broadcast(in[0]->shape, shape_);
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      out[0][broadcast.Of(i)] += (*in[0])[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Broadcast broadcast(l.input_type(0).shape, shape_);
    const int64_t elements = l.input_type(0).shape.elements(), count = shape_.elements();
    const int parts = PartsFor(elements, l.threads());
    // Where the small tensor is too small to be shared out, each thread sums its part of the large
    // one into a tensor of its own; these are added in their order.
    const bool own_sums = count < 64 * parts;
    const Slot scratch =
        l.Scratch(own_sums ? (parts - 1) * count * static_cast<int64_t>(sizeof(float)) : 0);
    l.Emit(kind(), [=](const Memory& m) {
      auto* from = m.as<float>(x);
      auto* to = m.as<float>(y);
      auto* sums = m.as<float>(scratch);
      RunTeam(parts, [&](int k) {
        if (own_sums) {
          float* const mine = k == 0 ? to : sums + (k - 1) * count;
          const auto [begin, end] = ShareOf(elements, k, parts, 16);
          broadcast.SumOfLarge(from, begin, end, mine);
        } else {
          const auto [begin, end] = ShareOf(count, k, parts, 16);
          broadcast.SumIntoSmall(from, begin, end, to);
        }
      });
      for (int k = 1; k < parts && own_sums; ++k) {
        kernels::AddArrays(DType::kF32, to, sums + (k - 1) * count, to, 0, count);
      }
    });
    return absl::OkStatus();
  }

 private:
  Shape shape_;
};

// a + b or a · b, b repeated to a's shape.
class BroadcastOp final : public Op {
 public:
  explicit BroadcastOp(bool multiplies) : multiplies_(multiplies) {}

  absl::string_view kind() const override {
    return multiplies_ ? "mul_broadcast" : "add_broadcast";
  }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    if (!Broadcast::Fits(in[0].shape, in[1].shape)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot repeat ", in[1].shape.ToString(), " to ", in[0].shape.ToString(),
                       ": its extents, aligned at the last, must be equal or 1"));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  // Of the product: da = dy · b, db = Σ dy · a.
  void Differentiate(Gradient& g) const override {
    Graph& graph = g.graph();
    g.Accumulate(0, [&] { return multiplies_ ? MulBroadcast(graph, g.dy(), g.input(1)) : g.dy(); });
    g.Accumulate(1, [&] {
      const Value dy = multiplies_ ? Mul(graph, g.dy(), g.input(0)) : g.dy();
      return SumTo(graph, dy, graph.shape(g.input(1)));
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Broadcast broadcast(in[0]->shape, in[1]->shape);
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      const double a = (*in[0])[i], b = (*in[1])[broadcast.Of(i)];
      out[0][i] = multiplies_ ? a * b : a + b;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    const DType dtype = l.output_dtype(0);
    const MemoryDesc desc = MemoryDesc::Plain({shape, dtype});
    HONE_ASSIGN_OR_RETURN(const Slot a, l.Input(0, desc));
    HONE_ASSIGN_OR_RETURN(const Slot b, l.PlainInput(1));
    // Rows go along b in a's element type.
    HONE_ASSIGN_OR_RETURN(const Slot same,
                          l.Input(1, MemoryDesc::Plain({l.input_type(1).shape, dtype})));
    const Slot y = l.OutputInPlace(0, desc, 0);
    const Broadcast broadcast(shape, l.input_type(1).shape);
    const int parts = PartsFor(shape.elements(), l.threads());
    const auto of_arrays = multiplies_ ? &kernels::MultiplyArrays : &kernels::AddArrays;
    const auto of_number = multiplies_ ? &kernels::ScaleArray : &kernels::ShiftArray;
    l.Emit(kind(), [=](const Memory& m) {
      void* from = m[a];
      void* to = m[y];
      auto* by = m.as<float>(b);
      void* row_of = m[same];
      ForShares(broadcast.rows(), parts, [&](int64_t begin, int64_t end) {
        const int64_t n = broadcast.run();
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = broadcast.offset(row);
          if (broadcast.along()) {
            of_arrays(dtype, At(from, dtype, row * n), At(row_of, dtype, at),
                      At(to, dtype, row * n), 0, n);
          } else {
            of_number(dtype, by[at], At(from, dtype, row * n), At(to, dtype, row * n), 0, n);
          }
        }
      });
    });
    return absl::OkStatus();
  }

 private:
  bool multiplies_;
};

}  // namespace

Value AddBroadcast(Graph& graph, Value a, Value b) {
  if (graph.shape(a) == graph.shape(b)) {
    return Sum(graph, a, b);
  }
  return graph.Add(std::make_shared<BroadcastOp>(false), {a, b});
}

Value MulBroadcast(Graph& graph, Value a, Value b) {
  if (graph.shape(a) == graph.shape(b)) {
    return Mul(graph, a, b);
  }
  return graph.Add(std::make_shared<BroadcastOp>(true), {a, b});
}

Value SumTo(Graph& graph, Value x, const Shape& shape) {
  if (graph.shape(x) == shape) {
    return x;
  }
  return graph.Add(std::make_shared<SumToOp>(shape), {x});
}

}  // namespace hone::engine
