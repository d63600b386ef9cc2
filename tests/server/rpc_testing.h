#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hone/v1/dataset_service.grpc.pb.h"
#include "hone/v1/model_service.grpc.pb.h"
#include "hone/v1/training_service.grpc.pb.h"
#include "server/rpc/server.h"
#include "tests/support/status_matchers.h"

namespace hone::server::rpc {

using ::hone::testing::IsOk;

inline v1::CreateJobRequest Request(const std::string& what) {
  v1::CreateJobRequest request;
  v1::JobSpec& spec = *request.mutable_spec();
  spec.set_display_name(what);
  spec.mutable_classification();
  spec.mutable_data()->set_dataset("mnist");
  spec.mutable_model()->add_layers()->mutable_flatten();
  spec.mutable_model()->add_layers()->mutable_dense()->set_units(10);
  spec.mutable_training()->set_epochs(1);
  return request;
}

// Of the error's google.rpc.ErrorInfo: "hone/JOB_NOT_FOUND".
inline std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info)) {
      return info.domain() + "/" + info.reason();
    }
  }
  return "none";
}

// A server with the scripted worker, in this process, and a client's stubs.
class RpcTest : public ::testing::Test {
 protected:
  RpcTest() : root_(absl::StrCat(::testing::TempDir(), "/rpc-", ::getpid(), "-", counter_++)) {
    std::signal(SIGPIPE, SIG_IGN);
    config_.data_dir = root_;
    config_.listen = "127.0.0.1:0";
    config_.metrics_listen = "127.0.0.1:0";
    config_.http_listen = "127.0.0.1:0";
    config_.worker = HONE_SCRIPTED_WORKER;
    config_.concurrent_jobs = 2;
    config_.threads = 2;
    config_.memory_bytes = int64_t{1} << 30;
    config_.grace = absl::Seconds(60);
    config_.retry_delay = absl::Milliseconds(10);
    Start();
  }
  ~RpcTest() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }
  void Start() {
    server_.reset();
    auto started = Server::Start(config_);
    ASSERT_THAT(started, IsOk());
    server_ = *std::move(started);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                   grpc::InsecureChannelCredentials());
    training_ = v1::TrainingService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
    datasets_ = v1::DatasetService::NewStub(channel_);
  }
  // For one that may be refused.
  grpc::Status TryToCreate(const v1::CreateJobRequest& request, v1::Job* job = nullptr) {
    grpc::ClientContext context;
    v1::Job ignored;
    return training_->CreateJob(&context, request, job == nullptr ? &ignored : job);
  }
  v1::Job Create(const v1::CreateJobRequest& request) {
    v1::Job job;
    const grpc::Status status = TryToCreate(request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  v1::Job Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(training_->GetJob(&context, request, &job).ok());
    return job;
  }
  struct Watched {
    std::vector<v1::WatchJobResponse> answers;
    grpc::Status status;
    std::vector<int64_t> Sequences() const {
      std::vector<int64_t> sequences;
      for (const v1::WatchJobResponse& answer : answers) {
        if (answer.has_event()) {
          sequences.push_back(answer.event().sequence());
        }
      }
      return sequences;
    }
  };
  using OnAnswer = std::function<void(const v1::WatchJobResponse&)>;
  static constexpr size_t kToTheEnd = 1'000'000;

  // Watches to the end, or leaves after `limit` answers.
  Watched Watch(const std::string& name, const std::string& token = "", size_t limit = kToTheEnd,
                const OnAnswer& on_answer = nullptr) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_name(name);
    request.set_resume_token(token);
    const auto reader = training_->WatchJob(&context, request);
    Watched watched;
    v1::WatchJobResponse answer;
    while (watched.answers.size() < limit && reader->Read(&answer)) {
      watched.answers.push_back(answer);
      if (on_answer) {
        on_answer(answer);
      }
    }
    if (watched.answers.size() == limit) {
      context.TryCancel();
    }
    watched.status = reader->Finish();
    return watched;
  }

  // A watch to the end in a thread of its own.
  class LiveWatch {
   public:
    LiveWatch(RpcTest& test, const std::string& name)
        : thread_([this, &test, name] {
            watched_ = test.Watch(name, "", kToTheEnd, [this](const auto& answer) {
              Change([&] { newest_ = std::max(newest_, answer.event().sequence()); });
            });
            Change([&] { ended_ = true; });
          }) {}
    ~LiveWatch() { Join(); }
    LiveWatch(const LiveWatch&) = delete;
    LiveWatch& operator=(const LiveWatch&) = delete;

    // Until it has heard something, a snapshot or an event; false: it has ended without.
    bool AwaitAnswer() { return AwaitEventAfter(-1); }
    // Until it has an event beyond that one; false: it has ended before.
    bool AwaitEventAfter(int64_t sequence) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ended_ || newest_ > sequence; });
      return newest_ > sequence;
    }
    const Watched& Join() {
      if (thread_.joinable()) {
        thread_.join();
      }
      return watched_;
    }

   private:
    template <typename Body>
    void Change(const Body& body) {
      const std::lock_guard lock(mutex_);
      body();
      changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    int64_t newest_ = -1;  // guarded by mutex_
    bool ended_ = false;   // guarded by mutex_
    Watched watched_;      // the thread's, until it is joined
    std::thread thread_;
  };
  grpc::Status Cancel(const std::string& name) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    return training_->CancelJob(&context, request, &job);
  }
  grpc::Status Retry(const v1::RetryJobRequest& request, v1::Job* job = nullptr) {
    grpc::ClientContext context;
    v1::Job ignored;
    return training_->RetryJob(&context, request, job == nullptr ? &ignored : job);
  }
  grpc::Status Delete(const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteJobRequest request;
    request.set_name(name);
    v1::DeleteJobResponse none;
    return training_->DeleteJob(&context, request, &none);
  }
  // A table under that name; each text has other bytes.
  void Upload(const std::string& id, const std::string& text) {
    grpc::ClientContext context;
    v1::Dataset dataset;
    const auto writer = datasets_->UploadDataset(&context, &dataset);
    v1::UploadDatasetRequest message;
    message.mutable_header()->set_dataset_id(id);
    message.mutable_header()->set_format(v1::Dataset::CSV);
    message.mutable_header()->set_bytes(static_cast<int64_t>(text.size()));
    message.mutable_header()->set_sha256(Sha256(text));
    writer->Write(message);
    message.set_chunk(text);
    writer->Write(message);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  void DeleteDataset(const std::string& id) {
    grpc::ClientContext context;
    v1::DeleteDatasetRequest request;
    request.set_name("datasets/" + id);
    v1::DeleteDatasetResponse none;
    EXPECT_TRUE(datasets_->DeleteDataset(&context, request, &none).ok());
  }
  std::string Http(const std::string& path, int* status = nullptr) {
    httplib::Client client("127.0.0.1", server_->metrics_port());
    const auto response = client.Get(path);
    if (status != nullptr) {
      *status = response ? response->status : -1;
    }
    return response ? response->body : "";
  }

  static inline int counter_ = 0;
  const std::string root_;
  config::Config config_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TrainingService::Stub> training_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::DatasetService::Stub> datasets_;
};

inline std::vector<int64_t> UpTo(int64_t last) {
  std::vector<int64_t> numbers;
  for (int64_t i = 1; i <= last; ++i) {
    numbers.push_back(i);
  }
  return numbers;
}

}  // namespace hone::server::rpc
