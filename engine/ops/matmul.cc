#include "engine/ops/matmul.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/implementation.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

struct Sizes {
  int64_t batch, m, n, k;
};

// A matrix of each batch entry, as the product sees it: [batch, rows, columns].
MemoryDesc Matrices(int64_t batch, int64_t rows, int64_t columns, bool transposed, DType dtype) {
  const TensorType type{Shape{batch, rows, columns}, dtype};
  return transposed ? MemoryDesc::Strided(type, {rows * columns, 1, rows})
                    : MemoryDesc::Plain(type);
}

class MatMulOp final : public Op {
 public:
  explicit MatMulOp(const MatMulOptions& options) : options_(options) {}

  absl::string_view kind() const override { return "matmul"; }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape &a = in[0].shape, &b = in[1].shape;
    Shape y = a;
    bool fits = a.rank() >= 2 && a.rank() == b.rank();
    for (int d = 0; fits && d < a.rank() - 2; ++d) {
      fits = a[d] == b[d];
    }
    if (fits) {
      HONE_RETURN_IF_ERROR(CheckNotEmpty("the first matrix", a));
      HONE_RETURN_IF_ERROR(CheckNotEmpty("the second matrix", b));
      const int row = a.rank() - 2, column = a.rank() - 1;
      y[row] = options_.transpose_a ? a[column] : a[row];
      y[column] = options_.transpose_b ? b[row] : b[column];
      fits = (options_.transpose_a ? a[row] : a[column]) ==
             (options_.transpose_b ? b[column] : b[row]);
    }
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot multiply ", a.ToString(), options_.transpose_a ? "ᵀ" : "", " by ",
                       b.ToString(), options_.transpose_b ? "ᵀ" : ""));
    }
    return std::vector<TensorType>{{y, DType::kF32}};
  }

  // With A and B as the product sees them: dA = dy · Bᵀ;  dB = Aᵀ · dy; transposed for inputs that
  // are.
  void Differentiate(Gradient& g) const override {
    const bool ta = options_.transpose_a, tb = options_.transpose_b;
    g.Accumulate(0, [&] {
      return ta ? MatMul(g.graph(), g.input(1), g.dy(), {tb, true})
                : MatMul(g.graph(), g.dy(), g.input(1), {false, !tb});
    });
    g.Accumulate(1, [&] {
      return tb ? MatMul(g.graph(), g.dy(), g.input(0), {true, ta})
                : MatMul(g.graph(), g.input(0), g.dy(), {!ta, false});
    });
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    const Sizes s = SizesOf(in[0].shape, out[0].shape);
    cost.flops = 2.0 * static_cast<double>(s.batch * s.m) * static_cast<double>(s.n * s.k);
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Sizes s = SizesOf(in[0]->shape, out[0].shape);
    for (int64_t e = 0; e < s.batch; ++e) {
      const double* a = in[0]->values.data() + e * s.m * s.k;
      const double* b = in[1]->values.data() + e * s.k * s.n;
      for (int64_t i = 0; i < s.m; ++i) {
        for (int64_t j = 0; j < s.n; ++j) {
          for (int64_t k = 0; k < s.k; ++k) {
            out[0][(e * s.m + i) * s.n + j] += a[options_.transpose_a ? k * s.m + i : i * s.k + k] *
                                               b[options_.transpose_b ? j * s.k + k : k * s.n + j];
          }
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Sizes s = SizesOf(l.input_type(0).shape, l.output_type(0).shape);
    const DType dtype = l.compute_dtype();
    const bool of_weights = s.batch == 1 && options_.transpose_a && !options_.transpose_b;
    if (of_weights && !MatMulIsSound(CpuInstructionSet(), dtype, s.n)) {
      return LowerAsWeightGradient(l, s);
    }
    HONE_ASSIGN_OR_RETURN(const bool done, LowerViews(l));
    if (done) {
      return absl::OkStatus();
    }
    if (of_weights && dtype == DType::kF32) {
      return LowerAsWeightGradient(l, s);
    }
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakeMatMul(Matrices(s.batch, s.m, s.k, options_.transpose_a, dtype),
                           Matrices(s.batch, s.k, s.n, options_.transpose_b, dtype),
                           Matrices(s.batch, s.m, s.n, false, l.output_dtype(0))));
    HONE_ASSIGN_OR_RETURN(const Slot a,
                          l.Input(0, MemoryDesc::Plain({l.input_type(0).shape, dtype})));
    HONE_ASSIGN_OR_RETURN(const Slot b,
                          l.Input(1, MemoryDesc::Plain({l.input_type(1).shape, dtype})));
    const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, l.output_dtype(0)}));
    l.EmitPrimitive(primitive, {{Arg::kSrc, a}, {Arg::kWeights, b}, {Arg::kDst, y}});
    return absl::OkStatus();
  }

 private:
  // Where an input is a part of another tensor or has its dimensions in another order, the product
  // reads it there; where its result is to be such a part, it writes it there. False where there is
  // neither, or no fast product of such strides.
  absl::StatusOr<bool> LowerViews(Lowering& l) const {
    const DType dtype = l.compute_dtype();
    if (l.desc(0).type().dtype != dtype || l.desc(1).type().dtype != dtype) {
      return false;
    }
    HONE_ASSIGN_OR_RETURN(const Lowering::Strided a, l.View(0));
    HONE_ASSIGN_OR_RETURN(const Lowering::Strided b, l.View(1));
    const bool plain = a.desc.is_plain() && b.desc.is_plain() && l.destination().empty();
    if (plain || !HasRows(a.desc) || !HasRows(b.desc)) {
      return false;
    }
    const MemoryDesc y = MemoryDesc::Plain({l.output_type(0).shape, l.output_dtype(0)});
    const MemoryDesc part = l.destination();
    for (const MemoryDesc& to : {part, y}) {
      if (to.empty() || (to == part && !HasRows(part))) {
        continue;
      }
      const auto primitive = onednn::MakeMatMul(AsSeen(a.desc, options_.transpose_a),
                                                AsSeen(b.desc, options_.transpose_b), to);
      if (primitive.ok() && !absl::StartsWith(primitive->implementation(), "ref")) {
        const Slot place = to == part ? l.OutputAtDestination() : l.Output(0, y);
        l.EmitPrimitive(*primitive,
                        {{Arg::kSrc, a.slot}, {Arg::kWeights, b.slot}, {Arg::kDst, place}});
        return true;
      }
    }
    return false;
  }

  // aᵀ · b is what an inner product's weight has as its gradient, and in f32 oneDNN is a third
  // faster there than at a product with a transposed source.
  absl::Status LowerAsWeightGradient(Lowering& l, const Sizes& s) const {
    const DType dtype = l.compute_dtype(), out_dtype = l.output_dtype(0);
    const auto rows = [&](int64_t columns) {
      return MemoryDesc::Plain({Shape{s.k, columns}, dtype});
    };
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakeInnerProductGradientOfWeights(
            {.src = rows(s.m),
             .weights = MemoryDesc::Strided({Shape{s.n, s.m}, out_dtype}, {1, s.n}),
             .bias = {},
             .dst = rows(s.n)}));
    const auto plain = [](const Shape& shape, DType type) {
      return MemoryDesc::Plain({shape, type});
    };
    HONE_ASSIGN_OR_RETURN(const Slot a, l.Input(0, plain(l.input_type(0).shape, dtype)));
    HONE_ASSIGN_OR_RETURN(const Slot b, l.Input(1, plain(l.input_type(1).shape, dtype)));
    const Slot y = l.Output(0, plain(l.output_type(0).shape, out_dtype));
    l.EmitPrimitive(primitive, {{Arg::kSrc, a}, {Arg::kDiffDst, b}, {Arg::kDiffWeights, y}});
    return absl::OkStatus();
  }

  // Elements of its rows or of its columns lie side by side.
  static bool HasRows(const MemoryDesc& desc) {
    const std::vector<int64_t> strides = desc.strides();
    return strides[strides.size() - 1] == 1 || strides[strides.size() - 2] == 1;
  }

  static MemoryDesc AsSeen(const MemoryDesc& desc, bool transposed) {
    std::vector<int64_t> dims = desc.type().shape.dims(), strides = desc.strides();
    if (transposed) {
      std::swap(dims[dims.size() - 1], dims[dims.size() - 2]);
      std::swap(strides[strides.size() - 1], strides[strides.size() - 2]);
    }
    return MemoryDesc::Strided({Shape(std::move(dims)), desc.type().dtype}, strides);
  }

  Sizes SizesOf(const Shape& a, const Shape& y) const {
    const int row = a.rank() - 2, column = a.rank() - 1;
    const int64_t k = options_.transpose_a ? a[row] : a[column];
    return {y.elements() / (y[row] * y[column]), y[row], y[column], k};
  }

  MatMulOptions options_;
};

}  // namespace

Value MatMul(Graph& graph, Value a, Value b, const MatMulOptions& options) {
  return graph.Add(std::make_shared<MatMulOp>(options), {a, b});
}

}  // namespace hone::engine
