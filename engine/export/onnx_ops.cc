#include "engine/export/onnx_ops.h"

#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::exports {
namespace {

absl::StatusOr<OnnxValue> Same(OnnxOp& op, absl::string_view name,
                               const OnnxAttributes& attributes = {}) {
  return op.Give(name, {op.in(0).name}, op.in(0).lead, attributes);
}

absl::StatusOr<OnnxValue> Relu(OnnxOp& op) { return Same(op, "Relu"); }
absl::StatusOr<OnnxValue> Tanh(OnnxOp& op) { return Same(op, "Tanh"); }
absl::StatusOr<OnnxValue> Sigmoid(OnnxOp& op) { return Same(op, "Sigmoid"); }
absl::StatusOr<OnnxValue> LeakyRelu(OnnxOp& op) {
  return Same(op, "LeakyRelu", {{"alpha", static_cast<float>(op.Number("slope"))}});
}
absl::StatusOr<OnnxValue> Softmax(OnnxOp& op) {
  return Same(op, "Softmax", {{"axis", int64_t{-1}}});
}

absl::StatusOr<OnnxValue> Silu(OnnxOp& op) {
  const std::string gate = op.builder.Add("Sigmoid", {op.in(0).name});
  return op.Give("Mul", {op.in(0).name, gate}, op.in(0).lead);
}

// x · (1 + `inner`) / 2
OnnxValue Gated(OnnxOp& op, const std::string& inner) {
  OnnxBuilder& b = op.builder;
  const std::string sum = b.Add("Add", {inner, b.Number(1)});
  const std::string product = b.Add("Mul", {op.in(0).name, sum});
  return op.Give("Mul", {product, b.Number(0.5f)}, op.in(0).lead);
}

absl::StatusOr<OnnxValue> Gelu(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const std::string scaled = b.Add("Div", {op.in(0).name, b.Number(std::numbers::sqrt2_v<float>)});
  return Gated(op, b.Add("Erf", {scaled}));
}

// tanh(√(2/π) · (x + 0.044715 x³)) in the place of the error function.
absl::StatusOr<OnnxValue> GeluTanh(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const std::string& x = op.in(0).name;
  const std::string cube = b.Add("Mul", {b.Add("Mul", {x, x}), x});
  const std::string sum = b.Add("Add", {x, b.Add("Mul", {cube, b.Number(0.044715f)})});
  const auto factor = static_cast<float>(std::sqrt(2 / std::numbers::pi));
  return Gated(op, b.Add("Tanh", {b.Add("Mul", {sum, b.Number(factor)})}));
}

absl::StatusOr<OnnxValue> Elementwise(OnnxOp& op, absl::string_view name) {
  HONE_ASSIGN_OR_RETURN(const Lead lead, op.JointLead());
  OnnxValue value = op.in(0);
  for (size_t i = 1; i < op.inputs(); ++i) {
    value = op.Give(name, {value.name, op.in(i).name}, lead);
  }
  return value;
}
absl::StatusOr<OnnxValue> Add(OnnxOp& op) { return Elementwise(op, "Add"); }
absl::StatusOr<OnnxValue> Mul(OnnxOp& op) { return Elementwise(op, "Mul"); }

absl::StatusOr<OnnxValue> Linear(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  if (op.in(1).lead != Lead::kNone) {
    return op.Unknown("whose weight is computed");
  }
  std::string weight = op.in(1).name;
  if (op.Whole("transposed") != 0) {
    weight = b.Add("Transpose", {weight}, {{"perm", std::vector<int64_t>{1, 0}}});
  }
  OnnxValue product = op.Give("MatMul", {op.in(0).name, weight}, op.in(0).lead);
  return op.inputs() < 3 ? product : op.Give("Add", {product.name, op.in(2).name}, product.lead);
}

absl::StatusOr<OnnxValue> LayerNorm(OnnxOp& op) {
  return op.Give("LayerNormalization", {op.in(0).name, op.in(1).name, op.in(2).name}, op.in(0).lead,
                 {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(op.Number("epsilon"))}});
}

absl::StatusOr<OnnxValue> RmsNorm(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  const std::string& x = op.in(0).name;
  const std::string mean = b.Add("ReduceMean", {b.Add("Mul", {x, x})},
                                 {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}});
  const std::string root =
      b.Add("Sqrt", {b.Add("Add", {mean, b.Number(static_cast<float>(op.Number("epsilon")))})});
  return op.Give("Mul", {b.Add("Div", {x, root}), op.in(1).name}, op.in(0).lead);
}

