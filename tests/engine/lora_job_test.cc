#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/export/export.h"
#include "engine/job/pretrained.h"
#include "engine/models/lora.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/add_adapter.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/text_inputs.h"
#include "engine/train/checkpoints.h"
#include "tests/engine/class_probabilities.h"
#include "tests/engine/huggingface_testing.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Jobs that learn adapters beside the weights of an earlier model.
namespace hone::engine::train {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr int64_t kWidth = 24, kBlocks = 2, kRank = 4;

// A small BERT without a head, whose 40 tokens are five and 35 words, and texts of these words.
class LoraJobTest : public TrainTest {
 protected:
  LoraJobTest() {
    std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\n";
    for (int i = 0; i < 33; ++i) {
      words += "word" + std::to_string(i) + "\n";
    }
    Write("bert/vocab.txt", words);
    std::string table = "text\tlabel\n";
    for (int i = 0; i < 96; ++i) {
      const bool liked = i % 2 == 0;
      table += "word" + std::to_string(i % 33) + (liked ? " good" : " bad") + " word" +
               std::to_string(i * 7 % 33) + "\t" + (liked ? "liked" : "not liked") + "\n";
    }
    Write("texts.tsv", table);
    std::vector<CheckpointTensor> tensors = TensorsOf(GoldenCheckpoint("bert"));
    std::erase_if(tensors, [](const CheckpointTensor& tensor) {
      return tensor.name == "classifier.weight" || tensor.name == "classifier.bias";
    });
    WriteCheckpoint(Path("bert"), GoldenCheckpoint("bert")["config"], tensors);
  }

  absl::StatusOr<tasks::TrainingConfig> Job(const tasks::LoraOptions& lora = {.rank = kRank,
                                                                              .alpha = 8,
                                                                              .dropout = 0.1f},
                                            const std::string& from = "bert") const {
    tasks::TrainingConfig config;
    config.task =
        tasks::ClassificationOptions{.label_smoothing = 0, .class_weights = {}, .binary = true};
    config.data.path = Path("texts.tsv");
    config.data.text.emplace();
    config.pretrained.directory = from == "bert" ? Path(from) : from;
    config.pretrained.lora = lora;
    HONE_ASSIGN_OR_RETURN(config.data.text->like, job::PretrainedTokens(config.pretrained));
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(config.pretrained, {}));
    HONE_ASSIGN_OR_RETURN(config.parameter_rules, job::FreezeRules(config.pretrained, {}));
    config.optimizer = optim::Adam{.learning_rate = 0.01};
    config.epochs = 2;
    config.batch_size = 16;
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }

  static std::map<std::string, std::vector<float>> Weights(const std::string& directory) {
    std::map<std::string, std::vector<float>> weights;
    const auto model = checkpoint::LoadModel(directory);
    EXPECT_THAT(model, IsOk());
    for (const checkpoint::FileTensor& tensor : model->tensors.tensors()) {
      std::vector<float>& values = weights[tensor.name];
      values.resize(static_cast<size_t>(tensor.shape.elements()));
      EXPECT_THAT(model->tensors.Read(tensor, values), IsOk());
    }
    return weights;
  }
  static std::vector<double> Answers(const std::string& directory) {
    return testing::ClassProbabilities(
        directory, {"word1 good", "bad", "word7 word8 bad word9", "good word30"});
  }
};

TEST_F(LoraJobTest, AdaptersAndTheHeadAreLearnedAndNothingElse) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto base = huggingface::Weights::Open(Path("bert"));
  const auto after = Weights(config->run_directory + "/model");
  for (const auto& [name, values] : after) {
    if (base->Holds(name)) {
      std::vector<float> before(values.size());
      ASSERT_THAT(base->Read(name, before), IsOk());
      EXPECT_EQ(values, before) << name;
    }
  }
  const std::vector<float>& b = after.at("block_2.attention.value.lora_B.weight");
  EXPECT_EQ(b.size(), static_cast<size_t>(kWidth * kRank));
  EXPECT_TRUE(std::ranges::any_of(b, [](float x) { return x != 0; }));
  EXPECT_THAT(after, Not(Contains(Key("block_2.attention.key.lora_B.weight"))));
}

TEST_F(LoraJobTest, ThePlanTellsWhatIsLearned) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const job::Plan& plan = recorder_.started.back().plan;
  EXPECT_EQ(plan.trainable_parameters, kBlocks * 2 * (2 * kRank * kWidth) + kWidth + 1);
  const auto row =
      std::ranges::find(plan.layers, "block_1.attention.query.lora", &models::LayerSummary::name);
  ASSERT_NE(row, plan.layers.end());
  EXPECT_EQ(row->weights, 2 * kRank * kWidth);
  EXPECT_TRUE(row->trainable);
  const auto attention =
      std::ranges::find(plan.layers, "block_1.attention", &models::LayerSummary::name);
  ASSERT_NE(attention, plan.layers.end());
  EXPECT_FALSE(attention->trainable);
}

