// Models in the forms of others: what is written is read again and answers alike.
#include "engine/export/export.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/export/formats.h"
#include "engine/export/forward.h"
#include "engine/export/gguf_llama.h"
#include "engine/export/source.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/config.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/model_file.h"
#include "tests/engine/export_testing.h"
#include "tests/support/bound_program.h"

namespace hone::engine::exports {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::NamesOfGoldenCheckpoints;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::StoreOf;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteTensors;
using ::hone::engine::testing::WriteWriter;
using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::Put;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

// Every tensor of a file by its name: type, shape and bytes.
std::map<std::string, std::string> TensorBytes(const std::string& path) {
  std::map<std::string, std::string> tensors;
  const auto file = checkpoint::SafetensorsFile::Open(path);
  EXPECT_THAT(file, IsOk());
  for (const checkpoint::FileTensor& tensor : file->tensors()) {
    std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes));
    EXPECT_THAT(file->ReadBytes(tensor, bytes), IsOk());
    tensors[tensor.name] =
        absl::StrCat(checkpoint::NameOf(tensor.dtype), tensor.shape.ToString(),
                     std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  return tensors;
}

class CheckpointAgain
    : public ::testing::TestWithParam<std::tuple<std::string, checkpoint::FileDType>> {};

TEST_P(CheckpointAgain, HasTheSameTensorsBitByBit) {
  const auto& [name, dtype] = GetParam();
  const Folder folder;
  const nlohmann::json& golden = GoldenCheckpoint(name);
  Put(folder / "config.json", golden["config"].dump());
  WriteTensors(folder / "model.safetensors", TensorsOf(golden), dtype);
  const auto config = huggingface::ReadConfig(folder.path());
  ASSERT_THAT(config, IsOk());
  const auto values = OpenCheckpointValues(folder.path());
  ASSERT_THAT(values, IsOk());
  ASSERT_THAT(huggingface::WriteTensors(*config, **values, folder / "again.safetensors"), IsOk());
  EXPECT_EQ(TensorBytes(folder / "again.safetensors"), TensorBytes(folder / "model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointAgain,
                         ::testing::Combine(::testing::ValuesIn(NamesOfGoldenCheckpoints()),
                                            ::testing::Values(checkpoint::FileDType::kF32,
                                                              checkpoint::FileDType::kBf16)),
                         [](const auto& setting) {
                           return absl::StrCat(std::get<0>(setting.param), "_",
                                               checkpoint::NameOf(std::get<1>(setting.param)));
                         });

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() { std::filesystem::create_directory(Out()); }

  std::string Out() const { return folder_ / "out"; }
  absl::StatusOr<ExportReport> ExportAs(Format format, GgufType type = GgufType::kF16) const {
    return Export({.source = folder_ / "model",
                   .directory = Out(),
                   .format = format,
                   .type = type,
                   .job = "display_name: small\n"});
  }

  const Folder folder_;
};

TEST_F(ExportTest, ACheckpointComesBackWithItsFiles) {
  WriteWriter(folder_ / "model", "llama");
  const auto report = ExportAs(Format::kHuggingFace);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->difference, 0);
  for (const char* name : {"/config.json", "/generation_config.json", "/tokenizer.json"}) {
    EXPECT_EQ(Contents(Out() + name), Contents(folder_ / "model" + name)) << name;
  }
  EXPECT_THAT(Contents(Out() + "/README.md"),
              AllOf(HasSubstr("license:"), HasSubstr("display_name: small")));
}

TEST_F(ExportTest, AFileIsNotWrittenOutsideOfTheFolder) {
  ExportReport report;
  for (const char* name :
       {"../config.json", "a/../../config.json", "/tmp/config.json", "a//b", "./config.json", ""}) {
    EXPECT_THAT(WriteInto({.source = "", .directory = Out()}, name, "x", report),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no place below")))
        << name;
  }
  EXPECT_TRUE(std::filesystem::is_empty(Out()));
}

TEST_F(ExportTest, AWriterAsOnnxAnswersAsItDid) {
  WriteWriter(folder_ / "model", "llama_tied");
  const auto report = ExportAs(Format::kOnnx);
  ASSERT_THAT(report, IsOk());
  EXPECT_LE(report->difference, 1e-5);
  EXPECT_THAT(report->files, Contains("model.onnx"));
}

class GgufExport : public ExportTest, public ::testing::WithParamInterface<GgufType> {};

// Each number is held against the model's own; the answers differ by what rounding makes of them.
TEST_P(GgufExport, HoldsTheModelAsFarAsItsTypeRoundsIt) {
  WriteWriter(folder_ / "model", "llama");
  const auto report = ExportAs(Format::kGguf, GetParam());
  ASSERT_THAT(report, IsOk());
  EXPECT_LE(report->difference, GetParam() == GgufType::kF32 ? 0 : 0.1);
  const auto gguf = ReadGguf(Out() + "/model.gguf");
  ASSERT_THAT(gguf, IsOk());
  EXPECT_EQ(*gguf->Find<std::string>("general.architecture"), "llama");
  EXPECT_EQ(*gguf->Find<uint32_t>("llama.attention.head_count_kv"), 2u);
  EXPECT_EQ(*gguf->Find<uint32_t>("tokenizer.ggml.eos_token_id"), 1u);
  EXPECT_EQ(gguf->Find<std::vector<std::string>>("tokenizer.ggml.tokens")->at(29), "th");
  EXPECT_EQ(gguf->FindTensor("blk.1.attn_k.weight")->extents, (std::vector<uint64_t>{24, 12}));
}

INSTANTIATE_TEST_SUITE_P(Types, GgufExport,
                         ::testing::Values(GgufType::kF32, GgufType::kF16, GgufType::kBf16,
                                           GgufType::kQ8_0));

TEST_F(ExportTest, AGgufHasTheTokensRolesByTheTokenizerWhereNoOtherFileSaysThem) {
  WriteWriter(folder_ / "model", "llama");
  std::filesystem::remove(folder_ / "model/generation_config.json");
  auto config = nlohmann::json::parse(Contents(folder_ / "model/config.json"));
  config.erase("eos_token_id");
  config.erase("bos_token_id");
  Put(folder_ / "model/config.json", config.dump());
  ASSERT_THAT(ExportAs(Format::kGguf), IsOk());
  const auto gguf = ReadGguf(Out() + "/model.gguf");
  ASSERT_THAT(gguf, IsOk());
  const auto* const end = gguf->Find<uint32_t>("tokenizer.ggml.eos_token_id");
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(*end, 1u);
}

// Of a checkpoint whose only word on the token that ends texts is this one of config.json.
class GgufEnd : public ExportTest {
 protected:
  void WriteModel(const nlohmann::json& end) {
    WriteWriter(folder_ / "model", "llama");
    std::filesystem::remove(folder_ / "model/generation_config.json");
    // No name by which the tokenizer itself would tell.
    const std::string tokenizer = Contents(folder_ / "model/tokenizer.json");
    Put(folder_ / "model/tokenizer.json", absl::StrReplaceAll(tokenizer, {{"</s>", "[ENDS]"}}));
    auto config = nlohmann::json::parse(Contents(folder_ / "model/config.json"));
    config["eos_token_id"] = end;
    Put(folder_ / "model/config.json", config.dump());
  }
};

TEST_F(GgufEnd, IsTheFirstOfSeveral) {
  WriteModel({1, 0});
  ASSERT_THAT(ExportAs(Format::kGguf), IsOk());
  const auto gguf = ReadGguf(Out() + "/model.gguf");
  ASSERT_THAT(gguf, IsOk());
  EXPECT_EQ(*gguf->Find<uint32_t>("tokenizer.ggml.eos_token_id"), 1u);
}

TEST_F(GgufEnd, IsRefusedWhereItIsNotToldSinceLlamaCppTakesAnotherOne) {
  WriteModel(nullptr);
  EXPECT_THAT(ExportAs(Format::kGguf).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                         HasSubstr("no token that ends texts")));
}

TEST_F(GgufEnd, IsRefusedWhereItIsNoToken) {
  WriteModel(100000);
  EXPECT_THAT(ExportAs(Format::kGguf).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                         HasSubstr("no token that ends texts")));
}

