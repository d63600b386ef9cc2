#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/loopback.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "google/protobuf/descriptor.h"
#include "server/artifacts/control_socket.h"
#include "server/config/version.h"
#include "server/http/server.h"
#include "server/log/log.h"
#include "server/metrics/job_metrics.h"
#include "server/metrics/prometheus.h"
#include "server/metrics/tensorboard.h"
#include "server/retention/retention.h"
#include "server/rpc/calls.h"
#include "server/rpc/connections.h"
#include "server/rpc/health.h"
#include "server/rpc/self_check.h"
#include "server/rpc/services.h"
#include "server/rpc/tls_credentials.h"
#include "server/store/project_store.h"
#include "server/store/sqlite_store.h"
#include "server/sweeps/driver.h"
#include "server/tls/certificates.h"
#include "server/worker_process/confinement.h"

namespace hone::server::rpc {
namespace {

using metrics::Metric;

constexpr int kMaxMessageBytes = 4 << 20;
// Of all calls' requests and answers; an answer is there until its client has taken it.
constexpr int64_t kCallBytes = int64_t{128} << 20;
// Of what all watchers are to be sent, beside what is small.
constexpr int64_t kWatchBytes = int64_t{64} << 20;
constexpr int64_t kStorageEverySeconds = 60;
// Of an answer: a job of a thousand classes with its confusion matrix has a few.
constexpr int kMaxAnswerBytes = 64 << 20;
constexpr int kMaxMetadataBytes = 8 << 10;
// Of one connection: all watchers there may be, and calls beside them.
constexpr int kMaxStreamsOfConnection =
    static_cast<int>(WatchStreams::kMaxStreams + SweepStreams::kMaxStreams) + 128;

// Of all connections' buffers: a message is looked at, and refused for its length, when it is
// whole. Beyond this the streams that hold the most are ended.
constexpr size_t kTransportBytes = 64u << 20;
// Of gRPC's reflection, which has a thread for each of its streams, and streams for everybody.
constexpr int kReflectionThreads = 16;

// From a connection's greeting to its settings, which a client sends with it.
constexpr int kHandshakeMilliseconds = 10'000;
// Of a connection without a call; its client makes another one when it wants to.
constexpr int kIdleMilliseconds = 600'000;

// Clients' services: each is counted, has its health, and is called by HTTP as its options say.
const std::vector<const char*> kServices = {
    v1::TrainingService::service_full_name(), v1::ModelService::service_full_name(),
    v1::DatasetService::service_full_name(),  v1::SweepService::service_full_name(),
    v1::AccessService::service_full_name(),   v1::ProjectService::service_full_name()};

uint64_t MostDescriptors() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 256;
}

// A client that is gone without a word is noticed, and one may ask whether the server is there.
void SetTimes(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
}

class HonedServer final : public Server {
 public:
  HonedServer(const config::Config& config, Lost lost)
      : config_(config), lost_(std::move(lost)), job_metrics_(registry_) {}
  ~HonedServer() override { Shutdown(); }

