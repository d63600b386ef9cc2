#pragma once

#include <memory>

#include "hone/v1/access.grpc.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "hone/v1/model_service.grpc.pb.h"
#include "hone/v1/project.grpc.pb.h"
#include "hone/v1/sweep.grpc.pb.h"
#include "hone/v1/training_service.grpc.pb.h"
#include "server/rpc/deps.h"
#include "server/rpc/sweep_streams.h"
#include "server/rpc/watch_streams.h"

namespace hone::server::rpc {

// Bind each call to its plain function in one line. `deps` and `streams` outlive the server.
class TrainingService final : public v1::TrainingService::CallbackService {
 public:
  TrainingService(Deps& deps, WatchStreams& streams) : deps_(deps), streams_(streams) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* reply) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* PauseJob(grpc::CallbackServerContext* context,
                                     const v1::PauseJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context,
                                      const v1::ResumeJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* RetryJob(grpc::CallbackServerContext* context,
                                     const v1::RetryJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* UpdateJob(grpc::CallbackServerContext* context,
                                      const v1::UpdateJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context,
                                      const v1::DeleteJobRequest* request,
                                      v1::DeleteJobResponse* reply) override;
  grpc::ServerUnaryReactor* GetMetricHistory(grpc::CallbackServerContext* context,
                                             const v1::GetMetricHistoryRequest* request,
                                             v1::MetricHistory* reply) override;
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) override;
  grpc::ServerUnaryReactor* ListArtifacts(grpc::CallbackServerContext* context,
                                          const v1::ListArtifactsRequest* request,
                                          v1::ListArtifactsResponse* reply) override;
  grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* DownloadArtifact(
      grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::ServerInfo* reply) override;

 private:
  Deps& deps_;
  WatchStreams& streams_;
};

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(Deps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* reply) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request, v1::Model* reply) override;
  grpc::ServerWriteReactor<v1::DownloadModelResponse>* DownloadModel(
      grpc::CallbackServerContext* context, const v1::DownloadModelRequest* request) override;
  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* context,
                                        const v1::DeleteModelRequest* request,
                                        v1::DeleteModelResponse* reply) override;
  grpc::ServerUnaryReactor* UpdateModel(grpc::CallbackServerContext* context,
                                        const v1::UpdateModelRequest* request,
                                        v1::Model* reply) override;
  grpc::ServerUnaryReactor* ImportModel(grpc::CallbackServerContext* context,
                                        const v1::ImportModelRequest* request,
                                        v1::Model* reply) override;
  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* reply) override;
  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;

 private:
  Deps& deps_;
};

class DatasetService final : public v1::DatasetService::CallbackService {
 public:
  explicit DatasetService(Deps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* BeginUpload(grpc::CallbackServerContext* context,
                                        const v1::BeginUploadRequest* request,
                                        v1::BeginUploadResponse* reply) override;
  grpc::ServerReadReactor<v1::UploadDatasetRequest>* UploadDataset(
      grpc::CallbackServerContext* context, v1::Dataset* reply) override;
  grpc::ServerUnaryReactor* GetDataset(grpc::CallbackServerContext* context,
                                       const v1::GetDatasetRequest* request,
                                       v1::Dataset* reply) override;
  grpc::ServerUnaryReactor* ListDatasets(grpc::CallbackServerContext* context,
                                         const v1::ListDatasetsRequest* request,
                                         v1::ListDatasetsResponse* reply) override;
  grpc::ServerUnaryReactor* DeleteDataset(grpc::CallbackServerContext* context,
                                          const v1::DeleteDatasetRequest* request,
                                          v1::DeleteDatasetResponse* reply) override;
  grpc::ServerUnaryReactor* ValidateDataset(grpc::CallbackServerContext* context,
                                            const v1::ValidateDatasetRequest* request,
                                            v1::DatasetValidation* reply) override;
  grpc::ServerUnaryReactor* GetDatasetValidation(grpc::CallbackServerContext* context,
                                                 const v1::GetDatasetValidationRequest* request,
                                                 v1::DatasetValidation* reply) override;

 private:
  Deps& deps_;
};

class SweepService final : public v1::SweepService::CallbackService {
 public:
  SweepService(Deps& deps, SweepStreams& streams) : deps_(deps), streams_(streams) {}

  grpc::ServerUnaryReactor* CreateSweep(grpc::CallbackServerContext* context,
                                        const v1::CreateSweepRequest* request,
                                        v1::Sweep* reply) override;
  grpc::ServerUnaryReactor* GetSweep(grpc::CallbackServerContext* context,
                                     const v1::GetSweepRequest* request, v1::Sweep* reply) override;
  grpc::ServerUnaryReactor* ListSweeps(grpc::CallbackServerContext* context,
                                       const v1::ListSweepsRequest* request,
                                       v1::ListSweepsResponse* reply) override;
  grpc::ServerUnaryReactor* CancelSweep(grpc::CallbackServerContext* context,
                                        const v1::CancelSweepRequest* request,
                                        v1::Sweep* reply) override;
  grpc::ServerUnaryReactor* DeleteSweep(grpc::CallbackServerContext* context,
                                        const v1::DeleteSweepRequest* request,
                                        v1::DeleteSweepResponse* reply) override;
  grpc::ServerWriteReactor<v1::WatchSweepResponse>* WatchSweep(
      grpc::CallbackServerContext* context, const v1::WatchSweepRequest* request) override;

 private:
  Deps& deps_;
  SweepStreams& streams_;
};

class ProjectService final : public v1::ProjectService::CallbackService {
 public:
  explicit ProjectService(Deps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* ListProjects(grpc::CallbackServerContext* context,
                                         const v1::ListProjectsRequest* request,
                                         v1::ListProjectsResponse* reply) override;
  grpc::ServerUnaryReactor* GetProject(grpc::CallbackServerContext* context,
                                       const v1::GetProjectRequest* request,
                                       v1::Project* reply) override;
  grpc::ServerUnaryReactor* UpdateProject(grpc::CallbackServerContext* context,
                                          const v1::UpdateProjectRequest* request,
                                          v1::Project* reply) override;

 private:
  Deps& deps_;
};

class AccessService final : public v1::AccessService::CallbackService {
 public:
  explicit AccessService(Deps& deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context,
                                        const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* reply) override;
  grpc::ServerUnaryReactor* ListTokens(grpc::CallbackServerContext* context,
                                       const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* reply) override;
  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* context,
                                        const v1::RevokeTokenRequest* request,
                                        v1::Token* reply) override;

 private:
  Deps& deps_;
};

}  // namespace hone::server::rpc
