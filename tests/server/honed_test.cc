// The program itself, with the scripted worker: killed, and started again.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
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
    const std::string limit =
        descriptors_.empty() ? "" : absl::StrCat("ulimit ", descriptors_, " && ");
    flags.insert(flags.begin(), {"/bin/sh", "-c", limit + "exec \"$0\" \"$@\"", HONE_HONED});
    std::vector<char*> argv;
    for (std::string& flag : flags) {
      argv.push_back(flag.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log_.c_str(), O_WRONLY | O_CREAT, 0644);
    ASSERT_EQ(posix_spawn(&pid_, "/bin/sh", &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  // Starts honed on free ports, with `more` flags, and connects to it.
  void Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--data-dir",  root_ + "/data",      "--listen",
                                      "127.0.0.1:0", "--metrics-listen",   "127.0.0.1:0",
                                      "--worker",    HONE_SCRIPTED_WORKER, "--log-format",
                                      log_format_,   "--http-listen",      "127.0.0.1:0"};
    flags.insert(flags.end(), more.begin(), more.end());
    Spawn(flags);
    std::smatch port;
    const std::regex listening("gRPC, port ([0-9]+).*metrics, port ([0-9]+)");
    std::string log;
    for (const absl::Time deadline = absl::Now() + absl::Seconds(60); absl::Now() < deadline;) {
      log = ReadFile(log_).value_or("");
      if (std::regex_search(log, port, listening)) {
        break;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    ASSERT_FALSE(port.empty()) << log;
    ASSERT_TRUE(absl::SimpleAtoi(port[1].str(), &port_));
    ASSERT_TRUE(absl::SimpleAtoi(port[2].str(), &metrics_port_));
    stub_ = NewStub();
  }
  // Over a connection of its own.
  std::unique_ptr<v1::TrainingService::Stub> NewStub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::TrainingService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials(), arguments));
  }
  using Clients = std::vector<std::unique_ptr<v1::TrainingService::Stub>>;
  // So many more clients, each of which keeps its connection; how many of them are answered.
  int AskBy(int count, Clients& clients) const {
    int answered = 0;
    for (int i = 0; i < count; ++i) {
      clients.push_back(NewStub());
      grpc::ClientContext context;
      v1::ServerInfo info;
      answered += clients.back()->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok();
    }
    return answered;
  }
  bool NewClientIsAnswered() const {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    v1::ServerInfo info;
    return NewStub()->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok();
  }
  static std::vector<int> ConnectSilently(int port, int count) {
    std::vector<int> connections;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; ++i) {
      connections.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ::connect(connections.back(), reinterpret_cast<sockaddr*>(&to), sizeof(to));
    }
    return connections;
  }
  std::string Http(const std::string& path) const {
    httplib::Client client("127.0.0.1", metrics_port_);
    client.set_read_timeout(60);
    const auto response = client.Get(path);
    return response ? response->body : "";
  }
  // What /readyz says in the end.
  std::string AwaitReadiness(const std::string& wanted) const {
    std::string said = Http("/readyz");
    for (const absl::Time deadline = absl::Now() + absl::Seconds(60);
         said != wanted && absl::Now() < deadline; said = Http("/readyz")) {
      absl::SleepFor(absl::Milliseconds(50));
    }
    return said;
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
  // As `ulimit` has it, "-n 64" or "-Sn 64", which may be raised; "": as many as this process has.
  std::string descriptors_;
  int port_ = 0;
  int metrics_port_ = 0;
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
        [](const v1::Event& event) { return event.state().end_reason() == v1::Job::COMPLETED; });
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

TEST_F(HonedTest, AClosedTerminalDrainsLikeSigterm) {
  Start();
  EXPECT_EQ(End(SIGHUP), 0);
}

TEST_F(HonedTest, MoreSilentConnectionsThanDescriptorsKeepNoClientOut) {
  descriptors_ = "-n 256";
  Start();
  const std::vector<int> silent = ConnectSilently(port_, 400);
  EXPECT_TRUE(NewClientIsAnswered());
  EXPECT_EQ(Http("/readyz"), "ready\n");
  for (const int connection : silent) {
    ::close(connection);
  }
  EXPECT_TRUE(NewClientIsAnswered());
}

TEST_F(HonedTest, TakesAsManyDescriptorsAsItMayHave) {
  descriptors_ = "-Sn 64";
  Start();
  rlimit limit{};
  ASSERT_EQ(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_GT(limit.rlim_cur, 64u);
}

TEST_F(HonedTest, MoreClientsThanThereMayBeAreSentAwayUntilOthersLeave) {
  descriptors_ = "-n 128";
  Start();
  Clients clients;
  const int answered = AskBy(80, clients);
  EXPECT_GT(answered, 40);
  EXPECT_LT(answered, 80);
  clients.clear();
  EXPECT_TRUE(NewClientIsAnswered());
}

TEST_F(HonedTest, ManyClientsLeaveTheServerTheDescriptorsThatItWorksWith) {
  descriptors_ = "-n 160";
  Start();
  Create("succeed");  // so that this test's own connection is there before the others
  Clients clients;
  AskBy(160, clients);
  EXPECT_EQ(Http("/healthz"), "ok\n");
  const std::string name = Create("succeed");
  ASSERT_NE(name, "");
  Watch(name, "", [](const v1::Event&) { return false; });
  EXPECT_EQ(Get(name).state(), v1::Job::SUCCEEDED);
}

TEST_F(HonedTest, WhereNoNewClientIsAnsweredItIsNotReady) {
  descriptors_ = "-n 128";
  Start();
  EXPECT_EQ(AwaitReadiness("ready\n"), "ready\n");
  Clients clients;
  AskBy(80, clients);
  EXPECT_EQ(AwaitReadiness("not ready\n"), "not ready\n");
  clients.clear();
  EXPECT_EQ(AwaitReadiness("ready\n"), "ready\n");
}

TEST_F(HonedTest, SilentConnectionsToTheMetricsPortHoldUpNoProbe) {
  Start();
  const std::vector<int> silent = ConnectSilently(metrics_port_, 100);
  EXPECT_EQ(Http("/healthz"), "ok\n");
  EXPECT_EQ(Http("/readyz"), "ready\n");
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_connections{state=\"open\"}"));
  for (const int connection : silent) {
    ::close(connection);
  }
}

TEST_F(HonedTest, AnOpenAddressIsRefusedAtTheStart) {
  Spawn({"--data-dir", root_ + "/data", "--listen", "0.0.0.0:0", "--worker", HONE_SCRIPTED_WORKER});
  EXPECT_EQ(Reap(), 2);
  EXPECT_THAT(ReadFile(log_).value_or(""), HasSubstr("--insecure-listen"));
}

}  // namespace
}  // namespace hone::server
