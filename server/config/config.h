#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/access/role.h"
#include "server/retention/retention.h"
#include "server/tls/files.h"

namespace hone::server::config {

// All that can be set about the server; no flag, variable or file is read anywhere else.
struct Config {
  std::string data_dir;
  std::string listen = "127.0.0.1:50051";
  std::string metrics_listen = "127.0.0.1:9464";
  std::string http_listen = "127.0.0.1:8080";  // HTTP/JSON and the web page; "": neither
  // All addresses may be others than loopback, also where nobody has to say who they are.
  bool insecure_listen = false;
  tls::Files tls;  // of all addresses; no certificate: plain text
  access::Role tls_client_role = access::Role::kSubmitter;  // of who shows a certificate
  std::string tls_clients;  // a file that says so for each name instead: access::Clients; "": none
  std::string worker;       // hone-worker; found
  std::string data_mirror;  // where data sets are looked for before the network
  int concurrent_jobs = 1;
  int threads = 0;           // of all running jobs together; what the machine gives
  int64_t memory_bytes = 0;  // of all running jobs together; what the machine gives
  int max_queued_jobs = 100'000;
  int64_t dataset_quota_bytes = int64_t{64} << 30;  // of all uploaded data sets together
  int64_t disk_floor_bytes = int64_t{1}
                             << 30;  // free disk below which uploads and new jobs are refused
  int64_t predict_cache_bytes = int64_t{512} << 20;  // of loaded models' processes together
  absl::Duration predict_idle = absl::Minutes(5);    // after which a loaded model is let go
  absl::Duration grace = absl::Seconds(20);          // from asking a worker to end to killing it
  absl::Duration silence = absl::Seconds(120);       // of a worker, after which it is killed
  absl::Duration stall = absl::Minutes(10);  // the same, of one that is alive but makes no progress
  absl::Duration retry_delay = absl::Seconds(2);    // after a first crash; doubled after the next
  absl::Duration transfer_idle = absl::Minutes(2);  // of an upload or download, then it makes room
  absl::Duration import_call = absl::Minutes(10);   // then who waits for an import asks again
  retention::Limits keep;
  std::string log_level = "info";
  std::string log_format = "logfmt";  // or "json"

  // Of a job that does not ask for a number.
  int ThreadsPerJob() const {
    return threads / concurrent_jobs > 0 ? threads / concurrent_jobs : 1;
  }
  int64_t MemoryPerJob() const { return memory_bytes / concurrent_jobs; }
  bool HasTls() const { return !tls.certificate.empty(); }
  // By one of the addresses.
  bool IsReachedByOthers() const;
};

// What the command line asked for.
struct Parsed {
  Config config;
  std::optional<std::string>
      text;  // --help, --version, or for a shell or the manual: to be printed, and that is all
};

// Flags, then HONED_… variables, then --config FILE (INI: `data-dir = "…"`), then defaults: the
// first that says something counts. INVALID_ARGUMENT: names the flag and what would be right.
absl::StatusOr<Parsed> Parse(int argc, const char* const* argv);

// HOST:PORT with a port of 0 to 65535.
absl::Status CheckAddress(const std::string& flag, const std::string& address);

}  // namespace hone::server::config
