#include "engine/ops/activation.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/flat_memory.h"
#include "engine/kernels/activation.h"

namespace hone::engine {
namespace {

// A smooth function of the input: zero stays zero for all but the sigmoid.
bool KeepsZero(ActivationKind kind) { return kind != ActivationKind::kSigmoid; }

class ActivationOp final : public Op {
 public:
  explicit ActivationOp(const ActivationInfo& what) : info(what) {}

  const ActivationInfo info;

  absl::string_view kind() const override { return NameOf(info.kind); }

  OpAttributes attributes() const override { return {{"slope", {info.slope}}}; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] {
      const Value from = GradientUsesOutput(info.kind) ? g.output(0) : g.input(0);
      return ActivationGradient(g.graph(), g.dy(), from, info.kind, info.slope);
    });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < in[0]->values.size(); ++i) {
      out[0].values[i] = ActivationValue(info.kind, info.slope, in[0]->values[i]);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    const onednn::MemoryDesc desc = FlatDesc(l.desc(0), l.output_dtype(0), KeepsZero(info.kind));
    HONE_ASSIGN_OR_RETURN(const Slot x, l.Input(0, desc));
    const Slot y = l.OutputInPlace(0, desc, 0);
    const int64_t n = FlatElements(desc);
    const DType dtype = desc.type().dtype;
    l.Emit(kind(), [=, f = info, threads = l.threads()](const Memory& m) {
      void* from = m[x];
      void* to = m[y];
      ForElements(n, threads, [&](int64_t begin, int64_t end) {
        kernels::Activate(f.kind, f.slope, dtype, from, to, begin, end);
      });
    });
    return absl::OkStatus();
  }
};

class ActivationGradientOp final : public Op {
 public:
  explicit ActivationGradientOp(const ActivationInfo& what)
      : info(what), kind_(absl::StrCat(NameOf(what.kind), "_gradient")) {}

  const ActivationInfo info;

  absl::string_view kind() const override { return kind_; }

  Precision precision(int) const override { return {Precision::Rule::kFollows, 0}; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
    return std::vector<TensorType>{{in[0].shape, DType::kF32}};
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < in[0]->values.size(); ++i) {
      out[0].values[i] = in[0]->values[i] * Derivative(in[1]->values[i]);
    }
  }

  absl::Status Lower(Lowering& l) const override {
    // dy times anything is zero where dy's padding is zero.
    const onednn::MemoryDesc desc = FlatDesc(l.desc(0), l.output_dtype(0), true);
    HONE_ASSIGN_OR_RETURN(const Slot dy, l.Input(0, desc));
    HONE_ASSIGN_OR_RETURN(const Slot from, l.Input(1, desc));
    const Slot dx = l.OutputInPlace(0, desc, 0);
    const int64_t n = FlatElements(desc);
    const DType dtype = desc.type().dtype;
    l.Emit(kind(), [=, f = info, threads = l.threads()](const Memory& m) {
      void* a = m[dy];
      void* b = m[from];
      void* to = m[dx];
      ForElements(n, threads, [&](int64_t begin, int64_t end) {
        kernels::ActivateGradient(f.kind, f.slope, dtype, a, b, to, begin, end);
      });
    });
    return absl::OkStatus();
  }

 private:
  double Derivative(double from) const {
    switch (info.kind) {
      case ActivationKind::kTanh:
        return 1 - from * from;
      case ActivationKind::kSigmoid:
        return from * (1 - from);
      default:  // for (leaky) ReLU the output has the input's sign
        return ActivationDerivative(info.kind, info.slope, from);
    }
  }

  std::string kind_;
};

}  // namespace

Value Activation(Graph& graph, Value x, ActivationKind kind, float slope) {
  if (kind == ActivationKind::kNone) {
    return x;
  }
  return graph.Add(std::make_shared<ActivationOp>(ActivationInfo{kind, slope}), {x});
}

Value ActivationGradient(Graph& graph, Value dy, Value from, ActivationKind kind, float slope) {
  return graph.Add(std::make_shared<ActivationGradientOp>(ActivationInfo{kind, slope}), {dy, from});
}

const ActivationInfo* AsActivation(const Op& op) {
  const auto* activation = dynamic_cast<const ActivationOp*>(&op);
  return activation == nullptr ? nullptr : &activation->info;
}

const ActivationInfo* AsActivationGradient(const Op& op) {
  const auto* gradient = dynamic_cast<const ActivationGradientOp*>(&op);
  return gradient == nullptr ? nullptr : &gradient->info;
}

}  // namespace hone::engine
