#include "engine/job/profile.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/kernels/elementwise.h"
#include "engine/ops/linear.h"
#include "engine/plan/program.h"

namespace hone::engine::job {
namespace {

constexpr int kRounds = 30;

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

// What takes time in a step: a step of the program, a pass of the optimizer, ….
struct Row {
  std::string layer = "";
  std::string op = "";
  std::string pass = "";
  double seconds = 0;
  Cost cost = {};
  std::string implementation = "";
  bool whole_machine = false;  // all threads work on it together, not each on its shard's
};

absl::string_view LimitOf(const Cost& cost, double seconds, const MachineRates& rates) {
  const double compute = cost.flops / seconds / rates.flops_per_second;
  const double memory = cost.bytes / seconds / rates.bytes_per_second;
  if (std::max(compute, memory) < 0.5) {
    return "overhead";
  }
  return compute >= memory ? "compute" : "memory";
}

// Seconds of the rounds. Their median is what counts: on a machine that does something else, too, a
// round now and then waits for a core.
class Times {
 public:
  void Add(train::Clock::time_point begin) {
    seconds_.push_back(train::SecondsBetween(begin, train::Clock::now()));
  }
  double Median() {
    std::ranges::nth_element(seconds_, seconds_.begin() + kRounds / 2);
    return seconds_[kRounds / 2];
  }

 private:
  std::vector<double> seconds_;
};

// Each step of shard 0's program, the other shards running beside it.
absl::StatusOr<std::vector<Row>> TimeSteps(const Replicas& replicas) {
  const Program& program = replicas.program(0);
  std::vector<Row> rows;
  for (const Program::Step& step : program.steps()) {
    rows.push_back({.layer = step.layer,
                    .op = step.op,
                    .pass = step.backward ? "backward" : "forward",
                    .cost = step.cost,
                    .implementation = step.implementation});
  }
  std::vector<Times> times(rows.size());
  std::vector<char> refused(static_cast<size_t>(replicas.shards()));
  for (int round = 0; round < kRounds; ++round) {
    RunTeam(replicas.shards(), [&](int k) {
      if (k != 0) {
        refused[static_cast<size_t>(k)] = !replicas.RunShard(k, {}).ok();
        return;
      }
      for (size_t i = 0; i < rows.size(); ++i) {
        const train::Clock::time_point begin = train::Clock::now();
        refused[0] |= program.steps()[i].run({}) ? 0 : 1;
        times[i].Add(begin);
      }
    });
  }
  if (std::ranges::count(refused, 0) != static_cast<int64_t>(refused.size())) {
    return absl::InternalError("oneDNN refused a step");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].seconds = times[i].Median();
  }
  return rows;
}

// Filling the inputs of shard 0, the others beside it; where there is one shard, by the whole team.
absl::StatusOr<Row> TimeFilling(const Replicas& replicas, const data::Dataset& dataset,
                                train::FillInputs fill) {
  Row row{.op = "fill the batch", .pass = "data"};
  row.cost.bytes = 2.0 * static_cast<double>(replicas.batch() * dataset.features().bytes());
  row.whole_machine = true;
  Times times;
  std::vector<absl::Status> statuses(static_cast<size_t>(replicas.shards()));
  for (int round = 0; round < kRounds; ++round) {
    RunTeam(replicas.shards(), [&](int k) {
      const train::Clock::time_point begin = train::Clock::now();
      statuses[static_cast<size_t>(k)] =
          fill(replicas.program(k), replicas.begin(k), replicas.examples(k));
      if (k == 0) {
        times.Add(begin);
      }
    });
  }
  for (const absl::Status& status : statuses) {
    HONE_RETURN_IF_ERROR(status);
  }
  row.seconds = times.Median();
  return row;
}

// The passes that follow the gradients: each shared by all threads, between barriers.
std::vector<Row> TimeUpdate(const Replicas& replicas, optim::Optimizer& optimizer,
                            ParameterStore& store, int threads) {
  const double slab = 4.0 * static_cast<double>(store.trainable_slab_size());
  const double gradients = replicas.shards() * slab;
  std::vector<Row> rows = {
      {.op = "read the gradients", .pass = "update", .cost = {.bytes = gradients}},
      {.op = "write the weights",
       .pass = "update",
       .cost = {.bytes = gradients + 2 * slab + 2.0 * optimizer.state_slabs() * slab}},
      {.op = "repack the weights",
       .pass = "update",
       .cost = {.bytes = 2.0 * static_cast<double>(store.packed_bytes())}}};
  std::vector<const float*> shards;
  for (int k = 0; k < replicas.shards(); ++k) {
    shards.push_back(store.gradient_slab(k));
  }
  const optim::Slabs slabs = {store.value_slab(), {shards.data(), shards.size()}};
  Barrier barrier(threads);
  std::vector<Times> times(rows.size());
  for (int round = 0; round < kRounds; ++round) {
    RunTeam(threads, [&](int k) {
      const auto timed = [&](size_t row, absl::FunctionRef<void()> pass) {
        barrier.Wait();
        const train::Clock::time_point begin = train::Clock::now();
        pass();
        if (k == 0) {
          times[row].Add(begin);
        }
        barrier.Wait();
      };
      timed(0, [&] { optimizer.Read(slabs, false, k, threads); });
      timed(1, [&] { optimizer.Write(slabs, {.step = round + 1}, k, threads); });
      if (k == 0) {
        store.MarkChanged();
      }
      timed(2, [&] { store.Refresh(k, threads); });
    });
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].seconds = times[i].Median();
    rows[i].whole_machine = true;
  }
  return rows;
}

