// Adapters in peft's form on checkpoints in Hugging Face's form, against the checkpoint with the
// adapters in its weights, and what is said of those that do not fit.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "engine/huggingface/adapter.h"
#include "engine/huggingface/folder_files.h"
#include "engine/huggingface/head.h"
#include "tests/engine/huggingface_answers.h"
#include "tests/engine/huggingface_testing.h"

namespace hone::engine {
namespace {

using ::hone::engine::testing::Answers;
using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::Question;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::engine::testing::WriteTensors;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::Put;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr int64_t kRank = 3;

// A base in FOLDER/base, and an adapter in FOLDER/adapter that names it.
class AdapterTest : public ::testing::Test {
 protected:
  void MakeBase(const std::string& name) {
    golden_ = GoldenCheckpoint(name);
    base_ = TensorsOf(golden_);
    std::filesystem::create_directories(folder_ / "base");
    std::filesystem::create_directories(folder_ / "adapter");
    WriteCheckpoint(folder_ / "base", golden_["config"], base_);
    config_ = {{"peft_type", "LORA"},
               {"base_model_name_or_path", "../base"},
               {"r", kRank},
               {"lora_alpha", 6},
               {"target_modules", {"what"}}};
  }

  // A tensor of the adapter's file.
  CheckpointTensor& Add(const std::string& name, const Shape& shape) {
    CheckpointTensor& tensor = adapter_.emplace_back(
        CheckpointTensor{.name = "base_model.model." + name, .shape = shape, .values = {}});
    for (int64_t i = 0; i < shape.elements(); ++i) {
      tensor.values.push_back(static_cast<float>(Number(500 + adapter_.size(), i) % 1000) / 1000 -
                              0.5f);
    }
    return tensor;
  }
  // An adapter of a module; the base's weight gets it, too, which is [in, out] or [out, in].
  void Adapt(const std::string& module, bool in_first, double scale = 2, int64_t rank = kRank) {
    CheckpointTensor& weight =
        *std::ranges::find(base_, module + ".weight", &CheckpointTensor::name);
    const int64_t in = weight.shape[in_first ? 0 : 1], out = weight.shape[in_first ? 1 : 0];
    const std::vector<float> a = Add(module + ".lora_A.weight", {rank, in}).values;
    const std::vector<float> b = Add(module + ".lora_B.weight", {out, rank}).values;
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        double sum = 0;
        for (int64_t r = 0; r < rank; ++r) {
          sum += double{b[static_cast<size_t>(o * rank + r)]} *
                 double{a[static_cast<size_t>(r * in + i)]};
        }
        weight.values[static_cast<size_t>(in_first ? i * out + o : o * in + i)] +=
            static_cast<float>(scale * sum);
      }
    }
  }
  void WriteAdapter() const {
    Put(folder_ / "adapter/adapter_config.json", config_.dump());
    WriteTensors(folder_ / "adapter/adapter_model.safetensors", adapter_);
  }
  absl::Status Opened() const {
    WriteAdapter();
    return huggingface::Weights::Open(folder_ / "adapter").status();
  }

  // The base with its adapter answers as the merged base does.
  void ExpectMerged(bool lent) {
    WriteAdapter();
    std::filesystem::create_directories(folder_ / "merged");
    WriteCheckpoint(folder_ / "merged", golden_["config"], base_);
    const Question question = {
        .vocabulary = 40, .outputs = golden_["of_tokens"].get<bool>() ? 0 : 3, .lent = lent};
    const auto merged = Answers(folder_ / "merged", golden_, question);
    const auto adapted = Answers(folder_ / "adapter", golden_, question);
    const auto plain = Answers(folder_ / "base", golden_, question);
    ASSERT_THAT(merged, IsOk());
    ASSERT_THAT(adapted, IsOk());
    EXPECT_THAT(*adapted, Pointwise(::testing::FloatNear(1e-4f), *merged));
    EXPECT_NE(*adapted, *plain);
  }

  const Folder folder_;
  nlohmann::json golden_, config_;
  std::vector<CheckpointTensor> base_, adapter_;
};

TEST_F(AdapterTest, OfLlamaAnswersAsItsMergedBase) {
  MakeBase("llama");
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj",
                             "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.gate_proj"}) {
    Adapt(module, /*in_first=*/false);
  }
  ExpectMerged(/*lent=*/false);
}

