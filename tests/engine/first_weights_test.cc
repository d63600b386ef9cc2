#include <gmock/gmock.h>

#include <algorithm>

#include "engine/base/status.h"
#include "engine/job/pretrained.h"
#include "tests/engine/huggingface_testing.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Which parameters a run gives random values to: not those that an earlier model, a checkpoint of
// others or a checkpoint of its own overwrites. Of 100 million that is seconds before the first
// step.
namespace hone::engine {
namespace {

std::vector<std::string>& Initialised() {
  static auto* const names = new std::vector<std::string>();
  return *names;
}

}  // namespace

// In this program in the place of the library's, which the linker then leaves out: keeps the names
// of what is initialised.
void FillInitial(const ParameterSpec& spec, uint64_t seed, std::span<float> values) {
  Initialised().push_back(spec.name);
  RandomStream random(seed, spec.name);
  std::ranges::generate(values, [&] { return random.NextUniform(-0.3f, 0.3f); });
}

namespace train {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::IsOk;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class FirstWeights : public TrainTest {
 protected:
  // What a run initialises.
  std::vector<std::string> InitialisedBy(const tasks::TrainingConfig& config) {
    Initialised().clear();
    EXPECT_THAT(Run(config), IsOk());
    return Initialised();
  }
};

TEST_F(FirstWeights, OfANewModelAreAllInitialisedOnce) {
  EXPECT_THAT(InitialisedBy(Pictures()), UnorderedElementsAre("conv2d_1.weight", "conv2d_1.bias",
                                                              "dense_1.weight", "dense_1.bias"));
}

TEST_F(FirstWeights, BehindAnEarlierModelAreInitialisedInTheNewHeadAlone) {
  const tasks::TrainingConfig first = Pictures();
  ASSERT_THAT(Run(first), IsOk());
  tasks::TrainingConfig second = Pictures();
  second.pretrained = {.directory = first.run_directory + "/model", .drop_layers = 1};
  models::ModelDescription head;
  head.layers = {DenseLayer(2)};
  const auto model = job::WithPretrained(second.pretrained, head);
  ASSERT_THAT(model, IsOk());
  second.model = *model;
  EXPECT_THAT(InitialisedBy(second), UnorderedElementsAre("dense_1.weight", "dense_1.bias"));
}

TEST_F(FirstWeights, OfACheckpointWithoutAHeadAreInitialisedInTheHeadAlone) {
  std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", table = "text\tlabel\n";
  for (int i = 0; i < 35; ++i) {
    words += "word" + std::to_string(i) + "\n";
  }
  for (int i = 0; i < 60; ++i) {
    table += "word" + std::to_string(i * 7 % 35) + "\t" + (i % 2 == 0 ? "even" : "odd") + "\n";
  }
  Write("bert/vocab.txt", words);
  Write("texts.tsv", table);
  std::vector<CheckpointTensor> tensors = TensorsOf(GoldenCheckpoint("bert"));
  std::erase_if(tensors, [](const CheckpointTensor& tensor) {
    return tensor.name == "classifier.weight" || tensor.name == "classifier.bias";
  });
  WriteCheckpoint(Path("bert"), GoldenCheckpoint("bert")["config"], tensors);

  tasks::TrainingConfig config;
  config.task = tasks::ClassificationOptions();
  config.data.path = Path("texts.tsv");
  config.data.text.emplace();
  config.pretrained.directory = Path("bert");
  const auto tokens = job::PretrainedTokens(config.pretrained);
  ASSERT_THAT(tokens, IsOk());
  config.data.text->like = *tokens;
  const auto model = job::WithPretrained(config.pretrained, {});
  ASSERT_THAT(model, IsOk());
  config.model = *model;
  config.epochs = 1;
  config.batch_size = 16;
  config.threads = 2;
  config.run_directory = NewRun();
  EXPECT_THAT(InitialisedBy(config), UnorderedElementsAre("classifier.weight", "classifier.bias"));
}

TEST_F(FirstWeights, OfARunThatGoesOnAreNotInitialised) {
  tasks::TrainingConfig config = Pictures();
  config.layer_statistics_every = 1;
  config.resume = true;
  recorder_.on_step = [this](int64_t) { stop_ = true; };
  ASSERT_EQ(Run(config).value(), EndReason::kCancelled);
  recorder_.on_step = nullptr;
  stop_ = false;
  EXPECT_THAT(InitialisedBy(config), IsEmpty());
}

}  // namespace
}  // namespace train
}  // namespace hone::engine
