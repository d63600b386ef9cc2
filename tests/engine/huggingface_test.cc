// Checkpoints in Hugging Face's form against what transformers computes with them
// (tests/golden/huggingface.py), and what is said of those that are damaged.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/head.h"
#include "tests/engine/huggingface_answers.h"
#include "tests/engine/huggingface_testing.h"

namespace hone::engine {
namespace {

using ::hone::engine::huggingface::Weights;
using ::hone::engine::testing::Answers;
using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::Question;
using ::hone::engine::testing::RelativeError;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::engine::testing::WriteTensors;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

Question QuestionOf(const std::string& name, bool lent) {
  constexpr int64_t kVocabulary = 40, kClasses = 3;
  return {.vocabulary = kVocabulary,
          .outputs = GoldenCheckpoint(name)["of_tokens"].get<bool>() ? 0 : kClasses,
          .lent = lent};
}

class CheckpointAnswers : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(CheckpointAnswers, AreThoseOfTransformers) {
  const auto [name, lent] = GetParam();
  const nlohmann::json& golden = GoldenCheckpoint(name);
  const Folder folder;
  WriteCheckpoint(folder.path(), golden["config"], TensorsOf(golden));
  const auto answers = Answers(folder.path(), golden, QuestionOf(name, lent));
  ASSERT_THAT(answers, IsOk());
  EXPECT_LE(RelativeError<float>(*answers, golden["logits"]), 1e-5);
}

std::string NameOfSetting(const ::testing::TestParamInfo<std::tuple<const char*, bool>>& setting) {
  return std::string(std::get<0>(setting.param)) +
         (std::get<1>(setting.param) ? "_Lent" : "_Copied");
}

INSTANTIATE_TEST_SUITE_P(
    All, CheckpointAnswers,
    ::testing::Combine(::testing::Values("bert", "bert_pairs", "bert_masked", "distilbert",
                                         "distilbert_masked", "roberta", "roberta_masked", "gpt2",
                                         "gpt2_untied", "llama", "llama_biased", "llama_linear",
                                         "llama_scaled", "llama_tied", "qwen2", "qwen2_tied",
                                         "qwen3", "qwen3_tied"),
                       ::testing::Bool()),
    NameOfSetting);

// A small BERT in a folder, to be damaged.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() { Rewrite(); }

  // Tensors and config as they are now.
  void Rewrite() { WriteCheckpoint(folder_.path(), config_, tensors_); }
  CheckpointTensor& Tensor(const std::string& name) {
    return *std::ranges::find(tensors_, name, &CheckpointTensor::name);
  }
  absl::Status Open() const { return Weights::Open(folder_.path()).status(); }
  absl::Status Configure(const std::string& key, const nlohmann::json& value) {
    nlohmann::json config = config_;
    config[key] = value;
    return huggingface::ParseConfig(config.dump()).status();
  }
  // In two shards; the index names other ones for these tensors.
  void Shard(const std::map<std::string, std::string>& changed = {}) {
    const size_t half = tensors_.size() / 2;
    const std::span<const CheckpointTensor> all(tensors_);
    WriteTensors(folder_ / "model-00001-of-00002.safetensors", all.first(half));
    WriteTensors(folder_ / "model-00002-of-00002.safetensors", all.subspan(half));
    nlohmann::json shards;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      shards[tensors_[i].name] =
          absl::StrCat("model-0000", i < half ? 1 : 2, "-of-00002.safetensors");
    }
    for (const auto& [tensor, shard] : changed) {
      shards[tensor] = shard;
    }
    Put(folder_ / "model.safetensors.index.json",
        nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", shards}}.dump());
    std::filesystem::remove(folder_ / "model.safetensors");
  }
  std::vector<float> Values(const std::string& ours) const {
    const auto weights = Weights::Open(folder_.path());
    EXPECT_THAT(weights, IsOk());
    std::vector<float> values(static_cast<size_t>(weights->shape(ours).elements()));
    EXPECT_THAT(weights->Read(ours, values), IsOk());
    return values;
  }

