#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "httplib.h"
#include "server/store/sqlite_store.h"
#include "server/store/writer.h"
#include "server/webhooks/address.h"
#include "server/webhooks/sender.h"
#include "server/webhooks/webhook.h"
#include "tests/server/now.h"
#include "tests/support/status_matchers.h"

namespace hone::server::webhooks {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

bool Allows(const AddressRule& rule, const std::string& text) {
  sockaddr_storage storage = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    storage.ss_family = AF_INET;
  } else {
    storage.ss_family = AF_INET6;
    EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
  }
  return rule.Allows(reinterpret_cast<const sockaddr&>(storage));
}

TEST(Addresses, OfTheOpenNetworkMayBeCalled) {
  for (const char* const address : {"1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1",
                                    "11.0.0.0", "2606:4700:4700::1111", "::ffff:8.8.8.8"}) {
    EXPECT_TRUE(Allows(AddressRule(), address)) << address;
  }
}

TEST(Addresses, ThatArePrivateMayNotBeCalled) {
  for (const char* const address : {"127.0.0.1",
                                    "127.255.255.255",
                                    "10.0.0.1",
                                    "172.16.0.1",
                                    "172.31.0.1",
                                    "192.168.1.1",
                                    "169.254.169.254",
                                    "0.0.0.0",
                                    "100.64.0.1",
                                    "224.0.0.1",
                                    "255.255.255.255",
                                    "198.18.0.1",
                                    "192.0.2.1",
                                    "::1",
                                    "::",
                                    "fe80::1",
                                    "fc00::1",
                                    "fd00:ec2::254",
                                    "ff02::1",
                                    "2001:db8::1",
                                    "::ffff:127.0.0.1",
                                    "::ffff:10.0.0.1",
                                    "64:ff9b::7f00:1",
                                    "2002:7f00:1::",
                                    "2002:a9fe:a9fe::",
                                    "::127.0.0.1",
                                    "fec0::1"}) {
    EXPECT_FALSE(Allows(AddressRule(), address)) << address;
  }
}

TEST(Addresses, OfANetworkThatIsAllowedMayBeCalled) {
  const auto rule = AddressRule::Make({"10.1.0.0/16", "fd00::/8", "192.168.7.7"});
  ASSERT_THAT(rule, IsOk());
  for (const char* const address : {"10.1.2.3", "fd12::1", "192.168.7.7", "::ffff:10.1.2.3"}) {
    EXPECT_TRUE(Allows(*rule, address)) << address;
  }
  for (const char* const address : {"10.2.0.1", "192.168.7.8", "127.0.0.1", "fc00::1"}) {
    EXPECT_FALSE(Allows(*rule, address)) << address;
  }
}

TEST(Addresses, ThatAreNoneCannotBeAllowed) {
  for (const char* const text : {"", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "fd00::/129",
                                 "http://host", "host/8", "a b"}) {
    EXPECT_THAT(AddressRule::Make({text}).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--webhook-allow")))
        << text;
  }
}

v1::CreateWebhookRequest Asked(const std::string& url) {
  v1::CreateWebhookRequest request;
  request.set_webhook_id("hook");
  request.mutable_webhook()->set_url(url);
  return request;
}

TEST(WebhookUrls, AreHttpWithAHost) {
  for (const char* const url :
       {"http://example.org", "https://example.org:8443/a?b=c", "HTTPS://EXAMPLE.ORG/"}) {
    EXPECT_THAT(Check(Asked(url), AddressRule()), IsOk()) << url;
  }
}

TEST(WebhookUrls, ThatAreNoneAreRefused) {
  for (const std::string& url :
       {std::string(""), std::string("example.org"), std::string("ftp://example.org"),
        std::string("file:///etc/passwd"), std::string("http://"),
        std::string("http://user@example.org"), std::string("http://user:word@example.org"),
        std::string("http://example.org/#a"), std::string("http://exa mple.org"),
        std::string("http://example.org/\r\nHost: x"), std::string("http://example.org:99999"),
        std::string("javascript:alert(1)"), "http://example.org/" + std::string(3000, 'a')}) {
    EXPECT_THAT(Check(Asked(url), AddressRule()).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("webhook.url")))
        << url;
  }
}