absl::StatusOr<OnnxValue> BatchNorm(OnnxOp& op) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < op.inputs(); ++i) {
    inputs.push_back(op.in(i).name);
  }
  return op.Give("BatchNormalization", inputs, op.in(0).lead,
                 {{"epsilon", static_cast<float>(op.Number("epsilon"))}});
}

// Rows and columns before, then those behind.
std::vector<int64_t> Padding(OnnxOp& op) {
  std::vector<int64_t> padding = op.Wholes("padding_before");
  const std::vector<int64_t> after = op.Wholes("padding_after");
  padding.insert(padding.end(), after.begin(), after.end());
  return padding;
}

absl::StatusOr<OnnxValue> Conv2d(OnnxOp& op) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < op.inputs(); ++i) {
    inputs.push_back(op.in(i).name);
  }
  const int64_t stride = op.Whole("stride"), dilation = op.Whole("dilation");
  return op.Give("Conv", inputs, op.in(0).lead,
                 {{"kernel_shape", std::vector<int64_t>{op.shape(1)[2], op.shape(1)[3]}},
                  {"strides", std::vector<int64_t>{stride, stride}},
                  {"dilations", std::vector<int64_t>{dilation, dilation}},
                  {"group", op.Whole("groups")},
                  {"pads", Padding(op)}});
}

OnnxAttributes PoolAttributes(OnnxOp& op) {
  const int64_t stride = op.Whole("stride");
  return {{"kernel_shape", op.Wholes("kernel")},
          {"strides", std::vector<int64_t>{stride, stride}},
          {"pads", Padding(op)}};
}
absl::StatusOr<OnnxValue> MaxPool(OnnxOp& op) { return Same(op, "MaxPool", PoolAttributes(op)); }
absl::StatusOr<OnnxValue> AveragePool(OnnxOp& op) {
  OnnxAttributes attributes = PoolAttributes(op);
  attributes.emplace_back("count_include_pad", int64_t{0});
  return Same(op, "AveragePool", attributes);
}

// One number for each channel, as [channels, 1, 1].
std::string OfChannels(OnnxOp& op, std::vector<double> numbers) {
  const std::vector<float> values(numbers.begin(), numbers.end());
  return op.builder.Floats({static_cast<int64_t>(values.size()), 1, 1}, values);
}

absl::StatusOr<OnnxValue> NormalizePixels(OnnxOp& op) {
  OnnxBuilder& b = op.builder;
  std::string x = b.Add("Cast", {op.in(0).name}, {{"to", int64_t{onnx::Tensor::FLOAT}}});
  x = b.Add("Mul", {x, b.Number(static_cast<float>(op.Number("scale")))});
  if (const std::vector<double> mean = op.Numbers("mean"); !mean.empty()) {
    x = b.Add("Sub", {x, OfChannels(op, mean)});
  }
  if (const std::vector<double> std = op.Numbers("std"); !std.empty()) {
    x = b.Add("Div", {x, OfChannels(op, std)});
  }
  return OnnxValue{x, op.in(0).lead};
}

absl::StatusOr<OnnxValue> AddChannels(OnnxOp& op) {
  const std::string bias =
      op.builder.Add("Reshape", {op.in(1).name, op.builder.Wholes({op.shape(1)[0], 1, 1})});
  return op.Give("Add", {op.in(0).name, bias}, op.in(0).lead);
}

absl::StatusOr<OnnxValue> Reshape(OnnxOp& op) {
  const Lead lead = op.in(0).lead;
  std::vector<int64_t> dims = op.out_shape().dims();
  if (lead != Lead::kNone) {
    if (op.out_shape().rank() < 1 || op.shape(0)[0] != dims[0]) {
      return op.Unknown("of all examples together");
    }
    dims[0] = 0;  // as it is
  }
  if (lead == Lead::kRows) {
    dims.insert(dims.begin(), 0);
  }
  return op.Give("Reshape", {op.in(0).name, op.builder.Wholes(dims)}, lead);
}

absl::StatusOr<OnnxValue> Transpose(OnnxOp& op) {
  const std::vector<int64_t> axes = op.Wholes("axes");
  const Lead lead = op.in(0).lead;
  if (lead == Lead::kRows || (lead != Lead::kNone && (axes.empty() || axes[0] != 0))) {
    return op.Unknown("of all examples together");
  }
  return Same(op, "Transpose", {{"perm", axes}});
}

