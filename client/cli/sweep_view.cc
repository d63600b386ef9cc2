#include "client/cli/sweep_view.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/curve.h"
#include "client/cli/render.h"
#include "server/sweeps/advance.h"

namespace hone::client::cli {
namespace {

constexpr int kPlotHeight = 6;
constexpr int kPlotWidth = 72;
// Trials that are shown before there is room for a plot.
constexpr int kFewestTrials = 5;

std::string Right(const std::string& text) { return absl::StrCat(">", text); }

std::string StateOf(const v1::Trial& trial) {
  return absl::AsciiStrToLower(v1::Trial::State_Name(trial.state()));
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// "vanishing in 3 layers"; "sound" where a trial has trained and has none.
std::string Gradients(const v1::Trial& trial) {
  if (trial.verdicts().empty()) {
    return trial.has_objective() ? "sound" : "";
  }
  std::vector<std::string> words;
  for (const auto& [verdict, layers] :
       std::map<std::string, int>(trial.verdicts().begin(), trial.verdicts().end())) {
    words.push_back(absl::StrCat(verdict, " in ", layers, layers == 1 ? " layer" : " layers"));
  }
  return absl::StrJoin(words, ", ");
}

std::string Objective(const v1::Sweep& sweep, const v1::Trial& trial) {
  return trial.has_objective() ? MetricText(sweep.spec().objective().metric(), trial.objective())
                               : "";
}

// A final number beside the objective, that says how good the trial is: the first accuracy.
std::string OtherMetric(const v1::Sweep& sweep) {
  for (const char* name : {"test_accuracy", "validation_accuracy", "test_r2", "test_loss"}) {
    const bool any = std::ranges::any_of(
        sweep.trials(), [&](const v1::Trial& trial) { return trial.metrics().contains(name); });
    if (any && name != sweep.spec().objective().metric()) {
      return name;
    }
  }
  return "";
}

void Append(std::vector<Line> block, std::vector<Line>& lines) {
  if (!block.empty()) {
    lines.emplace_back();
    std::ranges::move(block, std::back_inserter(lines));
  }
}

std::vector<Line> Trials(const v1::Sweep& sweep, size_t most) {
  const std::vector<std::string> axes = AxisNames(sweep.spec());
  const std::string other = OtherMetric(sweep);
  const bool rungs = sweep.spec().has_halving();
  std::vector<std::vector<std::string>> rows = {{">trial"}};
  for (const std::string& axis : axes) {
    rows[0].push_back(Right(axis));
  }
  rows[0].push_back(Right(MetricLabel(sweep.spec().objective().metric())));
  if (!other.empty()) {
    rows[0].push_back(Right(MetricLabel(other)));
  }
  for (const char* head : {">time", ">steps", ">parameters", ">depth"}) {
    rows[0].emplace_back(head);
  }
  if (rungs) {
    rows[0].emplace_back(">rung");
  }
  for (const char* head : {"gradients", "state", "job"}) {
    rows[0].emplace_back(head);
  }
  const std::vector<const v1::Trial*> ranked = server::sweeps::Ranked(sweep);
  for (size_t i = 0; i < std::min(most, ranked.size()); ++i) {
    const v1::Trial& trial = *ranked[i];
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(Right(absl::StrCat(trial.number())));
    for (const std::string& setting : trial.settings()) {
      row.push_back(Right(Cut(setting, 24)));
    }
    row.push_back(Right(Objective(sweep, trial)));
    if (!other.empty()) {
      const auto value = trial.metrics().find(other);
      row.push_back(value == trial.metrics().end() ? "" : Right(MetricText(other, value->second)));
    }
    const bool trained = trial.steps() > 0;
    row.push_back(trained ? Right(Duration(trial.training_seconds())) : "");
    row.push_back(trained ? Right(Count(trial.steps())) : "");
    row.push_back(trial.parameters() > 0 ? Right(Count(trial.parameters())) : "");
    row.push_back(trial.depth() > 0 ? Right(absl::StrCat(trial.depth())) : "");
    if (rungs) {
      row.push_back(Right(absl::StrCat(trial.rung())));
    }
    row.push_back(Gradients(trial));
    const bool explain = !trial.message().empty() && trial.state() != v1::Trial::SUCCEEDED;
    row.push_back(explain ? absl::StrCat(StateOf(trial), ": ", Cut(FirstLine(trial.message()), 60))
                          : StateOf(trial));
    row.push_back(trial.job());
  }
  std::vector<Line> lines = Table(rows);
  if (ranked.size() > most) {
    lines.push_back(Line().Add(absl::StrCat(" and ", ranked.size() - most, " more"), Style::kDim));
  }
  return lines;
}

// Repetitions of the same settings: folds of the data, other seeds.
bool Repeats(const std::string& field) {
  return field == "data.fold.index" || field == "training.seed";
}

// Mean and deviation of the objective over folds and seeds, for each of the other settings.
std::vector<Line> Averages(const v1::Sweep& sweep) {
  const std::vector<std::string> axes = AxisNames(sweep.spec());
  std::vector<int> kept;
  bool repeated = false;
  for (int a = 0; a < sweep.spec().axes_size(); ++a) {
    if (Repeats(sweep.spec().axes(a).field())) {
      repeated = true;
    } else {
      kept.push_back(a);
    }
  }
  if (!repeated) {
    return {};
  }
  std::vector<std::pair<std::vector<std::string>, std::vector<double>>> groups;
  for (const v1::Trial& trial : sweep.trials()) {
    std::vector<std::string> key;
    for (const int a : kept) {
      key.push_back(trial.settings(a));
    }
    auto group = std::ranges::find(groups, key, [](const auto& g) { return g.first; });
    if (group == groups.end()) {
      group = groups.insert(groups.end(), {key, {}});
    }
    if (trial.has_objective()) {
      group->second.push_back(trial.objective());
    }
  }
  const std::string& metric = sweep.spec().objective().metric();
  std::vector<std::vector<std::string>> rows(1);
  for (const int a : kept) {
    rows[0].push_back(Right(axes[static_cast<size_t>(a)]));
  }
  for (const std::string& head : {absl::StrCat("mean ", MetricLabel(metric)),
                                  std::string("deviation"), std::string("trials")}) {
    rows[0].push_back(Right(head));
  }
  for (const auto& [key, values] : groups) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const std::string& setting : key) {
      row.push_back(Right(Cut(setting, 24)));
    }
    double mean = 0, squares = 0;
    for (const double value : values) {
      mean += value / static_cast<double>(values.size());
    }
    for (const double value : values) {
      squares += (value - mean) * (value - mean);
    }
    row.push_back(values.empty() ? "" : Right(MetricText(metric, mean)));
    row.push_back(values.size() < 2
                      ? ""
                      : Right(MetricText(
                            metric, std::sqrt(squares / static_cast<double>(values.size() - 1)))));
    row.push_back(Right(absl::StrCat(values.size())));
  }
  return Table(rows);
}

// The axis as numbers, where all of its values are.
std::optional<std::vector<MarkedPoint>> Points(const v1::Sweep& sweep, int axis) {
  std::vector<MarkedPoint> points;
  for (const v1::Trial& trial : sweep.trials()) {
    double x = 0;
    if (!absl::SimpleAtod(trial.settings(axis), &x) || !std::isfinite(x)) {
      return std::nullopt;
    }
    if (trial.has_objective()) {
      points.push_back({.x = x, .y = trial.objective()});
      if (trial.number() == sweep.best_trial()) {
        points.back().mark = "★";
        points.back().style = Style::kGood;
      }
    }
  }
  std::ranges::stable_sort(points, {}, [](const MarkedPoint& p) { return p.mark == "★"; });
  return points;
}

// The best objective of each value, where they are words.
std::vector<Line> BestOfWords(const v1::Sweep& sweep, int axis, const std::string& name) {
  std::vector<std::string> words;
  std::vector<std::vector<std::string>> rows = {
      {name, absl::StrCat(">best ", MetricLabel(sweep.spec().objective().metric())), ">trial"}};
  for (const v1::Trial* trial : server::sweeps::Ranked(sweep)) {
    const std::string& word = trial->settings(axis);
    if (trial->has_objective() && std::ranges::find(words, word) == words.end()) {
      words.push_back(word);
      rows.push_back(
          {Cut(word, 40), Right(Objective(sweep, *trial)), Right(absl::StrCat(trial->number()))});
    }
  }
  return rows.size() > 1 ? Table(rows) : std::vector<Line>();
}

void AppendAxis(const v1::Sweep& sweep, int axis, const std::string& name, int width,
                std::vector<Line>& lines) {
  const std::optional<std::vector<MarkedPoint>> points = Points(sweep, axis);
  if (!points.has_value()) {
    Append(BestOfWords(sweep, axis, name), lines);
    return;
  }
  std::set<double> different;
  for (const MarkedPoint& point : *points) {
    different.insert(point.x);
  }
  if (different.size() < 2) {
    return;
  }
  std::vector<Line> plot =
      PlotPoints(*points, {.width = std::min(width, kPlotWidth), .height = kPlotHeight});
  if (!plot.empty()) {
    lines.emplace_back();
    lines.push_back(Line()
                        .Add(" ")
                        .Add(MetricLabel(sweep.spec().objective().metric()), Style::kBold)
                        .Add(absl::StrCat(" over ", name)));
    std::ranges::move(plot, std::back_inserter(lines));
  }
}

std::vector<Line> Head(const v1::Sweep& sweep) {
  std::vector<Line> lines = {Line().Add(" ").Add(SweepLine(sweep), Style::kBold)};
  if (!sweep.message().empty()) {
    lines.push_back(Line().Add(" ").Add(sweep.message()));
  }
  return lines;
}

}  // namespace

