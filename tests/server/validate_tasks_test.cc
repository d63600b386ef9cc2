// What recommendations, forecasts and evaluations may be, and what data and models need.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/validate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::jobs {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

// A recommendation with these fields merged in.
v1::JobSpec Tastes(const std::string& text) {
  v1::JobSpec spec = With(R"(recommendation {} model { layers {
      name: "user_factors" inputs: "user" embedding { width: 4 } } })");
  spec.mutable_model()->mutable_layers()->DeleteSubrange(0, 2);
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, LayersOfARecommendationReadUsersAndItems) {
  EXPECT_THAT(Validate(Tastes(R"(model {
        layers { name: "item_factors" inputs: "item" embedding { width: 4 rows: 100 } }
        layers { inputs: "user_factors" inputs: "item_factors" dot {} } }
      data { ratings { split: BY_TIME time: "when" at_least: 3 ids: NUMBERS } })"),
                       kServer),
              IsOk());
  EXPECT_THAT(
      Validate(Tastes(R"(model { layers { name: "item" inputs: "input" dense { units: 1 } } })"),
               kServer),
      StatusIs(absl::StatusCode::kInvalidArgument,
               ::testing::AllOf(HasSubstr(R"(must be "user", "item" or the name)"),
                                HasSubstr(R"("item" is an input)"))));
}

TEST(Validate, WhatARecommendationCannotBeIsNamed) {
  EXPECT_THAT(
      Paths(Tastes(R"(recommendation { feedback: 9 negatives: 0 }
                              data { ratings { ids: 9 split: 9 } }
                              model { layers { inputs: "user" dot {} }
                                      layers { inputs: "item" embedding { rows: -1 } } })")),
      ::testing::ElementsAre("recommendation.feedback", "recommendation.negatives",
                             "data.ratings.ids", "data.ratings.split", "model.layers[1].inputs",
                             "model.layers[2].embedding.width", "model.layers[2].embedding.rows"));
}

// A forecast with these fields merged in.
v1::JobSpec Forecast(const std::string& text) {
  v1::JobSpec spec = With(R"(forecasting {} data { series { window: 24 } }
      model { layers { gru { units: 8 } } layers { dense { units: 12 } } })");
  spec.mutable_model()->mutable_layers()->DeleteSubrange(0, 2);
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, AForecastIsOfASeries) {
  EXPECT_THAT(Validate(Forecast(R"(data { series { target: "sold" columns: "rain" time: "month"
                                    horizon: 12 step: 2 period: 12 scaling: LOG_STANDARD
                                    base: SEASONAL } })"),
                       kServer),
              IsOk());
}

TEST(Validate, WhatAForecastCannotBeIsNamed) {
  EXPECT_THAT(Paths(Forecast(R"(forecasting { loss: 9 huber_delta: 0 }
                                data { limit: 5 deduplicate: true fold { count: 2 index: 1 }
                                       series { window: -1 horizon: 0 step: 0 period: 0 scaling: 9
                                                base: SEASONAL } })")),
              ::testing::UnorderedElementsAre("forecasting.loss", "forecasting.huber_delta",
                                              "data.series.window", "data.series.horizon",
                                              "data.series.step", "data.series.period",
                                              "data.series.scaling", "data.series.base",
                                              "data.fold", "data.limit", "data.deduplicate"));
}

TEST(Validate, AForecastNeedsAWindow) {
  v1::JobSpec spec = Forecast("");
  spec.mutable_data()->clear_series();
  EXPECT_THAT(Validate(spec, kServer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("data.series.window: must be between 1 and 1048576, got 0")));
}

TEST(Validate, ASeriesIsForForecastsAlone) {
  EXPECT_THAT(Paths(With("data { series { window: 3 } }")), ::testing::ElementsAre("data.series"));
}

TEST(Validate, FoldsOfRatingsAreDrawnAtRandom) {
  EXPECT_THAT(Paths(Tastes(R"(data { fold { count: 5 index: 1 } ratings { split: BY_TIME } })")),
              ::testing::ElementsAre("data.fold"));
  EXPECT_THAT(
      Validate(Tastes("data { fold { count: 5 index: 1 } ratings { split: RANDOM } }"), kServer),
      IsOk());
}

TEST(Validate, TextsAreForClassificationAndRegressionAlone) {
  EXPECT_THAT(Paths(Tastes("data { text {} }")), ::testing::Contains("data.text"));
}

TEST(Validate, RatingsAreForRecommendationsAlone) {
  EXPECT_THAT(Paths(With(R"(data { ratings { user: "who" } })")),
              ::testing::ElementsAre("data.ratings"));
}

TEST(Validate, ADataSetNeedsNoNameWhereItIsGivenBesideTheSpec) {
  v1::JobSpec spec = Sound();
  spec.mutable_data()->clear_dataset();
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("data.dataset"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_data = true}), IsOk());
}

TEST(Validate, AModelNeedsNoNameWhereItIsGivenBesideTheSpec) {
  v1::JobSpec spec = Sound();
  spec.mutable_model()->mutable_pretrained();
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("model.pretrained"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_model = true}), IsOk());
}

v1::JobSpec Evaluation(const std::string& more = "") {
  v1::JobSpec spec, change;
  spec.mutable_data()->set_dataset("wine");
  spec.mutable_evaluation()->set_model("models/a");
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(more, &change)) << more;
  spec.MergeFrom(change);
  return spec;
}

TEST(Evaluation, NeedsAModelAndData) {
  EXPECT_THAT(Validate(Evaluation(), kServer), IsOk());
  v1::JobSpec spec;
  spec.mutable_evaluation();
  EXPECT_THAT(Paths(spec), ::testing::UnorderedElementsAre("data.dataset", "evaluation.model"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_data = true, .has_model = true}), IsOk());
}

TEST(Evaluation, NamesWhatIsWrong) {
  for (const auto& [more, path] : std::vector<std::pair<std::string, std::string>>{
           {"classification {}", "task"},
           {"model { layers { flatten {} } }", "model"},
           {"training { epochs: 1 }", "training"},
           {"data { image { height: 8 } }", "data.image"},
           {"data { classes: 'a' }", "data.classes"},
           {"data { limit: 5 }", "data.limit"},
           {"evaluation { model: 'jobs/a' }", "evaluation.model"},
           {"evaluation { against: 'x' }", "evaluation.against"},
           {"evaluation { part: 9 }", "evaluation.part"},
           {"evaluation { part: VALIDATION }", "evaluation.part"},
           {"evaluation { batch_size: 0 }", "evaluation.batch_size"},
           {"evaluation { threads: 5 }", "evaluation.threads"}}) {
    EXPECT_THAT(Paths(Evaluation(more)), Contains(path)) << more;
  }
}

}  // namespace
}  // namespace hone::server::jobs