  const Folder folder_;
  nlohmann::json config_ = GoldenCheckpoint("bert")["config"];
  std::vector<CheckpointTensor> tensors_ = TensorsOf(GoldenCheckpoint("bert"));
};

TEST_F(CheckpointTest, EveryTensorOfLinearLayersIsReadWhereItLies) {
  const auto weights = Weights::Open(folder_.path());
  ASSERT_THAT(weights, IsOk());
  for (const std::string& name : weights->names()) {
    const auto values = weights->InPlace(name);
    ASSERT_THAT(values, IsOk());
    EXPECT_TRUE(values->has_value()) << name;
  }
}

TEST_F(CheckpointTest, ShardsAreReadAsOneFileIs) {
  const std::vector<float> first = Values("block_1.up.weight"), last = Values("pooler.weight");
  Shard();
  EXPECT_EQ(Values("block_1.up.weight"), first);
  EXPECT_EQ(Values("pooler.weight"), last);
}

TEST_F(CheckpointTest, AShardThatIsMissingIsNamed) {
  Shard();
  std::filesystem::remove(folder_ / "model-00002-of-00002.safetensors");
  EXPECT_THAT(Open(), StatusIs(kInvalid, AllOf(HasSubstr("model-00002-of-00002.safetensors"),
                                               HasSubstr("not there"))));
}

TEST_F(CheckpointTest, AShardInAnotherFolderIsRefused) {
  for (const char* path : {"../x.safetensors", "a/x.safetensors", "/x.safetensors", "x"}) {
    Shard({{"bert.pooler.dense.bias", path}});
    EXPECT_THAT(Open(), StatusIs(kInvalid, HasSubstr("of the same folder"))) << path;
  }
}

TEST_F(CheckpointTest, ATensorThatItsShardDoesNotHaveIsNamed) {
  Shard({{"bert.extra.weight", "model-00001-of-00002.safetensors"}});
  EXPECT_THAT(Open(), StatusIs(kInvalid,
                               AllOf(HasSubstr("has no tensor"), HasSubstr("bert.extra.weight"))));
}

TEST_F(CheckpointTest, EveryTensorThatIsMissingUnknownOrOfAnotherShapeIsNamed) {
  Tensor("bert.embeddings.LayerNorm.bias").name = "bert.embeddings.LayerNorm.blas";
  CheckpointTensor& up = Tensor("bert.encoder.layer.1.intermediate.dense.weight");
  up.shape = {24, 56};
  Rewrite();
  EXPECT_THAT(Open(),
              StatusIs(kInvalid, AllOf(HasSubstr("embeddings.LayerNorm.bias [24] is missing"),
                                       HasSubstr("bert.embeddings.LayerNorm.blas"),
                                       HasSubstr("layer.1.intermediate.dense.weight"),
                                       HasSubstr("must be [56, 24], got [24, 56]"))));
}

TEST_F(CheckpointTest, ATensorOfWholeNumbersIsRefused) {
  const std::vector<int32_t> numbers(24);
  std::vector<checkpoint::TensorToWrite> written;
  for (const CheckpointTensor& tensor : tensors_) {
    const bool whole = tensor.name == "bert.pooler.dense.bias";
    written.push_back(
        {.name = tensor.name,
         .shape = tensor.shape,
         .data = whole ? static_cast<const void*>(numbers.data()) : tensor.values.data(),
         .dtype = whole ? checkpoint::FileDType::kI32 : checkpoint::FileDType::kF32});
  }
  ASSERT_THAT(checkpoint::WriteSafetensors(folder_ / "model.safetensors", written), IsOk());
  EXPECT_THAT(Open(), StatusIs(kInvalid, AllOf(HasSubstr("bert.pooler.dense.bias"),
                                               HasSubstr("F16"), HasSubstr("I32"))));
}

TEST_F(CheckpointTest, HalvesAreReadExactlyAndWhereTheyLie) {
  WriteTensors(folder_ / "model.safetensors", tensors_, checkpoint::FileDType::kBf16);
  std::vector<float> rounded;
  for (const float value : Tensor("bert.encoder.layer.0.output.dense.weight").values) {
    rounded.push_back(FromBf16(ToBf16(value)));
  }
  EXPECT_EQ(Values("block_1.down.weight"), rounded);
  const auto weights = Weights::Open(folder_.path());
  ASSERT_THAT(weights, IsOk());
  const auto values = weights->InPlace("block_1.down.weight");
  ASSERT_THAT(values, IsOk());
  ASSERT_TRUE(values->has_value());
  EXPECT_EQ((*values)->dtype, DType::kBf16);
  EXPECT_EQ(FromBf16(static_cast<const uint16_t*>((*values)->data)[5]), rounded[5]);
}

TEST_F(CheckpointTest, OldNamesOfLayerNormsAreKnown) {
  const std::vector<float> scale = Values("embedding_norm.weight");
  Tensor("bert.embeddings.LayerNorm.weight").name = "bert.embeddings.LayerNorm.gamma";
  Tensor("bert.embeddings.LayerNorm.bias").name = "bert.embeddings.LayerNorm.beta";
  Rewrite();
  EXPECT_EQ(Values("embedding_norm.weight"), scale);
}

TEST_F(CheckpointTest, NamesWithoutThePrefixAreKnown) {
  const std::vector<float> table = Values("token_embedding.weight");
  for (CheckpointTensor& tensor : tensors_) {
    tensor.name = std::string(absl::StripPrefix(tensor.name, "bert."));
  }
  Rewrite();
  EXPECT_EQ(Values("token_embedding.weight"), table);
}

TEST_F(CheckpointTest, PlacesOfRobertaBeginBehindThePaddingTokens) {
  const nlohmann::json& roberta = GoldenCheckpoint("roberta");
  config_ = roberta["config"];
  tensors_ = TensorsOf(roberta);
  Rewrite();
  const std::vector<float>& all = Tensor("roberta.embeddings.position_embeddings.weight").values;
  EXPECT_EQ(Values("positions.weight"), std::vector<float>(all.begin() + 2 * 24, all.end()));
}

TEST_F(CheckpointTest, QueriesKeysAndValuesOfGpt2AreThirdsOfOneTensor) {
  config_ = GoldenCheckpoint("gpt2")["config"];
  tensors_ = TensorsOf(GoldenCheckpoint("gpt2"));
  Rewrite();
  const std::vector<float>& all = Tensor("transformer.h.1.attn.c_attn.weight").values;
  const std::vector<float> keys = Values("block_2.attention.key.weight");
  ASSERT_EQ(keys.size(), 24u * 24u);
  EXPECT_EQ(keys[0], all[24]);
  EXPECT_EQ(keys[24 * 7 + 5], all[72 * 7 + 24 + 5]);
}

TEST_F(CheckpointTest, AnUntiedModelWithoutItsLastProductIsRefused) {
  config_ = GoldenCheckpoint("llama")["config"];
  tensors_ = TensorsOf(GoldenCheckpoint("llama"));
  std::erase_if(tensors_, [](const auto& tensor) { return tensor.name == "lm_head.weight"; });
  Rewrite();
  EXPECT_THAT(Open(), StatusIs(kInvalid, HasSubstr("lm_head.weight [40, 24] is missing")));
}

TEST_F(CheckpointTest, AnglesThatAreStretchedInAnotherWayAreRefusedByName) {
  config_ = GoldenCheckpoint("llama")["config"];
  EXPECT_THAT(Configure("rope_parameters", {{"rope_theta", 10000}, {"rope_type", "yarn"}}),
              StatusIs(kInvalid, AllOf(HasSubstr("`rope_parameters.rope_type`"),
                                       HasSubstr("linear or llama3"), HasSubstr("yarn"))));
  EXPECT_THAT(
      Configure("rope_scaling", {{"type", "dynamic"}, {"factor", 2}}),
      StatusIs(kInvalid, AllOf(HasSubstr("`rope_scaling.rope_type`"), HasSubstr("dynamic"))));
  EXPECT_THAT(Configure("rope_scaling", {{"type", "linear"}, {"factor", 2}, {"beta_fast", 32}}),
              StatusIs(kInvalid, HasSubstr("`rope_scaling.beta_fast` must not be there")));
  EXPECT_THAT(Configure("rope_scaling", {{"type", "linear"}}),
              StatusIs(kInvalid, HasSubstr("`rope_scaling.factor` must be a number")));
}

TEST_F(CheckpointTest, OlderFilesStretchAnglesAsNewerOnesDo) {
  config_ = GoldenCheckpoint("llama_scaled")["config"];
  const auto newer = huggingface::ParseConfig(config_.dump());
  ASSERT_THAT(newer, IsOk());
  config_["rope_scaling"] = config_["rope_parameters"];
  config_["rope_scaling"].erase("rope_theta");
  config_["rope_theta"] = config_["rope_parameters"]["rope_theta"];
  config_.erase("rope_parameters");
  const auto older = huggingface::ParseConfig(config_.dump());
  ASSERT_THAT(older, IsOk());
  EXPECT_EQ(older->options, newer->options);
}

TEST_F(CheckpointTest, AHeadOfAnOddWidthIsRefused) {
  config_ = GoldenCheckpoint("llama")["config"];
  for (const nlohmann::json& width : {nlohmann::json(7), nlohmann::json(0), nlohmann::json(-2),
                                      nlohmann::json(18446744073709551615u), nlohmann::json("8")}) {
    EXPECT_THAT(Configure("head_dim", width),
                StatusIs(kInvalid, HasSubstr("`head_dim` must be an even number")))
        << width;
  }
}

TEST_F(CheckpointTest, AHeadOfQwen3HasItsOwnWidthWhereTheFileSaysNothing) {
  config_ = GoldenCheckpoint("qwen3")["config"];
  config_.erase("head_dim");
  const auto config = huggingface::ParseConfig(config_.dump());
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->sizes.at('E'), 128);
}

