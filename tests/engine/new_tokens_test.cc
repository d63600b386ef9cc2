#include "engine/job/new_tokens.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/export/export.h"
#include "engine/job/pretrained.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/text_inputs.h"
#include "engine/text/pretrained_tokenizer.h"
#include "tests/engine/class_probabilities.h"
#include "tests/engine/export_testing.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Jobs that add tokens to those of an earlier model.
namespace hone::engine::train {
namespace {

using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::engine::testing::WriteWriter;
using ::hone::testing::Contents;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kRows = 40, kNumbers = 24;
constexpr char kTable[] = "token_embedding.weight", kOutput[] = "output.weight",
               kBias[] = "output.bias";
const std::vector<std::string> kTwo = {"<yes>", "<no>"};

// A small BERT without a last layer, whose table has 40 rows, and small language models.
class NewTokensTest : public TrainTest {
 protected:
  NewTokensTest() {
    WriteBert(33);
    std::string table = "text\tlabel\n";
    for (int i = 0; i < 96; ++i) {
      table += "word" + std::to_string(i % 30) + (i % 2 == 0 ? "<yes>" : " <no>") + "\t" +
               (i % 2 == 0 ? "liked" : "not liked") + "\n";
    }
    Write("texts.tsv", table);
  }

  // Seven tokens and so many words.
  void WriteBert(int words) const {
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n<\n>\n";
    for (int i = 0; i < words; ++i) {
      vocabulary += "word" + std::to_string(i) + "\n";
    }
    Write("bert/vocab.txt", vocabulary);
    std::vector<CheckpointTensor> tensors = TensorsOf(GoldenCheckpoint("bert"));
    std::erase_if(tensors, [](const CheckpointTensor& tensor) {
      return tensor.name == "classifier.weight" || tensor.name == "classifier.bias";
    });
    WriteCheckpoint(Path("bert"), GoldenCheckpoint("bert")["config"], tensors);
  }
  std::string Writer(const std::string& name) const {
    WriteWriter(Path(name), name);
    return Path(name);
  }

  tasks::PretrainedOptions Two(const std::string& directory) const {
    return {.directory = directory, .new_tokens = kTwo};
  }
  tasks::PretrainedOptions Two() const { return Two(Path("bert")); }

  // What the parameter begins with in a store in which it has that shape.
  static std::vector<float> FirstValues(const tasks::PretrainedOptions& options,
                                        const std::string& name, const Shape& shape) {
    ParameterStore store;
    const auto id = store.Declare({.name = name, .shape = shape, .initializer = {}});
    const auto pretrained = job::Pretrained::Open(options);
    EXPECT_THAT(pretrained, IsOk());
    store.Allocate(1);
    EXPECT_THAT(pretrained->Load(store), IsOk());
    const std::span<float> values = store.mutable_values(*id).f32();
    return {values.begin(), values.end()};
  }
  static std::vector<float> Before(const std::string& directory, const std::string& name) {
    const auto weights = huggingface::Weights::Open(directory);
    EXPECT_THAT(weights, IsOk());
    std::vector<float> values(static_cast<size_t>(weights->shape(name).elements()));
    EXPECT_THAT(weights->Read(name, values), IsOk());
    return values;
  }
  // [rows, width] with two rows behind the first `used`, which are their mean; what stands there
  // goes, further rows stay.
  static std::vector<float> WithMeans(std::vector<float> rows, int64_t used, int64_t width) {
    rows.resize(std::max(rows.size(), static_cast<size_t>((used + 2) * width)));
    for (int64_t i = 0; i < width; ++i) {
      double sum = 0;
      for (int64_t row = 0; row < used; ++row) {
        sum += rows[static_cast<size_t>(row * width + i)];
      }
      for (int64_t row = used; row < used + 2; ++row) {
        rows[static_cast<size_t>(row * width + i)] =
            static_cast<float>(sum / static_cast<double>(used));
      }
    }
    return rows;
  }
  static std::vector<float> Transposed(const std::vector<float>& rows, int64_t width) {
    std::vector<float> columns(rows.size());
    const auto count = std::ssize(rows) / width;
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      columns[static_cast<size_t>(i % width * count + i / width)] = rows[static_cast<size_t>(i)];
    }
    return columns;
  }