TEST_F(ExportTest, AGgufHasTheChatTemplateThatIsCalledDefault) {
  WriteWriter(folder_ / "model", "llama");
  Put(folder_ / "model/tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": [
      {"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]})");
  ASSERT_THAT(ExportAs(Format::kGguf), IsOk());
  const auto gguf = ReadGguf(Out() + "/model.gguf");
  ASSERT_THAT(gguf, IsOk());
  EXPECT_EQ(*gguf->Find<std::string>("tokenizer.chat_template"), "b");
}

TEST_F(ExportTest, AGgufIsRefusedWhereLlamaCppWouldReadOtherTokens) {
  WriteWriter(folder_ / "model", "llama");
  const auto tokenizer = nlohmann::json::parse(Contents(folder_ / "model/tokenizer.json"));
  const auto changed = [&](const char* path, const char* value) {
    auto json = tokenizer;
    json[nlohmann::json::json_pointer(path)] = nlohmann::json::parse(value);
    return json;
  };
  for (const auto& [json, what] :
       {std::pair{changed("/normalizer", R"({"type": "Lowercase"})"), "normalizer"},
        std::pair{changed("/model/ignore_merges", "true"), "ignore_merges"},
        std::pair{changed("/pre_tokenizer/add_prefix_space", "true"), "pre_tokenizer"},
        std::pair{changed("/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
             "use_regex": true}]})"),
                  "pre_tokenizer"}}) {
    Put(folder_ / "model/tokenizer.json", json.dump());
    EXPECT_THAT(ExportAs(Format::kGguf).status(), StatusIs(kUnimplemented, HasSubstr(what)));
  }
}

