#include "server/store/sweep_store.h"

#include "tests/server/job_store_testing.h"

namespace hone::server::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SweepStoreTest : public JobStoreTest {
 protected:
  NewSweep New(const std::string& id, const std::string& request_id = "") {
    NewSweep fresh;
    fresh.request_id = request_id;
    fresh.sent.set_display_name("s");
    fresh.sweep.set_name(SweepName(id));
    fresh.sweep.set_state(v1::Sweep::RUNNING);
    fresh.sweep.mutable_spec()->mutable_job()->set_display_name("template");
    for (int number = 1; number <= 3; ++number) {
      fresh.sweep.add_trials()->set_number(number);
    }
    return fresh;
  }
};

TEST_P(SweepStoreTest, KeepsASweepWithItsTrials) {
  ASSERT_THAT(store_->sweeps().Insert(New("a")), IsOk());
  Open();
  const auto sweep = store_->sweeps().Get("a");
  ASSERT_THAT(sweep, IsOk());
  EXPECT_EQ(sweep->name(), "sweeps/a");
  ASSERT_EQ(sweep->trials_size(), 3);
  EXPECT_EQ(sweep->trials(2).number(), 3);
}

TEST_P(SweepStoreTest, ARequestMakesOneSweep) {
  ASSERT_THAT(store_->sweeps().Insert(New("a", "once")), IsOk());
  const auto again = store_->sweeps().Insert(New("b", "once"));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->name(), "sweeps/a");
  EXPECT_EQ(again->trials_size(), 3);
  NewSweep other = New("c", "once");
  other.sent.set_display_name("other");
  EXPECT_THAT(store_->sweeps().Insert(other),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("sweeps/a")));
  EXPECT_THAT(store_->sweeps().FindRequest(jobs::kDefaultProject, "once", other.sent),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("")));
  EXPECT_EQ((*store_->sweeps().FindRequest(jobs::kDefaultProject, "once", New("a").sent))->name(),
            "sweeps/a");
  EXPECT_FALSE(
      store_->sweeps().FindRequest(jobs::kDefaultProject, "never", other.sent)->has_value());
}

TEST_P(SweepStoreTest, AChangeIsWrittenWhole) {
  ASSERT_THAT(store_->sweeps().Insert(New("a")), IsOk());
  ASSERT_THAT(store_->sweeps().Change("a",
                                      [](v1::Sweep& sweep) {
                                        sweep.mutable_trials(1)->set_job("jobs/x");
                                        sweep.set_state(v1::Sweep::SUCCEEDED);
                                        return absl::OkStatus();
                                      }),
              IsOk());
  Open();
  EXPECT_EQ(store_->sweeps().Get("a")->trials(1).job(), "jobs/x");
  EXPECT_EQ(store_->sweeps().Get("a")->state(), v1::Sweep::SUCCEEDED);
  EXPECT_THAT(*store_->sweeps().Unfinished(), IsEmpty());
}

TEST_P(SweepStoreTest, ARefusedChangeLeavesItAsItWas) {
  ASSERT_THAT(store_->sweeps().Insert(New("a")), IsOk());
  EXPECT_THAT(store_->sweeps().Change("a",
                                      [](v1::Sweep& sweep) {
                                        sweep.mutable_trials(1)->set_job("jobs/x");
                                        return absl::AbortedError("no");
                                      }),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("")));
  EXPECT_EQ(store_->sweeps().Get("a")->trials(1).job(), "");
}

TEST_P(SweepStoreTest, ATrialAndItsJobAreWrittenTogetherOrNotAtAll) {
  ASSERT_THAT(store_->sweeps().Insert(New("a")), IsOk());
  const auto begin = [&](JobStore& store) {
    EXPECT_THAT(store.Insert({.id = "job", .spec = Spec(), .request_id = "sweep-a-1-1"}, kNow),
                IsOk());
    EXPECT_THAT(store.sweeps().Change("a",
                                      [](v1::Sweep& sweep) {
                                        sweep.mutable_trials(0)->set_job("jobs/job");
                                        return absl::OkStatus();
                                      }),
                IsOk());
  };
  ASSERT_THAT(store_->Commit([&] { begin(*store_); }), IsOk());
  Open();
  EXPECT_THAT(store_->Get("job"), IsOk());
  EXPECT_EQ(store_->sweeps().Get("a")->trials(0).job(), "jobs/job");
}

TEST_P(SweepStoreTest, ListsTheNewestFirstWithoutTrialsAndTemplate) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_THAT(store_->sweeps().Insert(New(id)), IsOk());
  }
  const auto first = store_->sweeps().List({.limit = 2});
  ASSERT_THAT(first, IsOk());
  ASSERT_EQ(first->items.size(), 2u);
  EXPECT_EQ(first->items[0].name(), "sweeps/c");
  EXPECT_EQ(first->items[0].trials_size(), 0);
  EXPECT_FALSE(first->items[0].spec().has_job());
  const auto second = store_->sweeps().List({.limit = 2, .before_row = first->next_row});
  ASSERT_EQ(second->items.size(), 1u);
  EXPECT_EQ(second->items[0].name(), "sweeps/a");
  EXPECT_EQ(second->next_row, 0);
  EXPECT_THAT(store_->sweeps().List({.states = {v1::Sweep::FAILED}})->items, IsEmpty());
}

TEST_P(SweepStoreTest, OnlyWhatHasEndedIsDeleted) {
  ASSERT_THAT(store_->sweeps().Insert(New("a")), IsOk());
  EXPECT_THAT(*store_->sweeps().Unfinished(), ElementsAre("a"));
  EXPECT_THAT(store_->sweeps().Delete("a"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("RUNNING")));
  ASSERT_THAT(store_->sweeps().Change("a",
                                      [](v1::Sweep& sweep) {
                                        sweep.set_state(v1::Sweep::CANCELLED);
                                        return absl::OkStatus();
                                      }),
              IsOk());
  EXPECT_THAT(store_->sweeps().Delete("a"), IsOk());
  EXPECT_THAT(store_->sweeps().Get("a"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(store_->sweeps().Delete("a"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(*store_->sweeps().Count(), IsEmpty());
}

TEST(SweepId, HasOneForm) {
  EXPECT_EQ(*SweepId("sweeps/a1-b"), "a1-b");
  for (const char* name : {"", "sweeps/", "a", "sweeps/A", "sweeps/../x", "jobs/a"}) {
    EXPECT_THAT(SweepId(name), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(""))) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SweepStoreTest, ::testing::ValuesIn(kStoreBackends), BackendName);

}  // namespace
}  // namespace hone::server::store
