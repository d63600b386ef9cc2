// Real checkpoints against what others compute with them; without them the tests are skipped and
// say so.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/engine/data_testing.h"
#include "tests/engine/huggingface_answers.h"
#include "tests/engine/huggingface_testing.h"

namespace hone::engine {
namespace {

using ::hone::engine::data::RealData;
using ::hone::engine::testing::Answers;
using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::RealCheckpoint;
using ::hone::engine::testing::RelativeError;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;

// The largest logit's token behind row `row` of [rows, vocabulary].
int32_t Best(std::span<const float> logits, size_t row, size_t vocabulary) {
  const std::span<const float> of_row = logits.subspan(row * vocabulary, vocabulary);
  return static_cast<int32_t>(std::ranges::max_element(of_row) - of_row.begin());
}

// Behind each token from `first` on, the model finds the next one most likely.
void ExpectWritten(std::span<const float> logits, std::span<const int32_t> tokens, size_t first,
                   size_t vocabulary) {
  for (size_t i = first; i + 1 < tokens.size(); ++i) {
    EXPECT_EQ(Best(logits, i, vocabulary), tokens[i + 1]) << "behind token " << i;
  }
}

std::map<std::string, CheckpointTensor> ReadAll(const std::string& path) {
  std::map<std::string, CheckpointTensor> tensors;
  const auto file = checkpoint::SafetensorsFile::Open(path);
  EXPECT_THAT(file, IsOk());
  for (const checkpoint::FileTensor& tensor : file->tensors()) {
    CheckpointTensor& read = tensors[tensor.name];
    read = {.name = tensor.name,
            .shape = tensor.shape,
            .values = std::vector<float>(static_cast<size_t>(tensor.shape.elements()))};
    EXPECT_THAT(file->Read(tensor, read.values), IsOk());
  }
  return tensors;
}

CheckpointTensor Transposed(const CheckpointTensor& tensor) {
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  CheckpointTensor result = {
      .name = tensor.name, .shape = {columns, rows}, .values = tensor.values};
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      result.values[static_cast<size_t>(c * rows + r)] =
          tensor.values[static_cast<size_t>(r * columns + c)];
    }
  }
  return result;
}

// Rows of each head from pairs of neighbours to halves, as files of Hugging Face have them.
CheckpointTensor WithHalves(const CheckpointTensor& tensor, int64_t heads) {
  const int64_t columns = tensor.shape[1], rows = tensor.shape[0] / heads;
  CheckpointTensor result = tensor;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t from = row < rows / 2 ? 2 * row : 2 * (row - rows / 2) + 1;
      std::copy_n(tensor.values.begin() + (head * rows + from) * columns, columns,
                  result.values.begin() + (head * rows + row) * columns);
    }
  }
  return result;
}

TEST(RealCheckpoints, OfMiniLmArePooledAsTransformersDoes) {
  const std::string folder = RealCheckpoint("minilm-l6");
  if (folder.empty()) {
    GTEST_SKIP() << "there is no checkpoint minilm-l6 (HONE_CHECKPOINT_DIR)";
  }
  constexpr int64_t kVocabulary = 30522, kWidth = 384;
  const nlohmann::json& golden = GoldenCheckpoint("minilm");
  const auto answers =
      Answers(folder, golden, {.vocabulary = kVocabulary, .outputs = kWidth, .lent = false});
  ASSERT_THAT(answers, IsOk());
  EXPECT_LE(RelativeError<float>(*answers, golden["logits"]), 1e-4);
}

TEST(RealCheckpoints, OfSmolLm2WriteWhatTransformersWrites) {
  const std::string folder = RealCheckpoint("smollm2-135m");
  if (folder.empty()) {
    GTEST_SKIP() << "there is no checkpoint smollm2-135m (HONE_CHECKPOINT_DIR)";
  }
  constexpr int64_t kVocabulary = 49152;
  const nlohmann::json& golden = GoldenCheckpoint("smollm2");
  const auto answers =
      Answers(folder, golden, {.vocabulary = kVocabulary, .outputs = 0, .lent = false});
  ASSERT_THAT(answers, IsOk());
  EXPECT_LE(RelativeError<float>(*answers, golden["logits"]), 1e-4);
  ExpectWritten(*answers, golden["tokens"].get<std::vector<int32_t>>(),
                golden["prompt"].get<size_t>() - 1, kVocabulary);
}

