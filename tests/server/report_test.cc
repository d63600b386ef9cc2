#include "server/scheduler/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/jobs/names.h"

namespace hone::server::scheduler {
namespace {

using ::testing::HasSubstr;

v1::Event MetricsEvent(int64_t step, const std::string& name = "loss") {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  (*event.mutable_metrics()->mutable_values())[name] = static_cast<double>(step);
  return event;
}

TEST(ReportBuffer, MergesPointsOfTheSameCurvesButKeepsOthers) {
  ReportBuffer buffer{jobs::Job()};
  const absl::Duration now = absl::Seconds(100);
  buffer.Add(MetricsEvent(1), now);
  buffer.Add(MetricsEvent(2, "validation_loss"), now);
  buffer.Add(MetricsEvent(3), now);
  ASSERT_EQ(buffer.report().events.size(), 2u);
  EXPECT_EQ(buffer.report().events[0].metrics().step(), 3);
  EXPECT_EQ(buffer.report().latest.values().at("validation_loss"), 2);
}

TEST(ReportBuffer, DropsLogLinesAboveTheRateAndSaysHowMany) {
  ReportBuffer buffer{jobs::Job()};
  const absl::Duration now = absl::Seconds(100);
  v1::Event line;
  line.mutable_log()->set_text("x");
  for (int i = 0; i < ReportBuffer::kLogsPerSecond + 5; ++i) {
    buffer.Add(line, now);
  }
  EXPECT_EQ(buffer.report().events.size(), static_cast<size_t>(ReportBuffer::kLogsPerSecond));
  buffer.Add(line, now + absl::Seconds(1));
  EXPECT_THAT(buffer.report().events[ReportBuffer::kLogsPerSecond].log().text(),
              HasSubstr("5 lines"));
}

TEST(ReportBuffer, ANameThatIsTooLongGoesWithItsValue) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event event = MetricsEvent(1, std::string(10'000, 'n'));
  event.mutable_metrics()->add_non_finite(std::string(10'000, 'n'));
  event.mutable_metrics()->add_non_finite("loss");
  (*event.mutable_metrics()->mutable_values())["accuracy"] = 1;
  buffer.Add(event, absl::Seconds(100));
  const v1::Metrics& kept = buffer.report().events.at(0).metrics();
  EXPECT_EQ(kept.values_size(), 1);
  EXPECT_EQ(kept.non_finite_size(), 1);
  EXPECT_EQ(buffer.report().latest.values_size(), 1);
}

TEST(ReportBuffer, CutsNamesOfLayersAndClassesThatAreTooLong) {
  ReportBuffer buffer{jobs::Job()};
  const std::string name(100'000, 'n');
  v1::Event started, statistics, evaluation, data;
  started.mutable_started()->mutable_plan()->add_layers()->set_name(name);
  started.mutable_started()->mutable_plan()->mutable_layers(0)->add_inputs(name);
  statistics.mutable_layer_statistics()->add_layers()->set_name(name);
  evaluation.mutable_evaluation()->add_classes()->set_name(name);
  data.mutable_data_report()->add_splits()->set_name(name);
  (*data.mutable_data_report()->mutable_splits(0)->mutable_classes())[name] = 7;
  for (const v1::Event& event : {started, statistics, evaluation, data}) {
    buffer.Add(event, absl::Seconds(100));
  }
  for (const v1::Event& event : buffer.report().events) {
    EXPECT_LE(event.ByteSizeLong(), 2 * jobs::kMaxName + 20) << event.ShortDebugString();
  }
  EXPECT_EQ(buffer.evaluation().classes(0).name().size(), jobs::kMaxName);
  EXPECT_EQ(buffer.plan().layers(0).name().size(), jobs::kMaxName);
}

TEST(ReportBuffer, CutsWhereAnArtifactIsSaidToBe) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event event;
  event.mutable_artifact()->set_kind("model");
  event.mutable_artifact()->set_path(std::string(100'000, 'n'));
  buffer.Add(event, absl::Seconds(100));
  EXPECT_LE(buffer.report().events.at(0).ByteSizeLong(), 5000u);
  EXPECT_LE(buffer.model_path().size(), 4096u);
}

TEST(ReportBuffer, CutsWhatIsSaidAboutDataThatIsTooLong) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event event;
  event.mutable_data_report()->add_notes(std::string(100'000, 'n'));
  event.mutable_data_report()->set_source(std::string(100'000, 'n'));
  buffer.Add(event, absl::Seconds(100));
  EXPECT_LE(buffer.report().events.at(0).ByteSizeLong(), 10'000u);
}

TEST(ReportBuffer, KeepsCheckpointsHoweverMany) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event checkpoint;
  checkpoint.mutable_checkpoint();
  for (int i = 0; i < 300; ++i) {
    buffer.Add(checkpoint, absl::Seconds(100));
  }
  EXPECT_EQ(buffer.report().events.size(), 300u);
}

TEST(ReportBuffer, ReplacesAnEventThatNoClientCouldReceive) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event event;
  for (int i = 0; i < 5000; ++i) {
    event.mutable_layer_statistics()->add_layers()->set_name(std::string(250, 'n'));
  }
  buffer.Add(event, absl::Seconds(100));
  EXPECT_THAT(buffer.report().events.at(0).log().text(), HasSubstr("dropped"));
}

}  // namespace
}  // namespace hone::server::scheduler