TEST_F(CheckpointTest, SlidingWindowsAreRefused) {
  for (const char* family : {"qwen2", "qwen3"}) {
    config_ = GoldenCheckpoint(family)["config"];
    EXPECT_THAT(Configure("use_sliding_window", true),
                StatusIs(kInvalid, HasSubstr("`use_sliding_window` must be false")));
    EXPECT_THAT(Configure("layer_types", {"full_attention", "sliding_attention"}),
                StatusIs(kInvalid, HasSubstr("`layer_types` must be full_attention each")));
  }
}

TEST_F(CheckpointTest, ABiasThatTheConfigDoesNotHaveIsOfNoPart) {
  config_ = GoldenCheckpoint("llama")["config"];
  tensors_ = TensorsOf(GoldenCheckpoint("llama_biased"));
  Rewrite();
  EXPECT_THAT(Open(), StatusIs(kInvalid, HasSubstr("q_proj.bias")));
}

TEST_F(CheckpointTest, WeightsOfPytorchAloneAreToldHowToBeConverted) {
  std::filesystem::rename(folder_ / "model.safetensors", folder_ / "pytorch_model.bin");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound,
                               AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("save_file"))));
}

TEST_F(CheckpointTest, AFileThatIsCutOffIsRefused) {
  const std::string path = folder_ / "model.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  EXPECT_THAT(Open(), StatusIs(kInvalid, HasSubstr("model.safetensors")));
}

