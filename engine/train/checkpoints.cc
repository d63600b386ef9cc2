#include "engine/train/checkpoints.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::train {
namespace {

// The part of state slab s that belongs to range r.
std::span<const float> StateOf(const optim::Optimizer& optimizer, int s, size_t r) {
  const optim::ParameterRange& range = optimizer.ranges()[r];
  return optimizer.state(s).subspan(static_cast<size_t>(range.begin - optimizer.state_begin()),
                                    static_cast<size_t>(range.end - range.begin));
}

std::string StateName(const Programs& programs, size_t r, const std::string& state) {
  return absl::StrCat(programs.store().spec(programs.trained()[r].id).name, "/", state);
}

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

}  // namespace

std::string CheckpointRoot(const TrainingConfig& config) {
  return absl::StrCat(config.run_directory, "/checkpoints");
}

absl::Status CheckFinite(const Programs& programs) {
  const ParameterStore& store = programs.store();
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (!AllFinite(store.values(id))) {
      return absl::OutOfRangeError(
          absl::StrCat(store.spec(id).name, " holds a value that is NaN or infinite"));
    }
  }
  for (int s = 0; s < programs.optimizer().state_slabs(); ++s) {
    if (!AllFinite(programs.optimizer().state(s))) {
      return absl::OutOfRangeError("the optimizer's state holds a value that is NaN or infinite");
    }
  }
  return absl::OkStatus();
}

std::vector<checkpoint::TensorToWrite> ModelTensors(const ParameterStore& store) {
  std::vector<checkpoint::TensorToWrite> tensors;
  for (ParameterId id = 0; id < store.size(); ++id) {
    tensors.push_back({.name = store.spec(id).name,
                       .shape = store.spec(id).shape,
                       .data = store.values(id).data()});
  }
  return tensors;
}

absl::StatusOr<checkpoint::WrittenCheckpoint> SaveCheckpoint(const TrainingConfig& config,
                                                             const Programs& programs,
                                                             const checkpoint::RunState& state) {
  HONE_RETURN_IF_ERROR(CheckFinite(programs));
  checkpoint::CheckpointContents contents{.state = state,
                                          .model = ModelTensors(programs.store()),
                                          .model_metadata = {{"producer", "hone"}},
                                          .optimizer = {}};
  const optim::Optimizer& optimizer = programs.optimizer();
  const std::vector<std::string> names = optim::StateNames(config.optimizer);
  for (size_t s = 0; s < names.size(); ++s) {
    for (size_t r = 0; r < optimizer.ranges().size(); ++r) {
      contents.optimizer.push_back({.name = StateName(programs, r, names[s]),
                                    .shape = programs.store().spec(programs.trained()[r].id).shape,
                                    .data = StateOf(optimizer, static_cast<int>(s), r).data()});
    }
  }
  const std::string root = CheckpointRoot(config);
  HONE_ASSIGN_OR_RETURN(checkpoint::WrittenCheckpoint written,
                        checkpoint::WriteCheckpoint(root, contents));
  checkpoint::Keep keep{.latest = config.checkpoints.keep_latest, .best_step = {}};
  if (state.best.has_value()) {
    keep.best_step = state.best->step;
  }
  HONE_RETURN_IF_ERROR(checkpoint::Prune(root, keep).status());
  return written;
}

absl::Status ReadModel(const checkpoint::SafetensorsFile& file, ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    HONE_RETURN_IF_ERROR(file.Read(store.spec(id).name, store.spec(id).shape, store.values(id)));
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

absl::Status RestoreCheckpoint(const checkpoint::Checkpoint& checkpoint, Programs& programs) {
  HONE_RETURN_IF_ERROR(ReadModel(checkpoint.model, programs.store()));
  optim::Optimizer& optimizer = programs.optimizer();
  const std::vector<std::string> names = optim::StateNames(optimizer.options());
  for (size_t s = 0; s < names.size(); ++s) {
    for (size_t r = 0; r < optimizer.ranges().size(); ++r) {
      const std::span<const float> part = StateOf(optimizer, static_cast<int>(s), r);
      HONE_RETURN_IF_ERROR(checkpoint.optimizer.Read(
          StateName(programs, r, names[s]), programs.store().spec(programs.trained()[r].id).shape,
          {const_cast<float*>(part.data()), part.size()}));
    }
  }
  return absl::OkStatus();
}

int64_t CheckpointBytes(const Programs& programs) {
  constexpr int64_t kHeaders = 4096;
  int64_t elements = 0;
  for (ParameterId id = 0; id < programs.store().size(); ++id) {
    elements += programs.store().spec(id).shape.elements();
  }
  for (const optim::ParameterRange& range : programs.optimizer().ranges()) {
    elements += (range.end - range.begin) * programs.optimizer().state_slabs();
  }
  return elements * static_cast<int64_t>(sizeof(float)) + kHeaders;
}

}  // namespace hone::engine::train
