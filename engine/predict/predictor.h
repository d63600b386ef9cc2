#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/plan/program.h"
#include "engine/predict/decoder.h"
#include "engine/predict/own_programs.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"

namespace hone::engine::predict {

using Prediction = tasks::Prediction;
using Example = tasks::Example;

// A model from a folder that a training left, with forward programs for one example and for
// several; where examples come in buckets, for each that has been asked for. A model that writes
// has a Decoder instead, if it can be run so, and one whose task has programs of its own to answer
// with has those. What its inputs are, and what its outputs mean, its task knows
// (tasks/prediction.h). Weights stay in the model's file where programs can read them as they lie;
// processes that answer with one model share their pages. Not thread safe: several threads take
// turns, or have a predictor each.
class Predictor {
 public:
  using TaskMaker = std::unique_ptr<tasks::Task> (*)(const tasks::TaskOptions& options);

  // The folder may be a checkpoint in Hugging Face's form (predict/checkpoint_model.h). `make`
  // gives the task of the model file's options. NOT_FOUND, DATA_LOSS where the folder is not
  // whole; INVALID_ARGUMENT where weights and description do not fit each other.
  static absl::StatusOr<std::unique_ptr<Predictor>> Load(const std::string& directory, int threads,
                                                         TaskMaker make = tasks::MakeTask);
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  const tasks::ModelFile& file() const { return file_; }

  // Errors of tasks::Answerer::Read: the question is none for this model, or is wrong in itself.
  absl::StatusOr<Example> Read(const tasks::Question& question, absl::string_view name) const {
    return answerer_->Read(question, name);
  }

  // One prediction for each example, in their order.
  absl::StatusOr<std::vector<Prediction>> Predict(std::span<const Example> examples);

 private:
  Predictor(tasks::ModelFile file, TaskMaker make)
      : file_(std::move(file)), task_(make(file_.task)) {}
  // What is done to the store.
  using Fill = absl::FunctionRef<absl::Status(ParameterStore&)>;
  // `lend` gives the store what can stay in the model's file, before its memory is allocated;
  // `read` what is left.
  static absl::StatusOr<std::unique_ptr<Predictor>> Make(tasks::ModelFile file,
                                                         const std::string& directory, int threads,
                                                         TaskMaker make, Fill lend, Fill read);
  absl::StatusOr<tasks::TaskGraph> Build(const tasks::BatchShape& shape) const;
  // The decoder, if the model is one that goes on with texts; null otherwise.
  absl::StatusOr<std::unique_ptr<Decoder>> NewDecoder() const;
  // Makes the programs that answer, and allocates the store.
  absl::Status MakePrograms(const std::string& directory, Fill lend);
  // Every parameter of the graph that is not there yet.
  absl::Status Declare(const Graph& graph);
  // Makes the program of that shape where it is not there yet, in an arena that is large enough.
  absl::StatusOr<const Program*> ProgramFor(const tasks::BatchShape& shape);
  // What the next of the examples are run in.
  tasks::BatchShape ShapeOf(std::span<const Example> examples) const;
  // The model's outputs: as many examples at a time as the programs take.
  absl::StatusOr<std::vector<std::vector<float>>> Run(std::span<const Example> examples);

  tasks::ModelFile file_;
  std::unique_ptr<tasks::Task> task_;
  std::unique_ptr<tasks::Answerer> answerer_;
  int threads_ = 1;
  ParameterStore store_;
  int64_t outputs_ = 0;
  std::unique_ptr<OwnPrograms> own_;  // null: the task has none
  std::unique_ptr<Decoder> decoder_;  // null, and no own ones: `programs_` answer
  std::map<tasks::BatchShape, Program> programs_;
  Buffer arena_;
};

}  // namespace hone::engine::predict
