#include "engine/tasks/recommendation.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/data/ratings.h"
#include "engine/job/evaluator.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/ranking.h"
#include "engine/tasks/rating_answers.h"
#include "engine/tasks/table.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Lt;
using Feedback = tasks::RecommendationOptions::Feedback;

models::LayerDescription Table(const std::string& name, const std::string& input, int64_t width,
                               layers::WeightInitializer initializer) {
  layers::EmbeddingOptions table{.width = width, .initializer = initializer};
  return {.name = name, .inputs = {input}, .kind = table};
}

// Factors and biases of both sides.
models::ModelDescription Factorization(int64_t factors) {
  const layers::WeightInitializer small = {.kind = Initializer::Kind::kNormal, .stddev = 0.1f};
  const layers::WeightInitializer zeros = {.kind = Initializer::Kind::kZeros};
  models::ModelDescription model;
  model.inputs = {"user", "item"};
  model.layers = {
      Table("user_factors", "user", factors, small),
      Table("item_factors", "item", factors, small),
      {.name = "match", .inputs = {"user_factors", "item_factors"}, .kind = models::Dot()},
      Table("user_bias", "user", 1, zeros),
      Table("item_bias", "item", 1, zeros),
      {.name = "rating", .inputs = {"match", "user_bias", "item_bias"}, .kind = models::Add()}};
  return model;
}

// 40 users of two kinds and 30 items of two kinds: each likes the items of their own kind.
class RecommendationTest : public TrainTest {
 protected:
  RecommendationTest() {
    RandomStream random(3, "tastes");
    std::string table = "user,item,stars\n";
    for (int user = 0; user < 40; ++user) {
      for (int item = 0; item < 30; ++item) {
        if (random.NextUnit() < 0.5f) {
          const bool likes = user % 2 == item % 2;
          absl::StrAppend(&table, "u", user, ",", item, ",",
                          (likes ? 4.0 : 2.0) + 0.2 * random.NextNormal(), "\n");
        }
      }
    }
    Write("ratings.csv", table);
    config_.task = tasks::RecommendationOptions();
    config_.data.path = Path("ratings.csv");
    config_.data.task = data::Task::kRecommendation;
    config_.model = Factorization(4);
    config_.optimizer = optim::Adam{.learning_rate = 0.02, .lazy = true};
    config_.epochs = 30;
    config_.batch_size = 32;
    config_.threads = 2;
  }
  std::map<std::string, double> Trained() {
    config_.run_directory = NewRun();
    EXPECT_THAT(Run(config_), IsOk());
    return recorder_.evaluations.empty() ? std::map<std::string, double>()
                                         : recorder_.evaluations.back().metrics;
  }

  tasks::TrainingConfig config_;
};

TEST_F(RecommendationTest, ByFactorsLearnsWhoLikesWhat) {
  const auto metrics = Trained();
  EXPECT_LT(metrics.at("test_rmse"), 0.4);
  EXPECT_LT(metrics.at("test_mae"), metrics.at("test_rmse"));
}

TEST_F(RecommendationTest, ByDenseLayersLearnsWhoLikesWhat) {
  const layers::WeightInitializer small = {.kind = Initializer::Kind::kNormal, .stddev = 0.1f};
  config_.model.layers = {
      Table("user_factors", "user", 8, small),
      Table("item_factors", "item", 8, small),
      {.name = "both", .inputs = {"user_factors", "item_factors"}, .kind = models::Concat()},
      DenseLayer(16, kRelu),
      DenseLayer(1)};
  EXPECT_LT(Trained().at("test_rmse"), 0.5);
}

TEST_F(RecommendationTest, OfImplicitFeedbackPutsWhatWasTakenFirst) {
  config_.task = tasks::RecommendationOptions{.feedback = Feedback::kImplicit};
  config_.data.ratings.at_least = 3;  // each user took items of one kind alone
  config_.data.ratings.split = data::RatingOptions::Split::kLeaveOneOut;
  const auto metrics = Trained();
  // About 22 items are left for each, 7 of the user's kind; by chance the rate is near a half.
  EXPECT_GT(metrics.at("test_hit_rate"), 0.8);
  EXPECT_GT(metrics.at("test_ndcg"), 0.3);
  EXPECT_GT(metrics.at("pairs_in_order"), 0.9);
}

