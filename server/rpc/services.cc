#include "server/rpc/services.h"

#include "server/rpc/admit.h"
#include "server/rpc/calls.h"
#include "server/rpc/download_stream.h"
#include "server/rpc/generate_stream.h"
#include "server/rpc/unary.h"
#include "server/rpc/upload_stream.h"

namespace hone::server::rpc {

grpc::ServerUnaryReactor* TrainingService::CreateJob(grpc::CallbackServerContext* context,
                                                     const v1::CreateJobRequest* request,
                                                     v1::Job* reply) {
  return Unary(context, "CreateJob", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::CreateJob);
}

grpc::ServerUnaryReactor* TrainingService::GetJob(grpc::CallbackServerContext* context,
                                                  const v1::GetJobRequest* request,
                                                  v1::Job* reply) {
  return Unary(context, "GetJob", deps_, reply).Reads(*request).Now(*request, rpc::GetJob);
}

grpc::ServerUnaryReactor* TrainingService::ListJobs(grpc::CallbackServerContext* context,
                                                    const v1::ListJobsRequest* request,
                                                    v1::ListJobsResponse* reply) {
  return Unary(context, "ListJobs", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, *request, rpc::ListJobs);
}

grpc::ServerUnaryReactor* TrainingService::CancelJob(grpc::CallbackServerContext* context,
                                                     const v1::CancelJobRequest* request,
                                                     v1::Job* reply) {
  return Unary(context, "CancelJob", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::CancelJob);
}

grpc::ServerUnaryReactor* TrainingService::PauseJob(grpc::CallbackServerContext* context,
                                                    const v1::PauseJobRequest* request,
                                                    v1::Job* reply) {
  return Unary(context, "PauseJob", deps_, reply).Changes(*request).Later(*request, rpc::PauseJob);
}

grpc::ServerUnaryReactor* TrainingService::ResumeJob(grpc::CallbackServerContext* context,
                                                     const v1::ResumeJobRequest* request,
                                                     v1::Job* reply) {
  return Unary(context, "ResumeJob", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::ResumeJob);
}

grpc::ServerUnaryReactor* TrainingService::RetryJob(grpc::CallbackServerContext* context,
                                                    const v1::RetryJobRequest* request,
                                                    v1::Job* reply) {
  return Unary(context, "RetryJob", deps_, reply).Changes(*request).Later(*request, rpc::RetryJob);
}

grpc::ServerUnaryReactor* TrainingService::UpdateJob(grpc::CallbackServerContext* context,
                                                     const v1::UpdateJobRequest* request,
                                                     v1::Job* reply) {
  return Unary(context, "UpdateJob", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::UpdateJob);
}

grpc::ServerUnaryReactor* TrainingService::DeleteJob(grpc::CallbackServerContext* context,
                                                     const v1::DeleteJobRequest* request,
                                                     v1::DeleteJobResponse* reply) {
  return Unary(context, "DeleteJob", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::DeleteJob);
}

grpc::ServerUnaryReactor* TrainingService::GetMetricHistory(
    grpc::CallbackServerContext* context, const v1::GetMetricHistoryRequest* request,
    v1::MetricHistory* reply) {
  return Unary(context, "GetMetricHistory", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::MetricHistory> done) {
        rpc::GetMetricHistory(*request, TimeLeft(*context, kMostTime), deps_, std::move(done));
      });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* TrainingService::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  using Reactor = grpc::ServerWriteReactor<v1::WatchJobResponse>;
  return OpenFor<Reactor>(
      *context, "WatchJob", request->name(), deps_,
      [&](const access::Caller& caller) { return streams_.Open(*request, caller, deps_); });
}

