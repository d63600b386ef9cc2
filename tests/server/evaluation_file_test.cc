#include "server/worker/evaluation_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "server/scheduler/report.h"

namespace hone::server::worker {
namespace {

class EvaluationFileTest : public ::testing::Test {
 protected:
  EvaluationFileTest() : folder_(absl::StrCat(::testing::TempDir(), "/evaluation-", ::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~EvaluationFileTest() override { std::filesystem::remove_all(folder_); }

  // Each class is better than the one before it.
  static v1::Evaluation Of(int classes) {
    v1::Evaluation evaluation;
    evaluation.set_split("test");
    (*evaluation.mutable_metrics())["test_accuracy"] = 0.5;
    for (int i = 0; i < classes; ++i) {
      v1::Evaluation::ClassReport& row = *evaluation.add_classes();
      row.set_name(absl::StrCat("class ", i));
      row.set_f1(1.0 - 1.0 / (i + 1));
    }
    evaluation.mutable_confusion()->Resize(classes * classes, 0);
    evaluation.set_confusion(classes, 7);  // of class 1, taken for class 0
    return evaluation;
  }

  const std::string folder_;
};

TEST_F(EvaluationFileTest, AShortEvaluationStaysAsItIs) {
  v1::Evaluation evaluation = Of(200);
  const auto file = Summarise(evaluation, folder_);
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(file->has_value());
  EXPECT_EQ(evaluation.confusion_size(), 200 * 200);
}

TEST_F(EvaluationFileTest, OfManyClassesTheEventHasTheWorstAndTheFileHasAll) {
  v1::Evaluation evaluation = Of(1500);
  const auto file = Summarise(evaluation, folder_);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->has_value());
  EXPECT_EQ(evaluation.classes_size(), kClassesOfASummary);
  EXPECT_EQ(evaluation.classes(0).name(), "class 0");
  EXPECT_EQ(evaluation.metrics().at("test_accuracy"), 0.5);
  const auto whole = nlohmann::json::parse(*ReadFile(folder_ + "/" + (*file)->path()));
  EXPECT_EQ(whole["classes"].size(), 1500u);
  EXPECT_EQ(whole["confusion"].size(), 1500u);
  EXPECT_EQ(whole["confusion"][1][0], 7);
  EXPECT_EQ((*file)->sha256(), *Sha256OfFile(folder_ + "/" + (*file)->path()));
}

TEST_F(EvaluationFileTest, TheSummaryIsTakenByTheServer) {
  v1::Event event;
  *event.mutable_evaluation() = Of(5000);
  ASSERT_TRUE(Summarise(*event.mutable_evaluation(), folder_).ok());
  scheduler::ReportBuffer buffer{jobs::Job()};
  buffer.Add(std::move(event), absl::Seconds(1));
  EXPECT_TRUE(buffer.report().events.at(0).has_evaluation());
}

TEST_F(EvaluationFileTest, WithoutAFileThereIsStillASummary) {
  v1::Evaluation evaluation = Of(1500);
  EXPECT_FALSE(Summarise(evaluation, folder_ + "/nowhere").ok());
  EXPECT_EQ(evaluation.classes_size(), kClassesOfASummary);
}

}  // namespace
}  // namespace hone::server::worker