TEST_F(RecommendationTest, OfSeveralNegativesLearnsAsWell) {
  config_.task = tasks::RecommendationOptions{.feedback = Feedback::kImplicit, .negatives = 3};
  config_.data.ratings.at_least = 3;
  config_.data.ratings.split = data::RatingOptions::Split::kLeaveOneOut;
  EXPECT_GT(Trained().at("test_hit_rate"), 0.8);
}

// Models measured again (job/evaluator.h).
class RecommendationEvaluatedTest : public RecommendationTest {
 protected:
  absl::StatusOr<job::EvaluationResult> Measured(
      const std::vector<std::string>& models, const std::string& path,
      job::EvaluationConfig::Part part = job::EvaluationConfig::Part::kUnspecified) {
    job::EvaluationConfig config;
    config.models = models;
    config.data.path = path;
    config.part = part;
    config.threads = 2;
    config.run_directory = NewRun();
    job::Phase phase;
    return job::Evaluate(config, stop_, recorder_, phase);
  }
  std::string TrainedModel() {
    Trained();
    return config_.run_directory + "/model";
  }
};

TEST_F(RecommendationEvaluatedTest, OnTheTestPartHasTheTrainingsNumbers) {
  const std::string model = TrainedModel();
  const auto result = Measured({model}, config_.data.path, job::EvaluationConfig::Part::kTest);
  ASSERT_THAT(result, IsOk());
  const auto& then = recorder_.evaluations.back().metrics;
  for (const char* name : {"test_rmse", "test_mae"}) {
    EXPECT_NEAR(result->evaluation.metrics.at(name), then.at(name), 1e-6) << name;
  }
}

TEST_F(RecommendationEvaluatedTest, OfUsersThatItDoesNotKnowAnswersTheItemsMean) {
  const std::string model = TrainedModel();
  // Half of all users give an item about 4 stars, half about 2.
  const auto result = Measured({model}, Write("strangers.csv", "user,item,stars\nx,3,3\ny,4,3\n"));
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->evaluation.split, "all");
  EXPECT_LT(result->evaluation.metrics.at("test_mae"), 0.7);
}

TEST_F(RecommendationEvaluatedTest, BesideAnUntrainedModelIsBetter) {
  const std::string good = TrainedModel();
  config_.epochs = 0;
  config_.steps = 1;
  const auto result = Measured({good, TrainedModel()}, config_.data.path);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->comparison->verdict, "the first model is better");
}

TEST_F(RecommendationEvaluatedTest, OfImplicitFeedbackIsMeasuredButNotCompared) {
  config_.task = tasks::RecommendationOptions{.feedback = Feedback::kImplicit};
  const std::string model = TrainedModel();
  const auto result = Measured({model}, config_.data.path, job::EvaluationConfig::Part::kTest);
  ASSERT_THAT(result, IsOk());
  EXPECT_GT(result->evaluation.metrics.at("test_hit_rate"), 0);
  EXPECT_THAT(Measured({model, model}, config_.data.path),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cannot be compared example by example")));
}

TEST_F(RecommendationTest, StoppedAndResumedIsNeverStopped) {
  config_.epochs = 2;
  config_.layer_statistics_every = 1;
  for (const Feedback feedback : {Feedback::kExplicit, Feedback::kImplicit}) {
    config_.task = tasks::RecommendationOptions{.feedback = feedback};
    Trained();
    const std::string whole = ModelSha(config_);
    config_.run_directory = NewRun();
    config_.resume = true;
    recorder_.on_step = [this](int64_t) { stop_ = true; };
    int attempts = 1;
    for (; Run(config_).value() == EndReason::kCancelled; ++attempts) {
      stop_ = false;
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    config_.resume = false;
    EXPECT_GT(attempts, 10);
    EXPECT_EQ(ModelSha(config_), whole);
  }
}

TEST_F(RecommendationTest, AnswersWhatItDoesNotKnowByTheMean) {
  // The last rows alone have user x, and item y.
  Write("ratings.csv",
        "user,item,stars,when\na,1,1,1\nb,1,2,2\na,2,5,3\nb,2,5,4\na,3,2,5\nb,3,2,6\n"
        "x,1,2,7\na,y,5,8\n");
  config_.data.ratings = {.time = "when", .split = data::RatingOptions::Split::kByTime};
  config_.data.test_fraction = 0.25;
  config_.epochs = 1;
  const auto metrics = Trained();
  const double mean = 17.0 / 6, item = mean + (3 - 2 * mean) / 7, user = mean + (8 - 3 * mean) / 8;
  EXPECT_NEAR(metrics.at("test_mae"), (std::abs(item - 2) + std::abs(user - 5)) / 2, 1e-5);
}

TEST_F(RecommendationTest, NeedsOneNumberForAPair) {
  config_.model.layers.pop_back();
  config_.model.layers.push_back(
      {.name = "both", .inputs = {"user_factors", "item_factors"}, .kind = models::Concat()});
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("(both): the last layer must give one number")));
}

