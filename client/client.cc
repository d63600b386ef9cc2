#include "client/client.h"

#include <google/protobuf/any.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/errors.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "hone/v1/model_service.grpc.pb.h"
#include "hone/v1/project.grpc.pb.h"
#include "hone/v1/sweep.grpc.pb.h"
#include "hone/v1/training_service.grpc.pb.h"

namespace hone::client {
namespace {

constexpr int kDefaultPort = 50051;
constexpr absl::Duration kImportDeadline = absl::Seconds(660);  // the server's own is shorter
// For which a call is tried again while the server says that it is too busy.
constexpr absl::Duration kMostRetrying = absl::Seconds(30);
// Of one wait for the connection, so that a clock that is set does no harm.
constexpr absl::Duration kLongestWait = absl::Milliseconds(100);
// A job of a thousand classes has a confusion matrix of a million counts.
constexpr int kMaxMessageBytes = 64 << 20;
constexpr int64_t kMaxPemBytes = int64_t{1} << 20;

// gRPC's codes are absl's. The wrong fields of a BadRequest are added where the message does not
// name them. A server's answer always has details, an error of gRPC itself never.
absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) {
    return LineError(code, status.error_message());
  }
  std::string message = status.error_message();
  std::optional<std::string> retry, info;
  for (const google::protobuf::Any& any : details.details()) {
    if (any.type_url() == kRetryInfoUrl) {
      retry = any.value();
    }
    if (any.type_url() == kErrorInfoUrl) {
      info = any.value();
    }
    google::rpc::BadRequest bad;
    if (!any.UnpackTo(&bad)) {
      continue;
    }
    for (const auto& violation : bad.field_violations()) {
      if (!absl::StrContains(message, violation.description())) {
        absl::StrAppend(&message, "\n", violation.field(), ": ", violation.description());
      }
    }
  }
  absl::Status answer(code, message);
  if (retry) {
    answer.SetPayload(kRetryInfoUrl, absl::Cord(*retry));
  }
  if (info) {
    answer.SetPayload(kErrorInfoUrl, absl::Cord(*info));
  }
  return answer;
}

template <typename Response>
class GrpcServerStream final : public ServerStream<Response> {
 public:
  // `open` calls the stub's method.
  template <typename Open>
  explicit GrpcServerStream(const Open& open) : reader_(open(&context_)) {}
  bool Next(Response& response) override { return reader_->Read(&response); }
  absl::Status Finish() override { return ToAbsl(reader_->Finish()); }
  void Cancel() override { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Response>> reader_;
};

class GrpcClient final : public Client {
 public:
  GrpcClient(const std::shared_ptr<grpc::Channel>& channel, const Access& access)
      : channel_(channel),
        access_(access),
        training_(v1::TrainingService::NewStub(channel)),
        models_(v1::ModelService::NewStub(channel)),
        datasets_(v1::DatasetService::NewStub(channel)),
        sweeps_(v1::SweepService::NewStub(channel)),
        projects_(v1::ProjectService::NewStub(channel)) {}

  void Wait(absl::Duration time) override {
    const absl::Duration until = SteadyNow() + time;
    while (SteadyNow() < until) {
      const absl::Duration piece = std::min(until - SteadyNow(), kLongestWait);
      if (channel_->WaitForConnected(std::chrono::system_clock::now() +
                                     absl::ToChronoMicroseconds(piece))) {
        absl::SleepFor(until - SteadyNow());
      }
    }
  }

  absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::CreateJob, request);
  }
  absl::StatusOr<v1::Job> GetJob(const std::string& name) override {
    v1::GetJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::GetJob, request);
  }
  absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request) override {
    return Call<v1::ListJobsResponse>(*training_, &v1::TrainingService::Stub::ListJobs, request);
  }
  absl::StatusOr<v1::Job> CancelJob(const std::string& name) override {
    v1::CancelJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::CancelJob, request);
  }
  absl::StatusOr<v1::Job> PauseJob(const std::string& name) override {
    v1::PauseJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::PauseJob, request);
  }
  absl::StatusOr<v1::Job> ResumeJob(const std::string& name) override {
    v1::ResumeJobRequest request;
    request.set_name(name);
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::ResumeJob, request);
  }
  absl::StatusOr<v1::Job> RetryJob(const v1::RetryJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::RetryJob, request);
  }
  absl::StatusOr<v1::Job> UpdateJob(const v1::UpdateJobRequest& request) override {
    return Call<v1::Job>(*training_, &v1::TrainingService::Stub::UpdateJob, request);
  }
  absl::Status DeleteJob(const std::string& name) override {
    v1::DeleteJobRequest request;
    request.set_name(name);
    return Call<v1::DeleteJobResponse>(*training_, &v1::TrainingService::Stub::DeleteJob, request)
        .status();
  }
  absl::StatusOr<v1::MetricHistory> GetMetricHistory(
      const v1::GetMetricHistoryRequest& request) override {
    return Call<v1::MetricHistory>(*training_, &v1::TrainingService::Stub::GetMetricHistory,
                                   request);
  }
  std::unique_ptr<WatchStream> WatchJob(const v1::WatchJobRequest& request) override {
    return std::make_unique<GrpcServerStream<v1::WatchJobResponse>>(
        [&](grpc::ClientContext* context) {
          SayWho(*context);
          return training_->WatchJob(context, request);
        });
  }
  absl::StatusOr<v1::ServerInfo> GetServerInfo() override {
    return Call<v1::ServerInfo>(*training_, &v1::TrainingService::Stub::GetServerInfo,
                                v1::GetServerInfoRequest());
  }
  absl::StatusOr<v1::ListModelsResponse> ListModels(const v1::ListModelsRequest& request) override {
    return Call<v1::ListModelsResponse>(*models_, &v1::ModelService::Stub::ListModels, request);
  }
  absl::StatusOr<v1::Model> GetModel(const std::string& name) override {
    v1::GetModelRequest request;
    request.set_name(name);
    return Call<v1::Model>(*models_, &v1::ModelService::Stub::GetModel, request);
  }
  absl::Status DeleteModel(const std::string& name) override {
    v1::DeleteModelRequest request;
    request.set_name(name);
    return Call<v1::DeleteModelResponse>(*models_, &v1::ModelService::Stub::DeleteModel, request)
        .status();
  }
  absl::StatusOr<v1::Model> UpdateModel(const v1::UpdateModelRequest& request) override {
    return Call<v1::Model>(*models_, &v1::ModelService::Stub::UpdateModel, request);
  }
  absl::StatusOr<v1::Model> ImportModel(const v1::ImportModelRequest& request) override {
    return Call<v1::Model>(*models_, &v1::ModelService::Stub::ImportModel, request,
                           kImportDeadline);
  }
  absl::StatusOr<v1::PredictResponse> Predict(const v1::PredictRequest& request) override {
    return Call<v1::PredictResponse>(*models_, &v1::ModelService::Stub::Predict, request);
  }

  absl::Status Generate(
      const v1::GenerateRequest& request,
      const std::function<absl::Status(const v1::GenerateResponse&)>& sink) override {
    grpc::ClientContext context;
    SayWho(context);
    return Pour(*models_->Generate(&context, request), context, sink);
  }

  absl::Status DownloadModel(
      const std::string& name,
      const std::function<absl::Status(const v1::DownloadModelResponse&)>& sink) override {
    grpc::ClientContext context;
    SayWho(context);
    v1::DownloadModelRequest request;
    request.set_name(name);
    return Pour(*models_->DownloadModel(&context, request), context, sink);
  }

  absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(
      const v1::ListArtifactsRequest& request) override {
    return Call<v1::ListArtifactsResponse>(*training_, &v1::TrainingService::Stub::ListArtifacts,
                                           request);
  }
  absl::Status DownloadArtifact(
      const v1::DownloadArtifactRequest& request,
      const std::function<absl::Status(const v1::DownloadArtifactResponse&)>& sink) override {
    grpc::ClientContext context;
    SayWho(context);
    return Pour(*training_->DownloadArtifact(&context, request), context, sink);
  }

  absl::StatusOr<v1::BeginUploadResponse> BeginUpload(const v1::UploadHeader& header) override {
    v1::BeginUploadRequest request;
    *request.mutable_header() = header;
    return Call<v1::BeginUploadResponse>(*datasets_, &v1::DatasetService::Stub::BeginUpload,
                                         request);
  }
  absl::StatusOr<v1::Dataset> UploadDataset(
      const v1::UploadHeader& header,
      const std::function<absl::Status(std::string& chunk)>& next) override {
    grpc::ClientContext context;
    SayWho(context);
    v1::Dataset dataset;
    const auto writer = datasets_->UploadDataset(&context, &dataset);
    v1::UploadDatasetRequest message;
    *message.mutable_header() = header;
    absl::Status refused;
    // A write fails when the server has ended the stream: Finish then says why.
    while (writer->Write(message)) {
      message.mutable_chunk()->clear();
      refused = next(*message.mutable_chunk());
      if (!refused.ok() || message.chunk().empty()) {
        break;
      }
    }
    if (refused.ok()) {
      writer->WritesDone();
    } else {
      context.TryCancel();
    }
    const grpc::Status end = writer->Finish();
    if (!refused.ok()) {
      return refused;
    }
    if (!end.ok()) {
      return ToAbsl(end);
    }
    return dataset;
  }
  absl::StatusOr<v1::Dataset> GetDataset(const std::string& name) override {
    v1::GetDatasetRequest request;
    request.set_name(name);
    return Call<v1::Dataset>(*datasets_, &v1::DatasetService::Stub::GetDataset, request);
  }
  absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(
      const v1::ListDatasetsRequest& request) override {
    return Call<v1::ListDatasetsResponse>(*datasets_, &v1::DatasetService::Stub::ListDatasets,
                                          request);
  }
  absl::Status DeleteDataset(const std::string& name, bool force) override {
    v1::DeleteDatasetRequest request;
    request.set_name(name);
    request.set_force(force);
    return Call<v1::DeleteDatasetResponse>(*datasets_, &v1::DatasetService::Stub::DeleteDataset,
                                           request)
        .status();
  }
  absl::StatusOr<v1::DatasetValidation> ValidateDataset(const std::string& name,
                                                        int rows) override {
    v1::ValidateDatasetRequest request;
    request.set_name(name);
    request.set_rows(rows);
    return Call<v1::DatasetValidation>(*datasets_, &v1::DatasetService::Stub::ValidateDataset,
                                       request);
  }
  absl::StatusOr<v1::DatasetValidation> GetDatasetValidation(const std::string& name,
                                                             int rows) override {
    v1::GetDatasetValidationRequest request;
    request.set_name(name);
    request.set_rows(rows);
    return Call<v1::DatasetValidation>(*datasets_, &v1::DatasetService::Stub::GetDatasetValidation,
                                       request);
  }

  absl::StatusOr<v1::Sweep> CreateSweep(const v1::CreateSweepRequest& request) override {
    return Call<v1::Sweep>(*sweeps_, &v1::SweepService::Stub::CreateSweep, request);
  }
  absl::StatusOr<v1::Sweep> GetSweep(const std::string& name) override {
    v1::GetSweepRequest request;
    request.set_name(name);
    return Call<v1::Sweep>(*sweeps_, &v1::SweepService::Stub::GetSweep, request);
  }
  absl::StatusOr<v1::ListSweepsResponse> ListSweeps(const v1::ListSweepsRequest& request) override {
    return Call<v1::ListSweepsResponse>(*sweeps_, &v1::SweepService::Stub::ListSweeps, request);
  }
  absl::StatusOr<v1::Sweep> CancelSweep(const std::string& name) override {
    v1::CancelSweepRequest request;
    request.set_name(name);
    return Call<v1::Sweep>(*sweeps_, &v1::SweepService::Stub::CancelSweep, request);
  }
  absl::Status DeleteSweep(const std::string& name) override {
    v1::DeleteSweepRequest request;
    request.set_name(name);
    return Call<v1::DeleteSweepResponse>(*sweeps_, &v1::SweepService::Stub::DeleteSweep, request)
        .status();
  }
  std::unique_ptr<SweepWatchStream> WatchSweep(const std::string& name) override {
    v1::WatchSweepRequest request;
    request.set_name(name);
    return std::make_unique<GrpcServerStream<v1::WatchSweepResponse>>(
        [&](grpc::ClientContext* context) {
          SayWho(*context);
          return sweeps_->WatchSweep(context, request);
        });
  }

  absl::StatusOr<v1::ListProjectsResponse> ListProjects() override {
    return Call<v1::ListProjectsResponse>(*projects_, &v1::ProjectService::Stub::ListProjects,
                                          v1::ListProjectsRequest());
  }
  absl::StatusOr<v1::Project> GetProject(const std::string& name) override {
    v1::GetProjectRequest request;
    request.set_name(name);
    return Call<v1::Project>(*projects_, &v1::ProjectService::Stub::GetProject, request);
  }
  absl::StatusOr<v1::Project> UpdateProject(const v1::UpdateProjectRequest& request) override {
    return Call<v1::Project>(*projects_, &v1::ProjectService::Stub::UpdateProject, request);
  }

 private:
  // Every chunk of a stream into `sink`, until that refuses one.
  template <typename Chunk>
  static absl::Status Pour(grpc::ClientReader<Chunk>& reader, grpc::ClientContext& context,
                           const std::function<absl::Status(const Chunk&)>& sink) {
    Chunk chunk;
    absl::Status refused;
    while (refused.ok() && reader.Read(&chunk)) {
      refused = sink(chunk);
    }
    if (!refused.ok()) {
      context.TryCancel();
    }
    const grpc::Status end = reader.Finish();
    return refused.ok() ? ToAbsl(end) : refused;
  }

  // A server that is too busy says when to come again.
  template <typename Response, typename Stub, typename Method, typename Request>
  absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request) {
    return Call<Response>(stub, method, request, access_.patience);
  }
  template <typename Response, typename Stub, typename Method, typename Request>
  absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request,
                                absl::Duration deadline) {
    const absl::Duration give_up = SteadyNow() + std::min(deadline, kMostRetrying);
    for (;;) {
      grpc::ClientContext context;
      SayWho(context);
      context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(deadline));
      Response response;
      const grpc::Status status = (stub.*method)(&context, request, &response);
      if (status.ok()) {
        return response;
      }
      const absl::Status error = ToAbsl(status);
      const std::optional<absl::Duration> delay = RetryDelay(error);
      if (!delay.has_value() || SteadyNow() + *delay > give_up) {
        return error;
      }
      Wait(*delay);
    }
  }

  // Before each call.
  void SayWho(grpc::ClientContext& context) const {
    if (!access_.token.empty()) {
      context.AddMetadata("authorization", absl::StrCat("Bearer ", access_.token));
    }
    if (!access_.project.empty()) {
      context.AddMetadata("hone-project", access_.project);
    }
    if (!access_.traceparent.empty()) {
      context.AddMetadata("traceparent", access_.traceparent);
    }
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const Access access_;
  const std::unique_ptr<v1::TrainingService::Stub> training_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::DatasetService::Stub> datasets_;
  const std::unique_ptr<v1::SweepService::Stub> sweeps_;
  const std::unique_ptr<v1::ProjectService::Stub> projects_;
};

