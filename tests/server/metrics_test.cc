#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "server/metrics/bus.h"
#include "server/metrics/catalog.h"
#include "server/metrics/job_metrics.h"
#include "server/metrics/prometheus.h"
#include "server/metrics/tensorboard.h"
#include "tensorboard/event.pb.h"

namespace hone::server::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

store::LoggedEvent Logged(const std::string& job, v1::Event event, int64_t sequence = 1) {
  event.set_sequence(sequence);
  return {job, "classification", std::make_shared<const v1::Event>(std::move(event))};
}

v1::Event Step(int64_t step, int64_t samples, double loss) {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  event.mutable_metrics()->set_total_steps(100);
  event.mutable_metrics()->set_samples(samples);
  (*event.mutable_metrics()->mutable_values())["loss"] = loss;
  (*event.mutable_metrics()->mutable_values())["validation_loss"] = 2 * loss;
  (*event.mutable_metrics()->mutable_values())["accuracy"] = 0.5;
  return event;
}

v1::Event State(v1::Job::State state, v1::Job::EndReason reason = v1::Job::END_REASON_UNSPECIFIED) {
  v1::Event event;
  event.mutable_state()->set_state(state);
  event.mutable_state()->set_end_reason(reason);
  return event;
}

TEST(Catalog, StandsInTheOrderOfItsEnumAndNamesFollowTheRules) {
  std::set<absl::string_view> names;
  for (size_t i = 0; i < kCatalog.size(); ++i) {
    const MetricSpec& spec = kCatalog[i];
    EXPECT_EQ(static_cast<size_t>(spec.metric), i) << spec.name;
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_TRUE(absl::StartsWith(spec.name, "hone_")) << spec.name;
    EXPECT_EQ(absl::EndsWith(spec.name, "_total"), spec.type == MetricType::kCounter) << spec.name;
    for (const absl::string_view label : spec.labels) {
      EXPECT_TRUE(label != "job" && label != "instance") << spec.name;
    }
  }
}

TEST(JobMetrics, ShowTheLossesOfAJobBySplit) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", Step(1, 32, 0.25)));
  const std::string text = Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_job_loss{training_job=\"a\",split=\"train\"} 0.25"));
  EXPECT_THAT(text, HasSubstr("hone_job_loss{training_job=\"a\",split=\"validation\"} 0.5"));
  EXPECT_THAT(text, HasSubstr("hone_job_metric{training_job=\"a\",metric=\"accuracy\"} 0.5"));
  EXPECT_THAT(text, HasSubstr("hone_job_progress_ratio{training_job=\"a\"} 0.01"));
}

TEST(JobMetrics, CountStepsAndSamplesOfAllJobsOnce) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", Step(1, 32, 1)));
  metrics.OnEvent(Logged("a", Step(10, 320, 1)));
  metrics.OnEvent(Logged("b", Step(5, 160, 1)));
  const std::string text = Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_steps_total 15"));
  EXPECT_THAT(text, HasSubstr("hone_samples_total 480"));
}

TEST(JobMetrics, SayThatAJobRunsWhileAWorkerHasIt) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", State(v1::Job::QUEUED)));
  EXPECT_THAT(Render(registry), Not(HasSubstr("training_job=\"a\"")));
  metrics.OnEvent(Logged("a", State(v1::Job::RUNNING)));
  const std::string running = "hone_job_running{training_job=\"a\"} 1\n";
  EXPECT_THAT(Render(registry), HasSubstr(running));
  metrics.OnEvent(Logged("a", State(v1::Job::CANCELLING)));
  EXPECT_THAT(Render(registry), HasSubstr(running));
  metrics.OnEvent(Logged("a", State(v1::Job::CANCELLED, v1::Job::USER)));
  EXPECT_THAT(Render(registry), Not(HasSubstr("hone_job_running{")));
}

TEST(JobMetrics, AnAttemptBeginsTheWaitForItsFirstStep) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", State(v1::Job::RUNNING)));
  EXPECT_THAT(Render(registry),
              HasSubstr("hone_job_last_step_timestamp_seconds{training_job=\"a\"} "));
}

TEST(JobMetrics, APausedJobLeavesAsOneThatHasEnded) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", State(v1::Job::RUNNING)));
  metrics.OnEvent(Logged("a", Step(1, 32, 1)));
  metrics.OnEvent(Logged("a", State(v1::Job::PAUSED)));
  EXPECT_THAT(Render(registry), Not(HasSubstr("hone_job_running{")));
  metrics.Prune(absl::Now() + absl::Minutes(11));
  EXPECT_THAT(Render(registry), Not(HasSubstr("training_job=\"a\"")));
}