TEST_F(RecommendationTest, NeedsANumberThatDependsOnBoth) {
  config_.model.layers.pop_back();
  config_.model.layers.push_back(
      {.name = "rating", .inputs = {"user_bias", "user_bias"}, .kind = models::Add()});
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("(rating): the last layer must give a number for a "
                                               "user and an item, and what it gives does not "
                                               "depend on the item")));
}

TEST_F(RecommendationTest, TablesHaveARowForEachIdAtLeast) {
  std::get<layers::EmbeddingOptions>(config_.model.layers[1].kind).rows = 7;
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("(item_factors): rows must be at least 30")));
}

TEST_F(RecommendationTest, IsRefusedATableOfClasses) {
  config_.data.path.clear();
  config_.data.dataset = "iris";
  config_.run_directory = NewRun();
  EXPECT_THAT(Run(config_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("iris holds no ratings")));
}

TEST_F(RecommendationTest, IsPlannedWithTablesAmongItsLayers) {
  job::Phase phase;
  const auto plan = job::PlanJob(config_, /*measure=*/true, &phase);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->parameters, (40 + 30) * 5);
  EXPECT_EQ(plan->layers[2].name, "user_factors");
  EXPECT_EQ(plan->layers[2].weights, 160);
  EXPECT_GT(*plan->step_seconds, 0);
}

TEST_F(RecommendationTest, ComesBackFromItsModelFile) {
  const tasks::TaskOptions was =
      tasks::RecommendationOptions{.feedback = Feedback::kImplicit, .negatives = 4};
  const nlohmann::json json = tasks::MakeTask(was)->ToJson();
  EXPECT_EQ(tasks::MakeTask(tasks::TaskOptionsFromJson(json).value())->ToJson(), json);
}

tasks::RecordQuestion Pair(const std::string& user, const std::string& item) {
  return {{{"user", user}, {"item", item}, {"stars", "?"}}};
}

class AskedRecommendation : public RecommendationTest {
 protected:
  // What the trained model says to each.
  std::vector<tasks::Prediction> Ask(const std::vector<tasks::Question>& questions) {
    Trained();
    model_ = predict::Predictor::Load(config_.run_directory + "/model", 2).value();
    std::vector<tasks::Example> examples;
    for (const tasks::Question& question : questions) {
      examples.push_back(model_->Read(question, "it").value());
    }
    return model_->Predict(examples).value();
  }
  std::unique_ptr<predict::Predictor> model_;
};

TEST_F(AskedRecommendation, ListsTheItemsThatTheUserHasNotRatedFirst) {
  const auto answers = Ask({tasks::UserQuestion{.id = "u7", .top = 30}});
  ASSERT_EQ(answers[0].items.size(), 30u);
  EXPECT_FALSE(answers[0].unknown_user);
  const auto& items = answers[0].items;
  EXPECT_TRUE(std::ranges::is_sorted(items, {}, &tasks::Prediction::Item::rated));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(std::stoi(items[i].id) % 2, 1) << items[i].id;
    EXPECT_NEAR(items[i].score, 4, 0.6);
  }
  EXPECT_TRUE(items.back().rated);
}

TEST_F(AskedRecommendation, AnswersManyQuestionsAtOnceAsOneByOne) {
  const auto together =
      Ask({tasks::UserQuestion{.id = "u7"}, Pair("u7", "1"), tasks::UserQuestion{.id = "nobody"},
           Pair("u8", "1"), Pair("nobody", "1"), tasks::UserQuestion{.id = "u8"}});
  EXPECT_EQ(together[0].items.size(), 10u);
  EXPECT_NEAR(together[1].values[0], 4, 0.6);
  EXPECT_NEAR(together[3].values[0], 2, 0.6);
  EXPECT_NEAR(together[4].values[0], 3, 0.5);  // the item's mean
  EXPECT_TRUE(together[2].unknown_user);
  const auto alone = model_->Predict(
      std::vector<tasks::Example>{model_->Read(tasks::UserQuestion{.id = "u8"}, "it").value()});
  ASSERT_THAT(alone, IsOk());
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ((*alone)[0].items[i].id, together[5].items[i].id);
    EXPECT_EQ((*alone)[0].items[i].score, together[5].items[i].score);
  }
}

