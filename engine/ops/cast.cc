#include "engine/ops/cast.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/lowering.h"

namespace hone::engine {
namespace {

class CastOp final : public Op {
 public:
  explicit CastOp(DType dtype) : dtype_(dtype) {}

  absl::string_view kind() const override { return "cast"; }

  Precision precision(int) const override {
    return {dtype_ == DType::kF32 ? Precision::Rule::kF32 : Precision::Rule::kComputed};
  }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    for (const DType dtype : {in[0].dtype, dtype_}) {
      if (dtype != DType::kF32 && dtype != DType::kBf16) {
        return absl::InvalidArgumentError(absl::StrCat("only f32 and bf16 can be cast, got ",
                                                       in[0].ToString(), " to ", NameOf(dtype_)));
      }
    }
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return Cast(g.graph(), g.dy(), dtype_); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    out[0].values = in[0]->values;
  }

  absl::Status Lower(Lowering& l) const override {
    const DType dtype = l.output_dtype(0);
    const onednn::MemoryDesc desc = l.desc(0).type().dtype == dtype
                                        ? l.desc(0)
                                        : onednn::MemoryDesc::Plain({l.input_type(0).shape, dtype});
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    l.OutputAlias(0, desc, x);
    return absl::OkStatus();
  }

  bool shares_memory() const override { return true; }

 private:
  DType dtype_;
};

}  // namespace

Value Cast(Graph& graph, Value x, DType dtype) {
  return graph.Add(std::make_shared<CastOp>(dtype), {x});
}

}  // namespace hone::engine
