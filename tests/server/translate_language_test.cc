// Jobs that write: language models, translations, masked words.
#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/jobs/resolve.h"
#include "server/translate/job.h"
#include "server/translate/prediction.h"
#include "tests/server/translate_testing.h"

namespace hone::server::translate {
namespace {

using ::testing::ElementsAre;
namespace tasks = engine::tasks;

constexpr char kWritten[] =
    R"({"language_modeling": {"window": "64", "z_loss": 0.125},
        "data": {"dataset": "tiny-shakespeare", "validation_fraction": 0.2},
        "training": {"steps": 10},
        "model": {"preset": {"gpt": {"layers": "6", "heads": "8", "width": "64", "dropout": 0.25,
                                     "positions": "ROTARY", "tied_embeddings": false,
                                     "use_bias": true}}}})";

TEST(ToTrainingConfig, TakesALanguageModelThatCarriesItsState) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"carry_state": true}, "data": {"dataset": "tiny-shakespeare"},
          "training": {"steps": 10},
          "model": {"layers": [{"inputs": ["tokens"], "embedding": {"width": 8}},
                               {"lstm": {"units": 8, "return_sequences": true}},
                               {"dense": {"units": 9}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(std::get<tasks::LanguageModelingOptions>(config->task).carry_state);
}

TEST(ToTrainingConfig, TakesALanguageModelOfPackedDocuments) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"documents": "PACKED"}, "data": {"dataset": "stories"},
          "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kPacked);
}

TEST(ToTrainingConfig, TakesALanguageModel) {
  const auto config = ToTrainingConfig(RequestOf(kWritten));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).window, 64);
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).z_loss, 0.125f);
  EXPECT_FALSE(std::get<tasks::LanguageModelingOptions>(config->task).carry_state);
  EXPECT_EQ(config->data.task, engine::data::Task::kLanguageModeling);
  EXPECT_EQ(config->data.validation_fraction, 0.2);
  EXPECT_EQ(config->data.test_fraction, 0);
  EXPECT_TRUE(std::holds_alternative<engine::text::CharacterTokens>(config->data.text->tokenizer));
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "gpt");
  EXPECT_EQ(config->model.preset.options,
            R"({"dropout":0.25,"heads":8,"layers":6,"positions":"rotary","tied_embeddings":false,)"
            R"("use_bias":true,"width":64,"window":64})");
}

// Of a job with the task translation and this preset.
v1::WorkerRequest TranslatesWith(const std::string& preset) {
  return RequestOf(absl::StrCat(
      R"({"translation": {}, "data": {"dataset": "x"}, "training": {"epochs": 1},
          "model": {"preset": )",
      preset, "}}"));
}