TEST_F(CheckpointTest, AKeyThatNobodyKnowsIsRefusedUnlessItIsNull) {
  EXPECT_THAT(Configure("attention_sinks", 4),
              StatusIs(kInvalid, HasSubstr("`attention_sinks` is not known")));
  EXPECT_THAT(Configure("attention_sinks", nullptr), IsOk());
}

TEST_F(CheckpointTest, AKeyThatChangesTheArithmeticHasOneValueOnly) {
  EXPECT_THAT(Configure("position_embedding_type", "relative_key"),
              StatusIs(kInvalid, HasSubstr("`position_embedding_type` must be \"absolute\"")));
  EXPECT_THAT(Configure("is_decoder", true),
              StatusIs(kInvalid, HasSubstr("`is_decoder` must be false, got true")));
  EXPECT_THAT(Configure("hidden_act", "quick_gelu"),
              StatusIs(kInvalid, AllOf(HasSubstr("`hidden_act` must be one of gelu, "),
                                       HasSubstr("quick_gelu"))));
}

TEST_F(CheckpointTest, SizesThatNoCheckpointHasAreRefused) {
  for (const nlohmann::json& count :
       {nlohmann::json(1000000000000), nlohmann::json(18446744073709551615u), nlohmann::json(0),
        nlohmann::json(-1), nlohmann::json(2.5), nlohmann::json("2")}) {
    EXPECT_THAT(Configure("num_hidden_layers", count),
                StatusIs(kInvalid, HasSubstr("`num_hidden_layers` must be a whole number")))
        << count;
  }
}

