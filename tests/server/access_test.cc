#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/sweep.pb.h"
#include "hone/v1/training_service.pb.h"
#include "server/access/gate.h"
#include "server/access/role.h"
#include "tests/support/status_matchers.h"

namespace hone::server::access {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Every service that a file of hone.v1 declares, in files that these depend on or are.
std::set<const google::protobuf::ServiceDescriptor*> Services() {
  std::set<const google::protobuf::ServiceDescriptor*> services;
  for (const auto* file :
       {v1::CreateJobRequest::descriptor()->file(), v1::ListModelsRequest::descriptor()->file(),
        v1::BeginUploadRequest::descriptor()->file(),
        v1::CreateSweepRequest::descriptor()->file()}) {
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
  metrics::Registry registry_;
};

TEST_F(GateTest, WithoutAWayToSayWhoOneIsEverybodyMayDoEverything) {
  Gate gate({}, registry_);
  EXPECT_TRUE(gate.IsOpen());
  EXPECT_THAT(gate.Admit(Credentials(), "DeleteModel"), IsOk());
}

TEST_F(GateTest, AnRpcThatIsNotInTheListIsRefusedEvenThere) {
  EXPECT_THAT(Gate({}, registry_).Admit(Credentials(), "Nothing").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("Nothing")));
}

TEST_F(GateTest, WhoCouldShowACertificateAndDoesNotIsUnknown) {
  Gate gate({.client_certificates = true}, registry_);
  EXPECT_FALSE(gate.IsOpen());
  EXPECT_THAT(gate.Admit(Credentials(), "GetJob").status(),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--tls-cert")));
}

TEST_F(GateTest, ACertificateGivesTheRoleThatIsSetAndNoMore) {
  Gate gate({.client_certificates = true, .certificate_role = Role::kViewer}, registry_);
  const Credentials anna = {.has_certificate = true, .certificate_name = "anna"};
  const auto caller = gate.Admit(anna, "GetJob");
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->name, "certificate:anna");
  EXPECT_THAT(gate.Admit(anna, "CreateJob").status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("role submitter")));
}

}  // namespace
}  // namespace hone::server::access