TEST(ToTrainingConfig, TakesARecurrentNetThatTranslates) {
  const auto config = ToTrainingConfig(TranslatesWith(
      R"({"seq2seq": {"cell": "LSTM", "units": "64", "attention": "LUONG", "dropout": 0.25,
                      "bidirectional": true, "layers": "3", "input_feeding": true}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->model.inputs,
              ElementsAre("source_tokens", "source_offsets", "tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "seq2seq");
  EXPECT_EQ(config->model.preset.options,
            R"({"attention":"luong","bidirectional":true,"cell":"lstm","dropout":0.25,)"
            R"("embedding":64,"input_feeding":true,"layers":3,"units":64})");
}

TEST(ToTrainingConfig, TakesATransformerThatTranslates) {
  const auto config = ToTrainingConfig(TranslatesWith(
      R"({"transformer_translation": {"layers": "2", "width": "64", "dropout": 0.5,
                                      "norm_first": true, "tied_embeddings": true}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model.preset.name, "transformer_translation");
  EXPECT_EQ(config->model.preset.options,
            R"({"dropout":0.5,"feed_forward":256,"heads":8,"layers":2,"norm_first":true,)"
            R"("tied_embeddings":true,"width":64})");
}

TEST(ToTrainingConfig, TakesHowItTranslates) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"translation": {"label_smoothing": 0.25, "beams": "4", "length_penalty": 0.6,
                          "longest": "30", "evaluation_sentences": "0", "attention_maps": "7",
                          "scheduled_sampling": {"to": 0.4, "steps": "300"}},
          "data": {"dataset": "x"}, "training": {"epochs": 1},
          "model": {"preset": {"seq2seq": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::TranslationOptions>(config->task);
  EXPECT_EQ(task.label_smoothing, 0.25f);
  EXPECT_EQ(task.beams, 4);
  EXPECT_EQ(task.length_penalty, 0.6);
  EXPECT_EQ(task.longest, 30);
  EXPECT_EQ(task.evaluation_sentences, 0);
  EXPECT_EQ(task.attention_maps, 7);
  EXPECT_EQ(task.sampling->from, 0);
  EXPECT_EQ(task.sampling->to, 0.4);
  EXPECT_EQ(task.sampling->steps, 300);
  EXPECT_EQ(config->data.task, engine::data::Task::kTranslation);
  EXPECT_EQ(config->data.validation_fraction, 0.1);
  EXPECT_EQ(config->data.test_fraction, 0.1);
}

TEST(ResolvedTranslation, HasEveryDefaultOfItsTaskWrittenOut) {
  v1::JobSpec spec;
  spec.mutable_translation()->mutable_scheduled_sampling();
  const v1::JobSpec resolved = jobs::Resolve(spec);
  const v1::Translation& task = resolved.translation();
  const tasks::TranslationOptions defaults;
  EXPECT_EQ(task.beams(), defaults.beams);
  EXPECT_EQ(task.length_penalty(), static_cast<float>(defaults.length_penalty));
  EXPECT_EQ(task.longest(), defaults.longest);
  EXPECT_EQ(task.evaluation_sentences(), defaults.evaluation_sentences);
  EXPECT_EQ(task.attention_maps(), defaults.attention_maps);
  const tasks::ScheduledSampling sampling;
  EXPECT_EQ(task.scheduled_sampling().from(), static_cast<float>(sampling.from));
  EXPECT_EQ(task.scheduled_sampling().to(), static_cast<float>(sampling.to));
  EXPECT_EQ(task.scheduled_sampling().steps(), sampling.steps);
  EXPECT_EQ(resolved.data().validation_fraction(), 0.1f);
  EXPECT_EQ(resolved.data().test_fraction(), 0.1f);
}

v1::PredictInput Conversation() {
  v1::PredictInput input;
  for (const auto& [role, content] : {std::pair("system", "be nice"), std::pair("user", "hi"),
                                      std::pair("assistant", "yes"), std::pair("user", "why")}) {
    v1::Writing::Message& message = *input.mutable_writing()->add_messages();
    message.set_role(role);
    message.set_content(content);
  }
  input.mutable_writing()->set_count(9);
  return input;
}

TEST(ToQuestion, AConversationBringsItsMessagesInTheirOrder) {
  const auto question = ToQuestion(Conversation(), "inputs[0]");
  ASSERT_TRUE(question.ok()) << question.status();
  std::vector<std::string> said;
  for (const auto& message : std::get<tasks::WritingQuestion>(*question).messages) {
    said.push_back(message.role + ": " + message.content);
  }
  EXPECT_THAT(said, ElementsAre("system: be nice", "user: hi", "assistant: yes", "user: why"));
}

TEST(ToQuestion, AConversationHasNoPromptOfItsOwn) {
  const auto question = ToQuestion(Conversation(), "inputs[0]");
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(std::get<tasks::WritingQuestion>(*question).prompt, "");
  EXPECT_EQ(std::get<tasks::WritingQuestion>(*question).count, 9);
}

TEST(ToQuestion, ATextBringsItsBeams) {
  v1::PredictInput input;
  input.set_text("one two");
  input.set_beams(4);
  const auto question = ToQuestion(input, "inputs[0]");
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(std::get<tasks::TextQuestion>(*question).text, "one two");
  EXPECT_EQ(std::get<tasks::TextQuestion>(*question).beams, 4);
}

TEST(ToProto, TranslationsKeepTheirOrderAndScores) {
  tasks::Prediction prediction;
  prediction.translations = {{.text = "un", .score = -0.5, .ended = true}, {.text = "deux"}};
  const v1::Prediction::Translated translated = ToProto(prediction).translated();
  ASSERT_EQ(translated.translations_size(), 2);
  EXPECT_EQ(translated.translations(0).text(), "un");
  EXPECT_EQ(translated.translations(0).score(), -0.5);
  EXPECT_TRUE(translated.translations(0).ended());
  EXPECT_EQ(translated.translations(1).text(), "deux");
  EXPECT_FALSE(translated.translations(1).ended());
}

TEST(ResolvedTranslation, TrainsAsTheSpec) {
  for (const char* preset : {R"({"seq2seq": {}})", R"({"transformer_translation": {}})"}) {
    v1::WorkerRequest request = TranslatesWith(preset);
    const auto config = ToTrainingConfig(request);
    *request.mutable_spec() = jobs::Resolve(request.spec());
    const auto resolved = ToTrainingConfig(request);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
  }
}

TEST(ResolvedLanguageModel, HasEveryDefaultWrittenOut) {
  v1::JobSpec spec;
  spec.mutable_language_modeling();
  spec.mutable_model()->mutable_preset()->mutable_gpt();
  const v1::JobSpec resolved = jobs::Resolve(spec);
  EXPECT_EQ(resolved.language_modeling().window(), 128);
  EXPECT_EQ(resolved.data().validation_fraction(), 0.1f);
  EXPECT_TRUE(resolved.data().has_test_fraction());
  EXPECT_EQ(resolved.data().test_fraction(), 0);
  EXPECT_TRUE(resolved.data().text().tokenizer().has_characters());
  const v1::Gpt& gpt = resolved.model().preset().gpt();
  EXPECT_EQ(gpt.layers(), 4);
  EXPECT_EQ(gpt.heads(), 4);
  EXPECT_EQ(gpt.width(), 128);
  EXPECT_EQ(gpt.window(), 128);
  EXPECT_TRUE(gpt.tied_embeddings());
  EXPECT_EQ(gpt.positions(), v1::Gpt::LEARNED);
}

TEST(ResolvedLanguageModel, TrainsAsTheSpec) {
  v1::WorkerRequest request = RequestOf(kWritten);
  const auto config = ToTrainingConfig(request);
  *request.mutable_spec() = jobs::Resolve(request.spec());
  const auto resolved = ToTrainingConfig(request);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
  EXPECT_EQ(resolved->data.test_fraction, config->data.test_fraction);
}

constexpr char kMaskedTexts[] =
    R"({"masked_language_modeling": {}, "data": {"dataset": "x", "text": {"max_tokens": "40"}},
        "training": {"steps": 10},
        "model": {"preset": {"transformer_encoder": {"layers": "2", "heads": "8", "width": "64",
            "norm": "POST", "embedding_norm": true, "epsilon": 0.5, "activation": "RELU",
            "dropout": 0.25, "pooling": "FIRST", "pooler": true}}}})";

TEST(ToTrainingConfig, TakesAModelOfMaskedWords) {
  const auto config = ToTrainingConfig(RequestOf(kMaskedTexts));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::MaskedLanguageModelingOptions>(config->task).window, 0);
  EXPECT_EQ(config->data.task, engine::data::Task::kLanguageModeling);
  EXPECT_EQ(config->data.validation_fraction, 0.1);
  EXPECT_EQ(config->data.test_fraction, 0);
  EXPECT_TRUE(std::holds_alternative<engine::text::WordTokens>(config->data.text->tokenizer));
  EXPECT_EQ(config->data.text->like, nullptr);
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_EQ(config->model.preset.name, "transformer_encoder");
  EXPECT_EQ(config->model.preset.options,
            R"({"activation":"relu","dropout":0.25,"embedding_norm":true,"epsilon":0.5,"heads":8,)"
            R"("hidden":256,"layers":2,"length":40,"norm":"post","pooler":true,"pooling":"first",)"
            R"("positions":"learned","width":64})");
}