  absl::StatusOr<tasks::TrainingConfig> Job(const tasks::PretrainedOptions& pretrained,
                                            const std::vector<std::string>& freeze = {}) const {
    tasks::TrainingConfig config;
    config.task = tasks::ClassificationOptions();
    config.data.path = Path("texts.tsv");
    config.data.text.emplace();
    config.pretrained = pretrained;
    HONE_ASSIGN_OR_RETURN(config.data.text->like,
                          job::PretrainedTokens(pretrained, &config.data.text->like_notes));
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(pretrained, {}));
    HONE_ASSIGN_OR_RETURN(config.parameter_rules, job::FreezeRules(pretrained, freeze));
    config.optimizer = optim::Adam{.learning_rate = 0.01};
    config.epochs = 3;
    config.batch_size = 16;
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }
  // That goes on with a text of letters.
  absl::StatusOr<tasks::TrainingConfig> WritingJob(const std::string& directory) const {
    std::string text;
    while (text.size() < 600) {
      text += "abac<yes>aef<no>";
    }
    Write("text.txt", text);
    HONE_ASSIGN_OR_RETURN(tasks::TrainingConfig config, Job(Two(directory)));
    config.task = tasks::LanguageModelingOptions{.window = 16};
    config.data.task = data::Task::kLanguageModeling;
    config.data.path = Path("text.txt");
    config.data.validation_fraction = 0.1;
    config.data.test_fraction = 0;
    return config;
  }

  static std::string ModelOf(const tasks::TrainingConfig& config) {
    return config.run_directory + "/model";
  }
  static std::vector<float> Weights(const std::string& directory, const std::string& name) {
    const auto model = checkpoint::LoadModel(directory);
    EXPECT_THAT(model, IsOk());
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }
  static std::vector<double> Answers(const std::string& directory) {
    return testing::ClassProbabilities(directory,
                                       {"word1 <no>", "<yes>word2", "word3", "<no><yes>"});
  }
  absl::Status Exported(const std::string& model, exports::Format format) const {
    std::filesystem::remove_all(Path("out"));
    std::filesystem::create_directory(Path("out"));
    return exports::Export({.source = model,
                            .directory = Path("out"),
                            .format = format,
                            .type = exports::GgufType::kF32})
        .status();
  }
};

TEST_F(NewTokensTest, HaveTheIdsBehindTheLast) {
  const auto tokens = job::PretrainedTokens(Two());
  ASSERT_THAT(tokens, IsOk());
  EXPECT_EQ((*tokens)->tokenizer->size(), kRows + 2);
  EXPECT_THAT((*tokens)->Encode("word1<no>"), ElementsAre(2, 8, 41, 3));
}

TEST_F(NewTokensTest, AddRowsToATableThatHasNoneLeft) {
  const auto model = job::WithPretrained(Two(), {});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(nlohmann::json::parse(model->preset.options)["table_rows"], kRows + 2);
}

TEST_F(NewTokensTest, UseRowsThatTheTableHasToSpare) {
  WriteBert(30);
  const auto model = job::WithPretrained(Two(), {});
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(nlohmann::json::parse(model->preset.options)["table_rows"], kRows);
}

TEST_F(NewTokensTest, BeginAsTheMeanOfTheOthersWhichKeepTheirBits) {
  EXPECT_EQ(FirstValues(Two(), kTable, {kRows + 2, kNumbers}),
            WithMeans(Before(Path("bert"), kTable), kRows, kNumbers));
}

TEST_F(NewTokensTest, BeginAsTheMeanInSpareRowsOfWhichTheOthersStay) {
  WriteBert(30);
  EXPECT_EQ(FirstValues(Two(), kTable, {kRows, kNumbers}),
            WithMeans(Before(Path("bert"), kTable), kRows - 3, kNumbers));
}

TEST_F(NewTokensTest, HaveRowsInALastLayerOfItsOwn) {
  const std::string llama = Writer("llama");
  EXPECT_EQ(FirstValues(Two(llama), kOutput, {kRows + 2, kNumbers}),
            WithMeans(Before(llama, kOutput), kRows, kNumbers));
}

