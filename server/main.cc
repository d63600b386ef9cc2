// honed: flags → config → the server → wait for a signal → drain. `honed doctor` looks after its
// folder, `honed token` says who may call.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "server/config/config.h"
#include "server/handbook.h"
#include "server/log/log.h"
#include "server/rpc/server.h"
#include "server/service_manager/notify.h"

namespace {

// All threads are made after this and leave the signals to main.
sigset_t BlockSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);  // a terminal that is closed
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// As many as the system allows, within reason: each connection of a client is one.
void RaiseDescriptorLimit() {
  constexpr rlim_t kEnough = 16'384;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kEnough) {
    limit.rlim_cur = std::min(limit.rlim_max, kEnough);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Whoever started the server waits for this where it said so; a server that cannot tell serves all
// the same.
void TellServiceManager(absl::string_view state) {
  const absl::Status told = hone::server::service_manager::Notify(state);
  if (!told.ok()) {
    hone::server::log::Warning("the service manager was not told",
                               {{"state", state}, {"error", told.message()}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  // What is to be said of a connection the log says; gRPC's own lines, which any stranger's bad
  // handshake makes, are none of the log's.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  if (const auto exit = hone::server::RunCommand(argc, argv); exit.has_value()) {
    return *exit;
  }
  const auto parsed = hone::server::config::Parse(argc, argv);
  if (!parsed.ok()) {
    std::fprintf(stderr, "honed: %s\n", std::string(parsed.status().message()).c_str());
    return 2;
  }
  if (parsed->text.has_value()) {
    std::fputs(parsed->text->c_str(), stdout);
    return 0;
  }
  const hone::server::config::Config& config = parsed->config;
  namespace log = hone::server::log;
  log::Begin(config.log_format == "json" ? log::Format::kJson : log::Format::kLogfmt,
             config.log_level);
  const sigset_t signals = BlockSignals();
  RaiseDescriptorLimit();
  std::atomic<bool> lost = false;
  auto server = hone::server::rpc::Server::Start(config, [&lost](const absl::Status& reason) {
    log::Error("the server can no longer take connections of clients and stops; start it again",
               {{"error", reason.message()}});
    lost = true;
    ::kill(::getpid(), SIGTERM);
  });
  if (!server.ok()) {
    log::Error("cannot start", {{"error", server.status().message()}});
    return 1;
  }
  if ((*server)->is_open_to_others()) {
    log::Warning("open to everybody: whoever can reach it can use it",
                 {{"address", config.listen}, {"tls", config.HasTls() ? "yes" : "no"}});
  }
  log::Info(
      absl::StrCat("listening on ", config.listen, " (gRPC, port ", (*server)->port(), ") and ",
                   config.metrics_listen, " (metrics, port ", (*server)->metrics_port(), ")",
                   config.http_listen.empty()
                       ? ""
                       : absl::StrCat(" and ", config.http_listen, " (HTTP, port ",
                                      (*server)->http_port(), ")")),
      {{"grpc_port", (*server)->port()},
       {"metrics_port", (*server)->metrics_port()},
       {"http_port", (*server)->http_port()},
       {"data_dir", config.data_dir},
       {"jobs", config.concurrent_jobs},
       {"threads_per_job", config.ThreadsPerJob()}});
  TellServiceManager("READY=1");
  int signal = 0;
  sigwait(&signals, &signal);
  TellServiceManager("STOPPING=1");
  log::Info("shutting down: running jobs write a checkpoint and go back into the queue");
  (*server)->Shutdown();
  return lost ? 1 : 0;
}
