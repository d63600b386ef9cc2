#include "engine/train/profile.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/kernels/elementwise.h"
#include "engine/ops/linear.h"
#include "engine/plan/program.h"

namespace hone::engine::train {
namespace {

constexpr int kRounds = 30;

// The best of a few runs: the rate is what the machine can do, not what it did.
template <typename Body>
double BestSeconds(int rounds, Body&& body) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const Clock::time_point begin = Clock::now();
    body();
    best = std::min(best, SecondsBetween(begin, Clock::now()));
  }
  return best;
}

struct Row {
  const Program::Step* step;
  double seconds = 0;
};

absl::string_view LimitOf(const Cost& cost, double seconds, const MachineRates& rates) {
  const double compute = cost.flops / seconds / rates.flops_per_second;
  const double memory = cost.bytes / seconds / rates.bytes_per_second;
  if (std::max(compute, memory) < 0.5) {
    return "overhead";
  }
  return compute >= memory ? "compute" : "memory";
}

// Mean seconds of each step of shard 0's program, the other shards running beside it.
absl::StatusOr<std::vector<Row>> TimeSteps(const Replicas& replicas) {
  const Program& program = replicas.program(0);
  std::vector<Row> rows;
  for (const Program::Step& step : program.steps()) {
    rows.push_back({&step});
  }
  std::vector<char> refused(static_cast<size_t>(replicas.shards()));
  for (int round = 0; round < kRounds; ++round) {
    RunTeam(replicas.shards(), [&](int k) {
      if (k != 0) {
        refused[static_cast<size_t>(k)] = !replicas.RunShard(k, {}).ok();
        return;
      }
      Clock::time_point before = Clock::now();
      for (Row& row : rows) {
        refused[0] |= row.step->run({}) ? 0 : 1;
        const Clock::time_point now = Clock::now();
        row.seconds += SecondsBetween(before, now) / kRounds;
        before = now;
      }
    });
  }
  if (std::ranges::count(refused, 0) != static_cast<int64_t>(refused.size())) {
    return absl::InternalError("oneDNN refused a step");
  }
  return rows;
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
    RunTeam(threads, [&](int k) {
      const auto [begin, end] = Slice(kElements, k, threads, 64);
      kernels::ScaleArray(DType::kF32, 1.5f, a.as<float>() + begin, b.as<float>() + begin,
                          end - begin);
    });
  });
  return MachineRates{.flops_per_second = 2.0 * kSide * kSide * kSide / seconds,
                      .bytes_per_second = 2.0 * kElements * 4 / copy_seconds};
}

namespace {

// One update's forward and backward pass. `rates` are those of one shard.
absl::StatusOr<std::string> ProfileUpdate(const LoopParts& parts, size_t update, int64_t batch,
                                          const MachineRates& rates) {
  const std::span<const int32_t> rows = parts.data.splits.train;
  const std::unique_ptr<TaskState> state = parts.task.NewState(parts.config);
  const BatchFiller filler(parts.data.dataset, parts.task, state.get());
  if (state != nullptr) {
    HONE_RETURN_IF_ERROR(state->BeginStep({.examples = batch, .programs = parts.programs}));
    parts.programs.store().RefreshAll();
  }
  HONE_ASSIGN_OR_RETURN(
      const Replicas* found,
      parts.programs.training(update,
                              {batch, filler.BucketOf(rows.first(static_cast<size_t>(batch)))}));
  const Replicas& replicas = *found;
  for (int k = 0; k < replicas.shards(); ++k) {
    filler.Fill(replicas.program(k),
                {.rows = rows.subspan(static_cast<size_t>(replicas.begin(k)),
                                      static_cast<size_t>(replicas.examples(k))),
                 .first = replicas.begin(k)});
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<Row> timed, TimeSteps(replicas));
  double total = 0, flops = 0;
  for (const Row& row : timed) {
    total += row.seconds;
    flops += row.step->cost.flops;
  }
  std::string table =
      absl::StrFormat("%-16s %-24s %-8s %9s %6s %8s %7s %-8s  %s\n", "layer", "op", "pass", "µs",
                      "share", "GFLOP/s", "of max", "limit", "implementation");
  for (const Row& row : timed) {
    const double rate = row.step->cost.flops / row.seconds;
    absl::StrAppendFormat(
        &table, "%-16s %-24s %-8s %8.1f %5.1f%% %8.1f %6.0f%% %-8s  %s\n", row.step->layer,
        row.step->op, row.step->backward ? "backward" : "forward", 1e6 * row.seconds,
        100 * row.seconds / total, rate / 1e9, 100 * rate / rates.flops_per_second,
        LimitOf(row.step->cost, row.seconds, rates), row.step->implementation);
  }
  absl::StrAppendFormat(&table, "%-50s %8.1f 100.0%% %8.1f %6.0f%%", "forward and backward",
                        1e6 * total, flops / total / 1e9,
                        100 * flops / total / rates.flops_per_second);
  return table;
}

}  // namespace

absl::StatusOr<std::string> ProfileTraining(const LoopParts& parts) {
  HONE_ASSIGN_OR_RETURN(MachineRates rates,
                        MeasureRates(parts.config.threads, parts.config.compute));
  const int64_t batch = std::min(parts.config.batch_size, parts.info.train);
  const int shards = parts.programs.training(0, batch).shards();
  std::string table = absl::StrFormat(
      "profile of one training step, batch %d: %d threads, %d shard(s); this machine: %.0f GFLOP/s "
      "in products, %.1f GB/s\n",
      batch, parts.config.threads, shards, rates.flops_per_second / 1e9,
      rates.bytes_per_second / 1e9);
  // A shard has one thread's part of the machine.
  rates.flops_per_second /= shards;
  rates.bytes_per_second /= shards;
  for (size_t u = 0; u < parts.programs.updates().size(); ++u) {
    HONE_ASSIGN_OR_RETURN(const std::string part, ProfileUpdate(parts, u, batch, rates));
    const std::string& name = parts.programs.updates()[u].spec.name;
    absl::StrAppend(&table, u > 0 ? "\n" : "", name, name.empty() ? "" : "\n", part);
  }
  return table;
}

}  // namespace hone::engine::train
