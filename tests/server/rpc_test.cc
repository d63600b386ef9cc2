#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/health.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

TEST_F(RpcTest, ARunningJobCanBeCancelledAndAnEndedOneNot) {
  const v1::Job job = Create(Request("wait"));
  Watch(job.name(), "", 4);
  EXPECT_TRUE(Cancel(job.name()).ok());
  Watch(job.name());
  EXPECT_EQ(Get(job.name()).state(), v1::Job::CANCELLED);
  const grpc::Status again = Cancel(job.name());
  EXPECT_EQ(again.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(again.error_message(), HasSubstr("CANCELLED"));
}

TEST_F(RpcTest, ARetriedJobIsANewOneThatBeginsWithTheOldOnesCheckpoints) {
  const v1::Job old = Create(Request("bad data once"));
  Watch(old.name());
  grpc::ClientContext context;
  v1::RetryJobRequest request;
  request.set_name(old.name());
  v1::Job job;
  ASSERT_TRUE(training_->RetryJob(&context, request, &job).ok());
  EXPECT_EQ(job.retry_of(), old.name());
  Watch(job.name());
  EXPECT_EQ(Get(job.name()).state(), v1::Job::SUCCEEDED) << Get(job.name()).message();
  EXPECT_EQ(Get(old.name()).state(), v1::Job::FAILED);
}

TEST_F(RpcTest, ADeletedJobIsNotFound) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  v1::GetModelRequest model;
  model.set_name(Get(job.name()).model());
  grpc::ClientContext context, again, get;
  v1::DeleteJobRequest request;
  request.set_name(job.name());
  v1::DeleteJobResponse none;
  EXPECT_TRUE(training_->DeleteJob(&context, request, &none).ok());
  EXPECT_EQ(training_->DeleteJob(&again, request, &none).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::Model kept;
  EXPECT_TRUE(models_->GetModel(&get, model, &kept).ok());
}

TEST_F(RpcTest, AThinnedHistoryKeepsTheExtremes) {
  const v1::Job job = Create(Request("zigzag"));
  Watch(job.name());
  grpc::ClientContext context;
  v1::GetMetricHistoryRequest request;
  request.set_name(job.name());
  request.set_max_points(2);
  request.add_metrics("loss");
  v1::MetricHistory history;
  ASSERT_TRUE(training_->GetMetricHistory(&context, request, &history).ok());
  ASSERT_EQ(history.points_size(), 2);
  EXPECT_EQ(history.total_points(), 4);
  EXPECT_EQ(history.points(0).values().at("loss"), 1);
  EXPECT_EQ(history.points(1).values().at("loss"), 9);
}

TEST_F(RpcTest, TheSameRequestIdMakesOneJob) {
  v1::CreateJobRequest request = Request("succeed");
  request.set_request_id("once");
  const std::string name = Create(request).name();
  EXPECT_EQ(Create(request).name(), name);
  request.mutable_spec()->mutable_training()->set_epochs(2);
  EXPECT_EQ(TryToCreate(request).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(RpcTest, ValidateOnlyReturnsThePlanAndStoresNothing) {
  v1::CreateJobRequest request = Request("succeed");
  request.set_validate_only(true);
  const v1::Job job = Create(request);
  EXPECT_EQ(job.name(), "");
  EXPECT_EQ(job.plan().parameters(), 121'930);
  grpc::ClientContext context;
  v1::ListJobsResponse list;
  EXPECT_TRUE(training_->ListJobs(&context, {}, &list).ok());
  EXPECT_EQ(list.jobs_size(), 0);
}

TEST_F(RpcTest, TheSameNetIsPlannedOnce) {
  v1::CreateJobRequest request = Request("succeed");
  const v1::Job first = Create(request);
  request.mutable_spec()->set_display_name("again");
  request.mutable_spec()->mutable_training()->set_seed(2);
  const v1::Job second = Create(request);
  EXPECT_EQ(second.plan().parameters(), first.plan().parameters());
  EXPECT_EQ(second.plan().display_name(), "again");
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"plan\"} 1\n"));
  request.mutable_spec()->mutable_training()->set_batch_size(64);
  Create(request);
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"plan\"} 2\n"));
}

TEST_F(RpcTest, AJobThatNeedsMoreMemoryThanItsShareIsRefusedBeforeItIsStored) {
  config_.memory_bytes = int64_t{100} << 20;  // of two jobs
  Start();
  for (const bool validate_only : {true, false}) {
    v1::CreateJobRequest request = Request("succeed");
    request.set_validate_only(validate_only);
    const grpc::Status status = TryToCreate(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("gives each job 51 MiB"));
  }
}