std::vector<std::string> AxisNames(const v1::SweepSpec& spec) {
  std::vector<std::vector<std::string>> parts;
  for (const v1::Axis& axis : spec.axes()) {
    parts.push_back(absl::StrSplit(axis.field(), '.'));
  }
  std::vector<std::string> names;
  for (const std::vector<std::string>& own : parts) {
    size_t words = 1;
    const auto name_of = [&](const std::vector<std::string>& of) {
      const size_t first = of.size() > words ? of.size() - words : 0;
      return absl::StrJoin(of.begin() + static_cast<std::ptrdiff_t>(first), of.end(), ".");
    };
    const auto same = [&](const std::vector<std::string>& other) {
      return name_of(other) == name_of(own);
    };
    while (words < own.size() && std::ranges::count_if(parts, same) > 1) {
      ++words;
    }
    names.push_back(name_of(own));
  }
  return names;
}

std::string SweepLine(const v1::Sweep& sweep) {
  const v1::Trial* best = nullptr;
  for (const v1::Trial& trial : sweep.trials()) {
    best = trial.number() == sweep.best_trial() ? &trial : best;
  }
  std::string line = absl::StrCat(
      sweep.display_name(), ": ", absl::AsciiStrToLower(v1::Sweep::State_Name(sweep.state())), ", ",
      sweep.trials_ended(), " of ", sweep.trials_total(), " trials have ended");
  if (sweep.best_trial() > 0) {
    absl::StrAppend(&line, ", the best is trial ", sweep.best_trial(), ": ",
                    MetricLabel(sweep.spec().objective().metric()), " ",
                    MetricText(sweep.spec().objective().metric(), sweep.best_objective()));
  }
  return line;
}

