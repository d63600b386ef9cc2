#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// What a program that goes on with texts has room for in a run.
struct DecodingShape {
  int64_t texts = 1;
  int64_t tokens = 1;  // new ones, of all texts together
};

// A task's model once it is trained: what model_file.h keeps of the task, and what a predictor
// asks.
class TaskModel {
 public:
  virtual ~TaskModel() = default;

  // The task and its options: {"kind": name(), …}. model.json holds it under "task", and the task
  // table reads it back, unless the model is saved as another task's.
  virtual nlohmann::json ToJson() const = 0;
  // Another task whose model it is once it is trained, and as which it is saved. None, as it stands
  // here: it stays this task's.
  virtual std::optional<TaskOptions> saved_as() const { return std::nullopt; }
  // How many numbers the model makes of an example, where a preset must be told
  // (models::BuildOptions). 0, as it stands here: it follows from the rest.
  virtual int64_t outputs(const DataInfo&) const { return 0; }
  // Forward only, with whatever inputs the task's Answerer fills; fetches the model's output
  // [batch, …] alone. As it stands here: the layers behind the input "features", or behind the
  // tokens of texts. `shape` is for so many examples of the bucket that the Answerer says.
  virtual absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                                    const DataInfo& info,
                                                    const BatchShape& shape) const;
  // The same for a model that goes on with texts: inputs "tokens" s32 [tokens] and "offsets" s32
  // [texts + 1] (tensor/token_rows.h), the newest tokens of each of so many texts, of some maybe
  // none; "places" s32 [tokens], where in its text each token stands; and "state_rows" s32 [texts],
  // of text r StateRow(r, whether it goes on) (ops/new_tokens.h). Fetches what BuildPrediction's
  // program gives for each text up to there; for one without new tokens it means nothing. What the
  // model needs of the tokens before is state of the store, which programs for as many texts share.
  // UNIMPLEMENTED, as it stands here: then all of a text is run again for each token.
  virtual absl::StatusOr<TaskGraph> BuildDecoding(const models::ModelDescription& model,
                                                  const DataInfo& info,
                                                  const DecodingShape& shape) const;
  // Programs that the Answerer runs itself (Answerer::AnswerBy), in place of BuildPrediction's and
  // BuildDecoding's; they share one store. None, as it stands here.
  virtual std::vector<ForwardSpec> answering(const DataInfo&) const { return {}; }
  virtual absl::StatusOr<TaskGraph> BuildAnswering(const models::ModelDescription& model,
                                                   const DataInfo& info,
                                                   const ForwardSpec& spec) const;
  // For a model of that preprocessing, which outlives it. As it stands here: FeaturesAnswerer,
  // whose answers are the outputs' numbers. INVALID_ARGUMENT where the task cannot read its own
  // part of the preprocessing.
  virtual absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const;
};

}  // namespace hone::engine::tasks
