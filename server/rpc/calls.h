#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "hone/v1/access.pb.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/project.pb.h"
#include "hone/v1/sweep.pb.h"
#include "hone/v1/training_service.pb.h"
#include "server/access/gate.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// One plain function for each call; the services' protos say what they do
// and how they fail. What a request is about by its `name` is the caller's: CheckIsOfCaller has
// seen to that before. Where a call needs to know who calls, or in which project, it is given. None
// blocks for longer than a short read of the store, but for the lists, which are read on threads of
// deps.lists; what else takes longer answers through `done`.

void CreateJob(const v1::CreateJobRequest& request, const access::Caller& caller, Deps& deps,
               Done<v1::Job> done);
absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, const access::Caller& caller,
                               Deps& deps);
absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request,
                                              const access::Caller& caller, Deps& deps);
void CancelJob(const v1::CancelJobRequest& request, Deps& deps, Done<v1::Job> done);
void PauseJob(const v1::PauseJobRequest& request, Deps& deps, Done<v1::Job> done);
void ResumeJob(const v1::ResumeJobRequest& request, Deps& deps, Done<v1::Job> done);
void RetryJob(const v1::RetryJobRequest& request, const access::Caller& caller, Deps& deps,
              Done<v1::Job> done);
void UpdateJob(const v1::UpdateJobRequest& request, Deps& deps, Done<v1::Job> done);
void DeleteJob(const v1::DeleteJobRequest& request, Deps& deps, Done<v1::DeleteJobResponse> done);
// Reads the whole log, on a thread of deps.histories.
void GetMetricHistory(const v1::GetMetricHistoryRequest& request, absl::Duration timeout,
                      Deps& deps, Done<v1::MetricHistory> done);
// At most `most` points of the job's. `go_on` is asked before each piece of the log; what is not OK
// is returned.
absl::StatusOr<v1::MetricHistory> ReadMetricHistory(const v1::GetMetricHistoryRequest& request,
                                                    const std::string& id, size_t most,
                                                    const store::JobStore& store,
                                                    absl::FunctionRef<absl::Status()> go_on);
// Looks at files, on a thread of deps.reads.
void ListArtifacts(const v1::ListArtifactsRequest& request, Deps& deps,
                   Done<v1::ListArtifactsResponse> done);
// The folder of the job's newest attempt, which need not be there.
absl::StatusOr<std::string> ArtifactsFolder(const std::string& name, const Deps& deps);
absl::StatusOr<v1::ServerInfo> GetServerInfo(const v1::GetServerInfoRequest& request, Deps& deps);

absl::StatusOr<v1::ListModelsResponse> ListModels(const v1::ListModelsRequest& request,
                                                  const access::Caller& caller, Deps& deps);
absl::StatusOr<v1::Model> GetModel(const v1::GetModelRequest& request, Deps& deps);
void DeleteModel(const v1::DeleteModelRequest& request, Deps& deps,
                 Done<v1::DeleteModelResponse> done);
void UpdateModel(const v1::UpdateModelRequest& request, Deps& deps, Done<v1::Model> done);
// Answers when a worker has read the whole archive.
void ImportModel(const v1::ImportModelRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::Model> done);
// Those with a `timeout` may answer that the time was over when it is.
void Predict(const v1::PredictRequest& request, absl::Duration timeout, Deps& deps,
             Done<v1::PredictResponse> done);

void CreateSweep(const v1::CreateSweepRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::Sweep> done);
// Reads a job for each trial that runs, on a thread of deps.reads.
void GetSweep(const v1::GetSweepRequest& request, Deps& deps, Done<v1::Sweep> done);
// What GetSweep answers.
absl::StatusOr<v1::Sweep> ReadSweep(const std::string& id, const Deps& deps);
absl::StatusOr<v1::ListSweepsResponse> ListSweeps(const v1::ListSweepsRequest& request,
                                                  const access::Caller& caller, Deps& deps);
void CancelSweep(const v1::CancelSweepRequest& request, Deps& deps, Done<v1::Sweep> done);
void DeleteSweep(const v1::DeleteSweepRequest& request, Deps& deps,
                 Done<v1::DeleteSweepResponse> done);
// Brings the job of a trial into the queue, as CreateJob does and RetryJob. `done` may be called at
// once.
void SubmitTrial(sweeps::Submission trial, Deps& deps, std::function<void(absl::Status)> done);

// Those that write files or wait for the store run on deps.datasets.executor().
void BeginUpload(const v1::BeginUploadRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::BeginUploadResponse> done);
absl::StatusOr<v1::Dataset> GetDataset(const v1::GetDatasetRequest& request,
                                       const access::Caller& caller, Deps& deps);
absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(const v1::ListDatasetsRequest& request,
                                                      const access::Caller& caller, Deps& deps);
void DeleteDataset(const v1::DeleteDatasetRequest& request, const access::Caller& caller,
                   Deps& deps, Done<v1::DeleteDatasetResponse> done);
absl::StatusOr<v1::DatasetValidation> ValidateDataset(const v1::ValidateDatasetRequest& request,
                                                      const access::Caller& caller, Deps& deps);
absl::StatusOr<v1::DatasetValidation> GetDatasetValidation(
    const v1::GetDatasetValidationRequest& request, const access::Caller& caller, Deps& deps);

absl::StatusOr<v1::ListProjectsResponse> ListProjects(const v1::ListProjectsRequest& request,
                                                      const access::Caller& caller, Deps& deps);
absl::StatusOr<v1::Project> GetProject(const v1::GetProjectRequest& request,
                                       const access::Caller& caller, Deps& deps);
void UpdateProject(const v1::UpdateProjectRequest& request, Deps& deps, Done<v1::Project> done);

void CreateToken(const v1::CreateTokenRequest& request, Deps& deps,
                 Done<v1::CreateTokenResponse> done);
absl::StatusOr<v1::ListTokensResponse> ListTokens(const v1::ListTokensRequest& request, Deps& deps);
void RevokeToken(const v1::RevokeTokenRequest& request, Deps& deps, Done<v1::Token> done);

}  // namespace hone::server::rpc