std::string TrialLine(const v1::Sweep& sweep, const v1::Trial& trial) {
  const std::vector<std::string> names = AxisNames(sweep.spec());
  std::vector<std::string> settings;
  for (int a = 0; a < trial.settings_size(); ++a) {
    settings.push_back(
        absl::StrCat(names[static_cast<size_t>(a)], "=", Cut(trial.settings(a), 24)));
  }
  std::string line = absl::StrCat("trial ", trial.number(), ": ", absl::StrJoin(settings, ", "));
  if (trial.has_objective()) {
    absl::StrAppend(&line, ": ", MetricLabel(sweep.spec().objective().metric()), " ",
                    Objective(sweep, trial), ", ", Duration(trial.training_seconds()));
  } else if (server::sweeps::IsEnd(trial.state())) {
    absl::StrAppend(&line, ": ", StateOf(trial),
                    trial.message().empty() ? "" : absl::StrCat(": ", trial.message()));
  }
  return line;
}

std::vector<Line> RenderSweep(const v1::Sweep& sweep, size_t most, int width) {
  std::vector<Line> lines = Head(sweep);
  Append(Trials(sweep, most), lines);
  Append(Averages(sweep), lines);
  const std::vector<std::string> names = AxisNames(sweep.spec());
  for (int a = 0; a < sweep.spec().axes_size(); ++a) {
    if (!Repeats(sweep.spec().axes(a).field())) {
      AppendAxis(sweep, a, names[static_cast<size_t>(a)], width, lines);
    }
  }
  return lines;
}

std::vector<Line> RenderLiveSweep(const v1::Sweep& sweep, int width, int height) {
  std::vector<Line> lines = Head(sweep);
  // And a line that is empty, the table's head, and how many trials are left out.
  const int fixed = static_cast<int>(lines.size()) + 3;
  const int fewest = std::min(sweep.trials_size(), kFewestTrials);
  const std::vector<std::string> names = AxisNames(sweep.spec());
  std::vector<Line> plots;
  for (int a = 0; a < sweep.spec().axes_size(); ++a) {
    if (Repeats(sweep.spec().axes(a).field())) {
      continue;
    }
    std::vector<Line> more = plots;
    AppendAxis(sweep, a, names[static_cast<size_t>(a)], width, more);
    if (fixed + fewest + static_cast<int>(more.size()) <= height) {
      plots = std::move(more);
    }
  }
  const int trials = std::max(height - fixed - static_cast<int>(plots.size()), 1);
  Append(Trials(sweep, static_cast<size_t>(trials)), lines);
  std::ranges::move(plots, std::back_inserter(lines));
  lines.resize(std::min(lines.size(), static_cast<size_t>(std::max(height, 1))));
  return lines;
}

}  // namespace hone::client::cli
