#include "engine/graph/sum.h"
#include "engine/ops/full.h"
#include "engine/ops/scan_op.h"

namespace hone::engine {

// The scan that goes the other way. One step of it takes the gradients with respect to a step's
// results to those with respect to what the step began with. Its carries are the gradient of the
// state and the sums for the constants; its sequences the states that the steps began with, the
// forward sequences and the gradients of the outputs; its outputs the gradients of the sequences.
class ScanOp::Backwards {
 public:
  Backwards(const ScanOp& forward, Gradient& g)
      : forward_(forward), g_(g), body_{.graph = forward.body_.graph, .step = {}, .result = {}} {}

  void Build() {
    TakeStates();
    TakeSequences();
    TakeGradientsOfOutputs();
    TakeConstants();
    GiveGradients();
  }

  // Adds the scan to the graph around, and what it gives to the gradients of the inputs.
  void Attach() {
    Graph& outer = g_.graph();
    if (!body_.graph.status().ok()) {
      outer.Fail(body_.graph.status());
      return;
    }
    const ScanResult result =
        AddScan(outer, Joined(Joined(initial_, sequences_), constants_), std::move(body_),
                {.steps = forward_.options_.steps, .reverse = !forward_.options_.reverse});
    size_t output = 0, carry = 0;
    for (size_t i = 0; i < forward_.carries(); ++i) {
      const Value gradient = result.carries[carry++];
      g_.Accumulate(forward_.CarryInput(i), [&] { return gradient; });
    }
    for (size_t i = 0; i < forward_.sequences(); ++i) {
      g_.Accumulate(forward_.SequenceInput(i), [&] { return result.outputs[output++]; });
    }
    for (size_t i = 0; i < forward_.constants(); ++i) {
      g_.Accumulate(forward_.ConstantInput(i), [&] { return result.carries[carry++]; });
    }
  }

 private:
  const ScanStep& step() const { return forward_.body_.step; }
  Value AddInput(absl::string_view kind, Value like) {
    return BodyInputs(body_.graph).Add(kind, body_.graph.type(like));
  }

  // The gradient of each state comes as a carry, the state itself as a history.
  void TakeStates() {
    for (size_t i = 0; i < forward_.carries(); ++i) {
      const Value state = step().carries[i], dy = AddInput("d_carry", state);
      const Value from_outside = g_.dy(forward_.CarryOutput(i));
      body_.step.carries.push_back(dy);
      known_.emplace_back(forward_.body_.result.carries[i], dy);
      initial_.push_back(from_outside.valid() ? from_outside
                                              : Full(g_.graph(), body_.graph.shape(state), 0));
      wanted_.push_back(state);
      body_.step.sequences.push_back(state);
      sequences_.push_back(g_.output(forward_.HistoryOutput(i)));
    }
  }

  void TakeSequences() {
    for (size_t i = 0; i < forward_.sequences(); ++i) {
      body_.step.sequences.push_back(step().sequences[i]);
      sequences_.push_back(g_.input(forward_.SequenceInput(i)));
      if (g_.Needs(forward_.SequenceInput(i))) {
        wanted_.push_back(step().sequences[i]);
      }
    }
  }

  void TakeGradientsOfOutputs() {
    for (size_t i = 0; i < forward_.outputs(); ++i) {
      const Value from_outside = g_.dy(forward_.CollectedOutput(i));
      if (from_outside.valid()) {
        const Value output = forward_.body_.result.outputs[i], dy = AddInput("d_output", output);
        body_.step.sequences.push_back(dy);
        sequences_.push_back(from_outside);
        known_.emplace_back(output, dy);
      }
    }
  }

  // Each constant that needs a gradient has a sum over time, a carry that is zero at first.
  void TakeConstants() {
    for (size_t i = 0; i < forward_.constants(); ++i) {
      const Value constant = step().constants[i];
      body_.step.constants.push_back(constant);
      constants_.push_back(g_.input(forward_.ConstantInput(i)));
      if (g_.Needs(forward_.ConstantInput(i))) {
        sums_.push_back(AddInput("d_constant", constant));
        body_.step.carries.push_back(sums_.back());
        initial_.push_back(Full(g_.graph(), body_.graph.shape(constant), 0));
        wanted_.push_back(constant);
      }
    }
  }

  // The step's results. `wanted_` are the states, then sequences, then the constants with a sum.
  void GiveGradients() {
    const std::vector<Value> gradients = engine::Differentiate(body_.graph, known_, wanted_);
    size_t next = 0;
    const auto gradient_or_zeros = [&] {
      const size_t i = next++;
      return gradients[i].valid() ? gradients[i]
                                  : Full(body_.graph, body_.graph.shape(wanted_[i]), 0);
    };
    for (size_t i = 0; i < forward_.carries(); ++i) {
      body_.result.carries.push_back(gradient_or_zeros());
    }
    while (next < gradients.size() - sums_.size()) {
      body_.result.outputs.push_back(gradient_or_zeros());
    }
    for (const Value sum : sums_) {
      const Value more = gradients[next++];
      body_.result.carries.push_back(more.valid() ? Sum(body_.graph, sum, more) : sum);
    }
  }

  const ScanOp& forward_;
  Gradient& g_;
  ScanBodyGraph body_;
  // In the step: results and their gradients, and what gradients are wanted of.
  std::vector<std::pair<Value, Value>> known_;
  std::vector<Value> wanted_, sums_;
  // In the graph around.
  std::vector<Value> initial_, sequences_, constants_;
};

void ScanOp::Differentiate(Gradient& g) const {
  for (size_t i = 0; i < carries(); ++i) {
    if (g.dy(HistoryOutput(i)).valid()) {
      g.graph().Fail(absl::UnimplementedError(
          absl::StrCat("scan ", g.graph().scope(), ": the gradient of its gradient is not known")));
      return;
    }
  }
  Backwards backwards(*this, g);
  backwards.Build();
  backwards.Attach();
}

}  // namespace hone::engine
