#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/predict/model_cache.h"
#include "server/worker_process/worker_process.h"
#include "tests/support/status_matchers.h"

namespace hone::server::predict {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Answer = absl::StatusOr<v1::PredictResponse>;

// The scripted worker behind a cache; a prediction's probability is its process's id.
class ModelCacheTest : public ::testing::Test {
 protected:
  ModelCacheTest()
      : root_(absl::StrCat(::testing::TempDir(), "/predict-", ::getpid(), "-", counter_++)) {
    std::signal(SIGPIPE, SIG_IGN);
    auto directory = artifacts::DataDirectory::Open(root_);
    EXPECT_THAT(directory, IsOk());
    directory_ = *std::move(directory);
    options_.worker = HONE_SCRIPTED_WORKER;
    cache_ = std::make_unique<ModelCache>(options_, *directory_, registry_);
  }
  ~ModelCacheTest() override {
    cache_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  void Restart() {
    cache_.reset();
    cache_ = std::make_unique<ModelCache>(options_, *directory_, registry_);
  }
  v1::Model Model(const std::string& id, int64_t bytes = 1 << 20) {
    std::filesystem::create_directories(directory_->ModelDirectory(id));
    std::ofstream(directory_->ModelDirectory(id) + "/weights.bin") << "w";
    v1::Model model;
    model.set_name("models/" + id);
    model.set_bytes(bytes);
    return model;
  }
  std::future<Answer> Begin(const v1::Model& model, const std::string& input,
                            absl::Duration timeout = absl::Minutes(5)) {
    v1::PredictRequest request;
    request.add_inputs()->set_image(input);
    auto promise = std::make_shared<std::promise<Answer>>();
    cache_->Predict(model, request, timeout,
                    [promise](Answer answer) { promise->set_value(std::move(answer)); });
    return promise->get_future();
  }
  Answer Predict(const v1::Model& model, const std::string& input = "a") {
    return Begin(model, input).get();
  }
  // A call that the model's process works at until Release, while others wait.
  std::future<Answer> BeginSlow(const v1::Model& model) {
    Pid(model);
    auto slow = Begin(model, "slow");
    while (cache_->waiting() > 0) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return slow;
  }
  void Release(const std::string& id) const {
    std::ofstream(directory_->ModelDirectory(id) + "/go") << "";
  }
  // The process that answers for the model; 0 where it does not.
  pid_t Pid(const v1::Model& model) {
    const Answer answer = Predict(model);
    EXPECT_THAT(answer, IsOk());
    return answer.ok() ? static_cast<pid_t>(
                             answer->predictions(0).classification().classes(0).probability())
                       : 0;
  }
  static bool Exists(pid_t pid) { return ::kill(pid, 0) == 0; }
  // Until it is gone, as a zombie, too.
  static bool Ends(pid_t pid) {
    for (int i = 0; i < 6000 && Exists(pid); ++i) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    return !Exists(pid);
  }
  static size_t Descriptors() {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                             std::filesystem::directory_iterator()));
  }

  static inline int counter_ = 0;
  const std::string root_;
  metrics::Registry registry_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  CacheOptions options_;
  std::unique_ptr<ModelCache> cache_;
};

TEST_F(ModelCacheTest, AProcessMayUseSoMuchMemoryAndALittleToReserve) {
  options_.process_bytes = int64_t{1} << 30;
  Restart();
  const Answer answer = Predict(Model("a"), "its limit");
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->predictions(0).regression().values(0),
            static_cast<double>((int64_t{1} << 30) + worker_process::kUnusedBytes));
}

TEST_F(ModelCacheTest, NothingRunsBeforeTheFirstCallAndTheSecondFindsTheModelLoaded) {
  EXPECT_EQ(cache_->processes(), 0);
  const v1::Model model = Model("a");
  const pid_t first = Pid(model);
  EXPECT_EQ(Pid(model), first);
  EXPECT_EQ(cache_->processes(), 1);
}

TEST_F(ModelCacheTest, AWrongInputIsRefusedAndTheProcessStays) {
  const v1::Model model = Model("a");
  const pid_t first = Pid(model);
  EXPECT_THAT(Predict(model, "broken").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a PNG")));
  EXPECT_EQ(Pid(model), first);
}

TEST_F(ModelCacheTest, AKilledProcessIsReplacedForTheNextCall) {
  const v1::Model model = Model("a");
  const pid_t first = Pid(model);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  EXPECT_NE(Pid(model), first);
  EXPECT_TRUE(Ends(first));
}

TEST_F(ModelCacheTest, AProcessThatDiesOverACallIsStartedAgainOnceForIt) {
  EXPECT_THAT(Predict(Model("a"), "die once"), IsOk());
  EXPECT_THAT(Predict(Model("b"), "die").status(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("SIGABRT")));
  EXPECT_THAT(Predict(Model("b")), IsOk());
}

TEST_F(ModelCacheTest, ADeadlyCallTakesNoOtherWithIt) {
  const v1::Model model = Model("a");
  auto slow = BeginSlow(model);
  auto before = Begin(model, "a");
  auto deadly = Begin(model, "die");
  auto after = Begin(model, "a");
  Release("a");
  EXPECT_THAT(slow.get(), IsOk());
  EXPECT_THAT(before.get(), IsOk());
  EXPECT_THAT(deadly.get().status(), StatusIs(absl::StatusCode::kInternal, HasSubstr("SIGABRT")));
  EXPECT_THAT(after.get(), IsOk());
}

TEST_F(ModelCacheTest, AModelThatCannotBeLoadedIsAnErrorThatNamesItAndNoPath) {
  const v1::Model model = Model("a");
  std::ofstream(directory_->ModelDirectory("a") + "/corrupt") << "";
  EXPECT_THAT(Predict(model).status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("models/a/weights"), Not(HasSubstr(root_)))));
  const v1::Model deadly = Model("b");
  std::ofstream(directory_->ModelDirectory("b") + "/deadly") << "";
  EXPECT_THAT(Predict(deadly).status(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("SIGABRT")));
  EXPECT_THAT(Predict(Model("c")), IsOk());
}