TEST_F(ExportTest, ANumberThatIsDamagedIsFoundInAGguf) {
  WriteWriter(folder_ / "model", "llama");
  const auto source = Source::Open(folder_ / "model");
  ASSERT_THAT(source, IsOk());
  auto gguf = ToGguf(source->file(), source->values(), GgufType::kF16);
  ASSERT_THAT(gguf, IsOk());
  gguf->tensors.back().bytes[1] ^= 0x04;
  EXPECT_THAT(FromGguf(*gguf, source->file(), source->values()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("blk.1.ffn_down")));
}

// An adapter of peft's on a golden checkpoint that lies beside it, and a module that it saved
// whole.
struct AdapterCase {
  const char* base;
  const char* module;
  int64_t in, out;
  const char* saved;
};

class AdapterExport : public ExportTest, public ::testing::WithParamInterface<AdapterCase> {
 protected:
  AdapterExport() {
    std::filesystem::create_directory(folder_ / "model");
    WriteWriter(folder_ / "model/base", GetParam().base);
    Put(folder_ / "model/adapter_config.json",
        R"({"peft_type": "LORA", "r": 2, "lora_alpha": 6, "base_model_name_or_path": "base"})");
    const std::string module = GetParam().module, saved = GetParam().saved;
    WriteTensors(folder_ / "model/adapter_model.safetensors",
                 std::vector{Tensor(module + ".lora_A.weight", {2, GetParam().in}),
                             Tensor(module + ".lora_B.weight", {GetParam().out, 2}),
                             Tensor(saved + ".weight", {24})});
  }

  static CheckpointTensor Tensor(const std::string& name, const Shape& shape) {
    CheckpointTensor tensor = {.name = "base_model.model." + name, .shape = shape, .values = {}};
    for (int64_t i = 0; i < shape.elements(); ++i) {
      tensor.values.push_back(static_cast<float>(Number(900, i) % 1000) / 1000 - 0.5f);
    }
    return tensor;
  }
};

TEST_P(AdapterExport, AsPeftIsAnAdapterThatAnswersOnItsBase) {
  const auto report = ExportAs(Format::kPeft);
  ASSERT_THAT(report, IsOk());
  EXPECT_LE(report->difference, 1e-5);
  EXPECT_FALSE(std::filesystem::exists(Out() + "/base"));
  std::filesystem::rename(folder_ / "model/base", Out() + "/base");
  EXPECT_THAT(OpenCheckpointValues(Out()).status(), IsOk());
}

TEST_P(AdapterExport, MergedIsACheckpointThatAnswersAlike) {
  const auto report = ExportAs(Format::kMergedHuggingFace);
  ASSERT_THAT(report, IsOk());
  EXPECT_LE(report->difference, 1e-5);
  const auto model = huggingface::DescribeModel(Out());
  ASSERT_THAT(model, IsOk());
  EXPECT_FALSE(model->lora.has_value());
  const std::string weight = absl::StrCat(GetParam().module, ".weight");
  EXPECT_NE(TensorBytes(Out() + "/model.safetensors").at(weight),
            TensorBytes(folder_ / "model/base/model.safetensors").at(weight));
}

