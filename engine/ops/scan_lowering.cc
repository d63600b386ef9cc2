#include <cstring>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/ops/scan_op.h"

namespace hone::engine {
namespace {

using onednn::MemoryDesc;

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

// The body, placed: the states are in the memory of the scan's first outputs, where the body
// changes them.
struct Loop {
  std::shared_ptr<Subprogram> body;
  ScanOptions options;
  std::vector<Copy> begin;   // what the states are at first
  std::vector<Copy> before;  // each step: what the body reads, and states that are kept
  std::vector<Copy> after;   // each step: what is collected

  bool Run(const RunScalars& scalars) const {
    const auto copy_all = [](const std::vector<Copy>& copies, int64_t t) {
      for (const Copy& copy : copies) {
        copy.Run(t);
      }
    };
    copy_all(begin, 0);
    if (!body->Start(scalars)) {
      return false;
    }
    for (int64_t n = 0; n < options.steps; ++n) {
      const int64_t t = TimeOf(n, options);
      copy_all(before, t);
      if (!body->Run(scalars)) {
        return false;
      }
      copy_all(after, t);
    }
    return true;
  }
};

// An input or output of the scan's node, row major.
struct Part {
  Slot slot;
  size_t bytes;       // of one step, where it goes over time
  std::string name;   // of the body's value
  size_t number = 0;  // outputs: of the carry or of the body's output that it holds
};

size_t BytesOf(const TensorType& type) { return static_cast<size_t>(type.bytes()); }

}  // namespace

// The node's inputs and outputs, by what they are to the body.
struct ScanOp::Parts {
  // Inputs. `first`: the carries at the beginning.
  std::vector<Part> first, sequences, constants;
  // Outputs. `states`: the carries, which change there from step to step. Of the others, those that
  // are read.
  std::vector<Part> states, collected, histories;
  Slot arena = -1;  // the body's
};

absl::StatusOr<std::shared_ptr<Subprogram>> ScanOp::PlanBody(Lowering& l) const {
  SubprogramRequest request = {.fetch = body_.result.outputs};
  for (size_t i = 0; i < constants(); ++i) {
    request.constants.emplace_back(NameInBody(body_.step.constants[i]), ConstantInput(i));
  }
  for (size_t i = 0; i < carries(); ++i) {
    request.carries.emplace_back(body_.step.carries[i], body_.result.carries[i]);
  }
  return l.Plan(body_.graph, request);
}

absl::StatusOr<ScanOp::Parts> ScanOp::PlaceParts(Lowering& l) const {
  Parts parts;
  const auto input = [&](int i, Value in_body) -> absl::StatusOr<Part> {
    HONE_ASSIGN_OR_RETURN(const Slot slot, l.Input(i, MemoryDesc::Plain(l.input_type(i))));
    return Part{slot, BytesOf(body_.graph.type(in_body)), NameInBody(in_body)};
  };
  const auto output = [&](int i, Value in_body, size_t number) {
    return Part{l.Output(i, MemoryDesc::Plain(l.output_type(i))),
                BytesOf(body_.graph.type(in_body)), NameInBody(in_body), number};
  };
  const ScanStep& step = body_.step;
  for (size_t i = 0; i < carries(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.first.emplace_back(), input(CarryInput(i), step.carries[i]));
  }
  for (size_t i = 0; i < sequences(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.sequences.emplace_back(),
                          input(SequenceInput(i), step.sequences[i]));
  }
  for (size_t i = 0; i < constants(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.constants.emplace_back(),
                          input(ConstantInput(i), step.constants[i]));
  }
  for (size_t i = 0; i < carries(); ++i) {
    parts.states.push_back(output(CarryOutput(i), step.carries[i], i));
  }
  for (size_t i = 0; i < outputs(); ++i) {
    if (l.wanted(CollectedOutput(i))) {
      parts.collected.push_back(output(CollectedOutput(i), body_.result.outputs[i], i));
    }
  }
  for (size_t i = 0; i < carries(); ++i) {
    if (l.wanted(HistoryOutput(i))) {
      parts.histories.push_back(output(HistoryOutput(i), step.carries[i], i));
    }
  }
  return parts;
}

absl::Status ScanOp::Lower(Lowering& l) const {
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<Subprogram> body, PlanBody(l));
  HONE_ASSIGN_OR_RETURN(Parts parts, PlaceParts(l));
  parts.arena = l.Scratch(body->arena_bytes());
  l.Emit(kind(), [=, options = options_](const Memory& m) -> absl::StatusOr<StepFunction> {
    const auto at = [&](const Part& part) { return m.as<std::byte>(part.slot); };
    for (const std::vector<Part>& placed : {parts.constants, parts.states}) {
      for (const Part& part : placed) {
        body->Place(part.name, m[part.slot]);
      }
    }
    HONE_RETURN_IF_ERROR(body->Bind(m.as<std::byte>(parts.arena)));
    Loop loop = {.body = body, .options = options, .begin = {}, .before = {}, .after = {}};
    for (size_t i = 0; i < parts.states.size(); ++i) {
      loop.begin.push_back({at(parts.first[i]), at(parts.states[i]), parts.states[i].bytes});
    }
    for (const Part& part : parts.histories) {
      loop.before.push_back({.from = at(parts.states[part.number]),
                             .to = at(part),
                             .bytes = part.bytes,
                             .advances_to = true});
    }
    for (const Part& part : parts.sequences) {
      if (void* in_body = body->input(part.name); in_body != nullptr) {
        loop.before.push_back({.from = at(part),
                               .to = static_cast<std::byte*>(in_body),
                               .bytes = part.bytes,
                               .advances_from = true});
      }
    }
    for (const Part& part : parts.collected) {
      loop.after.push_back({.from = static_cast<const std::byte*>(body->fetched(part.number)),
                            .to = at(part),
                            .bytes = part.bytes,
                            .advances_to = true});
    }
    return [=](const RunScalars& scalars) { return loop.Run(scalars); };
  });
  return absl::OkStatus();
}

}  // namespace hone::engine
