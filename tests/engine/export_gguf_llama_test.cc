// What a language model of Llama's type is as GGUF: the order of its rows, held against the way
// llama.cpp's own converter writes them, the types of its tensors, and the families that have no
// place there.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/export/export.h"
#include "engine/export/gguf_llama.h"
#include "engine/export/source.h"
#include "tests/engine/export_testing.h"

namespace hone::engine::exports {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::NamesOfGoldenCheckpoints;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::SmallBytePairs;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kBlocks = 2, kHeads = 4, kKvHeads = 2;

// The golden llama: 24 numbers wide, heads of 6, 56 in its feed-forward part.
const nlohmann::json& Llama() { return GoldenCheckpoint("llama"); }

// The same with 64, 16 and 48, so that all rows but those of ffn_down are whole blocks of 32.
nlohmann::json WideLlama() {
  nlohmann::json wide = Llama();
  wide["config"].update({{"hidden_size", 64}, {"intermediate_size", 48}, {"head_dim", 16}});
  const std::map<int64_t, int64_t> extents = {{24, 64}, {12, 32}, {56, 48}, {40, 40}};
  for (nlohmann::json& parameter : wide["parameters"]) {
    for (nlohmann::json& extent : parameter["shape"]) {
      extent = extents.at(extent.get<int64_t>());
    }
  }
  return wide;
}

// A checkpoint in a folder.
class LlamaGguf : public ::testing::Test {
 protected:
  void WriteModel(const nlohmann::json& golden) {
    std::filesystem::create_directory(folder_ / "model");
    tensors_ = TensorsOf(golden);
    WriteCheckpoint(folder_ / "model", golden["config"], tensors_);
    Put(folder_ / "model/tokenizer.json", SmallBytePairs());
  }
  void Convert(const nlohmann::json& golden, GgufType type) {
    WriteModel(golden);
    const auto source = Source::Open(folder_ / "model");
    ASSERT_THAT(source, IsOk());
    auto gguf = ToGguf(source->file(), source->values(), type);
    ASSERT_THAT(gguf, IsOk());
    gguf_ = *std::move(gguf);
  }

  // A weight of the checkpoint, [out, in].
  const std::vector<float>& Theirs(const std::string& name) const {
    const auto found = std::ranges::find(tensors_, name, &CheckpointTensor::name);
    EXPECT_NE(found, tensors_.end()) << name;
    return found->values;
  }
  std::vector<float> Written(const std::string& name) const {
    const GgufTensor* const tensor = gguf_.FindTensor(name);
    EXPECT_NE(tensor, nullptr) << name;
    return tensor == nullptr ? std::vector<float>() : FromGgufBytes(tensor->type, tensor->data());
  }