TEST_F(LoraJobTest, ACheckpointHoldsAdaptersAndTheHeadAlone) {
  const auto config = Job({.rank = kRank, .targets = {"query"}});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto latest = checkpoint::LatestCheckpoint(CheckpointRoot(*config));
  ASSERT_THAT(latest, IsOk());
  std::vector<std::string> names;
  for (const checkpoint::FileTensor& tensor : latest->model.tensors()) {
    names.push_back(tensor.name);
  }
  EXPECT_THAT(names, UnorderedElementsAre("block_1.attention.query.lora_A.weight",
                                          "block_1.attention.query.lora_B.weight",
                                          "block_2.attention.query.lora_A.weight",
                                          "block_2.attention.query.lora_B.weight",
                                          "classifier.weight", "classifier.bias"));
  EXPECT_THAT(latest->model.metadata(), Contains(Key("block_1.attention.query.weight")));
}

TEST_F(LoraJobTest, MergedAnswersAreThoseOfTheAdapters) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->task =
      tasks::ClassificationOptions{.label_smoothing = 0, .class_weights = {}, .binary = false};
  ASSERT_THAT(Run(*config), IsOk());
  const std::string model = config->run_directory + "/model", merged = Path("merged");
  std::filesystem::create_directory(merged);
  const auto report = exports::Export(
      {.source = model, .directory = merged, .format = exports::Format::kMergedHuggingFace});
  ASSERT_THAT(report, IsOk());
  EXPECT_GT(report->questions, 0);
  EXPECT_THAT(Answers(merged), ::testing::Pointwise(::testing::DoubleNear(1e-5), Answers(model)));
}

// The adapter of a product of 2 inputs and 3 units, whose network's preset may say how weights lie.
absl::Status AddTo(const std::string& product, const Shape& shape) {
  models::ModelDescription model;
  model.preset.options = R"({"transposed": true})";
  model.networks.push_back({.name = "policy"});
  model.lora.emplace(models::LoraDescription{.rank = 1, .alpha = 1});
  std::vector<float> weight(6);
  return tasks::AddAdapter(model, product, std::vector<float>(2), std::vector<float>(3), shape,
                           weight);
}

TEST(AddAdapter, AsksTheNetworkOfTheProductHowItsWeightsLie) {
  EXPECT_THAT(AddTo("block_1.up", {3, 2}), IsOk());
  EXPECT_THAT(AddTo("block_1.up", {2, 3}), StatusIs(kInvalid, HasSubstr("block_1.up.weight")));
  EXPECT_THAT(AddTo("policy.dense_1", {2, 3}), IsOk());
  EXPECT_THAT(AddTo("policy.dense_1", {3, 2}), StatusIs(kInvalid, HasSubstr("[in, units]")));
}

TEST_F(LoraJobTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  ExpectSameBitsInPieces(*config);
}

TEST_F(LoraJobTest, TargetsMayBeCalledAsTheCheckpointCallsThem) {
  const auto config = Job({.rank = 2, .targets = {"intermediate.dense", "block_1.attention.key"}});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto weights = Weights(config->run_directory + "/model");
  for (const char* name : {"block_1.up.lora_A.weight", "block_2.up.lora_A.weight",
                           "block_1.attention.key.lora_A.weight"}) {
    EXPECT_THAT(weights, Contains(Key(name)));
  }
  EXPECT_THAT(weights, Not(Contains(Key("block_2.attention.key.lora_A.weight"))));
}

TEST_F(LoraJobTest, AllLinearHasNoAdapterOfTheHead) {
  const auto config = Job({.rank = 2, .targets = {"all-linear"}});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto weights = Weights(config->run_directory + "/model");
  EXPECT_THAT(weights, Contains(Key("block_1.down.lora_A.weight")));
  EXPECT_THAT(weights, Not(Contains(Key("classifier.lora_A.weight"))));
}

TEST_F(LoraJobTest, AnUnknownTargetIsRefusedWithWhatThereIs) {
  const auto config = Job({.targets = {"qery"}});
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(Run(*config),
              StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained.lora.targets[0] (qery)"),
                                       HasSubstr("block_1.attention.query"))));
}

TEST_F(LoraJobTest, ATargetIsToldByItsPlaceInTheJobsOwnList) {
  // The first is three products of a block.
  const auto config = Job({.targets = {"dense", "qery"}});
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(Run(*config), StatusIs(kInvalid, HasSubstr("targets[1] (qery)")));
}

TEST_F(LoraJobTest, WhatAJobHasLearnedGoesIntoAnAdapterAndIntoAMergedCheckpoint) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->task = tasks::ClassificationOptions{};
  // The adapter must bring it, too: it is not the base's any more.
  config->parameter_rules.push_back({.parameters = "block_2.norm_2", .freeze = false});
  ASSERT_THAT(Run(*config), IsOk());
  for (const exports::Format format :
       {exports::Format::kPeft, exports::Format::kMergedHuggingFace}) {
    const std::string folder = Path(format == exports::Format::kPeft ? "peft" : "merged");
    std::filesystem::create_directory(folder);
    const auto report = exports::Export(
        {.source = config->run_directory + "/model", .directory = folder, .format = format});
    ASSERT_THAT(report, IsOk());
    EXPECT_GT(report->questions, 0);
  }
}

