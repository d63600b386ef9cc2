#include "engine/ops/conv2d.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/layers/conv2d.h"
#include "engine/layers/parameters.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/upsample2d.h"
#include "engine/ops/windows.h"

namespace hone::engine::layers {
namespace {

// OK if x is a batch of pictures.
absl::Status CheckPictures(const Graph& graph, Value x, absl::string_view name) {
  if (graph.shape(x).rank() == 4) {
    return absl::OkStatus();
  }
  const std::vector<int64_t>& dims = graph.shape(x).dims();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": its input must be [channels, height, width], got ",
      Shape(std::vector<int64_t>(dims.begin() + 1, dims.end())).ToString(), " for one example"));
}

absl::Status CheckPositive(absl::string_view layer, absl::string_view field, int64_t value) {
  if (value >= 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(layer, ": ", field, " must be at least 1, got ", value));
}

// The padding of height and width, before and after.
void SetPadding(const Shape& picture, Padding padding, int64_t kernel, int64_t stride,
                int64_t dilation, int64_t (&before)[2], int64_t (&after)[2]) {
  for (int d = 0; padding == Padding::kSame && d < 2; ++d) {
    std::tie(before[d], after[d]) = SamePadding(picture[2 + d], kernel, stride, dilation);
  }
}

// OK if the options of the layer whose scope the graph is in fit x.
absl::Status CheckConv(const Graph& graph, Value x, const Conv2dOptions& options) {
  HONE_RETURN_IF_ERROR(CheckPictures(graph, x, graph.scope()));
  for (const auto& [field, value] :
       {std::pair{"filters", options.filters}, std::pair{"kernel", options.kernel},
        std::pair{"stride", options.stride}, std::pair{"dilation", options.dilation},
        std::pair{"groups", options.groups}}) {
    HONE_RETURN_IF_ERROR(CheckPositive(graph.scope(), field, value));
  }
  const int64_t channels = graph.shape(x)[1];
  if (channels % options.groups != 0 || options.filters % options.groups != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        graph.scope(), ": groups must divide the ", channels, " channels of its input and the ",
        options.filters, " filters, got ", options.groups));
  }
  return absl::OkStatus();
}

using PoolFunction = Value (*)(Graph&, Value, const PoolGeometry&);

Value Pool2d(Graph& graph, Value x, const Pool2dOptions& options, absl::string_view kind,
             PoolFunction pool) {
  Graph::Scope scope(graph, options.name, kind);
  absl::Status status = CheckPictures(graph, x, graph.scope());
  status.Update(CheckPositive(graph.scope(), "size", options.size));
  if (!status.ok()) {
    return graph.Fail(status);
  }
  PoolGeometry geometry{.kernel = {options.size, options.size},
                        .stride = options.stride > 0 ? options.stride : options.size};
  SetPadding(graph.shape(x), options.padding, options.size, geometry.stride, /*dilation=*/1,
             geometry.padding_before, geometry.padding_after);
  return scope.Gives(pool(graph, x, geometry));
}

}  // namespace

Value Conv2d(Graph& graph, Value x, const Conv2dOptions& options) {
  Graph::Scope scope(graph, options.name, "conv2d");
  if (const absl::Status status = CheckConv(graph, x, options); !status.ok()) {
    return graph.Fail(status);
  }
  const Shape picture = graph.shape(x);
  const int64_t channels = picture[1] / options.groups, area = options.kernel * options.kernel;
  const LayerParameters parameters(graph, options.frozen);
  const Value weight = parameters.Weight(
      {options.filters, channels, options.kernel, options.kernel}, options.initializer,
      {static_cast<double>(channels * area), static_cast<double>(options.filters * area)});
  const std::optional<Value> bias = parameters.Bias(options.use_bias, options.filters);
  ConvGeometry geometry{
      .stride = options.stride, .dilation = options.dilation, .groups = options.groups};
  SetPadding(picture, options.padding, options.kernel, options.stride, options.dilation,
             geometry.padding_before, geometry.padding_after);
  return scope.Gives(
      Activate(graph, engine::Conv2d(graph, x, weight, bias, geometry), options.activation));
}

Value Conv2dTranspose(Graph& graph, Value x, const Conv2dOptions& options) {
  Graph::Scope scope(graph, options.name, "conv2d_transpose");
  if (const absl::Status status = CheckConv(graph, x, options); !status.ok()) {
    return graph.Fail(status);
  }
  const Shape picture = graph.shape(x);
  const int64_t filters = options.filters / options.groups, area = options.kernel * options.kernel;
  const LayerParameters parameters(graph, options.frozen);
  const Value weight = parameters.Weight(
      {picture[1], filters, options.kernel, options.kernel}, options.initializer,
      {static_cast<double>(filters * area), static_cast<double>(picture[1] * area)});
  const std::optional<Value> bias = parameters.Bias(options.use_bias, options.filters);
  ConvGeometry geometry{
      .stride = options.stride, .dilation = options.dilation, .groups = options.groups};
  int64_t output_padding[2] = {0, 0};
  if (options.padding == Padding::kSame) {
    const Shape result{picture[0], options.filters, SaturatingProduct(picture[2], options.stride),
                       SaturatingProduct(picture[3], options.stride)};
    SetPadding(result, Padding::kSame, options.kernel, options.stride, options.dilation,
               geometry.padding_before, geometry.padding_after);
    // A window that is smaller than the stride leaves places behind the last one.
    const int64_t window = options.dilation * (options.kernel - 1) + 1;
    output_padding[0] = output_padding[1] = std::max<int64_t>(options.stride - window, 0);
  }
  return scope.Gives(
      Activate(graph, engine::Conv2dTranspose(graph, x, weight, bias, geometry, output_padding),
               options.activation));
}

Value Upsample2d(Graph& graph, Value x, absl::string_view name, int64_t factor) {
  Graph::Scope scope(graph, name, "upsample2d");
  absl::Status status = CheckPictures(graph, x, graph.scope());
  status.Update(CheckPositive(graph.scope(), "factor", factor));
  if (!status.ok()) {
    return graph.Fail(status);
  }
  return scope.Gives(engine::Upsample2d(graph, x, factor));
}

Value MaxPool2d(Graph& graph, Value x, const Pool2dOptions& options) {
  return Pool2d(graph, x, options, "max_pool2d", &engine::MaxPool2d);
}

Value AvgPool2d(Graph& graph, Value x, const Pool2dOptions& options) {
  return Pool2d(graph, x, options, "avg_pool2d", &engine::AveragePool2d);
}

}  // namespace hone::engine::layers
