// What a caller sees of other projects, by RPC: nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>

#include "hone/v1/project.grpc.pb.h"
#include "hone/v1/sweep.grpc.pb.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

class RpcProjectsTest : public RpcTest {
 protected:
  RpcProjectsTest()
      : sweeps_(v1::SweepService::NewStub(channel_)),
        projects_(v1::ProjectService::NewStub(channel_)) {}

  // A context for calls in that project.
  struct In {
    explicit In(const std::string& project) { context.AddMetadata("hone-project", project); }
    grpc::ClientContext context;
  };

  v1::Job CreateIn(const std::string& project, const v1::CreateJobRequest& request) {
    In in(project);
    v1::Job job;
    const grpc::Status status = training_->CreateJob(&in.context, request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  int JobsOf(const std::string& project) {
    In in(project);
    v1::ListJobsResponse response;
    EXPECT_TRUE(training_->ListJobs(&in.context, {}, &response).ok());
    return response.jobs_size();
  }
  // An unary call about `name` in that project.
  template <typename Stub, typename Request, typename Response>
  grpc::Status About(Stub& stub,
                     grpc::Status (Stub::*call)(grpc::ClientContext*, const Request&, Response*),
                     const std::string& name, const std::string& project) {
    In in(project);
    Request request;
    if constexpr (requires { request.mutable_job()->set_name(name); }) {
      request.mutable_job()->set_name(name);
      request.mutable_update_mask()->add_paths("display_name");
    } else if constexpr (requires { request.mutable_model()->set_name(name); }) {
      request.mutable_model()->set_name(name);
      request.mutable_update_mask()->add_paths("display_name");
    } else {
      request.set_name(name);
    }
    Response response;
    return (stub.*call)(&in.context, request, &response);
  }
  // Every call about the job is answered as if it did not exist.
  void ExpectNoJob(const std::string& name, const std::string& project) {
    using Stub = v1::TrainingService::Stub;
    const auto missing = [&](const grpc::Status& status) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
      EXPECT_EQ(status.error_message(), "there is no job " + name);
      EXPECT_EQ(ReasonOf(status), "hone/JOB_NOT_FOUND");
    };
    missing(About(*training_, &Stub::GetJob, name, project));
    missing(About(*training_, &Stub::CancelJob, name, project));
    missing(About(*training_, &Stub::PauseJob, name, project));
    missing(About(*training_, &Stub::ResumeJob, name, project));
    missing(About(*training_, &Stub::RetryJob, name, project));
    missing(About(*training_, &Stub::UpdateJob, name, project));
    missing(About(*training_, &Stub::DeleteJob, name, project));
    missing(About(*training_, &Stub::GetMetricHistory, name, project));
    missing(About(*training_, &Stub::ListArtifacts, name, project));
    {
      In in(project);
      v1::WatchJobRequest request;
      request.set_name(name);
      const auto reader = training_->WatchJob(&in.context, request);
      v1::WatchJobResponse answer;
      EXPECT_FALSE(reader->Read(&answer));
      missing(reader->Finish());
    }
    In in(project);
    v1::DownloadArtifactRequest request;
    request.set_name(name);
    request.set_path("x");
    const auto reader = training_->DownloadArtifact(&in.context, request);
    v1::DownloadArtifactResponse answer;
    EXPECT_FALSE(reader->Read(&answer));
    missing(reader->Finish());
  }
  void ExpectNoModel(const std::string& name, const std::string& project) {
    using Stub = v1::ModelService::Stub;
    const auto missing = [&](const grpc::Status& status) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
      EXPECT_EQ(status.error_message(), "there is no model " + name);
    };
    missing(About(*models_, &Stub::GetModel, name, project));
    missing(About(*models_, &Stub::DeleteModel, name, project));
    missing(About(*models_, &Stub::UpdateModel, name, project));
    missing(About(*models_, &Stub::Predict, name, project));
    {
      In in(project);
      v1::DownloadModelRequest request;
      request.set_name(name);
      const auto reader = models_->DownloadModel(&in.context, request);
      v1::DownloadModelResponse answer;
      EXPECT_FALSE(reader->Read(&answer));
      missing(reader->Finish());
    }
    In in(project);
    v1::GenerateRequest request;
    request.set_name(name);
    const auto reader = models_->Generate(&in.context, request);
    v1::GenerateResponse answer;
    EXPECT_FALSE(reader->Read(&answer));
    missing(reader->Finish());
  }
  grpc::Status Update(const v1::UpdateProjectRequest& request, v1::Project* project) {
    grpc::ClientContext context;
    return projects_->UpdateProject(&context, request, project);
  }

