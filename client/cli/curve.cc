#include "client/cli/curve.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

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

  // Text of one column over the dots of a cell.
  void Mark(int x, int y, const std::string& text, Style style) {
    Cell& cell = cells_[static_cast<size_t>(y / 4 * columns_ + x / 2)];
    cell.mark = text;
    cell.style = style;
  }

  void AppendRow(int row, Line& line) const {
    for (int i = 0; i < columns_; ++i) {
      const Cell& cell = cells_[static_cast<size_t>(row * columns_ + i)];
      line.Add(!cell.mark.empty() ? cell.mark
               : cell.dots == 0   ? std::string(" ")
                                  : Utf8(cell.dots),
               cell.style);
    }
  }

 private:
  struct Cell {
    uint8_t dots = 0;
    std::string mark = "";
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

Scale ScaleOf(std::vector<double> values) {
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
void Draw(const NamedCurve& named, const Scale& scale, double total_steps, Canvas& canvas) {
  const Curve& curve = *named.curve;
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
    canvas.Segment(first ? x : x_before, first ? y : y_before, x, y, named.style);
    x_before = x;
    y_before = y;
    first = false;
  }
  if (!first && !named.mark.empty()) {
    canvas.Mark(static_cast<int>(x_before), static_cast<int>(y_before), named.mark, named.style);
  }
}

// The canvas with labels at the left and an axis below.
std::vector<Line> Framed(const Canvas& canvas, const Scale& scale, int columns, int height) {
  std::vector<Line> lines;
  for (int row = 0; row < height; ++row) {
    Line line;
    const bool labelled = row == 0 || row == height - 1 || row == height / 2;
    if (labelled) {
      const double share = 1 - static_cast<double>(row) / (height - 1);
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
  return lines;
}

// `text` at the end of the line, where there is room.
void AddAtEnd(const std::string& text, int width, Line& line) {
  if (line.columns() + Columns(text) + 2 < width) {
    line.PadTo(width - 1 - Columns(text)).Add(text, Style::kDim);
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

std::vector<Line> PlotCurves(std::span<const NamedCurve> curves, const PlotOptions& options) {
  const int columns = options.width - kLabelColumns - 3;
  std::vector<double> values;
  double total = std::max(options.total_steps, 1.0);
  bool drawable = false;
  for (const NamedCurve& named : curves) {
    for (const Curve::Point& point : named.curve->points()) {
      values.push_back(point.value);
      total = std::max(total, point.step);
    }
    drawable = drawable || named.curve->points().size() >= 2;
  }
  if (!drawable || columns < 10 || options.height < 2) {
    return {};
  }
  const Scale scale = ScaleOf(std::move(values));
  Canvas canvas(columns, options.height);
  Line legend;
  legend.PadTo(kLabelColumns + 2);
  bool first = true;
  for (const NamedCurve& named : curves) {
    if (!named.curve->points().empty()) {
      Draw(named, scale, total, canvas);
      legend.Add(first ? "" : "   ")
          .Add(absl::StrCat(named.mark.empty() ? "━ " : absl::StrCat(named.mark, " "), named.name),
               named.style);
      first = false;
    }
  }
  std::vector<Line> lines = Framed(canvas, scale, columns, options.height);
  legend.Add(scale.logarithmic ? "   logarithmic" : "", Style::kDim);
  if (options.counts_steps) {
    AddAtEnd(absl::StrCat(Count(std::llround(total)), " steps"), options.width, legend);
  }
  lines.push_back(std::move(legend));
  return lines;
}

std::vector<Line> PlotPoints(std::span<const MarkedPoint> points, const PlotOptions& options) {
  const int columns = options.width - kLabelColumns - 3;
  if (points.empty() || columns < 10 || options.height < 2) {
    return {};
  }
  std::vector<double> x_values, y_values;
  for (const MarkedPoint& point : points) {
    x_values.push_back(point.x);
    y_values.push_back(point.y);
  }
  const auto [left, right] = std::minmax_element(x_values.begin(), x_values.end());
  const std::string from = Significant(*left), to = Significant(*right);
  const Scale across = ScaleOf(x_values);
  const Scale up = ScaleOf(std::move(y_values));
  Canvas canvas(columns, options.height);
  for (const MarkedPoint& point : points) {
    canvas.Mark(static_cast<int>(std::lround(across.Share(point.x) * (canvas.dots_across() - 1))),
                static_cast<int>(std::lround((1 - up.Share(point.y)) * (canvas.dots_down() - 1))),
                point.mark, point.style);
  }
  std::vector<Line> lines = Framed(canvas, up, columns, options.height);
  Line ends;
  ends.PadTo(kLabelColumns + 2).Add(from, Style::kDim);
  ends.Add(across.logarithmic ? "   logarithmic" : "", Style::kDim);
  if (from != to) {
    AddAtEnd(to, options.width, ends);
  }
  lines.push_back(std::move(ends));
  return lines;
}

std::vector<Line> Plot(const Curve& first, const Curve& second, const PlotOptions& options) {
  if (first.points().size() < 2) {
    return {};
  }
  const NamedCurve curves[] = {{&first, options.first, Style::kTrain},
                               {&second, options.second, Style::kValidation}};
  return PlotCurves(curves, options);
}

}  // namespace hone::client::cli
