#include "engine/job/machine_rates.h"

#include <algorithm>
#include <optional>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/kernels/arrays.h"
#include "engine/ops/linear.h"
#include "engine/plan/program.h"
#include "engine/train/meter.h"

namespace hone::engine::job {
namespace {

// The best of a few runs: the rate is what the machine can do, not what it did.
template <typename Body>
double BestSeconds(int rounds, Body&& body) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const train::Clock::time_point begin = train::Clock::now();
    body();
    best = std::min(best, train::SecondsBetween(begin, train::Clock::now()));
  }
  return best;
}

}  // namespace

absl::StatusOr<MachineRates> MeasureRates(int threads, DType compute) {
  constexpr int64_t kSide = 1024, kElements = 8 << 20;
  const ScopedThreads scoped(threads);
  Graph graph;
  ParameterStore store;
  ParameterSpec spec{.name = "weight", .shape = {kSide, kSide}, .initializer = {}};
  const Value x = graph.Input("x", {{kSide, kSide}, DType::kF32});
  const Value y = Linear(graph, x, graph.Parameter(spec), std::nullopt);
  HONE_RETURN_IF_ERROR(store.Declare(spec).status());
  store.Allocate(1);
  HONE_ASSIGN_OR_RETURN(Program program,
                        Program::Compile({.graph = &graph, .fetch = {y}, .gradients = {}}, store,
                                         {.threads = threads, .compute = compute}));
  const Buffer arena(program.arena_bytes());
  HONE_RETURN_IF_ERROR(program.Bind(arena.as<std::byte>()));
  store.RefreshAll();
  HONE_RETURN_IF_ERROR(program.Run({}));
  const Program::Step* product = nullptr;
  for (const Program::Step& step : program.steps()) {
    product = step.cost.flops > 0 ? &step : product;
  }
  if (product == nullptr) {
    return absl::InternalError("the product to be measured has no step");
  }
  const double seconds = BestSeconds(8, [&] { product->run({}); });
  const Buffer a(kElements * 4), b(kElements * 4);
  const double copy_seconds = BestSeconds(5, [&] {
    ForElements(kElements, threads, [&](int64_t begin, int64_t end) {
      kernels::ScaleArray(DType::kF32, 1.5f, a.data(), b.data(), begin, end);
    });
  });
  return MachineRates{.flops_per_second = 2.0 * kSide * kSide * kSide / seconds,
                      .bytes_per_second = 2.0 * kElements * 4 / copy_seconds};
}

}  // namespace hone::engine::job