TEST_F(AskedRecommendation, OfImplicitFeedbackListsForAStrangerWhatIsTakenMost) {
  config_.task = tasks::RecommendationOptions{.feedback = Feedback::kImplicit};
  const auto answers = Ask({tasks::UserQuestion{.id = "nobody", .top = 2}});
  EXPECT_GE(answers[0].items[0].score, answers[0].items[1].score);
  EXPECT_GT(answers[0].items[0].score, 15);
}

TEST_F(AskedRecommendation, SaysWhatIsWrongWithAQuestion) {
  Ask({});
  const auto refused = [&](const tasks::Question& question, const std::string& why) {
    EXPECT_THAT(model_->Read(question, "it"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                       AllOf(HasSubstr("it: "), HasSubstr(why))));
  };
  refused(tasks::UserQuestion{.id = "u1", .top = -1}, "1 to 1000 items, got -1");
  refused(tasks::UserQuestion{}, "a user's id");
  refused(tasks::RecordQuestion{{{"user", "u1"}}}, "the columns 'user' and 'item'");
  refused(tasks::PictureQuestion{}, "it does not read a picture");
}

// Asks a model of ratings from 1 to 5, with mean 3 and deviation 1, whose outputs for one user's
// three items are 9, 0 and 7.
std::vector<tasks::Prediction> AskOne(const tasks::Question& question, bool implicit) {
  data::RatingIndex index;
  index.user_column = "user";
  index.item_column = "item";
  index.users = {"a"};
  index.items = {"0", "1", "2"};
  index.mean = 3;
  index.lowest = 1;
  index.highest = 5;
  index.user_means = {3};
  index.item_means = {3, 3, 3};
  index.item_counts = {1, 1, 1};
  data::Preprocessing preprocessing;
  preprocessing.own = index.ToJson();
  preprocessing.target_mean = {3};
  preprocessing.target_std = {1};
  const auto answerer = tasks::NewRatingAnswerer(preprocessing, implicit).value();
  const auto run = [](std::span<const tasks::Example> examples) {
    const float outputs[] = {9, 0, 7};
    std::vector<std::vector<float>> result;
    for (const tasks::Example& example : examples) {
      const int32_t item = std::get<std::vector<int32_t>>(example.at("item"))[0];
      result.push_back({outputs[item]});
    }
    return absl::StatusOr<std::vector<std::vector<float>>>(result);
  };
  const std::vector<tasks::Example> examples = {answerer->Read(question, "it").value()};
  return answerer->Answer(examples, run).value();
}

TEST(RatingAnswers, OfExplicitFeedbackAreNotBeyondTheScale) {
  EXPECT_EQ(AskOne(Pair("a", "0"), false)[0].values[0], 5);
  EXPECT_EQ(AskOne(Pair("a", "1"), false)[0].values[0], 3);
  EXPECT_EQ(AskOne(Pair("a", "0"), true)[0].values[0], 9);
}

TEST(RatingAnswers, BeyondTheScaleKeepTheirOrder) {
  const auto items = AskOne(tasks::UserQuestion{.id = "a", .top = 3}, false)[0].items;
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].id + items[1].id + items[2].id, "021");
  EXPECT_EQ(items[0].score, 5);
  EXPECT_EQ(items[1].score, 5);
}

// Three users and four items; who rated what in the training part.
data::Ratings Few(std::vector<int32_t> users, std::vector<int32_t> items) {
  data::Ratings::Parts parts;
  parts.index.users = {"a", "b", "c"};
  parts.index.items = {"0", "1", "2", "3"};
  parts.index.rated_begin = {0, 1, 1, 1};
  parts.index.rated = {0};
  parts.values.assign(users.size(), 1);
  parts.users = std::move(users);
  parts.items = std::move(items);
  return data::Ratings(std::move(parts));
}

TEST(RankHeldOut, RanksAmongWhatTheUserHasNotRated) {
  // User a has rated item 0 before, and items 1 and 2 are held out: 3 is what they compete with.
  const data::Ratings ratings = Few({0, 0}, {1, 2});
  const auto score = [](std::span<const int32_t>, std::span<float> scores) {
    const float of[] = {9, 1, 3, 2};
    std::ranges::copy(of, scores.begin());
    return absl::OkStatus();
  };
  const std::vector<int32_t> rows = {0, 1};
  const auto quality = tasks::RankHeldOut(ratings, rows, 0, score);
  ASSERT_THAT(quality, IsOk());
  EXPECT_EQ(quality->hit_rate, 1);
  EXPECT_NEAR(quality->ndcg, (1 / std::log2(3) + 1) / 2, 1e-9);
}

