#include "engine/export/onnx_graph.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/export/onnx_builder.h"
#include "engine/export/onnx_ops.h"
#include "engine/ops/segment_pool.h"
#include "engine/tasks/filling.h"
#include "engine/tasks/graphs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::exports {
namespace {

// A file of protocol buffers has no more; some of it is the graph.
constexpr int64_t kMostBytes = std::numeric_limits<int32_t>::max() - (int64_t{16} << 20);
constexpr char kIds[] = "input_ids", kMask[] = "attention_mask", kTypes[] = "token_type_ids";

class Converter {
 public:
  Converter(const Graph& graph, const huggingface::ModelValues& values, onnx::Graph& out)
      : graph_(graph), values_(values), builder_(out), made_(graph.nodes().size()) {}

  absl::Status Convert(Value output) {
    if (const Graph::Node& last = graph_.node(output.node); IsLastOfEachText(last)) {
      output = last.inputs[0];
    }
    FindNeeded(output);
    for (const int32_t index : needed_) {
      const Graph::Node& node = graph_.node(index);
      builder_.set_layer(node.name);
      HONE_ASSIGN_OR_RETURN(made_[static_cast<size_t>(index)], Made(node));
    }
    const OnnxValue& last = made_[static_cast<size_t>(output.node)];
    std::vector<int64_t> dims = graph_.shape(output).dims();
    if (last.lead != Lead::kBatch && last.lead != Lead::kRows) {
      return absl::UnimplementedError("what the model gives does not depend on its examples");
    }
    dims[0] = -1;
    if (last.lead == Lead::kRows) {
      dims.insert(dims.begin(), -1);
    }
    builder_.AddNamed("Identity", {last.name}, "logits");
    builder_.Output("logits", dims);
    return absl::OkStatus();
  }

 private:
  static bool IsLastOfEachText(const Graph::Node& node) {
    if (node.kind != Graph::Node::Kind::kOp || node.op->kind() != "segment_pool") {
      return false;
    }
    const OpAttributes attributes = node.op->attributes();
    const auto kind = attributes.find("kind");
    return kind != attributes.end() &&
           kind->second == std::vector<double>{static_cast<double>(SegmentPoolKind::kLast)};
  }

  // All that the output is computed from; ascending, which is an order in which it can run.
  void FindNeeded(Value output) {
    std::vector<int32_t> open = {output.node};
    while (!open.empty()) {
      const int32_t index = open.back();
      open.pop_back();
      if (needed_.insert(index).second) {
        for (const Value input : graph_.node(index).inputs) {
          open.push_back(input.node);
        }
      }
    }
  }

  absl::StatusOr<OnnxValue> Made(const Graph::Node& node) {
    switch (node.kind) {
      case Graph::Node::Kind::kInput:
        return Input(node);
      case Graph::Node::Kind::kParameter:
        return Parameter(node.parameter);
      case Graph::Node::Kind::kConstant:
        return OnnxValue{builder_.Number(static_cast<float>(node.constant)), Lead::kNone};
      case Graph::Node::Kind::kOp:
        break;
    }
    return OfOp(node);
  }

  absl::StatusOr<OnnxValue> Input(const Graph::Node& node) {
    const TensorType& type = node.types[0];
    if (node.name == kTokensInput) {
      builder_.Input(kIds, onnx::Tensor::INT64, {-1, -1});
      return OnnxValue{kIds, Lead::kRows};
    }
    if (node.name == kSegmentsInput) {
      builder_.Input(kTypes, onnx::Tensor::INT64, {-1, -1});
      return OnnxValue{kTypes, Lead::kRows};
    }
    if (node.name == kOffsetsInput) {
      builder_.Input(kMask, onnx::Tensor::INT64, {-1, -1});
      return OnnxValue{kMask, Lead::kOffsets};
    }
    if (node.name == tasks::kMaskedInput) {
      return OnnxValue{"", Lead::kAsked};
    }
    if (node.name != tasks::kFeaturesInput) {
      return absl::UnimplementedError(
          absl::StrCat("the model reads `", node.name, "`, which has no form in ONNX here"));
    }
    std::vector<int64_t> dims = type.shape.dims();
    dims[0] = -1;
    const bool pixels = type.dtype == DType::kU8;
    const std::string name = pixels ? "pixels" : "features";
    builder_.Input(name, pixels ? onnx::Tensor::UINT8 : onnx::Tensor::FLOAT, dims);
    return OnnxValue{name, Lead::kBatch};
  }

