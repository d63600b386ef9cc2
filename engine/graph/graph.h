#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/graph/op.h"
#include "engine/params/parameter_store.h"

namespace hone::engine {

// A product that is learned beside the weight of another one (layers/product.h).
struct LowRank {
  int64_t rank = 0;
  double scale = 1;   // of what it adds
  float dropout = 0;  // share of its input that is set to zero
};

// A computation over tensors of fixed shapes: inputs, parameters, and ops in the order in which
// they can run. It is only a description; plan/ makes a Program of it, reference.h interprets it.
//
// The first error is kept and later calls return a placeholder, so that layers and models need no
// error plumbing; whoever uses the graph asks status() first.
class Graph {
 public:
  struct Node {
    enum class Kind { kInput, kParameter, kConstant, kOp };
    Kind kind = Kind::kOp;
    std::string name;
    std::shared_ptr<const Op> op;  // of kOp
    std::vector<Value> inputs;
    std::vector<TensorType> types;  // of the outputs
    ParameterSpec parameter;        // of kParameter
    double constant = 0;            // of kConstant
  };

  // A tensor given at each run. The same name again is the same input.
  Value Input(absl::string_view name, const TensorType& type);
  // The same name again is the same parameter.
  Value Parameter(const ParameterSpec& spec);
  // A scalar.
  Value Constant(double value);

  // Adds a node named after the layer (scope) it belongs to and returns its outputs' first value;
  // others are {node, 1}, ….
  Value Add(std::shared_ptr<const Op> op, std::vector<Value> inputs);

  // The first output of an op is given under this name from now on, as an input is; its others are
  // gone, and nothing may read them. What it was computed from stays in the graph, and is run where
  // something else reads it. INTERNAL (status()) where it is no op's, or the name is taken.
  void MakeInput(Value value, absl::string_view name);

  // At the end of a run, `buffer` (a parameter of role kBuffer or kTransient) takes the value; of
  // several for one buffer, the last. All buffers change at once: a value that is itself a buffer,
  // and a fetched one, is what that was before. An op that changes a part of its input, such as
  // WriteAt of that buffer, does so in place.
  void Update(Value buffer, Value value);
  const std::vector<std::pair<Value, Value>>& updates() const { return updates_; }

  // Keeps the first error and returns a placeholder.
  Value Fail(const absl::Status& status);
  const absl::Status& status() const { return status_; }

  // Nodes added from now on are named `scope`, whatever scopes they stand in.
  void set_scope(absl::string_view scope) { scope_ = std::string(scope); }
  const std::string& scope() const { return scope_; }

  // A part of a model: what is added while it lasts is named by its path, "encoder.layer.3", its
  // own name behind that of the scope around it. With a kind, such as "dense", it is a layer: a row
  // of the layer table (models/layer_table.h).
  class Scope {
   public:
    // An empty name adds nothing to the path. The graph outlives it.
    Scope(Graph& graph, absl::string_view name, absl::string_view kind = "");
    ~Scope() { graph_.scope_ = std::move(outer_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // Says what the layer gives, and gives it back.
    Value Gives(Value output);

   private:
    Graph& graph_;
    std::string outer_;
    int layer_ = -1;  // index into layers()
  };
  struct Layer {
    std::string path;
    std::string kind;
    Value output = {};  // not valid where it was not said
  };
  // In the order in which they were begun; one that is begun again is the same.
  const std::vector<Layer>& layers() const { return layers_; }

  // Trainable parameters whose names `frozen` picks are frozen from now on, those declared later
  // too.
  void Freeze(std::function<bool(absl::string_view name)> frozen);

  // Weights declared from now on whose names `picks` picks are buffers: those of a network that
  // follows another one (a target network, a mean over steps) and is moved by no gradient.
  void DeclareAsBuffers(std::function<bool(absl::string_view name)> picks) {
    buffers_ = std::move(picks);
  }

  // Products added from now on ask here, by the path of their weight without ".weight", what is to
  // be learned beside it. An empty function: nothing.
  using LowRankOf = std::function<std::optional<LowRank>(absl::string_view product)>;
  void Adapt(LowRankOf adapters) { adapters_ = std::move(adapters); }
  std::optional<LowRank> AdapterOf(absl::string_view product) const {
    return adapters_ ? adapters_(product) : std::nullopt;
  }

  // How much noise a training adds to rows that stand for tokens (ops/embedding_noise.h).
  void set_embedding_noise(float alpha) { embedding_noise_ = alpha; }
  float embedding_noise() const { return embedding_noise_; }

  const TensorType& type(Value value) const {
    return nodes_[static_cast<size_t>(value.node)].types[static_cast<size_t>(value.output)];
  }
  const Shape& shape(Value value) const { return type(value).shape; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  bool IsConstant(Value value, double constant) const;

 private:
  Value Append(Node node);

  std::vector<Node> nodes_;
  absl::flat_hash_map<std::string, int32_t> parameters_;
  std::vector<std::pair<Value, Value>> updates_;
  std::string scope_;
  std::vector<Layer> layers_;
  std::function<bool(absl::string_view)> frozen_;
  std::function<bool(absl::string_view)> buffers_;
  LowRankOf adapters_;
  float embedding_noise_ = 0;
  absl::Status status_;
};

struct GradientOptions {
  // Rows where a parameter declared `sparse` allows it; else all gradients are tensors of the
  // value's shape.
  bool rows = true;
  // What of the forward pass is computed again for the backward pass instead of being kept for it:
  // the segment that an op's node is in, negative: none; null: all is kept. What one segment gives
  // to another is kept. The rest of a segment is computed again from that when the gradient comes
  // to it, by the same ops, whose random numbers are keyed: the gradients have the same bits.
  std::function<int(const Graph::Node&)> segment_of = {};
};

// Adds to the graph the gradients of `loss` (a scalar) with respect to each of `with_respect_to`,
// in their order. A value that the loss does not depend on gets an invalid Value. The gradient of a
// parameter declared `sparse` that lookups alone read is a RowSums (graph/row_sums.h); every other
// is a tensor of the value's shape.
std::vector<Value> Differentiate(Graph& graph, Value loss,
                                 const std::vector<Value>& with_respect_to,
                                 const GradientOptions& options = {});
// The same where the loss lies further on: `known` are values of the graph, each with the gradient
// of the loss with respect to it.
std::vector<Value> Differentiate(Graph& graph, const std::vector<std::pair<Value, Value>>& known,
                                 const std::vector<Value>& with_respect_to,
                                 const GradientOptions& options = {});

}  // namespace hone::engine
