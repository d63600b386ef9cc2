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

// A value of the scan's node, row major: its slot, its bytes (of one step, if it goes over time),
// and what it is called or where it is fetched in the body.
struct Part {
  Slot slot;
  size_t bytes;
  std::string input;
  size_t fetched = 0;
};

size_t BytesOf(const TensorType& type) { return static_cast<size_t>(type.bytes()); }

}  // namespace

// What of the node's inputs and outputs goes where in the body.
struct ScanOp::Parts {
  std::vector<Part> first, sequences, constants;   // inputs
  std::vector<Part> states, collected, histories;  // outputs; of the last two, what is read
  Slot arena = -1;
};

absl::StatusOr<std::shared_ptr<Subprogram>> ScanOp::PlanBody(Lowering& l) const {
  SubprogramRequest request = {.fetch = body_.result.outputs};
  for (size_t i = 0; i < constants(); ++i) {
    request.constants.emplace_back(NameInBody(body_.step.constants[i]),
                                   static_cast<int>(carries() + sequences() + i));
  }
  for (size_t i = 0; i < carries(); ++i) {
    request.carries.emplace_back(body_.step.carries[i], body_.result.carries[i]);
  }
  return l.Plan(body_.graph, request);
}

absl::StatusOr<ScanOp::Parts> ScanOp::PlaceParts(Lowering& l) const {
  Parts parts;
  const auto input = [&](size_t i, Value in_body) -> absl::StatusOr<Part> {
    const int at = static_cast<int>(i);
    HONE_ASSIGN_OR_RETURN(const Slot slot, l.Input(at, MemoryDesc::Plain(l.input_type(at))));
    return Part{slot, BytesOf(body_.graph.type(in_body)), NameInBody(in_body)};
  };
  const auto output = [&](size_t i, Value in_body, size_t fetched) {
    const int at = static_cast<int>(i);
    return Part{l.Output(at, MemoryDesc::Plain(l.output_type(at))),
                BytesOf(body_.graph.type(in_body)), NameInBody(in_body), fetched};
  };
  for (size_t i = 0; i < carries(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.first.emplace_back(), input(i, body_.step.carries[i]));
  }
  for (size_t i = 0; i < sequences(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.sequences.emplace_back(),
                          input(carries() + i, body_.step.sequences[i]));
  }
  for (size_t i = 0; i < constants(); ++i) {
    HONE_ASSIGN_OR_RETURN(parts.constants.emplace_back(),
                          input(carries() + sequences() + i, body_.step.constants[i]));
  }
  const auto wanted = [&](size_t i) { return l.wanted(static_cast<int>(i)); };
  for (size_t i = 0; i < carries(); ++i) {
    parts.states.push_back(output(i, body_.step.carries[i], 0));
  }
  for (size_t i = 0; i < outputs(); ++i) {
    if (wanted(carries() + i)) {
      parts.collected.push_back(output(carries() + i, body_.result.outputs[i], i));
    }
  }
  for (size_t i = 0; i < carries(); ++i) {
    if (const size_t history = carries() + outputs() + i; wanted(history)) {
      parts.histories.push_back(output(history, body_.step.carries[i], i));
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
        body->Place(part.input, m[part.slot]);
      }
    }
    HONE_RETURN_IF_ERROR(body->Bind(m.as<std::byte>(parts.arena)));
    Loop loop = {.body = body, .options = options, .begin = {}, .before = {}, .after = {}};
    for (size_t i = 0; i < parts.states.size(); ++i) {
      loop.begin.push_back({at(parts.first[i]), at(parts.states[i]), parts.states[i].bytes});
    }
    for (const Part& part : parts.histories) {
      loop.before.push_back({.from = at(parts.states[part.fetched]),
                             .to = at(part),
                             .bytes = part.bytes,
                             .advances_to = true});
    }
    for (const Part& part : parts.sequences) {
      if (void* in_body = body->input(part.input); in_body != nullptr) {
        loop.before.push_back({.from = at(part),
                               .to = static_cast<std::byte*>(in_body),
                               .bytes = part.bytes,
                               .advances_from = true});
      }
    }
    for (const Part& part : parts.collected) {
      loop.after.push_back({.from = static_cast<const std::byte*>(body->fetched(part.fetched)),
                            .to = at(part),
                            .bytes = part.bytes,
                            .advances_to = true});
    }
    return [=](const RunScalars& scalars) { return loop.Run(scalars); };
  });
  return absl::OkStatus();
}

}  // namespace hone::engine
