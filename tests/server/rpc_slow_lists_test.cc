// What the store takes long for, and the calls and probes beside it.
#include <atomic>
#include <vector>

#include "tests/server/rpc_testing.h"
#include "tests/server/sqlite_faults.h"

namespace hone::server::rpc {
namespace {

// Sees the connections that the store opens, so it is a base that comes before the server.
struct Connections {
  store::OpenedConnections connections;
};

class SlowListsTest : private Connections, public RpcTest {
 protected:
  store::OpenedConnections& opened() { return connections; }
};

// More of them than gRPC has threads for handlers.
TEST_F(SlowListsTest, HoldUpNoCallThatTakesAMoment) {
  const std::string name = Create(Request("succeed")).name();
  opened().Hold("row < ?1");
  std::vector<std::thread> lists;
  for (int i = 0; i < 16; ++i) {
    lists.emplace_back([this] {
      grpc::ClientContext context;
      v1::ListJobsResponse response;
      training_->ListJobs(&context, {}, &response);
    });
  }
  opened().AwaitHeld(2);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  const grpc::Status status = training_->GetJob(&context, request, &job);
  opened().LetGo();
  for (std::thread& list : lists) {
    list.join();
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// 144 MiB together, a few at a time: where more than the buffers of all connections hold are on
// their way at once, gRPC ends some of them itself.
TEST_F(SlowListsTest, LargeRequestsThatWaitHaveABoundInBytes) {
  opened().Hold("row < ?1");
  std::vector<std::thread> calls;
  std::atomic<int> refused = 0;
  const auto list = [&](size_t bytes) {
    calls.emplace_back([this, bytes, &refused] {
      grpc::ClientContext context;
      v1::ListJobsRequest request;
      request.set_page_token(std::string(bytes, 'x'));
      v1::ListJobsResponse response;
      const grpc::Status status = training_->ListJobs(&context, request, &response);
      refused += status.error_message().find("too many large requests") != std::string::npos;
    });
  };
  list(0);
  list(0);
  opened().AwaitHeld(2);  // so that the others wait
  for (int i = 0; i < 48; ++i) {
    list(size_t{3} << 20);
    if (i % 6 == 5) {
      ::usleep(200'000);
    }
  }
  for (int i = 0; i < 2000 && refused == 0; ++i) {
    ::usleep(10'000);
  }
  opened().LetGo();
  for (std::thread& call : calls) {
    call.join();
  }
  EXPECT_GT(refused, 0);
}

// More of them than there are threads for them.
TEST_F(SlowListsTest, ScrapesHoldUpNoProbe) {
  opened().Hold("GROUP BY state");
  std::vector<std::thread> scrapes;
  for (int i = 0; i < 6; ++i) {
    scrapes.emplace_back([this] { Http("/metrics"); });
  }
  opened().AwaitHeld(2);
  EXPECT_EQ(Http("/healthz"), "ok\n");
  EXPECT_EQ(Http("/readyz"), "ready\n");
  opened().LetGo();
  for (std::thread& scrape : scrapes) {
    scrape.join();
  }
}

}  // namespace
}  // namespace hone::server::rpc