TEST(ResolvedModelOfMaskedWords, TrainsAsTheSpec) {
  for (const char* window : {"0", "16"}) {
    v1::WorkerRequest request =
        RequestOf(absl::StrCat(R"({"masked_language_modeling": {"window": ")", window,
                               R"("}, "data": {"dataset": "x"}, "training": {"steps": 10},
            "model": {"preset": {"transformer_encoder": {"positions": "ROTARY"}}}})"));
    const auto config = ToTrainingConfig(request);
    ASSERT_TRUE(config.ok()) << config.status();
    *request.mutable_spec() = jobs::Resolve(request.spec());
    const auto resolved = ToTrainingConfig(request);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->model.preset.options, config->model.preset.options);
    EXPECT_EQ(resolved->data.test_fraction, config->data.test_fraction);
    EXPECT_EQ(resolved->data.validation_fraction, config->data.validation_fraction);
  }
}

TEST(ResolvedJob, DoesNotSayTheTokensThatAreThoseOfAnEarlierModel) {
  v1::JobSpec spec;
  spec.mutable_classification();
  spec.mutable_data()->mutable_text()->set_max_tokens(9);
  spec.mutable_model()->mutable_pretrained();
  EXPECT_FALSE(jobs::Resolve(spec).data().text().has_tokenizer());
  EXPECT_FALSE(jobs::Resolve(spec).data().text().has_cleaning());
  spec.mutable_data()->mutable_text()->mutable_tokenizer()->mutable_characters();
  EXPECT_TRUE(jobs::Resolve(spec).data().text().has_cleaning());
}

TEST(ToLoadOptions, TakesConversations) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"language_modeling": {"documents": "PACKED"},
          "data": {"dataset": "chats", "chat": {"template": "ALPACA", "system": "", "learn": "ALL",
                                                "max_tokens": 9}},
          "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kPackedChats);
  ASSERT_TRUE(config->data.chat.has_value());
  EXPECT_EQ(config->data.chat->kind, engine::text::ChatTemplate::Kind::kAlpaca);
  EXPECT_EQ(config->data.chat->system, "");
  EXPECT_TRUE(config->data.chat->learn_all);
  EXPECT_EQ(config->data.chat->max_tokens, 9);
}