TEST(WebhookUrls, WithAPrivateAddressAreRefusedAtOnce) {
  for (const char* const url : {"http://127.0.0.1:80/", "http://[::1]/", "http://169.254.169.254/",
                                "http://[::ffff:10.0.0.1]/"}) {
    EXPECT_THAT(Check(Asked(url), AddressRule()).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--webhook-allow")))
        << url;
  }
}

TEST(Webhooks, WithWrongFieldsAreRefused) {
  const auto refused = [](const std::function<void(v1::CreateWebhookRequest&)>& change) {
    v1::CreateWebhookRequest request = Asked("https://example.org");
    change(request);
    const absl::Status status = Check(request, AddressRule()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refused([](auto& r) { r.set_webhook_id("a/b"); }), HasSubstr("webhook_id"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_webhook()->add_ends(v1::Job::RUNNING); }),
              HasSubstr("webhook.ends[0]"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_webhook()->add_metrics()->set_above(1); }),
              HasSubstr("webhook.metrics[0].metric"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_webhook()->add_metrics()->set_metric("loss"); }),
              HasSubstr("`above` or `below`"));
  EXPECT_THAT(refused([](auto& r) {
                for (int i = 0; i < 17; ++i) {
                  r.mutable_webhook()->add_metrics()->set_metric("loss");
                }
              }),
              HasSubstr("webhook.metrics"));
}

TEST(Signatures, AreTheHmacOfTheTimeAndTheBody) {
  // printf '1700000000.{"id":"a"}' | openssl dgst -sha256 -hmac 0123456789abcdef
  EXPECT_EQ(Signature("0123456789abcdef", kNow, "{\"id\":\"a\"}"),
            "t=1700000000,v1=7eefd6dab3572ab7b831fd0f3b0189166fd2d48edffb19b3bed33209454c06ad");
}

TEST(Delays, GrowToAnHour) {
  EXPECT_EQ(DelayAfter(1, 0.5), absl::Seconds(1));
  EXPECT_EQ(DelayAfter(4, 0.5), absl::Seconds(8));
  EXPECT_EQ(DelayAfter(1000, 0.5), absl::Hours(1));
  EXPECT_EQ(DelayAfter(1, 0), absl::Seconds(0.5));
}

