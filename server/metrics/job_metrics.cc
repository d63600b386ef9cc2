#include "server/metrics/job_metrics.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "server/jobs/job.h"

namespace hone::server::metrics {
namespace {

constexpr absl::Duration kKept = absl::Minutes(10);
// Layers and metric names of one job that get a series of their own.
constexpr int kMaxLayers = 200;
constexpr int kMaxNames = 50;

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

}  // namespace

JobMetrics::JobMetrics(Registry& registry) : registry_(registry) {
  for (const std::string& task : jobs::AllTaskNames()) {
    for (int reason = v1::Job::COMPLETED; reason <= v1::Job::EndReason_MAX; ++reason) {
      // TARGET_REACHED is for what no training does yet.
      if (v1::Job::EndReason_IsValid(reason) && reason != v1::Job::TARGET_REACHED) {
        registry_.Add(Metric::kJobsFinished, {task, v1::Job::EndReason_Name(reason)}, 0);
      }
    }
  }
}

void JobMetrics::OnEvent(const store::LoggedEvent& logged) {
  const v1::Event& event = *logged.event;
  const std::string& job = logged.job_id;
  switch (event.kind_case()) {
    case v1::Event::kState:
      return OnState(logged);
    case v1::Event::kStarted: {
      const std::lock_guard lock(mutex_);
      const int64_t step = event.started().resumed_from_step();
      running_[job] = {.step = step, .active_seconds = step == 0 ? 0.0 : -1.0};
      return;
    }
    case v1::Event::kMetrics:
      return OnMetrics(job, event.metrics());
    case v1::Event::kLayerStatistics:
      return OnLayers(job, event.layer_statistics());
    case v1::Event::kCheckpoint:
      registry_.Observe(Metric::kCheckpointWriteSeconds, {}, event.checkpoint().seconds());
      registry_.Set(Metric::kJobLastCheckpointTimestamp, {job},
                    static_cast<double>(event.time().seconds()));
      return;
    default:
      return;
  }
}

void JobMetrics::OnState(const store::LoggedEvent& logged) {
  const std::string& job = logged.job_id;
  const auto state = jobs::FromProto(logged.event->state().state());
  if (!state.ok()) {
    return;
  }
  if (jobs::IsEnd(*state)) {
    registry_.Add(Metric::kJobsFinished,
                  {logged.task, v1::Job::EndReason_Name(logged.event->state().end_reason())}, 1);
  }
  const std::lock_guard lock(mutex_);
  if (*state == jobs::JobState::kRunning) {
    running_[job] = {};
    stopped_.erase(job);
    registry_.Set(Metric::kJobRunning, {job}, 1);
    registry_.Set(Metric::kJobLastStepTimestamp, {job}, UnixSeconds(absl::Now()));
  } else if (!jobs::HasWorker(*state) && running_.erase(job) > 0) {
    stopped_[job] = absl::Now();
    registry_.RemoveJob(Metric::kJobRunning, job);
  }
}

void JobMetrics::OnMetrics(const std::string& job, const v1::Metrics& metrics) {
  {
    const std::lock_guard lock(mutex_);
    Position& at = running_[job];
    registry_.Add(Metric::kSteps, {},
                  static_cast<double>(std::max<int64_t>(0, metrics.step() - at.step)));
    // Where an attempt begins its samples are those of its first steps, not of the attempts before.
    const int64_t before = at.samples == 0 && at.step > 0 ? metrics.samples() : at.samples;
    registry_.Add(Metric::kSamples, {},
                  static_cast<double>(std::max<int64_t>(0, metrics.samples() - before)));
    if (at.active_seconds >= 0 && metrics.step() > at.step) {
      const auto steps = static_cast<uint64_t>(metrics.step() - at.step);
      const double seconds = std::max(0.0, metrics.active_seconds() - at.active_seconds);
      registry_.Observe(Metric::kStepDuration, {}, seconds / static_cast<double>(steps), steps);
    }
    at = {metrics.step(), metrics.samples(), metrics.active_seconds()};
  }
  registry_.Set(Metric::kJobLastStepTimestamp, {job}, UnixSeconds(absl::Now()));
  if (metrics.total_steps() > 0) {
    registry_.Set(Metric::kJobProgressRatio, {job},
                  static_cast<double>(metrics.step()) / static_cast<double>(metrics.total_steps()));
  }
  registry_.Set(Metric::kJobEtaSeconds, {job}, metrics.eta_seconds());
  registry_.Add(Metric::kNonFiniteValues, {}, metrics.non_finite_size());
  int names = 0;
  for (const auto& [name, value] : metrics.values()) {
    if (name == "loss") {
      registry_.Set(Metric::kJobLoss, {job, "train"}, value);
    } else if (absl::EndsWith(name, "_loss")) {
      registry_.Set(Metric::kJobLoss, {job, name.substr(0, name.size() - 5)}, value);
    } else if (name == "learning_rate") {
      registry_.Set(Metric::kJobLearningRate, {job}, value);
    } else if (name == "gradient_norm") {
      registry_.Set(Metric::kJobGradientNorm, {job}, value);
    } else if (name == "samples_per_second") {
      registry_.Set(Metric::kJobSamplesPerSecond, {job}, value);
    } else if (++names <= kMaxNames) {
      registry_.Set(Metric::kJobMetric, {job, name}, value);
    }
  }
}

void JobMetrics::OnLayers(const std::string& job, const v1::LayerStatistics& statistics) {
  registry_.RemoveJob(Metric::kJobLayerVerdict, job);
  for (int i = 0; i < std::min(statistics.layers_size(), kMaxLayers); ++i) {
    const v1::LayerStatistics::Layer& layer = statistics.layers(i);
    registry_.Set(Metric::kJobLayerGradientNorm, {job, layer.name()}, layer.gradient_norm());
    registry_.Set(Metric::kJobLayerWeightNorm, {job, layer.name()}, layer.weight_norm());
    if (!layer.verdict().empty()) {
      registry_.Set(Metric::kJobLayerVerdict, {job, layer.name(), layer.verdict()}, 1);
    }
  }
}

void JobMetrics::Prune(absl::Time now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(stopped_, [&](const auto& entry) {
    if (entry.second + kKept > now) {
      return false;
    }
    registry_.RemoveJob(entry.first);
    return true;
  });
}

}  // namespace hone::server::metrics
