#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/render.h"

namespace hone::client::cli {
namespace {

std::vector<std::string> Row(const v1::LayerStatistics::Layer& layer) {
  const bool trained = layer.weight_norm() > 0;
  return {
      layer.name(),
      absl::StrCat(">", Significant(layer.gradient_norm())),
      absl::StrCat(">", Significant(layer.weight_norm())),
      trained ? absl::StrCat(">", Significant(layer.gradient_norm() / layer.weight_norm())) : ">–",
      layer.dead_share() >= 0 ? absl::StrCat(">", Percent(layer.dead_share())) : ">–",
      layer.verdict().empty() ? "sound" : layer.verdict()};
}

}  // namespace

std::vector<Line> RenderLayers(const v1::LayerStatistics& statistics, int most_lines) {
  const int layers = statistics.layers_size();
  // The head, and where some are left out the line that says so.
  const int room = layers + 1 <= most_lines ? layers : most_lines - 2;
  if (layers == 0 || room < std::min(layers, 2)) {
    return {};
  }
  std::vector<std::vector<std::string>> rows = {
      {absl::StrCat("layers at step ", Count(statistics.step())), ">gradient", ">weights", ">ratio",
       ">dead units", "verdict"}};
  // Of a deep net its two ends: what vanishes or explodes does so between them.
  for (int i = 0; i < layers; ++i) {
    if (i == (room + 1) / 2 && room < layers) {
      rows.push_back({absl::StrCat("… ", layers - room, " more")});
      i = layers - room / 2;
    }
    rows.push_back(Row(statistics.layers(i)));
  }
  return Table(rows);
}

}  // namespace hone::client::cli