TEST(ToLoadOptions, TakesEachTemplateOfConversations) {
  using Kind = engine::text::ChatTemplate::Kind;
  for (const auto& [name, kind] :
       {std::pair("CHATML", Kind::kChatMl), std::pair("LLAMA3", Kind::kLlama3),
        std::pair("ALPACA", Kind::kAlpaca), std::pair("PLAIN", Kind::kPlain),
        std::pair("CHATML_TOOLS", Kind::kChatMlTools), std::pair("LLAMA31", Kind::kLlama31)}) {
    const auto config = ToTrainingConfig(RequestOf(absl::StrCat(
        R"({"language_modeling": {}, "data": {"dataset": "chats", "chat": {"template": ")", name,
        R"("}}, "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})")));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->data.chat->kind, kind) << name;
  }
}

TEST(ToTrainingConfig, TakesConversationsAsTheCheckpointHasThem) {
  const auto config = ToTrainingConfig(
      RequestOf(R"({"language_modeling": {}, "data": {"dataset": "chats", "chat": {}},
                    "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(std::get<tasks::LanguageModelingOptions>(config->task).documents,
            tasks::Documents::kChats);
  EXPECT_FALSE(config->data.chat->kind.has_value());
  EXPECT_FALSE(config->data.chat->system.has_value());
}

TEST(ToTrainingConfig, TakesPreferences) {
  const auto config =
      ToTrainingConfig(RequestOf(R"({"preference_optimization": {"beta": 0.25, "window": "96"},
                    "data": {"dataset": "x", "chat": {"max_tokens": "9"}},
                    "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::PreferenceOptimizationOptions>(config->task);
  EXPECT_EQ(task.beta, 0.25f);
  EXPECT_EQ(task.window, 96);
  EXPECT_EQ(config->data.chat->max_tokens, 9);
  EXPECT_EQ(config->data.test_fraction, 0);
  EXPECT_NEAR(config->data.validation_fraction, 0.1, 1e-6);
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
  EXPECT_THAT(config->model.preset.options, ::testing::HasSubstr("96"));
}

TEST(ToTrainingConfig, GivesPreferencesWhatIsNotSaid) {
  const auto config =
      ToTrainingConfig(RequestOf(R"({"preference_optimization": {}, "data": {"dataset": "x"},
                    "training": {"steps": 10}, "model": {"preset": {"gpt": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::PreferenceOptimizationOptions>(config->task);
  EXPECT_EQ(task.beta, 0.1f);
  EXPECT_EQ(task.window, 512);
  EXPECT_TRUE(config->data.chat.has_value());
}

TEST(ToTrainingConfig, TakesVectorsOfPairsOfTexts) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"text_embedding": {"pooling": "FIRST", "scale": 10}, "training": {"steps": 10},
          "data": {"dataset": "x", "text": {"second_columns": ["b"], "max_tokens": "40"}},
          "model": {"preset": {"transformer_encoder": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::TextEmbeddingOptions>(config->task);
  EXPECT_EQ(task.pooling, tasks::TextEmbeddingOptions::Pooling::kFirst);
  EXPECT_EQ(task.scale, 10);
  EXPECT_EQ(config->data.task, engine::data::Task::kTextPairs);
  EXPECT_THAT(config->model.inputs, ElementsAre("tokens", "offsets"));
}

TEST(ToTrainingConfig, TakesTheColumnsOfHardNegatives) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"text_embedding": {}, "training": {"steps": 10},
          "data": {"dataset": "x", "text": {"second_columns": ["b"], "negative_columns": ["c"]}},
          "model": {"preset": {"transformer_encoder": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->data.text->negative_columns, ElementsAre("c"));
}

TEST(ToTrainingConfig, TakesTagsOfWords) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"token_tagging": {}, "training": {"steps": 10}, "data": {"dataset": "x"},
          "model": {"preset": {"transformer_encoder": {"length": "64"}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(std::holds_alternative<tasks::TokenTaggingOptions>(config->task));
  EXPECT_EQ(config->data.task, engine::data::Task::kTokenTagging);
  EXPECT_TRUE(config->data.text.has_value());
}

TEST(ToTrainingConfig, TakesSeveralClassesOfAText) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"multi_label_classification": {"separator": "|", "threshold": 0.25},
          "training": {"steps": 10}, "data": {"dataset": "x", "text": {"max_tokens": "40"}},
          "model": {"preset": {"transformer_encoder": {}}}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& task = std::get<tasks::MultiLabelClassificationOptions>(config->task);
  EXPECT_EQ(task.separator, "|");
  EXPECT_EQ(task.threshold, 0.25f);
  EXPECT_EQ(config->data.task, engine::data::Task::kMultiLabel);
}

}  // namespace
}  // namespace hone::server::translate
