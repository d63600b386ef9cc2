#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/classification.h"
#include "engine/train/checkpoints.h"
#include "engine/train/loop.h"
#include "engine/train/run_progress.h"
#include "tests/engine/train_testing.h"

namespace hone::engine::train {

// What a task made up in a test has when it is about its losses alone: any data is right, and an
// evaluation computes the first update's loss.
class LossTask : public tasks::Task {
 public:
  absl::Status CheckData(const tasks::DataInfo&) const override { return absl::OkStatus(); }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig& config,
                                                   const tasks::DataInfo& info,
                                                   const tasks::BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result, BuildLoss(config, info, 0, shape));
    result.built.request.fetch.push_back(result.built.request.fetch[0]);
    return result;
  }
  void AddTrainingMetrics(size_t, const tasks::Sums&,
                          std::map<std::string, double>&) const override {}
  std::unique_ptr<tasks::Scorer> NewScorer(const data::Dataset&,
                                           const tasks::DataInfo&) const override {
    class NoScore final : public tasks::Scorer {
     public:
      void Add(const float*, std::span<const int32_t>) override {}
      tasks::Evaluation Finish() const override { return {}; }
    };
    return std::make_unique<NoScore>();
  }
};

// A classification, of which a test changes a part.
class ChangedClassification : public tasks::Task {
 public:
  absl::Status CheckData(const tasks::DataInfo& info) const override {
    return task_->CheckData(info);
  }
  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig& config,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    return task_->BuildLoss(config, info, update, shape);
  }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig& config,
                                                   const tasks::DataInfo& info,
                                                   const tasks::BatchShape& shape) const override {
    return task_->BuildEvaluation(config, info, shape);
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    return task_->FillInputs(dataset, examples, state, inputs);
  }
  void AddTrainingMetrics(size_t update, const tasks::Sums& sums,
                          std::map<std::string, double>& values) const override {
    task_->AddTrainingMetrics(update, sums, values);
  }
  std::unique_ptr<tasks::Scorer> NewScorer(const data::Dataset& dataset,
                                           const tasks::DataInfo& info) const override {
    return task_->NewScorer(dataset, info);
  }

 private:
  std::unique_ptr<tasks::Task> task_ = tasks::MakeClassification({});
};

// Runs of the one loop with a task made up in the test.
class TaskTest : public TrainTest {
 protected:
  // Points() of which none is held out, with layer statistics at every step.
  tasks::TrainingConfig AllPoints() const {
    tasks::TrainingConfig config = Points();
    config.data.validation_fraction = config.data.test_fraction = 0;
    config.layer_statistics_every = 1;
    return config;
  }

  // One attempt of the run in `directory`; goes on from its newest checkpoint.
  absl::StatusOr<EndReason> Attempt(const tasks::Task& task, const std::string& directory) {
    config_.run_directory = directory;
    HONE_ASSIGN_OR_RETURN(const data::LoadedData data,
                          tasks::LoadExamples(config_.data, config_, task));
    const tasks::DataInfo info = tasks::InfoOf(data, task, config_, task.evaluation_batch(config_));
    HONE_ASSIGN_OR_RETURN(programs_, Programs::Compile(config_, info, task));
    HONE_RETURN_IF_ERROR(programs_->Bind());
    programs_->store().Initialize(config_.seed);
    if (begin_with_ != nullptr) {
      begin_with_(programs_->store());
      programs_->store().MarkChanged();
    }
    programs_->store().RefreshAll();
    checkpoint::RunState state = InitialState(config_, info);
    absl::StatusOr<checkpoint::Checkpoint> latest =
        checkpoint::LatestCheckpoint(CheckpointRoot(config_));
    if (latest.ok()) {
      HONE_RETURN_IF_ERROR(RestoreCheckpoint(*latest, *programs_));
      state = latest->state;
    }
    TrainingLoop loop({config_, data, info, task, *programs_, stop_, recorder_}, state);
    const absl::StatusOr<EndReason> end = loop.Run();
    state_ = loop.state();
    return end;
  }

  // A run stopped after every step, each attempt with objects of its own. Returns how many there
  // were.
  int InPieces(const tasks::Task& task) {
    const std::string directory = NewRun();
    int attempts = 1;
    for (stop_ = true; Attempt(task, directory).value() == EndReason::kCancelled; ++attempts) {
    }
    stop_ = false;
    return attempts;
  }

  std::vector<float> Values(const std::string& name) {
    const std::span<const float> values =
        programs_->store().values(programs_->store().Find(name).value()).f32();
    return {values.begin(), values.end()};
  }

  tasks::TrainingConfig config_;
  std::function<void(ParameterStore&)> begin_with_;  // values of the test's own
  std::unique_ptr<Programs> programs_;
  checkpoint::RunState state_;
};

}  // namespace hone::engine::train
