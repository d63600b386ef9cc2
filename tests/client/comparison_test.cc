#include "client/cli/comparison.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Compared Job(const std::string& text, const std::vector<double>& losses = {}) {
  Compared compared;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &compared.job)) << text;
  int64_t step = 0;
  for (const double loss : losses) {
    v1::Metrics& point = *compared.history.add_points();
    point.set_step(++step);
    (*point.mutable_values())["loss"] = loss;
  }
  return compared;
}

constexpr char kSmall[] = R"(
  name: "jobs/a" display_name: "small" state: SUCCEEDED
  resolved_spec {
    display_name: "small" labels { key: "who" value: "me" }
    model { layers { dense { units: 8 } } layers { dense { units: 3 } } }
    training { epochs: 2 optimizer { adam { learning_rate: 0.1 } } } }
  plan { parameters: 1234 depth: 2 }
  evaluation { metrics { key: "test_accuracy" value: 0.5 } })";
constexpr char kLarge[] = R"(
  name: "jobs/b" display_name: "large" state: RUNNING
  resolved_spec {
    display_name: "large"
    model { layers { dense { units: 16 } } layers { dense { units: 3 } } }
    training { epochs: 2 optimizer { sgd { learning_rate: 0.1 } } } })";

std::string Text(const std::vector<Line>& lines) {
  std::string text;
  for (const Line& line : lines) {
    absl::StrAppend(&text, line.Render(200, /*color=*/false), "\n");
  }
  return text;
}

std::vector<std::string> Fields(const std::vector<Difference>& differences) {
  std::vector<std::string> fields;
  for (const Difference& difference : differences) {
    fields.push_back(difference.field);
  }
  return fields;
}

TEST(Differences, AreTheFieldsThatAreNotTheSameInAll) {
  const std::vector<Difference> differences = Differences({Job(kSmall), Job(kLarge)});
  EXPECT_THAT(Fields(differences),
              ElementsAre("model.layers[0].dense.units", "training.optimizer.sgd.learning_rate",
                          "training.optimizer.adam.learning_rate"));
  EXPECT_THAT(differences[0].values, ElementsAre("8", "16"));
  EXPECT_THAT(differences[1].values, ElementsAre("", "0.1"));
}

TEST(Differences, OfTasksAreTheirNamesWithoutWhatTheOthersCannotHave) {
  const std::vector<Difference> differences =
      Differences({Job("spec { classification { label_smoothing: 0.1 } training { epochs: 2 } }"),
                   Job("spec { image_generation { latent: 8 } training { epochs: 3 } }"),
                   Job("spec { evaluation { model: 'models/a' } }")});
  EXPECT_THAT(Fields(differences), ElementsAre("task", "training.epochs"));
  EXPECT_THAT(differences[0].values,
              ElementsAre("classification", "image_generation", "evaluation"));
}

TEST(Differences, AreNoneBetweenTheSame) {
  EXPECT_THAT(Differences({Job(kSmall), Job(kSmall)}), IsEmpty());
}

TEST(Comparison, ShowsSettingsCurvesAndNumbers) {
  const std::string text = Text(
      RenderComparison({Job(kSmall, {3, 2, 1}), Job(kLarge, {3, 1, 0.1})}, {"loss"}, /*width=*/80));
  EXPECT_THAT(text,
              AllOf(HasSubstr("jobs/a"), HasSubstr("model.layers[0].dense.units"),
                    HasSubstr("A small   B large"), HasSubstr("50.00 %"), HasSubstr("1,234")));
}

TEST(Comparison, DrawsNoCurveOfWhatWasNotMeasured) {
  EXPECT_THAT(Text(RenderComparison({Job(kSmall), Job(kLarge)}, {"loss"}, /*width=*/80)),
              Not(HasSubstr("training loss")));
}

TEST(Comparison, IsOneJsonObjectWithNullWhereAJobHasNoValue) {
  const auto json = nlohmann::json::parse(ComparisonJson({Job(kSmall, {3}), Job(kLarge)}));
  EXPECT_EQ(json["jobs"][1]["name"], "jobs/b");
  EXPECT_EQ(json["differences"][0]["field"], "model.layers[0].dense.units");
  EXPECT_EQ(json["metrics"][0]["name"], "test_accuracy");
  EXPECT_EQ(json["metrics"][0]["values"][0], 0.5);
  EXPECT_TRUE(json["metrics"][0]["values"][1].is_null());
  EXPECT_EQ(json["history"][0]["points"].size(), 1u);
}

}  // namespace
}  // namespace hone::client::cli
