#include "engine/train/programs.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/train/batch_shapes.h"
#include "engine/train/training_graph.h"

namespace hone::engine::train {
namespace {

std::string Describe(const tasks::BatchShape& shape) {
  return absl::StrCat(shape.batch, " examples in bucket ", shape.bucket);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Programs>> Programs::Compile(const tasks::TrainingConfig& config,
                                                            const tasks::DataInfo& info,
                                                            const tasks::Task& task,
                                                            const Lend& lend, const Place& place,
                                                            Purpose purpose) {
  HONE_RETURN_IF_ERROR(CheckTeam(config.threads));
  HONE_RETURN_IF_ERROR(task.CheckData(info));
  if (info.train < 1) {
    return absl::InvalidArgumentError("the training part of the data is empty");
  }
  std::unique_ptr<Programs> p(new Programs);
  p->place_ = place;
  p->buckets_ = task.buckets(config);
  if (p->buckets_.size() > tasks::kMostBuckets ||
      (p->buckets_.empty() && info.train_shapes.empty())) {
    return absl::InternalError(
        absl::StrCat(task.name(), ": must name at most ", tasks::kMostBuckets,
                     " buckets, or none where the shapes of the batches were counted, got ",
                     p->buckets_.size()));
  }
  p->TakeShapes(TrainingExamples(info, /*parts=*/1));
  HONE_RETURN_IF_ERROR(p->DeclareParameters(config, info, task, purpose));
  const int64_t available = config.memory_bytes > 0 ? config.memory_bytes : AvailableMemoryBytes();
  if (lend) {
    HONE_RETURN_IF_ERROR(lend(p->store_));
  }
  HONE_RETURN_IF_ERROR(p->CheckMemory(config, available));
  p->store_.Allocate(p->shards_);
  HONE_RETURN_IF_ERROR(p->MakeOptimizers(config));
  p->recomputes_ = config.recompute == tasks::Recompute::kAlways;
  if (purpose == Purpose::kTraining && place.size == 1) {
    HONE_ASSIGN_OR_RETURN(const std::optional<FrozenTrunk> trunk, FindTrunk(config, info, task));
    if (trunk.has_value()) {
      p->trunk_.emplace(TrunkPrograms{.trunk = *trunk});
    }
  }
  HONE_RETURN_IF_ERROR(p->CompileTraining(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileEvaluation(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileForwards(config, info, task));
  HONE_RETURN_IF_ERROR(p->CompileTrunk(config, info, task));
  absl::Status fits = p->CheckMemory(config, available);
  if (!fits.ok() && config.recompute == tasks::Recompute::kWhenNeeded) {
    p->recomputes_ = true;
    HONE_RETURN_IF_ERROR(p->CompileTraining(config, info, task));
    fits = p->CheckMemory(config, available);
  }
  HONE_RETURN_IF_ERROR(fits);
  return p;
}

// The buckets that the task names stay.
void Programs::TakeShapes(const ExamplesInfo& training) {
  if (!training.shapes.empty()) {
    buckets_.clear();
  }
  for (const tasks::ShapeCount& counted : training.shapes) {
    buckets_.push_back(counted.shape.bucket);
  }
  std::ranges::sort(buckets_);
  training_rows_ = RowsByBucket(training, buckets_);
}

int Programs::ShardsOf(const tasks::BatchShape& part, bool needs_whole_batch,
                       bool reads_offsets) const {
  const bool parted = parts_ > 1 && part.batch % parts_ == 0;
  return ShardsFor(part.batch, threads_, needs_whole_batch || (reads_offsets && !parted),
                   gradient_slab_bytes(), reads_offsets ? part.bucket : 0);
}

absl::Status Programs::CompileShapes(const tasks::TrainingConfig& config, const ShapeBuilder& build,
                                     const std::vector<tasks::BatchShape>& wanted,
                                     const Place& place, bool of_training,
                                     std::vector<ShapePrograms>& shapes) {
  for (const tasks::BatchShape& shape : wanted) {
    const auto [begin, end] = place.PartOf(shape.batch);
    if (begin == end) {
      shapes.push_back({shape, Replicas()});
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph whole, build({end - begin, shape.bucket}));
    const Graph& graph = *whole.built.graph;
    const bool needs_whole = NeedsWholeBatch(graph), rows = ReadsOffsets(graph);
    const int shards =
        of_training ? ShardsOf({end - begin, shape.bucket}, needs_whole, rows)
                    : ShardsFor(end - begin, threads_, needs_whole || rows, /*gradient_bytes=*/0);
    const int64_t bucket = rows ? shape.bucket / shards : shape.bucket;
    const GraphBuilder part = [&](int64_t n) -> absl::StatusOr<BuiltGraph> {
      HONE_ASSIGN_OR_RETURN(tasks::TaskGraph built, build({n, bucket}));
      return std::move(built.built);
    };
    HONE_ASSIGN_OR_RETURN(
        Replicas replicas,
        Replicas::Compile(part, end - begin, store_,
                          {.threads = threads_, .shards = shards, .compute = config.compute}));
    shapes.push_back({shape, std::move(replicas)});
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileTraining(const tasks::TrainingConfig& config,
                                       const tasks::DataInfo& info, const tasks::Task& task) {
  const std::vector<tasks::BatchShape> wanted =
      ShapesOf(TrainingExamples(info, parts_), config.batch_size, buckets_);
  for (size_t u = 0; u < updates_.size(); ++u) {
    updates_[u].shapes.clear();
    const ShapeBuilder build = [&](const tasks::BatchShape& shape) {
      return BuildTraining(config, info, task, u, &store_, shape,
                           {.rows = place_.size == 1, .recompute = recomputes_, .trunk = trunk()});
    };
    HONE_RETURN_IF_ERROR(
        CompileShapes(config, build, wanted, place_, /*of_training=*/true, updates_[u].shapes));
  }
  return absl::OkStatus();
}

absl::Status Programs::CompileEvaluation(const tasks::TrainingConfig& config,
                                         const tasks::DataInfo& info, const tasks::Task& task) {
  evaluation_batch_ = task.evaluation_batch(config);
  if (evaluation_batch_ < 1) {
    return absl::InternalError(absl::StrCat(
        task.name(), ": a batch of an evaluation has at least 1 example, got ", evaluation_batch_));
  }
  std::vector<tasks::BatchShape> wanted =
      ShapesOf(ValidationExamples(info), evaluation_batch_, buckets_);
  const auto want = [&](const ExamplesInfo& examples) {
    const std::vector<tasks::BatchShape> more = ShapesOf(examples, evaluation_batch_, buckets_);
    wanted.insert(wanted.end(), more.begin(), more.end());
  };
  want(TestExamples(info));
  if (task.evaluates_training_rows()) {
    want(EvaluatedTrainingExamples(info));
  }
  std::ranges::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const ShapeBuilder build = [&](const tasks::BatchShape& shape) {
    return task.BuildEvaluation(config, info, shape);
  };
  return CompileShapes(config, build, wanted, Place(), /*of_training=*/false, evaluation_);
}

absl::Status Programs::CompileForwards(const tasks::TrainingConfig& config,
                                       const tasks::DataInfo& info, const tasks::Task& task) {
  for (const tasks::ForwardSpec& spec : task.forwards(config)) {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph, task.BuildForward(config, info, spec));
    graph.built.request.update_buffers = !graph.built.graph->updates().empty();
    HONE_ASSIGN_OR_RETURN(Program program,
                          Program::Compile(graph.built.request, store_,
                                           {.threads = threads_, .compute = config.compute}));
    forwards_.push_back({spec, std::move(program)});
  }
  return absl::OkStatus();
}

// What each shard's arena must hold: the largest of its programs.
std::vector<int64_t> Programs::ArenaSizes() const {
  std::vector<int64_t> sizes(1, 0);
  const auto add = [&](const std::vector<ShapePrograms>& all) {
    for (const auto& [unused, replicas] : all) {
      const auto shards = static_cast<size_t>(replicas.shards());
      sizes.resize(std::max(sizes.size(), shards));
      for (size_t k = 0; k < shards; ++k) {
        sizes[k] = std::max(sizes[k], replicas.arena_bytes());
      }
    }
  };
  for (const CompiledUpdate& update : updates_) {
    add(update.shapes);
  }
  add(evaluation_);
  if (trunk_.has_value()) {
    add(trunk_->training);
    add(trunk_->validation);
    add(trunk_->evaluation);
  }
  for (const CompiledForward& forward : forwards_) {
    sizes[0] = std::max(sizes[0], forward.program.arena_bytes());
  }
  return sizes;
}

int64_t Programs::arena_bytes() const {
  const std::vector<int64_t> sizes = ArenaSizes();
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

absl::Status Programs::Bind() {
  arenas_.clear();
  for (const int64_t size : ArenaSizes()) {
    arenas_.emplace_back(std::max<int64_t>(size, 64));
#ifndef NDEBUG
    // An input that nobody fills, or a value that is read before it is written, is no number.
    std::memset(arenas_.back().data(), 0xFF, static_cast<size_t>(arenas_.back().bytes()));
#endif
  }
  for (CompiledUpdate& update : updates_) {
    for (ShapePrograms& programs : update.shapes) {
      HONE_RETURN_IF_ERROR(programs.replicas.Bind(arenas_));
    }
  }
  for (ShapePrograms& programs : evaluation_) {
    HONE_RETURN_IF_ERROR(programs.replicas.Bind(arenas_));
  }
  if (trunk_.has_value()) {
    for (auto* all : {&trunk_->training, &trunk_->validation, &trunk_->evaluation}) {
      for (ShapePrograms& programs : *all) {
        HONE_RETURN_IF_ERROR(programs.replicas.Bind(arenas_));
      }
    }
  }
  for (CompiledForward& forward : forwards_) {
    HONE_RETURN_IF_ERROR(forward.program.Bind(arenas_[0].as<std::byte>()));
  }
  return absl::OkStatus();
}

absl::StatusOr<const Replicas*> Programs::Find(const std::vector<ShapePrograms>& all,
                                               const tasks::BatchShape& shape) {
  const auto found = std::ranges::find(all, shape, &ShapePrograms::shape);
  if (found != all.end()) {
    return &found->replicas;
  }
  std::vector<std::string> known;
  for (const ShapePrograms& programs : all) {
    known.push_back(absl::StrCat(programs.shape.batch, " in ", programs.shape.bucket));
  }
  return absl::NotFoundError(absl::StrCat("no program for ", Describe(shape),
                                          "; there are: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<const Program*> Programs::forward(absl::string_view name,
                                                 const tasks::BatchShape& shape) const {
  std::vector<std::string> known;
  for (const CompiledForward& forward : forwards_) {
    if (forward.spec.name == name && forward.spec.shape == shape) {
      return &forward.program;
    }
    known.push_back(absl::StrCat(forward.spec.name, " for ", Describe(forward.spec.shape)));
  }
  return absl::NotFoundError(absl::StrCat("no program ", name, " for ", Describe(shape),
                                          "; there are: ", absl::StrJoin(known, ", ")));
}

absl::Status Programs::Run(const Program& program, const RunScalars& scalars) {
  store_.RefreshAll();
  HONE_RETURN_IF_ERROR(program.Run(scalars));
  store_.MarkChanged(program.updated());
  return absl::OkStatus();
}

}  // namespace hone::engine::train
