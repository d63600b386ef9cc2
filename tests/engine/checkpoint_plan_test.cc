// What is said of a checkpoint before anything is done with it.
#include "engine/job/checkpoint_plan.h"

#include <gmock/gmock.h>

#include "absl/strings/match.h"
#include "tests/engine/huggingface_testing.h"

namespace hone::engine::job {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;

class CheckpointPlanTest : public ::testing::Test {
 protected:
  // The golden checkpoint of that name, but for tensors whose names begin so, with 40 tokens.
  void Write(const std::string& name, const std::string& without = "nothing") {
    const nlohmann::json& golden = GoldenCheckpoint(name);
    std::vector<CheckpointTensor> tensors = TensorsOf(golden);
    std::erase_if(tensors, [&](const CheckpointTensor& tensor) {
      return absl::StartsWith(tensor.name, without);
    });
    elements_ = 0;
    for (const CheckpointTensor& tensor : tensors) {
      elements_ += tensor.shape.elements();
    }
    WriteCheckpoint(folder_.path(), golden["config"], tensors);
    std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = 5; i < 40; ++i) {
      words += "word" + std::to_string(i) + "\n";
    }
    Put(folder_ / "vocab.txt", words);
  }
  static bool HasLayer(const Plan& plan, const std::string& name) {
    return std::ranges::find(plan.layers, name, &models::LayerSummary::name) != plan.layers.end();
  }

  const Folder folder_;
  int64_t elements_ = 0;
};

TEST_F(CheckpointPlanTest, ALanguageModelHasItsParametersAndNoOthers) {
  Write("llama");
  const auto plan = PlanCheckpoint(folder_.path(), 1, /*memory=*/false);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->task, "language_modeling");
  EXPECT_EQ(plan->plan.parameters, elements_);
  EXPECT_EQ(plan->plan.checkpoint_bytes, 4 * elements_);
  EXPECT_GT(plan->plan.forward_flops_per_example, 0);
}

TEST_F(CheckpointPlanTest, AnEncoderThatFindsMaskedWordsSaysSo) {
  Write("bert_masked");
  const auto plan = PlanCheckpoint(folder_.path(), 1, /*memory=*/false);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->task, "masked_language_modeling");
  EXPECT_TRUE(HasLayer(plan->plan, "transform"));
}

TEST_F(CheckpointPlanTest, AnEncoderWithAHeadSaysWhatTheHeadDoes) {
  Write("bert");
  const auto plan = PlanCheckpoint(folder_.path(), 1, /*memory=*/false);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->task, "classification");
  EXPECT_TRUE(HasLayer(plan->plan, "classifier"));
}

TEST_F(CheckpointPlanTest, AHeadThatTheCheckpointLacksIsNoLayerOfIt) {
  Write("bert", "classifier");
  const auto plan = PlanCheckpoint(folder_.path(), 1, /*memory=*/false);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->task, "text_embedding");
  EXPECT_TRUE(HasLayer(plan->plan, "pooler"));
  EXPECT_FALSE(HasLayer(plan->plan, "classifier"));
  EXPECT_EQ(plan->plan.parameters, elements_);
}

TEST_F(CheckpointPlanTest, WhatAnsweringNeedsIsMoreThanTheWeights) {
  Write("llama");
  const auto plan = PlanCheckpoint(folder_.path(), 1, /*memory=*/true);
  ASSERT_THAT(plan, IsOk());
  EXPECT_GT(plan->plan.arena_bytes, 0);
  EXPECT_GE(plan->plan.parameter_bytes, 4 * elements_);
  EXPECT_GT(plan->plan.peak_memory_bytes, plan->plan.parameter_bytes);
}

}  // namespace
}  // namespace hone::engine::job
