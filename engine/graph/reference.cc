#include "engine/graph/reference.h"

#include "engine/base/status.h"

namespace hone::engine {

absl::StatusOr<std::vector<DoubleTensor>> Interpret(
    const Graph& graph, const std::vector<Value>& fetch,
    const std::function<DoubleTensor(const Graph::Node&)>& source, const RunScalars& scalars) {
  HONE_RETURN_IF_ERROR(graph.status());
  const std::vector<Graph::Node>& nodes = graph.nodes();
  std::vector<bool> needed(nodes.size(), false);
  for (const Value value : fetch) {
    needed[static_cast<size_t>(value.node)] = true;
  }
  for (size_t i = nodes.size(); i-- > 0;) {
    for (const Value input : nodes[i].inputs) {
      needed[static_cast<size_t>(input.node)] =
          needed[static_cast<size_t>(input.node)] || needed[i];
    }
  }
  std::vector<std::vector<DoubleTensor>> values(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Graph::Node& node = nodes[i];
    if (!needed[i]) {
      continue;
    }
    if (node.kind == Graph::Node::Kind::kConstant) {
      values[i].emplace_back(Shape{});
      values[i][0][0] = node.constant;
      continue;
    }
    if (node.kind != Graph::Node::Kind::kOp) {
      values[i].push_back(source(node));
      continue;
    }
    std::vector<const DoubleTensor*> in;
    for (const Value input : node.inputs) {
      in.push_back(&values[static_cast<size_t>(input.node)][static_cast<size_t>(input.output)]);
    }
    for (const TensorType& type : node.types) {
      values[i].emplace_back(type.shape);
    }
    node.op->Reference(in, values[i], scalars);
  }
  std::vector<DoubleTensor> result;
  for (const Value value : fetch) {
    result.push_back(values[static_cast<size_t>(value.node)][static_cast<size_t>(value.output)]);
  }
  return result;
}

}  // namespace hone::engine
