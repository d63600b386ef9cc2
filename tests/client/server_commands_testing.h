#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/files.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "hone/v1/model_service.grpc.pb.h"
#include "hone/v1/training_service.grpc.pb.h"
#include "tests/client/process.h"

// The commands that speak to a server, with a server that answers as the test says.
namespace hone::client::cli {

using ::hone::testing::Process;

inline constexpr char kExample[] = HONE_SOURCE_DIR "/client/examples/mnist-cnn.yaml";

// One job of six events. The first stream breaks off after `break_after` events.
class FakeTraining final : public v1::TrainingService::Service {
 public:
  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request,
                         v1::Job* job) override {
    const std::lock_guard lock(mutex);
    created.push_back(*request);
    *job = Current();
    if (static_cast<int>(created.size()) <= busy_calls) {
      return Busy();
    }
    return refuse;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* job) override {
    if (request->name() != "jobs/1") {
      return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no job ", request->name())};
    }
    *job = Current();
    return grpc::Status::OK;
  }
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    const bool first = request->page_token().empty();
    *response->add_jobs() = Current();
    response->mutable_jobs(0)->set_name(first ? "jobs/2" : "jobs/1");
    response->set_next_page_token(first ? "more" : "");
    return grpc::Status::OK;
  }
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*, v1::Job*) override {
    return {grpc::StatusCode::FAILED_PRECONDITION, "jobs/1 has ended already: SUCCEEDED"};
  }
  grpc::Status UpdateJob(grpc::ServerContext*, const v1::UpdateJobRequest* request,
                         v1::Job* job) override {
    updated = *request;
    *job = Current();
    return grpc::Status::OK;
  }
  grpc::Status ListArtifacts(grpc::ServerContext*, const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override {
    const bool first = request->page_token().empty();
    response->add_artifacts()->set_path(first ? "a.txt" : "samples/b.txt");
    response->set_next_page_token(first ? "more" : "");
    return grpc::Status::OK;
  }
  grpc::Status DownloadArtifact(grpc::ServerContext*, const v1::DownloadArtifactRequest* request,
                                grpc::ServerWriter<v1::DownloadArtifactResponse>* writer) override {
    v1::DownloadArtifactResponse chunk;
    chunk.mutable_artifact()->set_path(request->path());
    chunk.set_data("one ");
    writer->Write(chunk);
    if (request->path() == "cut.txt") {
      return {grpc::StatusCode::DATA_LOSS, "cut.txt cannot be read whole"};
    }
    chunk.Clear();
    chunk.set_data("two");
    writer->Write(chunk);
    return grpc::Status::OK;
  }
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override {
    std::unique_lock lock(mutex);
    tokens.push_back(request->resume_token());
    if (static_cast<int>(tokens.size()) <= busy_watches) {
      return Busy();
    }
    lock.unlock();
    v1::WatchJobResponse response;
    const int from = request->resume_token().empty() ? 0 : std::stoi(request->resume_token());
    *response.mutable_snapshot() = Current();
    response.set_resume_token(absl::StrCat(from));
    writer->Write(response);
    for (int i = from + 1; i <= 6; ++i) {
      *response.mutable_event() = EventAt(i);
      response.set_resume_token(absl::StrCat(i));
      writer->Write(response);
      if (i == break_after && from < break_after) {
        return {grpc::StatusCode::UNAVAILABLE, "going down"};
      }
    }
    while (hang && !context->IsCancelled()) {
      usleep(5000);
    }
    return grpc::Status::OK;
  }

  grpc::Status Busy() const {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_seconds);
    retry.mutable_retry_delay()->set_nanos(1'000'000);
    google::rpc::Status details;
    details.add_details()->PackFrom(retry);
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many plans wait",
            details.SerializeAsString()};
  }

  v1::Job Current() const {
    v1::Job job;
    job.set_name("jobs/1");
    job.set_display_name("mnist-cnn");
    job.set_state(end_state);
    job.set_last_sequence(6);
    (*job.mutable_labels())["team"] = "a";
    (*job.mutable_labels())["run"] = "1";
    if (end_state == v1::Job::SUCCEEDED) {
      job.set_model("models/1");
      (*job.mutable_evaluation()->mutable_metrics())["test_accuracy"] = 0.99;
    }
    return job;
  }

  v1::Event EventAt(int i) const {
    v1::Event event;
    event.set_sequence(i);
    if (i == 1 || i == 6) {
      event.mutable_state()->set_state(i == 1 ? v1::Job::RUNNING : end_state);
      return event;
    }
    if (i == layers_at) {
      event.mutable_layer_statistics()->set_step(10 * i);
      v1::LayerStatistics::Layer& layer = *event.mutable_layer_statistics()->add_layers();
      layer.set_name("dense_1");
      layer.set_gradient_norm(0.25);
      layer.set_weight_norm(2);
      layer.set_dead_share(-1);
      layer.set_verdict("vanishing");
      return event;
    }
    if (i == resumed_at) {
      event.mutable_started()->set_resumed_from_step(resumed_from_step);
      return event;
    }
    event.mutable_metrics()->set_step(10 * i);
    event.mutable_metrics()->set_total_steps(50);
    (*event.mutable_metrics()->mutable_values())["loss"] = 1.0 / i;
    return event;
  }

  grpc::Status RetryJob(grpc::ServerContext*, const v1::RetryJobRequest* request,
                        v1::Job* job) override {
    const std::lock_guard lock(mutex);
    retried.push_back(*request);
    if (retried.size() <= 1) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the line is broken");
    }
    *job = Current();
    return grpc::Status::OK;
  }

  std::mutex mutex;
  int busy_calls = 0;  // the first ones are told to come again
  int busy_watches = 0;
  int retry_seconds = 0;
  v1::Job::State end_state = v1::Job::SUCCEEDED;
  grpc::Status refuse;
  int break_after = 0;
  int layers_at = 0;
  int resumed_at = 0;  // this event is of a new attempt that goes on from
  int64_t resumed_from_step = 0;
  bool hang = false;
  std::vector<std::string> tokens;
  std::vector<v1::CreateJobRequest> created;
  std::vector<v1::RetryJobRequest> retried;  // the line breaks after the first one
  v1::UpdateJobRequest updated;
};