// As a server keeps an adapter that was imported.
TEST_F(LoraJobTest, AnAdapterWithItsBaseInItsFolderAnswersAndIsGoneOnFrom) {
  auto first = Job();
  ASSERT_THAT(first, IsOk());
  first->task = tasks::ClassificationOptions{};
  ASSERT_THAT(Run(*first), IsOk());
  const std::string earlier = first->run_directory + "/model";
  std::filesystem::create_directory(Path("peft"));
  ASSERT_THAT(exports::Export(
                  {.source = earlier, .directory = Path("peft"), .format = exports::Format::kPeft}),
              IsOk());
  std::filesystem::rename(Path("bert"), Path("peft/base"));
  EXPECT_THAT(Answers(Path("peft")),
              ::testing::Pointwise(::testing::DoubleNear(1e-4), Answers(earlier)));
  auto second = Job({}, Path("peft"));
  ASSERT_THAT(second, IsOk());
  second->task = tasks::ClassificationOptions{};
  ASSERT_THAT(Run(*second), IsOk());
  const auto before = Weights(earlier), after = Weights(second->run_directory + "/model");
  EXPECT_EQ(after.at("block_1.attention.query.weight"),
            before.at("block_1.attention.query.weight"));
  EXPECT_NE(after.at("block_1.attention.query.lora_A.weight"),
            before.at("block_1.attention.query.lora_A.weight"));
}

TEST_F(LoraJobTest, APoolerThatIsNewHasNoAdapter) {
  std::vector<CheckpointTensor> tensors = TensorsOf(GoldenCheckpoint("bert"));
  std::erase_if(tensors, [](const CheckpointTensor& tensor) {
    return tensor.name.find("classifier") != std::string::npos ||
           tensor.name.find("pooler") != std::string::npos;
  });
  WriteCheckpoint(Path("bert"), GoldenCheckpoint("bert")["config"], tensors);
  const auto config = Job({.rank = 2, .targets = {"all-linear"}});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto weights = Weights(config->run_directory + "/model");
  EXPECT_THAT(weights, Contains(Key("block_1.down.lora_A.weight")));
  EXPECT_THAT(weights, Contains(Key("pooler.weight")));
  EXPECT_THAT(weights, Not(Contains(Key("pooler.lora_A.weight"))));
}

TEST_F(LoraJobTest, ARuleOfTheJobThawsMore) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->parameter_rules.push_back({.parameters = "pooler", .freeze = false});
  ASSERT_THAT(Run(*config), IsOk());
  const auto base = huggingface::Weights::Open(Path("bert"));
  std::vector<float> before(static_cast<size_t>(kWidth * kWidth));
  ASSERT_THAT(base->Read("pooler.weight", before), IsOk());
  EXPECT_NE(Weights(config->run_directory + "/model").at("pooler.weight"), before);
}

// Jobs that go on from a model with adapters.
class MoreLoraTest : public LoraJobTest {
 protected:
  MoreLoraTest() {
    const auto first = Job();
    EXPECT_THAT(first, IsOk());
    EXPECT_THAT(Run(*first), IsOk());
    earlier_ = first->run_directory + "/model";
  }
  std::string earlier_;
};

TEST_F(MoreLoraTest, GoOnWithItsAdapters) {
  const auto second = Job({}, earlier_);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->model.lora->rank, kRank);
  ASSERT_THAT(Run(*second), IsOk());
  const auto before = Weights(earlier_), after = Weights(second->run_directory + "/model");
  EXPECT_EQ(after.at("block_1.attention.query.weight"),
            before.at("block_1.attention.query.weight"));
  EXPECT_NE(after.at("block_1.attention.query.lora_A.weight"),
            before.at("block_1.attention.query.lora_A.weight"));
  EXPECT_EQ(after.size(), before.size());
}

TEST_F(MoreLoraTest, OfAnotherRankAreRefused) {
  EXPECT_THAT(Job({.rank = kRank + 1}, earlier_),
              StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained.lora"), HasSubstr("rank 4"))));
}

TEST_F(LoraJobTest, ARankThatIsNoneIsRefused) {
  EXPECT_THAT(Job({.rank = 0}), StatusIs(kInvalid, HasSubstr("model.pretrained.lora: rank")));
}

TEST_F(LoraJobTest, NoiseAndThawedLayersAreTheSameWhenResumed) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->neftune_alpha = 5;
  config->layer_decay = 0.8;
  config->parameter_rules.push_back(
      {.parameters = "block_2.up", .freeze = false, .freeze_until_step = 4});
  ExpectSameBitsInPieces(*config);
}

}  // namespace
}  // namespace hone::engine::train