  const Folder folder_;
  std::vector<CheckpointTensor> tensors_;
  Gguf gguf_;
};

std::string OfBlock(int64_t block, const char* theirs) {
  return absl::StrCat("model.layers.", block, ".self_attn.", theirs, ".weight");
}
std::string InGguf(int64_t block, const char* name) {
  return absl::StrCat("blk.", block, ".", name, ".weight");
}

// Rows in another order.
std::vector<float> Ordered(const std::vector<float>& matrix, std::span<const int64_t> rows) {
  const auto columns = matrix.size() / rows.size();
  std::vector<float> ordered;
  for (const int64_t row : rows) {
    const auto begin = matrix.begin() + row * static_cast<int64_t>(columns);
    ordered.insert(ordered.end(), begin, begin + static_cast<int64_t>(columns));
  }
  return ordered;
}

// --- The order of rows. Of a head of six rows the first half and the second one are 0 1 2 and 3 4
// 5; where neighbours are turned together they are 0 3, 1 4 and 2 5.

TEST_F(LlamaGguf, HasTheRowsOfQueriesInPairs) {
  constexpr int64_t kRows[] = {0,  3,  1,  4,  2,  5,  6,  9,  7,  10, 8,  11,
                               12, 15, 13, 16, 14, 17, 18, 21, 19, 22, 20, 23};
  Convert(Llama(), GgufType::kF32);
  for (int64_t block = 0; block < kBlocks; ++block) {
    EXPECT_EQ(Written(InGguf(block, "attn_q")), Ordered(Theirs(OfBlock(block, "q_proj")), kRows));
  }
}

TEST_F(LlamaGguf, HasTheRowsOfKeysInPairsOfTheirOwnFewerHeads) {
  constexpr int64_t kRows[] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
  Convert(Llama(), GgufType::kF32);
  for (int64_t block = 0; block < kBlocks; ++block) {
    EXPECT_EQ(Written(InGguf(block, "attn_k")), Ordered(Theirs(OfBlock(block, "k_proj")), kRows));
  }
}

// As convert_hf_to_gguf.py of llama.cpp has it:
//   weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
std::vector<float> Swapped(const std::vector<float>& weights, size_t heads, size_t columns) {
  const size_t half = weights.size() / columns / heads / 2;
  std::vector<float> swapped;
  for (size_t head = 0; head < heads; ++head) {
    for (size_t i = 0; i < half; ++i) {
      for (size_t which = 0; which < 2; ++which) {
        for (size_t column = 0; column < columns; ++column) {
          swapped.push_back(weights[((head * 2 + which) * half + i) * columns + column]);
        }
      }
    }
  }
  return swapped;
}

TEST_F(LlamaGguf, HasTheOrderOfLlamaCppsConverterInWiderHeads) {
  constexpr size_t kColumns = 64;
  Convert(WideLlama(), GgufType::kF32);
  EXPECT_EQ(Written(InGguf(1, "attn_q")), Swapped(Theirs(OfBlock(1, "q_proj")), kHeads, kColumns));
  EXPECT_EQ(Written(InGguf(1, "attn_k")),
            Swapped(Theirs(OfBlock(1, "k_proj")), kKvHeads, kColumns));
}

// What a head makes of a row of numbers.
std::vector<double> OfHead(const std::vector<float>& matrix, int64_t head, int64_t dim,
                           const std::vector<double>& x) {
  std::vector<double> y(static_cast<size_t>(dim));
  for (size_t row = 0; row < y.size(); ++row) {
    const size_t first = (static_cast<size_t>(head * dim) + row) * x.size();
    for (size_t column = 0; column < x.size(); ++column) {
      y[row] += double{matrix[first + column]} * x[column];
    }
  }
  return y;
}

double Angle(double base, size_t pair, size_t dim, int64_t place) {
  return static_cast<double>(place) *
         std::pow(base, -2 * static_cast<double>(pair) / static_cast<double>(dim));
}

// As transformers turns a head's numbers (rotate_half), and as llama.cpp does of this architecture.
std::vector<double> TurnedAsHalves(const std::vector<double>& x, double base, int64_t place) {
  const size_t half = x.size() / 2;
  std::vector<double> y(x.size());
  for (size_t i = 0; i < half; ++i) {
    const double angle = Angle(base, i, x.size(), place);
    y[i] = x[i] * std::cos(angle) - x[half + i] * std::sin(angle);
    y[half + i] = x[half + i] * std::cos(angle) + x[i] * std::sin(angle);
  }
  return y;
}
std::vector<double> TurnedAsNeighbours(const std::vector<double>& x, double base, int64_t place) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size() / 2; ++i) {
    const double angle = Angle(base, i, x.size(), place);
    y[2 * i] = x[2 * i] * std::cos(angle) - x[2 * i + 1] * std::sin(angle);
    y[2 * i + 1] = x[2 * i + 1] * std::cos(angle) + x[2 * i] * std::sin(angle);
  }
  return y;
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