  absl::Status Begin() {
    HONE_ASSIGN_OR_RETURN(directory_, artifacts::DataDirectory::Open(config_.data_dir));
    HONE_ASSIGN_OR_RETURN(store_, store::OpenSqliteStore(directory_->store_path()));
    HONE_ASSIGN_OR_RETURN(const int recovered, store_->Recover(absl::Now()));
    if (recovered > 0) {
      log::Info("jobs that were running when the last server ended continue",
                {{"jobs", recovered}});
    }
    writer_ = std::make_unique<store::Writer>(
        *store_, [this](const store::LoggedEvent& event) { OnEvent(event); }, Observed());
    sweeps_ = std::make_unique<sweeps::Driver>(
        sweeps::DriverHooks{
            .submit =
                [this](sweeps::Submission trial, std::function<void(absl::Status)> done) {
                  SubmitTrial(std::move(trial), *deps_, std::move(done));
                },
            .stop = [this](const std::string& job_id) { scheduler_->Stop(job_id); },
            .trial_ended =
                [this](v1::Trial::State state) {
                  registry_.Add(Metric::kSweepTrials, {v1::Trial::State_Name(state)}, 1);
                },
            .looked = [this] { sweep_streams_->Wake(); }},
        *store_, *writer_);
    remover_ = std::make_unique<removal::Remover>(*store_, *writer_, *directory_);
    HONE_RETURN_IF_ERROR(remover_->Start());
    datasets_ = std::make_unique<datasets::Datasets>(
        datasets::Limits{.quota_bytes = config_.dataset_quota_bytes,
                         .disk_floor_bytes = config_.disk_floor_bytes},
        *directory_, store_->datasets(), *writer_);
    validations_ = std::make_unique<datasets::Validations>(store_->datasets(), *writer_);
    scheduler_ = std::make_unique<scheduler::Scheduler>(
        scheduler::SchedulerOptions{
            .worker = config_.worker,
            .data_mirror = config_.data_mirror,
            .concurrent_jobs = config_.concurrent_jobs,
            .threads = config_.threads,
            .memory_bytes_per_job = config_.MemoryPerJob(),
            .grace = config_.grace,
            .silence = config_.silence,
            .stall = config_.stall,
            .retry_delay = config_.retry_delay,
            .dataset_path =
                [this](const std::string& job_id) { return datasets_->PathOfJob(job_id); }},
        *writer_, *directory_, registry_);
    calls_ = std::make_unique<scheduler::WorkerCalls>(config_.worker, config_.MemoryPerJob(),
                                                      *directory_, registry_);
    retention_ = std::make_unique<retention::Retention>(
        config_.keep,
        retention::Hooks{.model_removed = [this](const std::string& id) { predictors_->Drop(id); },
                         .datasets_removed = [this] { datasets_->Sweep(); }},
        *store_, *writer_, *directory_, *remover_);
    inspections_ = std::make_unique<scheduler::WorkerCalls>(config_.worker, config_.MemoryPerJob(),
                                                            *directory_, registry_);
    // One at a time: they share the disk, and they hold up no inspections.
    import_calls_ = std::make_unique<scheduler::WorkerCalls>(
        config_.worker, config_.MemoryPerJob(), *directory_, registry_,
        scheduler::WorkerCalls::Size{.threads = 1, .queued = 8});
    imports_ = std::make_unique<imports::Imports>(config_.disk_floor_bytes, *directory_, *store_,
                                                  *writer_, *datasets_, *import_calls_);
    reads_ = std::make_unique<scheduler::Executor>(/*threads=*/2, /*max_queued=*/4096);
    histories_ = std::make_unique<scheduler::Executor>(/*threads=*/2, /*max_queued=*/256);
    lists_ = std::make_unique<scheduler::Executor>(/*threads=*/2, /*max_queued=*/256);
    predictors_ = std::make_unique<predict::ModelCache>(
        predict::CacheOptions{
            .worker = config_.worker,
            .max_bytes = config_.predict_cache_bytes,
            .process_bytes = std::max(config_.MemoryPerJob(), config_.predict_cache_bytes),
            .idle = config_.predict_idle},
        *directory_, registry_);
    if (config_.HasTls()) {
      HONE_ASSIGN_OR_RETURN(certificates_, tls::Certificates::Open(config_.tls));
    }
    HONE_RETURN_IF_ERROR(MakeGate());
    deps_ = std::make_unique<Deps>(Deps{
        config_,   *store_,     *writer_,  *scheduler_, *calls_,   *inspections_,  *predictors_,
        *reads_,   *histories_, *lists_,   *directory_, *remover_, *datasets_,     *validations_,
        bus_,      registry_,   plans_,    transfers_,  budget_,   watch_budget_,  engine_,
        stopping_, *sweeps_,    *imports_, *gate_,      *tokens_,  late_refusals_, *projects_});
    streams_ = std::make_unique<WatchStreams>();
    sweep_streams_ = std::make_unique<SweepStreams>(*deps_);
    for (const char* const service : kServices) {
      CountCallsOf(service);
    }
    registry_.Set(Metric::kWorkerConfinement, {"files"}, worker_process::LandlockAbi());
    registry_.Set(Metric::kWorkerConfinement, {"network"}, worker_process::HasSeccomp() ? 1 : 0);
    registry_.OnCollect([this](metrics::Registry& registry) { Refresh(registry); });
    HONE_ASSIGN_OR_RETURN(endpoint_, metrics::HttpEndpoint::Start(EndpointOptions(), registry_));
    HONE_RETURN_IF_ERROR(Listen());
    scheduler_->Start();
    sweeps_->Start();
    retention_->Start();
    self_check_ = std::make_unique<SelfCheck>(connections_->dialed(), certificates_.get());
    ready_ = true;
    return absl::OkStatus();
  }

