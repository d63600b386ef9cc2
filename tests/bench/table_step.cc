// hone-bench-table ROWS [SECONDS]: a training step over a table of ROWS × 256 floats of which each
// batch reads 2,000 different rows, timed.
//
// Behind the lookup stand two dense layers and a cross-entropy; lazy Adam, two threads. Each batch
// reads other rows, from a list of 64 batches. Prints one line of JSON; tests/bench/run compares
// tables of different sizes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/row_sums.h"
#include "engine/layers/dense.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/embedding.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/train/train_step.h"
#include "tests/bench/timing.h"

namespace hone::engine {
namespace {

using bench::Now;

constexpr int kThreads = 2;
constexpr int64_t kTokens = 2000;
constexpr int64_t kWidth = 256;
constexpr size_t kBatches = 64;

absl::StatusOr<BuiltGraph> BuildNet(int64_t rows, int64_t batch, ParameterStore& store) {
  BuiltGraph built;
  built.graph = std::make_unique<Graph>();
  Graph& graph = *built.graph;
  const Value tokens = graph.Input("tokens", {{batch}, DType::kS32});
  const Value labels = graph.Input("targets", {{batch}, DType::kS32});
  graph.set_scope("table");
  Value x = Embedding(graph,
                      graph.Parameter({.name = "table",
                                       .shape = {rows, kWidth},
                                       .initializer = {.kind = Initializer::Kind::kNormal},
                                       .sparse = true}),
                      tokens);
  layers::DenseOptions dense;
  dense.name = "dense1";
  dense.units = 64;
  dense.activation = ActivationKind::kRelu;
  x = layers::Dense(graph, x, dense);
  dense.name = "dense2";
  dense.units = 10;
  dense.activation = ActivationKind::kNone;
  x = layers::Dense(graph, x, dense);
  graph.set_scope("loss");
  const Loss loss = CrossEntropy(graph, x, labels, {});
  std::vector<Value> parameters;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
      parameters.push_back({static_cast<int32_t>(i), 0});
    }
  }
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, parameters);
  HONE_RETURN_IF_ERROR(graph.status());
  built.request = {
      .graph = &graph, .fetch = {loss.sum, loss.weight, loss.correct}, .gradients = {}};
  for (size_t i = 0; i < parameters.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id,
                          store.Declare(graph.node(parameters[i].node).parameter));
    if (!store.allocated() && IsRowSums(graph, gradients[i])) {
      store.GiveRows(id);
    }
    built.request.gradients.emplace_back(gradients[i], id);
  }
  return built;
}

// The median of the steps' times.
absl::StatusOr<double> StepSeconds(int64_t rows, double seconds) {
  ParameterStore store;
  const auto build = [&](int64_t batch) { return BuildNet(rows, batch, store); };
  HONE_RETURN_IF_ERROR(build(kTokens).status());  // declares the parameters
  store.Allocate(kThreads);
  store.Initialize(1);
  HONE_ASSIGN_OR_RETURN(
      Replicas replicas,
      Replicas::Compile(build, kTokens, store, {.threads = kThreads, .shards = kThreads}));
  std::vector<Buffer> arenas;
  for (int k = 0; k < kThreads; ++k) {
    arenas.emplace_back(replicas.arena_bytes());
  }
  HONE_RETURN_IF_ERROR(replicas.Bind(arenas));
  std::vector<ParameterId> ids(static_cast<size_t>(store.size()));
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::sort(ids, {}, [&](ParameterId id) { return store.offset(id); });
  std::vector<optim::ParameterRange> ranges;
  for (const ParameterId id : ids) {
    ranges.push_back({.begin = store.offset(id),
                      .end = store.offset(id) + store.spec(id).shape.elements(),
                      .row_width = store.gives_rows(id) ? kWidth : 0});
  }
  HONE_ASSIGN_OR_RETURN(optim::Optimizer optimizer,
                        optim::Optimizer::Create(optim::Adam{.lazy = true}, std::move(ranges)));
  train::TrainStep step(store, optimizer, kThreads);
  store.RefreshAll();

  std::mt19937 random(1);
  std::vector<int32_t> all(static_cast<size_t>(rows));
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::vector<int32_t>> tokens(kBatches);
  for (std::vector<int32_t>& batch : tokens) {
    std::ranges::sample(all, std::back_inserter(batch), kTokens, random);
    std::ranges::shuffle(batch, random);
  }
  std::vector<double> times;
  const double end = Now() + seconds;
  for (uint64_t number = 1; Now() < end || times.size() < kBatches; ++number) {
    const std::vector<int32_t>& batch = tokens[number % kBatches];
    const auto fill = [&](const Program& program, int64_t first, int64_t count) {
      const int32_t* from = batch.data() + first;
      std::copy_n(from, count, static_cast<int32_t*>(program.input("tokens")));
      std::transform(from, from + count, static_cast<int32_t*>(program.input("targets")),
                     [](int32_t token) { return token % 10; });
      return absl::OkStatus();
    };
    const double begin = Now();
    HONE_RETURN_IF_ERROR(step.Run(replicas,
                                  {.scalars = {.seed = 1, .step = number},
                                   .update_number = static_cast<int64_t>(number),
                                   .learning_rate = 1e-3},
                                  fill)
                             .status());
    times.push_back(Now() - begin);
  }
  return bench::Median(times);
}

int Main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 0;
  if (rows < kTokens) {
    std::fputs("usage: hone-bench-table ROWS [SECONDS], at least 2000 rows\n", stderr);
    return 2;
  }
  const absl::StatusOr<double> seconds = StepSeconds(rows, argc > 2 ? std::atof(argv[2]) : 2);
  if (!seconds.ok()) {
    std::fprintf(stderr, "hone-bench-table: %s\n", seconds.status().ToString().c_str());
    return 1;
  }
  std::printf("{\"rows\": %lld, \"step_ms\": %.4f}\n", static_cast<long long>(rows),
              1e3 * *seconds);
  return 0;
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) { return hone::engine::Main(argc, argv); }
