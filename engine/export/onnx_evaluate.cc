#include "engine/export/onnx_evaluate.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/export/onnx_graph.h"

namespace hone::engine::exports {
namespace {

const onnx::Attribute* FindAttribute(const onnx::Node& node, absl::string_view name) {
  for (const onnx::Attribute& attribute : node.attribute()) {
    if (attribute.name() == name) {
      return &attribute;
    }
  }
  return nullptr;
}

absl::StatusOr<OnnxArray> Read(onnx::Tensor& tensor) {
  OnnxArray array = {.dims = {tensor.dims().begin(), tensor.dims().end()}};
  const std::string bytes = std::move(*tensor.mutable_raw_data());
  array.is_float = tensor.data_type() == onnx::Tensor::FLOAT;
  const size_t size = array.is_float ? sizeof(float) : sizeof(int64_t);
  const bool known = array.is_float || tensor.data_type() == onnx::Tensor::INT64;
  if (!known || bytes.size() != static_cast<size_t>(array.elements()) * size) {
    return absl::InvalidArgumentError(absl::StrCat(
        tensor.name(), ": must be floats or 64-bit whole numbers, as many as its extents say; has ",
        bytes.size(), " bytes of type ", tensor.data_type()));
  }
  if (array.is_float) {
    array.floats.resize(bytes.size() / size);
    std::memcpy(array.floats.data(), bytes.data(), bytes.size());
  } else {
    array.wholes.resize(bytes.size() / size);
    std::memcpy(array.wholes.data(), bytes.data(), bytes.size());
  }
  return array;
}

absl::StatusOr<OnnxArray> Compute(const OnnxCall& call) {
  for (const std::span<const OnnxOperation> known :
       {OnnxArithmetic(), OnnxMoves(), OnnxProducts()}) {
    const auto found = std::ranges::find(known, call.node.op_type(), &OnnxOperation::name);
    if (found == known.end()) {
      continue;
    }
    if (call.in.size() < found->inputs) {
      return call.Wrong(absl::StrCat("has ", call.in.size(), " inputs, needs ", found->inputs));
    }
    return found->compute(call);
  }
  return call.Wrong("is of no op that is known here");
}

}  // namespace

int64_t OnnxArray::elements() const {
  int64_t count = 1;
  for (const int64_t extent : dims) {
    count *= extent;
  }
  return count;
}

int64_t OnnxCall::Whole(absl::string_view name, int64_t otherwise) const {
  const onnx::Attribute* attribute = FindAttribute(node, name);
  return attribute == nullptr ? otherwise : attribute->i();
}

float OnnxCall::Number(absl::string_view name, float otherwise) const {
  const onnx::Attribute* attribute = FindAttribute(node, name);
  return attribute == nullptr ? otherwise : attribute->f();
}

std::vector<int64_t> OnnxCall::Wholes(absl::string_view name,
                                      std::vector<int64_t> otherwise) const {
  const onnx::Attribute* attribute = FindAttribute(node, name);
  return attribute == nullptr
             ? std::move(otherwise)
             : std::vector<int64_t>(attribute->ints().begin(), attribute->ints().end());
}

absl::Status OnnxCall::Wrong(absl::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat("the node ", node.name(), " (", node.op_type(), ") ", what));
}

absl::StatusOr<OnnxArray> EvaluateOnnx(onnx::Model model, std::map<std::string, OnnxArray> inputs,
                                       const std::string& output) {
  if (model.opset_import_size() != 1 || model.opset_import(0).version() != kOnnxOpset) {
    return absl::InvalidArgumentError(absl::StrCat("the model must be of opset ", kOnnxOpset));
  }
  onnx::Graph& graph = *model.mutable_graph();
  std::map<std::string, OnnxArray> values = std::move(inputs);
  for (onnx::Tensor& tensor : *graph.mutable_initializer()) {
    HONE_ASSIGN_OR_RETURN(OnnxArray array, Read(tensor));
    if (!values.emplace(tensor.name(), std::move(array)).second) {
      return absl::InvalidArgumentError(absl::StrCat(tensor.name(), " is there twice"));
    }
  }
  // What nobody reads any more is given up.
  std::map<std::string, int> readers = {{output, 1}};
  for (const onnx::Node& node : graph.node()) {
    for (const std::string& input : node.input()) {
      ++readers[input];
    }
  }
  for (const onnx::Node& node : graph.node()) {
    OnnxCall call{.node = node, .in = {}};
    for (const std::string& input : node.input()) {
      const auto found = values.find(input);
      if (found == values.end()) {
        return call.Wrong(absl::StrCat("reads ", input, ", which is not there"));
      }
      call.in.push_back(&found->second);
    }
    HONE_ASSIGN_OR_RETURN(OnnxArray result, Compute(call));
    if (node.output_size() != 1 || !values.emplace(node.output(0), std::move(result)).second) {
      return call.Wrong("must have one output, of a name of its own");
    }
    for (const std::string& input : node.input()) {
      if (--readers[input] == 0) {
        values.erase(input);
      }
    }
  }
  const auto found = values.find(output);
  if (found == values.end()) {
    return absl::InvalidArgumentError(absl::StrCat("the model gives no ", output));
  }
  return std::move(found->second);
}

}  // namespace hone::engine::exports
