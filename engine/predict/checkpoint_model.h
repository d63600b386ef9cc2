#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/model_file.h"

// A checkpoint in Hugging Face's form that answers as it is, without having been trained here.
namespace hone::engine::predict {

// What a model file would say of it: a language model, or an encoder that finds masked words.
// INVALID_ARGUMENT for an encoder without the head for that. Errors of huggingface::DescribeModel
// and ReadTokens.
absl::StatusOr<tasks::ModelFile> CheckpointModel(const std::string& directory,
                                                 const huggingface::Weights& weights);

// Every parameter but transient and borrowed ones; INVALID_ARGUMENT names one that the checkpoint
// has not, or in another shape. Errors of huggingface::Weights::Read.
absl::Status ReadCheckpoint(const huggingface::Weights& weights, ParameterStore& store);

}  // namespace hone::engine::predict