  std::unique_ptr<v1::SweepService::Stub> sweeps_;
  std::unique_ptr<v1::ProjectService::Stub> projects_;
};

TEST_F(RpcProjectsTest, AJobIsOfTheProjectThatTheCallNames) {
  const v1::Job job = CreateIn("vision", Request("succeed"));
  EXPECT_EQ(job.project(), "vision");
  EXPECT_EQ(Create(Request("succeed")).project(), "default");
  EXPECT_EQ(JobsOf("vision"), 1);
  EXPECT_EQ(JobsOf("default"), 1);
  EXPECT_EQ(JobsOf("speech"), 0);
}

TEST_F(RpcProjectsTest, AJobOfAnotherProjectIsAnsweredAsOneThatDoesNotExist) {
  const v1::Job job = CreateIn("vision", Request("succeed"));
  ExpectNoJob(job.name(), "default");
  ExpectNoJob("jobs/none", "default");
  EXPECT_TRUE(About(*training_, &v1::TrainingService::Stub::GetJob, job.name(), "vision").ok());
}

TEST_F(RpcProjectsTest, AModelOfAnotherProjectIsAnsweredAsOneThatDoesNotExist) {
  const v1::Job job = CreateIn("vision", Request("succeed"));
  {
    In in("vision");
    v1::WatchJobRequest request;
    request.set_name(job.name());
    const auto reader = training_->WatchJob(&in.context, request);
    v1::WatchJobResponse answer;
    while (reader->Read(&answer)) {
    }
    ASSERT_TRUE(reader->Finish().ok());
  }
  In in("vision");
  v1::ListModelsResponse listed;
  ASSERT_TRUE(models_->ListModels(&in.context, {}, &listed).ok());
  ASSERT_EQ(listed.models_size(), 1);
  const std::string name = listed.models(0).name();
  EXPECT_EQ(listed.models(0).project(), "vision");
  ExpectNoModel(name, "default");
  ExpectNoModel("models/none", "default");
  v1::CreateJobRequest begins = Request("succeed");
  begins.mutable_spec()->mutable_model()->Clear();
  begins.mutable_spec()->mutable_model()->mutable_pretrained()->set_model(name);
  const grpc::Status refused = TryToCreate(begins);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::NOT_FOUND) << refused.error_message();
  EXPECT_EQ(ReasonOf(refused), "hone/MODEL_NOT_FOUND");
}

TEST_F(RpcProjectsTest, ARequestIdOfAnotherProjectMakesAJobOfItsOwn) {
  v1::CreateJobRequest request = Request("succeed");
  request.set_request_id("once");
  const v1::Job one = CreateIn("vision", request), other = CreateIn("speech", request);
  EXPECT_NE(one.name(), other.name());
  EXPECT_EQ(CreateIn("vision", request).name(), one.name());
}

TEST_F(RpcProjectsTest, WhatCannotBeAProjectIsRefused) {
  In in("a/b");
  v1::ListJobsResponse response;
  const grpc::Status status = training_->ListJobs(&in.context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("hone-project: must be"));
}

TEST_F(RpcProjectsTest, AnybodySeesTheSharesOfTheirOwnProjectAndNoOthers) {
  grpc::ClientContext context;
  v1::GetProjectRequest request;
  request.set_name("projects/default");
  v1::Project project;
  ASSERT_TRUE(projects_->GetProject(&context, request, &project).ok());
  EXPECT_EQ(project.shares().weight(), 1);
  CreateIn("vision", Request("succeed"));
  const grpc::Status refused =
      About(*projects_, &v1::ProjectService::Stub::GetProject, "projects/vision", "default");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonOf(refused), "hone/PROJECT_NOT_FOUND");
}

