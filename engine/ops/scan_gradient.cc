#include "engine/graph/sum.h"
#include "engine/ops/full.h"
#include "engine/ops/scan_op.h"

namespace hone::engine {

// One step of the gradient: from the gradients with respect to a step's results to those with
// respect to what it began with. Its carries are the gradient of the state and the sums for the
// constants, its sequences the states, the forward sequences and the gradients of the outputs.
void ScanOp::Differentiate(Gradient& g) const {
  const auto at = [](size_t i) { return static_cast<int>(i); };
  Graph& outer = g.graph();
  for (size_t i = 0; i < carries(); ++i) {
    if (g.dy(at(carries() + outputs() + i)).valid()) {
      outer.Fail(absl::UnimplementedError(
          absl::StrCat("scan ", outer.scope(), ": the gradient of its gradient is not known")));
      return;
    }
  }
  ScanBodyGraph body{.graph = body_.graph, .step = {}, .result = {}};
  BodyInputs add(body.graph);
  std::vector<std::pair<Value, Value>> known;  // results of the step and their gradients
  std::vector<Value> initial, wanted, sums;
  std::vector<Value> sequences_around;

  for (size_t i = 0; i < carries(); ++i) {
    const TensorType& type = body.graph.type(body_.step.carries[i]);
    const Value dy = add.Add("d_carry", type);
    body.step.carries.push_back(dy);
    known.emplace_back(body_.result.carries[i], dy);
    initial.push_back(g.dy(at(i)).valid() ? g.dy(at(i)) : Full(outer, type.shape, 0));
    wanted.push_back(body_.step.carries[i]);
    // The state that the step began with: a history.
    body.step.sequences.push_back(body_.step.carries[i]);
    sequences_around.push_back(g.output(at(carries() + outputs() + i)));
  }
  for (size_t i = 0; i < sequences(); ++i) {
    body.step.sequences.push_back(body_.step.sequences[i]);
    sequences_around.push_back(g.input(at(carries() + i)));
    if (g.Needs(at(carries() + i))) {
      wanted.push_back(body_.step.sequences[i]);
    }
  }
  for (size_t i = 0; i < outputs(); ++i) {
    const Value around = g.dy(at(carries() + i));
    if (around.valid()) {
      const Value dy = add.Add("d_output", body.graph.type(body_.result.outputs[i]));
      body.step.sequences.push_back(dy);
      sequences_around.push_back(around);
      known.emplace_back(body_.result.outputs[i], dy);
    }
  }
  std::vector<Value> constants_around;
  for (size_t i = 0; i < constants(); ++i) {
    const int input = at(carries() + sequences() + i);
    body.step.constants.push_back(body_.step.constants[i]);
    constants_around.push_back(g.input(input));
    if (g.Needs(input)) {
      const TensorType& type = body.graph.type(body_.step.constants[i]);
      sums.push_back(add.Add("d_constant", type));
      body.step.carries.push_back(sums.back());
      initial.push_back(Full(outer, type.shape, 0));
      wanted.push_back(body_.step.constants[i]);
    }
  }

  const std::vector<Value> gradients = engine::Differentiate(body.graph, known, wanted);
  size_t next = 0;
  const auto take = [&](const Shape& shape) {
    const Value gradient = gradients[next++];
    return gradient.valid() ? gradient : Full(body.graph, shape, 0);
  };
  for (size_t i = 0; i < carries(); ++i) {
    body.result.carries.push_back(take(body.graph.shape(body_.step.carries[i])));
  }
  for (size_t i = 0; i < sequences(); ++i) {
    if (g.Needs(at(carries() + i))) {
      body.result.outputs.push_back(take(body.graph.shape(body_.step.sequences[i])));
    }
  }
  for (const Value sum : sums) {
    const Value gradient = gradients[next++];
    body.result.carries.push_back(gradient.valid() ? Sum(body.graph, sum, gradient) : sum);
  }
  if (!body.graph.status().ok()) {
    outer.Fail(body.graph.status());
    return;
  }

  const ScanResult result =
      AddScan(outer, Joined(Joined(initial, sequences_around), constants_around), std::move(body),
              {.steps = options_.steps, .reverse = !options_.reverse});
  size_t output = 0, sum = carries();
  for (size_t i = 0; i < carries(); ++i) {
    g.Accumulate(at(i), [&] { return result.carries[i]; });
  }
  for (size_t i = 0; i < sequences(); ++i) {
    g.Accumulate(at(carries() + i), [&] { return result.outputs[output++]; });
  }
  for (size_t i = 0; i < constants(); ++i) {
    g.Accumulate(at(carries() + sequences() + i), [&] { return result.carries[sum++]; });
  }
}

}  // namespace hone::engine
