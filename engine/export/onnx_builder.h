#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tensor/tensor.h"
#include "onnx/model.pb.h"

namespace hone::engine::exports {

// An attribute of a node: a number, whole ones as int64_t, or several.
using OnnxAttribute = std::variant<int64_t, float, std::vector<int64_t>>;
using OnnxAttributes = std::vector<std::pair<std::string, OnnxAttribute>>;

// Adds nodes and constants to a graph of ONNX's and names what they give.
class OnnxBuilder {
 public:
  explicit OnnxBuilder(onnx::Graph& graph) : graph_(graph) {}

  // Nodes added from now on are named behind this layer: "block_1.attention/MatMul_3".
  void set_layer(absl::string_view layer) { layer_ = std::string(layer); }

  // The name of the only output that is used.
  std::string Add(absl::string_view op, const std::vector<std::string>& inputs,
                  const OnnxAttributes& attributes = {});
  // The same under that name.
  void AddNamed(absl::string_view op, const std::vector<std::string>& inputs,
                const std::string& output, const OnnxAttributes& attributes = {});

  // Constants: a scalar, whole numbers in one dimension, a tensor. Equal ones are one.
  std::string Number(float value);
  std::string Whole(int64_t value);
  std::string Wholes(const std::vector<int64_t>& values);
  std::string Floats(const std::vector<int64_t>& dims, std::span<const float> values);
  // A tensor of that name, whose bytes are the caller's to fill.
  onnx::Tensor& Initializer(const std::string& name, const std::vector<int64_t>& dims,
                            onnx::Tensor::DataType type);

  // An extent of −1 is "batch" in dimension 0, else "sequence".
  void Input(const std::string& name, onnx::Tensor::DataType type,
             const std::vector<int64_t>& dims);
  void Output(const std::string& name, const std::vector<int64_t>& dims);

 private:
  std::string Constant(const std::vector<int64_t>& dims, onnx::Tensor::DataType type,
                       std::string bytes);

  onnx::Graph& graph_;
  std::string layer_;
  int64_t count_ = 0;
  std::map<std::string, std::string> constants_;  // names by type, extents and bytes
};

}  // namespace hone::engine::exports