TEST_F(LlamaGguf, HasTheScoresOfItsCheckpointWhereNeighboursAreTurned) {
  constexpr int64_t kWidth = 24, kDim = 6, kQueryPlace = 7, kKeyPlace = 3;
  Convert(Llama(), GgufType::kF32);
  std::vector<double> asks, is;
  for (int64_t i = 0; i < kWidth; ++i) {
    asks.push_back(static_cast<double>(Number(900, i) % 2000) / 1000 - 1);
    is.push_back(static_cast<double>(Number(901, i) % 2000) / 1000 - 1);
  }
  const auto* const base = gguf_.Find<float>("llama.rope.freq_base");
  ASSERT_NE(base, nullptr);
  const std::vector<float> queries = Written(InGguf(0, "attn_q"));
  const std::vector<float> keys = Written(InGguf(0, "attn_k"));
  for (int64_t head = 0; head < kHeads; ++head) {
    const int64_t of_keys = head / (kHeads / kKvHeads);
    const auto score = [&](const std::vector<float>& q, const std::vector<float>& k, auto&& turn) {
      return Dot(turn(OfHead(q, head, kDim, asks), kQueryPlace),
                 turn(OfHead(k, of_keys, kDim, is), kKeyPlace));
    };
    const double wanted = score(
        Theirs(OfBlock(0, "q_proj")), Theirs(OfBlock(0, "k_proj")),
        [](const std::vector<double>& x, int64_t place) { return TurnedAsHalves(x, 5000, place); });
    const double found = score(queries, keys, [&](const std::vector<double>& x, int64_t place) {
      return TurnedAsNeighbours(x, double{*base}, place);
    });
    EXPECT_NEAR(found, wanted, 1e-9) << head;
  }
}

// A tensor whose rows stay where they are.
struct SameTensor {
  const char* test;
  const char* in_gguf;
  const char* theirs;
};
constexpr SameTensor kSameTensors[] = {
    {"Embeddings", "token_embd", "model.embed_tokens"},
    {"Output", "output", "lm_head"},
    {"OutputNorm", "output_norm", "model.norm"},
    {"AttentionNorm", "blk.1.attn_norm", "model.layers.1.input_layernorm"},
    {"Values", "blk.1.attn_v", "model.layers.1.self_attn.v_proj"},
    {"AttentionOutput", "blk.1.attn_output", "model.layers.1.self_attn.o_proj"},
    {"FeedForwardNorm", "blk.1.ffn_norm", "model.layers.1.post_attention_layernorm"},
    {"Gate", "blk.1.ffn_gate", "model.layers.1.mlp.gate_proj"},
    {"Up", "blk.1.ffn_up", "model.layers.1.mlp.up_proj"},
    {"Down", "blk.1.ffn_down", "model.layers.1.mlp.down_proj"}};

class SameRows : public LlamaGguf, public ::testing::WithParamInterface<SameTensor> {};

TEST_P(SameRows, AreThoseOfTheCheckpoint) {
  Convert(Llama(), GgufType::kF32);
  EXPECT_EQ(Written(absl::StrCat(GetParam().in_gguf, ".weight")),
            Theirs(absl::StrCat(GetParam().theirs, ".weight")));
}

// GGUF's extents begin with the fastest.
TEST_P(SameRows, HaveTheExtentsOfTheCheckpointInReverse) {
  Convert(Llama(), GgufType::kF32);
  const auto theirs = std::ranges::find(tensors_, absl::StrCat(GetParam().theirs, ".weight"),
                                        &CheckpointTensor::name);
  ASSERT_NE(theirs, tensors_.end());
  std::vector<uint64_t> extents(theirs->shape.dims().rbegin(), theirs->shape.dims().rend());
  const GgufTensor* const tensor = gguf_.FindTensor(absl::StrCat(GetParam().in_gguf, ".weight"));
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->extents, extents);
}

INSTANTIATE_TEST_SUITE_P(Tensors, SameRows, ::testing::ValuesIn(kSameTensors),
                         [](const auto& tensor) { return std::string(tensor.param.test); });

