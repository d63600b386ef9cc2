#include "engine/train/checkpoints.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::train {
namespace {

// The part of state slab s that belongs to range r.
std::span<const float> StateOf(const optim::Optimizer& optimizer, int s, size_t r) {
  const optim::ParameterRange& range = optimizer.ranges()[r];
  return optimizer.state(s).subspan(static_cast<size_t>(range.begin - optimizer.state_begin()),
                                    static_cast<size_t>(range.end - range.begin));
}

// What a checkpoint holds of the optimizers: each state of each parameter by its name.
struct OptimizerTensor {
  std::string name;  // "dense_1.weight/m"
  Shape shape;
  std::span<const float> values;
};

std::vector<OptimizerTensor> OptimizerTensors(const Programs& programs) {
  std::vector<OptimizerTensor> tensors;
  for (const CompiledUpdate& update : programs.updates()) {
    const std::vector<std::string> names = optim::StateNames(update.optimizer->options());
    for (size_t s = 0; s < names.size(); ++s) {
      for (size_t r = 0; r < update.trained.size(); ++r) {
        const ParameterSpec& spec = programs.store().spec(update.trained[r].id);
        tensors.push_back({absl::StrCat(spec.name, "/", names[s]), spec.shape,
                           StateOf(*update.optimizer, static_cast<int>(s), r)});
      }
    }
  }
  return tensors;
}

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

bool AllFinite(const ConstParameterView& view) {
  if (view.dtype == DType::kF32) {
    return AllFinite(view.f32());
  }
  const auto* begin = static_cast<const uint16_t*>(view.data);
  return std::all_of(begin, begin + view.shape.elements(),
                     [](uint16_t x) { return std::isfinite(FromBf16(x)); });
}

}  // namespace

std::string CheckpointRoot(const tasks::TrainingConfig& config) {
  return absl::StrCat(config.run_directory, "/checkpoints");
}

absl::Status CheckFinite(const Programs& programs) {
  const ParameterStore& store = programs.store();
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ConstParameterView values = store.values(id);
    if (store.borrowed(id) == nullptr && !AllFinite(values)) {
      return absl::OutOfRangeError(
          absl::StrCat(store.spec(id).name, " holds a value that is NaN or infinite"));
    }
  }
  for (const OptimizerTensor& tensor : OptimizerTensors(programs)) {
    if (!AllFinite(tensor.values)) {
      return absl::OutOfRangeError(
          absl::StrCat("the optimizer's ", tensor.name, " holds a value that is NaN or infinite"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<checkpoint::WrittenCheckpoint> SaveCheckpoint(const tasks::TrainingConfig& config,
                                                             const Programs& programs,
                                                             const checkpoint::RunState& state) {
  HONE_RETURN_IF_ERROR(CheckFinite(programs));
  tasks::StoredModel model = tasks::OwnTensors(programs.store());
  checkpoint::CheckpointContents contents{.state = state,
                                          .model = std::move(model.tensors),
                                          .model_metadata = std::move(model.metadata),
                                          .optimizer = {}};
  for (const OptimizerTensor& tensor : OptimizerTensors(programs)) {
    contents.optimizer.push_back(
        {.name = tensor.name, .shape = tensor.shape, .data = tensor.values.data()});
  }
  const std::string root = CheckpointRoot(config);
  HONE_ASSIGN_OR_RETURN(checkpoint::WrittenCheckpoint written,
                        checkpoint::WriteCheckpoint(root, contents));
  checkpoint::Keep keep{
      .latest = config.checkpoints.keep_latest, .best_step = {}, .written_step = state.step};
  if (state.best.has_value()) {
    keep.best_step = state.best->step;
  }
  HONE_RETURN_IF_ERROR(checkpoint::Prune(root, keep).status());
  return written;
}

absl::Status RestoreCheckpoint(const checkpoint::Checkpoint& checkpoint, Programs& programs) {
  HONE_RETURN_IF_ERROR(tasks::ReadModel(checkpoint.model, programs.store()));
  for (const OptimizerTensor& tensor : OptimizerTensors(programs)) {
    HONE_RETURN_IF_ERROR(checkpoint.optimizer.Read(
        tensor.name, tensor.shape,
        {const_cast<float*>(tensor.values.data()), tensor.values.size()}));
  }
  return absl::OkStatus();
}

absl::Status CheckNoneIsMissing(const tasks::TrainingConfig& config) {
  const std::string root = CheckpointRoot(config);
  const absl::StatusOr<std::vector<int64_t>> steps = checkpoint::CheckpointSteps(root);
  if (!absl::IsNotFound(steps.status())) {
    HONE_RETURN_IF_ERROR(steps.status());
  }
  const bool any = steps.ok() && !steps->empty();
  if (config.known_checkpoint <= (any ? steps->back() : 0)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(
      "the run has written a checkpoint of step ", config.known_checkpoint, ", which is missing: ",
      any ? absl::StrCat("the newest in ", root, " is of step ", steps->back())
          : absl::StrCat("there is none in ", root)));
}

int64_t CheckpointBytes(const Programs& programs) {
  constexpr int64_t kHeaders = 4096;
  const ParameterStore& store = programs.store();
  int64_t bytes = kHeaders;
  for (ParameterId id = 0; id < store.size(); ++id) {
    bytes += store.borrowed(id) == nullptr ? store.values(id).bytes() : 0;
  }
  for (const OptimizerTensor& tensor : OptimizerTensors(programs)) {
    bytes += tensor.shape.elements() * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

}  // namespace hone::engine::train