// A store with its writer, and a receiver that keeps what it was sent.
class WebhookTest : public ::testing::Test {
 protected:
  WebhookTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/webhooks-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    Open();
    receiver_.Post("/hook", [this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      received_.push_back({request.body, request.get_header_value("Hone-Signature"),
                           request.get_header_value("Hone-Delivery")});
      response.status = answers_.empty() ? 200 : answers_.front();
      if (!answers_.empty()) {
        answers_.erase(answers_.begin());
      }
      response.set_header("Location", "/hook");
    });
    port_ = receiver_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { receiver_.listen_after_bind(); });
  }
  ~WebhookTest() override {
    sender_.reset();
    writer_.reset();
    store_.reset();
    receiver_.stop();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }
  struct Received {
    std::string body, signature, delivery;
  };

  // As a server that starts.
  void Open() {
    sender_.reset();
    writer_.reset();
    store_.reset();
    store_ = *store::OpenSqliteStore(folder_ + "/store.db");
    writer_ = std::make_unique<store::Writer>(*store_, [](const store::LoggedEvent&) {});
  }
  void Send(const std::vector<std::string>& allowed = {"127.0.0.1"}) {
    sender_ = std::make_unique<Sender>(*AddressRule::Make(allowed), *store_, *writer_, registry_);
    sender_->Start();
  }
  void Add(const std::function<void(v1::Webhook&)>& change = [](v1::Webhook&) {}) {
    v1::Webhook webhook;
    webhook.set_name("webhooks/hook");
    webhook.set_project(jobs::kDefaultProject);
    webhook.set_url(absl::StrCat("http://127.0.0.1:", port_, "/hook"));
    change(webhook);
    Do([&](store::JobStore& store) {
      return store.webhooks().Insert(webhook, "0123456789abcdef");
    });
  }
  void Do(const std::function<absl::Status(store::JobStore&)>& what) {
    ASSERT_THAT(writer_->RunStatus(what), IsOk());
  }
  void Begin(const std::string& id) {
    Do([&](store::JobStore& store) -> absl::Status {
      v1::JobSpec spec;
      spec.mutable_classification();
      spec.set_display_name("digits");
      (*spec.mutable_labels())["team"] = "vision";
      (void)store.Insert({.id = id, .spec = spec}, absl::Now());
      return store.Claim(1, absl::Now()).status();
    });
  }
  void End(const std::string& id, jobs::JobState state = jobs::JobState::kSucceeded,
           v1::Job::EndReason reason = v1::Job::COMPLETED) {
    Do([&](store::JobStore& store) {
      return store.Finish(id, 1, {.state = state, .reason = reason}, absl::Now());
    });
  }
  void Tell(const std::string& id, double loss) {
    Do([&](store::JobStore& store) {
      v1::Event event;
      (*event.mutable_metrics()->mutable_values())["loss"] = loss;
      return store.Append(id, 1, {.events = {event}}, absl::Now());
    });
  }
  std::vector<v1::WebhookDelivery> Deliveries() const {
    const auto webhook = store_->webhooks().Get(jobs::kDefaultProject, "hook");
    return webhook.ok() ? std::vector<v1::WebhookDelivery>(webhook->deliveries().begin(),
                                                           webhook->deliveries().end())
                        : std::vector<v1::WebhookDelivery>();
  }
  std::vector<Received> All() const {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  static void Await(const std::function<bool()>& there) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!there() && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_TRUE(there());
  }
  bool Is(v1::WebhookDelivery::State state) const {
    const auto all = Deliveries();
    return all.size() == 1 && all[0].state() == state;
  }

  static inline int counter_ = 0;
  const std::string folder_;
  mutable std::mutex mutex_;
  std::vector<Received> received_;  // guarded by mutex_
  std::vector<int> answers_;        // guarded by mutex_
  httplib::Server receiver_;
  int port_ = 0;
  std::thread thread_;
  metrics::Registry registry_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<Sender> sender_;
};

TEST_F(WebhookTest, TheEndOfAJobIsTold) {
  Add();
  Begin("job1");
  End("job1");
  Send();
  Await([&] { return Is(v1::WebhookDelivery::DELIVERED); });
  ASSERT_THAT(All(), SizeIs(1));
  const nlohmann::json body = nlohmann::json::parse(All()[0].body);
  EXPECT_EQ(body["event"], "job.succeeded");
  EXPECT_EQ(body["job"], "jobs/job1");
  EXPECT_EQ(body["state"], "SUCCEEDED");
  EXPECT_EQ(body["labels"]["team"], "vision");
  EXPECT_EQ(body["id"], All()[0].delivery);
}

TEST_F(WebhookTest, ADeliveryIsSigned) {
  Add();
  Begin("job1");
  End("job1");
  Send();
  Await([&] { return !All().empty(); });
  const Received got = All()[0];
  int64_t seconds = 0;
  ASSERT_EQ(std::sscanf(got.signature.c_str(), "t=%ld", &seconds), 1);
  EXPECT_EQ(got.signature, Signature("0123456789abcdef", absl::FromUnixSeconds(seconds), got.body));
}

TEST_F(WebhookTest, WhatWasNotTakenIsSentAgainWithTheSameId) {
  answers_ = {500, 302};
  Add();
  Begin("job1");
  End("job1");
  Send();
  Await([&] { return Is(v1::WebhookDelivery::DELIVERED); });
  ASSERT_THAT(All(), SizeIs(3));
  EXPECT_EQ(All()[0].delivery, All()[2].delivery);
  EXPECT_EQ(All()[0].body, All()[2].body);
  EXPECT_EQ(Deliveries()[0].attempts(), 3);
}

TEST_F(WebhookTest, WhatWasNotSentBeforeTheServerEndedIsSentAfterwards) {
  Add();
  Begin("job1");
  End("job1");
  const std::string id = Deliveries()[0].id();
  Open();
  Send();
  Await([&] { return !All().empty(); });
  EXPECT_EQ(All()[0].delivery, id);
}

