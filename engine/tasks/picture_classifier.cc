#include "engine/tasks/picture_classifier.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::tasks {
namespace {

constexpr int64_t kBatch = 64;

// What the last layer reads.
absl::StatusOr<Value> LastHidden(const Graph& graph, const models::BuiltModel& model) {
  const std::vector<std::string>& read = model.layers.back().inputs;
  for (const Graph::Layer& layer : graph.layers()) {
    if (!read.empty() && layer.path == read.front() && layer.output.valid() &&
        graph.shape(layer.output).elements() / kBatch <= PictureClassifier::kMostFeatures) {
      return layer.output;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("the model has no hidden layer of at most ",
                                                 PictureClassifier::kMostFeatures,
                                                 " numbers before its last one"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PictureClassifier>> PictureClassifier::Load(
    const std::string& directory, const Shape& picture, int threads) {
  HONE_ASSIGN_OR_RETURN(const checkpoint::Model model, checkpoint::LoadModel(directory));
  HONE_ASSIGN_OR_RETURN(const ModelFile file, ModelFileFromJson(model.model_json));
  if (!std::holds_alternative<ClassificationOptions>(file.task) ||
      std::get<ClassificationOptions>(file.task).binary) {
    return absl::InvalidArgumentError("the model is no classifier with an output for each class");
  }
  if (file.preprocessing.input != data::Preprocessing::Input::kImage ||
      file.preprocessing.image != picture) {
    return absl::InvalidArgumentError(absl::StrCat("the model was made for ",
                                                   file.preprocessing.features().ToString(),
                                                   ", the pictures are ", picture.ToString()));
  }
  std::unique_ptr<PictureClassifier> c(new PictureClassifier);
  c->class_names_ = file.preprocessing.class_names;
  c->picture_bytes_ = picture.elements();
  c->threads_ = threads;
  DataInfo info;
  info.preprocessing = file.preprocessing;
  info.features = file.preprocessing.features();
  Graph graph;
  const Value pixels = FeaturesInput(graph, info, kBatch);
  HONE_ASSIGN_OR_RETURN(const models::BuiltModel built,
                        models::BuildModel(graph, file.model, pixels, {.logits = true}));
  HONE_ASSIGN_OR_RETURN(const Value hidden, LastHidden(graph, built));
  const auto classes = static_cast<int64_t>(c->class_names_.size());
  if (graph.shape(built.output) != Shape{kBatch, classes}) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model's outputs are not one for each of ", classes, " classes"));
  }
  c->features_ = graph.shape(hidden).elements() / kBatch;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ParameterSpec spec = node.parameter;
      // Nothing is trained here, so no gradients are kept.
      spec.role = spec.role == ParameterRole::kTrainable ? ParameterRole::kFrozen : spec.role;
      HONE_RETURN_IF_ERROR(c->store_.Declare(spec).status());
    }
  }
  c->store_.Allocate(0);
  const ScopedThreads scoped(threads);
  HONE_ASSIGN_OR_RETURN(
      Program program,
      Program::Compile({.graph = &graph, .fetch = {built.output, hidden}, .gradients = {}},
                       c->store_, {.threads = threads}));
  c->arena_ = Buffer(std::max<int64_t>(program.arena_bytes(), 64));
  HONE_RETURN_IF_ERROR(program.Bind(c->arena_.as<std::byte>()));
  c->programs_.push_back(std::move(program));
  HONE_RETURN_IF_ERROR(ReadModel(model.tensors, c->store_));
  return c;
}

absl::StatusOr<PictureClassifier::Judgements> PictureClassifier::Judge(
    std::span<const uint8_t> pixels) {
  const ScopedThreads scoped(threads_);
  const Program& program = programs_.front();
  const auto classes = class_names_.size();
  const int64_t count = static_cast<int64_t>(pixels.size()) / picture_bytes_;
  Judgements all;
  auto* input = static_cast<uint8_t*>(program.input(kFeaturesInput));
  for (int64_t first = 0; first < count; first += kBatch) {
    // The last batch is padded with what was there before, and the rest is not read.
    const int64_t part = std::min(kBatch, count - first);
    std::memcpy(input, pixels.data() + first * picture_bytes_,
                static_cast<size_t>(part * picture_bytes_));
    HONE_RETURN_IF_ERROR(program.Run({}));
    const auto* logits = static_cast<const float*>(program.fetched(0));
    for (int64_t i = 0; i < part; ++i, logits += classes) {
      const double top = *std::max_element(logits, logits + classes);
      double sum = 0;
      for (size_t c = 0; c < classes; ++c) {
        sum += std::exp(logits[c] - top);
      }
      for (size_t c = 0; c < classes; ++c) {
        all.probabilities.push_back(static_cast<float>(std::exp(logits[c] - top) / sum));
      }
    }
    const auto* features = static_cast<const float*>(program.fetched(1));
    all.features.insert(all.features.end(), features, features + part * features_);
  }
  return all;
}

}  // namespace hone::engine::tasks
