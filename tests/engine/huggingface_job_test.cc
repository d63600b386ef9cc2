#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "engine/base/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/export/export.h"
#include "engine/job/plan.h"
#include "engine/job/pretrained.h"
#include "engine/predict/predictor.h"
#include "engine/tasks/model_file.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/huggingface_testing.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// Jobs on texts that begin with a checkpoint in Hugging Face's form.
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

// A small BERT whose 40 tokens are those of five and of 35 words, and texts of these words.
class CheckpointJob : public TrainTest {
 protected:
  CheckpointJob() {
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
    std::erase_if(tensors_, [](const CheckpointTensor& tensor) {
      return tensor.name == "classifier.weight" || tensor.name == "classifier.bias";
    });
    WriteCheckpoint(Path("bert"), golden_["config"], tensors_);
  }

  absl::StatusOr<tasks::TrainingConfig> Job(const std::vector<std::string>& freeze = {}) const {
    tasks::TrainingConfig config;
    config.task =
        tasks::ClassificationOptions{.label_smoothing = 0, .class_weights = {}, .binary = true};
    config.data.path = Path("texts.tsv");
    config.data.text.emplace();
    config.pretrained.directory = Path("bert");
    HONE_ASSIGN_OR_RETURN(config.data.text->like,
                          job::PretrainedTokens(config.pretrained, &config.data.text->like_notes));
    HONE_ASSIGN_OR_RETURN(config.model, job::WithPretrained(config.pretrained, {}));
    HONE_ASSIGN_OR_RETURN(config.parameter_rules, job::FreezeRules(config.pretrained, freeze));
    config.optimizer = optim::Adam{.learning_rate = 0.002};
    config.epochs = 2;
    config.batch_size = 16;
    config.threads = 2;
    config.run_directory = NewRun();
    return config;
  }

  static std::vector<float> Weights(const tasks::TrainingConfig& config, const std::string& name) {
    const auto model = checkpoint::LoadModel(config.run_directory + "/model");
    const checkpoint::FileTensor* tensor = model->tensors.Find(name).value();
    std::vector<float> values(static_cast<size_t>(tensor->shape.elements()));
    EXPECT_THAT(model->tensors.Read(*tensor, values), IsOk());
    return values;
  }
  const std::vector<float>& Theirs(const std::string& name) const {
    return std::ranges::find(tensors_, name, &CheckpointTensor::name)->values;
  }

  const nlohmann::json& golden_ = GoldenCheckpoint("bert");
  std::vector<CheckpointTensor> tensors_ = TensorsOf(golden_);
};

TEST_F(CheckpointJob, IsFineTunedAndItsModelAnswers) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_NE(Weights(*config, "block_1.up.weight"),
            Theirs("bert.encoder.layer.0.intermediate.dense.weight"));
  const auto model = predict::Predictor::Load(config->run_directory + "/model", 2);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"word1 good"}, "it");
  ASSERT_THAT(example, IsOk());
  const auto answer = (*model)->Predict(std::span(&*example, 1));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ((*answer)[0].classes.size(), 2u);
}

TEST_F(CheckpointJob, BeginsWithTheCheckpointsWeights) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->epochs = 0;
  config->steps = 1;
  config->optimizer = optim::Sgd{.learning_rate = 1e-7};
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_THAT(Weights(*config, "block_2.attention.query.weight"),
              ::testing::Pointwise(::testing::FloatNear(1e-4f),
                                   Theirs("bert.encoder.layer.1.attention.self.query.weight")));
}

TEST_F(CheckpointJob, WhatIsFrozenKeepsItsBits) {
  const auto config = Job({"*"});
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_EQ(Weights(*config, "block_1.up.weight"),
            Theirs("bert.encoder.layer.0.intermediate.dense.weight"));
  EXPECT_EQ(Weights(*config, "token_embedding.weight"),
            Theirs("bert.embeddings.word_embeddings.weight"));
}

TEST_F(CheckpointJob, IsPlannedWithItsNet) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  job::Phase phase;
  EXPECT_THAT(job::PlanJob(*config, /*measure=*/false, &phase), IsOk());
}

TEST_F(CheckpointJob, ATextStandsBetweenTheTokensOfTheTemplate) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  // [CLS] good bad [SEP]
  EXPECT_THAT(config->data.text->like->Encode("good BAD"), ::testing::ElementsAre(2, 5, 6, 3));
  data::TextPreprocessing three = *config->data.text->like;
  three.max_tokens = 3;
  EXPECT_THAT(three.Encode("good bad"), ::testing::ElementsAre(2, 5, 3));
}

