#include "engine/export/onnx_builder.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hone::engine::exports {

static_assert(std::endian::native == std::endian::little, "ONNX's raw data is little endian");

namespace {

template <typename T>
std::string BytesOf(std::span<const T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

void Describe(onnx::ValueInfo& info, const std::string& name, onnx::Tensor::DataType type,
              const std::vector<int64_t>& dims) {
  info.set_name(name);
  onnx::TensorType& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  onnx::TensorShape& shape = *tensor.mutable_shape();  // there also for a scalar
  for (size_t i = 0; i < dims.size(); ++i) {
    onnx::Dimension& dim = *shape.add_dim();
    if (dims[i] >= 0) {
      dim.set_dim_value(dims[i]);
    } else {
      dim.set_dim_param(i == 0 ? "batch" : "sequence");
    }
  }
}

}  // namespace

std::string OnnxBuilder::Add(absl::string_view op, const std::vector<std::string>& inputs,
                             const OnnxAttributes& attributes) {
  const std::string name = absl::StrCat(layer_, layer_.empty() ? "" : "/", op, "_", ++count_);
  AddNamed(op, inputs, name, attributes);
  return name;
}

void OnnxBuilder::AddNamed(absl::string_view op, const std::vector<std::string>& inputs,
                           const std::string& output, const OnnxAttributes& attributes) {
  onnx::Node& node = *graph_.add_node();
  node.set_op_type(std::string(op));
  node.set_name(output);
  node.add_output(output);
  for (const std::string& input : inputs) {
    node.add_input(input);
  }
  for (const auto& [name, value] : attributes) {
    onnx::Attribute& attribute = *node.add_attribute();
    attribute.set_name(name);
    if (const auto* whole = std::get_if<int64_t>(&value)) {
      attribute.set_type(onnx::Attribute::INT);
      attribute.set_i(*whole);
    } else if (const auto* number = std::get_if<float>(&value)) {
      attribute.set_type(onnx::Attribute::FLOAT);
      attribute.set_f(*number);
    } else {
      attribute.set_type(onnx::Attribute::INTS);
      for (const int64_t one : std::get<std::vector<int64_t>>(value)) {
        attribute.add_ints(one);
      }
    }
  }
}

std::string OnnxBuilder::Number(float value) { return Floats({}, {&value, 1}); }

std::string OnnxBuilder::Whole(int64_t value) {
  return Constant({}, onnx::Tensor::INT64, BytesOf(std::span<const int64_t>(&value, 1)));
}

std::string OnnxBuilder::Wholes(const std::vector<int64_t>& values) {
  return Constant({static_cast<int64_t>(values.size())}, onnx::Tensor::INT64,
                  BytesOf(std::span<const int64_t>(values)));
}

std::string OnnxBuilder::Floats(const std::vector<int64_t>& dims, std::span<const float> values) {
  return Constant(dims, onnx::Tensor::FLOAT, BytesOf(values));
}

std::string OnnxBuilder::Constant(const std::vector<int64_t>& dims, onnx::Tensor::DataType type,
                                  std::string bytes) {
  const std::string key =
      absl::StrCat(static_cast<int>(type), ":", absl::StrJoin(dims, ","), ":", bytes);
  const auto [place, added] =
      constants_.try_emplace(key, absl::StrCat("constant_", constants_.size()));
  if (added) {
    Initializer(place->second, dims, type).set_raw_data(std::move(bytes));
  }
  return place->second;
}

onnx::Tensor& OnnxBuilder::Initializer(const std::string& name, const std::vector<int64_t>& dims,
                                       onnx::Tensor::DataType type) {
  onnx::Tensor& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const int64_t extent : dims) {
    tensor.add_dims(extent);
  }
  return tensor;
}

void OnnxBuilder::Input(const std::string& name, onnx::Tensor::DataType type,
                        const std::vector<int64_t>& dims) {
  Describe(*graph_.add_input(), name, type, dims);
}

void OnnxBuilder::Output(const std::string& name, const std::vector<int64_t>& dims) {
  Describe(*graph_.add_output(), name, onnx::Tensor::FLOAT, dims);
}

}  // namespace hone::engine::exports
