#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/layers/conv2d.h"
#include "engine/layers/dense.h"
#include "engine/layers/normalization.h"
#include "engine/models/presets.h"
#include "engine/ops/reshape.h"

namespace hone::engine::models {
namespace {

// OK where the options are these, the only input is there, and a picture is known.
absl::Status Check(const nlohmann::json& options, std::initializer_list<absl::string_view> known,
                   const std::vector<NamedValue>& inputs, const BuildOptions& build) {
  for (const auto& [key, value] : options.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  if (inputs.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the network has one input, got ", inputs.size()));
  }
  if (build.picture.rank() != 3) {
    return absl::InvalidArgumentError("the network is one for pictures");
  }
  return absl::OkStatus();
}

// The sizes of the hidden layers, the input's first.
absl::StatusOr<std::vector<int64_t>> Sizes(const nlohmann::json& options, const char* field,
                                           std::vector<int64_t> otherwise) {
  const auto sizes = options.value(field, std::move(otherwise));
  if (sizes.empty() || std::ranges::any_of(sizes, [](int64_t size) { return size < 1; })) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", field, "` must be 1 or more numbers, each at least 1"));
  }
  return sizes;
}

Value AddDense(Graph& graph, Value x, absl::string_view name, int64_t units,
               ActivationKind activation) {
  layers::DenseOptions dense;
  dense.name = std::string(name);
  dense.units = units;
  dense.activation = activation;
  return layers::Dense(graph, x, dense);
}

// [batch, …] → [batch, dims…], a layer of its own.
Value AddReshape(Graph& graph, Value x, absl::string_view name, std::vector<int64_t> dims) {
  Graph::Scope scope(graph, name, "reshape");
  dims.insert(dims.begin(), graph.shape(x)[0]);
  return scope.Gives(engine::Reshape(graph, x, Shape(std::move(dims))));
}

Value AddFlatten(Graph& graph, Value x) {
  Graph::Scope scope(graph, "flatten", "flatten");
  return scope.Gives(engine::Flatten(graph, x));
}

}  // namespace

absl::StatusOr<Value> GanGenerator(Graph& graph, const nlohmann::json& options,
                                   const std::vector<NamedValue>& inputs,
                                   const BuildOptions& build) {
  HONE_RETURN_IF_ERROR(Check(options, {"units"}, inputs, build));
  HONE_ASSIGN_OR_RETURN(const std::vector<int64_t> units, Sizes(options, "units", {128, 128, 128}));
  Value x = inputs[0].value;
  for (size_t i = 0; i < units.size(); ++i) {
    x = AddDense(graph, x, absl::StrCat("dense_", i + 1), units[i], ActivationKind::kRelu);
  }
  x = AddDense(graph, x, absl::StrCat("dense_", units.size() + 1), build.picture.elements(),
               ActivationKind::kTanh);
  return AddReshape(graph, x, "picture", build.picture.dims());
}

absl::StatusOr<Value> GanDiscriminator(Graph& graph, const nlohmann::json& options,
                                       const std::vector<NamedValue>& inputs,
                                       const BuildOptions& build) {
  HONE_RETURN_IF_ERROR(Check(options, {"units"}, inputs, build));
  HONE_ASSIGN_OR_RETURN(const std::vector<int64_t> units, Sizes(options, "units", {128, 128}));
  Value x = AddFlatten(graph, inputs[0].value);
  for (size_t i = 0; i < units.size(); ++i) {
    x = AddDense(graph, x, absl::StrCat("dense_", i + 1), units[i], ActivationKind::kRelu);
  }
  return AddDense(graph, x, absl::StrCat("dense_", units.size() + 1), 1, ActivationKind::kNone);
}

absl::StatusOr<Value> DcganGenerator(Graph& graph, const nlohmann::json& options,
                                     const std::vector<NamedValue>& inputs,
                                     const BuildOptions& build) {
  HONE_RETURN_IF_ERROR(Check(options, {"filters", "batch_norm"}, inputs, build));
  HONE_ASSIGN_OR_RETURN(const std::vector<int64_t> filters, Sizes(options, "filters", {128, 64}));
  const bool norm = options.value("batch_norm", false);
  if (filters.size() > 16) {
    return absl::InvalidArgumentError(
        absl::StrCat("`filters` must be at most 16 numbers, got ", filters.size()));
  }
  const int64_t scale = int64_t{1} << filters.size();
  const Shape& picture = build.picture;
  if (picture[1] % scale != 0 || picture[2] % scale != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(filters.size(),
                     " numbers of `filters` make pictures whose height and width are multiples "
                     "of ",
                     scale, "; those of the data are ", picture.ToString(),
                     ": bring them to such a size (data.image) or give another number of filters"));
  }
  const auto activate = [&](Value x, absl::string_view name) {
    if (norm) {
      layers::BatchNormOptions batch_norm;
      batch_norm.name = absl::StrCat("batch_norm_", name);
      x = layers::BatchNorm(graph, x, batch_norm, build.training);
    }
    return layers::Activate(graph, x, ActivationKind::kLeakyRelu);
  };
  Value x = AddDense(graph, inputs[0].value, "dense_1",
                     SaturatingProduct(filters[0], picture.elements() / picture[0] / scale / scale),
                     ActivationKind::kNone);
  x = AddReshape(graph, x, "reshape_1", {filters[0], picture[1] / scale, picture[2] / scale});
  x = activate(x, "1");
  for (size_t i = 0; i < filters.size(); ++i) {
    const bool last = i + 1 == filters.size();
    layers::Conv2dOptions conv;
    conv.name = absl::StrCat("conv2d_transpose_", i + 1);
    conv.filters = last ? picture[0] : filters[i + 1];
    conv.kernel = 4;
    conv.stride = 2;
    conv.padding = layers::Padding::kSame;
    conv.use_bias = last || !norm;
    conv.activation = last ? ActivationKind::kTanh : ActivationKind::kNone;
    x = layers::Conv2dTranspose(graph, x, conv);
    x = last ? x : activate(x, absl::StrCat(i + 2));
  }
  return x;
}

absl::StatusOr<Value> DcganDiscriminator(Graph& graph, const nlohmann::json& options,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build) {
  HONE_RETURN_IF_ERROR(Check(options, {"filters"}, inputs, build));
  HONE_ASSIGN_OR_RETURN(const std::vector<int64_t> filters, Sizes(options, "filters", {32, 64}));
  Value x = inputs[0].value;
  for (size_t i = 0; i < filters.size(); ++i) {
    layers::Conv2dOptions conv;
    conv.name = absl::StrCat("conv2d_", i + 1);
    conv.filters = filters[i];
    conv.kernel = 3;
    conv.stride = 2;
    conv.padding = layers::Padding::kSame;
    conv.activation = ActivationKind::kLeakyRelu;
    x = layers::Conv2d(graph, x, conv);
  }
  return AddDense(graph, AddFlatten(graph, x), "dense_1", 1, ActivationKind::kNone);
}

}  // namespace hone::engine::models