TEST_F(CheckpointJob, WhatItsTokenizerSaysAndIsNotDoneStandsInTheDataReport) {
  const auto told = Job();
  ASSERT_THAT(told, IsOk());
  nlohmann::json json = nlohmann::json::parse(
      told->data.text->like->tokenizer->ToJson()["tokenizer_json"].get<std::string>());
  json["truncation"] = {{"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json["padding"] = {{"strategy", {{"Fixed", 128}}}};
  Write("bert/tokenizer.json", json.dump());
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  const auto data = tasks::LoadExamples(config->data, *config, *tasks::MakeTask(config->task));
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->report.notes,
              AllOf(Contains(HasSubstr("tokenizer.json cuts texts off behind 2 tokens")),
                    Contains(HasSubstr("tokenizer.json fills short texts up with padding"))));
}

TEST_F(CheckpointJob, PairsAreToldApartByTheirSegments) {
  models::ModelDescription own;
  own.inputs = {std::string(kTokensInput), std::string(kOffsetsInput), std::string(kSegmentsInput)};
  const auto model = job::WithPretrained({.directory = Path("bert")}, own);
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT(model->inputs, Contains(std::string(kSegmentsInput)));
}

TEST_F(CheckpointJob, ANetBesideTheCheckpointIsRefused) {
  EXPECT_THAT(job::WithPretrained({.directory = Path("bert")}, {.layers = {DenseLayer(2)}}),
              StatusIs(kInvalid, HasSubstr("`pretrained` must stand alone")));
  EXPECT_THAT(job::WithPretrained({.directory = Path("bert"), .drop_layers = 1}, {}),
              StatusIs(kInvalid, HasSubstr("model.pretrained.drop_layers")));
}

TEST_F(CheckpointJob, AHeadOfOtherClassesIsRefusedByName) {
  WriteCheckpoint(Path("bert"), golden_["config"], TensorsOf(golden_));
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  EXPECT_THAT(Run(*config),
              StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained: classifier.weight"),
                                       HasSubstr("[3, 24]"), HasSubstr("[1, 24]"))));
}

// The checkpoint with its head, whose outputs have these names.
class CheckpointWithHead : public CheckpointJob {
 protected:
  CheckpointWithHead() { Write({"NOT LIKED", "LIKED", "NEITHER"}); }
  void Write(const std::vector<std::string>& names, const nlohmann::json& more = {}) const {
    nlohmann::json config = golden_["config"];
    config["id2label"] = nlohmann::json::object();
    for (size_t i = 0; i < names.size(); ++i) {
      config["id2label"][std::to_string(i)] = names[i];
    }
    if (!more.is_null()) {
      config.update(more);
    }
    WriteCheckpoint(Path("bert"), config, TensorsOf(golden_));
  }
};

TEST_F(CheckpointWithHead, GivesClassesOfTheDataTheirNumbersByItsNames) {
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->task = tasks::ClassificationOptions();
  config->data.head_classes = job::PretrainedClasses(config->pretrained).value();
  ASSERT_THAT(Run(*config), IsOk());
  const auto model = predict::Predictor::Load(config->run_directory + "/model", 2);
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT((*model)->file().preprocessing.class_names,
              ::testing::ElementsAre("NOT LIKED", "LIKED", "NEITHER"));
}

TEST_F(CheckpointWithHead, AnswersAsItIsWithTheNamesOfItsClasses) {
  const auto model = predict::Predictor::Load(Path("bert"), 2);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"word1 good"}, "it");
  ASSERT_THAT(example, IsOk());
  const auto answer = (*model)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  std::vector<std::string> names;
  for (const tasks::Prediction::Class& c : answer->front().classes) {
    names.push_back(c.name);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("NOT LIKED", "LIKED", "NEITHER"));
}

TEST_F(CheckpointWithHead, GivesEachOutputTheNameOfItsNumber) {
  const auto probabilities = [this](const std::vector<std::string>& names) {
    Write(names);
    std::map<std::string, double> by_name;
    const auto model = predict::Predictor::Load(Path("bert"), 2);
    EXPECT_THAT(model, IsOk());
    const auto example = (*model)->Read(tasks::TextQuestion{"word1 good"}, "it");
    const auto answer = (*model)->Predict({&*example, 1});
    EXPECT_THAT(answer, IsOk());
    for (const tasks::Prediction::Class& c : answer->front().classes) {
      by_name[c.name] = c.probability;
    }
    return by_name;
  };
  const auto before = probabilities({"a", "b", "c"}), after = probabilities({"c", "a", "b"});
  EXPECT_NE(before.at("a"), before.at("b"));
  EXPECT_EQ(after.at("c"), before.at("a"));
  EXPECT_EQ(after.at("a"), before.at("b"));
  EXPECT_EQ(after.at("b"), before.at("c"));
}