TEST_F(RpcProjectsTest, OnlyAnAdminChangesShares) {
  v1::Project project;
  EXPECT_EQ(Update({}, &project).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

// The socket in the server's folder is the owner's, who may do everything.
class OwnerTest : public RpcProjectsTest {
 protected:
  OwnerTest()
      : owner_(v1::ProjectService::NewStub(grpc::CreateChannel(
            "unix:" + root_ + "/control/socket", grpc::InsecureChannelCredentials()))) {}
  grpc::Status Set(const std::string& project, const std::string& path,
                   const v1::Project::Shares& shares) {
    grpc::ClientContext context;
    v1::UpdateProjectRequest request;
    request.mutable_project()->set_name("projects/" + project);
    *request.mutable_project()->mutable_shares() = shares;
    request.mutable_update_mask()->add_paths(path);
    return owner_->UpdateProject(&context, request, &updated_);
  }
  std::unique_ptr<v1::ProjectService::Stub> owner_;
  v1::Project updated_;
};

TEST_F(OwnerTest, SharesAreChangedOneByOne) {
  v1::Project::Shares shares;
  shares.set_queued_jobs(7);
  shares.set_weight(2);
  ASSERT_TRUE(Set("vision", "shares.queued_jobs", shares).ok());
  EXPECT_EQ(updated_.shares().queued_jobs(), 7);
  EXPECT_EQ(updated_.shares().weight(), 1);
  ASSERT_TRUE(Set("vision", "shares", shares).ok());
  EXPECT_EQ(updated_.shares().weight(), 2);
  grpc::ClientContext context;
  v1::ListProjectsResponse all;
  ASSERT_TRUE(owner_->ListProjects(&context, {}, &all).ok());
  ASSERT_EQ(all.projects_size(), 2);
  EXPECT_EQ(all.projects(1).name(), "projects/vision");
}

TEST_F(OwnerTest, WrongSharesAreRefusedAndNamed) {
  v1::Project::Shares shares;
  shares.set_queued_jobs(-1);
  EXPECT_THAT(Set("a", "shares.queued_jobs", shares).error_message(),
              HasSubstr("project.shares.queued_jobs: must be between 0"));
  EXPECT_THAT(Set("a", "shares.weight", shares).error_message(),
              HasSubstr("project.shares.weight: must be between 0.01"));
  shares.set_calls_per_second(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(Set("a", "shares.calls_per_second", shares).error_message(),
              HasSubstr("calls_per_second: must be 0"));
  EXPECT_THAT(Set("a", "use.threads", shares).error_message(),
              HasSubstr("update_mask: must name some of shares.queued_jobs"));
  EXPECT_THAT(Set("a/b", "shares.threads", shares).error_message(),
              HasSubstr("must be projects/<name>"));
}

TEST_F(OwnerTest, AJobBeyondItsProjectsQueueIsRefusedByItsReason) {
  v1::Project::Shares shares;
  shares.set_running_jobs(1);
  shares.set_queued_jobs(1);
  ASSERT_TRUE(Set("vision", "shares",
                  [&] {
                    shares.set_weight(1);
                    return shares;
                  }())
                  .ok());
  const v1::Job runs = CreateIn("vision", Request("wait"));
  for (int i = 0; i < 10'000 && JobsOf("vision") > 0; ++i) {
    In in("vision");
    v1::GetJobRequest request;
    request.set_name(runs.name());
    v1::Job job;
    ASSERT_TRUE(training_->GetJob(&in.context, request, &job).ok());
    if (job.state() == v1::Job::RUNNING) {
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const v1::Job waits = CreateIn("vision", Request("succeed"));
  In in("vision");
  v1::Job job;
  const grpc::Status refused = training_->CreateJob(&in.context, Request("succeed"), &job);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "hone/QUOTA_EXCEEDED");
  EXPECT_THAT(refused.error_message(), HasSubstr("1 of at most 1 jobs in the queue"));
  In again("vision");
  v1::GetJobRequest request;
  request.set_name(waits.name());
  ASSERT_TRUE(training_->GetJob(&again.context, request, &job).ok());
  EXPECT_THAT(job.message(), HasSubstr("1 jobs run of at most 1"));
}

}  // namespace
}  // namespace hone::server::rpc
