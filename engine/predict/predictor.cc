#include "engine/predict/predictor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/models/build.h"
#include "engine/train/checkpoints.h"
#include "engine/train/graphs.h"

namespace hone::engine::predict {
namespace {

constexpr int64_t kLargestBatch = 32;

Example BytesOf(const void* data, size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  return Example(begin, begin + bytes);
}

train::DataInfo InfoOf(const train::ModelFile& file) {
  train::DataInfo info;
  info.preprocessing = file.preprocessing;
  info.features = file.preprocessing.features();
  return info;
}

struct ForwardGraph {
  Graph graph;
  Value output;
};

absl::Status BuildForward(const train::ModelFile& file, int64_t batch, ForwardGraph& forward) {
  const train::DataInfo info = InfoOf(file);
  const Value input = train::FeaturesInput(forward.graph, info, batch);
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel model,
      models::BuildModel(forward.graph, file.model, input, {.training = false, .logits = true}));
  forward.output = model.output;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Load(const std::string& directory,
                                                           int threads) {
  HONE_ASSIGN_OR_RETURN(const checkpoint::Model model, checkpoint::LoadModel(directory));
  absl::StatusOr<train::ModelFile> file = train::ModelFileFromJson(model.model_json);
  if (!file.ok()) {
    return Annotate(file.status(), directory);
  }
  std::unique_ptr<Predictor> p(new Predictor(*std::move(file)));
  p->threads_ = threads;
  const ScopedThreads scoped(threads);
  ForwardGraph forward;
  HONE_RETURN_IF_ERROR(Annotate(BuildForward(p->file_, 1, forward), directory));
  for (const Graph::Node& node : forward.graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ParameterSpec spec = node.parameter;
      // Nothing is trained here, so no gradients are kept.
      spec.role = spec.role == ParameterRole::kTrainable ? ParameterRole::kFrozen : spec.role;
      HONE_RETURN_IF_ERROR(p->store_.Declare(spec).status());
    }
  }
  p->store_.Allocate(0);
  for (const int64_t batch : {kLargestBatch, int64_t{1}}) {
    HONE_RETURN_IF_ERROR(p->Compile(batch, threads));
  }
  int64_t bytes = 64;
  for (const auto& [batch, program] : p->programs_) {
    bytes = std::max(bytes, program.arena_bytes());
  }
  p->arena_ = Buffer(bytes);
  for (auto& [batch, program] : p->programs_) {
    HONE_RETURN_IF_ERROR(program.Bind(p->arena_.as<std::byte>()));
  }
  HONE_RETURN_IF_ERROR(train::ReadModel(model.tensors, p->store_));
  return p;
}

absl::Status Predictor::Compile(int64_t batch, int threads) {
  ForwardGraph forward;
  HONE_RETURN_IF_ERROR(BuildForward(file_, batch, forward));
  outputs_ = forward.graph.shape(forward.output).elements() / batch;
  const data::Preprocessing& p = file_.preprocessing;
  const bool binary = std::holds_alternative<train::ClassificationOptions>(file_.task) &&
                      std::get<train::ClassificationOptions>(file_.task).binary;
  const size_t wanted = binary                  ? 1
                        : p.class_names.empty() ? p.target_names.size()
                                                : p.class_names.size();
  if (outputs_ != static_cast<int64_t>(wanted)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", outputs_, " outputs for ", wanted, " classes or targets"));
  }
  HONE_ASSIGN_OR_RETURN(
      Program program,
      Program::Compile({.graph = &forward.graph, .fetch = {forward.output}, .gradients = {}},
                       store_, {.threads = threads}));
  programs_.emplace_back(batch, std::move(program));
  return absl::OkStatus();
}

absl::StatusOr<Example> Predictor::FromPicture(absl::string_view bytes,
                                               absl::string_view name) const {
  if (file_.preprocessing.input != data::Preprocessing::Input::kImage) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the model takes rows of a table, not pictures"));
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<uint8_t> pixels,
                        file_.preprocessing.FromPicture(bytes, name));
  return BytesOf(pixels.data(), pixels.size());
}

absl::StatusOr<Example> Predictor::FromRecord(
    const std::map<std::string, std::string>& record) const {
  if (file_.preprocessing.input != data::Preprocessing::Input::kTable) {
    return absl::InvalidArgumentError("the model takes pictures, not rows of a table");
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> features, file_.preprocessing.FromRecord(record));
  return BytesOf(features.data(), features.size() * sizeof(float));
}

absl::StatusOr<std::vector<Prediction>> Predictor::Predict(std::span<const Example> examples) {
  const ScopedThreads scoped(threads_);
  std::vector<Prediction> predictions;
  for (size_t i = 0; i < examples.size();) {
    for (const auto& [batch, program] : programs_) {
      const auto count = static_cast<size_t>(batch);
      if (examples.size() - i >= count) {
        HONE_RETURN_IF_ERROR(Run(program, examples.subspan(i, count), predictions));
        i += count;
        break;
      }
    }
  }
  return predictions;
}

absl::Status Predictor::Run(const Program& program, std::span<const Example> examples,
                            std::vector<Prediction>& predictions) {
  const auto wanted = static_cast<size_t>(file_.preprocessing.features().bytes());
  auto* to = static_cast<std::byte*>(program.input(train::kFeaturesInput));
  for (size_t i = 0; i < examples.size(); ++i) {
    if (examples[i].size() != wanted) {
      return absl::InvalidArgumentError(
          absl::StrCat("an example has ", examples[i].size(), " bytes; the model takes ", wanted));
    }
    if (to != nullptr) {
      std::memcpy(to + i * wanted, examples[i].data(), wanted);
    }
  }
  HONE_RETURN_IF_ERROR(program.Run({}));
  const auto* output = static_cast<const float*>(program.fetched(0));
  for (size_t i = 0; i < examples.size(); ++i) {
    predictions.push_back(Read(output + static_cast<int64_t>(i) * outputs_));
  }
  return absl::OkStatus();
}

Prediction Predictor::Read(const float* output) const {
  const data::Preprocessing& p = file_.preprocessing;
  Prediction prediction;
  if (p.class_names.empty()) {
    for (size_t t = 0; t < p.target_names.size(); ++t) {
      prediction.values.push_back(output[t] * p.target_std[t] + p.target_mean[t]);
    }
    return prediction;
  }
  std::vector<double> probabilities;
  if (outputs_ == 1) {
    const double second = 1 / (1 + std::exp(-static_cast<double>(output[0])));
    probabilities = {1 - second, second};
  } else {
    const double top = *std::max_element(output, output + outputs_);
    double sum = 0;
    for (int64_t c = 0; c < outputs_; ++c) {
      probabilities.push_back(std::exp(output[c] - top));
      sum += probabilities.back();
    }
    for (double& probability : probabilities) {
      probability /= sum;
    }
  }
  for (size_t c = 0; c < probabilities.size(); ++c) {
    prediction.classes.push_back({p.class_names[c], probabilities[c]});
  }
  std::ranges::stable_sort(prediction.classes, std::greater(), &Prediction::Class::probability);
  return prediction;
}

}  // namespace hone::engine::predict
