#include "engine/ops/linear.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/column_sums.h"
#include "engine/kernels/few_rows.h"
#include "engine/kernels/small_product.h"
#include "engine/ops/implementation.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

struct Sizes {
  int64_t rows, in, out;
  double flops() const {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  }
};

Sizes SizesOf(const Shape& x, int64_t out) { return {x.elements() / x.back(), x.back(), out}; }

Shape WithLast(Shape shape, int64_t last) {
  shape[shape.rank() - 1] = last;
  return shape;
}

// The weight's shape in the graph.
Shape WeightShape(const Sizes& s, bool transposed) {
  return transposed ? Shape{s.out, s.in} : Shape{s.in, s.out};
}

// oneDNN names weights [out, in]; in memory they are [in, out] unless transposed. Its products take
// either as it is.
MemoryDesc WeightDesc(const Sizes& s, bool transposed, DType dtype = DType::kF32) {
  const TensorType type{Shape{s.out, s.in}, dtype};
  return transposed ? MemoryDesc::Plain(type) : MemoryDesc::Strided(type, {1, s.out});
}

// Where the weight from input i to output o lies.
int64_t WeightAt(const Sizes& s, bool transposed, int64_t i, int64_t o) {
  return transposed ? o * s.in + i : i * s.out + o;
}

// Rows of a matrix, row major, in the type that products are computed in.
MemoryDesc Rows(int64_t rows, int64_t columns, DType dtype) {
  return MemoryDesc::Plain({Shape{rows, columns}, dtype});
}

// Weights kept in the product's type are read where they are, unless tiles want them in blocks;
// others are converted anyway and take the layout that is fastest.
MemoryDesc ProductWeights(const Lowering& l, const Sizes& s, bool transposed, DType dtype) {
  const bool in_blocks =
      WantsBlocksOfWeights(CpuInstructionSet(), dtype, s.rows, SaturatingProduct(s.in, s.out));
  const bool as_they_lie = dtype == DType::kF32 || (dtype == l.kept_dtype(1) && !in_blocks);
  return as_they_lie ? WeightDesc(s, transposed, dtype)
                     : MemoryDesc::Any({Shape{s.out, s.in}, dtype});
}

// The matrix behind a tensor of any rank: its memory row major, seen as rows.
absl::StatusOr<Slot> RowsInput(Lowering& l, int i, DType dtype) {
  return l.Input(i, MemoryDesc::Plain({l.input_type(i).shape, dtype}));
}

bool IsOurs(const Lowering& l, const Sizes& s) {
  return LinearBy(CpuInstructionSet(), l.compute_dtype(), s.rows, s.in, s.out) ==
         Implementation::kOurs;
}

// The weight in f32 as [out, in] or as [in, out], whichever way it is kept.
absl::StatusOr<Slot> WeightAs(Lowering& l, const Sizes& s, bool transposed, bool wanted) {
  if (transposed == wanted) {
    return l.PlainInput(1);
  }
  const int64_t rows = transposed ? s.out : s.in, columns = transposed ? s.in : s.out;
  return l.PackedInput(1, absl::StrCat("transposed ", rows, " x ", columns),
                       rows * columns * SizeOf(DType::kF32), [=](const float* from, void* to) {
                         kernels::Transpose(from, rows, columns, static_cast<float*>(to));
                       });
}

// So many weights that are read once take as long as one element of a pass.
constexpr int64_t kWeightsPerElement = 4;

// Where a product is. `bias` is −1 if there is none.
struct ProductSlots {
  Slot a, b, bias, c;
};

// A step on as many threads as pay, each with some of the rows, or of the columns where rows are
// few: a token that is written is one row, and takes as long as the weights need to be read.
void EmitProduct(Lowering& l, const kernels::SmallProduct& product, const ProductSlots& at) {
  constexpr int64_t kProductsPerElement = 32;  // take as long as one element of a pass
  constexpr int64_t kRows = 8, kColumns = 64;  // of a share, or multiples of them
  const int64_t weights = SaturatingProduct(product.inner, product.columns);
  const int64_t products = SaturatingProduct(product.rows, weights);
  const int parts = std::max(PartsFor(products / kProductsPerElement, l.threads()),
                             PartsFor(weights / kWeightsPerElement, l.threads()));
  const bool by_rows = product.rows >= kRows * parts;
  l.Emit("small", [=](const Memory& m) {
    const auto* a = m.as<float>(at.a);
    const auto* b = m.as<float>(at.b);
    const auto* bias = at.bias < 0 ? nullptr : m.as<float>(at.bias);
    auto* c = m.as<float>(at.c);
    ForShares(
        by_rows ? product.rows : product.columns, parts,
        [&](int64_t begin, int64_t end) {
          (by_rows ? kernels::Multiply : kernels::MultiplyColumns)(product, a, b, bias, c, begin,
                                                                   end);
        },
        by_rows ? kRows : kColumns);
  });
}