  absl::StatusOr<OnnxValue> Parameter(const ParameterSpec& spec) {
    const std::vector<std::string>& names = values_.names();
    if (std::ranges::find(names, spec.name) == names.end() ||
        values_.shape(spec.name) != spec.shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("there are no values of ", spec.name, " ", spec.shape.ToString()));
    }
    const int64_t count = spec.shape.elements();
    bytes_ += count * static_cast<int64_t>(sizeof(float));
    if (bytes_ > kMostBytes) {
      return absl::UnimplementedError(
          "the weights have more than 2 GB, which a file of ONNX keeps beside itself: that is not "
          "written");
    }
    std::vector<float> wide(static_cast<size_t>(count));
    HONE_RETURN_IF_ERROR(values_.Read(spec.name, wide));
    const std::span<const float> all(wide);
    builder_.Initializer(spec.name, spec.shape.dims(), onnx::Tensor::FLOAT)
        .set_raw_data(reinterpret_cast<const char*>(all.data()), all.size_bytes());
    return OnnxValue{spec.name, Lead::kNone};
  }

  absl::StatusOr<OnnxValue> OfOp(const Graph::Node& node) {
    std::vector<OnnxValue> inputs;
    for (const Value input : node.inputs) {
      if (input.output != 0) {
        return absl::UnimplementedError(absl::StrCat(
            node.name, ": reads what an op gives beside its result, which has no form here"));
      }
      inputs.push_back(made_[static_cast<size_t>(input.node)]);
    }
    OnnxOp op(
        graph_, node, std::move(inputs), builder_, [this] { return Mask(); },
        [this] { return Places(); });
    for (const std::span<const OnnxForm> forms : {OnnxFormsOfTensors(), OnnxFormsOfTokens()}) {
      const auto form = std::ranges::find(forms, op.kind(), &OnnxForm::kind);
      if (form != forms.end()) {
        HONE_ASSIGN_OR_RETURN(OnnxValue value, form->make(op));
        HONE_RETURN_IF_ERROR(op.status());
        return value;
      }
    }
    return op.Unknown("");
  }

  std::string Mask() {
    if (mask_.empty()) {
      mask_ = builder_.Add("Cast", {kMask}, {{"to", int64_t{onnx::Tensor::FLOAT}}});
    }
    return mask_;
  }

  std::string Places() {
    if (places_.empty()) {
      const std::string length = builder_.Add(
          "Gather", {builder_.Add("Shape", {kIds}), builder_.Whole(1)}, {{"axis", int64_t{0}}});
      places_ = builder_.Add("Range", {builder_.Whole(0), length, builder_.Whole(1)});
    }
    return places_;
  }

  const Graph& graph_;
  const huggingface::ModelValues& values_;
  OnnxBuilder builder_;
  std::set<int32_t> needed_;
  std::vector<OnnxValue> made_;  // by node
  std::string mask_, places_;
  int64_t bytes_ = 0;
};

}  // namespace

absl::Status ToOnnx(const Graph& graph, Value output, const huggingface::ModelValues& values,
                    onnx::Model& model) {
  model.set_ir_version(kOnnxIrVersion);
  model.set_producer_name("hone");
  onnx::OperatorSet& set = *model.add_opset_import();
  set.set_version(kOnnxOpset);
  model.mutable_graph()->set_name("model");
  return Converter(graph, values, *model.mutable_graph()).Convert(output);
}

}  // namespace hone::engine::exports