TEST(JobMetrics, StepsBetweenTwoEventsCountWithTheirMean) {
  Registry registry;
  JobMetrics metrics(registry);
  v1::Event started, step = Step(10, 320, 1);
  started.mutable_started();
  step.mutable_metrics()->set_active_seconds(0.02);
  metrics.OnEvent(Logged("a", started));
  metrics.OnEvent(Logged("a", step));
  const std::string text = Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_step_duration_seconds_count 10\n"));
  EXPECT_THAT(text, HasSubstr("hone_step_duration_seconds_bucket{le=\"0.001\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("hone_step_duration_seconds_bucket{le=\"0.005\"} 10\n"));
}

TEST(JobMetrics, TheTimeBeforeAResumedJobsFirstEventIsNotTakenForItsSteps) {
  Registry registry;
  JobMetrics metrics(registry);
  v1::Event started, step = Step(110, 320, 1);
  started.mutable_started()->set_resumed_from_step(100);
  step.mutable_metrics()->set_active_seconds(5000);
  metrics.OnEvent(Logged("a", started));
  metrics.OnEvent(Logged("a", step));
  EXPECT_THAT(Render(registry), HasSubstr("hone_step_duration_seconds_count 0\n"));
}

TEST(JobMetrics, EveryReasonToEndBeginsAtZero) {
  Registry registry;
  const JobMetrics metrics(registry);
  const std::string text = Render(registry);
  for (const char* const task : {"classification", "regression"}) {
    for (const char* const reason : {"COMPLETED", "POISON", "HUNG", "INTERNAL"}) {
      EXPECT_THAT(text, HasSubstr(absl::StrCat("hone_jobs_finished_total{task=\"", task,
                                               "\",end_reason=\"", reason, "\"} 0\n")));
    }
  }
}

TEST(JobMetrics, ShowVerdictsOnLayersUntilTheyAreSoundAgain) {
  Registry registry;
  JobMetrics metrics(registry);
  v1::Event event;
  auto& layer = *event.mutable_layer_statistics()->add_layers();
  layer.set_name("dense_1");
  layer.set_gradient_norm(1e-9);
  layer.set_verdict("vanishing");
  metrics.OnEvent(Logged("a", event));
  EXPECT_THAT(
      Render(registry),
      HasSubstr(
          "hone_job_layer_verdict{training_job=\"a\",layer=\"dense_1\",verdict=\"vanishing\"} 1"));
  layer.set_verdict("");
  metrics.OnEvent(Logged("a", event));
  EXPECT_THAT(Render(registry), Not(HasSubstr("hone_job_layer_verdict{")));
}

TEST(JobMetrics, LeaveTenMinutesAfterTheEnd) {
  Registry registry;
  JobMetrics metrics(registry);
  metrics.OnEvent(Logged("a", Step(1, 32, 1)));
  metrics.OnEvent(Logged("a", State(v1::Job::SUCCEEDED, v1::Job::COMPLETED)));
  metrics.Prune(absl::Now() + absl::Minutes(9));
  EXPECT_THAT(Render(registry), HasSubstr("training_job=\"a\""));
  metrics.Prune(absl::Now() + absl::Minutes(11));
  EXPECT_THAT(Render(registry), Not(HasSubstr("training_job=\"a\"")));
  EXPECT_THAT(
      Render(registry),
      HasSubstr("hone_jobs_finished_total{task=\"classification\",end_reason=\"COMPLETED\"} 1"));
}

TEST(Registry, KeepsABoundedNumberOfSeries) {
  Registry registry;
  for (size_t i = 0; i < Registry::kMaxSeries + 10; ++i) {
    registry.Set(Metric::kJobLearningRate, {std::to_string(i)}, 1);
  }
  size_t series = 0;
  for (const ::prometheus::MetricFamily& family : registry.Collect()) {
    series += family.name == "hone_job_learning_rate" ? family.metric.size() : 0;
  }
  EXPECT_EQ(series, Registry::kMaxSeries);
}

TEST(Registry, CountersAndHistogramsWithoutLabelsBeginAtZero) {
  Registry registry;
  const std::string text = Render(registry);
  EXPECT_THAT(text, HasSubstr("\nhone_store_errors_total 0"));
  EXPECT_THAT(text, HasSubstr("\nhone_store_transaction_seconds_count 0"));
  EXPECT_THAT(text, HasSubstr("\nhone_store_transaction_seconds_bucket{le=\"0.01\"} 0"));
}

TEST(Registry, AHistogramCountsEachValueInAllBucketsAboveIt) {
  Registry registry;
  registry.Observe(Metric::kCheckpointWriteSeconds, {}, 0.02);
  registry.Observe(Metric::kCheckpointWriteSeconds, {}, 100);
  const std::string text = Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_checkpoint_write_seconds_bucket{le=\"0.05\"} 1"));
  EXPECT_THAT(text, HasSubstr("hone_checkpoint_write_seconds_bucket{le=\"+Inf\"} 2"));
  EXPECT_THAT(text, HasSubstr("hone_checkpoint_write_seconds_count 2"));
}

