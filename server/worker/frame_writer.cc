#include "server/worker/frame_writer.h"

#include <time.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "server/translate/events.h"
#include "server/worker/evaluation_file.h"
#include "server/worker_process/frames.h"

namespace hone::server::worker {

using translate::ToEvent;

constexpr std::chrono::milliseconds kQuiet(900);
constexpr std::chrono::milliseconds kLeastBetween(250);
// Of the processor in a second, by what does more than wait.
constexpr double kBusySeconds = 0.02;

double ProcessorSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

FrameWriter::FrameWriter(int fd) : fd_(fd), heartbeat_([this] { Heartbeat(); }) {
  progress_.mutable_progress()->set_phase("starting");
  progress_.mutable_progress()->set_done(-1);
}

FrameWriter::~FrameWriter() {
  StopHeartbeat();
  heartbeat_.join();
}

void FrameWriter::StopHeartbeat() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
}

void FrameWriter::SendLocked(const v1::WorkerFrame& frame) {
  last_ = std::chrono::steady_clock::now();
  const absl::Status status = worker_process::WriteFrame(fd_, frame);
  if (absl::IsUnavailable(status)) {
    _exit(1);
  }
  if (!status.ok()) {
    v1::WorkerFrame instead;
    *instead.mutable_event() = ToEvent(engine::train::Severity::kWarning,
                                       absl::StrCat("an event was lost: ", status.message()));
    worker_process::WriteFrame(fd_, instead).IgnoreError();
  }
}

void FrameWriter::Send(const v1::WorkerFrame& frame) {
  const std::lock_guard lock(mutex_);
  SendLocked(frame);
}

void FrameWriter::SendEvent(v1::Event event) {
  v1::WorkerFrame frame;
  *frame.mutable_event() = std::move(event);
  Send(frame);
}

void FrameWriter::SendFinished(const std::string& end_reason) {
  v1::WorkerFrame frame;
  frame.mutable_finished()->set_end_reason(end_reason);
  Send(frame);
}

void FrameWriter::SetProgress(const std::string& phase, double done) {
  const std::lock_guard lock(mutex_);
  const bool fresh = progress_.progress().phase() != phase;
  progress_.mutable_progress()->set_phase(phase);
  progress_.mutable_progress()->set_done(done);
  if (fresh || std::chrono::steady_clock::now() - last_ >= kLeastBetween) {
    SendLocked(progress_);
  }
}

void FrameWriter::Heartbeat() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kQuiet / 3, [this] { return end_; })) {
    if (std::chrono::steady_clock::now() - last_ >= kQuiet * 2 / 3) {
      v1::WorkerFrame again = progress_;
      const double used = ProcessorSeconds();
      // The metrics of a training tell its progress. Who reads a data set says nothing, but works.
      const bool training = progress_.progress().phase() == "training";
      again.mutable_progress()->set_still(training || used - processor_seconds_ < kBusySeconds);
      processor_seconds_ = used;
      SendLocked(again);
    }
  }
}

void EventSender::OnDataReport(const engine::data::DataReport& report,
                               const engine::tasks::DataInfo& info) {
  v1::Event event = ToEvent(report, info);
  v1::DataReport& told = *event.mutable_data_report();
  told.set_source(words_.Of(told.source()));
  for (std::string& note : *told.mutable_notes()) {
    note = words_.Of(note);
  }
  writer_.SendEvent(std::move(event));
}

void EventSender::OnStarted(const engine::job::Started& started) {
  writer_.SendEvent(ToEvent(started));
  writer_.SetProgress("training", -1);
}

void EventSender::OnMetrics(const engine::train::Metrics& metrics) {
  writer_.SendEvent(ToEvent(metrics));
}

// Small nets make thousands of steps a second; a new verdict is told all the same.
void EventSender::OnLayerStatistics(const engine::train::LayerStatistics& statistics) {
  std::vector<std::string> verdicts;
  for (const engine::train::LayerStatistics::Layer& layer : statistics.layers) {
    verdicts.push_back(layer.verdict);
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_statistics_ < kLeastBetween && verdicts == last_verdicts_) {
    return;
  }
  last_statistics_ = now;
  last_verdicts_ = std::move(verdicts);
  writer_.SendEvent(ToEvent(statistics));
}

void EventSender::OnCheckpoint(const engine::train::CheckpointWritten& checkpoint) {
  writer_.SendEvent(ToEvent(checkpoint));
}

void EventSender::OnLog(engine::train::Severity severity, const std::string& text) {
  writer_.SendEvent(ToEvent(severity, words_.Of(text)));
}

void EventSender::OnEvaluation(const engine::tasks::Evaluation& evaluation) {
  SendEvaluation(ToEvent(evaluation));
}

void EventSender::SendEvaluation(v1::Event event) {
  const absl::StatusOr<std::optional<v1::Artifact>> file =
      Summarise(*event.mutable_evaluation(), run_directory_);
  writer_.SendEvent(std::move(event));
  if (!file.ok()) {
    OnLog(engine::train::Severity::kWarning,
          absl::StrCat(
              "the evaluation is told as a summary, and all of it could not be written to a file: ",
              file.status().message()));
  } else if (file->has_value()) {
    v1::Event whole;
    *whole.mutable_artifact() = **file;
    writer_.SendEvent(std::move(whole));
  }
}

void EventSender::OnArtifact(const engine::tasks::Artifact& artifact) {
  writer_.SendEvent(ToEvent(artifact));
}

void EventSender::OnProgress(const std::string& phase, double done) {
  writer_.SetProgress(phase, done);
}

}  // namespace hone::server::worker
