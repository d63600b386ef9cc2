#include "server/config/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/cpu.h"
#include "engine/base/loopback.h"
#include "engine/base/status.h"
#include "server/command_line/manual.h"
#include "server/command_line/parse.h"
#include "server/config/version.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::config {
namespace {

// What the server itself may grow to.
constexpr int64_t kServerBytes = int64_t{128} << 20;

std::string EnvironmentName(absl::string_view flag) {
  return absl::StrCat("HONED_", absl::AsciiStrToUpper(absl::StrReplaceAll(
                                    absl::StripPrefix(flag, "--"), {{"-", "_"}})));
}

// A flag in `unit`s.
void AddDuration(CLI::App& app, const std::string& flag, absl::Duration& value, absl::Duration unit,
                 CLI::Range range, const std::string& text) {
  app.add_option_function<double>(
         flag, [&value, unit](const double& number) { value = number * unit; }, text)
      ->envname(EnvironmentName(flag))
      ->check(range)
      ->default_str(absl::StrCat(absl::FDivDuration(value, unit)));
}

// For how many days something is kept; 0: for ever.
void AddDays(CLI::App& app, const std::string& flag, absl::Duration& value,
             const std::string& text) {
  constexpr absl::Duration kDay = absl::Hours(24);
  app.add_option_function<double>(
         flag,
         [&value](const double& days) {
           value = days == 0 ? absl::InfiniteDuration() : days * kDay;
         },
         text)
      ->envname(EnvironmentName(flag))
      ->check(CLI::Range(0.0, 36500.0))
      ->default_str(
          value == absl::InfiniteDuration() ? "0" : absl::StrCat(absl::FDivDuration(value, kDay)));
}

// A limit; 0: none.
void AddLimit(CLI::App& app, const std::string& flag, int64_t& value, const std::string& text) {
  app.add_option(flag, value, text)
      ->envname(EnvironmentName(flag))
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 50))
      ->capture_default_str();
}

// What is kept, and for how long.
void DeclareRetention(CLI::App& app, retention::Limits& keep) {
  AddDays(
      app, "--keep-jobs-days", keep.jobs,
      "Days after its end when a job and its history, but not its model, are deleted; 0: never");
  AddLimit(app, "--keep-jobs", keep.jobs_at_most, "Jobs that have ended and are kept; 0: all");
  AddLimit(app, "--store-bytes", keep.store_bytes,
           "Size of the store above which the jobs that ended first are deleted; 0: no limit");
  AddDays(app, "--keep-checkpoints-days", keep.checkpoints,
          "Days after its end when a job's checkpoints are removed; 0: never");
  AddDays(app, "--keep-models-days", keep.models,
          "Days after which a model that is not pinned is removed; 0: never");
  AddLimit(app, "--keep-models-of-a-name", keep.models_of_a_name,
           "The newest models of one display name that are kept, and pinned ones; 0: all");
  AddLimit(app, "--keep-best-models-of-a-name", keep.best_models_of_a_name,
           "Beside the newest, the models of one display name with the highest test_accuracy, else "
           "the lowest test_loss; 0: none");
  AddLimit(app, "--models-bytes", keep.model_bytes,
           "Bytes of all models together above which the oldest that are not pinned are removed; "
           "0: none");
  AddDays(app, "--keep-datasets-days", keep.datasets,
          "Days after which an uploaded data set that no job needed is removed; 0: never");
}