INSTANTIATE_TEST_SUITE_P(All, AdapterExport,
                         ::testing::Values(AdapterCase{"llama", "model.layers.0.self_attn.q_proj",
                                                       24, 24, "model.norm"},
                                           AdapterCase{"gpt2", "transformer.h.1.attn.c_attn", 24,
                                                       72, "transformer.ln_f"}),
                         [](const auto& setting) { return std::string(setting.param.base); });

TEST_F(ExportTest, FormatsOfAdaptersAreRefusedOfAModelThatHasNone) {
  WriteWriter(folder_ / "model", "llama");
  for (const Format format : {Format::kMergedHuggingFace, Format::kPeft}) {
    EXPECT_THAT(ExportAs(format).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                    HasSubstr("the model has no adapters")));
  }
}

// A published model of pictures, whose values are those that training begins with.
class PictureExport : public ExportTest {
 protected:
  PictureExport() {
    tasks::ModelFile file;
    file.display_name = "small";
    file.task = tasks::ClassificationOptions{};
    file.preprocessing.input = data::Preprocessing::Input::kImage;
    file.preprocessing.image = {3, 9, 8};
    file.preprocessing.pixel_mean = {0.1f, 0.2f, 0.3f};
    file.preprocessing.pixel_std = {0.5f, 0.25f, 0.75f};
    file.preprocessing.class_names = {"circle", "square", "star"};
    layers::Conv2dOptions conv;
    conv.filters = 4;
    conv.kernel = 3;
    layers::DenseOptions dense;
    dense.units = 3;
    const std::vector<models::LayerKind> kinds = {
        conv,
        models::BatchNorm{.activation = ActivationKind::kRelu},
        models::MaxPool2d{},
        models::AvgPool2d{},
        models::Flatten{},
        dense};
    for (const models::LayerKind& kind : kinds) {
      file.model.layers.emplace_back().kind = kind;
    }
    file.model = models::WithNames(file.model).value();
    file.metrics = {{"test_accuracy", 0.5}};
    const auto forward = BuildForward(file, {.batch = 1, .bucket = 0});
    EXPECT_THAT(forward, IsOk());
    const auto store = StoreOf(*forward->built.graph);
    EXPECT_THAT(store, IsOk());
    EXPECT_THAT(checkpoint::WriteModel(folder_ / "model", tasks::ModelTensors(*store), {},
                                       tasks::ToJson(file)),
                IsOk());
  }
};

TEST_F(PictureExport, AsOnnxAnswersAsItDid) {
  const auto report = ExportAs(Format::kOnnx);
  ASSERT_THAT(report, IsOk());
  EXPECT_GT(report->questions, 1);
  EXPECT_LE(report->difference, 1e-5);
  EXPECT_THAT(Contents(Out() + "/README.md"),
              AllOf(HasSubstr("circle, square, star"), HasSubstr("test_accuracy")));
}

TEST_F(PictureExport, AsHuggingFaceIsRefusedSinceItBeganWithNoCheckpoint) {
  EXPECT_THAT(ExportAs(Format::kHuggingFace).status(),
              StatusIs(kUnimplemented, HasSubstr("began with no checkpoint")));
}

TEST_F(PictureExport, WhoseFileNamesNoFileOfACheckpointIsRefused) {
  const auto model = checkpoint::LoadModel(folder_ / "model");
  ASSERT_THAT(model, IsOk());
  auto file = tasks::ModelFileFromJson(model->model_json);
  ASSERT_THAT(file, IsOk());
  file->checkpoint_files = {{"config.json", "{}"}, {"1_Pooling/config.json", "{}"}};
  EXPECT_THAT(tasks::ModelFileFromJson(tasks::ToJson(*file)), IsOk());
  file->checkpoint_files["../config.json"] = "{}";
  EXPECT_THAT(tasks::ModelFileFromJson(tasks::ToJson(*file)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("checkpoint_files[\"../config.json\"]: is no file")));
}

TEST(Differences, AreSharesOfTheLargestAnswer) {
  EXPECT_DOUBLE_EQ(Difference({1, 2}, {1, 4}), 0.5);
  EXPECT_TRUE(std::isinf(Difference({1}, {1, 2})));
}

TEST(ExportFormats, ThatNobodyKnowsAreToldThoseThatAre) {
  EXPECT_THAT(FormatOf("coreml").status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                                    HasSubstr("hf, onnx, gguf, merged-hf, peft")));
}

}  // namespace
}  // namespace hone::engine::exports