  int port() const override { return connections_->port(); }
  int metrics_port() const override { return endpoint_->port(); }
  int http_port() const override { return http_ == nullptr ? 0 : http_->port(); }
  bool is_open_to_others() const override { return config_.IsReachedByOthers() && gate_->IsOpen(); }

  void Shutdown() override {
    ready_ = false;
    stopping_ = true;
    if (server_ != nullptr) {
      health_->StopServing();
      streams_->Goodbye();
      sweep_streams_->Goodbye();
    }
    // Workers write their checkpoints while the last calls end.
    if (scheduler_ != nullptr) {
      scheduler_->BeginDrain();
    }
    if (sweeps_ != nullptr) {
      sweeps_->Stop();
    }
    if (self_check_ != nullptr) {
      self_check_->Stop();
    }
    if (connections_ != nullptr) {
      connections_->End();
    }
    if (http_ != nullptr) {
      http_->BeginDrain();
    }
    if (server_ != nullptr) {
      calls_->Stop();
      inspections_->Stop();
      import_calls_->Stop();
      predictors_->Stop();
      datasets_->Stop();
      if (http_ != nullptr) {
        http_->WaitForCalls(absl::Seconds(2));
      }
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
      server_->Wait();
    }
    if (http_ != nullptr) {
      http_->Finish();
    }
    if (scheduler_ != nullptr) {
      scheduler_->Drain();
    }
    http_.reset();
    server_.reset();
    endpoint_.reset();
    self_check_.reset();
    connections_.reset();
    streams_.reset();
    sweep_streams_.reset();
    retention_.reset();  // which calls the predictors and the data sets
    histories_.reset();
    lists_.reset();
    reads_.reset();
    predictors_.reset();
    calls_.reset();
    inspections_.reset();
    import_calls_.reset();
    imports_.reset();
    scheduler_.reset();
    datasets_.reset();
    remover_.reset();
    writer_.reset();
    sweeps_.reset();  // which the writer's last answers still reach
    store_.reset();
  }

 private:
  // FAILED_PRECONDITION: others than this machine may come, and there is no way to know them.
  absl::Status MakeGate() {
    HONE_ASSIGN_OR_RETURN(tokens_, access::Tokens::Open(*store_, *writer_));
    HONE_ASSIGN_OR_RETURN(projects_, access::Projects::Open(*store_, *writer_));
    if (!config_.tls_clients.empty()) {
      absl::StatusOr<std::unique_ptr<access::Clients>> clients =
          access::Clients::Open(config_.tls_clients);
      HONE_RETURN_IF_ERROR(Annotate(clients.status(), "--tls-clients"));
      clients_ = *std::move(clients);
    }
    gate_ = std::make_unique<access::Gate>(
        access::GateOptions{.client_certificates = !config_.tls.client_ca.empty(),
                            .certificate_role = config_.tls_client_role,
                            .clients = clients_.get()},
        *tokens_, *projects_, registry_);
    if (is_open_to_others() && !config_.insecure_listen) {
      return absl::FailedPreconditionError(
          "--listen, --metrics-listen or --http-listen is not a loopback address, and clients have "
          "no way to say "
          "who they are; make a token for each (`honed token create`), name the authority of their "
          "certificates with --tls-client-ca, or say --insecure-listen if everybody who can reach "
          "this server may use it (a private network)");
    }
    return absl::OkStatus();
  }

  absl::Status AdmitReader(const metrics::Visitor& visitor) {
    const access::Credentials credentials = {.peer = visitor.peer,
                                             .authorization = visitor.authorization,
                                             .has_certificate = visitor.has_certificate,
                                             .certificate_name = visitor.certificate_name};
    return gate_->AdmitToAll(credentials, access::Role::kViewer).status();
  }

  metrics::EndpointOptions EndpointOptions() {
    metrics::EndpointOptions options{
        .address = config_.metrics_listen,
        .ready = [this] { return IsReady(); },
        .admit = [this](const metrics::Visitor& visitor) { return AdmitReader(visitor); }};
    if (certificates_ != nullptr) {
      options.tls = [this] { return certificates_->Now()->context; };
    }
    return options;
  }

