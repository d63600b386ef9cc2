#include "server/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/loopback.h"
#include "tests/support/status_matchers.h"

namespace hone::server::config {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

absl::StatusOr<Parsed> ParseFlags(std::vector<const char*> flags) {
  flags.insert(flags.begin(), {"honed", "--worker", "/bin/true"});
  return Parse(static_cast<int>(flags.size()), flags.data());
}

TEST(Config, DefaultsListenOnLoopbackAndUseTheWholeMachine) {
  const auto parsed = ParseFlags({"--data-dir", "d"});
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->config.listen, "127.0.0.1:50051");
  EXPECT_EQ(parsed->config.metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(parsed->config.http_listen, "127.0.0.1:8080");
  EXPECT_GE(parsed->config.threads, 1);
}

TEST(Config, TheDataDirectoryIsRequired) {
  EXPECT_THAT(ParseFlags({}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data-dir")));
}

TEST(Config, AnotherAddressThanLoopbackNeedsTheFlag) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--listen", "0.0.0.0:1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--insecure-listen")));
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--listen", "0.0.0.0:1", "--insecure-listen"}),
              IsOk());
}

TEST(Config, TheMetricsAddressNeedsTheFlagToo) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--metrics-listen", "0.0.0.0:1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--metrics-listen")));
}

TEST(Config, TheAddressOfHttpNeedsTheFlagTooAndMayBeNone) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--http-listen", "0.0.0.0:1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--http-listen")));
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--http-listen", "8080"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--http-listen")));
  const auto none = ParseFlags({"--data-dir", "d", "--http-listen", ""});
  ASSERT_THAT(none, IsOk());
  EXPECT_EQ(none->config.http_listen, "");
  EXPECT_FALSE(none->config.IsReachedByOthers());
}

TEST(Config, AnotherAddressIsFineWithTls) {
  const auto parsed = ParseFlags({"--data-dir", "d", "--listen", "0.0.0.0:1", "--tls-cert", "c",
                                  "--tls-key", "k", "--tls-client-ca", "a"});
  ASSERT_THAT(parsed, IsOk());
  EXPECT_TRUE(parsed->config.IsReachedByOthers());
  EXPECT_TRUE(parsed->config.HasTls());
  EXPECT_EQ(parsed->config.tls_client_role, access::Role::kSubmitter);
}

TEST(Config, ACertificateAndItsKeyBelongTogether) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--tls-cert", "c"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-key: must be given")));
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--tls-key", "k"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-cert: must be given")));
}

TEST(Config, ClientsShowCertificatesOnlyToAServerThatHasOne) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--tls-client-ca", "a"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs --tls-cert")));
}

TEST(Config, NamesOfClientsAreThoseOfCertificates) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--tls-clients", "f"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs --tls-client-ca")));
}

TEST(Config, TheRoleOfClientsWithCertificatesIsOneThatThereIs) {
  EXPECT_EQ(
      ParseFlags({"--data-dir", "d", "--tls-client-role", "operator"})->config.tls_client_role,
      access::Role::kOperator);
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--tls-client-role", "king"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-client-role")));
}

TEST(Config, LimitsAreInDaysAndZeroIsForEver) {
  const auto defaults = ParseFlags({"--data-dir", "d"});
  EXPECT_EQ(defaults->config.keep.jobs, absl::InfiniteDuration());
  EXPECT_EQ(defaults->config.keep.checkpoints, absl::Hours(24 * 7));
  const auto parsed =
      ParseFlags({"--data-dir", "d", "--keep-jobs-days", "1.5", "--keep-models-days", "0",
                  "--keep-checkpoints-days", "0", "--models-bytes", "7"});
  EXPECT_EQ(parsed->config.keep.jobs, absl::Hours(36));
  EXPECT_EQ(parsed->config.keep.models, absl::InfiniteDuration());
  EXPECT_EQ(parsed->config.keep.checkpoints, absl::InfiniteDuration());
  EXPECT_EQ(parsed->config.keep.model_bytes, 7);
}

// Its signs of life may come late on a loaded machine.
TEST(Config, AHealthyWorkerCannotBeTakenForASilentOne) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--silence-seconds", "1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--silence-seconds")));
}

TEST(Config, OnlyRealLoopbackAddressesCount) {
  EXPECT_TRUE(IsLoopback("127.0.0.1:1"));
  EXPECT_TRUE(IsLoopback("localhost:1"));
  EXPECT_TRUE(IsLoopback("[::1]:1"));
  EXPECT_FALSE(IsLoopback("127.example.org:1"));
  EXPECT_FALSE(IsLoopback("[::]:1"));
  EXPECT_FALSE(IsLoopback("unix:/tmp/socket"));
}

TEST(Config, AWrongAddressNamesItsFlag) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--metrics-listen", "9464"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--metrics-listen")));
}

TEST(Config, AnUnknownFlagIsRefused) {
  EXPECT_THAT(ParseFlags({"--data-dir", "d", "--jbos", "2"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--jbos")));
}

TEST(Config, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/honed-", ::getpid(), ".ini");
  std::ofstream(path) << "data-dir = \"from-file\"\njobs = 3\nmax-queued-jobs = 7\n";
  ::setenv("HONED_JOBS", "4", 1);
  ::setenv("HONED_LOG_LEVEL", "error", 1);
  const auto parsed = ParseFlags({"--config", path.c_str(), "--log-level", "debug"});
  ::unsetenv("HONED_JOBS");
  ::unsetenv("HONED_LOG_LEVEL");
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->config.data_dir, "from-file");
  EXPECT_EQ(parsed->config.max_queued_jobs, 7);
  EXPECT_EQ(parsed->config.log_level, "debug");
  EXPECT_EQ(parsed->config.concurrent_jobs, 4);
}

TEST(Config, AnUnknownKeyInTheFileIsRefused) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/honed-bad-", ::getpid(), ".ini");
  std::ofstream(path) << "data-dir = \"d\"\njbos = 3\n";
  EXPECT_THAT(ParseFlags({"--config", path.c_str()}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("jbos")));
}

TEST(Config, HelpIsTextAndNoServer) {
  EXPECT_THAT(*ParseFlags({"--help"})->text, HasSubstr("--data-dir"));
}

}  // namespace
}  // namespace hone::server::config
