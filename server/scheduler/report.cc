#include "server/scheduler/report.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/utf8.h"
#include "server/jobs/names.h"

namespace hone::server::scheduler {
namespace {

using jobs::kMaxName;

constexpr int kMaxNames = 256;
constexpr size_t kMaxText = 4096;

void Sanitize(v1::Metrics& metrics) {
  for (auto it = metrics.mutable_values()->begin(); it != metrics.mutable_values()->end();) {
    it = it->first.size() > kMaxName ? metrics.mutable_values()->erase(it) : std::next(it);
  }
  auto& non_finite = *metrics.mutable_non_finite();
  non_finite.erase(std::remove_if(non_finite.begin(), non_finite.end(),
                                  [](const std::string& name) { return name.size() > kMaxName; }),
                   non_finite.end());
  if (non_finite.size() > kMaxNames) {
    non_finite.DeleteSubrange(kMaxNames, non_finite.size() - kMaxNames);
  }
  std::vector<std::string> wrong;
  for (const auto& [name, value] : metrics.values()) {
    if (!std::isfinite(value)) {
      wrong.push_back(name);
    }
  }
  for (const std::string& name : wrong) {
    metrics.mutable_values()->erase(name);
    metrics.add_non_finite(name);
  }
  while (metrics.values_size() > kMaxNames) {
    metrics.mutable_values()->erase(metrics.values().begin()->first);
  }
}

// What a worker calls things, and how long it talks.
void BoundTexts(v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kStarted:
      jobs::CutNames(*event.mutable_started()->mutable_plan());
      event.mutable_started()->set_engine(CutUtf8(event.started().engine(), kMaxName));
      return;
    case v1::Event::kLayerStatistics:
      return jobs::CutNames(*event.mutable_layer_statistics());
    case v1::Event::kArtifact: {
      v1::Artifact& artifact = *event.mutable_artifact();
      artifact.set_kind(CutUtf8(artifact.kind(), kMaxName));
      artifact.set_path(CutUtf8(artifact.path(), kMaxText));
      artifact.set_sha256(CutUtf8(artifact.sha256(), kMaxName));
      return;
    }
    case v1::Event::kCheckpoint:
      event.mutable_checkpoint()->set_path(CutUtf8(event.checkpoint().path(), kMaxText));
      return;
    case v1::Event::kLog:
      event.mutable_log()->set_text(CutUtf8(event.log().text(), kMaxText));
      return;
    case v1::Event::kDataReport: {
      v1::DataReport& report = *event.mutable_data_report();
      jobs::CutNames(report);
      report.set_source(CutUtf8(report.source(), kMaxText));
      for (std::string& note : *report.mutable_notes()) {
        note = CutUtf8(note, kMaxText);
      }
      return;
    }
    case v1::Event::kEvaluation: {
      v1::Evaluation& evaluation = *event.mutable_evaluation();
      jobs::CutNames(evaluation);
      evaluation.set_fit_verdict(CutUtf8(evaluation.fit_verdict(), kMaxName));
      evaluation.set_fit_reason(CutUtf8(evaluation.fit_reason(), kMaxText));
      return;
    }
    default:
      return;
  }
}

double FiniteOrZero(double value) { return std::isfinite(value) ? value : 0; }

bool SameNames(const v1::Metrics& a, const v1::Metrics& b) {
  if (a.values_size() != b.values_size()) {
    return false;
  }
  return std::all_of(a.values().begin(), a.values().end(),
                     [&](const auto& entry) { return b.values().contains(entry.first); });
}

}  // namespace

ReportBuffer::ReportBuffer(const jobs::Job& job) {
  report_.progress = job.progress;
  report_.latest = job.latest;
}

bool ReportBuffer::AdmitLog(absl::Duration now) {
  if (now - log_window_ >= absl::Seconds(1)) {
    log_window_ = now;
    logs_in_window_ = 0;
    if (logs_dropped_ > 0) {
      v1::Event note;
      note.mutable_log()->set_severity(v1::Log::WARNING);
      note.mutable_log()->set_text(absl::StrCat(logs_dropped_, " lines of the log were dropped"));
      Hold(std::move(note));
      logs_dropped_ = 0;
    }
  }
  if (logs_in_window_ >= kLogsPerSecond) {
    ++logs_dropped_;
    return false;
  }
  ++logs_in_window_;
  return true;
}

void ReportBuffer::AddMetrics(v1::Event event) {
  v1::Metrics& metrics = *event.mutable_metrics();
  Sanitize(metrics);
  metrics.set_epoch(FiniteOrZero(metrics.epoch()));
  metrics.set_eta_seconds(FiniteOrZero(metrics.eta_seconds()));
  metrics.set_active_seconds(FiniteOrZero(metrics.active_seconds()));
  v1::JobProgress& progress = report_.progress;
  progress.set_step(metrics.step());
  progress.set_total_steps(metrics.total_steps());
  progress.set_epoch(metrics.epoch());
  progress.set_samples(metrics.samples());
  progress.set_active_seconds(metrics.active_seconds());
  progress.set_eta_seconds(metrics.eta_seconds());
  progress.set_phase("training");
  for (const auto& [name, value] : metrics.values()) {
    if (report_.latest.values_size() < kMaxNames || report_.latest.values().contains(name)) {
      (*report_.latest.mutable_values())[name] = value;
    }
  }
  for (auto held = report_.events.rbegin(); held != report_.events.rend(); ++held) {
    if (held->has_metrics() && SameNames(held->metrics(), metrics)) {
      bytes_ += event.ByteSizeLong() - held->ByteSizeLong();
      *held = std::move(event);
      return;
    }
  }
  Hold(std::move(event));
}

void ReportBuffer::Hold(v1::Event event) {
  bytes_ += event.ByteSizeLong();
  report_.events.push_back(std::move(event));
}

void ReportBuffer::Add(v1::Event event, absl::Duration now) {
  event.clear_sequence();
  event.clear_attempt();
  event.clear_time();
  changed_ = true;
  BoundTexts(event);
  if (event.ByteSizeLong() > kMaxEventBytes) {
    v1::Event note;
    note.mutable_log()->set_severity(v1::Log::WARNING);
    note.mutable_log()->set_text(
        absl::StrCat("an event of ", event.ByteSizeLong(), " bytes was dropped"));
    event = std::move(note);
  }
  switch (event.kind_case()) {
    case v1::Event::KIND_NOT_SET:
    case v1::Event::kState:  // the server's own to say
      return;
    case v1::Event::kMetrics:
      return AddMetrics(std::move(event));
    case v1::Event::kLog:
      if (!AdmitLog(now)) {
        return;
      }
      break;
    case v1::Event::kStarted:
      plan_ = event.started().plan();
      break;
    case v1::Event::kCheckpoint:
      checkpointed_ = true;
      break;
    case v1::Event::kEvaluation:
      evaluation_ = event.evaluation();
      break;
    case v1::Event::kArtifact:
      if (event.artifact().kind() == "model") {
        model_path_ = event.artifact().path();
      }
      break;
    default:
      break;
  }
  Hold(std::move(event));
}

void ReportBuffer::SetPhase(const v1::WorkerFrame::Progress& progress) {
  const std::string phase = CutUtf8(progress.phase(), 64);
  if (phase != report_.progress.phase()) {
    report_.progress.set_phase(phase);
    changed_ = true;
  }
}

void ReportBuffer::Taken() {
  report_.events.clear();
  bytes_ = 0;
  changed_ = false;
}

}  // namespace hone::server::scheduler
