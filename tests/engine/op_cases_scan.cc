#include "engine/graph/sum.h"
#include "engine/ops/activation.h"
#include "engine/ops/full.h"
#include "engine/ops/linear.h"
#include "engine/ops/matmul.h"
#include "engine/ops/mul.h"
#include "engine/ops/scan.h"
#include "tests/engine/op_case.h"

namespace hone::engine {
namespace {

// The cell of Elman 1990: h' = tanh(x W + h U + b), over 5 steps of 3 examples.
CaseOutputs Elman(CaseBuilder& b, bool reverse) {
  constexpr int64_t kSteps = 5, kBatch = 3, kIn = 4, kUnits = 7;
  const Value x = b.Input({kSteps, kBatch, kIn});
  const Value w = b.Parameter({kIn, kUnits}, Fill::kPowers);
  const Value u = b.Parameter({kUnits, kUnits}, Fill::kPowers);
  const Value bias = b.Parameter({kUnits});
  const Value start = b.Input({kBatch, kUnits});
  const ScanResult scan =
      Scan(b.graph, {.carries = {start}, .sequences = {x}, .constants = {w, u, bias}},
           {.steps = kSteps, .reverse = reverse}, [](Graph& body, const ScanStep& step) {
             const std::vector<Value>& c = step.constants;
             const Value in = Linear(body, step.sequences[0], c[0], c[2]);
             const Value past = Linear(body, step.carries[0], c[1], {});
             const Value h = Activation(body, Sum(body, in, past), ActivationKind::kTanh);
             return ScanStepResult{.carries = {h}, .outputs = {h}};
           });
  return {{scan.outputs[0], scan.carries[0]}, {}};
}

// Two carries that change places: what one becomes is the other as it was.
CaseOutputs Swap(CaseBuilder& b) {
  const Value x = b.Input({4, 2, 3});
  const ScanResult scan =
      Scan(b.graph,
           {.carries = {b.Input({2, 3}), b.Parameter({2, 3})},
            .sequences = {x},
            .constants = {b.Input({2, 3}, Fill::kPowers)}},
           {.steps = 4}, [](Graph& body, const ScanStep& step) {
             const Value u = step.carries[0], v = step.carries[1];
             return ScanStepResult{.carries = {v, Sum(body, u, step.sequences[0])},
                                   .outputs = {Mul(body, u, step.constants[0])}};
           });
  return {{scan.carries[0], scan.carries[1], scan.outputs[0]}, {}};
}

// Nothing comes in but a state, and only the last one is asked for.
CaseOutputs Powers(CaseBuilder& b) {
  const ScanResult scan = Scan(b.graph,
                               {.carries = {b.Input({3, 5}, Fill::kPowers)},
                                .sequences = {},
                                .constants = {b.Parameter({5, 5})}},
                               {.steps = 3}, [](Graph& body, const ScanStep& step) {
                                 const Value next =
                                     MatMul(body, step.carries[0], step.constants[0]);
                                 return ScanStepResult{.carries = {next}, .outputs = {}};
                               });
  return {{scan.carries[0]}, {}};
}

}  // namespace

std::vector<OpCase> ScanCases() {
  return {
      {.name = "scan",
       .build = [](CaseBuilder& b) { return Elman(b, false); },
       .bf16_tolerance = 4e-2},
      {.name = "scan_reverse",
       .build = [](CaseBuilder& b) { return Elman(b, true); },
       .bf16_tolerance = 4e-2},
      {.name = "scan_of_carries_that_swap", .build = Swap},
      {.name = "scan_without_sequences", .build = Powers, .bf16_tolerance = 4e-2},
      {.name = "full",
       .build =
           [](CaseBuilder& b) {
             const Value x = b.Input({3, 7});
             return CaseOutputs{{Mul(b.graph, x, Full(b.graph, {3, 7}, 0.5))}, {}};
           }},
  };
}

}  // namespace hone::engine