TEST_F(LlamaGguf, HasNoOutputBesideTheEmbeddingsWhereTheyAreTied) {
  Convert(GoldenCheckpoint("llama_tied"), GgufType::kF32);
  EXPECT_NE(gguf_.FindTensor("token_embd.weight"), nullptr);
  EXPECT_EQ(gguf_.FindTensor("output.weight"), nullptr);
}

// Values whose products lie as [in, out], as those of a net that began with no checkpoint do.
class TurnedValues final : public huggingface::ModelValues {
 public:
  // `whole` outlives this.
  explicit TurnedValues(const huggingface::ModelValues& whole) : whole_(whole) {
    for (const std::string& name : whole.names()) {
      const Shape& shape = whole.shape(name);
      shapes_[name] = IsTurned(name) ? Shape{shape[1], shape[0]} : shape;
    }
  }

  const std::vector<std::string>& names() const override { return whole_.names(); }
  const Shape& shape(absl::string_view name) const override {
    return shapes_.at(std::string(name));
  }
  checkpoint::FileDType dtype(absl::string_view name) const override { return whole_.dtype(name); }
  absl::Status Read(absl::string_view name, std::span<float> out) const override {
    const absl::Status status = whole_.Read(name, out);
    if (status.ok() && IsTurned(name)) {
      const std::vector<float> values(out.begin(), out.end());
      const auto rows = static_cast<size_t>(shape(name)[0]);
      const auto columns = static_cast<size_t>(shape(name)[1]);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t column = 0; column < columns; ++column) {
          out[row * columns + column] = values[column * rows + row];
        }
      }
    }
    return status;
  }

 private:
  bool IsTurned(absl::string_view name) const {
    return whole_.shape(name).rank() == 2 && name != "token_embedding.weight";
  }

  const huggingface::ModelValues& whole_;
  std::map<std::string, Shape> shapes_;
};

TEST_F(LlamaGguf, IsTheSameWhicheverWayTheWeightsLieHere) {
  WriteModel(Llama());
  const auto source = Source::Open(folder_ / "model");
  ASSERT_THAT(source, IsOk());
  tasks::ModelFile file = source->file();
  auto options = nlohmann::json::parse(file.model.preset.options);
  options["transposed"] = false;
  file.model.preset.options = options.dump();
  const auto as_it_lies = ToGguf(source->file(), source->values(), GgufType::kF16);
  const auto turned = ToGguf(file, TurnedValues(source->values()), GgufType::kF16);
  ASSERT_THAT(as_it_lies, IsOk());
  ASSERT_THAT(turned, IsOk());
  ASSERT_EQ(turned->tensors.size(), as_it_lies->tensors.size());
  for (size_t i = 0; i < turned->tensors.size(); ++i) {
    const GgufTensor &a = turned->tensors[i], &b = as_it_lies->tensors[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.extents, b.extents) << a.name;
    EXPECT_TRUE(a.bytes == b.bytes) << a.name;
  }
}

// --- The types of tensors.

// By their numbers in ggml.h and llama.h.
struct TypeCase {
  const char* option;
  uint32_t matrices;
  uint32_t others;  // of matrices whose rows are no whole blocks of 32
  uint32_t file_type;
};
constexpr uint32_t kF32 = 0, kF16 = 1, kQ8 = 8, kBf16 = 30;

class TypeOfGguf : public LlamaGguf, public ::testing::WithParamInterface<TypeCase> {
 protected:
  void SetUp() override {
    const auto type = GgufTypeOf(GetParam().option);
    ASSERT_THAT(type, IsOk());
    Convert(WideLlama(), *type);
  }
  static bool HasWholeBlocks(const GgufTensor& tensor) { return tensor.extents[0] % 32 == 0; }
  static uint32_t NumberOf(const GgufTensor& tensor) { return static_cast<uint32_t>(tensor.type); }
};