TEST_F(AdapterTest, OfThreeProductsInOneAnswersAsItsMergedBase) {
  MakeBase("gpt2");
  Adapt("transformer.h.0.attn.c_attn", /*in_first=*/true);
  Adapt("transformer.h.1.mlp.c_fc", /*in_first=*/true);
  ExpectMerged(/*lent=*/true);
}

TEST_F(AdapterTest, WithItsHeadAnswersAsItsMergedBase) {
  MakeBase("bert");
  Adapt("bert.encoder.layer.1.attention.self.query", /*in_first=*/false);
  CheckpointTensor& head = *std::ranges::find(base_, "classifier.weight", &CheckpointTensor::name);
  head.values = Add("classifier.weight", head.shape).values;
  ExpectMerged(/*lent=*/false);
}

TEST_F(AdapterTest, RanksAndScalesOfModulesAreTheirOwn) {
  MakeBase("llama");
  config_["use_rslora"] = true;
  config_["rank_pattern"] = {{"v_proj", 2}};
  config_["alpha_pattern"] = {{"layers.0.self_attn.v_proj", 5}};
  Adapt("model.layers.0.self_attn.q_proj", false, 6 / std::sqrt(3.0));
  Adapt("model.layers.0.self_attn.v_proj", false, 5 / std::sqrt(2.0), 2);
  ExpectMerged(/*lent=*/false);
}

TEST_F(AdapterTest, ItsModelHasAdaptersOfOurProducts) {
  MakeBase("llama");
  Adapt("model.layers.1.self_attn.k_proj", false);
  WriteAdapter();
  const auto model = huggingface::DescribeModel(folder_ / "adapter");
  ASSERT_THAT(model, IsOk());
  ASSERT_TRUE(model->lora.has_value());
  EXPECT_THAT(model->lora->targets, ElementsAre("block_2.attention.key"));
  EXPECT_EQ(model->lora->rank, kRank);
  EXPECT_EQ(model->lora->alpha, 6);
}

TEST_F(AdapterTest, ABaseThatIsNotThereIsToldHowToBeNamed) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  config_["base_model_name_or_path"] = "somebody/something";
  EXPECT_THAT(Opened(), StatusIs(kInvalid, AllOf(HasSubstr("somebody/something"),
                                                 HasSubstr("called `base`"))));
  std::filesystem::rename(folder_ / "base", folder_ / "adapter/base");
  EXPECT_THAT(Opened(), IsOk());
}

TEST_F(AdapterTest, ABaseInItsFolderIsBeforeTheOneThatItNames) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  std::filesystem::rename(folder_ / "base", folder_ / "adapter/base");
  std::filesystem::create_directory(folder_ / "base");
  Put(folder_ / "base/config.json", "{}");
  EXPECT_THAT(Opened(), IsOk());
  const auto base = huggingface::BaseOf(folder_ / "adapter");
  ASSERT_THAT(base, IsOk());
  EXPECT_EQ(*base, folder_ / "adapter/base");
}

TEST_F(AdapterTest, AnAdapterOfAnotherBaseIsRefusedByItsShapes) {
  MakeBase("llama");
  Add("model.layers.0.self_attn.q_proj.lora_A.weight", {kRank, 32});
  Add("model.layers.0.self_attn.q_proj.lora_B.weight", {24, kRank});
  EXPECT_THAT(Opened(), StatusIs(kInvalid, AllOf(HasSubstr("does not fit its base"),
                                                 HasSubstr("q_proj.lora_A.weight"),
                                                 HasSubstr("[3, 24]"), HasSubstr("[3, 32]"))));
}

TEST_F(AdapterTest, ModulesThatAreNotKnownAreNamed) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  Add("model.layers.7.self_attn.q_proj.lora_A.weight", {kRank, 24});
  Add("model.layers.7.self_attn.q_proj.lora_B.weight", {24, kRank});
  Add("model.embed_tokens.lora_embedding_A", {kRank, 40});
  EXPECT_THAT(Opened(), StatusIs(kInvalid, AllOf(HasSubstr("layers.7.self_attn.q_proj"),
                                                 HasSubstr("lora_embedding_A"))));
}