// Without a file of authorities gRPC takes the system's.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(const Access& access) {
  if (!access.tls) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  for (const auto& [path, text] : {std::pair(access.ca_file, &options.pem_root_certs),
                                   std::pair(access.certificate_file, &options.pem_cert_chain),
                                   std::pair(access.key_file, &options.pem_private_key)}) {
    if (!path.empty()) {
      HONE_ASSIGN_OR_RETURN(*text, ReadFile(path, kMaxPemBytes));
      // gRPC would only say that no connection can be made.
      if (!absl::StrContains(*text, "-----BEGIN ")) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": must be in PEM form"));
      }
    }
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::For(const Access& access) {
  HONE_RETURN_IF_ERROR(Check(access));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // gRPC would wait for up to two minutes before it looks again for a server that was away.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A stream has no deadline: a server that is gone without a word is noticed by its silence.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  if (!access.tls && !access.token.empty()) {
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // which would read the token
  }
  HONE_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                        CredentialsOf(access));
  const std::string& address = access.address;
  return std::make_unique<GrpcClient>(
      grpc::CreateCustomChannel(
          absl::StrContains(address, ':') ? address : absl::StrCat(address, ":", kDefaultPort),
          credentials, arguments),
      access);
}

std::unique_ptr<Client> Client::ForServer(const std::string& address) {
  return *For({.address = address});
}

}  // namespace hone::client
