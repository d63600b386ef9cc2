#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/event.pb.h"

namespace hone::server::event_files {

// The curves of one attempt as a TensorFlow event file, which TensorBoard reads: a scalar for each
// value of a metrics event, and of the evaluation for those of its split, under its own name; an
// image for each PNG file among the artifacts, under its kind. What an attempt before it told of
// later steps does not count any more. For one thread.
class EventFile {
 public:
  // Makes `directory`. `begun` is the event with `started`, its time and its attempt; artifacts lie
  // in `run_directory`. UNAVAILABLE: no file can be written there.
  static absl::StatusOr<EventFile> Begin(const std::string& directory, const v1::Event& begun,
                                         const std::string& run_directory);

  // What is no curve is passed over. UNAVAILABLE: the file cannot be written and ends here.
  absl::Status Add(const v1::Event& event);

 private:
  std::string path_;
  std::string run_directory_;
  std::ofstream stream_;
  int64_t step_ = 0;  // the newest
};

// TFRecord: the length, the data, a masked CRC-32C behind each. All little endian.
std::string TfRecord(absl::string_view data);

// The checksum of Castagnoli's polynomial, as in RFC 3720.
uint32_t Crc32c(absl::string_view data);

}  // namespace hone::server::event_files
