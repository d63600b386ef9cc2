#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/render.h"

namespace hone::client::cli {
namespace {

constexpr int kClassesInFull = 20;
constexpr int kLayerLines = 24;

Line Outcome(const v1::Job& job, const std::string& name) {
  Line line;
  line.Add(" ");
  std::string reason = absl::StrReplaceAll(
      absl::AsciiStrToLower(v1::Job::EndReason_Name(job.end_reason())), {{"_", " "}});
  switch (job.state()) {
    case v1::Job::SUCCEEDED:
      line.Add("✓ ", Style::kGood)
          .Add(name, Style::kBold)
          .Add(job.spec().has_evaluation() ? " is done" : " is trained");
      if (job.end_reason() == v1::Job::EARLY_STOP) {
        line.Add("; stopped early, the best weights are kept");
      }
      break;
    case v1::Job::CANCELLED:
      line.Add("■ ", Style::kWarning).Add(name, Style::kBold).Add(" was cancelled");
      break;
    case v1::Job::FAILED:
      line.Add("✗ ", Style::kBad).Add(name, Style::kBold).Add(" failed: ").Add(reason);
      break;
    default:
      line.Add(name, Style::kBold)
          .Add(" is ")
          .Add(absl::AsciiStrToLower(v1::Job::State_Name(job.state())));
  }
  return line;
}

bool IsShare(const std::string& name) {
  return absl::StrContains(name, "accuracy") || absl::StrContains(name, "share") ||
         absl::EndsWith(name, "hit_rate") || absl::EndsWith(name, "success_rate") ||
         name == "pairs_in_order";
}

std::string Shown(const std::string& name, double value) {
  if (IsShare(name)) {
    return Percent(value);
  }
  if (absl::EndsWith(name, "_bytes")) {
    return Bytes(std::llround(value));
  }
  if (absl::EndsWith(name, "_seconds")) {
    return Duration(value);
  }
  if (name == "samples_per_second") {
    return absl::StrCat(Count(std::llround(value)), " examples/s");
  }
  if (name == "tokens_per_second") {
    return absl::StrCat(Count(std::llround(value)), " tokens/s");
  }
  return Significant(value);
}

// "test_r2" → "test R²"
std::string Label(const std::string& name) {
  static const std::map<std::string, std::string> kLabels = {
      {"samples_per_second", "speed"},
      {"tokens_per_second", "speed in tokens"},
      {"wall_seconds", "time"},
      {"peak_memory_bytes", "memory"},
      {"test_mse", "test MSE"},
      {"test_mae", "test MAE"},
      {"test_rmse", "test RMSE"},
      {"test_mase", "test MASE"},
      {"test_naive_mae", "test MAE, naive"},
      {"test_naive_rmse", "test RMSE, naive"},
      {"test_naive_mase", "test MASE, naive"},
      {"test_seasonal_naive_mae", "test MAE, seasonal naive"},
      {"test_seasonal_naive_rmse", "test RMSE, seasonal naive"},
      {"test_seasonal_naive_mase", "test MASE, seasonal naive"},
      {"test_hit_rate", "test hit rate at 10"},
      {"test_ndcg", "test NDCG at 10"},
      {"rmse_over_floor", "test RMSE over the floor"},
      {"test_r2", "test R²"},
      {"test_bleu", "test BLEU"},
      {"test_chrf", "test chrF"},
      {"test_beam_bleu", "test BLEU, beams"},
      {"test_beam_chrf", "test chrF, beams"},
      {"validation_mse", "validation MSE"},
      {"validation_mae", "validation MAE"},
      {"validation_rmse", "validation RMSE"},
      {"validation_mase", "validation MASE"},
      {"validation_naive_mae", "validation MAE, naive"},
      {"validation_naive_rmse", "validation RMSE, naive"},
      {"validation_naive_mase", "validation MASE, naive"},
      {"validation_seasonal_naive_mae", "validation MAE, seasonal naive"},
      {"validation_seasonal_naive_rmse", "validation RMSE, seasonal naive"},
      {"validation_seasonal_naive_mase", "validation MASE, seasonal naive"},
      {"validation_hit_rate", "validation hit rate at 10"},
      {"validation_ndcg", "validation NDCG at 10"},
      {"validation_r2", "validation R²"},
      {"validation_bleu", "validation BLEU"},
      {"validation_chrf", "validation chrF"},
      {"validation_beam_bleu", "validation BLEU, beams"},
      {"validation_beam_chrf", "validation chrF, beams"},
      {"test_macro_f1", "test macro F1"},
      {"test_micro_f1", "test micro F1"},
      {"recall_at_1", "recall at 1"},
      {"mrr", "mean reciprocal rank"},
      {"start_recall_at_1", "recall at 1 before the training"},
      {"start_mrr", "mean reciprocal rank before the training"},
      {"start_triplet_accuracy", "triplet accuracy before the training"},
      {"start_loss", "loss before the training"},
      {"entity_f1", "F1 of entities"},
      {"entity_precision", "precision of entities"},
      {"entity_recall", "recall of entities"},
      {"test_auc", "test AUC"},
      {"validation_auc", "validation AUC"},
      {"accuracy", "training accuracy"},
      {"loss", "training loss"}};
  const auto found = kLabels.find(name);
  return found != kLabels.end() ? found->second : absl::StrReplaceAll(name, {{"_", " "}});
}

// The measure of success first, what it cost last, the rest by name.
int Rank(const std::string& name) {
  return absl::EndsWith(name, "_accuracy") || absl::EndsWith(name, "_bleu") ||
                 name == "success_rate" || name == "recall_at_1" || name == "entity_f1"
             ? 0
         : absl::EndsWith(name, "_loss")                               ? 1
         : name == "samples_per_second" || name == "tokens_per_second" ? 3
         : name == "wall_seconds"                                      ? 4
         : name == "peak_memory_bytes"                                 ? 5
                                                                       : 2;
}

std::vector<Line> FinalNumbers(const v1::Evaluation& evaluation) {
  std::vector<std::pair<std::string, double>> values(evaluation.metrics().begin(),
                                                     evaluation.metrics().end());
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) {
    return std::pair(Rank(a.first), a.first) < std::pair(Rank(b.first), b.first);
  });
  int width = 0;
  for (const auto& [name, value] : values) {
    width = std::max(width, Columns(Label(name)));
  }
  std::vector<Line> lines;
  for (const auto& [name, value] : values) {
    Line line;
    line.Add(absl::StrCat("   ", Label(name)), Style::kDim).PadTo(width + 6);
    line.Add(Shown(name, value), Rank(name) == 0 ? Style::kBold : Style::kPlain);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<Line> Classes(const v1::Evaluation& evaluation) {
  std::vector<const v1::Evaluation::ClassReport*> classes;
  for (const auto& report : evaluation.classes()) {
    classes.push_back(&report);
  }
  const bool cut = static_cast<int>(classes.size()) > kClassesInFull;
  if (cut) {
    std::stable_sort(classes.begin(), classes.end(),
                     [](const auto* a, const auto* b) { return a->f1() < b->f1(); });
    classes.resize(10);
  }
  std::vector<std::vector<std::string>> rows = {
      {cut ? "the ten weakest classes" : "class", ">precision", ">recall", ">F1", ">examples"}};
  for (const auto* report : classes) {
    rows.push_back({report->name(), absl::StrCat(">", Percent(report->precision())),
                    absl::StrCat(">", Percent(report->recall())),
                    absl::StrCat(">", Percent(report->f1())),
                    absl::StrCat(">", Count(report->examples()))});
  }
  return Table(rows);
}

// The whole matrix for few classes; else the ten most frequent mistakes.
std::vector<Line> Confusion(const v1::Evaluation& evaluation) {
  const int n = evaluation.classes_size();
  if (n < 2 || evaluation.confusion_size() != n * n) {
    return {};
  }
  std::vector<std::vector<std::string>> rows;
  if (n <= kClassesInFull) {
    rows.push_back({"true ↓  taken for →"});
    for (const auto& report : evaluation.classes()) {
      rows[0].push_back(absl::StrCat(">", Cut(report.name(), 8)));
    }
    for (int i = 0; i < n; ++i) {
      rows.push_back({Cut(evaluation.classes(i).name(), 19)});
      for (int j = 0; j < n; ++j) {
        const int64_t count = evaluation.confusion(i * n + j);
        rows.back().push_back(count == 0 ? ">·" : absl::StrCat(">", Count(count)));
      }
    }
    return Table(rows);
  }
  std::vector<std::pair<int64_t, int>> mistakes;
  for (int i = 0; i < n * n; ++i) {
    if (i / n != i % n && evaluation.confusion(i) > 0) {
      mistakes.emplace_back(-evaluation.confusion(i), i);
    }
  }
  std::sort(mistakes.begin(), mistakes.end());
  mistakes.resize(std::min<size_t>(mistakes.size(), 10));
  rows.push_back({"true", "taken for", ">times"});
  for (const auto& [count, i] : mistakes) {
    rows.push_back({evaluation.classes(i / n).name(), evaluation.classes(i % n).name(),
                    absl::StrCat(">", Count(-count))});
  }
  return Table(rows);
}

// Two models on the same examples.
std::vector<Line> Comparison(const v1::Evaluation& evaluation) {
  if (!evaluation.has_comparison()) {
    return {};
  }
  const v1::ModelComparison& comparison = evaluation.comparison();
  std::vector<std::vector<std::string>> rows = {{"", ">first", ">second"}};
  std::map<int, std::vector<std::string>> names;  // by rank
  for (const auto& [name, value] : comparison.other_metrics()) {
    names[Rank(name)].push_back(name);
  }
  for (auto& [rank, of_rank] : names) {
    std::sort(of_rank.begin(), of_rank.end());
    for (const std::string& name : of_rank) {
      const auto first = evaluation.metrics().find(name);
      rows.push_back(
          {Label(name),
           first == evaluation.metrics().end() ? "" : absl::StrCat(">", Shown(name, first->second)),
           absl::StrCat(">", Shown(name, comparison.other_metrics().at(name)))});
    }
  }
  std::vector<Line> lines = Table(rows);
  const auto add = [&lines](const std::string& text) {
    lines.push_back(Line().Add("   ").Add(text));
  };
  lines.emplace_back();
  if (comparison.has_p_value()) {
    add(absl::StrCat("right: both ", Count(comparison.both_right()), ", only the first ",
                     Count(comparison.only_first()), ", only the second ",
                     Count(comparison.only_second()), ", neither ",
                     Count(comparison.both_wrong())));
    add(absl::StrCat("McNemar's test: p = ", Significant(comparison.p_value())));
  }
  const bool share = comparison.has_p_value();
  const auto number = [&](double value) { return share ? Percent(value) : Significant(value); };
  add(absl::StrCat("difference of the ", share ? "accuracies" : "mean squared errors", ": ",
                   number(comparison.difference()), ", 95 % interval ", number(comparison.low()),
                   " to ", number(comparison.high())));
  lines.push_back(Line().Add("   ").Add(comparison.verdict(), Style::kBold));
  return lines;
}

void Append(std::vector<Line> block, std::vector<Line>& lines) {
  if (!block.empty()) {
    lines.emplace_back();
    std::move(block.begin(), block.end(), std::back_inserter(lines));
  }
}

}  // namespace

std::string MetricLabel(const std::string& name) { return Label(name); }
std::string MetricText(const std::string& name, double value) { return Shown(name, value); }
int MetricRank(const std::string& name) { return Rank(name); }

std::string FinalResult(const v1::Evaluation& evaluation) {
  for (const char* name :
       {"test_accuracy", "test_bleu", "test_r2", "test_hit_rate", "test_mase", "test_rmse",
        "entity_f1", "recall_at_1", "test_micro_f1", "success_rate", "mean_return",
        "frechet_distance", "test_reward_accuracy", "validation_reward_accuracy",
        "test_masked_accuracy", "validation_masked_accuracy", "test_perplexity",
        "validation_perplexity"}) {
    const auto found = evaluation.metrics().find(name);
    if (found != evaluation.metrics().end()) {
      return absl::StrCat(Label(name), " ", Shown(name, found->second));
    }
  }
  return "";
}

std::vector<Line> RenderEnd(const Story& story) {
  const v1::Job& job = story.job();
  std::vector<Line> lines = {Line(), Outcome(job, job.display_name())};
  if (!job.message().empty() && job.state() != v1::Job::SUCCEEDED) {
    for (const absl::string_view text : absl::StrSplit(job.message(), '\n')) {
      lines.push_back(Line().Add("   ").Add(text));
    }
  }
  if (!job.has_evaluation()) {
    return lines;
  }
  const v1::Evaluation& evaluation = job.evaluation();
  Append(FinalNumbers(evaluation), lines);
  Append(Comparison(evaluation), lines);
  if (evaluation.classes_size() > 0) {
    Append(Classes(evaluation), lines);
    Append(Confusion(evaluation), lines);
  }
  Append(RenderLayers(story.layers(), kLayerLines), lines);
  if (!evaluation.fit_reason().empty() || !evaluation.fit_verdict().empty()) {
    const bool sound = evaluation.fit_verdict().empty();
    Line line;
    line.Add(" fit: ", Style::kDim)
        .Add(sound ? "sound" : evaluation.fit_verdict(), sound ? Style::kGood : Style::kWarning);
    if (!evaluation.fit_reason().empty()) {
      line.Add(absl::StrCat(": ", evaluation.fit_reason()));
    }
    Append({line}, lines);
  }
  for (const std::string& verdict : story.verdicts()) {
    lines.push_back(Line().Add(" ⚠ ", Style::kWarning).Add(verdict));
  }
  return lines;
}

}  // namespace hone::client::cli