TEST_F(AdapterTest, AFactorWithoutTheOtherIsNamed) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  adapter_.pop_back();
  EXPECT_THAT(Opened(), StatusIs(kInvalid, HasSubstr("has lora_A without the other factor")));
}

TEST_F(AdapterTest, WhatChangesTheArithmeticAndIsNotKnownIsRefused) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  const nlohmann::json good = config_;
  const std::pair<const char*, nlohmann::json> kBad[] = {
      {"peft_type", "IA3"},           {"use_dora", true}, {"bias", "all"},
      {"init_lora_weights", "pissa"}, {"r", 0},           {"lora_alpha", "much"},
      {"rank_pattern", {{".*q", 2}}}};
  for (const auto& [key, value] : kBad) {
    config_ = good;
    config_[key] = value;
    EXPECT_THAT(Opened(), StatusIs(kInvalid, HasSubstr(key))) << key;
  }
  config_ = good;
  EXPECT_THAT(Opened(), IsOk());
}

TEST_F(AdapterTest, ARankThatIsNotTheFactorsIsRefused) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  config_["r"] = 4;
  EXPECT_THAT(Opened(), StatusIs(kInvalid, HasSubstr("must be [4, 24], got [3, 24]")));
}

TEST_F(AdapterTest, AFolderWithoutAdaptersIsRefused) {
  MakeBase("bert");
  Add("classifier.bias", {3});
  EXPECT_THAT(Opened(), StatusIs(kInvalid, HasSubstr("there is no adapter")));
}

TEST_F(AdapterTest, TheirNamesOfProductsAreOurs) {
  MakeBase("gpt2");
  EXPECT_THAT(*huggingface::OurProducts(folder_ / "base", {"c_attn", "up", "mlp.c_proj"}),
              ElementsAre(ElementsAre("block_*.attention.query", "block_*.attention.key",
                                      "block_*.attention.value"),
                          ElementsAre("up"), ElementsAre("block_*.down")));
}

TEST_F(AdapterTest, TheirNamesOfOneBlockAndGlobsOfThemAreOurs) {
  MakeBase("llama");
  EXPECT_THAT(
      *huggingface::OurProducts(
          folder_ / "base", {"layers.1.self_attn.q_proj", "model.layers.0.mlp.up_proj", "*.v_proj",
                             "model.layers.[1-9].*.k_proj", "embed_tokens"}),
      ElementsAre(ElementsAre("block_2.attention.query"), ElementsAre("block_1.feed_forward.up"),
                  ElementsAre("block_*.attention.value"), ElementsAre("block_2.attention.key"),
                  ElementsAre("embed_tokens")));
}

TEST_F(AdapterTest, OfPatternsTheFirstInTheFileCounts) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.v_proj", false, /*scale=*/3, /*rank=*/2);
  WriteAdapter();
  nlohmann::ordered_json config = nlohmann::ordered_json::parse(config_.dump());
  config["rank_pattern"] = nlohmann::ordered_json::object();
  config["rank_pattern"]["v_proj"] = 2;
  config["rank_pattern"]["layers.0.self_attn.v_proj"] = 3;
  Put(folder_ / "adapter/adapter_config.json", config.dump());
  EXPECT_THAT(huggingface::Weights::Open(folder_ / "adapter"), IsOk());
}

TEST_F(AdapterTest, AConfigBesideItDoesNotMakeItItsOwnBase) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  Put(folder_ / "adapter/config.json", "{}");
  EXPECT_THAT(Opened(), IsOk());
}

TEST_F(AdapterTest, ItsHeadMayHaveOtherOutputsAndAnotherTaskThanItsBases) {
  MakeBase("bert");
  golden_["config"]["id2label"] = {{"0", "no"}, {"1", "maybe"}, {"2", "yes"}};
  Put(folder_ / "base/config.json", golden_["config"].dump());
  Adapt("bert.encoder.layer.1.attention.self.query", /*in_first=*/false);
  WriteAdapter();
  const auto same = huggingface::ReadHead(folder_ / "adapter", 3);
  ASSERT_THAT(same, IsOk());
  EXPECT_THAT(same->names, ElementsAre("no", "maybe", "yes"));
  config_["task_type"] = "TOKEN_CLS";
  WriteAdapter();
  const auto own = huggingface::ReadHead(folder_ / "adapter", 2);
  ASSERT_THAT(own, IsOk());
  EXPECT_EQ(own->kind, huggingface::Head::Kind::kTags);
  EXPECT_THAT(own->names, ElementsAre("LABEL_0", "LABEL_1"));
  EXPECT_FALSE(own->named);
}

