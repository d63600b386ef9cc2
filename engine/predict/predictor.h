#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/plan/program.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/table.h"

namespace hone::engine::predict {

using Prediction = tasks::Prediction;

// One example as the model takes it: bytes of a picture or features of a record, in the layout of
// the program's input.
using Example = std::vector<std::byte>;

// A model from a folder that a training left, with forward programs for one example and for
// several. Not thread safe: several threads take turns, or have a predictor each.
class Predictor {
 public:
  // NOT_FOUND, DATA_LOSS where the folder is not whole; INVALID_ARGUMENT where weights and
  // description do not fit each other.
  static absl::StatusOr<std::unique_ptr<Predictor>> Load(const std::string& directory, int threads);
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  const tasks::ModelFile& file() const { return file_; }

  // A PNG or JPEG file, brought to the model's size and channels. INVALID_ARGUMENT for bytes that
  // are no picture (`name` tells which), or a model of tables.
  absl::StatusOr<Example> FromPicture(absl::string_view bytes, absl::string_view name) const;
  // A row by column name. INVALID_ARGUMENT names the column that is unknown, absent or wrong; or
  // the model is one of pictures.
  absl::StatusOr<Example> FromRecord(const std::map<std::string, std::string>& record) const;

  // One prediction for each example, in their order.
  absl::StatusOr<std::vector<Prediction>> Predict(std::span<const Example> examples);

 private:
  explicit Predictor(tasks::ModelFile file)
      : file_(std::move(file)), task_(tasks::MakeTask(file_.task)) {}
  absl::StatusOr<tasks::TaskGraph> Build(int64_t batch) const;
  absl::Status Compile(int64_t batch, int threads);
  absl::Status Run(const Program& program, std::span<const Example> examples,
                   std::vector<Prediction>& predictions);

  tasks::ModelFile file_;
  std::unique_ptr<tasks::Task> task_;
  int threads_ = 1;
  ParameterStore store_;
  int64_t outputs_ = 0;
  std::vector<std::pair<int64_t, Program>> programs_;  // by batch, the largest first
  Buffer arena_;
};

}  // namespace hone::engine::predict
