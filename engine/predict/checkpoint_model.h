#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/head.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/model_file.h"

// A checkpoint in Hugging Face's form that answers as it is, without having been trained here.
namespace hone::engine::predict {

// What a checkpoint answers by itself.
struct CheckpointTask {
  tasks::TaskOptions options;
  std::optional<huggingface::Head> head = {};  // of an encoder with one
};
// Of the model that the directory is described as: a language model; an encoder with the head that
// it brings, else one that finds masked words, else one that makes vectors of texts, of its tokens'
// as 1_Pooling/config.json of sentence-transformers says, or their mean. INVALID_ARGUMENT where
// that file names another way. Errors of huggingface::ReadHead.
absl::StatusOr<CheckpointTask> TaskOfCheckpoint(const std::string& directory,
                                                const models::ModelDescription& model,
                                                const huggingface::Weights& weights);

// What a model file would say of it. Errors of TaskOfCheckpoint, huggingface::DescribeModel and
// ReadTokens.
absl::StatusOr<tasks::ModelFile> CheckpointModel(const std::string& directory,
                                                 const huggingface::Weights& weights);

// Every parameter but transient and borrowed ones; INVALID_ARGUMENT names one that the checkpoint
// has not, or in another shape. Errors of huggingface::Weights::Read.
absl::Status ReadCheckpoint(const huggingface::Weights& weights, ParameterStore& store);

}  // namespace hone::engine::predict
