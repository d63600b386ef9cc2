#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "onnx/model.pb.h"

// Values of a model of ONNX's while it is evaluated (onnx_evaluate.h).
namespace hone::engine::exports {

// Row major; numbers are floats, or whole ones, which truth values are, too.
struct OnnxArray {
  std::vector<int64_t> dims;
  std::vector<float> floats = {};
  std::vector<int64_t> wholes = {};
  bool is_float = true;

  int64_t elements() const;
};

// A node with the values of its inputs.
struct OnnxCall {
  const onnx::Node& node;
  std::vector<const OnnxArray*> in;

  // An attribute, or what stands for it where it is not given.
  int64_t Whole(absl::string_view name, int64_t otherwise) const;
  float Number(absl::string_view name, float otherwise) const;
  std::vector<int64_t> Wholes(absl::string_view name, std::vector<int64_t> otherwise) const;
  const OnnxArray& operator[](size_t i) const { return *in[i]; }

  absl::Status Wrong(absl::string_view what) const;
};

struct OnnxOperation {
  absl::string_view name;
  size_t inputs;  // at least
  absl::StatusOr<OnnxArray> (*compute)(const OnnxCall& call);
};
// Element by element and along a dimension.
std::span<const OnnxOperation> OnnxArithmetic();
// What moves elements, or says where they are.
std::span<const OnnxOperation> OnnxMoves();
// Products, convolutions and pools.
std::span<const OnnxOperation> OnnxProducts();

}  // namespace hone::engine::exports