// Output 0 = input 0 · the weight, input 1, of `s` and `transposed`, by oneDNN; with input 2 on top
// if there is a bias.
absl::Status LowerProduct(Lowering& l, const Sizes& s, bool transposed, bool has_bias,
                          ActivationKind post_op) {
  const DType dtype = l.compute_dtype(), out_dtype = l.output_dtype(0);
  const int64_t in_blocks = LinearRowsInBlocks(CpuInstructionSet(), dtype, s.rows);
  struct Part {
    int64_t begin, rows;
    onednn::Primitive primitive;
  };
  std::vector<Part> parts = {{0, in_blocks, {}}};
  if (in_blocks < s.rows) {
    parts.push_back({in_blocks, s.rows - in_blocks, {}});
  }
  MemoryDesc weights = ProductWeights(l, s, transposed, dtype);
  for (Part& part : parts) {
    HONE_ASSIGN_OR_RETURN(
        part.primitive,
        onednn::MakeInnerProduct(
            {.src = Rows(part.rows, s.in, dtype),
             .weights = weights,
             .bias = has_bias ? MemoryDesc::Plain({Shape{s.out}, DType::kF32}) : MemoryDesc(),
             .dst = Rows(part.rows, s.out, out_dtype)},
            post_op));
    weights = part.primitive.desc(Arg::kWeights);  // the same for all
  }
  HONE_ASSIGN_OR_RETURN(const Slot x, RowsInput(l, 0, dtype));
  HONE_ASSIGN_OR_RETURN(const Slot w, l.Input(1, weights, WeightDesc(s, transposed)));
  Slot bias = -1;
  if (has_bias) {
    HONE_ASSIGN_OR_RETURN(bias, l.PlainInput(2));
  }
  const Slot y = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, out_dtype}));
  const auto rows_of = [&](Slot whole, const Part& part, int64_t columns, DType type) {
    const int64_t row = columns * SizeOf(type);
    return parts.size() == 1 ? whole : l.Inside(whole, part.begin * row, part.rows * row);
  };
  for (const Part& part : parts) {
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, rows_of(x, part, s.in, dtype)},
                                                   {Arg::kWeights, w},
                                                   {Arg::kDst, rows_of(y, part, s.out, out_dtype)}};
    if (has_bias) {
      arguments.emplace_back(Arg::kBias, bias);
    }
    l.EmitPrimitive(part.primitive, std::move(arguments));
  }
  return absl::OkStatus();
}

// dx = dy · wᵀ
class LinearDataGradientOp final : public Op {
 public:
  explicit LinearDataGradientOp(bool transposed) : transposed_(transposed) {}

  absl::string_view kind() const override { return "linear_data_gradient"; }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{
        {WithLast(in[0].shape, in[1].shape[transposed_ ? 1 : 0]), DType::kF32}};
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = SizesOf(out[0].shape, in[0].shape.back()).flops();
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Sizes s = SizesOf(out[0].shape, in[0]->shape.back());
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t i = 0; i < s.in; ++i) {
        for (int64_t o = 0; o < s.out; ++o) {
          out[0][r * s.in + i] +=
              (*in[0])[r * s.out + o] * (*in[1])[WeightAt(s, transposed_, i, o)];
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Sizes s = SizesOf(l.output_type(0).shape, l.input_type(0).shape.back());
    if (IsOurs(l, s)) {
      return LowerSmall(l, s);
    }
    const DType dtype = l.compute_dtype();
    if (LinearGradientBy(CpuInstructionSet(), dtype) == LinearGradient::kProduct) {
      return LowerProduct(l, {.rows = s.rows, .in = s.out, .out = s.in}, !transposed_,
                          /*has_bias=*/false, ActivationKind::kNone);
    }
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakeInnerProductGradientOfData({.src = Rows(s.rows, s.in, l.output_dtype(0)),
                                                .weights = ProductWeights(l, s, transposed_, dtype),
                                                .bias = {},
                                                .dst = Rows(s.rows, s.out, dtype)}));
    HONE_ASSIGN_OR_RETURN(const Slot dy, RowsInput(l, 0, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot w,
                          l.Input(1, primitive.desc(Arg::kWeights), WeightDesc(s, transposed_)));
    const Slot dx = l.Output(0, MemoryDesc::Plain({l.output_type(0).shape, l.output_dtype(0)}));
    l.EmitPrimitive(primitive, {{Arg::kDiffDst, dy}, {Arg::kWeights, w}, {Arg::kDiffSrc, dx}});
    return absl::OkStatus();
  }

 private:
  absl::Status LowerSmall(Lowering& l, const Sizes& s) const {
    const bool dots = kernels::WantsDots(s.out, s.in);
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot w, WeightAs(l, s, transposed_, /*wanted=*/!dots));
    const Slot dx = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    EmitProduct(l,
                {.rows = s.rows,
                 .inner = s.out,
                 .columns = s.in,
                 .a_row = s.out,
                 .c_row = s.in,
                 .dots = dots},
                {.a = dy, .b = w, .bias = -1, .c = dx});
    return absl::OkStatus();
  }

  bool transposed_;
};

