#include "engine/plan/replicas.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine {

int ShardsFor(int64_t batch, int threads, bool needs_whole_batch, int64_t gradient_bytes,
              int64_t token_rows) {
  constexpr int64_t kLeastExamples = 8, kLeastRows = 64, kMostBytes = int64_t{64} << 20;
  const bool large =
      batch >= kLeastExamples * threads || (batch >= threads && token_rows >= kLeastRows * threads);
  const bool shards = threads > 1 && !needs_whole_batch && large &&
                      SaturatingProduct(gradient_bytes, threads) <= kMostBytes;
  return shards ? threads : 1;
}

Cost CostOf(const Graph& graph) {
  Cost sum;
  std::vector<TensorType> in;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind != Graph::Node::Kind::kOp) {
      continue;
    }
    in.clear();
    for (const Value input : node.inputs) {
      in.push_back(graph.node(input.node).types[static_cast<size_t>(input.output)]);
    }
    const Cost cost = node.op->EstimateCost(in, node.types);
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
  }
  return sum;
}

bool IsWorthATeam(const Cost& step) {
  constexpr double kFlopsPerByte = 4;  // that take as long: 100 GFLOP/s, 25 GB/s
  constexpr double kLeastFlops = 8e6;
  return step.flops + kFlopsPerByte * step.bytes >= kLeastFlops;
}

bool NeedsWholeBatch(const Graph& graph) { return !graph.updates().empty(); }

bool ReadsOffsets(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Graph::Node& node) {
    return node.kind == Graph::Node::Kind::kInput && node.types[0].dtype == DType::kS32 &&
           absl::EndsWith(node.name, kOffsetsInput);
  });
}

absl::StatusOr<Replicas> Replicas::Compile(const GraphBuilder& build, int64_t batch,
                                           ParameterStore& store, const ReplicaOptions& options) {
  Replicas replicas;
  replicas.options_ = options;
  for (int k = 0; k < options.shards; ++k) {
    const auto [begin, end] = ShareOf(batch, k, options.shards);
    HONE_ASSIGN_OR_RETURN(const BuiltGraph built, build(end - begin));
    if (options.shards > 1 && built.request.update_buffers && NeedsWholeBatch(*built.graph)) {
      return absl::InternalError(absl::StrCat(
          options.shards, " shards would change the same buffers: one must be asked for"));
    }
    HONE_ASSIGN_OR_RETURN(Program program,
                          Program::Compile(built.request, store,
                                           {.threads = options.shards > 1 ? 1 : options.threads,
                                            .shard = k,
                                            .compute = options.compute}));
    replicas.reads_offsets_ = ReadsOffsets(*built.request.graph);
    replicas.begins_.push_back(end);
    replicas.programs_.push_back(std::move(program));
  }
  return replicas;
}

int64_t Replicas::arena_bytes() const {
  int64_t bytes = 0;
  for (const Program& program : programs_) {
    bytes = std::max(bytes, program.arena_bytes());
  }
  return bytes;
}

absl::Status Replicas::Bind(const std::vector<Buffer>& arenas) {
  for (size_t k = 0; k < programs_.size(); ++k) {
    HONE_RETURN_IF_ERROR(programs_[k].Bind(arenas[k].as<std::byte>()));
  }
  return absl::OkStatus();
}

absl::Status Replicas::RunShard(int k, RunScalars scalars) const {
  scalars.first_example += begin(k);
  if (reads_offsets_) {
    scalars.seed ^= static_cast<uint64_t>(k) * 0x9E3779B97F4A7C15;
  }
  return program(k).Run(scalars);
}

}  // namespace hone::engine
