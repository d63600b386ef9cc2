#include "engine/job/pretrained.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::job {
namespace {

constexpr char kAll[] = "*";

struct Earlier {
  checkpoint::Model files;
  tasks::ModelFile description;
  std::vector<models::LayerDescription> kept;
};

std::vector<std::string> NamesOf(const std::vector<models::LayerDescription>& layers) {
  std::vector<std::string> names;
  for (const models::LayerDescription& layer : layers) {
    names.push_back(layer.name);
  }
  return names;
}

absl::StatusOr<Earlier> Open(const tasks::PretrainedOptions& options) {
  absl::StatusOr<checkpoint::Model> files = checkpoint::LoadModel(options.directory);
  HONE_RETURN_IF_ERROR(Annotate(files.status(), "model.pretrained"));
  Earlier earlier{.files = *std::move(files), .description = {}, .kept = {}};
  HONE_ASSIGN_OR_RETURN(earlier.description, tasks::ModelFileFromJson(earlier.files.model_json));
  const std::vector<models::LayerDescription>& layers = earlier.description.model.layers;
  const auto count = static_cast<int64_t>(layers.size());
  if (options.drop_layers < 0 || options.drop_layers >= count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.pretrained.drop_layers: must leave one of the earlier model's ", count, " layers (",
        absl::StrJoin(NamesOf(layers), ", "), "), got ", options.drop_layers));
  }
  earlier.kept.assign(layers.begin(), layers.end() - options.drop_layers);
  return earlier;
}

}  // namespace

absl::StatusOr<models::ModelDescription> WithPretrained(const tasks::PretrainedOptions& options,
                                                        const models::ModelDescription& head) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Open(options));
  const std::vector<std::string> names = NamesOf(earlier.kept);
  for (const std::string& name : options.freeze) {
    if (name != kAll && std::ranges::find(names, name) == names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.pretrained.freeze: no layer is called ", name,
                       "; those kept are: ", absl::StrJoin(names, ", ")));
    }
  }
  models::ModelDescription whole{.layers = earlier.kept};
  for (models::LayerDescription& layer : whole.layers) {
    layer.frozen = std::ranges::any_of(options.freeze, [&](const std::string& name) {
      return name == kAll || name == layer.name;
    });
  }
  whole.layers.insert(whole.layers.end(), head.layers.begin(), head.layers.end());
  return models::WithNames(std::move(whole));
}

absl::Status CheckPretrainedData(const tasks::PretrainedOptions& options,
                                 const tasks::DataInfo& info) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Open(options));
  const data::Preprocessing& was = earlier.description.preprocessing;
  if (was.features() != info.features) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.pretrained: the model was made for examples of ",
                     was.features().ToString(), ", these are ", info.features.ToString()));
  }
  const data::Preprocessing& is = info.preprocessing;
  if (was.pixel_scale != is.pixel_scale || was.pixel_mean != is.pixel_mean ||
      was.pixel_std != is.pixel_std) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.image: the pretrained model's pixels had mean [", absl::StrJoin(was.pixel_mean, ", "),
        "] and std [", absl::StrJoin(was.pixel_std, ", "), "]; give the same"));
  }
  return absl::OkStatus();
}

absl::Status LoadPretrained(const tasks::PretrainedOptions& options, ParameterStore& store) {
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Open(options));
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    const bool kept = std::ranges::any_of(earlier.kept, [&](const auto& layer) {
      return absl::StartsWith(spec.name, absl::StrCat(layer.name, "."));
    });
    if (kept) {
      HONE_RETURN_IF_ERROR(Annotate(
          earlier.files.tensors.Read(spec.name, spec.shape, store.mutable_values(id).f32()),
          "model.pretrained"));
    }
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

}  // namespace hone::engine::job
