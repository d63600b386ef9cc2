#include "client/cli/render.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/picture.h"

namespace hone::client::cli {
namespace {

std::string Name(const Story& story) {
  return story.job().display_name().empty() ? story.job().spec().display_name()
                                            : story.job().display_name();
}

// A metric as its name asks for it: shares in per cent.
std::string Value(const std::string& name, double value) {
  const bool share = absl::StrContains(name, "accuracy") || absl::StrContains(name, "success_rate");
  return share ? Percent(value) : Significant(value);
}

// "1 of 5", or the epochs alone where the length is given in steps.
std::string Epochs(const Story& story) {
  const v1::Metrics& metrics = story.metrics();
  const int64_t total = story.job().spec().training().epochs();
  const std::string now = absl::StrFormat("%.1f", metrics.epoch());
  return total > 0 ? absl::StrCat(now, " of ", total) : now;
}

double Done(const Story& story) {
  const v1::Metrics& metrics = story.metrics();
  if (story.phase() != "training" && story.phase_done() >= 0) {
    return story.phase_done();
  }
  return metrics.total_steps() > 0
             ? static_cast<double>(metrics.step()) / static_cast<double>(metrics.total_steps())
             : 0;
}

Line Head(const Story& story, int width) {
  Line line;
  line.Add(" ").Add(Name(story), Style::kBold).Add("  ");
  std::string state = story.phase();
  if (story.job().state() == v1::Job::QUEUED) {
    state = story.job().queue_position() > 0
                ? absl::StrCat("waiting, number ", story.job().queue_position(), " in the queue")
                : "waiting";
    if (!story.job().message().empty()) {
      absl::StrAppend(&state, ": ", story.job().message());
    }
  } else if (story.job().state() == v1::Job::CANCELLING) {
    state = "ending; writing the last checkpoint";
  } else if (story.job().state() == v1::Job::PAUSING) {
    state = "pausing; writing a checkpoint";
  } else if (story.job().state() == v1::Job::PAUSED) {
    state = "paused";
  }
  line.Add(state.empty() ? "starting" : state, Style::kDim);
  if (story.metrics().total_steps() > 0) {
    const std::string right =
        absl::StrCat("epoch ", Epochs(story), "   step ", Count(story.metrics().step()), " of ",
                     Count(story.metrics().total_steps()), " ");
    if (line.columns() + Columns(right) + 1 < width) {
      line.PadTo(width - Columns(right)).Add(right, Style::kDim);
    }
  }
  return line;
}

Line ProgressBar(const Story& story, int width) {
  const double done = std::clamp(Done(story), 0.0, 1.0);
  const bool rests =
      story.job().state() == v1::Job::PAUSED || story.job().state() == v1::Job::QUEUED;
  const bool training = story.metrics().total_steps() > 0 && story.phase() == "training" && !rests;
  const std::string left = training && story.metrics().eta_seconds() > 0
                               ? absl::StrCat(Duration(story.metrics().eta_seconds()), " left")
                               : "";
  const std::string numbers = absl::StrFormat(" %3.0f %%  %s", 100 * done, left);
  const int columns = std::max(width - Columns(numbers) - 2, 4);
  const std::string filled = Bar(done, columns);
  std::string rest;
  for (int i = Columns(filled); i < columns; ++i) {
    rest += "─";
  }
  return Line().Add(" ").Add(filled, Style::kTrain).Add(rest, Style::kDim).Add(numbers);
}

// A row of `label value` pairs; those that do not fit the width are left out, from the end.
class NumberRow {
 public:
  NumberRow(absl::string_view title, Style style, int width, int indent = 13) : width_(width) {
    line_.Add(title, style).PadTo(indent);
  }

