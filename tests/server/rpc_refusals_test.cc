// What a second look at a request finds: the same id with another wish, data and models that are no
// more, answers that would be too large.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kRefused = grpc::StatusCode::FAILED_PRECONDITION;

v1::CreateJobRequest Named(const std::string& what, const std::string& request_id) {
  v1::CreateJobRequest request = Request(what);
  request.set_request_id(request_id);
  return request;
}

v1::RetryJobRequest RetryOf(const v1::Job& job, bool from_start = false,
                            const std::string& request_id = "") {
  v1::RetryJobRequest request;
  request.set_name(job.name());
  request.set_from_start(from_start);
  request.set_request_id(request_id);
  return request;
}

v1::CreateJobRequest OnTable(const std::string& what, const std::string& dataset) {
  v1::CreateJobRequest request = Request(what);
  request.mutable_spec()->mutable_data()->set_dataset(dataset);
  return request;
}

TEST_F(RpcTest, TheSameRequestIdWithAnotherWishIsRefused) {
  const v1::Job old = Create(Request("bad data")), twin = Create(Request("bad data"));
  Watch(old.name());
  Watch(twin.name());
  v1::Job first, again;
  ASSERT_TRUE(Retry(RetryOf(old, false, "once"), &first).ok());
  ASSERT_TRUE(Retry(RetryOf(old, false, "once"), &again).ok());
  EXPECT_EQ(first.name(), again.name());
  for (const v1::RetryJobRequest& other :
       {RetryOf(twin, false, "once"), RetryOf(old, true, "once")}) {
    EXPECT_EQ(Retry(other).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  }
  EXPECT_EQ(TryToCreate(Named("bad data", "once")).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(RpcTest, ARetryIsAnsweredAlsoWhenTheOldJobIsNoMore) {
  const v1::Job old = Create(Request("bad data"));
  Watch(old.name());
  v1::Job first, again;
  ASSERT_TRUE(Retry(RetryOf(old, false, "once"), &first).ok());
  Watch(first.name());
  ASSERT_TRUE(Delete(old.name()).ok());
  ASSERT_TRUE(Retry(RetryOf(old, false, "once"), &again).ok());
  EXPECT_EQ(first.name(), again.name());
}

TEST_F(RpcTest, ARetryNeedsRoomInTheQueueAndTheMemoryOfTheServerAsItIsNow) {
  const v1::Job old = Create(Request("bad data"));
  Watch(old.name());
  config_.max_queued_jobs = 0;
  Start();
  EXPECT_EQ(Retry(RetryOf(old)).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  config_.max_queued_jobs = 10;
  config_.memory_bytes = int64_t{100} << 20;  // of two jobs
  Start();
  const grpc::Status status = Retry(RetryOf(old));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("gives each job 51 MiB"));
}

TEST_F(RpcTest, ARetryOnOtherBytesUnderTheSameNameIsRefusedUnlessItBeginsAnew) {
  Upload("table", "a,b\n1,2\n");
  const v1::Job old = Create(OnTable("bad data once", "table"));
  Watch(old.name());
  DeleteDataset("table");
  const grpc::Status gone = Retry(RetryOf(old, true));
  EXPECT_EQ(gone.error_code(), kRefused);
  EXPECT_THAT(gone.error_message(), AllOf(HasSubstr("datasets/table"), HasSubstr("deleted")));
  Upload("table", "a,b\n3,4\n");
  const grpc::Status other = Retry(RetryOf(old));
  EXPECT_EQ(other.error_code(), kRefused);
  EXPECT_THAT(other.error_message(), AllOf(HasSubstr("other bytes"), HasSubstr("from_start")));
  EXPECT_TRUE(Retry(RetryOf(old, true)).ok());
}

TEST_F(RpcTest, ARetryOnTheSameBytesUploadedAgainGoesOn) {
  Upload("table", "a,b\n1,2\n");
  const v1::Job old = Create(OnTable("bad data once", "table"));
  Watch(old.name());
  DeleteDataset("table");
  Upload("table", "a,b\n1,2\n");
  v1::Job job;
  const grpc::Status status = Retry(RetryOf(old), &job);
  ASSERT_TRUE(status.ok()) << status.error_message();
  Watch(job.name());
  EXPECT_EQ(Get(job.name()).state(), v1::Job::SUCCEEDED) << Get(job.name()).message();
}

TEST_F(RpcTest, AJobIsNotDeletedWhileItsRetryMayNeedItsCheckpoints) {
  const v1::Job old = Create(Request("bad data once"));
  Watch(old.name());
  // Both places are taken, so that the retry waits.
  const std::vector<v1::Job> others = {Create(Request("wait")), Create(Request("wait"))};
  v1::Job retry;
  ASSERT_TRUE(Retry(RetryOf(old), &retry).ok());
  const grpc::Status refused = Delete(old.name());
  EXPECT_EQ(refused.error_code(), kRefused);
  EXPECT_THAT(refused.error_message(), HasSubstr(retry.name()));
  for (const v1::Job& other : others) {
    EXPECT_TRUE(Cancel(other.name()).ok());
  }
  Watch(retry.name());
  EXPECT_EQ(Get(retry.name()).state(), v1::Job::SUCCEEDED) << Get(retry.name()).message();
  EXPECT_TRUE(Delete(old.name()).ok());
}

TEST_F(RpcTest, AModelIsNotDeletedWhileAJobIsToBeginWithIt) {
  const v1::Job first = Create(Request("succeed"));
  Watch(first.name());
  v1::DeleteModelRequest request;
  request.set_name(Get(first.name()).model());
  v1::CreateJobRequest tuning = Request("wait");
  tuning.mutable_spec()->mutable_model()->mutable_pretrained()->set_model(request.name());
  const v1::Job second = Create(tuning);
  grpc::ClientContext context, again, later;
  v1::DeleteModelResponse none;
  const grpc::Status refused = models_->DeleteModel(&context, request, &none);
  EXPECT_EQ(refused.error_code(), kRefused);
  EXPECT_THAT(refused.error_message(), HasSubstr(second.name()));
  EXPECT_TRUE(Cancel(second.name()).ok());
  Watch(second.name());
  EXPECT_TRUE(models_->DeleteModel(&again, request, &none).ok());
  v1::Job job;
  EXPECT_EQ(training_->CreateJob(&later, tuning, &job).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RpcTest, ListsLeaveOutWhatGrowsWithTheNumberOfClasses) {
  for (int i = 0; i < 5; ++i) {
    Watch(Create(Request("thousand classes")).name());
  }
  grpc::ClientContext list_context, models_context, model_context;
  v1::ListJobsResponse jobs;
  const grpc::Status listed = training_->ListJobs(&list_context, {}, &jobs);
  ASSERT_TRUE(listed.ok()) << listed.error_message();
  ASSERT_EQ(jobs.jobs_size(), 5);
  EXPECT_EQ(jobs.jobs(0).evaluation().confusion_size(), 0);
  EXPECT_EQ(jobs.jobs(0).plan().layers_size(), 0);
  EXPECT_EQ(jobs.jobs(0).evaluation().metrics().at("test_accuracy"), 0.9);
  EXPECT_EQ(Get(jobs.jobs(0).name()).evaluation().confusion_size(), 1'000'000);
  v1::ListModelsResponse models;
  const grpc::Status status = models_->ListModels(&models_context, {}, &models);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(models.models_size(), 5);
  EXPECT_EQ(models.models(0).evaluation().confusion_size(), 0);
}

TEST_F(RpcTest, APageEndsBeforeItIsLargerThanAClientTakes) {
  v1::CreateJobRequest request = Request("succeed");
  for (int i = 0; i < 1500; ++i) {
    request.mutable_spec()->mutable_data()->mutable_table()->add_ignore(std::string(200, 'x'));
  }
  for (int i = 0; i < 20; ++i) {
    Create(request);
  }
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  int seen = 0, pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse page;
    const grpc::Status status = training_->ListJobs(&context, list, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    seen += page.jobs_size();
    ++pages;
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(seen, 20);
  EXPECT_GE(pages, 3);
}

TEST_F(RpcTest, AHistoryOfFewerPointsThanItsCurvesNeedIsRefused) {
  const v1::Job job = Create(Request("zigzag"));
  Watch(job.name());
  grpc::ClientContext context;
  v1::GetMetricHistoryRequest request;
  request.set_name(job.name());
  request.add_metrics("loss");
  request.add_metrics("accuracy");
  request.set_max_points(3);  // the two need 4
  v1::MetricHistory history;
  const grpc::Status status = training_->GetMetricHistory(&context, request, &history);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("at least 4"));
}

TEST_F(RpcTest, AWorkerThatAnswersWithGarbageIsNotTheClientsFault) {
  const grpc::Status status = TryToCreate(Request("garbage plan"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL) << status.error_message();
}

// After how many seconds the error wants to be asked again; -1: it does not say.
int64_t DelayOf(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::RetryInfo retry;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&retry)) {
      return retry.retry_delay().seconds();
    }
  }
  return -1;
}

TEST_F(RpcTest, WhoseDataCannotBeBroughtIsToldToComeBackInAMinute) {
  const grpc::Status status = TryToCreate(Request("no network"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DelayOf(status), 60);
}

TEST_F(RpcTest, WhoIsRefusedForTheDiskIsToldToComeBackLaterThanForAFullQueue) {
  const auto delay = [this] { return DelayOf(TryToCreate(Request("succeed"))); };
  config_.max_queued_jobs = 0;
  Start();
  EXPECT_EQ(delay(), 5);
  config_.max_queued_jobs = 10;
  config_.disk_floor_bytes = int64_t{1} << 50;
  Start();
  EXPECT_EQ(delay(), 60);
}

TEST_F(RpcTest, ASweepOverLearningRatesIsPlannedOnce) {
  for (const float rate : {0.1f, 0.01f, 0.001f}) {
    v1::CreateJobRequest request = Request("succeed");
    request.mutable_spec()->set_priority(static_cast<int>(100 * rate));
    request.mutable_spec()
        ->mutable_training()
        ->mutable_optimizer()
        ->mutable_sgd()
        ->set_learning_rate(rate);
    Create(request);
  }
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"plan\"} 1\n"));
}

}  // namespace
}  // namespace hone::server::rpc