// The whole step as the loop runs it, with a learning rate of 0.
absl::StatusOr<double> TimeWhole(const Replicas& replicas, optim::Optimizer& optimizer,
                                 ParameterStore& store, int threads, train::FillInputs fill) {
  train::TrainStep step(store, optimizer, threads);
  Times times;
  for (int round = 0; round < kRounds; ++round) {
    const train::Clock::time_point begin = train::Clock::now();
    HONE_RETURN_IF_ERROR(
        step.Run(replicas, {.scalars = {}, .update_number = round + 1}, fill).status());
    times.Add(begin);
  }
  return times.Median();
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

// `shard` and `machine` are the rates of one shard and of all threads.
struct Rates {
  MachineRates machine;
  MachineRates shard;
};

// Beside waiting, which has no limit but the slowest thread.
std::string LimitAndRate(const Row& row, const Rates& rates) {
  const MachineRates& of = row.whole_machine ? rates.machine : rates.shard;
  if (row.cost.flops <= 0 && row.cost.bytes <= 0) {
    return absl::StrFormat("%8s %7s %-8s", "", "", "");
  }
  const double rate = row.cost.flops / row.seconds;
  return absl::StrFormat("%8.1f %6.0f%% %-8s", rate / 1e9, 100 * rate / of.flops_per_second,
                         LimitOf(row.cost, row.seconds, of));
}

// Each row, then the same put together by op, the longest first.
std::string Tables(const std::vector<Row>& rows, double whole, const Rates& rates) {
  constexpr char kHead[] = "%-16s %-28s %-8s %9s %6s %8s %7s %-8s  %s\n";
  std::string text = absl::StrFormat(kHead, "layer", "op", "pass", "µs", "share", "GFLOP/s",
                                     "of max", "limit", "implementation");
  std::vector<Row> by_op;
  std::vector<int> steps;
  const auto add = [&](const std::string& first, const Row& row, const std::string& last) {
    absl::StrAppendFormat(&text, "%-16s %-28s %-8s %8.1f %5.1f%% %s  %s\n", first, row.op, row.pass,
                          1e6 * row.seconds, 100 * row.seconds / whole, LimitAndRate(row, rates),
                          last);
  };
  for (const Row& row : rows) {
    add(row.layer, row, row.implementation);
    const auto same = std::ranges::find_if(
        by_op, [&](const Row& other) { return other.op == row.op && other.pass == row.pass; });
    if (same == by_op.end()) {
      by_op.push_back(row);
      steps.push_back(1);
      by_op.back().implementation.clear();
      by_op.back().layer.clear();
    } else {
      same->seconds += row.seconds;
      same->cost.flops += row.cost.flops;
      same->cost.bytes += row.cost.bytes;
      ++steps[static_cast<size_t>(same - by_op.begin())];
    }
  }
  for (size_t i = 0; i < by_op.size(); ++i) {
    by_op[i].layer = absl::StrCat(steps[i], steps[i] == 1 ? " step" : " steps");
  }
  std::ranges::sort(by_op, std::greater(), &Row::seconds);
  absl::StrAppend(&text, "by op\n");
  for (const Row& row : by_op) {
    add(row.layer, row, "");
  }
  absl::StrAppendFormat(&text, "%-54s %8.1f 100.0%%", "the whole step", 1e6 * whole);
  return text;
}

absl::StatusOr<std::string> ProfileUpdate(const train::LoopParts& parts, size_t update,
                                          const Rates& rates) {
  optim::Optimizer& optimizer = *parts.programs.updates()[update].optimizer;
  ParameterStore& store = parts.programs.store();
  const int threads = parts.config.threads;
  const std::unique_ptr<tasks::TaskState> state = parts.task.NewState(parts.config);
  train::BatchFiller filler(parts.data.dataset, parts.task, state.get());
  filler.Augment(parts.config.augmentation, parts.config.seed);
  filler.Share(threads);
  data::Batches batches(
      parts.data.splits.train,
      {.batch_size = parts.config.batch_size, .shuffle = false, .bucket_of = filler.row_buckets()});
  const std::span<const int32_t> rows = batches.Next().rows;
  const auto batch = static_cast<int64_t>(rows.size());
  int64_t bucket = 0;  // which the task's state knows once its step has begun
  const auto fill = [&](const Program& program, int64_t first, int64_t count) {
    return filler.Fill(
        tasks::Inputs(program, {count, bucket}),
        {.rows = rows.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
         .first = first});
  };
  if (state != nullptr) {
    HONE_RETURN_IF_ERROR(state->BeginStep(
        {.examples = batch, .programs = parts.programs, .artifacts = tasks::ArtifactSink()}));
    store.RefreshAll();
  }
  bucket = filler.BucketOf(rows);
  HONE_ASSIGN_OR_RETURN(const Replicas* found, parts.programs.training(update, {batch, bucket}));
  const Replicas& replicas = *found;
  HONE_ASSIGN_OR_RETURN(Row filling, TimeFilling(replicas, parts.data.dataset, fill));
  std::vector<Row> timed = {std::move(filling)};
  HONE_ASSIGN_OR_RETURN(const std::vector<Row> steps, TimeSteps(replicas));
  timed.insert(timed.end(), steps.begin(), steps.end());
  const std::vector<Row> passes = TimeUpdate(replicas, optimizer, store, threads);
  timed.insert(timed.end(), passes.begin(), passes.end());
  HONE_ASSIGN_OR_RETURN(double whole, TimeWhole(replicas, optimizer, store, threads, fill));
  double sum = 0;
  for (const Row& row : timed) {
    sum += row.seconds;
  }
  // Clocks read between steps cost something, too: the whole may be less than its parts.
  whole = std::max(whole, sum);
  timed.push_back({.op = "wait for other threads", .pass = "step", .seconds = whole - sum});
  return Tables(timed, whole, rates);
}

}  // namespace

absl::StatusOr<std::string> ProfileTraining(const train::LoopParts& parts) {
  HONE_ASSIGN_OR_RETURN(const MachineRates machine,
                        MeasureRates(parts.config.threads, parts.config.compute));
  const int64_t batch = std::min(parts.config.batch_size, parts.info.train);
  const int shards = parts.programs.store().shards();
  std::string table = absl::StrFormat(
      "profile of one training step, batch %d: %d threads, %d shard(s); this machine: %.0f GFLOP/s "
      "in products, %.1f GB/s\n",
      batch, parts.config.threads, shards, machine.flops_per_second / 1e9,
      machine.bytes_per_second / 1e9);
  const Rates rates = {machine,
                       {machine.flops_per_second / shards, machine.bytes_per_second / shards}};
  for (size_t u = 0; u < parts.programs.updates().size(); ++u) {
    HONE_ASSIGN_OR_RETURN(const std::string part, ProfileUpdate(parts, u, rates));
    const std::string& name = parts.programs.updates()[u].spec.name;
    absl::StrAppend(&table, u > 0 ? "\n" : "", name, name.empty() ? "" : "\n", part);
  }
  return table;
}

}  // namespace hone::engine::job
