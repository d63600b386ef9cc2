#include "server/rpc/services.h"

#include "server/rpc/calls.h"
#include "server/rpc/download_stream.h"
#include "server/rpc/generate_stream.h"
#include "server/rpc/unary.h"
#include "server/rpc/upload_stream.h"

namespace hone::server::rpc {

grpc::ServerUnaryReactor* TrainingService::CreateJob(grpc::CallbackServerContext* context,
                                                     const v1::CreateJobRequest* request,
                                                     v1::Job* reply) {
  return Unary<v1::Job>(context, "CreateJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::CreateJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::GetJob(grpc::CallbackServerContext* context,
                                                  const v1::GetJobRequest* request,
                                                  v1::Job* reply) {
  return Unary<v1::Job>(context, "GetJob", deps_, reply).Reads(*request).Now([&] {
    return rpc::GetJob(*request, deps_);
  });
}

grpc::ServerUnaryReactor* TrainingService::ListJobs(grpc::CallbackServerContext* context,
                                                    const v1::ListJobsRequest* request,
                                                    v1::ListJobsResponse* reply) {
  return Unary<v1::ListJobsResponse>(context, "ListJobs", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, [this, asked = *request] { return rpc::ListJobs(asked, deps_); });
}

grpc::ServerUnaryReactor* TrainingService::CancelJob(grpc::CallbackServerContext* context,
                                                     const v1::CancelJobRequest* request,
                                                     v1::Job* reply) {
  return Unary<v1::Job>(context, "CancelJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::CancelJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::PauseJob(grpc::CallbackServerContext* context,
                                                    const v1::PauseJobRequest* request,
                                                    v1::Job* reply) {
  return Unary<v1::Job>(context, "PauseJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::PauseJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::ResumeJob(grpc::CallbackServerContext* context,
                                                     const v1::ResumeJobRequest* request,
                                                     v1::Job* reply) {
  return Unary<v1::Job>(context, "ResumeJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::ResumeJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::RetryJob(grpc::CallbackServerContext* context,
                                                    const v1::RetryJobRequest* request,
                                                    v1::Job* reply) {
  return Unary<v1::Job>(context, "RetryJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::RetryJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::UpdateJob(grpc::CallbackServerContext* context,
                                                     const v1::UpdateJobRequest* request,
                                                     v1::Job* reply) {
  return Unary<v1::Job>(context, "UpdateJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Job> done) { rpc::UpdateJob(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* TrainingService::DeleteJob(grpc::CallbackServerContext* context,
                                                     const v1::DeleteJobRequest* request,
                                                     v1::DeleteJobResponse* reply) {
  return Unary<v1::DeleteJobResponse>(context, "DeleteJob", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::DeleteJobResponse> done) {
        rpc::DeleteJob(*request, deps_, std::move(done));
      });
}

grpc::ServerUnaryReactor* TrainingService::GetMetricHistory(
    grpc::CallbackServerContext* context, const v1::GetMetricHistoryRequest* request,
    v1::MetricHistory* reply) {
  return Unary<v1::MetricHistory>(context, "GetMetricHistory", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::MetricHistory> done) {
        rpc::GetMetricHistory(*request, TimeLeft(*context, kMostTime), deps_, std::move(done));
      });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* TrainingService::WatchJob(
    grpc::CallbackServerContext*, const v1::WatchJobRequest* request) {
  return streams_.Open(*request, deps_);
}

grpc::ServerUnaryReactor* TrainingService::ListArtifacts(grpc::CallbackServerContext* context,
                                                         const v1::ListArtifactsRequest* request,
                                                         v1::ListArtifactsResponse* reply) {
  return Unary<v1::ListArtifactsResponse>(context, "ListArtifacts", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::ListArtifactsResponse> done) {
        rpc::ListArtifacts(*request, deps_, std::move(done));
      });
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* TrainingService::DownloadArtifact(
    grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) {
  return OpenDownload(context, *request, deps_);
}

grpc::ServerUnaryReactor* TrainingService::GetServerInfo(grpc::CallbackServerContext* context,
                                                         const v1::GetServerInfoRequest* request,
                                                         v1::ServerInfo* reply) {
  return Unary<v1::ServerInfo>(context, "GetServerInfo", deps_, reply).Reads(*request).Now([&] {
    return rpc::GetServerInfo(*request, deps_);
  });
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* reply) {
  return Unary<v1::ListModelsResponse>(context, "ListModels", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, [this, asked = *request] { return rpc::ListModels(asked, deps_); });
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::Model* reply) {
  return Unary<v1::Model>(context, "GetModel", deps_, reply).Reads(*request).Now([&] {
    return rpc::GetModel(*request, deps_);
  });
}

grpc::ServerWriteReactor<v1::DownloadModelResponse>* ModelService::DownloadModel(
    grpc::CallbackServerContext* context, const v1::DownloadModelRequest* request) {
  return OpenDownload(context, *request, deps_);
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(grpc::CallbackServerContext* context,
                                                    const v1::DeleteModelRequest* request,
                                                    v1::DeleteModelResponse* reply) {
  return Unary<v1::DeleteModelResponse>(context, "DeleteModel", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::DeleteModelResponse> done) {
        rpc::DeleteModel(*request, deps_, std::move(done));
      });
}

grpc::ServerUnaryReactor* ModelService::UpdateModel(grpc::CallbackServerContext* context,
                                                    const v1::UpdateModelRequest* request,
                                                    v1::Model* reply) {
  return Unary<v1::Model>(context, "UpdateModel", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Model> done) { rpc::UpdateModel(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* ModelService::Predict(grpc::CallbackServerContext* context,
                                                const v1::PredictRequest* request,
                                                v1::PredictResponse* reply) {
  return Unary<v1::PredictResponse>(context, "Predict", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::PredictResponse> done) {
        rpc::Predict(*request, TimeLeft(*context, kMostTime), deps_, std::move(done));
      });
}

grpc::ServerWriteReactor<v1::GenerateResponse>* ModelService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return OpenGeneration(context, *request, deps_);
}

grpc::ServerUnaryReactor* DatasetService::BeginUpload(grpc::CallbackServerContext* context,
                                                      const v1::BeginUploadRequest* request,
                                                      v1::BeginUploadResponse* reply) {
  return Unary<v1::BeginUploadResponse>(context, "BeginUpload", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::BeginUploadResponse> done) {
        rpc::BeginUpload(*request, deps_, std::move(done));
      });
}

grpc::ServerReadReactor<v1::UploadDatasetRequest>* DatasetService::UploadDataset(
    grpc::CallbackServerContext* context, v1::Dataset* reply) {
  return OpenUpload(context->peer(), reply, deps_);
}

grpc::ServerUnaryReactor* DatasetService::GetDataset(grpc::CallbackServerContext* context,
                                                     const v1::GetDatasetRequest* request,
                                                     v1::Dataset* reply) {
  return Unary<v1::Dataset>(context, "GetDataset", deps_, reply).Reads(*request).Now([&] {
    return rpc::GetDataset(*request, deps_);
  });
}

grpc::ServerUnaryReactor* DatasetService::ListDatasets(grpc::CallbackServerContext* context,
                                                       const v1::ListDatasetsRequest* request,
                                                       v1::ListDatasetsResponse* reply) {
  return Unary<v1::ListDatasetsResponse>(context, "ListDatasets", deps_, reply)
      .Reads(*request)
      .On(deps_.lists, [this, asked = *request] { return rpc::ListDatasets(asked, deps_); });
}

grpc::ServerUnaryReactor* DatasetService::DeleteDataset(grpc::CallbackServerContext* context,
                                                        const v1::DeleteDatasetRequest* request,
                                                        v1::DeleteDatasetResponse* reply) {
  return Unary<v1::DeleteDatasetResponse>(context, "DeleteDataset", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::DeleteDatasetResponse> done) {
        rpc::DeleteDataset(*request, deps_, std::move(done));
      });
}

grpc::ServerUnaryReactor* DatasetService::ValidateDataset(grpc::CallbackServerContext* context,
                                                          const v1::ValidateDatasetRequest* request,
                                                          v1::DatasetValidation* reply) {
  return Unary<v1::DatasetValidation>(context, "ValidateDataset", deps_, reply)
      .Reads(*request)
      .Now([&] { return rpc::ValidateDataset(*request, deps_); });
}

grpc::ServerUnaryReactor* DatasetService::GetDatasetValidation(
    grpc::CallbackServerContext* context, const v1::GetDatasetValidationRequest* request,
    v1::DatasetValidation* reply) {
  return Unary<v1::DatasetValidation>(context, "GetDatasetValidation", deps_, reply)
      .Reads(*request)
      .Now([&] { return rpc::GetDatasetValidation(*request, deps_); });
}

grpc::ServerUnaryReactor* SweepService::CreateSweep(grpc::CallbackServerContext* context,
                                                    const v1::CreateSweepRequest* request,
                                                    v1::Sweep* reply) {
  return Unary<v1::Sweep>(context, "CreateSweep", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Sweep> done) { rpc::CreateSweep(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* SweepService::GetSweep(grpc::CallbackServerContext* context,
                                                 const v1::GetSweepRequest* request,
                                                 v1::Sweep* reply) {
  return Unary<v1::Sweep>(context, "GetSweep", deps_, reply)
      .Reads(*request)
      .Later([&](Done<v1::Sweep> done) { rpc::GetSweep(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* SweepService::ListSweeps(grpc::CallbackServerContext* context,
                                                   const v1::ListSweepsRequest* request,
                                                   v1::ListSweepsResponse* reply) {
  return Unary<v1::ListSweepsResponse>(context, "ListSweeps", deps_, reply)
      .Reads(*request)
      .Now([&] { return rpc::ListSweeps(*request, deps_); });
}

grpc::ServerUnaryReactor* SweepService::CancelSweep(grpc::CallbackServerContext* context,
                                                    const v1::CancelSweepRequest* request,
                                                    v1::Sweep* reply) {
  return Unary<v1::Sweep>(context, "CancelSweep", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::Sweep> done) { rpc::CancelSweep(*request, deps_, std::move(done)); });
}

grpc::ServerUnaryReactor* SweepService::DeleteSweep(grpc::CallbackServerContext* context,
                                                    const v1::DeleteSweepRequest* request,
                                                    v1::DeleteSweepResponse* reply) {
  return Unary<v1::DeleteSweepResponse>(context, "DeleteSweep", deps_, reply)
      .Changes(*request)
      .Later([&](Done<v1::DeleteSweepResponse> done) {
        rpc::DeleteSweep(*request, deps_, std::move(done));
      });
}

}  // namespace hone::server::rpc