grpc::ServerUnaryReactor* TrainingService::ListArtifacts(grpc::CallbackServerContext* context,
                                                         const v1::ListArtifactsRequest* request,
                                                         v1::ListArtifactsResponse* reply) {
  return Unary(context, "ListArtifacts", deps_, reply)
      .Reads(*request)
      .Later(*request, rpc::ListArtifacts);
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* TrainingService::DownloadArtifact(
    grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) {
  using Reactor = grpc::ServerWriteReactor<v1::DownloadArtifactResponse>;
  return OpenFor<Reactor>(
      *context, "DownloadArtifact", request->name(), deps_,
      [&](const access::Caller& caller) { return OpenDownload(context, *request, caller, deps_); });
}

grpc::ServerUnaryReactor* TrainingService::GetServerInfo(grpc::CallbackServerContext* context,
                                                         const v1::GetServerInfoRequest* request,
                                                         v1::ServerInfo* reply) {
  return Unary(context, "GetServerInfo", deps_, reply)
      .Reads(*request)
      .Now(*request, rpc::GetServerInfo);
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* reply) {
  return Unary(context, "ListModels", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, *request, rpc::ListModels);
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::Model* reply) {
  return Unary(context, "GetModel", deps_, reply).Reads(*request).Now(*request, rpc::GetModel);
}

grpc::ServerWriteReactor<v1::DownloadModelResponse>* ModelService::DownloadModel(
    grpc::CallbackServerContext* context, const v1::DownloadModelRequest* request) {
  using Reactor = grpc::ServerWriteReactor<v1::DownloadModelResponse>;
  return OpenFor<Reactor>(
      *context, "DownloadModel", request->name(), deps_,
      [&](const access::Caller& caller) { return OpenDownload(context, *request, caller, deps_); });
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(grpc::CallbackServerContext* context,
                                                    const v1::DeleteModelRequest* request,
                                                    v1::DeleteModelResponse* reply) {
  return Unary(context, "DeleteModel", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::DeleteModel);
}

grpc::ServerUnaryReactor* ModelService::UpdateModel(grpc::CallbackServerContext* context,
                                                    const v1::UpdateModelRequest* request,
                                                    v1::Model* reply) {
  return Unary(context, "UpdateModel", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::UpdateModel);
}

grpc::ServerUnaryReactor* ModelService::ImportModel(grpc::CallbackServerContext* context,
                                                    const v1::ImportModelRequest* request,
                                                    v1::Model* reply) {
  Unary call(context, "ImportModel", deps_, reply);
  return call.Changes(*request).Later(
      [&](Done<v1::Model> done) {
        rpc::ImportModel(*request, call.caller(), deps_, std::move(done));
      },
      deps_.config.import_call, imports::UnderWay(request->dataset()));
}

grpc::ServerUnaryReactor* ModelService::Predict(grpc::CallbackServerContext* context,
                                                const v1::PredictRequest* request,
                                                v1::PredictResponse* reply) {
  return Unary(context, "Predict", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::PredictResponse> done) {
        rpc::Predict(*request, TimeLeft(*context, kMostTime), deps_, std::move(done));
      });
}

grpc::ServerWriteReactor<v1::GenerateResponse>* ModelService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  using Reactor = grpc::ServerWriteReactor<v1::GenerateResponse>;
  return OpenFor<Reactor>(*context, "Generate", request->name(), deps_,
                          [&](const access::Caller& caller) {
                            return OpenGeneration(context, *request, caller, deps_);
                          });
}

grpc::ServerUnaryReactor* DatasetService::BeginUpload(grpc::CallbackServerContext* context,
                                                      const v1::BeginUploadRequest* request,
                                                      v1::BeginUploadResponse* reply) {
  return Unary(context, "BeginUpload", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::BeginUpload);
}

grpc::ServerReadReactor<v1::UploadDatasetRequest>* DatasetService::UploadDataset(
    grpc::CallbackServerContext* context, v1::Dataset* reply) {
  using Reactor = grpc::ServerReadReactor<v1::UploadDatasetRequest>;
  return OpenFor<Reactor>(*context, "UploadDataset", "", deps_, [&](const access::Caller& caller) {
    return OpenUpload(PeerOf(*context), caller, reply, deps_);
  });
}

grpc::ServerUnaryReactor* DatasetService::GetDataset(grpc::CallbackServerContext* context,
                                                     const v1::GetDatasetRequest* request,
                                                     v1::Dataset* reply) {
  return Unary(context, "GetDataset", deps_, reply).Reads(*request).Now(*request, rpc::GetDataset);
}

grpc::ServerUnaryReactor* DatasetService::ListDatasets(grpc::CallbackServerContext* context,
                                                       const v1::ListDatasetsRequest* request,
                                                       v1::ListDatasetsResponse* reply) {
  return Unary(context, "ListDatasets", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, *request, rpc::ListDatasets);
}

grpc::ServerUnaryReactor* DatasetService::DeleteDataset(grpc::CallbackServerContext* context,
                                                        const v1::DeleteDatasetRequest* request,
                                                        v1::DeleteDatasetResponse* reply) {
  return Unary(context, "DeleteDataset", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::DeleteDataset);
}

