#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hone::server::rpc {

// What is known of a call when it begins.
struct Call {
  std::string method = "";
  std::string peer = "";
  std::string caller = "";       // access::Caller's name; "": everybody
  std::string project = "";      // in which it is made; "": it was not let in
  std::string traceparent = "";  // access::Caller's
  bool changes = false;          // something of the server's
  std::string request_id = "";   // the client's name for the call; "": none
  std::string resource = "";     // "jobs/abc": what it is about; "": not known
};

// One line for a call that has ended: all that change something; those that only read at level
// debug, and only where they failed, as are those of callers who are not known: the gate logs them,
// and no stranger fills the log. What is the server's own fault is an error in any case.
void LogCall(const Call& call, const absl::Status& status, absl::Duration took);

}  // namespace hone::server::rpc
