#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/plan/program.h"

namespace hone::engine {

// A graph for one batch size with what is wanted of it. `request.graph` points to `graph`.
struct BuiltGraph {
  std::unique_ptr<Graph> graph;
  ProgramRequest request;
};

// Makes the graph for a batch of so many examples: the same parameters every time.
using GraphBuilder = std::function<absl::StatusOr<BuiltGraph>(int64_t batch)>;

struct ReplicaOptions {
  int threads = 1;
  // Parts of the batch that run side by side, each on its own thread with its own program ("shard
  // mode"); 1: one program run by all threads ("team"). The store has at least as many gradient
  // slabs.
  int shards = 1;
  DType compute = DType::kF32;
};

// How a batch is best computed: by shapes and threads alone, never by a clock, so that a resumed
// job computes the same bits. Shards where every thread gets at least 8 examples, or 64 of
// `token_rows` (of sequences; 0: there are none), one program need not see the whole batch, and the
// slabs of gradients that the shards fill, of so many bytes each, are at most 64 MiB together: each
// is written and read again by the update, which near the caches is cheaper than joining the team
// at every product, and for large nets is not, and takes memory.
int ShardsFor(int64_t batch, int threads, bool needs_whole_batch, int64_t gradient_bytes,
              int64_t token_rows = 0);
// What all ops of a graph cost together.
Cost CostOf(const Graph& graph);
// Whether a step that costs so much is work for several threads. Waking a team, meeting half a
// dozen times in an update and having the numbers in another core's cache takes tens of
// microseconds (a step of 1,024 ratings: 39 µs by one thread, 49 to 104 by two), and a hundred
// times that where others want the cores, too; so one thread does what is estimated at 80 µs.
bool IsWorthATeam(const Cost& step);
// A graph that changes buffers: statistics are those of the whole batch, and shards would race.
bool NeedsWholeBatch(const Graph& graph);
// A graph of token rows (tensor/token_rows.h): of a part of the batch it needs to be known how many
// rows there are.
bool ReadsOffsets(const Graph& graph);

// The programs of one batch size. Shard k computes examples [begin(k), begin(k + 1)) of the batch.
class Replicas {
 public:
  // No examples and no shards: what a rank computes of a batch that is shorter than the world.
  Replicas() = default;
  // INTERNAL: several shards of a graph that changes buffers.
  static absl::StatusOr<Replicas> Compile(const GraphBuilder& build, int64_t batch,
                                          ParameterStore& store, const ReplicaOptions& options);

  int64_t batch() const { return begins_.back(); }
  int shards() const { return static_cast<int>(programs_.size()); }
  int threads() const { return options_.threads; }
  int64_t begin(int shard) const { return begins_[static_cast<size_t>(shard)]; }
  int64_t examples(int shard) const { return begin(shard + 1) - begin(shard); }
  const Program& program(int shard) const { return programs_[static_cast<size_t>(shard)]; }

  // Of one shard; all shards together need shards() times as much.
  int64_t arena_bytes() const;
  // arenas[k] is shard k's.
  absl::Status Bind(const std::vector<Buffer>& arenas);

  // Runs shard k: to be called by worker k of a team of shards(), or by the caller for a team
  // program. The scalars' first_example is the batch's; the shard adds its own. Random numbers of
  // token rows are keyed by their places in the program, where every shard counts from 0: each has
  // a seed of its own.
  absl::Status RunShard(int k, RunScalars scalars) const;

 private:
  ReplicaOptions options_;
  std::vector<int64_t> begins_ = {0};
  bool reads_offsets_ = false;
  std::vector<Program> programs_;
};

}  // namespace hone::engine
