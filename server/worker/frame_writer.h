#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/job/observer.h"
#include "hone/v1/worker.pb.h"
#include "server/worker/clients_words.h"

namespace hone::server::worker {

// The worker's end of the event pipe. Any thread may send. Where nothing was sent for a second it
// says that the worker is alive, and whether its work makes progress. If nobody reads any more, the
// process ends: its checkpoints are what remains.
class FrameWriter {
 public:
  explicit FrameWriter(int fd);
  ~FrameWriter();
  FrameWriter(const FrameWriter&) = delete;
  FrameWriter& operator=(const FrameWriter&) = delete;

  void Send(const v1::WorkerFrame& frame);
  void SendEvent(v1::Event event);
  // The last frame of a worker whose work is done: "COMPLETED", "EARLY_STOP", "CANCELLED".
  void SendFinished(const std::string& end_reason);
  // Sent at most four times a second, and repeated while nothing else is said.
  void SetProgress(const std::string& phase, double done);
  // For one who speaks only when asked.
  void StopHeartbeat();

 private:
  void Heartbeat();
  void SendLocked(const v1::WorkerFrame& frame);

  const int fd_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  v1::WorkerFrame progress_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  double processor_seconds_ = 0;  // at the last sign of life
  std::thread heartbeat_;
};

// Sends what the engine tells as events.
class EventSender final : public engine::job::TrainingObserver {
 public:
  // `writer` outlives it. What is too long for an event goes into a file of `run_directory`.
  EventSender(FrameWriter& writer, ClientsWords words, std::string run_directory)
      : writer_(writer), words_(std::move(words)), run_directory_(std::move(run_directory)) {}

  void OnDataReport(const engine::data::DataReport& report,
                    const engine::tasks::DataInfo& info) override;
  void OnStarted(const engine::job::Started& started) override;
  void OnMetrics(const engine::train::Metrics& metrics) override;
  void OnLayerStatistics(const engine::train::LayerStatistics& statistics) override;
  void OnCheckpoint(const engine::train::CheckpointWritten& checkpoint) override;
  void OnLog(engine::train::Severity severity, const std::string& text) override;
  void OnEvaluation(const engine::tasks::Evaluation& evaluation) override;
  void OnArtifact(const engine::tasks::Artifact& artifact) override;
  void OnProgress(const std::string& phase, double done) override;
  // An event that has an evaluation; as OnEvaluation.
  void SendEvaluation(v1::Event event);

 private:
  FrameWriter& writer_;
  const ClientsWords words_;
  const std::string run_directory_;
  std::chrono::steady_clock::time_point last_statistics_ = {};
  std::vector<std::string> last_verdicts_;
};

}  // namespace hone::server::worker
