#include "engine/predict/predictor.h"

#include <algorithm>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/predict/checkpoint_model.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::predict {
namespace {

constexpr int64_t kLargestBatch = 32;
// Examples that together need a larger bucket are run one by one.
constexpr int64_t kLargestBucketOfABatch = 1 << 14;

tasks::DataInfo InfoOf(const tasks::ModelFile& file) {
  tasks::DataInfo info;
  info.preprocessing = file.preprocessing;
  info.features = file.preprocessing.features();
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Load(const std::string& directory,
                                                           int threads, TaskMaker make) {
  if (huggingface::IsCheckpoint(directory)) {
    HONE_ASSIGN_OR_RETURN(const huggingface::Weights weights,
                          huggingface::Weights::Open(directory));
    HONE_ASSIGN_OR_RETURN(tasks::ModelFile file, CheckpointModel(directory, weights));
    return Make(
        std::move(file), directory, threads, make,
        [&](ParameterStore& store) { return weights.LendTo(store); },
        [&](ParameterStore& store) { return ReadCheckpoint(weights, store); });
  }
  HONE_ASSIGN_OR_RETURN(const checkpoint::Model model, checkpoint::LoadModel(directory));
  absl::StatusOr<tasks::ModelFile> file = tasks::ModelFileFromJson(model.model_json);
  HONE_RETURN_IF_ERROR(Annotate(file.status(), directory));
  return Make(
      *std::move(file), directory, threads, make,
      [&](ParameterStore& store) { return tasks::LendModel(model, store); },
      [&](ParameterStore& store) { return tasks::ReadModel(model.tensors, store); });
}

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Make(tasks::ModelFile file,
                                                           const std::string& directory,
                                                           int threads, TaskMaker make, Fill lend,
                                                           Fill read) {
  std::unique_ptr<Predictor> p(new Predictor(std::move(file), make));
  absl::StatusOr<std::unique_ptr<tasks::Answerer>> answerer =
      p->task_->NewAnswerer(p->file_.preprocessing);
  HONE_RETURN_IF_ERROR(Annotate(answerer.status(), directory));
  p->answerer_ = *std::move(answerer);
  p->threads_ = threads;
  HONE_RETURN_IF_ERROR(CheckTeam(threads));
  const ScopedThreads scoped(threads);
  HONE_RETURN_IF_ERROR(p->MakePrograms(directory, lend));
  HONE_RETURN_IF_ERROR(read(p->store_));
  return p;
}

absl::Status Predictor::MakePrograms(const std::string& directory, Fill lend) {
  const tasks::DataInfo info = InfoOf(file_);
  if (const std::vector<tasks::ForwardSpec> specs = task_->answering(info); !specs.empty()) {
    absl::StatusOr<std::unique_ptr<OwnPrograms>> own =
        OwnPrograms::Make(specs, [&](const tasks::ForwardSpec& spec) {
          return task_->BuildAnswering(file_.model, info, spec);
        });
    HONE_RETURN_IF_ERROR(Annotate(own.status(), directory));
    own_ = *std::move(own);
    for (const Graph* graph : own_->graphs()) {
      HONE_RETURN_IF_ERROR(Declare(*graph));
    }
    HONE_RETURN_IF_ERROR(lend(store_));
    store_.Allocate(0);
    return own_->Compile(store_, threads_);
  }
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = NewDecoder();
  HONE_RETURN_IF_ERROR(Annotate(decoder.status(), directory));
  decoder_ = *std::move(decoder);
  if (decoder_ != nullptr) {
    HONE_RETURN_IF_ERROR(answerer_->CheckOutputs(decoder_->outputs()));
    for (const Graph* graph : decoder_->graphs()) {
      HONE_RETURN_IF_ERROR(Declare(*graph));
    }
    HONE_RETURN_IF_ERROR(lend(store_));
    store_.Allocate(0);
    return decoder_->Compile(store_, threads_);
  }
  const int64_t least_bucket = answerer_->BucketOf({});
  absl::StatusOr<tasks::TaskGraph> forward = Build({1, least_bucket});
  HONE_RETURN_IF_ERROR(Annotate(forward.status(), directory));
  HONE_RETURN_IF_ERROR(Declare(*forward->built.graph));
  HONE_RETURN_IF_ERROR(lend(store_));
  store_.Allocate(0);
  for (const int64_t batch : {kLargestBatch, int64_t{1}}) {
    HONE_RETURN_IF_ERROR(ProgramFor({batch, least_bucket}).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Decoder>> Predictor::NewDecoder() const {
  absl::StatusOr<std::unique_ptr<Decoder>> decoder =
      Decoder::Make([this](const tasks::DecodingShape& shape) {
        return task_->BuildDecoding(file_.model, InfoOf(file_), shape);
      });
  return absl::IsUnimplemented(decoder.status()) ? std::unique_ptr<Decoder>() : std::move(decoder);
}

absl::Status Predictor::Declare(const Graph& graph) {
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ParameterSpec spec = node.parameter;
      // Nothing is trained here, so no gradients are kept.
      spec.role = spec.role == ParameterRole::kTrainable ? ParameterRole::kFrozen : spec.role;
      HONE_RETURN_IF_ERROR(store_.Declare(spec).status());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<tasks::TaskGraph> Predictor::Build(const tasks::BatchShape& shape) const {
  return task_->BuildPrediction(file_.model, InfoOf(file_), shape);
}

absl::StatusOr<const Program*> Predictor::ProgramFor(const tasks::BatchShape& shape) {
  if (const auto known = programs_.find(shape); known != programs_.end()) {
    return &known->second;
  }
  HONE_ASSIGN_OR_RETURN(const tasks::TaskGraph forward, Build(shape));
  outputs_ = forward.built.graph->shape(forward.model.output).elements() / shape.batch;
  HONE_RETURN_IF_ERROR(answerer_->CheckOutputs(outputs_));
  HONE_ASSIGN_OR_RETURN(Program program,
                        Program::Compile(forward.built.request, store_, {.threads = threads_}));
  const int64_t bytes = program.arena_bytes();
  Program& kept = programs_.emplace(shape, std::move(program)).first->second;
  if (bytes <= arena_.bytes()) {
    HONE_RETURN_IF_ERROR(kept.Bind(arena_.as<std::byte>()));
  } else {
    arena_ = Buffer(std::max<int64_t>(bytes, 64));
    for (auto& [other, moved] : programs_) {
      HONE_RETURN_IF_ERROR(moved.Bind(arena_.as<std::byte>()));
    }
  }
  store_.RefreshAll();  // packed copies that only this program reads
  return &kept;
}

absl::StatusOr<std::vector<Prediction>> Predictor::Predict(std::span<const Example> examples) {
  if (examples.empty()) {
    return std::vector<Prediction>();
  }
  const ScopedThreads scoped(threads_);
  if (own_ != nullptr) {
    return answerer_->AnswerBy(examples, *own_);
  }
  return answerer_->Answer(examples, [&](std::span<const Example> run) { return Run(run); });
}

tasks::BatchShape Predictor::ShapeOf(std::span<const Example> examples) const {
  if (examples.size() >= static_cast<size_t>(kLargestBatch)) {
    const int64_t bucket = answerer_->BucketOf(examples.first(static_cast<size_t>(kLargestBatch)));
    if (bucket <= kLargestBucketOfABatch) {
      return {kLargestBatch, bucket};
    }
  }
  return {1, answerer_->BucketOf(examples.first(1))};
}

absl::StatusOr<std::vector<std::vector<float>>> Predictor::Run(std::span<const Example> examples) {
  if (decoder_ != nullptr) {
    std::vector<std::span<const int32_t>> texts;
    for (const Example& example : examples) {
      texts.emplace_back(std::get<std::vector<int32_t>>(example.at(std::string(kTokensInput))));
    }
    return decoder_->Run(texts);
  }
  std::vector<std::vector<float>> outputs;
  outputs.reserve(examples.size());
  while (!examples.empty()) {
    const tasks::BatchShape shape = ShapeOf(examples);
    HONE_ASSIGN_OR_RETURN(const Program* program, ProgramFor(shape));
    const auto count = static_cast<size_t>(shape.batch);
    HONE_RETURN_IF_ERROR(answerer_->Fill(examples.first(count), tasks::Inputs(*program, shape)));
    HONE_RETURN_IF_ERROR(program->Run({}));
    const auto* output = static_cast<const float*>(program->fetched(0));
    for (size_t i = 0; i < count; ++i, output += outputs_) {
      outputs.emplace_back(output, output + outputs_);
    }
    examples = examples.subspan(count);
  }
  return outputs;
}

}  // namespace hone::engine::predict
