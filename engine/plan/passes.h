#pragma once

#include <memory>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/roots.h"

namespace hone::engine {

// A graph on its way to a program: the same nodes, rewritten in place by the passes.
struct PlanGraph {
  struct Node {
    Graph::Node::Kind kind;
    std::string name;
    std::shared_ptr<const Op> op;
    std::vector<Value> inputs;
    std::vector<TensorType> types;
    const Graph::Node* source;
    bool live = false;
    std::vector<DType> stored = {};   // of the outputs: the element type in memory
    std::vector<int32_t> after = {};  // nodes that run before it beside those of its inputs
  };
  std::vector<Node> nodes;
  Roots roots;
  std::vector<int32_t> order;  // live nodes in the order in which they run
  std::vector<Value> changes;  // made by changing a part of a buffer that takes them, in place
};

PlanGraph MakePlanGraph(const Graph& graph, const Roots& roots);

// Marks the nodes that some root needs, and puts them in order.
void RemoveDeadNodes(PlanGraph& plan);

// Puts the nodes in order again, after their inputs and what they come after.
void Order(PlanGraph& plan);

// activation(product(x)) → product with the activation in the same pass, where nobody else reads
// what lies between.
void FuseActivations(PlanGraph& plan);

// The gradient of an activation that a max pool follows is taken on the pool's side: the same
// numbers (a window's largest value is the activation's output there), a fraction of the elements,
// and the activation's output need not be kept.
//   activation'(pool'(dy), y) → pool'(activation'(dy, pool(y)))
void MoveActivationGradientsBehindPools(PlanGraph& plan);

// Where the gradients of several parts of one tensor are added, each with zeros around it, they are
// put into one tensor side by side. Parts that overlap stay a sum.
//   slice'(a) + slice'(b) → slice'(a, b)
void JoinGradientsOfSlices(PlanGraph& plan);

// A sum that only another sum reads becomes part of it, where all are of one type in memory: one
// pass instead of two, and the same bits. Of at most four terms, as many as come back to what
// attention reads: all of them are kept until they are added. Behind ChoosePrecision, which knows
// the types.
//   (a + b) + c → a + b + c
void JoinSums(PlanGraph& plan);

}  // namespace hone::engine