// dw = xᵀ · dy;  db = Σ over rows of dy
class LinearWeightGradientOp final : public Op {
 public:
  LinearWeightGradientOp(bool bias, bool transposed) : bias_(bias), transposed_(transposed) {}

  absl::string_view kind() const override { return "linear_weight_gradient"; }

  bool takes_bf16() const override { return true; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const int64_t out = in[1].shape.back();
    const Sizes s = SizesOf(in[0].shape, out);
    std::vector<TensorType> types = {{WeightShape(s, transposed_), DType::kF32}};
    if (bias_) {
      types.push_back({Shape{out}, DType::kF32});
    }
    return types;
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = SizesOf(in[0].shape, in[1].shape.back()).flops();
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Sizes s = SizesOf(in[0]->shape, in[1]->shape.back());
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t o = 0; o < s.out; ++o) {
        const double dy = (*in[1])[r * s.out + o];
        for (int64_t i = 0; i < s.in; ++i) {
          out[0][WeightAt(s, transposed_, i, o)] += (*in[0])[r * s.in + i] * dy;
        }
        if (bias_) {
          out[1][o] += dy;
        }
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Sizes s = SizesOf(l.input_type(0).shape, l.input_type(1).shape.back());
    if (IsOurs(l, s)) {
      return LowerSmall(l, s);
    }
    const DType dtype = l.compute_dtype();
    if (LinearGradientBy(CpuInstructionSet(), dtype) == LinearGradient::kProduct &&
        MatMulIsSound(CpuInstructionSet(), dtype, transposed_ ? s.in : s.out)) {
      return LowerAsMatMul(l, s);
    }
    HONE_ASSIGN_OR_RETURN(
        const onednn::Primitive primitive,
        onednn::MakeInnerProductGradientOfWeights(
            {.src = Rows(s.rows, s.in, dtype),
             .weights = WeightDesc(s, transposed_),
             .bias = bias_ ? MemoryDesc::Plain({Shape{s.out}, DType::kF32}) : MemoryDesc(),
             .dst = Rows(s.rows, s.out, dtype)}));
    HONE_ASSIGN_OR_RETURN(const Slot x, RowsInput(l, 0, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot dy, RowsInput(l, 1, dtype));
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, x}, {Arg::kDiffDst, dy}};
    for (int i = 0; i < (bias_ ? 2 : 1); ++i) {
      arguments.emplace_back(i == 0 ? Arg::kDiffWeights : Arg::kDiffBias,
                             l.Output(i, MemoryDesc::Plain(l.output_type(i))));
    }
    l.EmitPrimitive(primitive, std::move(arguments));
    return absl::OkStatus();
  }

 private:
  // The weight's gradient as xᵀ · dy, or of a transposed weight dyᵀ · x; the bias's is ours.
  absl::Status LowerAsMatMul(Lowering& l, const Sizes& s) const {
    const DType dtype = l.compute_dtype();
    const auto matrix = [&](int64_t rows, int64_t columns, int64_t row, int64_t column,
                            DType type) {
      return MemoryDesc::Strided({Shape{1, rows, columns}, type}, {rows * columns, row, column});
    };
    const int64_t rows = transposed_ ? s.out : s.in, columns = transposed_ ? s.in : s.out;
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive primitive,
                          onednn::MakeMatMul(matrix(rows, s.rows, 1, rows, dtype),
                                             matrix(s.rows, columns, columns, 1, dtype),
                                             matrix(rows, columns, columns, 1, DType::kF32)));
    HONE_ASSIGN_OR_RETURN(const Slot x, RowsInput(l, 0, dtype));
    HONE_ASSIGN_OR_RETURN(const Slot dy, RowsInput(l, 1, dtype));
    const Slot dw = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot db = bias_ ? l.Output(1, MemoryDesc::Plain(l.output_type(1))) : -1;
    l.EmitPrimitive(primitive, {{Arg::kSrc, transposed_ ? dy : x},
                                {Arg::kWeights, transposed_ ? x : dy},
                                {Arg::kDst, dw}});
    if (bias_) {
      const int parts = PartsFor(SaturatingProduct(s.rows, s.out), l.threads());
      l.Emit("column_sums", [=](const Memory& m) {
        ForShares(
            s.out, parts,
            [&](int64_t begin, int64_t end) {
              kernels::SumColumns(dtype, m[dy], s.rows, s.out, m.as<float>(db), begin, end);
            },
            /*grain=*/64);
      });
    }
    return absl::OkStatus();
  }

  absl::Status LowerSmall(Lowering& l, const Sizes& s) const {
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.PlainInput(1));
    const Slot dw = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const Slot db = bias_ ? l.Output(1, MemoryDesc::Plain(l.output_type(1))) : -1;
    // Vectors lie along the longer side of the weight, and what is not kept so is written apart.
    const bool by_out = s.out >= 16 || s.out >= s.in;
    const int64_t out_stride = transposed_ ? s.in : 1, in_stride = transposed_ ? 1 : s.out;
    EmitProduct(l,
                {.rows = by_out ? s.in : s.out,
                 .inner = s.rows,
                 .columns = by_out ? s.out : s.in,
                 .a_row = 1,
                 .a_inner = by_out ? s.in : s.out,
                 .c_row = by_out ? in_stride : out_stride,
                 .c_column = by_out ? out_stride : in_stride},
                {.a = by_out ? x : dy, .b = by_out ? dy : x, .bias = -1, .c = dw});
    if (bias_) {
      l.Emit("small", [=](const Memory& m) {
        kernels::SumRows(m.as<float>(dy), s.rows, s.out, m.as<float>(db));
      });
    }
    return absl::OkStatus();
  }

  bool bias_;
  bool transposed_;
};