// Ratings with a known noise, and what a model says of them: the rating without its noise, and so
// many times the noise on top.
double OverFloor(double noise_left, const std::vector<float>& noise) {
  data::Ratings::Parts parts;
  parts.index.users = {"a", "b"};
  parts.index.items = {"x", "y"};
  parts.index.lowest = -10;
  parts.index.highest = 10;
  parts.users = {0, 0, 1, 1};
  parts.items = {0, 1, 0, 1};
  parts.values = {3, 4, 2, 5};
  parts.noise = noise;
  const std::vector<float> values = parts.values;
  tasks::DataInfo info;
  info.preprocessing.target_mean = {3.5f};
  info.preprocessing.target_std = {2};
  const data::Dataset dataset(std::make_shared<data::Ratings>(std::move(parts)));
  const std::unique_ptr<tasks::Scorer> scorer =
      tasks::MakeTask(tasks::RecommendationOptions())->NewScorer(dataset, info);
  const std::vector<float> of_noise = {0.5f, -1, 0.25f, 1.5f};
  std::vector<float> outputs;
  for (size_t i = 0; i < values.size(); ++i) {
    const double said = values[i] - of_noise[i] + noise_left * of_noise[i];
    outputs.push_back(static_cast<float>((said - 3.5) / 2));
  }
  const std::vector<int32_t> rows = {0, 1, 2, 3};
  scorer->Add(outputs.data(), rows);
  const std::map<std::string, double> metrics = scorer->Finish().own_metrics;
  return metrics.contains("rmse_over_floor") ? metrics.at("rmse_over_floor") : -1;
}

TEST(RmseOverFloor, IsOneForWhoKnowsAllButTheNoise) {
  EXPECT_NEAR(OverFloor(0, {0.5f, -1, 0.25f, 1.5f}), 1, 1e-6);
}

TEST(RmseOverFloor, IsTheErrorInMultiplesOfTheNoise) {
  EXPECT_NEAR(OverFloor(3, {0.5f, -1, 0.25f, 1.5f}), 2, 1e-6);
  EXPECT_NEAR(OverFloor(1, {0.5f, -1, 0.25f, 1.5f}), 0, 1e-6);
}

TEST(RmseOverFloor, IsNotToldWhereTheNoiseIsNotKnown) { EXPECT_EQ(OverFloor(0, {}), -1); }

TEST(RankHeldOut, EqualScoresAndWhatIsNotKnownStandLast) {
  data::Ratings::Parts parts;
  for (int i = 0; i < 30; ++i) {
    parts.index.items.push_back(absl::StrCat(i));
  }
  parts.index.users = {"a", "b"};
  parts.users = {0, -1, 1};
  parts.items = {29, 3, -1};
  parts.values = {1, 1, 1};
  const data::Ratings ratings(std::move(parts));
  const std::vector<int32_t> rows = {0, 1, 2};
  for (const float same : {1.0f, std::nanf("")}) {
    const auto score = [&](std::span<const int32_t>, std::span<float> scores) {
      std::ranges::fill(scores, same);
      return absl::OkStatus();
    };
    const auto quality = tasks::RankHeldOut(ratings, rows, 0, score);
    ASSERT_THAT(quality, IsOk());
    EXPECT_EQ(quality->hit_rate, 0) << same;
    EXPECT_EQ(quality->ratings, 3);
  }
}

TEST(RankHeldOut, LooksAtSomeUsersWhereItMustNotTakeLong) {
  const data::Ratings ratings = Few({0, 1, 2}, {1, 1, 1});
  std::vector<int32_t> asked;
  const auto score = [&](std::span<const int32_t> users, std::span<float> scores) {
    asked.assign(users.begin(), users.end());
    std::ranges::fill(scores, 0.0f);
    return absl::OkStatus();
  };
  const std::vector<int32_t> rows = {0, 1, 2};
  ASSERT_THAT(tasks::RankHeldOut(ratings, rows, 2, score), IsOk());
  EXPECT_THAT(asked, ::testing::ElementsAre(0, 1));
}

}  // namespace
}  // namespace hone::engine::train
