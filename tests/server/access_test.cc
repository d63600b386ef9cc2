#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "hone/v1/access.pb.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/project.pb.h"
#include "hone/v1/sweep.pb.h"
#include "hone/v1/training_service.pb.h"
#include "server/access/clients.h"
#include "server/access/gate.h"
#include "server/access/projects.h"
#include "server/access/role.h"
#include "server/access/tokens.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::access {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// All of hone.v1: whoever adds a file with a service adds it here, and a test of all services
// (tests/e2e/access.py) does without this list.
std::set<const google::protobuf::ServiceDescriptor*> Services() {
  std::set<const google::protobuf::ServiceDescriptor*> services;
  for (const auto* file :
       {v1::CreateJobRequest::descriptor()->file(), v1::ListModelsRequest::descriptor()->file(),
        v1::BeginUploadRequest::descriptor()->file(), v1::CreateSweepRequest::descriptor()->file(),
        v1::CreateTokenRequest::descriptor()->file(),
        v1::GetProjectRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      services.insert(file->service(i));
    }
  }
  return services;
}

TEST(Roles, EveryRpcHasALeastRole) {
  std::set<std::string> names;
  for (const auto* service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string& name = service->method(i)->name();
      EXPECT_TRUE(LeastRoleFor(name).has_value()) << name << " is missing in access/role.cc";
      EXPECT_TRUE(names.insert(name).second) << name << " is the name of two RPCs";
    }
  }
  EXPECT_GT(names.size(), 30U);
}

TEST(Roles, WhatIsNoRpcIsForNobody) { EXPECT_FALSE(LeastRoleFor("Nothing").has_value()); }

TEST(Roles, NamesLeadBackToTheirRoles) {
  for (const Role role : kRoles) {
    EXPECT_EQ(RoleOfName(RoleName(role)), role);
  }
  EXPECT_EQ(RoleOfName("Admin"), std::nullopt);
}

class GateTest : public ::testing::Test {
 protected:
  GateTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/access-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    Open();
  }
  ~GateTest() override {
    writer_.reset();
    tokens_.reset();
    projects_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  // As a server that starts.
  void Open() {
    writer_.reset();
    tokens_.reset();
    projects_.reset();
    store_.reset();
    store_ = *store::OpenSqliteStore(folder_ + "/store.db");
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
    tokens_ = *Tokens::Open(*store_, *writer_);
    projects_ = *Projects::Open(*store_, *writer_);
  }
  // What its holder shows.
  Credentials Add(const std::string& id, Role role, absl::Time expires = absl::InfiniteFuture(),
                  absl::Time now = absl::Now(), const std::string& project = "vision") {
    NewToken made = *MakeToken(id, role, project, expires, now);
    std::promise<absl::Status> added;
    tokens_->Add(made.token, [&](const absl::StatusOr<store::Token>& token) {
      added.set_value(token.status());
    });
    EXPECT_THAT(added.get_future().get(), IsOk());
    Credentials credentials;
    credentials.authorization = absl::StrCat("Bearer ", made.secret);
    return credentials;
  }
  absl::Status Revoke(const std::string& id) {
    std::promise<absl::Status> revoked;
    tokens_->Revoke(id, absl::Now(), [&](const absl::StatusOr<store::Token>& token) {
      revoked.set_value(token.status());
    });
    return revoked.get_future().get();
  }
  static Credentials Certificate(const std::string& name) {
    Credentials credentials;
    credentials.has_certificate = true;
    credentials.certificate_name = name;
    return credentials;
  }

  static inline int counter_ = 0;
  const std::string folder_;
  metrics::Registry registry_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<Tokens> tokens_;
  std::unique_ptr<Projects> projects_;
  std::unique_ptr<store::Writer> writer_;
};

TEST_F(GateTest, WithoutAWayToSayWhoOneIsAnybodyMayDoAllButSayWhoMayDoWhat) {
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_TRUE(gate.IsOpen());
  EXPECT_THAT(gate.Admit(Credentials(), "DeleteModel"), IsOk());
  EXPECT_THAT(gate.Admit(Credentials(), "CreateToken").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("role admin")));
}

TEST_F(GateTest, TheFoldersOwnerMayDoEverything) {
  Gate gate({.client_certificates = true}, *tokens_, *projects_, registry_);
  Credentials owner;
  owner.is_owner = true;
  EXPECT_THAT(gate.Admit(owner, "CreateToken"), IsOk());
}

TEST_F(GateTest, AnRpcThatIsNotInTheListIsForNobody) {
  Gate gate({}, *tokens_, *projects_, registry_);
  Credentials owner;
  owner.is_owner = true;
  EXPECT_THAT(gate.Admit(owner, "Nothing").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("Nothing")));
}