TEST_F(CheckpointTest, AFamilyThatIsNotKnownIsToldThoseThatAre) {
  EXPECT_THAT(
      Configure("model_type", "mamba"),
      StatusIs(kInvalid, AllOf(HasSubstr("bert, distilbert, gpt2, llama, qwen2, qwen3, roberta"),
                               HasSubstr("mamba"))));
}

TEST_F(CheckpointTest, AConfigThatNestsTooDeeplyIsRefused) {
  EXPECT_THAT(huggingface::ParseConfig("{\"model_type\": " + std::string(1 << 20, '[')).status(),
              StatusIs(kInvalid, AllOf(HasSubstr("config.json"), HasSubstr("within each other"))));
}

TEST_F(CheckpointTest, AnIndexThatIsNoJsonIsNamedWithThePlace) {
  Shard();
  Put(folder_ / "model.safetensors.index.json", "{\n\"weight_map\": {]}");
  EXPECT_THAT(Open(), StatusIs(kInvalid, AllOf(HasSubstr("model.safetensors.index.json"),
                                               HasSubstr("line 2, byte 16"))));
  Put(folder_ / "model.safetensors.index.json", std::string(1 << 20, '['));
  EXPECT_THAT(Open(), StatusIs(kInvalid, HasSubstr("within each other")));
}

TEST_F(CheckpointTest, AConfigThatIsNoJsonIsRefused) {
  for (const char* text : {"", "{", "[]", "null", "{}", "{\"model_type\": 3}"}) {
    EXPECT_THAT(huggingface::ParseConfig(text).status(),
                StatusIs(kInvalid, HasSubstr("config.json")))
        << text;
  }
}

// How many layers of dropout a training's net has whose name ends so.
int64_t DropoutsOf(const std::string& checkpoint, absl::string_view end) {
  const nlohmann::json& golden = GoldenCheckpoint(checkpoint);
  const Folder folder;
  WriteCheckpoint(folder.path(), golden["config"], TensorsOf(golden));
  const auto model = huggingface::DescribeModel(folder.path());
  EXPECT_THAT(model, IsOk());
  Graph graph;
  const std::vector<models::NamedValue> inputs = {
      {std::string(kTokensInput), graph.Input(kTokensInput, {{12}, DType::kS32})},
      {std::string(kOffsetsInput), graph.Input(kOffsetsInput, {{3}, DType::kS32})}};
  EXPECT_THAT(
      models::BuildModel(graph, *model, inputs, {.training = true, .vocabulary = 40, .outputs = 3}),
      IsOk());
  return std::ranges::count_if(graph.nodes(), [&](const Graph::Node& node) {
    return node.op != nullptr && node.op->kind() == "dropout" && absl::EndsWith(node.name, end);
  });
}

TEST(HeadDropout, IsBeforeThePoolerInRobertaAlone) {
  EXPECT_EQ(DropoutsOf("roberta", "dropout_of_pooled"), 1);
  EXPECT_EQ(DropoutsOf("bert", "dropout_of_pooled"), 0);
  EXPECT_EQ(DropoutsOf("bert", "dropout_of_text"), 1);
}

// As a JSON object has its keys, 10 and 11 stand before 2.
TEST(Head, HasItsNamesInTheOrderOfTheirNumbers) {
  const Folder folder;
  nlohmann::json config = GoldenCheckpoint("bert")["config"];
  config["id2label"] = nlohmann::json::object();
  std::vector<std::string> names;
  for (int i = 0; i < 12; ++i) {
    names.push_back(absl::StrCat("class ", (i * 5) % 12));
    config["id2label"][absl::StrCat(i)] = names.back();
  }
  Put(folder / "config.json", config.dump());
  const auto head = huggingface::ReadHead(folder.path(), 12);
  ASSERT_THAT(head, IsOk());
  EXPECT_EQ(head->names, names);
  EXPECT_TRUE(head->named);
}

}  // namespace
}  // namespace hone::engine