TEST_F(CheckpointWithHead, GivesEachTagTheNameOfItsNumber) {
  const auto tags = [this](const std::vector<std::string>& names) {
    Write(names, {{"architectures", {"BertForTokenClassification"}}});
    std::vector<std::string> of_words;
    const auto model = predict::Predictor::Load(Path("bert"), 2);
    EXPECT_THAT(model, IsOk());
    const auto example =
        (*model)->Read(tasks::TextQuestion{"word1 good word2 bad word3 word4 word5"}, "it");
    const auto answer = (*model)->Predict({&*example, 1});
    EXPECT_THAT(answer, IsOk());
    for (const tasks::Prediction::Word& word : answer->front().words) {
      of_words.push_back(word.tag);
    }
    return of_words;
  };
  const std::map<std::string, std::string> renamed = {{"O", "I-X"}, {"B-X", "O"}, {"I-X", "B-X"}};
  std::vector<std::string> expected;
  for (const std::string& tag : tags({"O", "B-X", "I-X"})) {
    expected.push_back(renamed.at(tag));
  }
  EXPECT_EQ(expected.size(), 7u);
  EXPECT_EQ(tags({"I-X", "O", "B-X"}), expected);
}

TEST_F(CheckpointWithHead, AnswersWithSeveralClassesWhereItWasTrainedSo) {
  Write({"a", "b", "c"}, {{"problem_type", "multi_label_classification"}});
  const auto model = predict::Predictor::Load(Path("bert"), 2);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"word1 good"}, "it");
  const auto answer = (*model)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->front().classes.size(), 3u);
  EXPECT_TRUE(answer->front().threshold.has_value());
}

TEST_F(CheckpointWithHead, TagsWordsWhereItWasTrainedSo) {
  Write({"O", "B-X", "I-X"}, {{"architectures", {"BertForTokenClassification"}}});
  const auto model = predict::Predictor::Load(Path("bert"), 2);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"word1 good word2"}, "it");
  ASSERT_THAT(example, IsOk());
  const auto answer = (*model)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  ASSERT_EQ(answer->front().words.size(), 3u);
  EXPECT_EQ(answer->front().words[1].text, "good");
}

TEST_F(CheckpointWithHead, NamesForAnotherNumberOfOutputsAreRefused) {
  Write({"a", "b"});
  EXPECT_THAT(predict::Predictor::Load(Path("bert"), 2),
              StatusIs(kInvalid, AllOf(HasSubstr("`id2label`"), HasSubstr("3 outputs"))));
}

// Vectors of texts that begin with the checkpoint.
TEST_F(CheckpointJob, MakesVectorsOfItsTokensWithoutItsHeads) {
  Write("pairs.tsv",
        "a\tb\nword1 good\tword2 good\nword3 bad\tword4 bad\n"
        "word5 good\tword6 bad\nword7 bad\tword8 good\nword9\tword10\n");
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->task = tasks::TextEmbeddingOptions();
  config->data.task = data::Task::kTextPairs;
  config->data.path = Path("pairs.tsv");
  config->data.text->columns = {"a"};
  config->data.text->second_columns = {"b"};
  config->epochs = 1;
  ASSERT_THAT(Run(*config), IsOk());
  const auto model = checkpoint::LoadModel(config->run_directory + "/model");
  EXPECT_FALSE(model->tensors.Find("pooler.weight").ok());
  const auto answerer = predict::Predictor::Load(config->run_directory + "/model", 2);
  ASSERT_THAT(answerer, IsOk());
  const auto example = (*answerer)->Read(tasks::TextQuestion{"word1 good"}, "it");
  const auto answer = (*answerer)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->front().embedding->values.size(), 24u);
}

TEST_F(CheckpointJob, TagsWordsByTheirFirstPieces) {
  std::string sentences;
  for (int i = 0; i < 24; ++i) {
    sentences += "word" + std::to_string(i) + " O\nGOOD B-X\nbad I-X\n\n";
  }
  Write("tags.conll", sentences);
  auto config = Job();
  ASSERT_THAT(config, IsOk());
  config->task = tasks::TokenTaggingOptions();
  config->data.task = data::Task::kTokenTagging;
  config->data.path = Path("tags.conll");
  config->optimizer = optim::Adam{.learning_rate = 0.005};
  config->epochs = 40;
  ASSERT_THAT(Run(*config), IsOk());
  EXPECT_GT(recorder_.evaluations.back().metrics.at("entity_f1"), 0.9);
}