  absl::Status Listen() {
    training_ = std::make_unique<TrainingService>(*deps_, *streams_);
    models_ = std::make_unique<ModelService>(*deps_);
    dataset_service_ = std::make_unique<DatasetService>(*deps_);
    sweep_service_ = std::make_unique<SweepService>(*deps_, *sweep_streams_);
    access_service_ = std::make_unique<AccessService>(*deps_);
    project_service_ = std::make_unique<ProjectService>(*deps_);
    absl::StatusOr<artifacts::ControlSocket> control =
        artifacts::ControlSocket::Make(config_.data_dir);
    if (control.ok()) {
      control_ = std::make_unique<artifacts::ControlSocket>(*std::move(control));
    } else {
      log::Warning("`honed token` cannot reach this server while it runs",
                   {{"error", control.status().message()}});
    }
    std::unordered_set<std::string> names(kServices.begin(), kServices.end());
    names.insert("");
    health_ = std::make_unique<Health>(std::move(names));
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    connections_ = std::make_unique<Connections>(
        LimitsFor(MostDescriptors()), config_.HasTls() ? Greeting::kTls : Greeting::kHttp2,
        builder.experimental().AddExternalConnectionAcceptor(
            grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
            certificates_ == nullptr ? grpc::InsecureServerCredentials()
                                     : TlsCredentials(*certificates_)),
        Connections::Hooks{.refused = [this] { registry_.Add(Metric::kConnectionsRefused, {}, 1); },
                           .lost = lost_});
    builder.RegisterService(training_.get());
    builder.RegisterService(models_.get());
    builder.RegisterService(dataset_service_.get());
    builder.RegisterService(sweep_service_.get());
    builder.RegisterService(access_service_.get());
    builder.RegisterService(project_service_.get());
    builder.RegisterService(health_.get());
    if (control_ != nullptr) {
      builder.AddListeningPort(control_->address(), grpc::InsecureServerCredentials());
    }
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(kMaxAnswerBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsOfConnection);
    SetTimes(builder);
    builder.SetResourceQuota(
        grpc::ResourceQuota("honed").Resize(kTransportBytes).SetMaxThreads(kReflectionThreads));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::InternalError("gRPC does not start");
    }
    HONE_RETURN_IF_ERROR(connections_->Begin(config_.listen));
    HONE_RETURN_IF_ERROR(ListenForHttp());
    return absl::OkStatus();
  }

  // The same calls by HTTP.
  absl::Status ListenForHttp() {
    if (config_.http_listen.empty()) {
      return absl::OkStatus();
    }
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
    const ConnectionLimits limits = HttpLimitsFor(MostDescriptors());
    http::ServerOptions options{
        .address = config_.http_listen,
        .on_loopback = IsLoopback(config_.http_listen),
        .channel = server_->InProcessChannel(arguments),
        .services = {kServices.begin(), kServices.end()},
        .is_open = [this] { return gate_->IsOpen(); },
        .most_open = limits.open.all,
        .most_waiting = limits.waiting,
        .refused = [this] { registry_.Add(Metric::kConnectionsRefused, {}, 1); },
        .lost = lost_};
    if (certificates_ != nullptr) {
      options.tls = [this] { return certificates_->Now()->context; };
    }
    HONE_ASSIGN_OR_RETURN(http_, http::Server::Start(std::move(options)));
    return absl::OkStatus();
  }

  bool IsReady() const { return ready_ && self_check_->answered(); }

  // The calls of a service begin at 0.
  void CountCallsOf(const char* service) {
    const google::protobuf::ServiceDescriptor* const descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    for (int i = 0; descriptor != nullptr && i < descriptor->method_count(); ++i) {
      registry_.Add(Metric::kRpcStarted, {descriptor->method(i)->name()}, 0);
    }
  }

  void OnEvent(const store::LoggedEvent& event) {
    if (event.event->has_started()) {
      engine_.Set(event.event->started().engine());
    }
    job_metrics_.OnEvent(event);
    tensorboard_.OnEvent(event);
    bus_.Publish(event);
    if (jobs::EndsJob(*event.event)) {
      sweeps_->Wake();
    }
  }

  store::Writer::Observer Observed() {
    return {.committed =
                [this](absl::Duration took) {
                  registry_.Observe(Metric::kStoreTransactionSeconds, {},
                                    absl::ToDoubleSeconds(took));
                },
            .failed = [this] { registry_.Add(Metric::kStoreErrors, {}, 1); },
            .refused = [this] { registry_.Add(Metric::kTasksRefused, {"store"}, 1); }};
  }