void Declare(CLI::App& app, Config& config) {
  app.option_defaults()->take_last();
  app.set_version_flag("--version", std::string(kVersion));
  app.set_config("--config", "", "A file with the same names, as INI: data-dir = \"/srv/hone\"")
      ->envname("HONED_CONFIG");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--data-dir", config.data_dir, "Folder for jobs, models and data sets")
      ->envname("HONED_DATA_DIR")
      ->required();
  app.add_option("--listen", config.listen, "Address for clients (gRPC)")
      ->envname("HONED_LISTEN")
      ->capture_default_str();
  app.add_option("--http-listen", config.http_listen,
                 "Address of the web page and of HTTP/JSON; \"\": neither")
      ->envname("HONED_HTTP_LISTEN")
      ->capture_default_str();
  app.add_option("--tls-cert", config.tls.certificate,
                 "The server's certificate and its chain, in PEM form: all addresses are TLS only")
      ->envname("HONED_TLS_CERT");
  app.add_option("--tls-key", config.tls.key, "The certificate's private key, in PEM form")
      ->envname("HONED_TLS_KEY");
  app.add_option("--tls-client-ca", config.tls.client_ca,
                 "Authorities, in PEM form, whose certificates tell clients from strangers")
      ->envname("HONED_TLS_CLIENT_CA");
  std::vector<std::string> roles;
  for (const access::Role role : access::kRoles) {
    roles.emplace_back(access::RoleName(role));
  }
  app.add_option_function<std::string>(
         "--tls-client-role",
         [&config](const std::string& name) {
           config.tls_client_role = access::RoleOfName(name).value_or(config.tls_client_role);
         },
         "What a client with a certificate of --tls-client-ca may do")
      ->envname("HONED_TLS_CLIENT_ROLE")
      ->check(CLI::IsMember(roles))
      ->default_str(std::string(access::RoleName(config.tls_client_role)));
  app.add_option("--tls-clients", config.tls_clients,
                 "Instead: a file that says what each name of such certificates may do, a line "
                 "NAME = ROLE@PROJECT or NAME = ROLE for each; other names are refused. It is read "
                 "again when it has changed")
      ->envname("HONED_TLS_CLIENTS");
  app.add_flag("--insecure-listen", config.insecure_listen,
               "Allow --listen, --metrics-listen and --http-listen on other addresses than "
               "loopback without TLS and "
               "credentials: anybody who can reach them can use them")
      ->envname("HONED_INSECURE_LISTEN");
  app.add_option("--metrics-listen", config.metrics_listen,
                 "Address for Prometheus and health checks (HTTP)")
      ->envname("HONED_METRICS_LISTEN")
      ->capture_default_str();
  app.add_option("--worker", config.worker, "The program hone-worker; default: beside honed")
      ->envname("HONED_WORKER");
  app.add_option(
         "--data-mirror", config.data_mirror,
         "Folder where data sets are looked for before the network; default: $HONE_DATA_DIR")
      ->envname("HONED_DATA_MIRROR");
  app.add_option("--jobs", config.concurrent_jobs, "Jobs that run at the same time")
      ->envname("HONED_JOBS")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--threads", config.threads,
                 "Threads of all running jobs together; default: what the machine gives")
      ->envname("HONED_THREADS")
      ->check(CLI::Range(1, 4096));
  app.add_option("--memory-bytes", config.memory_bytes,
                 "Memory of all running jobs together; default: what the machine gives, without "
                 "the server's own and the predictions'")
      ->envname("HONED_MEMORY_BYTES")
      ->check(CLI::Range(int64_t{1} << 20, int64_t{1} << 50));
  app.add_option("--max-queued-jobs", config.max_queued_jobs, "Jobs that may wait")
      ->envname("HONED_MAX_QUEUED_JOBS")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--dataset-quota-bytes", config.dataset_quota_bytes,
                 "Bytes that all uploaded data sets may have together")
      ->envname("HONED_DATASET_QUOTA_BYTES")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 50))
      ->capture_default_str();
  app.add_option("--disk-floor-bytes", config.disk_floor_bytes,
                 "Bytes of free disk below which uploads and new jobs are refused")
      ->envname("HONED_DISK_FLOOR_BYTES")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 50))
      ->capture_default_str();
  app.add_option("--predict-cache-bytes", config.predict_cache_bytes,
                 "Memory of the processes that keep models loaded for predictions")
      ->envname("HONED_PREDICT_CACHE_BYTES")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 50))
      ->capture_default_str();
  const absl::Duration second = absl::Seconds(1);
  AddDuration(app, "--grace-seconds", config.grace, second, CLI::Range(0.1, 3600.0),
              "Time between asking a worker to stop and killing it");
  AddDuration(app, "--silence-seconds", config.silence, second, CLI::Range(10.0, 86400.0),
              "A worker silent for this long is killed");
  AddDuration(app, "--stall-seconds", config.stall, second, CLI::Range(1.0, 86400.0),
              "A worker that is alive but makes no progress for this long is killed");
  AddDuration(app, "--predict-idle-seconds", config.predict_idle, second, CLI::Range(0.0, 86400.0),
              "Idle time after which a model's process is ended");
  DeclareRetention(app, config.keep);
  app.add_option("--log-level", config.log_level, "What is logged")
      ->envname("HONED_LOG_LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", config.log_format, "How a line of the log is written")
      ->envname("HONED_LOG_FORMAT")
      ->check(CLI::IsMember({"logfmt", "json"}))
      ->capture_default_str();
}

