#include "engine/tasks/adversarial_networks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/full.h"
#include "engine/ops/random_normal.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/tasks/drawing.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {
namespace {

// [batch, …] of a tensor's shape.
TensorType Batch(int64_t batch, const Shape& example) {
  std::vector<int64_t> dims = {batch};
  dims.insert(dims.end(), example.dims().begin(), example.dims().end());
  return {Shape(std::move(dims)), DType::kF32};
}

}  // namespace

AdversarialNetworks::AdversarialNetworks(const ImageGenerationOptions& options,
                                         const models::ModelDescription& model,
                                         const DataInfo& info, int64_t batch, bool training,
                                         TaskGraph& to)
    : options_(options), model_(model), info_(info), batch_(batch), training_(training), to_(to) {
  if (options_.conditional) {
    classes_ = graph().Input(kClassesInput, {{batch, info.classes()}, DType::kF32});
  }
}

Value AdversarialNetworks::Latent() const {
  const Graph::Scope scope(graph(), "latent");
  return RandomNormal(graph(), {batch_, options_.latent});
}

absl::StatusOr<Value> AdversarialNetworks::Draw(absl::string_view network, Value latent) {
  const Value input =
      options_.conditional ? Concat(graph(), {latent, classes_}, /*axis=*/1) : latent;
  HONE_ASSIGN_OR_RETURN(const Value drawn, Add(network, input, /*logits=*/false));
  if (graph().shape(drawn) != Batch(batch_, picture()).shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(Place(network), ": must give pictures like those of the data, ",
                     picture().ToString(), ", gives ", ShapeOfOne(drawn).ToString()));
  }
  return drawn;
}

absl::StatusOr<Value> AdversarialNetworks::Judge(Value pictures) {
  if (options_.instance_noise > 0 && training_) {
    const Graph::Scope scope(graph(), kInstanceNoise);
    const Value noise = RandomNormal(graph(), graph().shape(pictures));
    const Value deviation = graph().Input(kInstanceNoise, {Shape{}, DType::kF32});
    pictures = Sum(graph(), pictures, ScaleBy(graph(), noise, deviation));
  }
  if (options_.conditional) {
    const Shape& shape = graph().shape(pictures);
    const int64_t count = info_.classes();
    const Value planes =
        AddBroadcast(graph(), Full(graph(), {batch_, count, shape[2], shape[3]}, 0),
                     Reshape(graph(), classes_, {batch_, count, 1, 1}));
    pictures = Concat(graph(), {pictures, planes}, /*axis=*/1);
  }
  HONE_ASSIGN_OR_RETURN(const Value judged, Add(kDiscriminator, pictures, /*logits=*/true));
  if (graph().shape(judged) != Shape{batch_, 1}) {
    return absl::InvalidArgumentError(absl::StrCat(Place(kDiscriminator),
                                                   ": must give one number for a picture, gives ",
                                                   ShapeOfOne(judged).ToString()));
  }
  return judged;
}

absl::StatusOr<Value> AdversarialNetworks::Add(absl::string_view network, Value input,
                                               bool logits) {
  HONE_ASSIGN_OR_RETURN(
      models::BuiltModel built,
      models::BuildNetwork(graph(), model_, network, {{"input", input}},
                           {.training = training_, .logits = logits, .picture = picture()}));
  HONE_RETURN_IF_ERROR(graph().status());
  for (models::LayerSummary& layer : built.layers) {
    // The discriminator is there twice in its own update.
    const auto same = std::ranges::find(to_.model.layers, layer.name, &models::LayerSummary::name);
    if (same == to_.model.layers.end()) {
      to_.model.layers.push_back(std::move(layer));
    }
  }
  return built.output;
}

Shape AdversarialNetworks::ShapeOfOne(Value value) const {
  const std::vector<int64_t>& dims = graph().shape(value).dims();
  return Shape(std::vector<int64_t>(dims.begin() + 1, dims.end()));
}

std::string AdversarialNetworks::Place(absl::string_view network) const {
  for (size_t i = 0; i < model_.networks.size(); ++i) {
    if (model_.networks[i].name == network) {
      return absl::StrCat("model.networks[", i, "] (", network, ")");
    }
  }
  return std::string(network);
}

absl::Status PlayState::BeginStep(const StepContext& context) {
  const int64_t before = context.step - 1;
  if (options_.average_decay > 0 && before % options_.discriminator_steps == 0) {
    HONE_RETURN_IF_ERROR(Average(context.programs.store(), before / options_.discriminator_steps));
  }
  instance_noise_ = options_.instance_noise;
  if (options_.instance_noise_steps > 0) {
    const double done =
        static_cast<double>(before) / static_cast<double>(options_.instance_noise_steps);
    instance_noise_ *= static_cast<float>(std::max(0.0, 1 - done));
  }
  return absl::OkStatus();
}

void PlayState::AddMetrics(std::map<std::string, double>& values) const {
  if (options_.instance_noise > 0) {
    values["instance_noise"] = instance_noise_;
  }
}

absl::Status PlayState::Average(ParameterStore& store, int64_t updates) {
  if (pairs_.empty()) {
    HONE_RETURN_IF_ERROR(FindPairs(store));
  }
  const auto n = static_cast<double>(updates);
  const double keep = updates == 0 ? 0 : std::min(options_.average_decay, (1 + n) / (10 + n));
  for (const auto& [from, to] : pairs_) {
    HONE_RETURN_IF_ERROR(store.Blend(from, to, static_cast<float>(1 - keep)));
  }
  return absl::OkStatus();
}

absl::Status PlayState::FindPairs(const ParameterStore& store) {
  const std::string average = absl::StrCat(kGeneratorAverage, ".");
  for (ParameterId to = 0; to < store.size(); ++to) {
    absl::string_view name = store.spec(to).name;
    if (absl::ConsumePrefix(&name, average)) {
      HONE_ASSIGN_OR_RETURN(const ParameterId from,
                            store.Find(absl::StrCat(kGenerator, ".", name)));
      pairs_.emplace_back(from, to);
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
