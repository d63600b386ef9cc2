#include "engine/ops/scan.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/reference.h"
#include "engine/graph/shape_checks.h"
#include "engine/ops/scan_op.h"

namespace hone::engine {
namespace {

TensorType OverTime(int64_t steps, const TensorType& type) {
  std::vector<int64_t> dims = {steps};
  dims.insert(dims.end(), type.shape.dims().begin(), type.shape.dims().end());
  return {Shape(std::move(dims)), type.dtype};
}

TensorType OfOneStep(const TensorType& type) {
  const std::vector<int64_t>& dims = type.shape.dims();
  return {Shape(std::vector<int64_t>(dims.begin() + 1, dims.end())), type.dtype};
}

void Place(const DoubleTensor& one, int64_t t, DoubleTensor& all) {
  std::ranges::copy(one.values, all.values.begin() + t * static_cast<int64_t>(one.values.size()));
}

absl::Status CheckBody(const ScanBodyGraph& body) {
  if (body.result.carries.size() != body.step.carries.size()) {
    return absl::InternalError("the body must give every carry a next value");
  }
  const auto is_parameter = [](const Graph::Node& node) {
    return node.kind == Graph::Node::Kind::kParameter;
  };
  if (std::ranges::any_of(body.graph.nodes(), is_parameter) || !body.graph.updates().empty()) {
    return absl::InternalError("the body of a scan must get its parameters as constants");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<TensorType>> ScanOp::InferTypes(std::span<const TensorType> in) const {
  const Graph& g = body_.graph;
  for (size_t i = 0; i < sequences(); ++i) {
    const Shape& shape = in[carries() + i].shape;
    if (shape.rank() < 1 || shape[0] != options_.steps) {
      return WrongShape(absl::StrCat("sequence ", i), absl::StrCat("[", options_.steps, ", ...]"),
                        shape);
    }
  }
  std::vector<TensorType> types;
  for (size_t i = 0; i < carries(); ++i) {
    const TensorType& next = g.type(body_.result.carries[i]);
    if (in[i].dtype != DType::kF32 || next != in[i]) {
      return absl::InvalidArgumentError(absl::StrCat("carry ", i, " must stay what it is, got ",
                                                     in[i].ToString(), " and then ",
                                                     next.ToString()));
    }
    types.push_back(next);
  }
  for (const Value output : body_.result.outputs) {
    types.push_back(OverTime(options_.steps, g.type(output)));
  }
  for (size_t i = 0; i < carries(); ++i) {
    types.push_back(OverTime(options_.steps, in[i]));
  }
  return types;
}

Cost ScanOp::EstimateCost(std::span<const TensorType>, std::span<const TensorType>) const {
  Cost cost;
  for (const Graph::Node& node : body_.graph.nodes()) {
    if (node.op == nullptr) {
      continue;
    }
    std::vector<TensorType> in;
    for (const Value input : node.inputs) {
      in.push_back(body_.graph.type(input));
    }
    const Cost one = node.op->EstimateCost(in, node.types);
    cost.flops += one.flops * static_cast<double>(options_.steps);
    cost.bytes += one.bytes * static_cast<double>(options_.steps);
  }
  return cost;
}

void ScanOp::Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                       const RunScalars& scalars) const {
  std::map<int32_t, DoubleTensor> now;  // by node of the body
  for (size_t i = 0; i < carries(); ++i) {
    now[body_.step.carries[i].node] = *in[i];
  }
  for (size_t i = 0; i < constants(); ++i) {
    now[body_.step.constants[i].node] = *in[carries() + sequences() + i];
  }
  for (int64_t n = 0; n < options_.steps; ++n) {
    const int64_t t = TimeOf(n, options_);
    for (size_t i = 0; i < sequences(); ++i) {
      const Value input = body_.step.sequences[i];
      DoubleTensor one(body_.graph.shape(input));
      const auto size = static_cast<int64_t>(one.values.size());
      std::copy_n(in[carries() + i]->values.begin() + t * size, size, one.values.begin());
      now[input.node] = std::move(one);
    }
    for (size_t i = 0; i < carries(); ++i) {
      Place(now[body_.step.carries[i].node], t, out[carries() + outputs() + i]);
    }
    const auto source = [&](const Graph::Node& node) {
      return now.at(static_cast<int32_t>(&node - body_.graph.nodes().data()));
    };
    absl::StatusOr<std::vector<DoubleTensor>> made =
        Interpret(body_.graph, body_.All(), source, scalars);
    for (size_t i = 0; i < carries(); ++i) {
      now[body_.step.carries[i].node] = (*made)[i];
    }
    for (size_t i = 0; i < outputs(); ++i) {
      Place((*made)[carries() + i], t, out[carries() + i]);
    }
  }
  for (size_t i = 0; i < carries(); ++i) {
    out[i] = now[body_.step.carries[i].node];
  }
}

// The histories are outputs behind those of the result.
ScanResult AddScan(Graph& graph, const std::vector<Value>& inputs, ScanBodyGraph body,
                   const ScanOptions& options) {
  const size_t carries = body.result.carries.size(), outputs = body.result.outputs.size();
  const Value first = graph.Add(std::make_shared<ScanOp>(std::move(body), options), inputs);
  const bool failed = !graph.status().ok();
  ScanResult result;
  for (size_t i = 0; i < carries + outputs; ++i) {
    const Value value = {first.node, failed ? 0 : static_cast<int32_t>(i)};
    (i < carries ? result.carries : result.outputs).push_back(value);
  }
  return result;
}

ScanResult Scan(Graph& graph, const ScanInputs& inputs, const ScanOptions& options,
                const ScanBody& body) {
  absl::Status status;
  if (options.steps < 1) {
    status =
        absl::InvalidArgumentError(absl::StrCat("steps must be at least 1, got ", options.steps));
  }
  ScanBodyGraph made;
  made.graph.set_scope(graph.scope());
  BodyInputs add(made.graph);
  for (const Value value : inputs.carries) {
    made.step.carries.push_back(add.Add("carry", graph.type(value)));
  }
  for (const Value value : inputs.sequences) {
    TensorType type = graph.type(value);
    if (type.shape.rank() > 0) {
      type = OfOneStep(type);
    } else {
      status.Update(WrongShape("a sequence", "[time, ...]", type.shape));
    }
    made.step.sequences.push_back(add.Add("sequence", type));
  }
  for (const Value value : inputs.constants) {
    made.step.constants.push_back(add.Add("constant", graph.type(value)));
  }
  made.result = body(made.graph, made.step);
  status.Update(CheckBody(made));
  if (!status.ok()) {
    status = Annotate(status, graph.scope().empty() ? "scan" : graph.scope());
  }
  status.Update(made.graph.status());  // which names the scope by itself
  if (!status.ok()) {
    graph.Fail(status);
    made.result.carries.resize(inputs.carries.size());
  }
  return AddScan(graph, Joined(Joined(inputs.carries, inputs.sequences), inputs.constants),
                 std::move(made), options);
}

}  // namespace hone::engine