TEST_F(RpcTest, NoJobIsTakenWhenTheDiskIsNearlyFull) {
  config_.disk_floor_bytes = int64_t{1} << 50;
  Start();
  const grpc::Status status = TryToCreate(Request("succeed"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("disk is nearly full"));
}

TEST_F(RpcTest, WrongFieldsComeBackInABadRequest) {
  v1::CreateJobRequest request = Request("succeed");
  request.mutable_spec()->mutable_training()->set_batch_size(0);
  request.mutable_spec()->mutable_data()->set_dataset("");
  const grpc::Status status = TryToCreate(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::Status details;
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_TRUE(details.details(0).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 2);
  EXPECT_EQ(bad.field_violations(1).field(), "training.batch_size");
  EXPECT_EQ(bad.field_violations(1).description(), "must be between 1 and 65536, got 0");
}

TEST_F(RpcTest, HundredsOfWrongFieldsStillReachTheClient) {
  v1::CreateJobRequest request = Request("succeed");
  for (int i = 0; i < 500; ++i) {
    request.mutable_spec()->mutable_model()->add_layers()->set_name(std::string(60, '-'));
  }
  const grpc::Status status = TryToCreate(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RpcTest, LayersThatDoNotFitAreRefusedBeforeTheJobIsStored) {
  const grpc::Status status = TryToCreate(Request("misfit"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("does not fit"));
}

TEST_F(RpcTest, ListPagesThroughAllJobsAndKeepsToStates) {
  for (int i = 0; i < 3; ++i) {
    Watch(Create(Request("bad data")).name());
  }
  Watch(Create(Request("succeed")).name());
  v1::ListJobsRequest request;
  request.set_page_size(2);
  request.add_states(v1::Job::FAILED);
  int seen = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse page;
    ASSERT_TRUE(training_->ListJobs(&context, request, &page).ok());
    seen += page.jobs_size();
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, 3);
}

TEST_F(RpcTest, AMissingJobIsNotFoundAndAWrongNameSaysWhatWouldBeRight) {
  grpc::ClientContext missing;
  v1::GetJobRequest request;
  v1::Job job;
  request.set_name("jobs/nobody");
  EXPECT_EQ(training_->GetJob(&missing, request, &job).error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext wrong;
  request.set_name("../etc");
  EXPECT_THAT(training_->GetJob(&wrong, request, &job).error_message(), HasSubstr("jobs/<id>"));
}

TEST_F(RpcTest, ServerInfoTellsTheShareOfAJob) {
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(training_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.threads_per_job(), 1);
  EXPECT_EQ(info.concurrent_jobs(), 2);
  EXPECT_FALSE(info.version().empty());
}

TEST_F(RpcTest, HealthAnswersServing) {
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  for (const char* service : {"", "hone.v1.TrainingService", "hone.v1.ModelService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
}

TEST_F(RpcTest, ThereAreNoMoreWatchersOfTheHealthThanItsLimit) {
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>> reader;
  };
  std::vector<std::unique_ptr<Watch>> watches;
  grpc::health::v1::HealthCheckResponse response;
  for (size_t i = 0; i < Health::kMostWatchers; ++i) {
    watches.push_back(std::make_unique<Watch>());
    watches.back()->reader = stub->Watch(&watches.back()->context, {});
    ASSERT_TRUE(watches.back()->reader->Read(&response)) << i;
  }
  Watch beyond;
  beyond.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  beyond.reader = stub->Watch(&beyond.context, {});
  EXPECT_FALSE(beyond.reader->Read(&response));
  EXPECT_EQ(beyond.reader->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (const auto& watch : watches) {
    watch->context.TryCancel();
    watch->reader->Finish();
  }
}

TEST_F(RpcTest, HealthWatchTellsOfTheShutdown) {
  const auto stub = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  const auto reader = stub->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  std::thread shutdown([&] { server_->Shutdown(); });
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
  reader->Finish();
  shutdown.join();
  server_.reset();
}

TEST_F(RpcTest, PrometheusReadsTheLossOfARunningJob) {
  const v1::Job job = Create(Request("wait"));
  Watch(job.name(), "", 5);
  const std::string text = Http("/metrics");
  EXPECT_THAT(text, HasSubstr(absl::StrCat("hone_job_loss{training_job=\"", job.name().substr(5),
                                           "\",split=\"train\"} 1")));
  EXPECT_THAT(text, HasSubstr("hone_jobs{state=\"RUNNING\",task=\"classification\"} 1"));
  EXPECT_THAT(text, HasSubstr("hone_jobs{state=\"RUNNING\",task=\"regression\"} 0"));
  EXPECT_THAT(text, HasSubstr("hone_jobs{state=\"PAUSED\",task=\"classification\"} 0"));
  EXPECT_THAT(text, HasSubstr("hone_queue_oldest_age_seconds 0"));
  EXPECT_THAT(text, HasSubstr("hone_rpc_started_total{method=\"DeleteDataset\"} 0"));
  EXPECT_THAT(text, HasSubstr("hone_tasks_refused_total{queue=\"worker_calls\"} 0"));
  EXPECT_THAT(text, HasSubstr("hone_rpc_started_total{method=\"CreateJob\"} 1"));
}

TEST_F(RpcTest, TheHttpEndpointIsHealthyAndReady) {
  int status = 0;
  Http("/healthz", &status);
  EXPECT_EQ(status, 200);
  Http("/readyz", &status);
  EXPECT_EQ(status, 200);
}

TEST_F(RpcTest, ASecondServerOnThePortIsRefused) {
  config::Config other = config_;
  other.data_dir = root_ + "/other";
  other.listen = absl::StrCat("127.0.0.1:", server_->port());
  EXPECT_THAT(Server::Start(other).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(other.listen)));
  other.listen = "127.0.0.1:0";
  other.metrics_listen = absl::StrCat("127.0.0.1:", server_->metrics_port());
  EXPECT_THAT(Server::Start(other).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(other.metrics_listen)));
}

}  // namespace
}  // namespace hone::server::rpc