TEST_P(TypeOfGguf, IsThatOfMatrices) {
  int matrices = 0;
  for (const GgufTensor& tensor : gguf_.tensors) {
    if (tensor.extents.size() == 2 && HasWholeBlocks(tensor)) {
      EXPECT_EQ(NumberOf(tensor), GetParam().matrices) << tensor.name;
      ++matrices;
    }
  }
  EXPECT_EQ(matrices, 2 + kBlocks * 6);
}

TEST_P(TypeOfGguf, IsF16InPlaceOfBlocksThatDoNotFitTheRows) {
  for (int64_t block = 0; block < kBlocks; ++block) {
    const GgufTensor* const down = gguf_.FindTensor(InGguf(block, "ffn_down"));
    ASSERT_NE(down, nullptr);
    EXPECT_EQ(NumberOf(*down), GetParam().others);
  }
}

TEST_P(TypeOfGguf, IsNotThatOfVectorsWhichAreFloats) {
  int vectors = 0;
  for (const GgufTensor& tensor : gguf_.tensors) {
    if (tensor.extents.size() == 1) {
      EXPECT_EQ(NumberOf(tensor), kF32) << tensor.name;
      ++vectors;
    }
  }
  EXPECT_EQ(vectors, 1 + kBlocks * 2);
}

TEST_P(TypeOfGguf, StandsInTheFile) {
  const auto* const file_type = gguf_.Find<uint32_t>("general.file_type");
  ASSERT_NE(file_type, nullptr);
  EXPECT_EQ(*file_type, GetParam().file_type);
}

TEST_P(TypeOfGguf, HasAsManyBytesAsItsNumbersTake) {
  const std::map<uint32_t, uint64_t> bytes_of_32 = {
      {kF32, 128}, {kF16, 64}, {kBf16, 64}, {kQ8, 34}};
  const GgufTensor* const query = gguf_.FindTensor("blk.0.attn_q.weight");
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query->bytes.size(), uint64_t{64} * 64 / 32 * bytes_of_32.at(GetParam().matrices));
}

INSTANTIATE_TEST_SUITE_P(Options, TypeOfGguf,
                         ::testing::Values(TypeCase{"f32", kF32, kF32, 0},
                                           TypeCase{"f16", kF16, kF16, 1},
                                           TypeCase{"bf16", kBf16, kBf16, 32},
                                           TypeCase{"q8_0", kQ8, kF16, 7}),
                         [](const auto& type) { return std::string(type.param.option); });

TEST(GgufTypes, ThatNobodyKnowsAreToldThoseThatAre) {
  EXPECT_THAT(
      GgufTypeOf("q4_0").status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("type: must be one of f32, f16, bf16, q8_0"), HasSubstr("q4_0"))));
}

// --- The file by itself.

class LlamaGgufFile : public LlamaGguf {
 protected:
  absl::StatusOr<ExportReport> ExportAs(GgufType type) const {
    std::filesystem::create_directory(folder_ / "out");
    return Export({.source = folder_ / "model",
                   .directory = folder_ / "out",
                   .format = Format::kGguf,
                   .type = type});
  }
};

TEST_F(LlamaGgufFile, InBlocksOfQ8AnswersNearlyAsTheModel) {
  WriteModel(WideLlama());
  const auto report = ExportAs(GgufType::kQ8_0);
  ASSERT_THAT(report, IsOk());
  EXPECT_GT(report->difference, 0);
  EXPECT_LE(report->difference, 0.1);
}

// --- Families that are refused.

