#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hone::client {

// How a server is reached, and what it is told of who calls. Files are in PEM form; "": none.
struct Access {
  std::string address = "127.0.0.1:50051";  // HOST:PORT, or HOST alone for port 50051
  bool tls = false;
  std::string ca_file = "";  // instead of the system's authorities
  std::string certificate_file = "", key_file = "";
  std::string token = "";
  std::string project = "";      // that calls are about; "": the server's choice
  std::string traceparent = "";  // the trace that calls belong to (engine/base/traceparent.h)
  absl::Duration patience = absl::Seconds(60);  // with one call that has one answer
};

// INVALID_ARGUMENT: the parts do not go together, or a token would cross a network in plain text.
absl::Status Check(const Access& access);

// The token in a file. INVALID_ARGUMENT: it is none, or others than its owner may read it.
absl::StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace hone::client
