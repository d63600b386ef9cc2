#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/models/model_description.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/image_generation.h"
#include "engine/tasks/run.h"

// The networks of image_generation.h, and what passes between them while they learn.
namespace hone::engine::tasks {

// A runtime scalar: the deviation of the noise that is added to the pictures that are judged.
inline constexpr char kInstanceNoise[] = "instance_noise";

// The networks, in one of the task's graphs. What is given outlives it.
class AdversarialNetworks {
 public:
  // For `batch` pictures at a time.
  AdversarialNetworks(const ImageGenerationOptions& options, const models::ModelDescription& model,
                      const DataInfo& info, int64_t batch, bool training, TaskGraph& to);

  Graph& graph() const { return *to_.built.graph; }

  // New random numbers in every run, instead of an input.
  Value Latent() const;
  // Pictures [batch, channels, height, width]. INVALID_ARGUMENT where the network's are not like
  // those of the data.
  absl::StatusOr<Value> Draw(absl::string_view network, Value latent);
  // The discriminator's number for each picture, [batch, 1]. INVALID_ARGUMENT where it gives
  // another shape.
  absl::StatusOr<Value> Judge(Value pictures);

 private:
  const Shape& picture() const { return info_.features.shape; }
  absl::StatusOr<Value> Add(absl::string_view network, Value input, bool logits);
  Shape ShapeOfOne(Value value) const;
  std::string Place(absl::string_view network) const;

  const ImageGenerationOptions& options_;
  const models::ModelDescription& model_;
  const DataInfo& info_;
  const int64_t batch_;
  const bool training_;
  TaskGraph& to_;
  Value classes_;
};

// The mean of the generator's weights, and the noise that falls. Both follow from the step and the
// weights: a checkpoint needs nothing of it.
class PlayState final : public TaskState {
 public:
  // The options outlive it.
  explicit PlayState(const ImageGenerationOptions& options) : options_(options) {}

  float instance_noise() const { return instance_noise_; }

  absl::Status BeginStep(const StepContext& context) override;
  void AddMetrics(std::map<std::string, double>& values) const override;
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }

 private:
  // After so many updates of the generator, none at first: then the mean is the generator.
  absl::Status Average(ParameterStore& store, int64_t updates);
  absl::Status FindPairs(const ParameterStore& store);

  const ImageGenerationOptions& options_;
  float instance_noise_ = 0;
  std::vector<std::pair<ParameterId, ParameterId>> pairs_;
};

}  // namespace hone::engine::tasks
