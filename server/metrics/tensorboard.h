#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "server/event_files/event_file.h"
#include "server/store/job_store.h"

namespace hone::server::metrics {

// Writes the curves of jobs for TensorBoard: an event file for each attempt. A file that cannot be
// written ends there and is said in the log; the job goes on. For one thread.
class TensorBoard {
 public:
  // `directory`: where a job's files go; it is made. `run`: where an attempt leaves its artifacts.
  TensorBoard(std::function<std::string(const std::string& job_id)> directory,
              std::function<std::string(const std::string& job_id, int attempt)> run)
      : directory_(std::move(directory)), run_(std::move(run)) {}

  void OnEvent(const store::LoggedEvent& event);

 private:
  const std::function<std::string(const std::string&)> directory_;
  const std::function<std::string(const std::string&, int)> run_;
  std::map<std::string, event_files::EventFile> files_;  // of jobs that run
};

}  // namespace hone::server::metrics