class FakeModels final : public v1::ModelService::Service {
 public:
  // One model for each metric: what its evaluation says.
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    if (!request->display_name().empty()) {
      for (const v1::Model& model : named) {
        if (model.display_name() == request->display_name()) {
          *response->add_models() = model;
        }
      }
      return grpc::Status::OK;
    }
    for (const auto& [metric, value] : metrics) {
      v1::Model& model = *response->add_models();
      model.set_name("models/" + metric);
      (*model.mutable_evaluation()->mutable_metrics())[metric] = value;
    }
    return grpc::Status::OK;
  }
  // One that was imported is of a language model.
  grpc::Status ImportModel(grpc::ServerContext*, const v1::ImportModelRequest* request,
                           v1::Model* model) override {
    imported.push_back(*request);
    model->set_name("models/imported");
    model->set_display_name(request->display_name());
    model->set_task("language_modeling");
    return imported.size() > 1 ? grpc::Status::OK : first_import;
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::Model* model) override {
    if (request->name() == "models/minilm") {
      return {grpc::StatusCode::NOT_FOUND, "there is no model models/minilm"};
    }
    model->set_name(request->name());
    v1::LayerSummary& layer = *model->mutable_plan()->add_layers();
    layer.set_name("dense_1");
    layer.set_weights(640);
    return grpc::Status::OK;
  }
  grpc::Status DeleteModel(grpc::ServerContext*, const v1::DeleteModelRequest* request,
                           v1::DeleteModelResponse*) override {
    deleted.push_back(request->name());
    return grpc::Status::OK;
  }
  grpc::Status UpdateModel(grpc::ServerContext*, const v1::UpdateModelRequest* request,
                           v1::Model* model) override {
    *model = request->model();
    return grpc::Status::OK;
  }
  grpc::Status DownloadModel(grpc::ServerContext*, const v1::DownloadModelRequest* request,
                             grpc::ServerWriter<v1::DownloadModelResponse>* writer) override {
    downloaded.push_back(request->name());
    v1::DownloadModelResponse chunk;
    chunk.mutable_file()->set_path(path);
    chunk.mutable_file()->set_sha256(Sha256("weights"));
    chunk.set_data("wei");
    writer->Write(chunk);
    chunk.Clear();
    chunk.set_data(tail);
    writer->Write(chunk);
    return grpc::Status::OK;
  }
  grpc::Status Predict(grpc::ServerContext*, const v1::PredictRequest* request,
                       v1::PredictResponse* response) override {
    asked.push_back(request->inputs_size());
    if (request->inputs_size() > most_inputs) {
      return {grpc::StatusCode::INVALID_ARGUMENT,
              "inputs: the answer is too large; send fewer inputs at a time"};
    }
    for (int i = 0; i < request->inputs_size(); ++i) {
      auto& entry = *response->add_predictions()->mutable_classification()->add_classes();
      entry.set_name(absl::StrCat(request->name(), " says ", request->inputs(i).image()));
      entry.set_probability(1);
    }
    return grpc::Status::OK;
  }
  std::map<std::string, double> metrics;
  std::vector<v1::Model> named;  // by their display names
  std::vector<std::string> deleted, downloaded;
  std::vector<int> asked;  // inputs of each call of Predict
  int most_inputs = 256;
  std::vector<v1::ImportModelRequest> imported;
  grpc::Status first_import;
  std::string path = "weights/model.safetensors";
  std::string tail = "ghts";
};

