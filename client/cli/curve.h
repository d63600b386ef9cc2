#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/cli/text.h"

namespace hone::client::cli {

// A value over steps that fits in little memory however long it grows: beyond its capacity,
// neighbours are merged into their mean.
class Curve {
 public:
  struct Point {
    double step;
    double value;
  };
  // Steps must not fall; a step at or below an earlier one (a resumed job) takes the later points'
  // place.
  void Add(double step, double value);
  const std::vector<Point>& points() const { return points_; }

 private:
  static constexpr size_t kCapacity = 2048;
  std::vector<Point> points_;
  int merged_ = 1;      // values in a whole point
  int last_count_ = 0;  // values in the last point
};

struct PlotOptions {
  int width = 80;  // columns, the labels included
  int height = 8;  // rows of the plot itself
  double total_steps = 0;
  const char* first = "training loss";  // what the curves are
  const char* second = "validation loss";
  bool counts_steps = true;  // says below how many there are
};

// A curve with its name in the legend. Where there are several, `mark`, one column, stands at its
// end.
struct NamedCurve {
  const Curve* curve;
  std::string name;
  Style style = Style::kTrain;
  std::string mark = "";
};

// Curves over one another; otherwise as Plot. Empty where no curve has two points.
std::vector<Line> PlotCurves(std::span<const NamedCurve> curves, const PlotOptions& options);

// Single points, y over x, each with a mark of one column. Both scales are logarithmic as Plot's
// is. Empty without points.
struct MarkedPoint {
  double x;
  double y;
  std::string mark = "•";
  Style style = Style::kTrain;
};
std::vector<Line> PlotPoints(std::span<const MarkedPoint> points, const PlotOptions& options);

// Both curves in one plot of braille dots, 2 × 4 to a character, with the axis at the left and
// below. The scale is logarithmic where the values span more than a factor of 30. Empty with fewer
// than two points.
std::vector<Line> Plot(const Curve& first, const Curve& second, const PlotOptions& options);

}  // namespace hone::client::cli
