#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "hone/v1/sweep.grpc.pb.h"
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

// The scripted worker does what the sweep's name says, and reports its batch size as a metric.
class RpcSweepsTest : public RpcTest {
 protected:
  static v1::CreateSweepRequest Sweep(const std::string& what,
                                      const std::vector<std::string>& sizes = {"8", "32", "16"}) {
    v1::CreateSweepRequest request;
    v1::SweepSpec& spec = *request.mutable_spec();
    spec.set_display_name(what);
    *spec.mutable_job() = Request(what).spec();
    spec.mutable_job()->mutable_training()->set_epochs(9);
    v1::Axis& axis = *spec.add_axes();
    axis.set_field("training.batch_size");
    axis.mutable_values()->Add(sizes.begin(), sizes.end());
    spec.mutable_objective()->set_metric("batch_size");
    return request;
  }
  std::unique_ptr<v1::SweepService::Stub> Stub() { return v1::SweepService::NewStub(channel_); }
  v1::Sweep CreateSweep(const v1::CreateSweepRequest& request) {
    grpc::ClientContext context;
    v1::Sweep sweep;
    const grpc::Status status = Stub()->CreateSweep(&context, request, &sweep);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return sweep;
  }
  grpc::Status Refused(const v1::CreateSweepRequest& request) {
    grpc::ClientContext context;
    v1::Sweep sweep;
    return Stub()->CreateSweep(&context, request, &sweep);
  }
  v1::Sweep GetSweep(const std::string& name) {
    grpc::ClientContext context;
    v1::GetSweepRequest request;
    request.set_name(name);
    v1::Sweep sweep;
    EXPECT_TRUE(Stub()->GetSweep(&context, request, &sweep).ok());
    return sweep;
  }
  // Until `is` says so of the sweep.
  v1::Sweep Await(const std::string& name, const std::function<bool(const v1::Sweep&)>& is) {
    v1::Sweep sweep = GetSweep(name);
    while (!is(sweep)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      sweep = GetSweep(name);
    }
    return sweep;
  }
  v1::Sweep AwaitEnd(const std::string& name) {
    return Await(name, [](const v1::Sweep& sweep) {
      return sweep.state() != v1::Sweep::RUNNING && sweep.state() != v1::Sweep::STOPPING;
    });
  }
  grpc::Status CancelSweep(const std::string& name) {
    grpc::ClientContext context;
    v1::CancelSweepRequest request;
    request.set_name(name);
    v1::Sweep sweep;
    return Stub()->CancelSweep(&context, request, &sweep);
  }
  struct WatchedSweep {
    std::vector<v1::WatchSweepResponse> answers;
    grpc::Status status;
  };
  // To the end; `after_first` is called when the first answer is there.
  WatchedSweep WatchSweep(
      const std::string& name, const std::function<void()>& after_first = [] {}) {
    grpc::ClientContext context;
    v1::WatchSweepRequest request;
    request.set_name(name);
    const auto stub = Stub();
    const auto reader = stub->WatchSweep(&context, request);
    WatchedSweep watched;
    v1::WatchSweepResponse answer;
    while (reader->Read(&answer)) {
      watched.answers.push_back(answer);
      if (watched.answers.size() == 1) {
        after_first();
      }
    }
    watched.status = reader->Finish();
    return watched;
  }
  std::vector<v1::Job> JobsOf(const v1::Sweep& sweep) {
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    (*request.mutable_labels())["sweep"] = sweep.name().substr(std::string("sweeps/").size());
    request.set_page_size(1000);
    v1::ListJobsResponse response;
    EXPECT_TRUE(training_->ListJobs(&context, request, &response).ok());
    return {response.jobs().begin(), response.jobs().end()};
  }
};

