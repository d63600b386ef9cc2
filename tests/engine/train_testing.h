#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/files.h"
#include "engine/job/trainer.h"
#include "tests/engine/data_testing.h"

namespace hone::engine::train {

// Keeps all that a run tells.
class Recorder final : public job::TrainingObserver {
 public:
  void OnDataReport(const data::DataReport&, const tasks::DataInfo&) override {}
  void OnStarted(const job::Started& value) override { started.push_back(value); }
  void OnMetrics(const Metrics& value) override { metrics.push_back(value); }
  void OnLayerStatistics(const LayerStatistics& value) override {
    statistics.push_back(value);
    if (on_step) {
      on_step(value.step);
    }
  }
  void OnCheckpoint(const CheckpointWritten& value) override { checkpoints.push_back(value); }
  void OnLog(Severity severity, const std::string& text) override {
    (severity == Severity::kInfo ? infos : warnings).push_back(text);
  }
  void OnEvaluation(const tasks::Evaluation& value) override { evaluations.push_back(value); }
  void OnArtifact(const tasks::Artifact& value) override { artifacts.push_back(value); }
  void OnProgress(const std::string& phase, double) override {
    if (on_progress) {
      on_progress(phase);
    }
  }

  std::function<void(int64_t)> on_step;  // with layer statistics at every step, after each
  std::function<void(const std::string&)> on_progress;
  std::vector<job::Started> started;
  std::vector<Metrics> metrics;
  std::vector<LayerStatistics> statistics;
  std::vector<CheckpointWritten> checkpoints;
  std::vector<std::string> infos;
  std::vector<std::string> warnings;
  std::vector<tasks::Evaluation> evaluations;
  std::vector<tasks::Artifact> artifacts;
};

inline models::LayerDescription DenseLayer(int64_t units,
                                           ActivationKind activation = ActivationKind::kNone) {
  layers::DenseOptions dense;
  dense.units = units;
  dense.activation = activation;
  return {.name = "", .inputs = {}, .frozen = false, .kind = dense};
}

inline models::LayerDescription Of(models::LayerKind kind) {
  return {.name = "", .inputs = {}, .frozen = false, .kind = std::move(kind)};
}

// Jobs on small data made up here: 90 points of three classes in a table, 70 pictures of 8×8 in two
// classes.
class TrainTest : public data::DataTest {
 protected:
  static constexpr auto kRelu = ActivationKind::kRelu;

  TrainTest() {
    RandomStream random(7, "train test");
    std::string table = "a,b,c,kind\n";
    for (int i = 0; i < 90; ++i) {
      for (int column = 0; column < 3; ++column) {
        const double center = column == i % 3 ? 2 : 0;
        table += std::to_string(center + 0.4 * random.NextNormal()) + ",";
      }
      table += std::string(1, "xyz"[i % 3]) + "\n";
    }
    Write("points.csv", table);
    std::string pixels, labels;
    for (int i = 0; i < 70; ++i) {
      labels += static_cast<char>(i % 2);
      for (int p = 0; p < 64; ++p) {
        const bool bright = i % 2 == 0 ? p % 8 < 4 : p % 8 >= 4;
        pixels += static_cast<char>(random.NextBelow(100) + (bright ? 120 : 0));
      }
    }
    for (const char* part : {"train", "t10k"}) {
      Write(std::string("pictures/") + part + "-images-idx3-ubyte",
            data::IdxImages(70, 8, 8, pixels));
      Write(std::string("pictures/") + part + "-labels-idx1-ubyte", data::IdxLabels(70, labels));
    }
  }

  // 72 training examples in batches of 16: the last one is short.
  tasks::TrainingConfig Points() const {
    tasks::TrainingConfig config;
    config.task = tasks::ClassificationOptions();
    config.data.path = Path("points.csv");
    config.model.layers = {DenseLayer(8, kRelu), DenseLayer(3)};
    config.epochs = 4;
    config.batch_size = 16;
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }

  tasks::TrainingConfig Pictures() const {
    tasks::TrainingConfig config;
    config.task = tasks::ClassificationOptions();
    config.data.path = Path("pictures");
    layers::Conv2dOptions conv;
    conv.filters = 4;
    conv.kernel = 3;
    conv.activation = kRelu;
    models::Dropout dropout{.rate = 0.3f};
    config.model.layers = {Of(conv), Of(models::MaxPool2d{}), Of(models::Flatten{}), Of(dropout),
                           DenseLayer(2)};
    config.augmentation = {.shift = 0.2f, .horizontal_flip = false, .rotate_degrees = 10};
    config.epochs = 3;
    config.batch_size = 32;  // 32, 32 and 6: shards, shards and a team
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }

  std::string NewRun() const {
    static int number = 0;
    const std::string path = Path("run-" + std::to_string(++number));
    std::filesystem::create_directories(path);
    return path;
  }

  // Runs to its end.
  absl::StatusOr<EndReason> Run(const tasks::TrainingConfig& config) {
    job::Trainer trainer(config, stop_, recorder_);
    const absl::StatusOr<EndReason> end = trainer.Run();
    failed_step_ = trainer.step();
    phase_ = trainer.phase();
    return end;
  }

  std::string ModelSha(const tasks::TrainingConfig& config) const {
    return Sha256OfFile(config.run_directory + "/model/model.safetensors").value_or("no model");
  }

  // A run that is stopped after each step and resumed ends with the bits of one that is not.
  void ExpectSameBitsInPieces(tasks::TrainingConfig config) {
    config.layer_statistics_every = 1;
    config.run_directory = NewRun();
    EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
    const std::string whole = ModelSha(config);
    config.run_directory = NewRun();
    config.resume = true;
    recorder_.on_step = [this](int64_t) { stop_ = true; };
    int attempts = 1;
    for (; Run(config).value() == EndReason::kCancelled; ++attempts) {
      stop_ = false;
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    EXPECT_GT(attempts, 5);
    EXPECT_EQ(ModelSha(config), whole);
  }

  std::atomic<bool> stop_ = false;
  Recorder recorder_;
  int64_t failed_step_ = 0;
  job::Phase phase_ = job::Phase::kLoading;
};

}  // namespace hone::engine::train