// What the variables say, as flags. The library would let a file beat them.
std::vector<std::string> FlagsOfEnvironment(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    const std::string& name = option->get_envname();
    const char* const value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value != nullptr && *value != '\0') {
      flags.push_back(absl::StrCat("--", option->get_lnames()[0], "=", value));
    }
  }
  return flags;
}

absl::Status CheckTls(const Config& config) {
  const tls::Files& files = config.tls;
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(files.key.empty() ? "--tls-key" : "--tls-cert",
                     ": must be given, too: a certificate and its key belong together"));
  }
  if (!files.client_ca.empty() && files.certificate.empty()) {
    return absl::InvalidArgumentError(
        "--tls-client-ca: needs --tls-cert and --tls-key: clients show certificates only to a "
        "server that has one");
  }
  if (!config.tls_clients.empty() && files.client_ca.empty()) {
    return absl::InvalidArgumentError(
        "--tls-clients: needs --tls-client-ca, whose certificates have the names");
  }
  for (const auto& [flag, address] :
       {std::pair("--listen", config.listen), std::pair("--metrics-listen", config.metrics_listen),
        std::pair("--http-listen", config.http_listen)}) {
    if (!address.empty() && !IsLoopback(address) && !config.insecure_listen && !config.HasTls()) {
      return absl::InvalidArgumentError(absl::StrCat(
          flag, ": ", address,
          " is not a loopback address, and anybody who can reach it could read and use this "
          "server; give it --tls-cert and --tls-key, or say --insecure-listen if that is wanted (a "
          "private network)"));
    }
  }
  return absl::OkStatus();
}

absl::Status Complete(Config& config) {
  HONE_RETURN_IF_ERROR(CheckAddress("--listen", config.listen));
  HONE_RETURN_IF_ERROR(CheckAddress("--metrics-listen", config.metrics_listen));
  if (!config.http_listen.empty()) {
    HONE_RETURN_IF_ERROR(CheckAddress("--http-listen", config.http_listen));
  }
  HONE_RETURN_IF_ERROR(CheckTls(config));
  if (config.threads == 0) {
    config.threads = AvailableThreads();
  }
  if (config.memory_bytes == 0) {
    config.memory_bytes =
        std::max(AvailableMemoryBytes() - kServerBytes - config.predict_cache_bytes, kServerBytes);
  }
  if (const char* mirror = std::getenv("HONE_DATA_DIR");
      config.data_mirror.empty() && mirror != nullptr) {
    config.data_mirror = mirror;
  }
  if (config.worker.empty()) {
    HONE_ASSIGN_OR_RETURN(config.worker, worker_process::FindWorkerBinary());
  }
  return absl::OkStatus();
}

}  // namespace

bool Config::IsReachedByOthers() const {
  return !IsLoopback(listen) || !IsLoopback(metrics_listen) ||
         (!http_listen.empty() && !IsLoopback(http_listen));
}

absl::Status CheckAddress(const std::string& flag, const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": must be HOST:PORT with a port of 0 to 65535, got \"", address, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<Parsed> Parse(int argc, const char* const* argv) {
  Parsed parsed;
  Config& config = parsed.config;
  // A small machine keeps fewer models loaded.
  config.predict_cache_bytes = std::min(config.predict_cache_bytes, AvailableMemoryBytes() / 8);
  CLI::App app("honed queues training jobs, runs each in a worker process, and keeps the models.",
               "honed");
  Declare(app, config);
  if (argc > 1 && std::string(argv[1]) == "__man") {
    parsed.text = command_line::TreeText(app) + command_line::EnvironmentText(app, {});
    return parsed;
  }
  if (parsed.text = command_line::Tell(app, argc, argv); parsed.text.has_value()) {
    return parsed;
  }
  // The last one counts, so flags beat variables; the library wants them in reverse.
  std::vector<std::string> flags = FlagsOfEnvironment(app);
  flags.insert(flags.end(), argv + 1, argv + argc);
  std::reverse(flags.begin(), flags.end());
  try {
    app.parse(std::move(flags));
  } catch (const CLI::CallForHelp&) {
    parsed.text = app.help();
    return parsed;
  } catch (const CLI::CallForVersion&) {
    parsed.text = absl::StrCat("honed ", kVersion, "\n");
    return parsed;
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }
  HONE_RETURN_IF_ERROR(Complete(config));
  return parsed;
}

}  // namespace hone::server::config