TEST_F(GateTest, WhoCouldShowACertificateAndDoesNotIsUnknown) {
  Gate gate({.client_certificates = true}, *tokens_, *projects_, registry_);
  EXPECT_FALSE(gate.IsOpen());
  EXPECT_THAT(gate.Admit(Credentials(), "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--tls-cert")));
}

TEST_F(GateTest, ACertificateGivesTheRoleThatIsSetAndNoMore) {
  Gate gate({.client_certificates = true, .certificate_role = Role::kViewer}, *tokens_, *projects_,
            registry_);
  const auto caller = gate.Admit(Certificate("anna"), "GetJob");
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->name, "certificate:anna");
  EXPECT_THAT(gate.Admit(Certificate("anna"), "CreateJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("role submitter")));
}

TEST_F(GateTest, ATokenGivesItsNameRoleAndProjectAlsoAfterARestart) {
  const Credentials ci = Add("ci", Role::kSubmitter);
  Open();
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_FALSE(gate.IsOpen());
  const auto caller = gate.Admit(ci, "CreateJob");
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->name, "token:ci");
  EXPECT_EQ(caller->project, "vision");
  EXPECT_THAT(gate.Admit(ci, "DeleteJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("role operator")));
}

TEST_F(GateTest, ATokenCountsMoreThanACertificateThatIsShownWithIt) {
  Gate gate({.client_certificates = true, .certificate_role = Role::kAdmin}, *tokens_, *projects_,
            registry_);
  Credentials both = Add("ci", Role::kViewer);
  both.has_certificate = true;
  EXPECT_THAT(gate.Admit(both, "DeleteJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("token:ci")));
  both.authorization = "Bearer wrong";
  EXPECT_THAT(gate.Admit(both, "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("does not know")));
}

TEST_F(GateTest, AnUnknownTokenIsRefusedWithTheReasonThatSlowsItDown) {
  Add("ci", Role::kViewer);
  Gate gate({}, *tokens_, *projects_, registry_);
  Credentials wrong;
  wrong.authorization = "Bearer hone_wrong";
  const absl::Status refused = gate.Admit(wrong, "GetJob").status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("does not know")));
  EXPECT_EQ(jobs::ReasonOf(refused), jobs::reason::kTokenRefused);
}

TEST_F(GateTest, ARevokedTokenIsRefusedAtOnceAndItsServerStaysClosed) {
  const Credentials ci = Add("ci", Role::kViewer);
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_THAT(gate.Admit(ci, "GetJob"), IsOk());
  ASSERT_THAT(Revoke("ci"), IsOk());
  EXPECT_THAT(gate.Admit(ci, "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("was revoked")));
  EXPECT_FALSE(gate.IsOpen());
  EXPECT_THAT(Revoke("ci"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tokens/ci")));
}

TEST_F(GateTest, WhoCameInBeforeTheFirstTokenIsNotAdmittedAnyMore) {
  Gate gate({}, *tokens_, *projects_, registry_);
  const auto anybody = gate.Admit(Credentials(), "WatchJob");
  ASSERT_THAT(anybody, IsOk());
  EXPECT_THAT(gate.StillAdmitted(*anybody), IsOk());
  Add("ci", Role::kViewer);
  EXPECT_THAT(gate.StillAdmitted(*anybody),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("must know who calls")));
}

TEST_F(GateTest, ATokenPastItsTimeIsRefused) {
  const absl::Time begin = absl::Now() - absl::Hours(2);
  const Credentials ci = Add("ci", Role::kViewer, begin + absl::Hours(1), begin);
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_THAT(gate.Admit(ci, "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("past its time")));
}

TEST_F(GateTest, ATokenWorksInItsProjectAndInNoOther) {
  Credentials ci = Add("ci", Role::kSubmitter);
  Gate gate({}, *tokens_, *projects_, registry_);
  ci.project = "vision";
  EXPECT_THAT(gate.Admit(ci, "GetJob"), IsOk());
  ci.project = "speech";
  EXPECT_THAT(gate.Admit(ci, "GetJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("works in the project")));
}

TEST_F(GateTest, ATokenForAnyProjectWorksInTheOneThatTheCallNames) {
  Credentials all = Add("all", Role::kSubmitter, absl::InfiniteFuture(), absl::Now(), kAnyProject);
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_EQ(gate.Admit(all, "GetJob")->project, "default");
  all.project = "speech";
  EXPECT_EQ(gate.Admit(all, "GetJob")->project, "speech");
}

TEST_F(GateTest, ATokenWithoutAProjectIsOfTheDefaultOne) {
  Credentials plain = Add("plain", Role::kViewer, absl::InfiniteFuture(), absl::Now(), "");
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_EQ(gate.Admit(plain, "GetJob")->project, "default");
  plain.project = "vision";
  EXPECT_THAT(gate.Admit(plain, "GetJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, ::testing::_));
}

TEST_F(GateTest, WhatCanBeNoProjectsNameIsSaidToBeNone) {
  Gate gate({}, *tokens_, *projects_, registry_);
  Credentials anybody;
  for (const char* const project : {"a b", "a/b", "-a", "../x"}) {
    anybody.project = project;
    EXPECT_THAT(gate.Admit(anybody, "GetJob").status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hone-project")));
  }
}

TEST_F(GateTest, WhatTellsOfAllProjectsIsNotForACallerOfOne) {
  const Credentials ci = Add("ci", Role::kOperator);
  const Credentials all =
      Add("all", Role::kViewer, absl::InfiniteFuture(), absl::Now(), kAnyProject);
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_THAT(gate.AdmitToAll(ci, Role::kViewer).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("tells of all projects")));
  EXPECT_THAT(gate.AdmitToAll(all, Role::kViewer), IsOk());
  EXPECT_THAT(gate.AdmitToAll(Add("root", Role::kAdmin), Role::kViewer), IsOk());
}

TEST_F(GateTest, CallsBeyondAProjectsRateAreRefusedForItAlone) {
  std::promise<absl::Status> set;
  projects_->SetShares(
      "vision",
      [](store::Shares& shares) {
        shares.calls_per_second = 0.01;
        return absl::OkStatus();
      },
      absl::Now(),
      [&](const absl::StatusOr<store::Project>& project) { set.set_value(project.status()); });
  ASSERT_THAT(set.get_future().get(), IsOk());
  const Credentials ci = Add("ci", Role::kViewer);
  const Credentials other =
      Add("other", Role::kViewer, absl::InfiniteFuture(), absl::Now(), "speech");
  Gate gate({}, *tokens_, *projects_, registry_);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(gate.Admit(ci, "GetJob"), IsOk());
  }
  const absl::Status refused = gate.Admit(ci, "GetJob").status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("vision")));
  EXPECT_EQ(jobs::ReasonOf(refused), jobs::reason::kQuotaExceeded);
  EXPECT_TRUE(refused.GetPayload(jobs::kRetryInfoUrl).has_value());
  EXPECT_THAT(gate.Admit(other, "GetJob"), IsOk());
}

TEST_F(GateTest, AProjectsCallsComeBackWithTime) {
  std::promise<absl::Status> set;
  projects_->SetShares(
      "vision",
      [](store::Shares& shares) {
        shares.calls_per_second = 2;
        return absl::OkStatus();
      },
      absl::Now(),
      [&](const absl::StatusOr<store::Project>& project) { set.set_value(project.status()); });
  ASSERT_THAT(set.get_future().get(), IsOk());
  absl::Duration now = absl::Hours(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(projects_->CountCall("vision", now), IsOk());
  }
  EXPECT_THAT(projects_->CountCall("vision", now),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
  now += absl::Milliseconds(600);
  EXPECT_THAT(projects_->CountCall("vision", now), IsOk());
  EXPECT_THAT(projects_->CountCall("vision", now),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
}

class ClientNamesTest : public GateTest {
 protected:
  void Write(const std::string& text) { ASSERT_THAT(WriteFileAtomically(path_, text), IsOk()); }
  const std::string path_ = folder_ + "/clients";
};

TEST_F(ClientNamesTest, ACertificatesNameStandsForItsRoleAndProject) {
  Write("# who calls\nanna = operator@vision\nrobot, of CI = viewer\n");
  const auto clients = *Clients::Open(path_);
  Gate gate({.client_certificates = true, .clients = clients.get()}, *tokens_, *projects_,
            registry_);
  const auto anna = gate.Admit(Certificate("anna"), "DeleteJob");
  ASSERT_THAT(anna, IsOk());
  EXPECT_EQ(anna->project, "vision");
  Credentials robot = Certificate("robot, of CI");
  robot.project = "speech";
  EXPECT_EQ(gate.Admit(robot, "GetJob")->project, "speech");
  EXPECT_THAT(gate.Admit(robot, "CreateJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, ::testing::_));
}

TEST_F(ClientNamesTest, ANameThatIsNotInTheFileIsUnknown) {
  Write("anna = operator@vision\n");
  const auto clients = *Clients::Open(path_);
  Gate gate({.client_certificates = true, .clients = clients.get()}, *tokens_, *projects_,
            registry_);
  EXPECT_THAT(gate.Admit(Certificate("eve"), "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--tls-clients")));
}

TEST_F(ClientNamesTest, WhoCameInByANameThatIsGoneIsNotAdmittedAnyMore) {
  Write("anna = operator@vision\n");
  const auto clients = *Clients::Open(path_);
  EXPECT_TRUE(clients->Find("anna", absl::Hours(1)).has_value());
  Write("berta = operator@vision\n");
  EXPECT_TRUE(clients->Find("anna", absl::Hours(1)).has_value()) << "the file is looked at again";
  EXPECT_FALSE(clients->Find("anna", absl::Hours(1) + absl::Seconds(1)).has_value());
  Gate gate({.client_certificates = true, .clients = clients.get()}, *tokens_, *projects_,
            registry_);
  const Caller anna{.name = "certificate:anna",
                    .role = Role::kOperator,
                    .project = "vision",
                    .is_bound = true,
                    .certificate_name = "anna"};
  EXPECT_THAT(gate.StillAdmitted(anna),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("stands for nobody")));
}

TEST_F(ClientNamesTest, AWrongFileLeavesTheNamesOfBefore) {
  Write("anna = operator@vision\n");
  const auto clients = *Clients::Open(path_);
  Write("anna = king\n");
  EXPECT_TRUE(clients->Find("anna", absl::Hours(1)).has_value());
}

TEST(ClientNames, WrongLinesAreNamed) {
  for (const auto& [text, why] :
       {std::pair("anna\n", "line 1: there is no ="), std::pair("\n= viewer\n", "line 2"),
        std::pair("anna = king\n", "no role \"king\""),
        std::pair("anna = viewer@a b\n", "no project \"a b\""),
        std::pair("anna = viewer@\n", "no project \"\""),
        std::pair("anna = viewer\nanna = admin\n", "line 2: the name anna is there twice")}) {
    EXPECT_THAT(ParseClients(text).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  }
}

TEST_F(GateTest, ATokenThatCountsNoMoreIsForgottenAfterAWhile) {
  const absl::Time long_ago = absl::Now() - absl::Hours(24 * 200);
  Add("expired", Role::kViewer, long_ago + absl::Hours(1), long_ago);
  Add("counts", Role::kViewer, absl::InfiniteFuture(), long_ago);
  EXPECT_EQ(tokens_->List().size(), 2U);
  Add("new", Role::kViewer);
  EXPECT_EQ(tokens_->List().size(), 2U);
  EXPECT_EQ(store_->tokens().All()->size(), 2U);
  Open();
  EXPECT_EQ(tokens_->List().size(), 2U);
}

TEST_F(GateTest, TheStoreHasTheHashOfATokenAndWhenItWasUsed) {
  const Credentials ci = Add("ci", Role::kViewer);
  Gate gate({}, *tokens_, *projects_, registry_);
  EXPECT_EQ(store_->tokens().All()->at(0).used, absl::InfinitePast());
  const absl::Time before = absl::Now();
  EXPECT_THAT(gate.Admit(ci, "GetJob"), IsOk());
  writer_.reset();  // which finishes what was submitted
  const store::Token token = store_->tokens().All()->at(0);
  EXPECT_GE(token.used, before - absl::Seconds(1));
  EXPECT_EQ(token.hash, Sha256(ci.authorization.substr(7)));
}

TEST(NewTokens, HaveAPrefixAndAreNeverTheSame) {
  const absl::Time now = absl::Now();
  const auto one = MakeToken("a", Role::kViewer, "", absl::InfiniteFuture(), now);
  const auto other = MakeToken("a", Role::kViewer, "", absl::InfiniteFuture(), now);
  ASSERT_THAT(one, IsOk());
  EXPECT_THAT(one->secret, ::testing::MatchesRegex("hone_[A-Za-z0-9_-]+"));
  EXPECT_GE(one->secret.size(), 48U);
  EXPECT_NE(one->secret, other->secret);
}

TEST(NewTokens, WrongNamesAndTimesAreRefused) {
  const absl::Time now = absl::Now();
  for (const std::string id : {"", "-a", "a b", "a/b"}) {
    EXPECT_THAT(MakeToken(id, Role::kViewer, "", absl::InfiniteFuture(), now).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token_id")));
  }
  EXPECT_THAT(MakeToken("a", Role::kViewer, "a b", absl::InfiniteFuture(), now).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("project")));
  EXPECT_THAT(MakeToken("a", Role::kViewer, "", now, now).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("in the future")));
}

}  // namespace
}  // namespace hone::server::access