TEST_F(CheckpointJob, AVocabularyThatTheTableHasNoRowsForIsRefused) {
  Write("bert/vocab.txt", hone::testing::Contents(Path("bert/vocab.txt")) + "more\n");
  EXPECT_THAT(Job(), StatusIs(kInvalid, AllOf(HasSubstr("41 tokens"), HasSubstr("`vocab_size`"))));
}

// Frozen parameters of these names and shapes, and one that is trained.
ParameterStore StoreOf(const std::vector<CheckpointTensor>& wanted) {
  ParameterStore store;
  for (const CheckpointTensor& tensor : wanted) {
    EXPECT_THAT(store
                    .Declare({.name = tensor.name,
                              .shape = tensor.shape,
                              .initializer = {},
                              .role = ParameterRole::kFrozen})
                    .status(),
                IsOk());
  }
  EXPECT_THAT(store.Declare({.name = "norm.weight", .shape = {24}, .initializer = {}}).status(),
              IsOk());
  return store;
}

TEST_F(CheckpointJob, LendsWhatIsFrozenAndNothingElse) {
  const auto weights = huggingface::Weights::Open(Path("bert"));
  ASSERT_THAT(weights, IsOk());
  ParameterStore store = StoreOf({{"block_1.up.weight", {56, 24}, {}},
                                  {"block_1.up.bias", {55}, {}},
                                  {"another.weight", {3}, {}}});
  ASSERT_THAT(weights->LendTo(store), IsOk());
  store.Allocate(0);
  ASSERT_NE(store.borrowed(0), nullptr);
  EXPECT_EQ(store.borrowed(1), nullptr) << "of another shape";
  EXPECT_EQ(store.borrowed(2), nullptr) << "of no such name";
  EXPECT_EQ(store.borrowed(3), nullptr) << "trained";
  std::vector<float> values(56 * 24);
  store.values(0).CopyTo(values);
  EXPECT_EQ(values, Theirs("bert.encoder.layer.0.intermediate.dense.weight"));
}

TEST_F(CheckpointJob, AModelOfOursIsLentAsItLies) {
  const auto config = Job();
  ASSERT_THAT(config, IsOk());
  ASSERT_THAT(Run(*config), IsOk());
  const auto model = checkpoint::LoadModel(config->run_directory + "/model");
  ASSERT_THAT(model, IsOk());
  ParameterStore store = StoreOf({{"block_1.up.weight", {56, 24}, {}}});
  ASSERT_THAT(tasks::LendModel(*model, store), IsOk());
  store.Allocate(0);
  ASSERT_NE(store.borrowed(0), nullptr);
  std::vector<float> values(56 * 24);
  store.values(0).CopyTo(values);
  EXPECT_EQ(values, Weights(*config, "block_1.up.weight"));
}

// Checkpoints that answer as they are.
class CheckpointAnswerer : public CheckpointJob {
 protected:
  std::string CheckpointOf(const std::string& name) const {
    const nlohmann::json& golden = GoldenCheckpoint(name);
    WriteCheckpoint(Path(name), golden["config"], TensorsOf(golden));
    return Path(name);
  }
};

class CheckpointWriter : public CheckpointAnswerer,
                         public ::testing::WithParamInterface<const char*> {};

TEST_P(CheckpointWriter, WritesWhatTransformersWrites) {
  const std::string name = GetParam();
  // The end, a space, letters, and letters behind a space: 40 tokens.
  std::vector<std::string> written = {"", " "};
  nlohmann::json vocabulary = {{"<|endoftext|>", 0}, {"Ġ", 1}};
  std::string merges = "#version: 0.2\n";
  for (int i = 0; i < 38; ++i) {
    const std::string letter(1, static_cast<char>('a' + i % 26));
    vocabulary[(i < 26 ? "" : "Ġ") + letter] = i + 2;
    written.push_back((i < 26 ? "" : " ") + letter);
    merges += i < 26 ? "" : "Ġ " + letter + "\n";
  }
  Write(name + "/vocab.json", vocabulary.dump());
  Write(name + "/merges.txt", merges);
  const auto model = predict::Predictor::Load(CheckpointOf(name), 2);
  ASSERT_THAT(model, IsOk());
  const auto tokens = GoldenCheckpoint(name)["written"].get<std::vector<int32_t>>();
  std::string expected;
  for (size_t i = 2; i < tokens.size() && tokens[i] != 0; ++i) {
    expected += written[static_cast<size_t>(tokens[i])];
  }
  tasks::WritingQuestion wish = {.prompt = "c d", .count = 8, .sampling = {.temperature = 0}};
  std::string text;
  auto end = tasks::Prediction::Writing::End::kNone;
  while (end == tasks::Prediction::Writing::End::kNone) {
    const auto example = (*model)->Read(wish, "wish");
    ASSERT_THAT(example, IsOk());
    const auto answer = (*model)->Predict({&*example, 1});
    ASSERT_THAT(answer, IsOk());
    text += answer->front().writing->text;
    end = answer->front().writing->end;
    wish.state = answer->front().writing->state;
  }
  EXPECT_EQ(text, expected);
}