class LinearOp final : public Op {
 public:
  LinearOp(bool bias, bool transposed, ActivationKind post_op = ActivationKind::kNone)
      : bias_(bias), transposed_(transposed), post_op_(post_op) {}

  absl::string_view kind() const override { return "linear"; }

  OpAttributes attributes() const override { return {{"transposed", {transposed_ ? 1.0 : 0.0}}}; }

  Precision precision(int) const override { return {Precision::Rule::kComputed}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    const Shape& w = in[1].shape;
    if (x.rank() < 2) {
      return WrongShape("the input", "[batch, features]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    if (w.rank() != 2 || w[transposed_ ? 1 : 0] != x.back()) {
      return WrongShape("the weight",
                        transposed_ ? absl::StrCat("[units, ", x.back(), "]")
                                    : absl::StrCat("[", x.back(), ", units]"),
                        w);
    }
    const int64_t units = w[transposed_ ? 0 : 1];
    if (bias_ && in[2].shape != Shape{units}) {
      return WrongShape("the bias", Shape{units}.ToString(), in[2].shape);
    }
    return std::vector<TensorType>{{WithLast(x, units), DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<LinearDataGradientOp>(transposed_),
                           {g.dy(), g.input(1)});
    });
    const bool bias = bias_ && g.Needs(2);
    if (g.Needs(1) || bias) {
      const Value dw = g.graph().Add(std::make_shared<LinearWeightGradientOp>(bias, transposed_),
                                     {g.input(0), g.dy()});
      g.Accumulate(1, [&] { return dw; });
      if (bias) {
        g.Accumulate(2, [&] { return Value{dw.node, 1}; });
      }
    }
  }