TEST_F(WebhookTest, APrivateAddressIsNotCalled) {
  Add();
  Begin("job1");
  End("job1");
  Send({});
  Await([&] { return Deliveries()[0].attempts() > 0; });
  EXPECT_THAT(Deliveries()[0].message(), HasSubstr("--webhook-allow"));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(WebhookTest, ANameThatLeadsToAPrivateAddressIsNotCalled) {
  Add([this](v1::Webhook& webhook) {
    webhook.set_url(absl::StrCat("http://localhost:", port_, "/hook"));
  });
  Begin("job1");
  End("job1");
  Send({});
  Await([&] { return Deliveries()[0].attempts() > 0; });
  EXPECT_THAT(Deliveries()[0].message(), HasSubstr("--webhook-allow"));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(WebhookTest, AHostThatIsAllowedByNameIsCalled) {
  Add([this](v1::Webhook& webhook) {
    webhook.set_url(absl::StrCat("http://localhost:", port_, "/hook"));
  });
  Begin("job1");
  End("job1");
  Send({"localhost"});
  Await([&] { return Is(v1::WebhookDelivery::DELIVERED); });
}

TEST_F(WebhookTest, OnlyTheEndsThatItAsksForAreTold) {
  Add([](v1::Webhook& webhook) { webhook.add_ends(v1::Job::FAILED); });
  Begin("job1");
  End("job1");
  Begin("job2");
  End("job2", jobs::JobState::kFailed, v1::Job::INTERNAL);
  ASSERT_THAT(Deliveries(), SizeIs(1));
  EXPECT_EQ(Deliveries()[0].job(), "jobs/job2");
}

TEST_F(WebhookTest, OnlyJobsWithItsLabelsAreTold) {
  Add([](v1::Webhook& webhook) { (*webhook.mutable_labels())["team"] = "speech"; });
  Begin("job1");
  End("job1");
  EXPECT_THAT(Deliveries(), IsEmpty());
}

TEST_F(WebhookTest, AThresholdIsToldOnceForAJob) {
  Add([](v1::Webhook& webhook) {
    webhook.add_metrics()->set_metric("loss");
    webhook.mutable_metrics(0)->set_below(0.5);
  });
  Begin("job1");
  for (const double loss : {0.9, 0.4, 0.8, 0.3}) {
    Tell("job1", loss);
  }
  End("job1");
  ASSERT_THAT(Deliveries(), SizeIs(1));
  EXPECT_EQ(Deliveries()[0].event(), "job.metric");
}

TEST_F(WebhookTest, JobsOfOtherProjectsAreNotTold) {
  Add([](v1::Webhook& webhook) { webhook.set_project("speech"); });
  Begin("job1");
  End("job1");
  EXPECT_EQ(store_->webhooks().Waiting()->number, 0);
  EXPECT_THAT(store_->webhooks().Get(jobs::kDefaultProject, "hook").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("webhooks/hook")));
}

TEST_F(WebhookTest, WhatDidNotHappenIsNotTold) {
  Add();
  Begin("job1");
  EXPECT_FALSE(writer_
                   ->RunStatus([&](store::JobStore& store) {
                     return store.Finish(
                         "job1", /*attempt=*/7,
                         {.state = jobs::JobState::kSucceeded, .reason = v1::Job::COMPLETED},
                         absl::Now());
                   })
                   .ok());
  EXPECT_THAT(Deliveries(), IsEmpty());
}

TEST_F(WebhookTest, WhatWaitsGoesWithItsWebhook) {
  Add();
  Begin("job1");
  End("job1");
  Do([](store::JobStore& store) { return store.webhooks().Delete(jobs::kDefaultProject, "hook"); });
  EXPECT_EQ(store_->webhooks().Waiting()->number, 0);
}

TEST_F(WebhookTest, OneNameIsUsedOnce) {
  Add();
  v1::Webhook webhook;
  webhook.set_name("webhooks/hook");
  webhook.set_project(jobs::kDefaultProject);
  EXPECT_THAT(writer_->RunStatus(
                  [&](store::JobStore& store) { return store.webhooks().Insert(webhook, "x"); }),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("webhooks/hook")));
}

TEST_F(WebhookTest, ASecretIsNeverListed) {
  Add();
  const auto all = store_->webhooks().All(jobs::kDefaultProject);
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->front().SerializeAsString().find("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace hone::server::webhooks