INSTANTIATE_TEST_SUITE_P(Families, CheckpointWriter,
                         ::testing::Values("gpt2", "llama", "llama_biased", "llama_scaled", "qwen2",
                                           "qwen3", "qwen3_tied"),
                         [](const auto& name) { return std::string(name.param); });

TEST_F(CheckpointAnswerer, FillsMasksWhereItHasTheHead) {
  Write("bert_masked/vocab.txt", hone::testing::Contents(Path("bert/vocab.txt")));
  const auto model = predict::Predictor::Load(CheckpointOf("bert_masked"), 2);
  ASSERT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"good [MASK] bad"}, "it");
  ASSERT_THAT(example, IsOk());
  const auto answer = (*model)->Predict({&*example, 1});
  ASSERT_THAT(answer, IsOk());
  ASSERT_EQ(answer->front().fills.size(), 1u);
  EXPECT_FALSE(answer->front().fills[0].empty());
}

// The vector of a text by the checkpoint as it is, made of its tokens' as the file says.
std::vector<float> VectorOf(const std::string& checkpoint) {
  const auto model = predict::Predictor::Load(checkpoint, 2);
  EXPECT_THAT(model, IsOk());
  const auto example = (*model)->Read(tasks::TextQuestion{"good bad"}, "it");
  const auto answer = (*model)->Predict({&*example, 1});
  EXPECT_THAT(answer, IsOk());
  return answer->front().embedding->values;
}

TEST_F(CheckpointAnswerer, WithoutAHeadItMakesVectorsOfTextsAsItsPoolingSays) {
  const std::vector<float> mean = VectorOf(Path("bert"));
  EXPECT_EQ(mean.size(), 24u);
  Write("bert/1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  EXPECT_EQ(VectorOf(Path("bert")), mean);
  Write("bert/1_Pooling/config.json",
        R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  EXPECT_NE(VectorOf(Path("bert")), mean);
}

TEST_F(CheckpointAnswerer, AnAdapterMakesVectorsAsThePoolingOfItsBaseSays) {
  const std::string query = "base_model.model.encoder.layer.0.attention.self.query";
  Write("adapter/adapter_config.json",
        R"({"peft_type": "LORA", "r": 1, "base_model_name_or_path": "../bert"})");
  // It adds nothing.
  testing::WriteTensors(
      Path("adapter/adapter_model.safetensors"),
      std::vector<CheckpointTensor>{
          {.name = query + ".lora_A.weight", .shape = {1, 24}, .values = std::vector<float>(24)},
          {.name = query + ".lora_B.weight", .shape = {24, 1}, .values = std::vector<float>(24)}});
  Write("bert/1_Pooling/config.json", R"({"pooling_mode_cls_token": true})");
  EXPECT_THAT(VectorOf(Path("adapter")),
              ::testing::Pointwise(::testing::FloatNear(1e-5f), VectorOf(Path("bert"))));
}

TEST_F(CheckpointAnswerer, WithoutAHeadItIsAnOnnxThatMakesTheSameVectors) {
  std::filesystem::create_directory(Path("onnx"));
  const auto report = exports::Export(
      {.source = Path("bert"), .directory = Path("onnx"), .format = exports::Format::kOnnx});
  ASSERT_THAT(report, IsOk());
  EXPECT_LE(report->difference, 1e-5);
}

TEST_F(CheckpointAnswerer, APoolingThatIsNotKnownIsRefused) {
  Write("bert/1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  EXPECT_THAT(predict::Predictor::Load(Path("bert"), 2),
              StatusIs(kInvalid, HasSubstr("`pooling_mode_max_tokens` is not known")));
}

}  // namespace
}  // namespace hone::engine::train
