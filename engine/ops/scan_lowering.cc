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

}  // namespace

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

}  // namespace hone::engine