TEST(TensorBoardFile, TheChecksumIsThatOfTheStandard) {
  EXPECT_EQ(event_files::Crc32c("123456789"), 0xE3069283u);  // RFC 3720, B.4
  EXPECT_EQ(event_files::Crc32c(std::string(32, '\0')), 0x8A9136AAu);
}

TEST(TensorBoardFile, ARecordIsLengthDataAndAMaskedChecksumBehindEach) {
  const std::string record = event_files::TfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
}

class TensorBoardTest : public ::testing::Test {
 protected:
  TensorBoardTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/tensorboard-", ::getpid(), "-", counter_++)),
        board_([this](const std::string& job) { return folder_ + "/" + job; },
               [this](const std::string& job, int attempt) {
                 return absl::StrCat(folder_, "/runs/", job, "/", attempt);
               }) {}
  ~TensorBoardTest() override { std::filesystem::remove_all(folder_); }

  void Tell(v1::Event event, int attempt) {
    event.set_attempt(attempt);
    event.mutable_time()->set_seconds(1'700'000'000);
    board_.OnEvent(Logged("a", std::move(event)));
  }
  v1::Event Started(int64_t step = 0) {
    v1::Event event;
    event.mutable_started()->set_resumed_from_step(step);
    return event;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/a", none)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<::tensorboard::Event> Records(const std::string& name) {
    const std::string bytes = ReadFile(folder_ + "/a/" + name).value();
    std::vector<::tensorboard::Event> records;
    for (size_t at = 0; at < bytes.size();) {
      uint64_t size = 0;
      std::memcpy(&size, &bytes[at], sizeof(size));
      const std::string data = bytes.substr(at + 12, size);
      EXPECT_EQ(bytes.substr(at, 16 + size), event_files::TfRecord(data));
      EXPECT_TRUE(records.emplace_back().ParseFromString(data));
      at += 16 + size;
    }
    return records;
  }

  static inline int counter_ = 0;
  const std::string folder_;
  TensorBoard board_;
};

TEST_F(TensorBoardTest, AFileBeginsWithItsVersionAndHasAScalarForEachValue) {
  Tell(State(v1::Job::RUNNING), 1);
  Tell(Started(), 1);
  Tell(Step(7, 70, 0.5), 1);
  ASSERT_EQ(Files(), std::vector<std::string>{"events.out.tfevents.1700000000.attempt-000001"});
  const auto records = Records(Files()[0]);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].file_version(), "brain.Event:2");
  EXPECT_EQ(records[2].step(), 7);
  EXPECT_EQ(records[2].wall_time(), 1.7e9);
  std::map<std::string, float> values;
  for (const auto& value : records[2].summary().value()) {
    values[value.tag()] = value.simple_value();
  }
  EXPECT_EQ(values, (std::map<std::string, float>{
                        {"accuracy", 0.5f}, {"loss", 0.5f}, {"validation_loss", 1.0f}}));
}

TEST_F(TensorBoardTest, AnAttemptThatIsResumedSaysFromWhichStepTheOldOneDoesNotCount) {
  Tell(Started(), 1);
  Tell(Step(9, 90, 0.5), 1);
  Tell(State(v1::Job::QUEUED), 1);
  Tell(Started(5), 2);
  ASSERT_EQ(Files().size(), 2u);
  const auto records = Records(Files()[1]);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].session_log().status(), ::tensorboard::SessionLog::START);
  EXPECT_EQ(records[1].step(), 6);
}

TEST_F(TensorBoardTest, WhatTheEvaluationMeasuredStandsAtTheLastStep) {
  v1::Event evaluation;
  evaluation.mutable_evaluation()->set_split("test");
  (*evaluation.mutable_evaluation()->mutable_metrics())["test_accuracy"] = 0.75;
  (*evaluation.mutable_evaluation()->mutable_metrics())["samples_per_second"] = 1e5;
  Tell(Started(), 1);
  Tell(Step(10, 90, 0.5), 1);
  Tell(evaluation, 1);
  const auto records = Records(Files().at(0));
  EXPECT_EQ(records.back().step(), 10);
  ASSERT_EQ(records.back().summary().value_size(), 1);
  EXPECT_EQ(records.back().summary().value(0).tag(), "test_accuracy");
}

// The beginning of a PNG file, to the colour type: 0 grey, 2 RGB. PNG specification, 11.2.2.
std::string PngHeader(char height, char width, char color_type) {
  using namespace std::string_literals;
  return "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0"s + width + "\0\0\1"s + height + '\x08' +
         color_type;
}