// Under sanitizers the memory of a process is no measure of its model.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(ModelCacheTest, TheModelUsedLongestAgoMakesRoomForTheBytesOfAnother) {
  options_.max_bytes = int64_t{300} << 20;
  Restart();
  const v1::Model a = Model("a", int64_t{100} << 20), b = Model("b", int64_t{100} << 20),
                  c = Model("c", int64_t{100} << 20);
  const pid_t pid_a = Pid(a), pid_b = Pid(b);
  EXPECT_EQ(Pid(a), pid_a);
  const pid_t pid_c = Pid(c);
  EXPECT_TRUE(Ends(pid_b));
  EXPECT_EQ(Pid(a), pid_a);
  EXPECT_EQ(Pid(c), pid_c);
}
#endif

// As a text is written, a call for each of its pieces.
TEST_F(ModelCacheTest, AModelLargerThanTheBoundStaysForTheCallThatFollowsAtOnce) {
  options_.max_bytes = 0;
  Restart();
  const v1::Model model = Model("a");
  EXPECT_EQ(Pid(model), Pid(model));
}

TEST_F(ModelCacheTest, AModelLargerThanTheBoundIsLetGoWhenItIsAskedNoMore) {
  options_.max_bytes = 0;
  Restart();
  const pid_t first = Pid(Model("a"));
  EXPECT_TRUE(Ends(first));
  EXPECT_NE(Pid(Model("b")), first);
}

TEST_F(ModelCacheTest, MoreModelsThanProcessesAllHaveTheirTurnAtTheSameTime) {
  options_.max_processes = 2;
  Restart();
  std::vector<std::future<Answer>> answers;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 6; ++i) {
      answers.push_back(Begin(Model(absl::StrCat("m", i)), "a"));
    }
  }
  for (std::future<Answer>& answer : answers) {
    EXPECT_THAT(answer.get(), IsOk());
  }
  EXPECT_LE(cache_->processes(), 2);
}

TEST_F(ModelCacheTest, CallsBeyondTheBoundOfAModelsQueueAreRefused) {
  options_.max_waiting = 2;
  Restart();
  const v1::Model model = Model("a");
  auto slow = BeginSlow(model);
  auto first = Begin(model, "a"), second = Begin(model, "a");
  EXPECT_THAT(Predict(model).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("wait")));
  Release("a");
  EXPECT_THAT(slow.get(), IsOk());
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
}

TEST_F(ModelCacheTest, ACallWhoseTimeIsOverBeforeItsTurnIsToldSo) {
  const v1::Model model = Model("a");
  auto slow = BeginSlow(model);
  auto late = Begin(model, "a", absl::ZeroDuration());
  Release("a");
  EXPECT_THAT(late.get().status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("time")));
  EXPECT_THAT(slow.get(), IsOk());
}

TEST_F(ModelCacheTest, AProcessThatDoesNotAnswerIsReplaced) {
  options_.longest = absl::Seconds(5);  // to start and answer; to hang
  Restart();
  const v1::Model model = Model("a");
  const pid_t first = Pid(model);
  EXPECT_THAT(Predict(model, "hang").status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("did not answer")));
  EXPECT_NE(Pid(model), first);
  EXPECT_TRUE(Ends(first));
}

TEST_F(ModelCacheTest, AnIdleModelIsLetGo) {
  options_.idle = absl::Milliseconds(50);
  Restart();
  EXPECT_TRUE(Ends(Pid(Model("a"))));
}

TEST_F(ModelCacheTest, ADroppedModelsProcessEndsAndWhatWaitsIsToldNotFound) {
  const v1::Model model = Model("a");
  const pid_t pid = Pid(model);
  auto slow = BeginSlow(model);
  auto waits = Begin(model, "a");
  cache_->Drop("a");
  Release("a");
  EXPECT_THAT(slow.get(), IsOk());
  EXPECT_THAT(waits.get().status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("models/a")));
  EXPECT_TRUE(Ends(pid));
}

TEST_F(ModelCacheTest, StopEndsAllProcessesAndTellsAllCalls) {
  const v1::Model a = Model("a"), b = Model("b");
  const pid_t pid_a = Pid(a), pid_b = Pid(b);
  auto hangs = Begin(a, "hang"), waits = Begin(a, "a");
  cache_->Stop();
  EXPECT_THAT(hangs.get().status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_THAT(waits.get().status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_THAT(Predict(b).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_TRUE(Ends(pid_a));
  EXPECT_TRUE(Ends(pid_b));
}

TEST_F(ModelCacheTest, NoDescriptorAndNoFileIsLeftBehind) {
  options_.max_processes = 2;
  Restart();
  const size_t before = Descriptors();
  for (int i = 0; i < 12; ++i) {
    Predict(Model(absl::StrCat("m", i % 4)), i % 3 == 0 ? "die" : "a").status().IgnoreError();
  }
  Restart();
  EXPECT_EQ(Descriptors(), before);
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/tmp"));
}

}  // namespace
}  // namespace hone::server::predict
