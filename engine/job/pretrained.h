#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/job/new_tokens.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::job {

// The model of a job that goes on from an earlier one, `own` being what the job itself describes;
// with names. What an earlier model's list of layers leaves after those dropped comes first, then
// `own.layers`. Of an earlier preset, or networks, it is `own` if there are layers or a preset in
// it, else the earlier model; a network of the job takes the place of an earlier one of its name.
// Of a checkpoint in Hugging Face's form it is the checkpoint's net, behind the inputs of `own`. It
// has rows for `options.new_tokens`, and the adapters of `options.lora`, whose targets may also be
// called as the checkpoint calls them, or those of the earlier model, which must be alike.
// INVALID_ARGUMENT where more is dropped than there is, or layers are to be dropped where there is
// no list of them; where `own` describes a net beside a checkpoint; where the file has nothing of a
// network that is gone on with. Errors of LoadModel, or of huggingface::DescribeModel.
absl::StatusOr<models::ModelDescription> WithPretrained(const tasks::PretrainedOptions& options,
                                                        const models::ModelDescription& own);

// `model.pretrained.freeze` as rules, to stand before those of the job: each name is a kept layer,
// or names parameters as ParameterRule::parameters does; "*" is all that begins with the earlier
// model's values. Before them, where the job learns adapters, stand those that freeze all of the
// earlier model but its adapters and a layer `classifier`. INVALID_ARGUMENT:
// "model.pretrained.freeze[0]: …" where a name is none of these.
absl::StatusOr<std::vector<tasks::ParameterRule>> FreezeRules(
    const tasks::PretrainedOptions& options, const std::vector<std::string>& freeze);

// How the earlier model makes tokens of texts: what a job on texts goes on with where it does not
// say otherwise (data::TextOptions::like), since a vocabulary of its own would give other words to
// the rows of the earlier tables. It has the job's new tokens. Null where the earlier model reads
// no texts. Errors of LoadModel. What a checkpoint's files say and is not done here, and which rows
// new tokens got, is added to `notes` where it is not null (data::TextOptions::like_notes).
absl::StatusOr<std::shared_ptr<const data::TextPreprocessing>> PretrainedTokens(
    const tasks::PretrainedOptions& options, std::vector<std::string>* notes = nullptr);

// The names of the outputs of the head that a checkpoint brings, where its config.json has names:
// what data that have these classes give their numbers by (data::LoadOptions::head_classes), since
// the head's weights are in that order. Empty otherwise. Errors of huggingface::Weights::Open and
// huggingface::ReadHead.
absl::StatusOr<std::vector<std::string>> PretrainedClasses(const tasks::PretrainedOptions& options);

// The files that came beside the weights of the checkpoint that a job of this model began with,
// itself or through an earlier model of ours of the same net (tasks::ModelFile::checkpoint_files),
// with the job's new tokens.
// None where it began with no checkpoint. Errors of LoadModel, or of
// huggingface::ReadFilesBesideWeights.
absl::StatusOr<std::map<std::string, std::string>> CheckpointFiles(
    const tasks::PretrainedOptions& options, const models::ModelDescription& model);

// INVALID_ARGUMENT where the earlier model was made for other pictures or rows: of another shape,
// or pixels brought to numbers in another way; or for no texts, or other tokens, of which it tells
// how many each side has; or where one of the two translates and the other does not.
absl::Status CheckPretrainedData(const tasks::PretrainedOptions& options,
                                 const tasks::DataInfo& info);

// The earlier model's weights, verified once, for a store to begin with. They are found by name:
// each tensor of the file that is of no dropped layer, or those that the options name. Of a
// checkpoint in Hugging Face's form they have the names of our parameters.
class Pretrained {
 public:
  // Holds nothing where the options name no model. INVALID_ARGUMENT:
  // "model.pretrained.parameters[0]: …" where a pattern names nothing in the file. Errors of
  // LoadModel, or of huggingface::Weights::Open.
  static absl::StatusOr<Pretrained> Open(const tasks::PretrainedOptions& options);

  // Load, or the file itself, gives the values of this parameter or buffer.
  bool Holds(absl::string_view parameter) const { return held_.contains(parameter); }
  // Lends the store the frozen ones, so that nothing is copied; before its Allocate. What the file
  // holds in another type than f32 and bf16, or not at a multiple of its size, is left for Load.
  absl::Status LendTo(ParameterStore& store) const;
  // The others' values, and those of rows of new tokens. INVALID_ARGUMENT names one whose shape
  // differs.
  absl::Status Load(ParameterStore& store) const;

 private:
  absl::Status LendTo(ParameterStore& store, const checkpoint::Model& model) const;
  absl::Status LendTo(ParameterStore& store, const huggingface::Weights& weights) const;
  absl::Status Read(ParameterStore& store, ParameterId id) const;
  absl::StatusOr<Table> ReadTable(const std::string& name) const;

  // One of the two, or none.
  std::optional<checkpoint::Model> files_;
  std::optional<huggingface::Weights> checkpoint_;
  absl::flat_hash_set<std::string> held_;
  std::optional<NewTokens> new_tokens_;
};

}  // namespace hone::engine::job
