#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/access.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/job_resource.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/project.pb.h"
#include "hone/v1/sweep.pb.h"
#include "hone/v1/training_service.pb.h"

namespace hone::client {

// What a watch sends. Next for one thread; Cancel from any.
template <typename Response>
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  // Waits for the next answer; false: the stream has ended, see Finish.
  virtual bool Next(Response& response) = 0;
  // After Next returned false. OK: what is watched has ended and everything was sent. CANCELLED:
  // Cancel was called.
  virtual absl::Status Finish() = 0;
  virtual void Cancel() = 0;
};
using WatchStream = ServerStream<v1::WatchJobResponse>;
using SweepWatchStream = ServerStream<v1::WatchSweepResponse>;

// A typed client of one server. Errors carry the server's code and its words, one line for each
// wrong field; client/errors.h tells a broken line from an answer. Calls of one answer are made
// again while the server asks for it within 30 seconds. Thread safe. Streams must not outlive it.
class Client {
 public:
  // Does not connect yet. Errors of Check, and of the files.
  static absl::StatusOr<std::unique_ptr<Client>> For(const Access& access);
  // In plain text, as nobody.
  static std::unique_ptr<Client> ForServer(const std::string& address);
  virtual ~Client() = default;

  // Before a call that is made again: lets that much time pass and meanwhile moves the connection
  // on, which gRPC does only while somebody waits for it. Who merely slept between calls that fail
  // at once would never see the server's greeting.
  virtual void Wait(absl::Duration time) = 0;

  virtual absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> GetJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> CancelJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Job> PauseJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Job> ResumeJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Job> RetryJob(const v1::RetryJobRequest& request) = 0;
  virtual absl::StatusOr<v1::Job> UpdateJob(const v1::UpdateJobRequest& request) = 0;
  virtual absl::Status DeleteJob(const std::string& name) = 0;
  virtual absl::StatusOr<v1::MetricHistory> GetMetricHistory(
      const v1::GetMetricHistoryRequest& request) = 0;
  virtual std::unique_ptr<WatchStream> WatchJob(const v1::WatchJobRequest& request) = 0;
  virtual absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(
      const v1::ListArtifactsRequest& request) = 0;
  // As DownloadModel.
  virtual absl::Status DownloadArtifact(
      const v1::DownloadArtifactRequest& request,
      const std::function<absl::Status(const v1::DownloadArtifactResponse&)>& sink) = 0;
  virtual absl::StatusOr<v1::ServerInfo> GetServerInfo() = 0;

  virtual absl::StatusOr<v1::ListModelsResponse> ListModels(
      const v1::ListModelsRequest& request) = 0;
  virtual absl::StatusOr<v1::Model> GetModel(const std::string& name) = 0;
  // Gives every chunk to `sink`, in order; ends early with sink's error.
  virtual absl::Status DownloadModel(
      const std::string& name,
      const std::function<absl::Status(const v1::DownloadModelResponse&)>& sink) = 0;
  virtual absl::Status DeleteModel(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Model> UpdateModel(const v1::UpdateModelRequest& request) = 0;
  // Answers when the checkpoint was read, after up to 10 minutes.
  virtual absl::StatusOr<v1::Model> ImportModel(const v1::ImportModelRequest& request) = 0;
  virtual absl::StatusOr<v1::PredictResponse> Predict(const v1::PredictRequest& request) = 0;
  // As DownloadModel.
  virtual absl::Status Generate(
      const v1::GenerateRequest& request,
      const std::function<absl::Status(const v1::GenerateResponse&)>& sink) = 0;

  virtual absl::StatusOr<v1::BeginUploadResponse> BeginUpload(const v1::UploadHeader& header) = 0;
  // Sends what `next` puts into the empty chunk, until it leaves one empty; ends early with its
  // error.
  virtual absl::StatusOr<v1::Dataset> UploadDataset(
      const v1::UploadHeader& header,
      const std::function<absl::Status(std::string& chunk)>& next) = 0;
  virtual absl::StatusOr<v1::Dataset> GetDataset(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(
      const v1::ListDatasetsRequest& request) = 0;
  virtual absl::Status DeleteDataset(const std::string& name, bool force) = 0;
  virtual absl::StatusOr<v1::DatasetValidation> ValidateDataset(const std::string& name,
                                                                int rows) = 0;
  virtual absl::StatusOr<v1::DatasetValidation> GetDatasetValidation(const std::string& name,
                                                                     int rows) = 0;

  virtual absl::StatusOr<v1::Sweep> CreateSweep(const v1::CreateSweepRequest& request) = 0;
  virtual absl::StatusOr<v1::Sweep> GetSweep(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListSweepsResponse> ListSweeps(
      const v1::ListSweepsRequest& request) = 0;
  virtual absl::StatusOr<v1::Sweep> CancelSweep(const std::string& name) = 0;
  virtual absl::Status DeleteSweep(const std::string& name) = 0;
  virtual std::unique_ptr<SweepWatchStream> WatchSweep(const std::string& name) = 0;

  virtual absl::StatusOr<v1::ListProjectsResponse> ListProjects() = 0;
  virtual absl::StatusOr<v1::Project> GetProject(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Project> UpdateProject(const v1::UpdateProjectRequest& request) = 0;
};

}  // namespace hone::client
