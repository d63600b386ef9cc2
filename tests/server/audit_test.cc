#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/access/audit_log.h"
#include "server/scheduler/executor.h"
#include "server/store/audited_call.h"
#include "server/store/writer.h"
#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class AuditTest : public JobStoreTest {
 protected:
  AuditTest() {
    writer_ = std::make_unique<Writer>(*store_, [](const LoggedEvent&) {});
  }
  ~AuditTest() override { writer_.reset(); }

  static std::shared_ptr<AuditedCall> Call(const std::string& rpc) {
    auto call = std::make_shared<AuditedCall>();
    call->entry.caller = "token:ci";
    call->entry.rpc = rpc;
    return call;
  }
  std::vector<AuditEntry> Entries(const ListAudit& what = {}) const {
    const auto page = store_->audit().List(what);
    EXPECT_THAT(page, IsOk());
    return page.ok() ? page->items : std::vector<AuditEntry>();
  }
  void Add(const std::string& caller, const std::string& resource, absl::Time time = kNow) {
    EXPECT_THAT(writer_->RunStatus([&](JobStore& store) {
      return store.audit().Insert({.time = time, .caller = caller, .resource = resource});
    }),
                IsOk());
  }

  std::unique_ptr<Writer> writer_;
};

INSTANTIATE_TEST_SUITE_P(Stores, AuditTest, ::testing::ValuesIn(kStoreBackends), BackendName);

TEST_P(AuditTest, AWriteForACallBringsItsEntry) {
  const WorkingFor working(Call("CreateJob"));
  const auto job = writer_->Run<jobs::Job>(
      [](JobStore& store) { return store.Insert({.id = "a", .spec = Spec()}, kNow); });
  ASSERT_THAT(job, IsOk());
  ASSERT_THAT(Entries(), SizeIs(1));
  EXPECT_EQ(Entries()[0].rpc, "CreateJob");
  EXPECT_EQ(Entries()[0].resource, "jobs/a");
  EXPECT_EQ(Entries()[0].code, "OK");
}

TEST_P(AuditTest, AWriteThatFailsBringsNone) {
  const WorkingFor working(Call("CancelJob"));
  EXPECT_FALSE(
      writer_->Run<jobs::Job>([](JobStore& store) { return store.RequestCancel("none", kNow); })
          .ok());
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_P(AuditTest, TwoWritesForACallBringOneEntry) {
  const WorkingFor working(Call("DeleteDataset"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(writer_->RunStatus([](JobStore& store) { return store.RenewLeases(kNow); }),
                IsOk());
  }
  EXPECT_THAT(Entries(), SizeIs(1));
}

TEST_P(AuditTest, TheServersOwnWritesBringNone) {
  EXPECT_THAT(writer_->RunStatus([](JobStore& store) { return store.RenewLeases(kNow); }), IsOk());
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_P(AuditTest, ACallIsTakenToOtherThreads) {
  scheduler::Executor executor(1, 1);
  std::promise<absl::Status> written;
  {
    const WorkingFor working(Call("DeleteDataset"));
    ASSERT_TRUE(executor.Submit([&] {
      written.set_value(
          writer_->RunStatus([](JobStore& store) { return store.RenewLeases(kNow); }));
    }));
  }
  EXPECT_THAT(written.get_future().get(), IsOk());
  EXPECT_THAT(Entries(), SizeIs(1));
}

TEST_P(AuditTest, EntriesAreFoundByWhoAndWhat) {
  Add("token:a", "jobs/1");
  Add("token:b", "jobs/1");
  Add("token:a", "jobs/2", kNow + absl::Hours(1));
  EXPECT_THAT(Entries({.caller = "token:a"}), SizeIs(2));
  EXPECT_THAT(Entries({.resource = "jobs/1"}), SizeIs(2));
  EXPECT_THAT(Entries({.caller = "token:a", .resource = "jobs/1"}), SizeIs(1));
  EXPECT_THAT(Entries({.since = kNow + absl::Minutes(1)}), SizeIs(1));
}

TEST_P(AuditTest, PagesFollowOneAnotherFromTheNewest) {
  for (int i = 0; i < 5; ++i) {
    Add("owner", absl::StrCat("jobs/", i));
  }
  std::vector<std::string> seen;
  ListAudit what{.limit = 2};
  do {
    const auto page = store_->audit().List(what);
    ASSERT_THAT(page, IsOk());
    for (const AuditEntry& entry : page->items) {
      seen.push_back(entry.resource);
    }
    what.before_row = page->next_row;
  } while (what.before_row != 0);
  EXPECT_THAT(seen, ElementsAre("jobs/4", "jobs/3", "jobs/2", "jobs/1", "jobs/0"));
}

TEST_P(AuditTest, WhatIsPastItsLimitsGoes) {
  for (int i = 0; i < 5; ++i) {
    Add("owner", absl::StrCat("jobs/", i), kNow + absl::Hours(i));
  }
  const auto remove = [&](absl::Time before, int64_t at_most) {
    return writer_->Run<int>(
        [&](JobStore& store) { return store.audit().Remove(before, at_most, 100); });
  };
  EXPECT_EQ(remove(kNow + absl::Hours(1), 0).value_or(-1), 1);
  EXPECT_EQ(remove(absl::InfinitePast(), 2).value_or(-1), 2);
  ASSERT_THAT(Entries(), SizeIs(2));
  EXPECT_EQ(Entries()[0].resource, "jobs/4");
}

TEST_P(AuditTest, LongTextsAreCut) {
  Add(std::string(10'000, 'x'), "jobs/1");
  EXPECT_EQ(Entries()[0].caller.size(), 256U);
}

TEST_P(AuditTest, WhatIsRecordedForACallIsRecordedOnce) {
  access::AuditLog log(*writer_);
  {
    const WorkingFor working(Call("CreateBackup"));
    log.Record({.rpc = "CreateBackup", .code = "OK"}, /*refused=*/false);
  }
  EXPECT_THAT(writer_->RunStatus([](JobStore& store) { return store.RenewLeases(kNow); }), IsOk());
  EXPECT_THAT(Entries(), SizeIs(1));
}

TEST_P(AuditTest, AStrangerCannotFillTheLog) {
  access::AuditLog log(*writer_);
  for (int i = 0; i < 1000; ++i) {
    log.Record({.rpc = "GetJob", .code = "UNAUTHENTICATED"}, /*refused=*/true);
  }
  EXPECT_THAT(writer_->RunStatus([](JobStore& store) { return store.RenewLeases(kNow); }), IsOk());
  // And the few that time has allowed meanwhile.
  EXPECT_LT(Entries({.limit = 1000}).size(), 100U);
  EXPECT_GE(Entries({.limit = 1000}).size(), 60U);
}

}  // namespace
}  // namespace hone::server::store