  NumberRow& Add(absl::string_view label, const std::string& value, Style style,
                 absl::string_view unit = "") {
    const int columns = Columns(label) + Columns(value) + Columns(unit) + 4;
    full_ = full_ || line_.columns() + columns > width_;
    if (!full_) {
      line_.Add(first_ ? "" : "   ").Add(label, Style::kDim).Add(label.empty() ? "" : " ");
      line_.Add(value, style).Add(unit, Style::kDim);
      first_ = false;
    }
    return *this;
  }

  NumberRow& AddMetric(const Story& story, const std::string& metric, absl::string_view label,
                       Style style) {
    const std::optional<double> value = story.Value(metric);
    return value ? Add(label, Value(metric, *value), style) : *this;
  }

  Line Take() { return std::move(line_); }

 private:
  const int width_;
  Line line_;
  bool first_ = true;
  bool full_ = false;
};

// Of two networks that play against each other.
std::vector<Line> NumbersOfAdversaries(const Story& story, int width) {
  constexpr int kIndent = 17;
  NumberRow generator(" generator", Style::kTrain, width, kIndent);
  generator.AddMetric(story, "generator_loss", "loss", Style::kBold);
  if (const auto speed = story.Value("samples_per_second")) {
    generator.Add("", Count(std::llround(*speed)), Style::kPlain, " examples/s");
  }
  generator.AddMetric(story, "generator_gradient_norm", "gradient", Style::kPlain)
      .AddMetric(story, "variety", "variety", Style::kPlain);
  NumberRow discriminator(" discriminator", Style::kValidation, width, kIndent);
  discriminator.AddMetric(story, "discriminator_loss", "loss", Style::kBold)
      .AddMetric(story, "discriminator_accuracy_real", "knows real", Style::kPlain)
      .AddMetric(story, "discriminator_accuracy_drawn", "drawn", Style::kPlain)
      .AddMetric(story, "discriminator_gradient_norm", "gradient", Style::kPlain);
  return {generator.Take(), discriminator.Take()};
}

std::vector<Line> Numbers(const Story& story, int width) {
  if (story.has_adversaries()) {
    return NumbersOfAdversaries(story, width);
  }
  NumberRow train(" training", Style::kTrain, width);
  train.AddMetric(story, "loss", "loss", Style::kBold)
      .AddMetric(story, "accuracy", "accuracy", Style::kBold)
      .AddMetric(story, "token_accuracy", "tokens right", Style::kBold)
      .AddMetric(story, "masked_accuracy", "found", Style::kBold)
      .AddMetric(story, "in_batch_accuracy", "found in the batch", Style::kBold)
      .AddMetric(story, "tag_accuracy", "tags right", Style::kBold)
      .AddMetric(story, "label_accuracy", "labels right", Style::kBold)
      .AddMetric(story, "reward_accuracy", "preferred", Style::kBold)
      .AddMetric(story, "rewards_margin", "margin", Style::kBold)
      .AddMetric(story, "rewards_chosen", "chosen", Style::kPlain)
      .AddMetric(story, "rewards_rejected", "rejected", Style::kPlain);
  if (const auto speed = story.Value("samples_per_second")) {
    train.Add("", Count(std::llround(*speed)), Style::kPlain, " examples/s");
  }
  train.AddMetric(story, "learning_rate", "rate", Style::kPlain)
      .AddMetric(story, "gradient_norm", "gradient", Style::kPlain);
  std::vector<Line> lines = {train.Take()};
  if (story.Value("validation_loss")) {
    NumberRow validation(" validation", Style::kValidation, width);
    validation.AddMetric(story, "validation_loss", "loss", Style::kBold)
        .AddMetric(story, "validation_accuracy", "accuracy", Style::kBold)
        .AddMetric(story, "validation_masked_accuracy", "found", Style::kBold)
        .AddMetric(story, "validation_recall_at_1", "recall at 1", Style::kBold)
        .AddMetric(story, "validation_triplet_accuracy", "triplets right", Style::kPlain)
        .AddMetric(story, "validation_entity_f1", "F1 of entities", Style::kBold)
        .AddMetric(story, "validation_micro_f1", "micro F1", Style::kBold)
        .AddMetric(story, "validation_reward_accuracy", "preferred", Style::kBold)
        .AddMetric(story, "validation_rewards_margin", "margin", Style::kPlain)
        .AddMetric(story, "validation_rewards_chosen", "chosen", Style::kPlain)
        .AddMetric(story, "validation_rewards_rejected", "rejected", Style::kPlain)
        .AddMetric(story, "validation_bleu", "BLEU", Style::kBold)
        .AddMetric(story, "validation_bits_per_byte", "bits per byte", Style::kBold)
        .AddMetric(story, "validation_perplexity", "perplexity", Style::kPlain)
        .AddMetric(story, "validation_chrf", "chrF", Style::kPlain);
    lines.push_back(validation.Take());
  }
  // Of an agent: its last episodes, with what it tries out, and the last evaluation without.
  if (story.Value("recent_return")) {
    NumberRow episodes(" episodes", Style::kTrain, width);
    episodes.AddMetric(story, "recent_return", "return", Style::kBold)
        .AddMetric(story, "recent_success_rate", "solved", Style::kBold)
        .AddMetric(story, "recent_length", "length", Style::kPlain)
        .AddMetric(story, "epsilon", "epsilon", Style::kPlain)
        .AddMetric(story, "mean_q", "Q", Style::kPlain)
        .AddMetric(story, "environment_steps", "steps", Style::kPlain);
    lines.push_back(episodes.Take());
  }
  if (story.Value("validation_mean_return")) {
    NumberRow evaluation(" evaluation", Style::kValidation, width);
    evaluation.AddMetric(story, "validation_mean_return", "return", Style::kBold)
        .AddMetric(story, "validation_success_rate", "solved", Style::kBold)
        .AddMetric(story, "validation_path_ratio", "path", Style::kPlain)
        .AddMetric(story, "validation_episode_length", "length", Style::kPlain);
    lines.push_back(evaluation.Take());
  }
  return lines;
}

}  // namespace

std::string Bar(double share, int columns) {
  const double filled = std::clamp(share, 0.0, 1.0) * columns;
  std::string bar;
  for (int i = 0; i < static_cast<int>(filled); ++i) {
    bar += "━";
  }
  if (filled - std::floor(filled) >= 0.5) {
    bar += "╸";
  }
  return bar;
}

std::vector<Line> RenderLive(const Story& story, int width, int height) {
  std::vector<Line> lines = {Line(), Head(story, width), ProgressBar(story, width)};
  std::vector<Line> below;
  for (const std::string& verdict : story.verdicts()) {
    below.push_back(Line().Add(" ⚠ ", Style::kWarning).Add(verdict, Style::kWarning));
  }
  for (const std::string& warning : story.warnings()) {
    below.push_back(Line().Add(" ⚠ ", Style::kWarning).Add(warning));
  }
  if (story.metrics().total_steps() > 0) {
    lines.emplace_back();
    for (Line& line : Numbers(story, width)) {
      lines.push_back(std::move(line));
    }
    // Two lines for the axis and its legend, two of air, one for the cursor.
    const int room = height - static_cast<int>(lines.size() + below.size()) - 5;
    const std::vector<Line> plot =
        Plot(story.train_loss(), story.validation_loss(),
             {.width = std::min(width, 120),
              .height = std::min(room, 10),
              .total_steps = static_cast<double>(story.metrics().total_steps()),
              .first = story.has_adversaries() ? "generator's loss" : "training loss",
              .second = story.has_adversaries() ? "discriminator's loss" : "validation loss"});
    if (!plot.empty()) {
      lines.emplace_back();
      lines.insert(lines.end(), plot.begin(), plot.end());
    }
    int left = height - static_cast<int>(lines.size() + below.size()) - 3;
    if (const std::vector<Line> picture =
            RenderPicture(story.picture(), std::min(width - 1, 96), std::min(left, 12));
        !picture.empty()) {
      lines.emplace_back();
      lines.insert(lines.end(), picture.begin(), picture.end());
      left -= static_cast<int>(picture.size()) + 1;
    }
    if (const std::vector<Line> layers = RenderLayers(story.layers(), left); !layers.empty()) {
      lines.emplace_back();
      lines.insert(lines.end(), layers.begin(), layers.end());
    }
  }
  if (!below.empty()) {
    lines.emplace_back();
    lines.insert(lines.end(), below.begin(), below.end());
  }
  lines.resize(std::min(lines.size(), static_cast<size_t>(std::max(height - 1, 1))));
  return lines;
}

std::string ProgressLine(const Story& story, bool with_validation) {
  const v1::Metrics& metrics = story.metrics();
  std::string line = absl::StrCat("epoch ", Epochs(story), "   step ", Count(metrics.step()),
                                  " of ", Count(metrics.total_steps()));
  for (const char* name : {"loss",
                           "accuracy",
                           "token_accuracy",
                           "masked_accuracy",
                           "reward_accuracy",
                           "rewards_margin",
                           "rewards_chosen",
                           "rewards_rejected",
                           "validation_loss",
                           "validation_accuracy",
                           "validation_masked_accuracy",
                           "validation_reward_accuracy",
                           "validation_rewards_margin",
                           "validation_bleu",
                           "validation_bits_per_byte",
                           "generator_loss",
                           "discriminator_loss",
                           "variety",
                           "recent_return",
                           "epsilon",
                           "validation_mean_return",
                           "validation_success_rate"}) {
    if (const auto value = story.Value(name);
        value && (with_validation || !absl::StartsWith(name, "validation_"))) {
      absl::StrAppend(&line, "   ", absl::StrReplaceAll(name, {{"_", " "}}), " ",
                      Value(name, *value));
    }
  }
  if (const auto speed = story.Value("samples_per_second")) {
    absl::StrAppend(&line, "   ", Count(std::llround(*speed)), " examples/s");
  }
  if (metrics.eta_seconds() > 0) {
    absl::StrAppend(&line, "   ", Duration(metrics.eta_seconds()), " left");
  }
  return line;
}

std::string StartLine(const v1::Started& started, const std::string& display_name) {
  const v1::Plan& plan = started.plan();
  std::string line = absl::StrCat(
      display_name.empty() ? plan.display_name() : display_name, ": ", Count(plan.parameters()),
      " parameters, ", Count(plan.train_examples()), " training examples, ",
      Count(plan.total_steps()), " steps of ", plan.batch_size(), ", ", plan.threads(),
      plan.threads() == 1 ? " thread, " : " threads, ", plan.precision());
  if (plan.peak_memory_bytes() > 0) {
    absl::StrAppend(&line, ", ", Bytes(plan.peak_memory_bytes()), " of memory");
  }
  if (plan.has_seconds()) {
    absl::StrAppend(&line, ", about ", Duration(plan.seconds()));
  }
  if (started.resumed_from_step() > 0) {
    absl::StrAppend(&line, "; goes on from step ", Count(started.resumed_from_step()));
  }
  return line;
}

std::vector<std::string> DataLines(const v1::DataReport& report) {
  std::vector<std::string> lines;
  std::vector<std::string> splits;
  for (const auto& split : report.splits()) {
    splits.push_back(absl::StrCat(Count(split.examples()), " ", split.name()));
  }
  lines.push_back(absl::StrCat("data: ", report.source(),
                               report.source().empty() || splits.empty() ? "" : ": ",
                               absl::StrJoin(splits, ", ")));
  for (const auto& dropped : report.dropped()) {
    lines.push_back(absl::StrCat("data: ", Count(dropped.count()), " dropped: ", dropped.reason()));
  }
  for (const std::string& note : report.notes()) {
    lines.push_back(absl::StrCat("data: ", note));
  }
  return lines;
}

}  // namespace hone::client::cli
