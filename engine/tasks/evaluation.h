#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/tasks/artifacts.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::tasks {

class TaskPrograms;
class TaskState;

// What an evaluation came to.
struct Evaluation {
  struct Class {
    std::string name;
    double precision = 0;
    double recall = 0;
    double f1 = 0;
    int64_t examples = 0;
  };
  std::string split;  // "test" or "validation"
  std::map<std::string, double> metrics;
  // Of no split, under names of their own: "variety".
  std::map<std::string, double> own_metrics = {};
  std::vector<std::string> warnings = {};  // told in the log
  std::vector<Class> classes;
  std::vector<int64_t> confusion;  // [class, taken for]
  std::string fit_verdict;         // "", "overfitting" or "underfitting"
  std::string fit_reason;
  // A metric, the higher the better, that early stopping, plateaus and the best checkpoint go by.
  // "": the metric "loss", the lower the better, where there is one.
  std::string best_by = {};
  std::string note = {};  // for who watches, in one line or more; "": none
};

// What the error of a single example is, by which two models are compared.
enum class ErrorKind {
  kNone,     // it has none: the model is not about single examples
  kWrong,    // 1 where the model takes it for another class, else 0
  kSquared,  // of a number, in its own unit; of several, their mean
};

struct ExampleError {
  int32_t row = 0;  // of the data set
  double value = 0;
};

// Collects the outputs of a split, batch by batch.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // `outputs` [rows, outputs] are the model's, row major; `rows` are those of the data set. Of a
  // task whose model gives something for each token, or for each text of a pair, they are that.
  virtual void Add(const float* outputs, std::span<const int32_t> rows) = 0;
  // Told before each Add: the shape of these outputs, where their number is not known otherwise.
  virtual void Expect(const Shape& /*outputs*/) {}
  // Metrics without a prefix, such as "accuracy"; the loss is added by the caller.
  virtual Evaluation Finish() const = 0;
  // Puts the errors of these rows, by the task's error_kind, behind those that are there.
  virtual void AddErrors(const float* /*outputs*/, std::span<const int32_t> /*rows*/,
                         std::vector<ExampleError>& /*errors*/) const {}
};

// Of programs that give losses alone, or of outputs that the task scores by itself.
class NoScorer final : public Scorer {
 public:
  void Add(const float*, std::span<const int32_t>) override {}
  Evaluation Finish() const override { return {}; }
};

// What an evaluation works on; all of it outlives it.
struct EvaluationContext {
  const data::Dataset& dataset;
  const DataInfo& info;
  const TaskState* state;         // the run's, or null where the task has none
  TaskPrograms& programs;         // evaluation programs, and the task's forward programs
  std::span<const int32_t> rows;  // of the split; none where the task evaluates without
  std::string split;              // "validation" at an epoch's end, "test" after the training
  int64_t step = 0;               // of training, that the weights have come to
  const ArtifactSink& artifacts;
  absl::FunctionRef<void(double)> progress;  // called now and then with the share done, or -1
  bool final = false;                        // after the training, not at an epoch's end
  std::string helper_model = {};             // the folder of HelperJob's model, where there is one
  int threads = 1;
  // Where the errors of single examples are put, in the order in which they are evaluated.
  // Null: nobody asks for them.
  std::vector<ExampleError>* errors = nullptr;
};

// How a task is evaluated.
class TaskEvaluation {
 public:
  virtual ~TaskEvaluation() = default;

  // Metrics without a prefix. "loss", where it is among them, is what early stopping, plateaus and
  // the best checkpoint go by. As Task has it: the evaluation programs over all rows, and what
  // NewScorer makes of their outputs. A task may do otherwise: decode, act, draw; in programs of
  // its own.
  virtual absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const = 0;
  // Examples of a batch of the evaluation programs, one at least. Where outputs are large, so is
  // the memory that they take.
  virtual int64_t evaluation_batch(const TrainingConfig& config) const = 0;
  // A job whose model the final evaluation needs: it is run before all else, in the folder helper/
  // of the run; a run that is resumed goes on with it, or finds its model. It has the threads and
  // the memory of the run; its folder and whether it resumes are not set. None: no job is needed.
  // Errors of InspectExamples.
  virtual absl::StatusOr<std::optional<TrainingConfig>> HelperJob(const TrainingConfig&) const {
    return std::nullopt;
  }
  // What errors Evaluate puts into its context.
  virtual ErrorKind error_kind() const { return ErrorKind::kNone; }
  // What the training begins with is evaluated as its model will be; the metrics are "start_…".
  virtual bool evaluates_the_start() const { return false; }
  // Evaluate is called where nothing is held out, too.
  virtual bool evaluates_without_rows() const { return false; }
  // The dataset outlives the scorer.
  virtual std::unique_ptr<Scorer> NewScorer(const data::Dataset& dataset,
                                            const DataInfo& info) const = 0;
};

}  // namespace hone::engine::tasks