class TensorBoardPictures : public TensorBoardTest {
 protected:
  // An artifact of the job's first attempt, after step 7.
  void TellOf(const std::string& path, const std::string& bytes) {
    const std::filesystem::path file = folder_ + "/runs/a/1/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    Tell(Started(), 1);
    Tell(Step(7, 70, 0.5), 1);
    v1::Event event;
    event.mutable_artifact()->set_kind("samples");
    event.mutable_artifact()->set_path(path);
    Tell(event, 1);
  }
  // Records behind those of the file's beginning and of the step.
  std::vector<::tensorboard::Event> Pictures() {
    std::vector<::tensorboard::Event> records = Records(Files().at(0));
    records.erase(records.begin(), records.begin() + 3);
    return records;
  }
};

TEST_F(TensorBoardPictures, AreThePngFilesOfAnAttemptAtItsLastStep) {
  const std::string png = PngHeader(/*height=*/5, /*width=*/9, /*color_type=*/2) + "the rest";
  TellOf("artifacts/samples/step-00000007.png", png);
  const auto records = Pictures();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].step(), 7);
  EXPECT_EQ(records[0].wall_time(), 1.7e9);
  ASSERT_EQ(records[0].summary().value_size(), 1);
  const auto& value = records[0].summary().value(0);
  EXPECT_EQ(value.tag(), "samples");
  EXPECT_EQ(value.image().height(), 261);  // 1 · 256 + 5
  EXPECT_EQ(value.image().width(), 9);
  EXPECT_EQ(value.image().colorspace(), 3);  // RGB
  EXPECT_EQ(value.image().encoded_image_string(), png);
}

TEST_F(TensorBoardPictures, OfGreyPixelsSaySo) {
  TellOf("artifacts/samples/step-00000007.png", PngHeader(5, 9, /*color_type=*/0));
  EXPECT_EQ(Pictures().at(0).summary().value(0).image().colorspace(), 1);
}

TEST_F(TensorBoardPictures, AreNoFilesOfOtherKinds) {
  TellOf("artifacts/evaluation/class-shares.csv", PngHeader(5, 9, 0));
  EXPECT_TRUE(Pictures().empty());
}

TEST_F(TensorBoardPictures, AreNoFilesThatOnlySayThatTheyArePictures) {
  TellOf("artifacts/samples/step-00000007.png", std::string(100, 'x'));
  EXPECT_TRUE(Pictures().empty());
}

TEST_F(TensorBoardPictures, AreNoFilesThatEndBeforeTheirHeader) {
  TellOf("artifacts/samples/step-00000007.png", PngHeader(5, 9, 0).substr(0, 25));
  EXPECT_TRUE(Pictures().empty());
}

TEST_F(TensorBoardTest, AFolderThatCannotBeWrittenStopsNobody) {
  std::ofstream file(folder_);
  Tell(Started(), 1);
  Tell(Step(1, 32, 0.5), 1);
  EXPECT_TRUE(Files().empty());
}

TEST(Bus, HoldsTheNewestEventsAndSendsOlderAskersToTheLog) {
  Bus bus;
  const auto total = static_cast<int64_t>(Bus::kHeldPerJob) + 10;
  for (int64_t sequence = 1; sequence <= total; ++sequence) {
    bus.Publish(Logged("a", v1::Event(), sequence));
  }
  Bus::Events events;
  EXPECT_EQ(bus.Read("a", 0, 100, events), Bus::Held::kUnknown);
  EXPECT_EQ(bus.Read("a", total - 2, 100, events), Bus::Held::kYes);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1]->sequence(), total);
  EXPECT_EQ(bus.Read("b", 0, 100, events), Bus::Held::kUnknown);
}

TEST(Bus, TellsSubscribersOfTheirJobUntilTheyLeave) {
  Bus bus;
  int told = 0;
  const int64_t subscription = bus.Subscribe("a", [&] { ++told; });
  bus.Publish(Logged("a", v1::Event(), 1));
  bus.Publish(Logged("b", v1::Event(), 1));
  EXPECT_EQ(told, 1);
  bus.Unsubscribe("a", subscription);
  bus.Publish(Logged("a", v1::Event(), 2));
  EXPECT_EQ(told, 1);
}

TEST(Bus, ForgetsTheJobThatWasQuietLongest) {
  Bus bus;
  for (size_t i = 0; i <= Bus::kHeldJobs; ++i) {
    bus.Publish(Logged(std::to_string(i), v1::Event(), 1));
  }
  Bus::Events events;
  EXPECT_EQ(bus.Read("0", 0, 1, events), Bus::Held::kUnknown);
  EXPECT_EQ(bus.Read("1", 0, 1, events), Bus::Held::kYes);
}

}  // namespace
}  // namespace hone::server::metrics