  // What is read when somebody asks.
  void Refresh(metrics::Registry& registry) {
    job_metrics_.Prune(absl::Now());
    registry.Set(Metric::kBuildInfo, {config::kVersion}, 1);
    registry.Set(Metric::kWorkerThreads, {}, scheduler_->running_threads());
    registry.Set(Metric::kCpuQuotaCores, {}, CpuQuotaCores());
    registry.Set(Metric::kCpuThrottledSeconds, {}, CpuThrottledSeconds());
    registry.Set(Metric::kStorageFreeBytes, {}, static_cast<double>(directory_->FreeBytes()));
    registry.Set(Metric::kWatchStreams, {},
                 static_cast<double>(streams_->size() + sweep_streams_->size()));
    if (ready_) {
      registry.Set(Metric::kConnections, {"open"}, static_cast<double>(connections_->open()));
      registry.Set(Metric::kConnections, {"waiting"}, static_cast<double>(connections_->waiting()));
    }
    registry.Add(Metric::kConnectionsRefused, {}, 0);
    registry.Set(
        Metric::kCertificateEnd, {},
        certificates_ == nullptr
            ? 0
            : absl::ToDoubleSeconds(certificates_->Now()->valid_until - absl::UnixEpoch()));
    RefreshQueues(registry);
    RefreshJobs(registry);
    RefreshProjects(registry);
    RefreshSweeps(registry);
    MeasureStorage();
  }

  void RefreshQueues(metrics::Registry& registry) {
    registry.Set(Metric::kTasksQueued, {"store"}, static_cast<double>(writer_->queued()));
    registry.Add(Metric::kTasksRefused, {"store"}, 0);
    for (const auto& [name, queue] :
         {std::pair("reads", std::cref(*reads_)), std::pair("histories", std::cref(*histories_)),
          std::pair("lists", std::cref(*lists_)),
          std::pair("datasets", std::cref(datasets_->executor())),
          std::pair("verifications", std::cref(datasets_->verifications())),
          std::pair("worker_calls", std::cref(calls_->executor())),
          std::pair("inspections", std::cref(inspections_->executor())),
          std::pair("imports", std::cref(import_calls_->executor())),
          std::pair("files", std::cref(scheduler_->files()))}) {
      registry.Set(Metric::kTasksQueued, {name}, static_cast<double>(queue.get().queued()));
      registry.Set(Metric::kTasksRefused, {name}, static_cast<double>(queue.get().refused()));
    }
    registry.Set(Metric::kTasksQueued, {"predictions"},
                 static_cast<double>(predictors_->waiting()));
  }

  // Every state of every task, so that none is missing where 0 is meant.
  void RefreshJobs(metrics::Registry& registry) {
    const auto counts = store_->Count();
    const auto oldest = store_->OldestQueued();
    if (!counts.ok() || !oldest.ok()) {
      return;
    }
    std::map<std::pair<std::string, std::string>, int64_t> jobs;
    for (const jobs::JobState state : jobs::kAllStates) {
      for (const std::string& task : jobs::AllTaskNames()) {
        jobs[{std::string(jobs::StateName(state)), task}] = 0;
      }
    }
    int64_t queued = 0;
    for (const store::JobCount& count : *counts) {
      jobs[{std::string(jobs::StateName(count.state)), count.task}] = count.jobs;
      queued += count.state == jobs::JobState::kQueued ? count.jobs : 0;
    }
    for (const auto& [labels, number] : jobs) {
      registry.Set(Metric::kJobs, {labels.first, labels.second}, static_cast<double>(number));
    }
    registry.Set(Metric::kQueueDepth, {}, static_cast<double>(queued));
    registry.Set(Metric::kQueueOldestAge, {},
                 oldest->has_value() ? absl::ToDoubleSeconds(absl::Now() - **oldest) : 0);
  }

  void RefreshProjects(metrics::Registry& registry) {
    const auto counts = store_->projects().Count();
    if (!counts.ok()) {
      return;
    }
    const std::lock_guard lock(projects_mutex_);
    // A project that has made room for others has no jobs, and is said so once more.
    for (const std::string& project : std::exchange(counted_projects_, {})) {
      registry.Set(Metric::kProjectJobs, {project, "QUEUED"}, 0);
      registry.Set(Metric::kProjectJobs, {project, "RUNNING"}, 0);
    }
    for (const store::ProjectJobs& count : *counts) {
      registry.Set(Metric::kProjectJobs, {count.project, "QUEUED"},
                   static_cast<double>(count.queued));
      registry.Set(Metric::kProjectJobs, {count.project, "RUNNING"},
                   static_cast<double>(count.running));
      counted_projects_.push_back(count.project);
    }
  }