  Cost EstimateCost(std::span<const TensorType> in,
                    std::span<const TensorType> out) const override {
    Cost cost = Op::EstimateCost(in, out);
    cost.flops = SizesOf(in[0].shape, out[0].shape.back()).flops();
    return cost;
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Sizes s = SizesOf(in[0]->shape, out[0].shape.back());
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t o = 0; o < s.out; ++o) {
        double sum = bias_ ? (*in[2])[o] : 0;
        for (int64_t i = 0; i < s.in; ++i) {
          sum += (*in[0])[r * s.in + i] * (*in[1])[WeightAt(s, transposed_, i, o)];
        }
        out[0][r * s.out + o] = ActivationValue(post_op_, 0, sum);
      }
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Sizes s = SizesOf(l.input_type(0).shape, l.output_type(0).shape.back());
    if (ReadsWeightsOnce(CpuInstructionSet(), l.compute_dtype(), l.kept_dtype(1), s.rows, s.in,
                         s.out)) {
      return LowerFewRows(l, s);
    }
    // Of a transposed weight, which may be a table of rows, no copy is kept.
    if (IsOurs(l, s) && (!transposed_ || kernels::WantsDots(s.in, s.out))) {
      return LowerSmall(l, s);
    }
    return LowerProduct(l, s, transposed_, bias_, post_op_);
  }

  std::optional<LinearInputs> Inputs(const std::vector<Value>& inputs) const {
    if (post_op_ != ActivationKind::kNone) {
      return std::nullopt;
    }
    return LinearInputs{.x = inputs[0],
                        .weight = inputs[1],
                        .bias = bias_ ? std::optional(inputs[2]) : std::nullopt,
                        .transposed = transposed_};
  }

  std::shared_ptr<const Op> WithActivation(ActivationKind kind) const override {
    if (!onednn::IsPostOp(kind) || post_op_ != ActivationKind::kNone) {
      return nullptr;
    }
    return std::make_shared<LinearOp>(bias_, transposed_, kind);
  }

 private:
  absl::Status LowerFewRows(Lowering& l, const Sizes& s) const {
    const DType kept = l.kept_dtype(1) == DType::kBf16 ? DType::kBf16 : DType::kF32;
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot w,
                          l.Input(1, MemoryDesc::Plain({l.input_type(1).shape, kept})));
    Slot bias = -1;
    if (bias_) {
      HONE_ASSIGN_OR_RETURN(bias, l.PlainInput(2));
    }
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    const kernels::FewRows product = {.rows = s.rows,
                                      .inner = s.in,
                                      .columns = s.out,
                                      .weights = kept,
                                      .transposed = transposed_,
                                      .relu = post_op_ == ActivationKind::kRelu};
    const int parts = PartsFor(SaturatingProduct(s.in, s.out) / kWeightsPerElement, l.threads());
    l.Emit("few_rows", [=](const Memory& m) {
      ForShares(
          product.columns, parts,
          [&](int64_t begin, int64_t end) {
            kernels::MultiplyFewRows(product, m.as<float>(x), m[w],
                                     bias < 0 ? nullptr : m.as<float>(bias), m.as<float>(y), begin,
                                     end);
          },
          /*grain=*/64);
    });
    return absl::OkStatus();
  }

  absl::Status LowerSmall(Lowering& l, const Sizes& s) const {
    const bool dots = kernels::WantsDots(s.in, s.out);
    HONE_ASSIGN_OR_RETURN(const Slot x, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot w, WeightAs(l, s, transposed_, /*wanted=*/dots));
    Slot bias = -1;
    if (bias_) {
      HONE_ASSIGN_OR_RETURN(bias, l.PlainInput(2));
    }
    const Slot y = l.Output(0, MemoryDesc::Plain(l.output_type(0)));
    EmitProduct(l,
                {.rows = s.rows,
                 .inner = s.in,
                 .columns = s.out,
                 .a_row = s.in,
                 .c_row = s.out,
                 .dots = dots,
                 .relu = post_op_ == ActivationKind::kRelu},
                {.a = x, .b = w, .bias = bias, .c = y});
    return absl::OkStatus();
  }

  bool bias_;
  bool transposed_;
  ActivationKind post_op_;
};

}  // namespace

Value Linear(Graph& graph, Value x, Value weight, std::optional<Value> bias,
             const LinearOptions& options) {
  std::vector<Value> inputs = {x, weight};
  if (bias.has_value()) {
    inputs.push_back(*bias);
  }
  return graph.Add(std::make_shared<LinearOp>(bias.has_value(), options.transposed),
                   std::move(inputs));
}

std::optional<LinearInputs> LinearBehind(const Graph& graph, Value y) {
  if (!y.valid()) {
    return std::nullopt;
  }
  const Graph::Node& node = graph.node(y.node);
  const auto* linear = dynamic_cast<const LinearOp*>(node.op.get());
  return linear == nullptr ? std::nullopt : linear->Inputs(node.inputs);
}

}  // namespace hone::engine