absl::StatusOr<OnnxValue> Slice(OnnxOp& op) {
  HONE_ASSIGN_OR_RETURN(const int64_t axis, op.Axis(op.Whole("axis"), op.in(0).lead));
  OnnxBuilder& b = op.builder;
  return op.Give(
      "Slice",
      {op.in(0).name, b.Wholes({op.Whole("begin")}), b.Wholes({op.Whole("end")}), b.Wholes({axis})},
      op.in(0).lead);
}

absl::StatusOr<OnnxValue> Concat(OnnxOp& op) {
  HONE_ASSIGN_OR_RETURN(const Lead lead, op.JointLead());
  HONE_ASSIGN_OR_RETURN(const int64_t axis, op.Axis(op.Whole("axis"), lead));
  std::vector<std::string> inputs;
  for (size_t i = 0; i < op.inputs(); ++i) {
    if (op.in(i).lead != lead) {
      return op.Unknown("of values that examples share and values that they do not");
    }
    inputs.push_back(op.in(i).name);
  }
  return op.Give("Concat", inputs, lead, {{"axis", axis}});
}

absl::StatusOr<OnnxValue> Full(OnnxOp& op) {
  if (op.out_shape().rank() != 1) {
    return op.Unknown("of other shapes than a vector's");
  }
  const int64_t size = op.out_shape()[0];
  const std::vector<float> values(static_cast<size_t>(size),
                                  static_cast<float>(op.Number("value")));
  return OnnxValue{op.builder.Floats({size}, values)};
}

constexpr OnnxForm kForms[] = {
    {"add", Add},
    {"add_broadcast", Add},
    {"add_channels", AddChannels},
    {"average_pool2d", AveragePool},
    {"batch_norm_with", BatchNorm},
    {"concat", Concat},
    {"conv2d", Conv2d},
    {"full", Full},
    {"gelu", Gelu},
    {"gelu_tanh", GeluTanh},
    {"layer_norm", LayerNorm},
    {"leaky_relu", LeakyRelu},
    {"linear", Linear},
    {"max_pool2d", MaxPool},
    {"mul", Mul},
    {"mul_broadcast", Mul},
    {"normalize_pixels", NormalizePixels},
    {"relu", Relu},
    {"reshape", Reshape},
    {"rms_norm", RmsNorm},
    {"scale", Mul},
    {"sigmoid", Sigmoid},
    {"silu", Silu},
    {"slice", Slice},
    {"softmax", Softmax},
    {"tanh", Tanh},
    {"transpose", Transpose},
};

}  // namespace

double OnnxOp::Number(absl::string_view attribute) {
  const std::vector<double> numbers = Numbers(attribute);
  return numbers.empty() ? 0 : numbers[0];
}

std::vector<double> OnnxOp::Numbers(absl::string_view attribute) {
  const auto found = attributes_.find(std::string(attribute));
  if (found == attributes_.end()) {
    status_ = absl::InternalError(
        absl::StrCat("the op ", kind(), " does not say its `", attribute, "` (Op::attributes)"));
    return {};
  }
  return found->second;
}

std::vector<int64_t> OnnxOp::Wholes(absl::string_view attribute) {
  const std::vector<double> numbers = Numbers(attribute);
  return {numbers.begin(), numbers.end()};
}

absl::StatusOr<Lead> OnnxOp::JointLead() const {
  Lead joint = Lead::kNone;
  for (const OnnxValue& value : in_) {
    const Lead lead = value.lead;
    if (joint == Lead::kNone || lead == joint) {
      joint = lead;
    } else if (joint == Lead::kPlaces && lead == Lead::kRows) {
      joint = lead;
    } else if (lead != Lead::kNone && !(joint == Lead::kRows && lead == Lead::kPlaces)) {
      return Unknown("of rows of tokens and of whole examples");
    }
  }
  return joint;
}

absl::StatusOr<int64_t> OnnxOp::Axis(int64_t axis, Lead lead) const {
  if (lead == Lead::kNone) {
    return axis;
  }
  if (axis == 0) {
    return Unknown("along the examples");
  }
  return lead == Lead::kRows ? axis + 1 : axis;
}

absl::Status OnnxOp::Unknown(absl::string_view what) const {
  return absl::UnimplementedError(absl::StrCat(node_.name,
                                               ": there is no form in ONNX here for the op ",
                                               kind(), what.empty() ? "" : " ", what));
}

std::span<const OnnxForm> OnnxFormsOfTensors() { return kForms; }

}  // namespace hone::engine::exports
