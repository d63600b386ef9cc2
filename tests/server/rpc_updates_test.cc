// What may be changed of a job and a model, what lists are narrowed by, and why a call is refused.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class RpcUpdatesTest : public RpcTest {
 protected:
  grpc::Status Update(const v1::UpdateJobRequest& request, v1::Job* job = nullptr) {
    grpc::ClientContext context;
    v1::Job ignored;
    return training_->UpdateJob(&context, request, job == nullptr ? &ignored : job);
  }
  std::string DoneModel() {
    const v1::Job job = Create(Request("succeed"));
    Watch(job.name());
    return Get(job.name()).model();
  }
  v1::ListModelsResponse Models(const v1::ListModelsRequest& request) {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    const grpc::Status status = models_->ListModels(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_F(RpcUpdatesTest, GetJobShowsTheSpecAsSentAndWithEveryDefault) {
  const v1::Job job = Get(Create(Request("wait")).name());
  EXPECT_FALSE(job.spec().training().has_batch_size());
  EXPECT_EQ(job.resolved_spec().training().batch_size(), 32);
  EXPECT_TRUE(Cancel(job.name()).ok());
}

TEST_F(RpcUpdatesTest, ListsDoNotCarryResolvedSpecs) {
  Watch(Create(Request("succeed")).name());
  grpc::ClientContext context;
  v1::ListJobsResponse list;
  ASSERT_TRUE(training_->ListJobs(&context, {}, &list).ok());
  ASSERT_EQ(list.jobs_size(), 1);
  EXPECT_TRUE(list.jobs(0).has_spec());
  EXPECT_FALSE(list.jobs(0).has_resolved_spec());
}

TEST_F(RpcUpdatesTest, UpdateJobChangesWhatTheMaskNamesAndNothingElse) {
  v1::CreateJobRequest create = Request("succeed");
  (*create.mutable_spec()->mutable_labels())["team"] = "a";
  const v1::Job job = Create(create);
  Watch(job.name());
  v1::UpdateJobRequest request;
  request.mutable_job()->set_name(job.name());
  request.mutable_job()->set_display_name("best");
  request.mutable_update_mask()->add_paths("display_name");
  v1::Job updated;
  ASSERT_TRUE(Update(request, &updated).ok());
  EXPECT_EQ(updated.display_name(), "best");
  EXPECT_EQ(updated.labels().at("team"), "a");
  EXPECT_EQ(updated.spec().display_name(), "succeed");
  EXPECT_EQ(Get(job.name()).display_name(), "best");
}

TEST_F(RpcUpdatesTest, UpdateJobRefusesFieldsThatCannotChangeAndWrongValues) {
  const v1::Job job = Create(Request("succeed"));
  v1::UpdateJobRequest request;
  request.mutable_job()->set_name(job.name());
  EXPECT_EQ(Update(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);  // no mask
  request.mutable_update_mask()->add_paths("state");
  EXPECT_THAT(Update(request).error_message(),
              HasSubstr("must name some of display_name, labels, priority, got \"state\""));
  request.mutable_update_mask()->set_paths(0, "priority");
  request.mutable_job()->set_priority(101);
  EXPECT_THAT(Update(request).error_message(), HasSubstr("priority: must be between"));
}

TEST_F(RpcUpdatesTest, UpdateModelGivesItAnotherNameAndItIsFoundByThat) {
  const std::string name = DoneModel();
  v1::UpdateModelRequest request;
  request.mutable_model()->set_name(name);
  request.mutable_model()->set_display_name("digits, final");
  request.mutable_update_mask()->add_paths("display_name");
  grpc::ClientContext context;
  v1::Model model;
  ASSERT_TRUE(models_->UpdateModel(&context, request, &model).ok());
  v1::ListModelsRequest list;
  list.set_display_name("digits, final");
  ASSERT_EQ(Models(list).models_size(), 1);
  list.set_display_name("succeed");
  EXPECT_EQ(Models(list).models_size(), 0);
}

TEST_F(RpcUpdatesTest, AModelHasAnIdOfItsOwnAndNamesItsJob) {
  const v1::Job job = Create(Request("succeed"));
  Watch(job.name());
  const std::string name = Get(job.name()).model();
  EXPECT_THAT(name, StartsWith("models/"));
  EXPECT_NE(name.substr(7), job.name().substr(5));
  v1::ListModelsRequest list;
  list.set_job(job.name());
  const v1::ListModelsResponse found = Models(list);
  ASSERT_EQ(found.models_size(), 1);
  EXPECT_EQ(found.models(0).name(), name);
  EXPECT_EQ(found.models(0).job(), job.name());
}

TEST_F(RpcUpdatesTest, ListDatasetsIsNarrowedByFormatNameAndSum) {
  Upload("people-1", "a,b\n1,2\n");
  Upload("people-2", "a,b\n3,4\n");
  Upload("other", "a,b\n5,6\n");
  const auto names = [&](const v1::ListDatasetsRequest& request) {
    grpc::ClientContext context;
    v1::ListDatasetsResponse response;
    EXPECT_TRUE(datasets_->ListDatasets(&context, request, &response).ok());
    std::vector<std::string> found;
    for (const v1::Dataset& dataset : response.datasets()) {
      found.push_back(dataset.name());
    }
    return found;
  };
  v1::ListDatasetsRequest by_name, by_sum, by_format;
  by_name.set_name_prefix("people-");
  EXPECT_THAT(names(by_name), ::testing::ElementsAre("datasets/people-2", "datasets/people-1"));
  by_sum.set_sha256(Sha256("a,b\n5,6\n"));
  EXPECT_THAT(names(by_sum), ::testing::ElementsAre("datasets/other"));
  by_format.add_formats(v1::Dataset::TAR);
  EXPECT_THAT(names(by_format), ::testing::IsEmpty());
  by_format.add_formats(v1::Dataset::CSV);
  EXPECT_EQ(names(by_format).size(), 3u);
}

TEST_F(RpcUpdatesTest, EveryErrorHasAReasonForPrograms) {
  v1::GetJobRequest unknown;
  v1::Job job;
  unknown.set_name("jobs/nobody");
  grpc::ClientContext first, second, third, fourth;
  EXPECT_EQ(ReasonOf(training_->GetJob(&first, unknown, &job)), "hone/JOB_NOT_FOUND");
  unknown.set_name("nobody");
  EXPECT_EQ(ReasonOf(training_->GetJob(&second, unknown, &job)), "hone/INVALID_NAME");
  EXPECT_EQ(ReasonOf(training_->CreateJob(&third, {}, &job)), "hone/INVALID_FIELD");
  v1::DeleteModelRequest model;
  model.set_name("models/nobody");
  v1::DeleteModelResponse none;
  EXPECT_EQ(ReasonOf(models_->DeleteModel(&fourth, model, &none)), "hone/MODEL_NOT_FOUND");
  const v1::Job done = Create(Request("succeed"));
  Watch(done.name());
  EXPECT_EQ(ReasonOf(Cancel(done.name())), "hone/JOB_STATE");
  // One without a reason of its own has its code's name.
  v1::ListJobsRequest list;
  list.set_page_size(-1);
  v1::ListJobsResponse jobs;
  grpc::ClientContext fifth;
  EXPECT_EQ(ReasonOf(training_->ListJobs(&fifth, list, &jobs)), "hone/INVALID_ARGUMENT");
}

TEST_F(RpcUpdatesTest, AMaskThatNamesAFieldAgainAndAgainIsRefused) {
  v1::UpdateJobRequest request;
  request.mutable_job()->set_name(Create(Request("succeed")).name());
  for (int i = 0; i < 17; ++i) {
    request.mutable_update_mask()->add_paths("labels");
  }
  const grpc::Status status = Update(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("at most 16 paths, got 17"));
}

}  // namespace
}  // namespace hone::server::rpc