TEST_F(NewTokensTest, HaveColumnsInALastLayerThatLiesTheOtherWay) {
  const std::string gpt2 = Writer("gpt2_untied");
  const std::vector<float> rows = Transposed(Before(gpt2, kOutput), kRows);
  EXPECT_EQ(FirstValues(Two(gpt2), kOutput, {kNumbers, kRows + 2}),
            Transposed(WithMeans(rows, kRows, kNumbers), kNumbers));
}

TEST_F(NewTokensTest, HaveNumbersInTheBiasOfTheLastLayer) {
  const nlohmann::json& golden = GoldenCheckpoint("bert_masked");
  Write("bert_masked/vocab.txt", Contents(Path("bert/vocab.txt")));
  WriteCheckpoint(Path("bert_masked"), golden["config"], TensorsOf(golden));
  EXPECT_EQ(FirstValues(Two(Path("bert_masked")), kBias, {kRows + 2}),
            WithMeans(Before(Path("bert_masked"), kBias), kRows, 1));
}

TEST_F(NewTokensTest, AreToldInTheDataReport) {
  const auto grown = Job(Two());
  ASSERT_THAT(grown, IsOk());
  EXPECT_THAT(grown->data.text->like_notes,
              Contains("the tokenizer has 2 new tokens, with the ids 40 to 41; the table of "
                       "embeddings grew from 40 rows to 42"));
  WriteBert(30);
  const auto spare = Job(Two());
  ASSERT_THAT(spare, IsOk());
  EXPECT_THAT(spare->data.text->like_notes,
              Contains("the tokenizer has 2 new tokens, with the ids 37 to 38; of the 3 spare rows "
                       "of the table of embeddings 2 are used"));
}

TEST_F(NewTokensTest, ThatTheTokenizerHasAreRefusedByTheirPlace) {
  tasks::PretrainedOptions options = Two();
  options.new_tokens.emplace_back("word7");
  EXPECT_THAT(job::WithPretrained(options, {}),
              StatusIs(kInvalid, HasSubstr("model.pretrained.new_tokens[2] (\"word7\")")));
}

TEST_F(NewTokensTest, OfAModelThatReadsNoTextsAreRefused) {
  const tasks::TrainingConfig pictures = Pictures();
  ASSERT_THAT(Run(pictures), IsOk());
  EXPECT_THAT(job::WithPretrained(Two(ModelOf(pictures)), {}),
              StatusIs(kInvalid, HasSubstr("model.pretrained.new_tokens: must be empty")));
}

TEST_F(NewTokensTest, AreLearnedWhereAllElseIsFrozen) {
  const auto config = Job(Two(), {"*"});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_EQ(Weights(ModelOf(*config), "block_1.up.weight"),
            Before(Path("bert"), "block_1.up.weight"));
  EXPECT_NE(Weights(ModelOf(*config), kTable),
            WithMeans(Before(Path("bert"), kTable), kRows, kNumbers));
}

TEST_F(NewTokensTest, InATableThatARuleFreezesAreRefused) {
  const auto named = Job(Two(), {"*", "token_embedding"});
  ASSERT_THAT(named, IsOk());
  EXPECT_THAT(Run(*named),
              StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained.freeze[1] (token_embedding)"),
                                       HasSubstr("model.pretrained.new_tokens"))));
  auto ruled = Job(Two());
  ASSERT_THAT(ruled, IsOk());
  ruled->parameter_rules.push_back(
      {.parameters = "*.weight", .freeze = true, .field = "training.parameter_rules[0]"});
  EXPECT_THAT(Run(*ruled),
              StatusIs(kInvalid, HasSubstr("training.parameter_rules[0] (*.weight): must not")));
}

TEST_F(NewTokensTest, StoppedAtEveryStepAndResumedAreNeverStopped) {
  const auto config = Job(Two());
  ASSERT_THAT(config, IsOk());
  ExpectSameBitsInPieces(*config);
}

