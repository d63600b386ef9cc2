#include "engine/predict/predictor.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::predict {
namespace {

constexpr int64_t kLargestBatch = 32;

Example BytesOf(const void* data, size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  return Example(begin, begin + bytes);
}

tasks::DataInfo InfoOf(const tasks::ModelFile& file) {
  tasks::DataInfo info;
  info.preprocessing = file.preprocessing;
  info.features = file.preprocessing.features();
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Load(const std::string& directory,
                                                           int threads) {
  HONE_ASSIGN_OR_RETURN(const checkpoint::Model model, checkpoint::LoadModel(directory));
  absl::StatusOr<tasks::ModelFile> file = tasks::ModelFileFromJson(model.model_json);
  if (!file.ok()) {
    return Annotate(file.status(), directory);
  }
  std::unique_ptr<Predictor> p(new Predictor(*std::move(file)));
  p->threads_ = threads;
  HONE_RETURN_IF_ERROR(CheckTeam(threads));
  const ScopedThreads scoped(threads);
  absl::StatusOr<tasks::TaskGraph> forward = p->Build(1);
  HONE_RETURN_IF_ERROR(Annotate(forward.status(), directory));
  for (const Graph::Node& node : forward->built.graph->nodes()) {
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
  HONE_RETURN_IF_ERROR(tasks::ReadModel(model.tensors, p->store_));
  return p;
}

absl::StatusOr<tasks::TaskGraph> Predictor::Build(int64_t batch) const {
  return task_->BuildPrediction(file_.model, InfoOf(file_), batch);
}

absl::Status Predictor::Compile(int64_t batch, int threads) {
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph forward, Build(batch));
  outputs_ = forward.built.graph->shape(forward.model.output).elements() / batch;
  HONE_RETURN_IF_ERROR(task_->CheckOutputs(outputs_, file_.preprocessing));
  HONE_ASSIGN_OR_RETURN(Program program,
                        Program::Compile(forward.built.request, store_, {.threads = threads}));
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
  auto* to = static_cast<std::byte*>(program.input(tasks::kFeaturesInput));
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
    predictions.push_back(task_->ReadOutput(
        {output + static_cast<int64_t>(i) * outputs_, static_cast<size_t>(outputs_)},
        file_.preprocessing));
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::predict
