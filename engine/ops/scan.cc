#include "engine/ops/scan.h"

#include <cstring>
#include <map>

#include "engine/base/status.h"
#include "engine/graph/dims.h"
#include "engine/graph/reference.h"
#include "engine/graph/sum.h"
#include "engine/ops/full.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

// The body and which of its values mean what.
struct Body {
  Graph graph;
  ScanStep step;
  ScanStepResult result;

  std::vector<Value> Fetched() const {
    std::vector<Value> all = result.carries;
    all.insert(all.end(), result.outputs.begin(), result.outputs.end());
    return all;
  }
};

std::vector<Value> Joined(std::vector<Value> a, const std::vector<Value>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TensorType OverTime(int64_t steps, const TensorType& type) {
  std::vector<int64_t> dims = {steps};
  dims.insert(dims.end(), type.shape.dims().begin(), type.shape.dims().end());
  return {Shape(std::move(dims)), type.dtype};
}

TensorType OfOneStep(const TensorType& type) {
  const std::vector<int64_t>& dims = type.shape.dims();
  return {Shape(std::vector<int64_t>(dims.begin() + 1, dims.end())), type.dtype};
}

// Of the n-th run of the body.
int64_t TimeOf(int64_t n, const ScanOptions& options) {
  return options.reverse ? options.steps - 1 - n : n;
}

// Adds the inputs of a body, named by kind and number.
class Inputs {
 public:
  explicit Inputs(Graph& body) : body_(body) {}

  Value Add(absl::string_view kind, const TensorType& type) {
    return body_.Input(absl::StrCat(kind, body_.nodes().size()), type);
  }

 private:
  Graph& body_;
};

// Inputs: carries, sequences, constants. Outputs: the carries after the last step, the outputs over
// time, and for the gradient each carry as it was at the beginning of each step.
class ScanOp final : public Op {
 public:
  ScanOp(Body body, const ScanOptions& options) : body_(std::move(body)), options_(options) {}

  absl::string_view kind() const override { return "scan"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(
      std::span<const TensorType> in) const override {
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

  void Differentiate(Gradient& g) const override;

  Cost EstimateCost(std::span<const TensorType>, std::span<const TensorType>) const override {
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

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars& scalars) const override {
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
          Interpret(body_.graph, body_.Fetched(), source, scalars);
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

  absl::Status Lower(Lowering& l) const override;

 private:
  size_t carries() const { return body_.step.carries.size(); }
  size_t sequences() const { return body_.step.sequences.size(); }
  size_t constants() const { return body_.step.constants.size(); }
  size_t outputs() const { return body_.result.outputs.size(); }

  static void Place(const DoubleTensor& one, int64_t t, DoubleTensor& all) {
    std::ranges::copy(one.values, all.values.begin() + t * static_cast<int64_t>(one.values.size()));
  }

  Body body_;
  ScanOptions options_;
};

absl::Status CheckBody(const Body& body) {
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

// Adds the op's node; the histories are outputs behind those of the result.
ScanResult AddScan(Graph& graph, const std::vector<Value>& inputs, Body body,
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
  Body body{.graph = body_.graph, .step = {}, .result = {}};
  Inputs add(body.graph);
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

// A copy of one step's part of something, and where it comes from.
struct Copy {
  const std::byte* from;
  std::byte* to;
  size_t bytes;
  bool advances_from = false;  // by `bytes` for each step of time
  bool advances_to = false;

  void Run(int64_t t) const {
    const auto offset = static_cast<size_t>(t) * bytes;
    std::memcpy(to + (advances_to ? offset : 0), from + (advances_from ? offset : 0), bytes);
  }
};

absl::Status ScanOp::Lower(Lowering& l) const {
  const auto at = [](size_t i) { return static_cast<int>(i); };
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<Subprogram> body,
                        l.Plan(body_.graph, body_.Fetched()));
  const auto input = [&](size_t i) -> absl::StatusOr<Slot> {
    return l.Input(at(i), MemoryDesc::Plain(l.input_type(at(i))));
  };
  // Which slots are copied where: at the beginning, before each step and after it.
  struct Use {
    Slot slot;
    std::string in_body;  // the input's name
    size_t fetched;
    size_t bytes;
  };
  const auto name = [&](Value value) { return body_.graph.node(value.node).name; };
  std::vector<Use> first, sequence, constant, state, collected, history;
  for (size_t i = 0; i < carries(); ++i) {
    const auto bytes = static_cast<size_t>(l.input_type(at(i)).bytes());
    HONE_ASSIGN_OR_RETURN(const Slot from, input(i));
    first.push_back({from, {}, 0, bytes});
    state.push_back({l.Output(at(i), MemoryDesc::Plain(l.output_type(at(i)))),
                     name(body_.step.carries[i]), i, bytes});
    const int past = at(carries() + outputs() + i);
    if (l.wanted(past)) {
      history.push_back({l.Output(past, MemoryDesc::Plain(l.output_type(past))), {}, i, bytes});
    }
  }
  for (size_t i = 0; i < sequences(); ++i) {
    HONE_ASSIGN_OR_RETURN(const Slot from, input(carries() + i));
    const Value in_body = body_.step.sequences[i];
    sequence.push_back(
        {from, name(in_body), 0, static_cast<size_t>(body_.graph.type(in_body).bytes())});
  }
  for (size_t i = 0; i < constants(); ++i) {
    HONE_ASSIGN_OR_RETURN(const Slot from, input(carries() + sequences() + i));
    constant.push_back({from, name(body_.step.constants[i]), 0, 0});
  }
  for (size_t i = 0; i < outputs(); ++i) {
    const int output = at(carries() + i);
    if (l.wanted(output)) {
      const auto bytes = static_cast<size_t>(body_.graph.type(body_.result.outputs[i]).bytes());
      collected.push_back(
          {l.Output(output, MemoryDesc::Plain(l.output_type(output))), {}, carries() + i, bytes});
    }
  }
  const Slot arena = l.Scratch(body->arena_bytes());
  l.Emit(kind(), [=, options = options_](const Memory& m) -> absl::StatusOr<StepFunction> {
    for (const Use& use : constant) {
      body->Place(use.in_body, m[use.slot]);
    }
    HONE_RETURN_IF_ERROR(body->Bind(m.as<std::byte>(arena)));
    std::vector<Copy> begin, before, after;
    for (size_t i = 0; i < state.size(); ++i) {
      const Use& use = state[i];
      auto* now = m.as<std::byte>(use.slot);
      begin.push_back({m.as<std::byte>(first[i].slot), now, use.bytes});
      if (void* in_body = body->input(use.in_body); in_body != nullptr) {
        before.push_back({now, static_cast<std::byte*>(in_body), use.bytes});
      }
      after.push_back({static_cast<const std::byte*>(body->fetched(use.fetched)), now, use.bytes});
    }
    for (const Use& use : history) {
      before.push_back({.from = m.as<std::byte>(state[use.fetched].slot),
                        .to = m.as<std::byte>(use.slot),
                        .bytes = use.bytes,
                        .advances_to = true});
    }
    for (const Use& use : sequence) {
      if (void* in_body = body->input(use.in_body); in_body != nullptr) {
        before.push_back({.from = m.as<std::byte>(use.slot),
                          .to = static_cast<std::byte*>(in_body),
                          .bytes = use.bytes,
                          .advances_from = true});
      }
    }
    for (const Use& use : collected) {
      after.push_back({.from = static_cast<const std::byte*>(body->fetched(use.fetched)),
                       .to = m.as<std::byte>(use.slot),
                       .bytes = use.bytes,
                       .advances_to = true});
    }
    return [=](const RunScalars& scalars) {
      for (const Copy& copy : begin) {
        copy.Run(0);
      }
      for (int64_t n = 0; n < options.steps; ++n) {
        const int64_t t = TimeOf(n, options);
        for (const Copy& copy : before) {
          copy.Run(t);
        }
        if (!body->Run(scalars)) {
          return false;
        }
        for (const Copy& copy : after) {
          copy.Run(t);
        }
      }
      return true;
    };
  });
  return absl::OkStatus();
}

}  // namespace

ScanResult Scan(Graph& graph, const ScanInputs& inputs, const ScanOptions& options,
                const ScanBody& body) {
  absl::Status status;
  if (options.steps < 1) {
    status =
        absl::InvalidArgumentError(absl::StrCat("steps must be at least 1, got ", options.steps));
  }
  Body made;
  made.graph.set_scope(graph.scope());
  Inputs add(made.graph);
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