TEST_F(RpcSweepsTest, EachTrialIsAJobAndTheBestIsNamed) {
  const v1::Sweep sweep = AwaitEnd(CreateSweep(Sweep("succeed")).name());
  EXPECT_EQ(sweep.state(), v1::Sweep::SUCCEEDED) << sweep.message();
  EXPECT_EQ(sweep.best_trial(), 2);
  EXPECT_EQ(sweep.best_objective(), 32);
  const std::vector<v1::Job> jobs = JobsOf(sweep);
  ASSERT_EQ(jobs.size(), 3u);
  std::map<std::string, std::string> size_of;  // by the job's name
  for (const v1::Job& job : jobs) {
    size_of[job.name()] = absl::StrCat(job.spec().training().batch_size());
  }
  for (const v1::Trial& trial : sweep.trials()) {
    EXPECT_EQ(trial.state(), v1::Trial::SUCCEEDED);
    EXPECT_EQ(size_of[trial.job()], trial.settings(0));
    EXPECT_EQ(trial.steps(), 10);
    EXPECT_EQ(trial.parameters(), 121'930);
    EXPECT_NE(trial.model(), "");
  }
}

TEST_F(RpcSweepsTest, ATrialThatFailsLeavesTheOthersAlone) {
  const v1::Sweep sweep = AwaitEnd(CreateSweep(Sweep("bad data")).name());
  EXPECT_EQ(sweep.state(), v1::Sweep::FAILED);
  EXPECT_THAT(sweep.message(), HasSubstr("line 7: no label"));
  EXPECT_EQ(JobsOf(sweep).size(), 3u);
}

TEST_F(RpcSweepsTest, AnObjectiveThatNoTrialReportsFailsItWithTheNamesThereAre) {
  v1::CreateSweepRequest request = Sweep("succeed");
  request.mutable_spec()->mutable_objective()->set_metric("test_acuracy");
  request.mutable_spec()->set_parallelism(1);
  const v1::Sweep sweep = AwaitEnd(CreateSweep(request).name());
  EXPECT_EQ(sweep.state(), v1::Sweep::FAILED);
  EXPECT_THAT(sweep.message(), HasSubstr("test_accuracy"));
  EXPECT_EQ(JobsOf(sweep).size(), 1u) << "no other trial is begun";
}

TEST_F(RpcSweepsTest, HalvingGoesOnFromCheckpoints) {
  v1::CreateSweepRequest request = Sweep("succeed", {"1", "2", "4", "8", "16", "32"});
  request.mutable_spec()->mutable_halving();
  const v1::Sweep sweep = AwaitEnd(CreateSweep(request).name());
  EXPECT_EQ(sweep.state(), v1::Sweep::SUCCEEDED) << sweep.message();
  EXPECT_EQ(sweep.best_trial(), 6);
  const std::vector<v1::Job> jobs = JobsOf(sweep);
  EXPECT_EQ(jobs.size(), 9u);  // 6, 2 and 1
  std::multiset<int64_t> ends;
  for (const v1::Job& job : jobs) {
    ends.insert(job.spec().training().stop_after());
    EXPECT_EQ(job.retry_of().empty(), job.spec().training().stop_after() == 1) << job.name();
  }
  EXPECT_EQ(ends, (std::multiset<int64_t>{0, 1, 1, 1, 1, 1, 1, 3, 3}));
}

TEST_F(RpcSweepsTest, GoesOnWhenTheServerIsStartedAgain) {
  const std::string name = CreateSweep(Sweep("wait once then succeed", {"8", "32"})).name();
  Await(name, [](const v1::Sweep& sweep) {
    return std::ranges::all_of(sweep.trials(), [](const v1::Trial& trial) {
      return trial.state() == v1::Trial::RUNNING && absl::StrContains(trial.message(), "RUNNING");
    });
  });
  Start();
  const v1::Sweep sweep = AwaitEnd(name);
  EXPECT_EQ(sweep.state(), v1::Sweep::SUCCEEDED) << sweep.message();
  EXPECT_EQ(JobsOf(sweep).size(), 2u);
}

TEST_F(RpcSweepsTest, CancelledItCancelsItsTrialsAndBeginsNoMore) {
  v1::CreateSweepRequest request = Sweep("wait");
  request.mutable_spec()->set_parallelism(1);
  const std::string name = CreateSweep(request).name();
  Await(name, [](const v1::Sweep& sweep) {
    return absl::StrContains(sweep.trials(0).message(), "RUNNING");
  });
  EXPECT_TRUE(CancelSweep(name).ok());
  const v1::Sweep sweep = AwaitEnd(name);
  EXPECT_EQ(sweep.state(), v1::Sweep::CANCELLED);
  EXPECT_EQ(JobsOf(sweep).size(), 1u);
  EXPECT_EQ(Get(sweep.trials(0).job()).state(), v1::Job::CANCELLED);
  const grpc::Status again = CancelSweep(name);
  EXPECT_EQ(again.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(RpcSweepsTest, AWatchTellsTheEndOfEachTrialOnceAndEndsWithTheSweep) {
  const WatchedSweep watched = WatchSweep(CreateSweep(Sweep("succeed")).name());
  EXPECT_TRUE(watched.status.ok()) << watched.status.error_message();
  ASSERT_FALSE(watched.answers.empty());
  EXPECT_EQ(watched.answers.front().snapshot().trials_size(), 3);
  std::map<int, int> ends;
  v1::Sweep last;
  for (const v1::WatchSweepResponse& answer : watched.answers) {
    last = answer.has_snapshot() ? answer.snapshot() : answer.change();
    for (const v1::Trial& trial : last.trials()) {
      ends[trial.number()] += trial.state() == v1::Trial::SUCCEEDED ? 1 : 0;
    }
  }
  EXPECT_EQ(ends, (std::map<int, int>{{1, 1}, {2, 1}, {3, 1}}));
  EXPECT_EQ(last.state(), v1::Sweep::SUCCEEDED);
  EXPECT_EQ(last.best_trial(), 2);
}

TEST_F(RpcSweepsTest, WhoWatchesASweepThatHasEndedIsToldSoAndIsDone) {
  const v1::Sweep sweep = AwaitEnd(CreateSweep(Sweep("succeed")).name());
  const WatchedSweep watched = WatchSweep(sweep.name());
  EXPECT_TRUE(watched.status.ok()) << watched.status.error_message();
  ASSERT_EQ(watched.answers.size(), 1u);
  EXPECT_EQ(watched.answers[0].snapshot().state(), v1::Sweep::SUCCEEDED);
}

TEST_F(RpcSweepsTest, AWatchTellsThatTheSweepWasCancelled) {
  const std::string name = CreateSweep(Sweep("wait")).name();
  const WatchedSweep watched = WatchSweep(name, [&] { EXPECT_TRUE(CancelSweep(name).ok()); });
  EXPECT_TRUE(watched.status.ok()) << watched.status.error_message();
  ASSERT_GE(watched.answers.size(), 2u);
  EXPECT_EQ(watched.answers.back().change().state(), v1::Sweep::CANCELLED);
}

TEST_F(RpcSweepsTest, AShutdownSaysGoodbyeToWhoWatchesASweep) {
  const std::string name = CreateSweep(Sweep("wait")).name();
  const WatchedSweep watched = WatchSweep(name, [&] { server_->Shutdown(); });
  ASSERT_FALSE(watched.answers.empty());
  EXPECT_TRUE(watched.answers.back().has_goodbye());
  EXPECT_EQ(watched.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  server_.reset();
}

TEST_F(RpcSweepsTest, AWatchOfASweepThatIsNotThereIsRefused) {
  EXPECT_EQ(WatchSweep("sweeps/nobody").status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RpcSweepsTest, AWrongSweepIsRefusedAndNothingIsStored) {
  v1::CreateSweepRequest request = Sweep("succeed", {"8", "0"});
  grpc::Status status = Refused(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("trial 2 (training.batch_size=0)"));
  status = Refused(Sweep("misfit"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("does not fit"));
  grpc::ClientContext context;
  v1::ListSweepsResponse listed;
  EXPECT_TRUE(Stub()->ListSweeps(&context, v1::ListSweepsRequest(), &listed).ok());
  EXPECT_EQ(listed.sweeps_size(), 0);
}

TEST_F(RpcSweepsTest, ARequestIdMakesOneSweep) {
  v1::CreateSweepRequest request = Sweep("succeed");
  request.set_request_id("once");
  const v1::Sweep sweep = CreateSweep(request);
  EXPECT_EQ(CreateSweep(request).name(), sweep.name());
  AwaitEnd(sweep.name());
  EXPECT_EQ(CreateSweep(request).name(), sweep.name());
}

TEST_F(RpcSweepsTest, ADeletedSweepIsNotFoundAndItsJobsStay) {
  const v1::Sweep sweep = AwaitEnd(CreateSweep(Sweep("succeed")).name());
  grpc::ClientContext context, again;
  v1::DeleteSweepRequest request;
  request.set_name(sweep.name());
  v1::DeleteSweepResponse none;
  EXPECT_TRUE(Stub()->DeleteSweep(&context, request, &none).ok());
  EXPECT_EQ(Stub()->DeleteSweep(&again, request, &none).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(JobsOf(sweep).size(), 3u);
}

TEST_F(RpcSweepsTest, ASweepThatIsOnlyValidatedHasTrialsAndNoName) {
  v1::CreateSweepRequest request = Sweep("succeed");
  request.set_validate_only(true);
  const v1::Sweep sweep = CreateSweep(request);
  EXPECT_EQ(sweep.name(), "");
  EXPECT_EQ(sweep.trials_size(), 3);
}

}  // namespace
}  // namespace hone::server::rpc