struct Refusal {
  const char* test;
  const char* golden;
  const char* changes;  // of config.json, with the tensors that are there then
  const char* what;
};
constexpr char kAnother[] = "the model is another one";
constexpr char kStretched[] = "its angles are stretched";
constexpr Refusal kRefusals[] = {
    {"Bert", "bert", "{}", kAnother},
    {"BertOfPairs", "bert_pairs", "{}", kAnother},
    {"BertOfMasks", "bert_masked", "{}", kAnother},
    {"DistilBert", "distilbert", "{}", kAnother},
    {"DistilBertOfMasks", "distilbert_masked", "{}", kAnother},
    {"Roberta", "roberta", "{}", kAnother},
    {"RobertaOfMasks", "roberta_masked", "{}", kAnother},
    {"Gpt2", "gpt2", "{}", "the model's `positions` is learned"},
    {"Gpt2Untied", "gpt2_untied", "{}", "the model's `positions` is learned"},
    {"LlamaWithBiases", "llama_biased", "{}", "the model has `query_bias`"},
    {"LlamaWithBiasesOfItsFeedForwardPart", "llama_biased", R"({"attention_bias": false})",
     "the model has `feed_forward_bias`"},
    {"LlamaWhoseHeadsHaveAnotherWidth", "llama_biased",
     R"({"attention_bias": false, "mlp_bias": false})", "heads have a width of their own"},
    {"LlamaWithLinearAngles", "llama_linear", "{}", kStretched},
    {"LlamaWithScaledAngles", "llama_scaled", "{}", kStretched},
    {"LlamaWithGelu", "llama", R"({"hidden_act": "gelu"})", "the model's `activation` is gelu"},
    {"Qwen2", "qwen2", "{}", "the model has `query_bias`"},
    {"Qwen2Tied", "qwen2_tied", "{}", "the model has `query_bias`"},
    {"Qwen3", "qwen3", "{}", "the model has `head_norm`"},
    {"Qwen3Tied", "qwen3_tied", "{}", "the model has `head_norm`"}};

class RefusedFamily : public LlamaGgufFile, public ::testing::WithParamInterface<Refusal> {
 protected:
  void SetUp() override {
    nlohmann::json golden = GoldenCheckpoint(GetParam().golden);
    const auto changes = nlohmann::json::parse(GetParam().changes);
    golden["config"].update(changes);
    nlohmann::json kept = nlohmann::json::array();
    for (const nlohmann::json& parameter : golden["parameters"]) {
      const auto name = parameter["name"].get<std::string>();
      const bool gone = (changes.contains("attention_bias") && IsBiasOf("self_attn", name)) ||
                        (changes.contains("mlp_bias") && IsBiasOf("mlp", name));
      if (!gone) {
        kept.push_back(parameter);
      }
    }
    golden["parameters"] = kept;
    WriteModel(golden);
  }
  static bool IsBiasOf(const char* part, const std::string& name) {
    return absl::StrContains(name, part) && absl::EndsWith(name, ".bias");
  }
};

TEST_P(RefusedFamily, IsToldWhatItHasAndWhatWouldBeRight) {
  EXPECT_THAT(ExportAs(GgufType::kF16).status(),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("format gguf: "), HasSubstr(GetParam().what),
                             HasSubstr("it is for language models of Llama's type: the preset gpt "
                                       "with rotary positions, RMS norms, gated SiLU and no "
                                       "biases"))));
}

TEST_P(RefusedFamily, LeavesNoFileBehind) {
  EXPECT_FALSE(ExportAs(GgufType::kF16).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "out"));
}

INSTANTIATE_TEST_SUITE_P(Families, RefusedFamily, ::testing::ValuesIn(kRefusals),
                         [](const auto& refusal) { return std::string(refusal.param.test); });

TEST(GgufFamilies, AreEachWrittenOrRefusedInATestOfThisFile) {
  std::set<std::string> tested = {"llama", "llama_tied"};
  for (const Refusal& refusal : kRefusals) {
    tested.insert(refusal.golden);
  }
  EXPECT_THAT(NamesOfGoldenCheckpoints(), ::testing::UnorderedElementsAreArray(tested));
}

}  // namespace
}  // namespace hone::engine::exports
