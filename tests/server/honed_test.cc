// The program itself, with the scripted worker: killed, and started again.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "hone/v1/training_service.grpc.pb.h"

extern char** environ;

namespace hone::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class HonedTest : public ::testing::Test {
 protected:
  HonedTest() : root_(absl::StrCat(::testing::TempDir(), "/honed-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(root_);
  }
  ~HonedTest() override {
    End(SIGKILL);
    std::filesystem::remove_all(root_);
  }

  void Spawn(std::vector<std::string> flags) {
    log_ = absl::StrCat(root_, "/log-", counter_++);
    flags.insert(flags.begin(), HONE_HONED);
    std::vector<char*> argv;
    for (std::string& flag : flags) {
      argv.push_back(flag.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log_.c_str(), O_WRONLY | O_CREAT, 0644);
    ASSERT_EQ(posix_spawn(&pid_, HONE_HONED, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  // Starts honed on free ports, with `more` flags, and connects to it.
  void Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {
        "--data-dir",  root_ + "/data", "--listen",           "127.0.0.1:0",  "--metrics-listen",
        "127.0.0.1:0", "--worker",      HONE_SCRIPTED_WORKER, "--log-format", log_format_};
    flags.insert(flags.end(), more.begin(), more.end());
    Spawn(flags);
    std::smatch port;
    const std::regex listening("gRPC, port ([0-9]+)");
    std::string log;
    for (const absl::Time deadline = absl::Now() + absl::Seconds(60); absl::Now() < deadline;) {
      log = ReadFile(log_).value_or("");
      if (std::regex_search(log, port, listening)) {
        break;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    ASSERT_FALSE(port.empty()) << log;
    stub_ = v1::TrainingService::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", port[1].str()), grpc::InsecureChannelCredentials()));
  }
  int End(int signal) {
    if (pid_ <= 0) {
      return 0;
    }
    ::kill(pid_, signal);
    return Reap();
  }
  int Reap() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string Create(const std::string& what, const std::string& request_id = "", int threads = 0) {
    v1::CreateJobRequest request;
    request.set_request_id(request_id);
    v1::JobSpec& spec = *request.mutable_spec();
    spec.set_display_name(what);
    spec.mutable_classification();
    spec.mutable_data()->set_dataset("mnist");
    spec.mutable_model()->add_layers()->mutable_flatten();
    spec.mutable_training()->set_epochs(1);
    spec.mutable_training()->set_threads(threads);
    grpc::ClientContext context;
    v1::Job job;
    const grpc::Status status = stub_->CreateJob(&context, request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job.name();
  }
  v1::Job Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    stub_->GetJob(&context, request, &job);
    return job;
  }
  // Reads until `until` says so; returns the sequences seen and the last token.
  template <typename Until>
  std::pair<std::vector<int64_t>, std::string> Watch(const std::string& name,
                                                     const std::string& token, Until until) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_name(name);
    request.set_resume_token(token);
    const auto reader = stub_->WatchJob(&context, request);
    std::pair<std::vector<int64_t>, std::string> seen;
    for (v1::WatchJobResponse answer; reader->Read(&answer);) {
      seen.second = answer.resume_token();
      if (answer.has_event()) {
        seen.first.push_back(answer.event().sequence());
        if (until(answer.event())) {
          context.TryCancel();
          break;
        }
      }
    }
    reader->Finish();
    return seen;
  }

  // The line of the log that has all of these.
  std::string Line(const std::vector<std::string>& parts) {
    for (const absl::string_view line : absl::StrSplit(ReadFile(log_).value_or(""), '\n')) {
      if (std::all_of(parts.begin(), parts.end(),
                      [&](const std::string& part) { return absl::StrContains(line, part); })) {
        return std::string(line);
      }
    }
    return "";
  }

  static inline int counter_ = 0;
  std::string log_format_ = "logfmt";
  const std::string root_;
  std::string log_;
  pid_t pid_ = 0;
  std::unique_ptr<v1::TrainingService::Stub> stub_;
};

TEST_F(HonedTest, AJobSurvivesKillNineOfTheServerAndIsResumedWithoutAGapInItsLog) {
  Start();
  const std::string name = Create("wait once then succeed");
  const auto before =
      Watch(name, "", [](const v1::Event& event) { return event.metrics().step() > 3; });
  EXPECT_EQ(End(SIGKILL), -SIGKILL);
  Start();
  const auto after = Watch(name, before.second, [](const v1::Event&) { return false; });
  std::vector<int64_t> all = before.first;
  all.insert(all.end(), after.first.begin(), after.first.end());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], static_cast<int64_t>(i) + 1);
  }
  const v1::Job job = Get(name);
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_EQ(job.last_sequence(), static_cast<int64_t>(all.size()));
}

TEST_F(HonedTest, TheLogFollowsAJobFromItsRequestThroughItsAttempts) {
  Start();
  const std::string name = Create("crash once", "order-17");
  Watch(name, "", [](const v1::Event&) { return false; });
  EXPECT_EQ(End(SIGTERM), 0);
  const std::string job = " job=" + name.substr(5) + " ";
  EXPECT_THAT(Line({"rpc=CreateJob", job}),
              AllOf(HasSubstr("level=info"), HasSubstr(" request_id=order-17 "),
                    HasSubstr(" code=OK "), HasSubstr(" ms="), HasSubstr(" peer=ipv4:127.0.0.1:")));
  for (const char* const event : {"msg=\"attempt started\"", "msg=\"attempt ended\""}) {
    EXPECT_NE(Line({event, job, "attempt=1 "}), "");
    EXPECT_NE(Line({event, job, "attempt=2 "}), "");
  }
}

TEST_F(HonedTest, ARefusedChangeIsLoggedOnOneLineAndARefusedReadIsNot) {
  Start();
  grpc::ClientContext context, reading;
  v1::CancelJobRequest request;
  request.set_name("jobs/x\nlevel=error msg=forged");
  v1::Job job;
  EXPECT_FALSE(stub_->CancelJob(&context, request, &job).ok());
  v1::GetJobRequest read;
  read.set_name("jobs/nobody");
  EXPECT_FALSE(stub_->GetJob(&reading, read, &job).ok());
  EXPECT_EQ(End(SIGTERM), 0);
  EXPECT_THAT(Line({"rpc=CancelJob"}),
              AllOf(HasSubstr("level=warning"), HasSubstr("code=INVALID_ARGUMENT"),
                    HasSubstr(R"(job="x\nlevel=error msg=forged")")));
  EXPECT_EQ(Line({"rpc=GetJob"}), "");
}

TEST_F(HonedTest, EveryLineOfAJsonLogIsAnObject) {
  log_format_ = "json";
  Start();
  Watch(Create("succeed"), "", [](const v1::Event&) { return false; });
  EXPECT_EQ(End(SIGTERM), 0);
  int lines = 0;
  for (const absl::string_view line :
       absl::StrSplit(ReadFile(log_).value_or(""), '\n', absl::SkipEmpty())) {
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(object.contains("time") && object.contains("level") && object.contains("msg"))
        << line;
    ++lines;
  }
  EXPECT_GE(lines, 4);
}

TEST_F(HonedTest, AfterARestartWithFewerThreadsAJobThatAsksForMoreIsHeldAndOthersRun) {
  Start({"--threads", "2"});
  const std::string running = Create("wait", "", 2), held = Create("large", "", 2);
  EXPECT_EQ(End(SIGKILL), -SIGKILL);
  Start({"--threads", "1"});
  Watch(Create("small"), "",
        [](const v1::Event& event) { return event.state().end_reason() == "COMPLETED"; });
  const v1::Job job = Get(held);
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_THAT(job.message(), HasSubstr("asks for 2 threads, the server has 1"));
  EXPECT_NE(Line({"level=warning", "job is held", held.substr(5), "asks for 2 threads"}), "");
}

TEST_F(HonedTest, SigtermDrainsAndEndsWithZero) {
  Start();
  const std::string name = Create("wait");
  Watch(name, "", [](const v1::Event& event) { return event.metrics().step() > 1; });
  EXPECT_EQ(End(SIGTERM), 0);
  Start();
  EXPECT_GE(Get(name).attempt(), 1);
  EXPECT_NE(Get(name).state(), v1::Job::FAILED);
}

TEST_F(HonedTest, AnOpenAddressIsRefusedAtTheStart) {
  Spawn({"--data-dir", root_ + "/data", "--listen", "0.0.0.0:0", "--worker", HONE_SCRIPTED_WORKER});
  EXPECT_EQ(Reap(), 2);
  EXPECT_THAT(ReadFile(log_).value_or(""), HasSubstr("--insecure-listen"));
}

}  // namespace
}  // namespace hone::server
