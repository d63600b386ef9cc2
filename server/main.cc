// honed: flags → config → the server → wait for a signal → drain. `honed doctor` looks after its folder.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "server/rpc/server.h"

namespace {

// All threads are made after this and leave the signals to main.
sigset_t BlockSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "doctor") == 0) {
    return hone::server::doctor::Main(argc - 1, argv + 1);
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
  spdlog::set_default_logger(spdlog::stderr_color_mt("honed"));
  spdlog::set_level(spdlog::level::from_str(config.log_level));
  const sigset_t signals = BlockSignals();
  auto server = hone::server::rpc::Server::Start(config);
  if (!server.ok()) {
    spdlog::error("{}", std::string(server.status().message()));
    return 1;
  }
  if (config.insecure_listen) {
    spdlog::warn("{} is open without TLS or passwords: whoever can reach it can use it",
                 config.listen);
  }
  spdlog::info(
      "listening on {} (gRPC, port {}) and {} (metrics, port {}); data in {}; {} jobs at a time, "
      "{} threads each",
      config.listen, (*server)->port(), config.metrics_listen, (*server)->metrics_port(),
      config.data_dir, config.concurrent_jobs, config.ThreadsPerJob());
  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("shutting down: running jobs write a checkpoint and go back into the queue");
  (*server)->Shutdown();
  return 0;
}
