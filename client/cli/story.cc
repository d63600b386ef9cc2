#include "client/cli/story.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/text.h"

namespace hone::client::cli {
namespace {

constexpr size_t kWarningsKept = 3;
constexpr size_t kLayersNamed = 3;

std::string InWords(const std::string& verdict) {
  if (verdict == "dead") {
    return "units that are always zero";
  }
  return absl::StrCat(verdict, " gradients");
}

}  // namespace

std::vector<std::string> VerdictsInWords(const v1::LayerStatistics& statistics) {
  std::map<std::string, std::vector<std::string>> layers;
  for (const auto& layer : statistics.layers()) {
    if (!layer.verdict().empty()) {
      layers[layer.verdict()].push_back(layer.name());
    }
  }
  std::vector<std::string> sentences;
  for (const auto& [verdict, names] : layers) {
    const size_t named = std::min(names.size(), kLayersNamed);
    const std::string list =
        absl::StrJoin(names.begin(), names.begin() + static_cast<long>(named), ", ");
    sentences.push_back(absl::StrCat(
        InWords(verdict), " in ", list,
        names.size() > named ? absl::StrCat(" and ", names.size() - named, " more") : ""));
  }
  return sentences;
}

void Story::Apply(const v1::Event& event) {
  if (event.sequence() != 0) {
    if (event.sequence() <= job_.last_sequence()) {
      return;
    }
    job_.set_last_sequence(event.sequence());
  }
  switch (event.kind_case()) {
    case v1::Event::kState: {
      job_.set_state(event.state().state());
      job_.set_end_reason(event.state().end_reason());
      job_.set_message(event.state().message());
      job_.set_queue_position(0);  // the event does not say
      break;
    }
    case v1::Event::kStarted:
      *job_.mutable_plan() = event.started().plan();
      SetPhase("training", -1);
      break;
    case v1::Event::kMetrics:
      ApplyMetrics(event.metrics());
      break;
    case v1::Event::kLayerStatistics:
      layers_ = event.layer_statistics();
      verdicts_ = VerdictsInWords(event.layer_statistics());
      break;
    case v1::Event::kLog:
      if (event.log().severity() >= v1::Log::WARNING) {
        warnings_.push_back(event.log().text());
        if (warnings_.size() > kWarningsKept) {
          warnings_.pop_front();
        }
      }
      break;
    case v1::Event::kDataReport:
      data_report_ = event.data_report();
      break;
    case v1::Event::kEvaluation:
      *job_.mutable_evaluation() = event.evaluation();
      for (const auto& [name, value] : event.evaluation().metrics()) {
        (*job_.mutable_metrics())[name] = value;
      }
      break;
    default:
      break;
  }
}

void Story::Apply(const v1::Job& job) {
  const int64_t seen = job_.last_sequence();
  const bool first = job_.name().empty();
  job_ = job;
  // The events up to here are still to come when the stream begins with the job's history.
  job_.set_last_sequence(first ? 0 : seen);
  for (const auto& [name, value] : job.evaluation().metrics()) {
    (*job_.mutable_metrics())[name] = value;
  }
  if (!job.progress().phase().empty()) {
    SetPhase(job.progress().phase(), -1);
  }
}

void Story::SetPhase(const std::string& phase, double done) {
  phase_ = phase;
  phase_done_ = done;
}

void Story::ApplyMetrics(const v1::Metrics& metrics) {
  metrics_.set_step(metrics.step());
  metrics_.set_epoch(metrics.epoch());
  metrics_.set_samples(metrics.samples());
  metrics_.set_active_seconds(metrics.active_seconds());
  metrics_.set_total_steps(metrics.total_steps());
  metrics_.set_eta_seconds(metrics.eta_seconds());
  // Validation comes once an epoch: values stay until there are newer ones.
  for (const auto& [name, value] : metrics.values()) {
    (*metrics_.mutable_values())[name] = value;
    (*job_.mutable_metrics())[name] = value;
  }
  const auto step = static_cast<double>(metrics.step());
  const auto add = [&](const char* name, Curve& curve) {
    if (const auto value = metrics.values().find(name); value != metrics.values().end()) {
      curve.Add(step, value->second);
    }
  };
  add(has_adversaries() ? "generator_loss" : "loss", train_loss_);
  add(has_adversaries() ? "discriminator_loss" : "validation_loss", validation_loss_);
  v1::JobProgress& progress = *job_.mutable_progress();
  progress.set_step(metrics.step());
  progress.set_total_steps(metrics.total_steps());
  progress.set_epoch(metrics.epoch());
  progress.set_samples(metrics.samples());
  progress.set_active_seconds(metrics.active_seconds());
  progress.set_eta_seconds(metrics.eta_seconds());
  SetPhase("training", -1);
}

std::optional<double> Story::Value(const std::string& name) const {
  const auto found = metrics_.values().find(name);
  return found == metrics_.values().end() ? std::nullopt : std::optional<double>(found->second);
}

bool Story::ended() const {
  return job_.state() == v1::Job::SUCCEEDED || job_.state() == v1::Job::FAILED ||
         job_.state() == v1::Job::CANCELLED;
}

}  // namespace hone::client::cli