grpc::ServerUnaryReactor* DatasetService::ValidateDataset(grpc::CallbackServerContext* context,
                                                          const v1::ValidateDatasetRequest* request,
                                                          v1::DatasetValidation* reply) {
  return Unary(context, "ValidateDataset", deps_, reply)
      .Reads(*request)
      .Now(*request, rpc::ValidateDataset);
}

grpc::ServerUnaryReactor* DatasetService::GetDatasetValidation(
    grpc::CallbackServerContext* context, const v1::GetDatasetValidationRequest* request,
    v1::DatasetValidation* reply) {
  return Unary(context, "GetDatasetValidation", deps_, reply)
      .Reads(*request)
      .Now(*request, rpc::GetDatasetValidation);
}

grpc::ServerUnaryReactor* SweepService::CreateSweep(grpc::CallbackServerContext* context,
                                                    const v1::CreateSweepRequest* request,
                                                    v1::Sweep* reply) {
  return Unary(context, "CreateSweep", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::CreateSweep);
}

grpc::ServerUnaryReactor* SweepService::GetSweep(grpc::CallbackServerContext* context,
                                                 const v1::GetSweepRequest* request,
                                                 v1::Sweep* reply) {
  return Unary(context, "GetSweep", deps_, reply).Reads(*request).Later(*request, rpc::GetSweep);
}

grpc::ServerUnaryReactor* SweepService::ListSweeps(grpc::CallbackServerContext* context,
                                                   const v1::ListSweepsRequest* request,
                                                   v1::ListSweepsResponse* reply) {
  return Unary(context, "ListSweeps", deps_, reply).Reads(*request).Now(*request, rpc::ListSweeps);
}

grpc::ServerUnaryReactor* SweepService::CancelSweep(grpc::CallbackServerContext* context,
                                                    const v1::CancelSweepRequest* request,
                                                    v1::Sweep* reply) {
  return Unary(context, "CancelSweep", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::CancelSweep);
}

grpc::ServerUnaryReactor* SweepService::DeleteSweep(grpc::CallbackServerContext* context,
                                                    const v1::DeleteSweepRequest* request,
                                                    v1::DeleteSweepResponse* reply) {
  return Unary(context, "DeleteSweep", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::DeleteSweep);
}

grpc::ServerWriteReactor<v1::WatchSweepResponse>* SweepService::WatchSweep(
    grpc::CallbackServerContext* context, const v1::WatchSweepRequest* request) {
  using Reactor = grpc::ServerWriteReactor<v1::WatchSweepResponse>;
  return OpenFor<Reactor>(
      *context, "WatchSweep", request->name(), deps_,
      [&](const access::Caller& caller) { return streams_.Open(*request, caller); });
}

grpc::ServerUnaryReactor* AccessService::CreateToken(grpc::CallbackServerContext* context,
                                                     const v1::CreateTokenRequest* request,
                                                     v1::CreateTokenResponse* reply) {
  return Unary(context, "CreateToken", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::CreateToken);
}

grpc::ServerUnaryReactor* AccessService::ListTokens(grpc::CallbackServerContext* context,
                                                    const v1::ListTokensRequest* request,
                                                    v1::ListTokensResponse* reply) {
  return Unary(context, "ListTokens", deps_, reply).Reads(*request).Now(*request, rpc::ListTokens);
}

grpc::ServerUnaryReactor* AccessService::RevokeToken(grpc::CallbackServerContext* context,
                                                     const v1::RevokeTokenRequest* request,
                                                     v1::Token* reply) {
  return Unary(context, "RevokeToken", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::RevokeToken);
}

grpc::ServerUnaryReactor* ProjectService::ListProjects(grpc::CallbackServerContext* context,
                                                       const v1::ListProjectsRequest* request,
                                                       v1::ListProjectsResponse* reply) {
  return Unary(context, "ListProjects", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, *request, rpc::ListProjects);
}

grpc::ServerUnaryReactor* ProjectService::GetProject(grpc::CallbackServerContext* context,
                                                     const v1::GetProjectRequest* request,
                                                     v1::Project* reply) {
  return Unary(context, "GetProject", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, *request, rpc::GetProject);
}

grpc::ServerUnaryReactor* ProjectService::UpdateProject(grpc::CallbackServerContext* context,
                                                        const v1::UpdateProjectRequest* request,
                                                        v1::Project* reply) {
  return Unary(context, "UpdateProject", deps_, reply)
      .Changes(*request)
      .Later(*request, rpc::UpdateProject);
}

}  // namespace hone::server::rpc
