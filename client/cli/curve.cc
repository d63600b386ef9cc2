#include "client/cli/curve.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace hone::client::cli {
namespace {

constexpr int kLabelColumns = 9;

std::string Utf8(uint32_t braille) {
  const uint32_t code = 0x2800 + braille;
  return {static_cast<char>(0xE0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3F)),
          static_cast<char>(0x80 | (code & 0x3F))};
}

// A grid of dots, 2 × 4 to a cell; row 0 is the top.
class Canvas {
 public:
  Canvas(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<size_t>(columns * rows)) {}

  int dots_across() const { return 2 * columns_; }
  int dots_down() const { return 4 * rows_; }

  void Dot(int x, int y, Style style) {
    if (x < 0 || y < 0 || x >= dots_across() || y >= dots_down()) {
      return;
    }
    static constexpr uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    Cell& cell = cells_[static_cast<size_t>(y / 4 * columns_ + x / 2)];
    cell.dots |= kBits[y % 4][x % 2];
    cell.style = style;
  }

  // Every dot between two points of neighbouring columns or farther apart.
  void Segment(double x0, double y0, double x1, double y1, Style style) {
    const int count = static_cast<int>(std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1.0}));
    for (int i = 0; i <= count; ++i) {
      const double t = static_cast<double>(i) / count;
      Dot(static_cast<int>(std::lround(x0 + t * (x1 - x0))),
          static_cast<int>(std::lround(y0 + t * (y1 - y0))), style);
    }
  }

  void AppendRow(int row, Line& line) const {
    for (int i = 0; i < columns_; ++i) {
      const Cell& cell = cells_[static_cast<size_t>(row * columns_ + i)];
      line.Add(cell.dots == 0 ? std::string(" ") : Utf8(cell.dots), cell.style);
    }
  }

 private:
  struct Cell {
    uint8_t dots = 0;
    Style style = Style::kPlain;
  };
  const int columns_;
  const int rows_;
  std::vector<Cell> cells_;
};

// From values to dots.
struct Scale {
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  double Share(double value) const {
    return logarithmic ? std::log(std::max(value, low) / low) / std::log(high / low)
                       : (value - low) / (high - low);
  }
  double ValueAt(double share) const {
    return logarithmic ? low * std::pow(high / low, share) : low + share * (high - low);
  }
};

Scale ScaleOf(const Curve& train, const Curve& validation) {
  std::vector<double> values;
  for (const Curve* curve : {&train, &validation}) {
    for (const Curve::Point& point : curve->points()) {
      values.push_back(point.value);
    }
  }
  std::sort(values.begin(), values.end());
  Scale scale;
  scale.low = values.front();
  scale.high = values.back();
  scale.logarithmic = scale.low > 0 && scale.high / scale.low > 30;
  if (!(scale.high > scale.low)) {
    scale.low -= 0.5 * std::abs(scale.low) + 1e-9;
    scale.high += 0.5 * std::abs(scale.high) + 1e-9;
  }
  return scale;
}

// The mean of the points of each dot column, joined by lines.
void Draw(const Curve& curve, const Scale& scale, double total_steps, Style style, Canvas& canvas) {
  const double last = canvas.dots_across() - 1;
  const auto y_of = [&](double value) {
    return (1 - scale.Share(value)) * (canvas.dots_down() - 1);
  };
  double x_before = 0;
  double y_before = 0;
  bool first = true;
  const auto& points = curve.points();
  for (size_t i = 0; i < points.size();) {
    const double x = std::floor(std::min(points[i].step / total_steps, 1.0) * last);
    double sum = 0;
    size_t count = 0;
    while (i < points.size() &&
           std::floor(std::min(points[i].step / total_steps, 1.0) * last) == x) {
      sum += points[i].value;
      ++count;
      ++i;
    }
    const double y = y_of(sum / static_cast<double>(count));
    canvas.Segment(first ? x : x_before, first ? y : y_before, x, y, style);
    x_before = x;
    y_before = y;
    first = false;
  }
}

}  // namespace

void Curve::Add(double step, double value) {
  while (!points_.empty() && points_.back().step >= step) {
    points_.pop_back();
    last_count_ = merged_;
  }
  if (points_.empty() || last_count_ >= merged_) {
    points_.push_back({.step = step, .value = value});
    last_count_ = 1;
  } else {
    Point& last = points_.back();
    last.value += (value - last.value) / ++last_count_;
    last.step = step;
  }
  if (points_.size() > kCapacity) {
    for (size_t i = 0; i + 1 < points_.size(); i += 2) {
      points_[i / 2] = {.step = points_[i + 1].step,
                        .value = (points_[i].value + points_[i + 1].value) / 2};
    }
    points_.resize(points_.size() / 2);
    merged_ *= 2;
    last_count_ = merged_;
  }
}

std::vector<Line> Plot(const Curve& first, const Curve& second, const PlotOptions& options) {
  const int columns = options.width - kLabelColumns - 3;
  if (first.points().size() < 2 || columns < 10 || options.height < 2) {
    return {};
  }
  const Scale scale = ScaleOf(first, second);
  const double total = std::max({options.total_steps, first.points().back().step, 1.0});
  Canvas canvas(columns, options.height);
  Draw(first, scale, total, Style::kTrain, canvas);
  Draw(second, scale, total, Style::kValidation, canvas);
  std::vector<Line> lines;
  for (int row = 0; row < options.height; ++row) {
    Line line;
    const bool labelled = row == 0 || row == options.height - 1 || row == options.height / 2;
    if (labelled) {
      const double share = 1 - static_cast<double>(row) / (options.height - 1);
      const std::string label = Significant(scale.ValueAt(share));
      line.PadTo(kLabelColumns - Columns(label)).Add(label, Style::kDim);
    }
    line.PadTo(kLabelColumns).Add(labelled ? " ┤" : " │", Style::kDim);
    canvas.AppendRow(row, line);
    lines.push_back(std::move(line));
  }
  std::string axis = "└";
  for (int i = 0; i < columns; ++i) {
    axis += "─";
  }
  lines.push_back(Line().PadTo(kLabelColumns + 1).Add(axis, Style::kDim));
  Line legend;
  legend.PadTo(kLabelColumns + 2).Add(absl::StrCat("━ ", options.first), Style::kTrain);
  if (!second.points().empty()) {
    legend.Add("   ").Add(absl::StrCat("━ ", options.second), Style::kValidation);
  }
  legend.Add(scale.logarithmic ? "   logarithmic" : "", Style::kDim);
  const std::string end = absl::StrCat(Count(std::llround(total)), " steps");
  if (legend.columns() + Columns(end) + 2 < options.width) {
    legend.PadTo(options.width - 1 - Columns(end)).Add(end, Style::kDim);
  }
  lines.push_back(std::move(legend));
  return lines;
}

}  // namespace hone::client::cli
