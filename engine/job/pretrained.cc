#include "engine/job/pretrained.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/tasks/model_file.h"

namespace hone::engine::job {
namespace {

constexpr char kAll[] = "*";

struct Earlier {
  tasks::ModelFile description;
  std::vector<models::LayerDescription> kept;
};

// Null where a program cannot read the type in place.
std::optional<DType> DTypeOf(checkpoint::FileDType type) {
  return type == checkpoint::FileDType::kF32    ? std::optional(DType::kF32)
         : type == checkpoint::FileDType::kBf16 ? std::optional(DType::kBf16)
                                                : std::nullopt;
}

std::vector<std::string> NamesOf(const std::vector<models::LayerDescription>& layers) {
  std::vector<std::string> names;
  for (const models::LayerDescription& layer : layers) {
    names.push_back(layer.name);
  }
  return names;
}

// What model.json tells; the weights are not read.
absl::StatusOr<Earlier> Describe(const tasks::PretrainedOptions& options) {
  const absl::StatusOr<std::string> json = checkpoint::LoadModelJson(options.directory);
  HONE_RETURN_IF_ERROR(Annotate(json.status(), "model.pretrained"));
  Earlier earlier;
  HONE_ASSIGN_OR_RETURN(earlier.description, tasks::ModelFileFromJson(*json));
  const std::vector<models::LayerDescription>& layers = earlier.description.model.layers;
  const auto count = static_cast<int64_t>(layers.size());
  if (count == 0) {
    return absl::InvalidArgumentError(
        "model.pretrained: the earlier model is no list of layers, but a preset or networks");
  }
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
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options));
  const std::vector<std::string> names = NamesOf(earlier.kept);
  for (const std::string& name : options.freeze) {
    if (name != kAll && std::ranges::find(names, name) == names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.pretrained.freeze: no layer is called ", name,
                       "; those kept are: ", absl::StrJoin(names, ", ")));
    }
  }
  models::ModelDescription whole{.layers = earlier.kept,
                                 .inputs = earlier.description.model.inputs};
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
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options));
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

absl::StatusOr<Pretrained> Pretrained::Open(const tasks::PretrainedOptions& options) {
  Pretrained pretrained;
  if (options.directory.empty()) {
    return pretrained;
  }
  HONE_ASSIGN_OR_RETURN(const Earlier earlier, Describe(options));
  pretrained.layers_ = NamesOf(earlier.kept);
  absl::StatusOr<checkpoint::Model> files = checkpoint::LoadModel(options.directory);
  HONE_RETURN_IF_ERROR(Annotate(files.status(), "model.pretrained"));
  pretrained.files_ = *std::move(files);
  return pretrained;
}

bool Pretrained::Holds(absl::string_view parameter) const {
  return std::ranges::any_of(layers_, [&](const std::string& layer) {
    return absl::StartsWith(parameter, absl::StrCat(layer, "."));
  });
}

absl::Status Pretrained::LendTo(ParameterStore& store) const {
  std::shared_ptr<const std::byte> mapped;
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role != ParameterRole::kFrozen || !Holds(spec.name)) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const checkpoint::FileTensor* tensor, files_->tensors.Find(spec.name));
    const std::optional<DType> dtype = DTypeOf(tensor->dtype);
    if (tensor->shape != spec.shape || !dtype.has_value() ||
        tensor->begin % checkpoint::SizeOf(tensor->dtype) != 0) {
      continue;  // Load says what is wrong with a shape
    }
    if (mapped == nullptr) {
      HONE_ASSIGN_OR_RETURN(mapped, files_->tensors.Map());
    }
    HONE_RETURN_IF_ERROR(store.Borrow(id, {.dtype = *dtype,
                                           .data = mapped.get() + tensor->begin,
                                           .memory = mapped,
                                           .sha256 = files_->tensors_sha256,
                                           .path = files_->tensors.path()}));
  }
  return absl::OkStatus();
}

absl::Status Pretrained::Load(ParameterStore& store) const {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const std::string& name = store.spec(id).name;
    if (Holds(name) && store.borrowed(id) == nullptr) {
      HONE_RETURN_IF_ERROR(
          Annotate(tasks::ReadParameter(files_->tensors, name, store, id), "model.pretrained"));
    }
  }
  store.MarkChanged();
  return absl::OkStatus();
}

}  // namespace hone::engine::job
