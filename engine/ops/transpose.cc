#include "engine/ops/transpose.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/graph/shape_checks.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

class TransposeOp final : public Op {
 public:
  explicit TransposeOp(std::vector<int> axes) : axes_(std::move(axes)) {}

  absl::string_view kind() const override { return "transpose"; }

  OpAttributes attributes() const override { return {{"axes", {axes_.begin(), axes_.end()}}}; }

  Precision precision(int) const override { return {Precision::Rule::kCopied}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    std::vector<int> all(static_cast<size_t>(in[0].shape.rank()));
    std::iota(all.begin(), all.end(), 0);
    if (!std::ranges::is_permutation(axes_, all)) {
      return absl::InvalidArgumentError(absl::StrCat("axes must name each dimension of ",
                                                     in[0].shape.ToString(), " once, got ",
                                                     absl::StrJoin(axes_, ", ")));
    }
    HONE_RETURN_IF_ERROR(CheckNotEmpty("the input", in[0].shape));
    return std::vector<TensorType>{
        {Permuted(in[0].shape), in[0].dtype == DType::kS32 ? DType::kS32 : DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    std::vector<int> back(axes_.size());
    for (size_t d = 0; d < axes_.size(); ++d) {
      back[static_cast<size_t>(axes_[d])] = static_cast<int>(d);
    }
    g.Accumulate(0, [&] { return Transpose(g.graph(), g.dy(), back); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    const Shape& y = out[0].shape;
    const std::vector<int64_t> strides = Strides(in[0]->shape);
    for (int64_t i = 0; i < y.elements(); ++i) {
      int64_t rest = i, at = 0;
      for (int d = y.rank() - 1; d >= 0; --d) {
        at += rest % y[d] * strides[static_cast<size_t>(d)];
        rest /= y[d];
      }
      out[0][i] = (*in[0])[at];
    }
  }

  // x where it lies, seen with its dimensions in the new order: who wants it row major copies it.
  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Lowering::Strided x, l.View(0));
    const std::vector<int64_t> of_x = x.desc.strides();
    std::vector<int64_t> strides;
    for (const int axis : axes_) {
      strides.push_back(of_x[static_cast<size_t>(axis)]);
    }
    const TensorType type{l.output_type(0).shape, x.desc.type().dtype};
    l.OutputView(0, MemoryDesc::Strided(type, strides), x.slot);
    return absl::OkStatus();
  }

  bool shares_memory() const override { return true; }

  const std::vector<int>& axes() const { return axes_; }

 private:
  Shape Permuted(const Shape& x) const {
    std::vector<int64_t> dims;
    for (const int axis : axes_) {
      dims.push_back(x[axis]);
    }
    return Shape(std::move(dims));
  }

  // Of x in memory, row major, for each dimension of the result.
  std::vector<int64_t> Strides(const Shape& x) const {
    std::vector<int64_t> of_x(axes_.size(), 1), strides;
    for (int d = x.rank() - 1; d > 0; --d) {
      of_x[static_cast<size_t>(d - 1)] = of_x[static_cast<size_t>(d)] * x[d];
    }
    for (const int axis : axes_) {
      strides.push_back(of_x[static_cast<size_t>(axis)]);
    }
    return strides;
  }

  std::vector<int> axes_;
};

}  // namespace

const std::vector<int>* TransposedAxes(const Op& op) {
  const auto* transpose = dynamic_cast<const TransposeOp*>(&op);
  return transpose == nullptr ? nullptr : &transpose->axes();
}

Value Transpose(Graph& graph, Value x, const std::vector<int>& axes) {
  return graph.Add(std::make_shared<TransposeOp>(axes), {x});
}

}  // namespace hone::engine