  void RefreshSweeps(metrics::Registry& registry) {
    const auto counts = store_->sweeps().Count();
    if (!counts.ok()) {
      return;
    }
    for (int state = v1::Sweep::RUNNING; state <= v1::Sweep::State_MAX; ++state) {
      const auto count = std::ranges::find(*counts, static_cast<v1::Sweep::State>(state),
                                           &std::pair<v1::Sweep::State, int64_t>::first);
      registry.Set(Metric::kSweeps, {v1::Sweep::State_Name(static_cast<v1::Sweep::State>(state))},
                   count == counts->end() ? 0 : static_cast<double>(count->second));
    }
    for (const v1::Trial::State state : {v1::Trial::SUCCEEDED, v1::Trial::FAILED}) {
      registry.Add(Metric::kSweepTrials, {v1::Trial::State_Name(state)}, 0);
    }
  }

  // Not while somebody waits for the answer: the folder may hold many files.
  void MeasureStorage() {
    const int64_t now = absl::ToInt64Seconds(SteadyNow());
    if (now < measure_storage_at_) {
      return;
    }
    measure_storage_at_ = now + kStorageEverySeconds;
    reads_->Submit([this] {
      for (const auto& [part, bytes] : directory_->BytesByPart()) {
        registry_.Set(Metric::kStorageBytes, {part}, static_cast<double>(bytes));
      }
    });
  }

  const config::Config config_;
  const Lost lost_;
  metrics::Registry registry_;
  metrics::JobMetrics job_metrics_;
  metrics::TensorBoard tensorboard_{
      [this](const std::string& job_id) { return directory_->TensorBoardDirectory(job_id); },
      [this](const std::string& job_id, int attempt) {
        return directory_->AttemptDirectory(job_id, attempt);
      }};
  metrics::Bus bus_;
  PlanCache plans_;
  Transfers transfers_{config_.transfer_idle};
  ByteBudget budget_{kCallBytes};
  ByteBudget watch_budget_{kWatchBytes};
  LateRefusals late_refusals_;
  SharedText engine_;
  std::unique_ptr<tls::Certificates> certificates_;  // none: plain text
  std::unique_ptr<access::Tokens> tokens_;           // the writer tells it what is stored
  std::unique_ptr<access::Projects> projects_;       // the same
  std::unique_ptr<access::Clients> clients_;         // none: certificates' names are not told apart
  std::unique_ptr<access::Gate> gate_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<datasets::Validations> validations_;  // the writer tells it what is stored
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<sweeps::Driver> sweeps_;
  std::unique_ptr<removal::Remover> remover_;
  std::unique_ptr<datasets::Datasets> datasets_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<retention::Retention> retention_;
  std::unique_ptr<scheduler::WorkerCalls> calls_;
  std::unique_ptr<imports::Imports> imports_;
  std::unique_ptr<scheduler::WorkerCalls> inspections_;
  std::unique_ptr<scheduler::WorkerCalls> import_calls_;
  std::unique_ptr<predict::ModelCache> predictors_;
  std::unique_ptr<scheduler::Executor> reads_;
  std::unique_ptr<scheduler::Executor> histories_;
  std::unique_ptr<scheduler::Executor> lists_;
  std::unique_ptr<Deps> deps_;
  std::unique_ptr<WatchStreams> streams_;
  std::unique_ptr<SweepStreams> sweep_streams_;
  std::unique_ptr<metrics::HttpEndpoint> endpoint_;
  std::unique_ptr<TrainingService> training_;
  std::unique_ptr<ModelService> models_;
  std::unique_ptr<DatasetService> dataset_service_;
  std::unique_ptr<SweepService> sweep_service_;
  std::unique_ptr<AccessService> access_service_;
  std::unique_ptr<ProjectService> project_service_;
  std::unique_ptr<artifacts::ControlSocket> control_;  // as long as its server
  std::unique_ptr<Connections> connections_;
  std::unique_ptr<Health> health_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<SelfCheck> self_check_;
  std::atomic<int64_t> measure_storage_at_ = 0;  // seconds of SteadyNow()
  std::mutex projects_mutex_;
  std::vector<std::string>
      counted_projects_;  // whose jobs the metrics tell; guarded by projects_mutex_
  std::atomic<bool> ready_ = false;
  std::atomic<bool> stopping_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const config::Config& config, Lost lost) {
  auto server = std::make_unique<HonedServer>(config, std::move(lost));
  HONE_RETURN_IF_ERROR(server->Begin());
  return server;
}

}  // namespace hone::server::rpc
