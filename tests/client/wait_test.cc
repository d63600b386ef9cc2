// How a client waits for a server that was away.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "engine/base/steady_clock.h"
#include "hone/v1/training_service.grpc.pb.h"

namespace hone::client {
namespace {

class FakeTraining final : public v1::TrainingService::Service {
 public:
  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::ServerInfo*) override {
    return grpc::Status::OK;
  }
};

class WaitTest : public ::testing::Test {
 protected:
  // 0: a port that nobody had.
  void Serve(int port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&training_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void End() {
    server_->Shutdown();
    server_.reset();
  }

  FakeTraining training_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(WaitTest, WhoWaitsBetweenCallsThatFailAtOnceFindsTheServerThatIsBack) {
  Serve(0);
  const auto client = Client::ForServer(absl::StrCat("127.0.0.1:", port_));
  ASSERT_TRUE(client->GetServerInfo().ok());
  End();
  EXPECT_FALSE(client->GetServerInfo().ok());
  EXPECT_FALSE(client->GetServerInfo().ok());
  Serve(port_);
  bool found = false;
  for (int i = 0; i < 20 && !found; ++i) {
    client->Wait(absl::Milliseconds(500));
    found = client->GetServerInfo().ok();
  }
  EXPECT_TRUE(found);
}

TEST_F(WaitTest, AllOfTheTimePassesWhereTheConnectionStands) {
  Serve(0);
  const auto client = Client::ForServer(absl::StrCat("127.0.0.1:", port_));
  ASSERT_TRUE(client->GetServerInfo().ok());
  const absl::Duration begin = SteadyNow();
  client->Wait(absl::Milliseconds(300));
  EXPECT_GE(SteadyNow() - begin, absl::Milliseconds(300));
}

TEST_F(WaitTest, AllOfTheTimePassesWhereNobodyIsThere) {
  Serve(0);
  End();
  const auto client = Client::ForServer(absl::StrCat("127.0.0.1:", port_));
  const absl::Duration begin = SteadyNow();
  client->Wait(absl::Milliseconds(300));
  EXPECT_GE(SteadyNow() - begin, absl::Milliseconds(300));
}

}  // namespace
}  // namespace hone::client
