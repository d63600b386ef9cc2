#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/export/onnx_builder.h"
#include "engine/graph/graph.h"

// The forms that ops have in ONNX: tables by the op's kind, for onnx_graph.cc.
namespace hone::engine::exports {

// What the first dimension of a value of ours is, which is of any extent in ONNX.
enum class Lead {
  kNone,     // nothing of the kind: a parameter, or what is made of parameters
  kBatch,    // examples: [batch, …] there
  kRows,     // rows of tokens: [batch, sequence, …] there
  kPlaces,   // a row for each place that a token can have: [sequence, …] there
  kOffsets,  // where texts begin: there the mask of true tokens
  kAsked,    // the rows that are asked for: there all are
};

struct OnnxValue {
  std::string name;
  Lead lead = Lead::kNone;
};

// A node whose form is being made.
class OnnxOp {
 public:
  // `mask` and `places` add what they give when they are first asked.
  OnnxOp(const Graph& graph, const Graph::Node& node, std::vector<OnnxValue> in,
         OnnxBuilder& onnx_builder, std::function<std::string()> mask_of_tokens,
         std::function<std::string()> places_of_tokens)
      : builder(onnx_builder),
        mask(std::move(mask_of_tokens)),
        places(std::move(places_of_tokens)),
        graph_(graph),
        node_(node),
        in_(std::move(in)),
        attributes_(node.op->attributes()) {}

  OnnxBuilder& builder;
  const std::function<std::string()> mask;    // f32 [batch, sequence], 1 for a true token
  const std::function<std::string()> places;  // i64 [sequence]

  absl::string_view kind() const { return node_.op->kind(); }
  size_t inputs() const { return in_.size(); }
  const OnnxValue& in(size_t i) const { return in_[i]; }
  // Ours.
  const Shape& shape(size_t i) const { return graph_.shape(node_.inputs[i]); }
  const Shape& out_shape() const { return node_.types[0].shape; }

  // What the op is told; 0, and an error of status(), where it does not say it.
  double Number(absl::string_view attribute);
  int64_t Whole(absl::string_view attribute) { return static_cast<int64_t>(Number(attribute)); }
  std::vector<double> Numbers(absl::string_view attribute);
  std::vector<int64_t> Wholes(absl::string_view attribute);
  const absl::Status& status() const { return status_; }

  // The lead of what is computed of all inputs; UNIMPLEMENTED where they do not go together.
  absl::StatusOr<Lead> JointLead() const;
  // A dimension of ours as one of a value there; UNIMPLEMENTED for one of any extent.
  absl::StatusOr<int64_t> Axis(int64_t axis, Lead lead) const;
  absl::Status Unknown(absl::string_view what) const;

  // A node with these inputs, as the value that this op gives.
  OnnxValue Give(absl::string_view op, const std::vector<std::string>& inputs, Lead lead,
                 const OnnxAttributes& attributes = {}) {
    return {builder.Add(op, inputs, attributes), lead};
  }

 private:
  const Graph& graph_;
  const Graph::Node& node_;
  const std::vector<OnnxValue> in_;
  const OpAttributes attributes_;
  absl::Status status_;
};

struct OnnxForm {
  absl::string_view kind;
  absl::StatusOr<OnnxValue> (*make)(OnnxOp& op);
};
// Element by element, products, pictures, shapes.
std::span<const OnnxForm> OnnxFormsOfTensors();
// What joins the tokens of a text, or knows their places.
std::span<const OnnxForm> OnnxFormsOfTokens();

}  // namespace hone::engine::exports