class HeadOfAdapterTest : public AdapterTest {
 protected:
  using Labels = std::vector<std::string>;

  void SetUp() override {
    MakeBase("bert");
    Adapt("bert.encoder.layer.1.attention.self.query", /*in_first=*/false);
    golden_["config"]["id2label"] = Numbered({"b0", "b1", "b2"});
    Put(folder_ / "base/config.json", golden_["config"].dump());
  }
  static nlohmann::json Numbered(const Labels& labels) {
    nlohmann::json numbered = nlohmann::json::object();
    for (size_t i = 0; i < labels.size(); ++i) {
      numbered[std::to_string(i)] = labels[i];
    }
    return numbered;
  }
  void PutBeside(const nlohmann::json& config) {
    Put(folder_ / "adapter/config.json", config.dump());
  }
  Labels NamesOf(int64_t outputs) {
    WriteAdapter();
    const auto head = huggingface::ReadHead(folder_ / "adapter", outputs);
    return head.ok() ? head->names : Labels{head.status().ToString()};
  }
};

TEST_F(HeadOfAdapterTest, HasTheNamesOfTheConfigBesideIt) {
  PutBeside({{"id2label", Numbered({"c0", "c1", "c2"})}});
  EXPECT_THAT(NamesOf(3), ElementsAre("c0", "c1", "c2"));
}

TEST_F(HeadOfAdapterTest, HasTheNamesOfItsOwnConfigBeforeAllOthers) {
  PutBeside({{"id2label", Numbered({"c0", "c1", "c2"})}});
  config_["id2label"] = Numbered({"a0", "a1", "a2"});
  EXPECT_THAT(NamesOf(3), ElementsAre("a0", "a1", "a2"));
}

TEST_F(HeadOfAdapterTest, TakesNoNamesOfAnotherNumberFromTheConfigBesideIt) {
  PutBeside({{"id2label", Numbered({"c0", "c1"})}});
  EXPECT_THAT(NamesOf(3), ElementsAre("b0", "b1", "b2"));
  EXPECT_THAT(NamesOf(4), ElementsAre("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"));
}

TEST_F(HeadOfAdapterTest, RefusesNamesOfAnotherNumberInItsOwnConfig) {
  config_["id2label"] = Numbered({"a0", "a1"});
  EXPECT_THAT(NamesOf(3), ElementsAre(AllOf(HasSubstr("adapter_config.json: `id2label`"),
                                            HasSubstr("3 outputs"))));
}

TEST_F(HeadOfAdapterTest, IsOfTheKindThatTheConfigBesideItSays) {
  PutBeside({{"problem_type", "multi_label_classification"}});
  WriteAdapter();
  const auto head = huggingface::ReadHead(folder_ / "adapter", 3);
  ASSERT_THAT(head, IsOk());
  EXPECT_EQ(head->kind, huggingface::Head::Kind::kSeveralClasses);
}

TEST_F(AdapterTest, FilesBesideItsWeightsAreItsBasesButForThoseOfItsOwnTokenizer) {
  MakeBase("llama");
  Adapt("model.layers.0.self_attn.q_proj", false);
  WriteAdapter();
  for (const char* name : {"generation_config.json", "tokenizer_config.json"}) {
    Put(folder_ / (std::string("base/") + name), R"({"of": "base"})");
  }
  Put(folder_ / "adapter/tokenizer_config.json", R"({"of": "adapter"})");
  auto files = huggingface::ReadFilesBesideWeights(folder_ / "adapter");
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ((*files)["config.json"], golden_["config"].dump());
  EXPECT_EQ((*files)["tokenizer_config.json"], R"({"of": "base"})");
  Put(folder_ / "adapter/tokenizer.json", "{}");
  files = huggingface::ReadFilesBesideWeights(folder_ / "adapter");
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ((*files)["tokenizer_config.json"], R"({"of": "adapter"})");
  EXPECT_EQ((*files)["generation_config.json"], R"({"of": "base"})");
}

}  // namespace
}  // namespace hone::engine
