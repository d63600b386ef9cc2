#include "engine/ops/dropout.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/graph/shape_checks.h"
#include "engine/kernels/dropout.h"
#include "engine/ops/random_key.h"

namespace hone::engine {
namespace {

// The elements in pieces of `run` that lie together in memory and in their example, `pieces` of
// them for each index of the dimensions before the examples' axis. Elements are counted example
// after example; where the axis is the first dimension that is as they lie, in one piece.
struct Pieces {
  Pieces(const Shape& x, const ExampleLayout& layout) {
    int64_t before = 1;
    for (int d = 0; d < layout.axis; ++d) {
      before *= x[d];
    }
    of_example = x.elements() / (x[layout.axis] / layout.per_example);
    run = layout.axis == 0 ? x.elements() : of_example / before;
    per_index = x.elements() / before / run;
  }
  int64_t count(const Shape& x) const { return x.elements() / run; }
  // The number of a piece's first element.
  uint64_t First(int64_t piece, int64_t first_example) const {
    return static_cast<uint64_t>((first_example + piece % per_index) * of_example +
                                 piece / per_index * run);
  }

  int64_t of_example, run, per_index;
};

// The gradient is the same op on dy: it makes the same mask again instead of keeping it.
class DropoutOp final : public Op {
 public:
  DropoutOp(float rate, uint64_t layer, const ExampleLayout& layout, bool gradient)
      : rate_(rate), layer_(layer), layout_(layout), gradient_(gradient) {}

  absl::string_view kind() const override { return gradient_ ? "dropout_gradient" : "dropout"; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    const Shape& x = in[0].shape;
    const auto [axis, per_example] = layout_;
    if (x.rank() < 1) {
      return WrongShape("the input", "[batch, ...]", x);
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", x));
    if (axis < 0 || axis >= x.rank() || per_example < 1 || x[axis] % per_example != 0) {
      return absl::InvalidArgumentError(absl::StrCat("examples cannot be ", per_example,
                                                     " indices each of dimension ", axis, " of ",
                                                     x.ToString()));
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      return g.graph().Add(std::make_shared<DropoutOp>(rate_, layer_, layout_, true), {g.dy()});
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
    const uint64_t key = RandomKey(scalars, layer_);
    const Pieces pieces(in[0]->shape, layout_);
    for (int64_t i = 0; i < in[0]->shape.elements(); ++i) {
      const uint64_t first = pieces.First(i / pieces.run, scalars.first_example);
      const bool kept =
          kernels::DropoutKeeps(rate_, key, first + static_cast<uint64_t>(i % pieces.run));
      out[0][i] = kept ? (*in[0])[i] / (1 - double{rate_}) : 0;
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const Shape shape = l.input_type(0).shape;
    // Row major: the mask counts elements as the graph does.
    const onednn::MemoryDesc desc = onednn::MemoryDesc::Plain({shape, l.output_dtype(0)});
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    const Slot y = l.OutputInPlace(0, desc, 0);
    const DType dtype = desc.type().dtype;
    const Pieces pieces(shape, layout_);
    const int64_t count = pieces.count(shape);
    l.Emit(kind(), [=, op = *this, threads = l.threads()](const Memory& m,
                                                          const RunScalars& scalars) {
      void* from = m[x];
      void* to = m[y];
      const uint64_t key = RandomKey(scalars, op.layer_);
      const auto drop = [&](int64_t piece, int64_t begin, int64_t end) {
        const int64_t at = piece * pieces.run;
        kernels::Dropout(dtype, op.rate_, key, pieces.First(piece, scalars.first_example),
                         At(from, dtype, at), At(to, dtype, at), begin, end);
      };
      if (count == 1) {
        ForElements(pieces.run, threads, [&](int64_t begin, int64_t end) { drop(0, begin, end); });
        return true;
      }
      const int parts = PartsFor(count * pieces.run, threads);
      ForShares(count, parts, [&](int64_t begin, int64_t end) {
        for (int64_t piece = begin; piece < end; ++piece) {
          drop(piece, 0, pieces.run);
        }
      });
      return true;
    });
    return absl::OkStatus();
  }

 private:
  float rate_;
  uint64_t layer_;
  ExampleLayout layout_;
  bool gradient_;
};

}  // namespace

Value Dropout(Graph& graph, Value x, float rate, const ExampleLayout& layout) {
  if (!(rate >= 0 && rate < 1)) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat("dropout ", graph.scope(), ": the rate must be in [0, 1), got ", rate)));
  }
  if (rate == 0) {
    return x;
  }
  const uint64_t layer = RandomLayer(graph, "dropout");
  return graph.Add(std::make_shared<DropoutOp>(rate, layer, layout, false), {x});
}

}  // namespace hone::engine