// Keeps what is uploaded.
class FakeUploads final : public v1::DatasetService::Service {
 public:
  grpc::Status BeginUpload(grpc::ServerContext*, const v1::BeginUploadRequest* request,
                           v1::BeginUploadResponse* response) override {
    header = request->header();
    response->set_offset(static_cast<int64_t>(bytes.size()));
    return grpc::Status::OK;
  }
  grpc::Status UploadDataset(grpc::ServerContext*, grpc::ServerReader<v1::UploadDatasetRequest>* in,
                             v1::Dataset* dataset) override {
    v1::UploadDatasetRequest message;
    while (in->Read(&message)) {
      bytes += message.chunk();
      if (cut_at > 0 && static_cast<int64_t>(bytes.size()) >= cut_at) {
        cut_at = 0;
        return {grpc::StatusCode::UNAVAILABLE, "the line broke"};
      }
    }
    dataset->set_name("datasets/" + header.dataset_id());
    return grpc::Status::OK;
  }
  grpc::Status DeleteDataset(grpc::ServerContext*, const v1::DeleteDatasetRequest* request,
                             v1::DeleteDatasetResponse*) override {
    deleted.push_back(request->name());
    return grpc::Status::OK;
  }

  v1::UploadHeader header;
  std::string bytes;
  int64_t cut_at = 0;
  std::vector<std::string> deleted;
};

class ServerCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "hone-commands-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&training_);
    builder.RegisterService(&models_);
    builder.RegisterService(&uploads_);
    server_ = builder.BuildAndStart();
    setenv("HONE_SERVER", absl::StrCat("127.0.0.1:", port).c_str(), 1);
  }
  void TearDown() override {
    server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Process> Start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), HONE_BINARY);
    return std::make_unique<Process>(std::move(arguments), folder_);
  }
  int Hone(std::vector<std::string> arguments) {
    const auto process = Start(std::move(arguments));
    const int code = process->Wait();
    output_ = process->output();
    return code;
  }
  std::vector<nlohmann::json> Lines() const {
    std::vector<nlohmann::json> lines;
    for (const absl::string_view line : absl::StrSplit(output_, '\n', absl::SkipEmpty())) {
      lines.push_back(nlohmann::json::parse(line.begin(), line.end(), nullptr, false));
    }
    return lines;
  }

  FakeTraining training_;
  FakeModels models_;
  FakeUploads uploads_;
  std::unique_ptr<grpc::Server> server_;
  std::string folder_;
  std::string output_;
};

}  // namespace hone::client::cli