TEST(RealCheckpoints, OfStories260kTellTheirStory) {
  const std::string data = RealData("checkpoints/stories260k");
  HONE_NEEDS_REAL_DATA(data);
  const auto theirs = nlohmann::json::parse(std::ifstream(data + "/config.json"));
  std::map<std::string, CheckpointTensor> read = ReadAll(data + "/model.safetensors");
  std::vector<CheckpointTensor> tensors;
  const auto take = [&](CheckpointTensor tensor, const std::string& name) {
    tensor.name = "model." + name + ".weight";
    tensors.push_back(std::move(tensor));
  };
  take(read.at("tok_embeddings.weight"), "embed_tokens");
  take(read.at("norm.weight"), "norm");
  for (int i = 0; i < 5; ++i) {
    const std::string from = absl::StrCat("layers.", i, "."), to = from;
    take(read.at(from + "attention_norm.weight"), to + "input_layernorm");
    take(WithHalves(read.at(from + "attention.wq.weight"), 8), to + "self_attn.q_proj");
    take(WithHalves(read.at(from + "attention.wk.weight"), 4), to + "self_attn.k_proj");
    take(read.at(from + "attention.wv.weight"), to + "self_attn.v_proj");
    take(read.at(from + "attention.wo.weight"), to + "self_attn.o_proj");
    take(read.at(from + "ffn_norm.weight"), to + "post_attention_layernorm");
    take(read.at(from + "feed_forward.w1.weight"), to + "mlp.gate_proj");
    take(read.at(from + "feed_forward.w3.weight"), to + "mlp.up_proj");
    take(read.at(from + "feed_forward.w2.weight"), to + "mlp.down_proj");
  }
  const nlohmann::json config = {
      {"model_type", "llama"},          {"vocab_size", 512},          {"hidden_size", 64},
      {"intermediate_size", 172},       {"num_hidden_layers", 5},     {"num_attention_heads", 8},
      {"num_key_value_heads", 4},       {"rms_norm_eps", 1e-5},       {"rope_theta", 10000.0},
      {"max_position_embeddings", 512}, {"tie_word_embeddings", true}};
  const Folder folder;
  WriteCheckpoint(folder.path(), config, tensors);
  const auto tokens = theirs["greedy_token_ids"].get<std::vector<int32_t>>();
  const nlohmann::json question = {
      {"lengths", nlohmann::json::array({tokens.size()})}, {"pairs", false}, {"tokens", tokens}};
  const auto answers =
      Answers(folder.path(), question, {.vocabulary = 512, .outputs = 0, .lent = true});
  ASSERT_THAT(answers, IsOk());
  ExpectWritten(*answers, tokens, 0, 512);
}

TEST(RealCheckpoints, OfGptNanoSortHaveTheLogitsOfItsAuthors) {
  const std::string data = RealData("checkpoints/gpt-nano-sort");
  HONE_NEEDS_REAL_DATA(data);
  std::vector<CheckpointTensor> tensors;
  for (const auto& [name, tensor] : ReadAll(data + "/model.safetensors")) {
    // Its linear layers are no Conv1D: all but the last lie the other way round in files of GPT-2.
    const bool conv = tensor.shape.rank() == 2 && absl::StrContains(name, ".h.");
    tensors.push_back(conv ? Transposed(tensor) : tensor);
  }
  const nlohmann::json config = {{"model_type", "gpt2"},
                                 {"vocab_size", 3},
                                 {"n_embd", 48},
                                 {"n_layer", 3},
                                 {"n_head", 3},
                                 {"n_positions", 11},
                                 {"tie_word_embeddings", false}};
  const Folder folder;
  WriteCheckpoint(folder.path(), config, tensors);
  std::map<std::string, CheckpointTensor> partials = ReadAll(data + "/partials.safetensors");
  std::vector<int32_t> ids;
  for (const float id : partials.at("idx").values) {
    ids.push_back(static_cast<int32_t>(id));
  }
  const nlohmann::json question = {{"lengths", {11, 11, 11}}, {"pairs", false}, {"tokens", ids}};
  const auto answers =
      Answers(folder.path(), question, {.vocabulary = 3, .outputs = 0, .lent = false});
  ASSERT_THAT(answers, IsOk());
  EXPECT_THAT(*answers,
              ::testing::Pointwise(::testing::FloatNear(2e-5f), partials.at("lm_head").values));
}

}  // namespace
}  // namespace hone::engine
