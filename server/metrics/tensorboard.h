#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"
#include "server/store/job_store.h"

namespace hone::server::metrics {

// Writes the curves of jobs as TensorFlow event files, which TensorBoard reads: a file for each
// attempt, a scalar for each value of a metrics event, and of the evaluation for those of its
// split, under its own name. What an attempt before it told of later steps does not count any more.
// A file that cannot be written ends there and is said in the log; the job goes on. For one thread.
class TensorBoard {
 public:
  // `directory`: where a job's files go; it is made.
  explicit TensorBoard(std::function<std::string(const std::string& job_id)> directory)
      : directory_(std::move(directory)) {}

  void OnEvent(const store::LoggedEvent& event);

 private:
  struct File {
    std::ofstream stream;
    int64_t step = 0;  // the newest
  };

  void Begin(const store::LoggedEvent& event);
  void Scalars(const store::LoggedEvent& event,
               const google::protobuf::Map<std::string, double>& values);

  const std::function<std::string(const std::string&)> directory_;
  std::map<std::string, File> files_;  // of jobs that run
};

// TFRecord: the length, the data, a masked CRC-32C behind each. All little endian.
std::string TfRecord(absl::string_view data);

// The checksum of Castagnoli's polynomial, as in RFC 3720.
uint32_t Crc32c(absl::string_view data);

}  // namespace hone::server::metrics