TEST_F(NewTokensTest, AreInTheExportedFolderWhichAnswersAsTheModel) {
  Write("bert/tokenizer_config.json", R"({"added_tokens_decoder": {}})");
  const auto config = Job(Two());
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  ASSERT_THAT(Exported(ModelOf(*config), exports::Format::kHuggingFace), IsOk());
  EXPECT_EQ(nlohmann::json::parse(Contents(Path("out/config.json")))["vocab_size"], kRows + 2);
  const auto read = text::ReadPretrainedTokenizer(Path("out"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokenizer->IdOf("<no>"), kRows + 1);
  const auto decoder =
      nlohmann::json::parse(Contents(Path("out/tokenizer_config.json")))["added_tokens_decoder"];
  EXPECT_EQ(decoder["41"]["content"], "<no>");
  EXPECT_THAT(Answers(Path("out")),
              ::testing::Pointwise(::testing::DoubleNear(1e-5), Answers(ModelOf(*config))));
}

TEST_F(NewTokensTest, BesideAdaptersAreLearnedMergedAndNoAdapterOfPefts) {
  tasks::PretrainedOptions options = Two();
  options.lora = tasks::LoraOptions{.rank = 2};
  const auto config = Job(options);
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_NE(Weights(ModelOf(*config), kTable),
            WithMeans(Before(Path("bert"), kTable), kRows, kNumbers));
  EXPECT_EQ(Weights(ModelOf(*config), "block_1.up.weight"),
            Before(Path("bert"), "block_1.up.weight"));
  EXPECT_THAT(Exported(ModelOf(*config), exports::Format::kMergedHuggingFace), IsOk());
  EXPECT_THAT(
      Exported(ModelOf(*config), exports::Format::kPeft),
      StatusIs(absl::StatusCode::kUnimplemented, AllOf(HasSubstr(kTable), HasSubstr("merged-hf"))));
}

TEST_F(NewTokensTest, AreGoneOnWithAndFurtherOnesStandBehindThem) {
  const auto first = Job(Two());
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Run(*first), IsOk());
  const auto second = Job({.directory = ModelOf(*first), .new_tokens = {"<maybe>"}});
  ASSERT_THAT(second, IsOk());
  ASSERT_THAT(Run(*second), IsOk());
  EXPECT_EQ(Weights(ModelOf(*second), kTable).size(), static_cast<size_t>((kRows + 3) * kNumbers));
  ASSERT_THAT(Exported(ModelOf(*second), exports::Format::kHuggingFace), IsOk());
  EXPECT_EQ(nlohmann::json::parse(Contents(Path("out/config.json")))["vocab_size"], kRows + 3);
}

TEST_F(NewTokensTest, OfAWriterAreWrittenInEveryForm) {
  for (const char* name : {"llama", "llama_tied", "gpt2", "gpt2_untied"}) {
    const auto config = WritingJob(Writer(name));
    ASSERT_THAT(config, IsOk());
    ASSERT_THAT(Run(*config), IsOk());
    const std::string model = ModelOf(*config);
    EXPECT_THAT(Exported(model, exports::Format::kHuggingFace), IsOk()) << name;
    const auto again = predict::Predictor::Load(Path("out"), 2);
    ASSERT_THAT(again, IsOk());
    EXPECT_THAT(Exported(model, exports::Format::kOnnx), IsOk()) << name;
    if (name[0] == 'l') {
      EXPECT_THAT(Exported(model, exports::Format::kGguf), IsOk()) << name;
    }
  }
}

TEST_F(NewTokensTest, AreWrittenByAModelThatHasLearnedThem) {
  auto config = WritingJob(Writer("llama"));
  ASSERT_THAT(config, IsOk());
  config->epochs = 30;
  ASSERT_THAT(Run(*config), IsOk());
  const auto model = predict::Predictor::Load(ModelOf(*config), 2);
  ASSERT_THAT(model, IsOk());
  const tasks::WritingQuestion wish = {
      .prompt = "abac<yes>aef", .count = 1, .sampling = {.temperature = 0}};
  const auto example = (*model)->Read(wish, "wish");
  ASSERT_THAT(example, IsOk());
  const auto answer = (*model)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->front().writing->text, "<no>");
}

}  // namespace
}  // namespace hone::engine::train
