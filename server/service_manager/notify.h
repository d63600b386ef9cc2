#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::server::service_manager {

// Tells the service manager that started this process (systemd with Type=notify, or podman with
// --sdnotify) how it stands: "READY=1", "STOPPING=1"; several lines make one message
// (sd_notify(3)). Ok, and nothing is done, where NOTIFY_SOCKET is unset: then nobody wants to know.
// INVALID_ARGUMENT: NOTIFY_SOCKET is neither an absolute path nor an abstract name ("@…") that fits
// a socket's address. UNAVAILABLE: nobody takes the message there. May be called by any thread that
// does not change the environment meanwhile.
absl::Status Notify(absl::string_view state);

}  // namespace hone::server::service_manager
