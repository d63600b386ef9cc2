#include "server/jobs/validate.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "tests/support/status_matchers.h"

namespace hone::server::jobs {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr Limits kServer = {.max_threads = 4, .bf16 = false};

v1::JobSpec Sound() {
  v1::JobSpec spec;
  spec.mutable_classification();
  spec.mutable_data()->set_dataset("mnist");
  spec.mutable_model()->add_layers()->mutable_flatten();
  spec.mutable_model()->add_layers()->mutable_dense()->set_units(10);
  spec.mutable_training()->set_epochs(1);
  return spec;
}

// A sound spec with the given fields merged in; `layers` are added to its two.
v1::JobSpec With(const std::string& text) {
  v1::JobSpec spec = Sound();
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

std::vector<std::string> Paths(const v1::JobSpec& spec) {
  std::vector<std::string> paths;
  const FieldErrors errors = CheckSpec(spec, kServer);
  for (const FieldError& error : errors.all()) {
    paths.push_back(error.path);
  }
  return paths;
}

TEST(Validate, ASoundSpecPasses) { EXPECT_THAT(Validate(Sound(), kServer), IsOk()); }

TEST(Validate, ASoundImageGenerationPasses) {
  v1::JobSpec spec = Sound();
  spec.mutable_image_generation();
  spec.clear_model();
  spec.mutable_model()->mutable_preset()->mutable_dcgan();
  EXPECT_THAT(Validate(spec, kServer), IsOk());
  spec.clear_model();
  for (const char* name : {"generator", "discriminator"}) {
    v1::Network& network = *spec.mutable_model()->add_networks();
    network.set_name(name);
    network.add_layers()->mutable_flatten();
  }
  EXPECT_THAT(Validate(spec, kServer), IsOk());
}

TEST(Validate, AnEmptySpecNamesEverythingThatIsMissing) {
  EXPECT_THAT(Paths(v1::JobSpec()),
              ::testing::UnorderedElementsAre("task", "data.dataset", "model.layers", "training"));
}

TEST(Validate, SaysWhatWouldBeRightAndWhatItGot) {
  EXPECT_THAT(Validate(With("training { batch_size: 0 }"), kServer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "training.batch_size: must be between 1 and 65536, got 0"));
}

TEST(Validate, AllErrorsComeAtOnceWithTheirPaths) {
  const absl::Status status =
      Validate(With("training { batch_size: 0 optimizer { adam { learning_rate: 0 } } }"), kServer);
  google::rpc::BadRequest details;
  ASSERT_TRUE(details.ParseFromString(std::string(*status.GetPayload(kBadRequestUrl))));
  ASSERT_EQ(details.field_violations_size(), 2);
  EXPECT_EQ(details.field_violations(1).field(), "training.optimizer.adam.learning_rate");
}

// A language model with these fields merged in.
v1::JobSpec Written(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(language_modeling {} data { dataset: "x" } training { steps: 9 })", &spec));
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, ALanguageModelIsAPresetOrLayersThatReadTokens) {
  EXPECT_THAT(Validate(Written("model { preset { gpt {} } }"), kServer), IsOk());
  EXPECT_THAT(Validate(Written(R"(model {
                  layers { inputs: "tokens" embedding { width: 4 } }
                  layers { dense { units: 9 } } }
                training { schedule { plateau {} } })"),
                       kServer),
              IsOk());
  EXPECT_THAT(Paths(Written("model { preset { gan {} } }")),
              ::testing::ElementsAre("model.preset"));
  EXPECT_THAT(Paths(Written("model { preset { gpt {} } layers { dense { units: 9 } } }")),
              ::testing::ElementsAre("model"));
}

TEST(Validate, ALanguageModelOfPackedDocumentsReadsTexts) {
  const std::string gpt = "model { preset { gpt {} } } ";
  EXPECT_THAT(Validate(Written(gpt + R"(language_modeling { documents: PACKED }
                               data { text { columns: "story" min_characters: 5 } })"),
                       kServer),
              IsOk());
  EXPECT_THAT(
      Paths(Written(R"(language_modeling { documents: PACKED carry_state: true }
                       data { text { max_tokens: 9 } }
                       model { layers { inputs: "tokens" embedding { width: 4 } }
                               layers { dense { units: 9 } } })")),
      ::testing::UnorderedElementsAre("language_modeling.carry_state", "data.text.max_tokens"));
  EXPECT_THAT(Paths(Written(gpt + "language_modeling { documents: 7 }")),
              ::testing::ElementsAre("language_modeling.documents"));
}

TEST(Validate, ALanguageModelOfConversationsGoesOnFromACheckpoint) {
  const std::string pretrained = R"(model { pretrained { model: "models/a" } } )";
  EXPECT_THAT(
      Validate(Written(pretrained + R"(data { chat { template: CHATML system: "Be\nkind." } })"),
               kServer),
      IsOk());
  EXPECT_THAT(Validate(Written(pretrained + R"(language_modeling { documents: PACKED }
                               data { chat { learn: ALL max_tokens: 60 } })"),
                       kServer),
              IsOk());
  EXPECT_THAT(Paths(Written("model { preset { gpt {} } } data { chat {} }")),
              ::testing::ElementsAre("model.pretrained"));
}

TEST(Validate, WhatConversationsCannotBeIsNamed) {
  EXPECT_THAT(Paths(Written(R"(model { pretrained { model: "models/a" } }
                       language_modeling { documents: JOINED carry_state: true }
                       data { text { min_characters: 1 }
                              chat { template: 9 learn: 9 max_tokens: 1 } })")),
              ::testing::UnorderedElementsAre(
                  "language_modeling.documents", "language_modeling.carry_state", "data.text",
                  "data.chat.template", "data.chat.learn", "data.chat.max_tokens"));
}

TEST(Validate, WhatALanguageModelCannotBeIsNamed) {
  EXPECT_THAT(Paths(Written(R"(language_modeling { window: 0 }
                       data { limit: 5 text { columns: "a" max_tokens: 3 } }
                       model { preset { gpt { heads: 3 dropout: 1 positions: 9 layers: 0 } } })")),
              ::testing::UnorderedElementsAre(
                  "language_modeling.window", "data.text.columns", "data.text.max_tokens",
                  "data.limit", "model.preset.gpt.layers", "model.preset.gpt.heads",
                  "model.preset.gpt.dropout", "model.preset.gpt.positions"));
  EXPECT_THAT(Paths(Written("language_modeling { z_loss: 1 }")),
              ::testing::Contains("language_modeling.z_loss"));
  EXPECT_THAT(Paths(Written("language_modeling { carry_state: true } model { preset { gpt {} } }")),
              ::testing::ElementsAre("language_modeling.carry_state"));
  EXPECT_THAT(Paths(Written("model { preset { gpt { window: 64 } } }")),
              ::testing::ElementsAre("model.preset.gpt.window"));
  EXPECT_THAT(Paths(Written("model { preset { gpt { window: 64 positions: ROTARY } } }")),
              ::testing::IsEmpty());
}

// A model that translates, with these fields.
v1::JobSpec Translating(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat(R"(translation {} data { dataset: "x" } training { epochs: 1 } )", text), &spec))
      << text;
  return spec;
}

TEST(Validate, AModelThatTranslatesIsOneOfTwoPresets) {
  EXPECT_THAT(Validate(Translating("model { preset { seq2seq {} } }"), kServer), IsOk());
  EXPECT_THAT(Validate(Translating("model { preset { transformer_translation {} } }"), kServer),
              IsOk());
  EXPECT_THAT(Paths(Translating("model { preset { gpt {} } }")),
              ::testing::ElementsAre("model.preset"));
  EXPECT_THAT(Paths(Translating("model { layers { dense { units: 9 } } }")),
              ::testing::ElementsAre("model", "model.preset"));
  EXPECT_THAT(Paths(Written("model { preset { seq2seq {} } }")),
              ::testing::ElementsAre("model.preset"));
}

TEST(Validate, HowSomethingCannotBeTranslatedIsNamed) {
  v1::JobSpec spec = Translating("model { preset { seq2seq {} } }");
  v1::Translation& task = *spec.mutable_translation();
  task.set_label_smoothing(1);
  task.set_beams(17);
  task.set_length_penalty(-1);
  task.set_longest(0);
  task.set_evaluation_sentences(-1);
  task.set_attention_maps(101);
  task.mutable_scheduled_sampling()->set_from(-1);
  task.mutable_scheduled_sampling()->set_to(2);
  task.mutable_scheduled_sampling()->set_steps(0);
  spec.mutable_data()->add_classes("a");
  EXPECT_THAT(
      Paths(spec),
      ::testing::UnorderedElementsAre(
          "translation.label_smoothing", "translation.beams", "translation.length_penalty",
          "translation.longest", "translation.evaluation_sentences", "translation.attention_maps",
          "translation.scheduled_sampling.from", "translation.scheduled_sampling.to",
          "translation.scheduled_sampling.steps", "data.classes"));
}

TEST(Validate, WhatAModelThatTranslatesCannotBeIsNamed) {
  EXPECT_THAT(
      Paths(Translating(R"(model { preset { seq2seq {
                  cell: 9 attention: 9 layers: 0 units: 0 embedding: 0 dropout: 1 } } })")),
      ::testing::ElementsAre("model.preset.seq2seq.cell", "model.preset.seq2seq.attention",
                             "model.preset.seq2seq.layers", "model.preset.seq2seq.units",
                             "model.preset.seq2seq.embedding", "model.preset.seq2seq.dropout"));
  EXPECT_THAT(Paths(Translating("model { preset { seq2seq { input_feeding: true } } }")),
              ::testing::ElementsAre("model.preset.seq2seq.input_feeding"));
  EXPECT_THAT(Paths(Translating(R"(model { preset { seq2seq {
                  attention: LUONG input_feeding: true layers: 2 } } })")),
              ::testing::ElementsAre("model.preset.seq2seq.input_feeding"));
  EXPECT_THAT(Paths(Translating(R"(model { preset { transformer_translation {
                  layers: 0 heads: 3 feed_forward: 0 dropout: 1 } } })")),
              ::testing::ElementsAre("model.preset.transformer_translation.layers",
                                     "model.preset.transformer_translation.heads",
                                     "model.preset.transformer_translation.feed_forward",
                                     "model.preset.transformer_translation.dropout"));
}

TEST(Validate, LearnedPositionsAreAsManyAsTheWindowHasTokens) {
  const auto written = [](const std::string& positions) {
    return Paths(Written(absl::StrCat(R"(language_modeling { window: 64 } model {
                    layers { inputs: "tokens" embedding { width: 4 } }
                    layers { )",
                                      positions, " } layers { dense { units: 9 } } }")));
  };
  EXPECT_THAT(written("positions { length: 63 }"),
              ::testing::ElementsAre("model.layers[1].positions.length"));
  EXPECT_THAT(written("repeat { times: 2 layers { positions { length: 63 } } }"),
              ::testing::ElementsAre("model.layers[1].repeat.layers[0].positions.length"));
  EXPECT_THAT(written("positions { length: 64 }"), ::testing::IsEmpty());
  EXPECT_THAT(written("positions { kind: SINUSOIDAL }"), ::testing::IsEmpty());
}

v1::JobSpec Parsed(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}
const std::string kEncoderOfTexts =
    R"( training { epochs: 1 } model { preset { transformer_encoder { length: 64 } } })";

TEST(Validate, VectorsAreMadeOfPairsOfTexts) {
  const std::string data = R"(data { dataset: "x" text { second_columns: "b" max_tokens: 4 } })";
  EXPECT_THAT(Validate(Parsed("text_embedding {}" + data + kEncoderOfTexts), kServer), IsOk());
  EXPECT_THAT(
      Paths(Parsed(R"(text_embedding { pooling: 9 scale: -1 } data { dataset: "x" text {} })" +
                   kEncoderOfTexts)),
      ::testing::UnorderedElementsAre("text_embedding.pooling", "text_embedding.scale",
                                      "data.text.second_columns"));
}

TEST(Validate, TagsAreOfSingleSentences) {
  const std::string task = "token_tagging {} ";
  EXPECT_THAT(Validate(Parsed(task + R"(data { dataset: "x" })" + kEncoderOfTexts), kServer),
              IsOk());
  EXPECT_THAT(Paths(Parsed(task + R"(data { dataset: "x" deduplicate: true
                                            text { near_copies: 0.5 columns: "a" columns: "b" } })" +
                           kEncoderOfTexts)),
              ::testing::UnorderedElementsAre("data.deduplicate", "data.text.near_copies",
                                              "data.text.columns"));
}

TEST(Validate, SeveralClassesAreOfTexts) {
  EXPECT_THAT(Validate(Parsed(R"(multi_label_classification {} data { dataset: "x" text {} })" +
                              kEncoderOfTexts),
                       kServer),
              IsOk());
  EXPECT_THAT(Paths(Parsed(R"(multi_label_classification { threshold: 1 } data { dataset: "x" })" +
                           kEncoderOfTexts)),
              ::testing::UnorderedElementsAre("multi_label_classification.threshold", "data.text"));
}

// A job that finds masked words, with these fields merged in.
v1::JobSpec Masked(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(masked_language_modeling {} data { dataset: "x" } training { steps: 9 })", &spec));
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, AModelOfMaskedWordsIsAnEncoderOrLayersThatReadTokens) {
  const std::string encoder = "model { preset { transformer_encoder {} } } ";
  EXPECT_THAT(Paths(Masked(encoder + "data { text { columns: \"a\" max_tokens: 64 } limit: 5 }")),
              ::testing::IsEmpty());
  EXPECT_THAT(Paths(Masked(encoder + "masked_language_modeling { window: 64 }")),
              ::testing::IsEmpty());
  EXPECT_THAT(Paths(Masked("model { layers { embedding { width: 4 } } }")), ::testing::IsEmpty());
  EXPECT_THAT(Paths(Masked("model { preset { gpt {} } }")), ::testing::ElementsAre("model.preset"));
}

TEST(Validate, WhatAModelOfMaskedWordsCannotBeIsNamed) {
  EXPECT_THAT(
      Paths(Masked(R"(masked_language_modeling { window: 8 }
                      data { deduplicate: true text { max_tokens: 3 } }
                      model { preset { transformer_encoder { heads: 3 layers: 0 dropout: 1 hidden: 0
                        length: 7 norm: 9 activation: 9 pooling: 9 epsilon: 0 } } })")),
      ::testing::UnorderedElementsAre(
          "data.deduplicate", "data.text.max_tokens", "model.preset.transformer_encoder.heads",
          "model.preset.transformer_encoder.layers", "model.preset.transformer_encoder.dropout",
          "model.preset.transformer_encoder.hidden", "model.preset.transformer_encoder.length",
          "model.preset.transformer_encoder.norm", "model.preset.transformer_encoder.activation",
          "model.preset.transformer_encoder.pooling", "model.preset.transformer_encoder.epsilon"));
  EXPECT_THAT(Paths(Masked("masked_language_modeling { window: -1 } model { preset { "
                           "transformer_encoder { positions: ROTARY } } }")),
              ::testing::ElementsAre("masked_language_modeling.window"));
}

TEST(Validate, LearnedPlacesMustBeAsManyAsATextHasTokens) {
  EXPECT_THAT(Paths(Masked("model { preset { transformer_encoder {} } }")),
              ::testing::ElementsAre("model.preset.transformer_encoder.length"));
  EXPECT_THAT(Paths(Masked("model { preset { transformer_encoder { positions: SINUSOIDAL } } }")),
              ::testing::IsEmpty());
}

// A recommendation with these fields merged in.
v1::JobSpec Tastes(const std::string& text) {
  v1::JobSpec spec = With(R"(recommendation {} model { layers {
      name: "user_factors" inputs: "user" embedding { width: 4 } } })");
  spec.mutable_model()->mutable_layers()->DeleteSubrange(0, 2);
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, LayersOfARecommendationReadUsersAndItems) {
  EXPECT_THAT(Validate(Tastes(R"(model {
        layers { name: "item_factors" inputs: "item" embedding { width: 4 rows: 100 } }
        layers { inputs: "user_factors" inputs: "item_factors" dot {} } }
      data { ratings { split: BY_TIME time: "when" at_least: 3 ids: NUMBERS } })"),
                       kServer),
              IsOk());
  EXPECT_THAT(
      Validate(Tastes(R"(model { layers { name: "item" inputs: "input" dense { units: 1 } } })"),
               kServer),
      StatusIs(absl::StatusCode::kInvalidArgument,
               ::testing::AllOf(HasSubstr(R"(must be "user", "item" or the name)"),
                                HasSubstr(R"("item" is an input)"))));
}

TEST(Validate, WhatARecommendationCannotBeIsNamed) {
  EXPECT_THAT(
      Paths(Tastes(R"(recommendation { feedback: 9 negatives: 0 }
                              data { ratings { ids: 9 split: 9 } }
                              model { layers { inputs: "user" dot {} }
                                      layers { inputs: "item" embedding { rows: -1 } } })")),
      ::testing::ElementsAre("recommendation.feedback", "recommendation.negatives",
                             "data.ratings.ids", "data.ratings.split", "model.layers[1].inputs",
                             "model.layers[2].embedding.width", "model.layers[2].embedding.rows"));
}

// A forecast with these fields merged in.
v1::JobSpec Forecast(const std::string& text) {
  v1::JobSpec spec = With(R"(forecasting {} data { series { window: 24 } }
      model { layers { gru { units: 8 } } layers { dense { units: 12 } } })");
  spec.mutable_model()->mutable_layers()->DeleteSubrange(0, 2);
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, AForecastIsOfASeries) {
  EXPECT_THAT(Validate(Forecast(R"(data { series { target: "sold" columns: "rain" time: "month"
                                    horizon: 12 step: 2 period: 12 scaling: LOG_STANDARD
                                    base: SEASONAL } })"),
                       kServer),
              IsOk());
}

TEST(Validate, WhatAForecastCannotBeIsNamed) {
  EXPECT_THAT(Paths(Forecast(R"(forecasting { loss: 9 huber_delta: 0 }
                                data { limit: 5 deduplicate: true fold { count: 2 index: 1 }
                                       series { window: -1 horizon: 0 step: 0 period: 0 scaling: 9
                                                base: SEASONAL } })")),
              ::testing::UnorderedElementsAre("forecasting.loss", "forecasting.huber_delta",
                                              "data.series.window", "data.series.horizon",
                                              "data.series.step", "data.series.period",
                                              "data.series.scaling", "data.series.base",
                                              "data.fold", "data.limit", "data.deduplicate"));
}

TEST(Validate, AForecastNeedsAWindow) {
  v1::JobSpec spec = Forecast("");
  spec.mutable_data()->clear_series();
  EXPECT_THAT(Validate(spec, kServer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("data.series.window: must be between 1 and 1048576, got 0")));
}

TEST(Validate, ASeriesIsForForecastsAlone) {
  EXPECT_THAT(Paths(With("data { series { window: 3 } }")), ::testing::ElementsAre("data.series"));
}

TEST(Validate, FoldsOfRatingsAreDrawnAtRandom) {
  EXPECT_THAT(Paths(Tastes(R"(data { fold { count: 5 index: 1 } ratings { split: BY_TIME } })")),
              ::testing::ElementsAre("data.fold"));
  EXPECT_THAT(
      Validate(Tastes("data { fold { count: 5 index: 1 } ratings { split: RANDOM } }"), kServer),
      IsOk());
}

TEST(Validate, WhatPairsCannotBeIsNamed) {
  const auto paths = [](const std::string& pairs) {
    return Paths(With(absl::StrCat("translation {} data { pairs { ", pairs, " } }")));
  };
  const std::vector<std::string> found = paths(R"(
      source: "en" target: "en" encoding: 9 cleaning { normalization: 9 }
      max_source_tokens: -1 max_target_tokens: 9999999 first: -1
      source_tokenizer { words { vocabulary: 3 } } target_tokenizer { words { split: 9 } }
      near_copies: 1.5 keep: 9 augmentation { word_dropout: 1 swap: -1 })");
  for (const char* path :
       {"data.pairs.target", "data.pairs.encoding", "data.pairs.cleaning.normalization",
        "data.pairs.max_source_tokens", "data.pairs.max_target_tokens", "data.pairs.first",
        "data.pairs.source_tokenizer.words.vocabulary", "data.pairs.target_tokenizer.words.split",
        "data.pairs.near_copies", "data.pairs.keep", "data.pairs.augmentation.word_dropout",
        "data.pairs.augmentation.swap"}) {
    EXPECT_THAT(found, Contains(path));
  }
  EXPECT_THAT(paths(R"(source: "en")"), Contains("data.pairs.target"));
  EXPECT_THAT(paths(R"(source: "en" target: "fr")"),
              ::testing::Not(Contains(::testing::StartsWith("data.pairs"))));
}

TEST(Validate, PairsAreForTranslationAlone) {
  EXPECT_THAT(Paths(With("data { pairs {} }")), ::testing::ElementsAre("data.pairs"));
}

// A classification of texts with these fields merged in.
v1::JobSpec OfTexts(const std::string& text) {
  v1::JobSpec spec = With("data { text {} } model { layers { embedding { width: 4 } } }");
  spec.mutable_model()->mutable_layers()->DeleteSubrange(0, 2);
  v1::JobSpec change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  spec.MergeFrom(change);
  return spec;
}

TEST(Validate, LayersOfTextsReadTokens) {
  EXPECT_THAT(
      Validate(OfTexts(R"(model { layers { inputs: "tokens" embedding { width: 2 } } })"), kServer),
      IsOk());
  EXPECT_THAT(
      Validate(OfTexts(R"(model { layers { inputs: "input" dense { units: 1 } } })"), kServer),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(R"(must be "tokens" or the name)")));
}

TEST(Validate, LayersOfPairsOfTextsReadSegmentsToo) {
  const std::string layer =
      R"(model { layers { inputs: "segments" embedding { width: 2 rows: 2 } } })";
  EXPECT_THAT(Validate(OfTexts("data { text { second_columns: \"b\" } } " + layer), kServer),
              IsOk());
  EXPECT_THAT(Validate(OfTexts(layer), kServer),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(R"(must be "tokens")")));
  EXPECT_THAT(Paths(OfTexts(R"(data { text { second_columns: "b" max_tokens: 4 } })")),
              ::testing::ElementsAre("data.text.max_tokens"));
}

TEST(Validate, ClassesOfTextsMayBeFoundByAnEncoder) {
  v1::JobSpec spec = OfTexts("data { text { max_tokens: 50 } }");
  spec.mutable_model()->clear_layers();
  spec.mutable_model()->mutable_preset()->mutable_transformer_encoder();
  EXPECT_THAT(Paths(spec), ::testing::IsEmpty());
  spec.mutable_data()->mutable_text()->add_second_columns("b");
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("data.text.second_columns"));
  spec.mutable_data()->clear_text();
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("model.preset"));
}

TEST(Validate, WhatTextsCannotBeIsNamed) {
  EXPECT_THAT(Paths(OfTexts(
                  R"(data { text { encoding: 9 cleaning { normalization: 9 } min_characters: 5
                           max_characters: 4 near_copies: 1.5 keep: 9 max_tokens: -1
                           augmentation { character_noise: -0.1 word_dropout: 1 unknown: 2 swap: 1 }
                           tokenizer { words { vocabulary: 3 min_count: 0 split: 9 } } } })")),
              ::testing::ElementsAre(
                  "data.text.encoding", "data.text.cleaning.normalization",
                  "data.text.max_characters", "data.text.near_copies", "data.text.keep",
                  "data.text.tokenizer.words.vocabulary", "data.text.tokenizer.words.min_count",
                  "data.text.tokenizer.words.split", "data.text.max_tokens",
                  "data.text.augmentation.character_noise", "data.text.augmentation.word_dropout",
                  "data.text.augmentation.unknown", "data.text.augmentation.swap"));
}

TEST(Validate, WhatSentencePiecesCannotBeIsNamed) {
  EXPECT_THAT(Paths(OfTexts(R"(data { text { tokenizer { sentencepiece {
                  model: 9 vocabulary: 3 character_coverage: 1.5 } } } })")),
              ::testing::ElementsAre("data.text.tokenizer.sentencepiece.model",
                                     "data.text.tokenizer.sentencepiece.vocabulary",
                                     "data.text.tokenizer.sentencepiece.character_coverage"));
  // Each byte is a token.
  EXPECT_THAT(Paths(OfTexts(R"(data { text { tokenizer { sentencepiece {
                  vocabulary: 259 byte_fallback: true } } } })")),
              ::testing::ElementsAre("data.text.tokenizer.sentencepiece.vocabulary"));
}

TEST(Validate, TextsAreForClassificationAndRegressionAlone) {
  EXPECT_THAT(Paths(Tastes("data { text {} }")), ::testing::Contains("data.text"));
}

TEST(Validate, RatingsAreForRecommendationsAlone) {
  EXPECT_THAT(Paths(With(R"(data { ratings { user: "who" } })")),
              ::testing::ElementsAre("data.ratings"));
}

TEST(Validate, ADataSetNeedsNoNameWhereItIsGivenBesideTheSpec) {
  v1::JobSpec spec = Sound();
  spec.mutable_data()->clear_dataset();
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("data.dataset"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_data = true}), IsOk());
}

TEST(Validate, AModelNeedsNoNameWhereItIsGivenBesideTheSpec) {
  v1::JobSpec spec = Sound();
  spec.mutable_model()->mutable_pretrained();
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("model.pretrained"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_model = true}), IsOk());
}

TEST(Validate, NamesWhatIsWrongOfAdapters) {
  v1::JobSpec spec = Sound();
  v1::Pretrained& pretrained = *spec.mutable_model()->mutable_pretrained();
  pretrained.set_model("models/a");
  v1::Lora& lora = *pretrained.mutable_lora();
  EXPECT_THAT(Validate(spec, {.max_threads = 4}), IsOk());
  lora.set_rank(0);
  lora.set_alpha(-1);
  lora.set_dropout(1);
  lora.add_targets("");
  EXPECT_THAT(Paths(spec), ::testing::UnorderedElementsAre("model.pretrained.lora.rank",
                                                           "model.pretrained.lora.alpha",
                                                           "model.pretrained.lora.dropout",
                                                           "model.pretrained.lora.targets[0]"));
}

v1::JobSpec Evaluation(const std::string& more = "") {
  v1::JobSpec spec, change;
  spec.mutable_data()->set_dataset("wine");
  spec.mutable_evaluation()->set_model("models/a");
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(more, &change)) << more;
  spec.MergeFrom(change);
  return spec;
}

TEST(Evaluation, NeedsAModelAndData) {
  EXPECT_THAT(Validate(Evaluation(), kServer), IsOk());
  v1::JobSpec spec;
  spec.mutable_evaluation();
  EXPECT_THAT(Paths(spec), ::testing::UnorderedElementsAre("data.dataset", "evaluation.model"));
  EXPECT_THAT(Validate(spec, {.max_threads = 4, .has_data = true, .has_model = true}), IsOk());
}

TEST(Evaluation, NamesWhatIsWrong) {
  for (const auto& [more, path] : std::vector<std::pair<std::string, std::string>>{
           {"classification {}", "task"},
           {"model { layers { flatten {} } }", "model"},
           {"training { epochs: 1 }", "training"},
           {"data { image { height: 8 } }", "data.image"},
           {"data { classes: 'a' }", "data.classes"},
           {"data { limit: 5 }", "data.limit"},
           {"evaluation { model: 'jobs/a' }", "evaluation.model"},
           {"evaluation { against: 'x' }", "evaluation.against"},
           {"evaluation { part: 9 }", "evaluation.part"},
           {"evaluation { part: VALIDATION }", "evaluation.part"},
           {"evaluation { batch_size: 0 }", "evaluation.batch_size"},
           {"evaluation { threads: 5 }", "evaluation.threads"}}) {
    EXPECT_THAT(Paths(Evaluation(more)), Contains(path)) << more;
  }
}

TEST(Validate, Bf16WithoutTheProcessorNamesTheReason) {
  EXPECT_THAT(Validate(With("training { precision: BF16 }"), kServer),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("AVX512-BF16")));
}

TEST(Validate, NotANumberIsInNoRange) {
  EXPECT_THAT(Paths(With("training { clip_norm: nan }")), Contains("training.clip_norm"));
}

struct WrongField {
  std::string change;
  std::string path;
};

class EveryField : public ::testing::TestWithParam<WrongField> {};

TEST_P(EveryField, IsNamedWhenItIsWrong) {
  EXPECT_THAT(Paths(With(GetParam().change)), Contains(GetParam().path)) << GetParam().change;
}

INSTANTIATE_TEST_SUITE_P(
    Job, EveryField,
    ::testing::Values(
        WrongField{"display_name: '\\n'", "display_name"},
        WrongField{"labels { key: 'a\\n' value: '' }", "labels"},
        WrongField{"priority: 101", "priority"},
        WrongField{"deadline_seconds: -1", "deadline_seconds"},
        WrongField{"classification { label_smoothing: 1 }", "classification.label_smoothing"},
        WrongField{"classification { class_weights: [1, 0] }", "classification.class_weights[1]"},
        WrongField{"regression { loss: 99 }", "regression.loss"},
        WrongField{"regression { huber_delta: 0 }", "regression.huber_delta"},
        WrongField{"data { dataset: '../x' }", "data.dataset"},
        WrongField{"data { validation_fraction: 1 }", "data.validation_fraction"},
        WrongField{"data { test_fraction: -0.1 }", "data.test_fraction"},
        WrongField{"data { validation_fraction: 0.6 test_fraction: 0.5 }", "data"},
        WrongField{"data { fold { count: 1 index: 1 } }", "data.fold.count"},
        WrongField{"data { fold { count: 5 index: 6 } }", "data.fold.index"},
        WrongField{"data { fold { count: 5 } }", "data.fold.index"},
        WrongField{"data { fold { count: 5 index: 1 } test_fraction: 0.1 }", "data.test_fraction"},
        WrongField{"data { limit: -1 }", "data.limit"},
        WrongField{"data { image { height: -1 } }", "data.image.height"},
        WrongField{"data { image { width: 99999 } }", "data.image.width"},
        WrongField{"data { image { channels: 2 } }", "data.image.channels"},
        WrongField{"data { image { mean: [0, 0] } }", "data.image.mean"},
        WrongField{"data { image { std: 0 } }", "data.image.std[0]"},
        WrongField{"data { image { augmentation { shift: 1 } } }", "data.image.augmentation.shift"},
        WrongField{"data { image { augmentation { rotate_degrees: 181 } } }",
                   "data.image.augmentation.rotate_degrees"},
        WrongField{"data { image { augmentation { crop_padding: -1 } } }",
                   "data.image.augmentation.crop_padding"},
        WrongField{"data { image { augmentation { erase_probability: 2 } } }",
                   "data.image.augmentation.erase_probability"},
        WrongField{"data { table { target: '\\t' } }", "data.table.target"},
        WrongField{"data { table { ignore: '\\t' } }", "data.table.ignore[0]"}));

INSTANTIATE_TEST_SUITE_P(
    ImageGeneration, EveryField,
    ::testing::Values(
        WrongField{"image_generation { latent: 0 }", "image_generation.latent"},
        WrongField{"image_generation { loss: 99 }", "image_generation.loss"},
        WrongField{"image_generation { label_smoothing: 1 }", "image_generation.label_smoothing"},
        WrongField{"image_generation { loss: HINGE label_smoothing: 0.1 }",
                   "image_generation.label_smoothing"},
        WrongField{"image_generation { instance_noise: -1 }", "image_generation.instance_noise"},
        WrongField{"image_generation { instance_noise_steps: -1 }",
                   "image_generation.instance_noise_steps"},
        WrongField{"image_generation { discriminator_steps: 0 }",
                   "image_generation.discriminator_steps"},
        WrongField{"image_generation { clip_weights: 0 }", "image_generation.clip_weights"},
        WrongField{"image_generation { average_decay: 1 }", "image_generation.average_decay"},
        WrongField{"image_generation { generator_optimizer { adam { beta1: 1 } } }",
                   "image_generation.generator_optimizer.adam.beta1"},
        WrongField{"image_generation { discriminator_optimizer { sgd { momentum: 1 } } }",
                   "image_generation.discriminator_optimizer.sgd.momentum"},
        WrongField{"image_generation { evaluation { classifier: \"x\" } }",
                   "image_generation.evaluation.classifier"},
        WrongField{"image_generation { evaluation { drawings: 1 } }",
                   "image_generation.evaluation.drawings"},
        WrongField{"image_generation { } training { early_stopping { patience: 1 } }",
                   "training.early_stopping"},
        WrongField{"image_generation { } training { schedule { plateau { } } }",
                   "training.schedule.plateau"},
        WrongField{"image_generation { }", "model"},
        WrongField{"image_generation { } model { preset { } }", "model.preset"},
        WrongField{"image_generation { } model { preset { gan { generator_units: 0 } } }",
                   "model.preset.gan.generator_units[0]"},
        WrongField{"image_generation { } model { preset { dcgan { discriminator_filters: 0 } } }",
                   "model.preset.dcgan.discriminator_filters[0]"},
        WrongField{"image_generation { } model { networks { } }", "model.networks[0].name"},
        WrongField{"image_generation { } model { networks { name: \"a\" } }",
                   "model.networks[0].layers"},
        WrongField{"image_generation { } model { networks { name: \"a\" layers { flatten { } } "
                   "preset { gan { } } } }",
                   "model.networks[0]"},
        WrongField{"image_generation { } model { networks { name: \"a\" layers { dense { } } } }",
                   "model.networks[0].layers[0].dense.units"},
        WrongField{"model { preset { gan { } } }", "model.preset"},
        WrongField{"model { networks { name: \"a\" } }", "model.networks"}));

INSTANTIATE_TEST_SUITE_P(
    ReinforcementLearning, EveryField,
    ::testing::Values(
        WrongField{"reinforcement_learning {}", "reinforcement_learning"},
        WrongField{"reinforcement_learning { maze { height: 1 } }",
                   "reinforcement_learning.maze.height"},
        WrongField{"reinforcement_learning { maze { width: 33 } }",
                   "reinforcement_learning.maze.width"},
        WrongField{"reinforcement_learning { maze { width: 4 unseen: true } }",
                   "reinforcement_learning.maze.width"},
        WrongField{"reinforcement_learning { maze { text: 'SG' loops: 0.5 } }",
                   "reinforcement_learning.maze.loops"},
        WrongField{"reinforcement_learning { maze { loops: 2 } }",
                   "reinforcement_learning.maze.loops"},
        WrongField{"reinforcement_learning { maze { walls: -1 } }",
                   "reinforcement_learning.maze.walls"},
        WrongField{"reinforcement_learning { maze { traps: -1 } }",
                   "reinforcement_learning.maze.traps"},
        WrongField{"reinforcement_learning { maze { view: CELL unseen: true } }",
                   "reinforcement_learning.maze.view"},
        WrongField{"reinforcement_learning { maze { goal_reward: inf } }",
                   "reinforcement_learning.maze.goal_reward"},
        WrongField{"reinforcement_learning { maze { step_cost: nan } }",
                   "reinforcement_learning.maze.step_cost"},
        WrongField{"reinforcement_learning { maze { trap_cost: 1e9 } }",
                   "reinforcement_learning.maze.trap_cost"},
        WrongField{"reinforcement_learning { maze { most_steps: -1 } }",
                   "reinforcement_learning.maze.most_steps"},
        WrongField{"reinforcement_learning { cart_pole {} copies: 9999 }",
                   "reinforcement_learning.copies"},
        WrongField{"reinforcement_learning { cart_pole {} discount: 1.1 }",
                   "reinforcement_learning.discount"},
        WrongField{"reinforcement_learning { cart_pole {} train_every: -1 }",
                   "reinforcement_learning.train_every"},
        WrongField{"reinforcement_learning { cart_pole {} learning_starts: -1 }",
                   "reinforcement_learning.learning_starts"},
        WrongField{"reinforcement_learning { cart_pole {} replay { capacity: -1 } }",
                   "reinforcement_learning.replay.capacity"},
        WrongField{"reinforcement_learning { cart_pole {} replay { alpha: 2 } }",
                   "reinforcement_learning.replay.alpha"},
        WrongField{"reinforcement_learning { cart_pole {} replay { beta: -1 } }",
                   "reinforcement_learning.replay.beta"},
        WrongField{"reinforcement_learning { cart_pole {} target { copy_every: 5 rate: 0.1 } }",
                   "reinforcement_learning.target"},
        WrongField{"reinforcement_learning { cart_pole {} target { rate: 2 } }",
                   "reinforcement_learning.target.rate"},
        WrongField{"reinforcement_learning { cart_pole {} n_step: -1 }",
                   "reinforcement_learning.n_step"},
        WrongField{"reinforcement_learning { cart_pole {} loss: 99 }",
                   "reinforcement_learning.loss"},
        WrongField{"reinforcement_learning { cart_pole {} huber_delta: 0 }",
                   "reinforcement_learning.huber_delta"},
        WrongField{"reinforcement_learning { cart_pole {} reward_clip: -1 }",
                   "reinforcement_learning.reward_clip"},
        WrongField{"reinforcement_learning { cart_pole {} exploration { end: 2 } }",
                   "reinforcement_learning.exploration.end"},
        WrongField{"reinforcement_learning { cart_pole {} exploration { share: 1 decay: 0.9 } }",
                   "reinforcement_learning.exploration"},
        WrongField{"reinforcement_learning { cart_pole {} evaluate_every: -1 }",
                   "reinforcement_learning.evaluate_every"},
        WrongField{"reinforcement_learning { cart_pole {} evaluation_episodes: -1 }",
                   "reinforcement_learning.evaluation_episodes"},
        WrongField{"reinforcement_learning { cart_pole {} final_episodes: -1 }",
                   "reinforcement_learning.final_episodes"},
        WrongField{"reinforcement_learning { cart_pole {} ppo {} n_step: 2 }",
                   "reinforcement_learning.n_step"},
        WrongField{"reinforcement_learning { cart_pole {} ppo {} replay {} }",
                   "reinforcement_learning.replay"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { rollout: -1 } }",
                   "reinforcement_learning.ppo.rollout"},
        WrongField{"reinforcement_learning { cart_pole {} copies: 1024 ppo { rollout: 100000 } }",
                   "reinforcement_learning.ppo.rollout"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { epochs: -1 } }",
                   "reinforcement_learning.ppo.epochs"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { clip: 0 } }",
                   "reinforcement_learning.ppo.clip"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { lambda: 2 } }",
                   "reinforcement_learning.ppo.lambda"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { value_coefficient: -1 } }",
                   "reinforcement_learning.ppo.value_coefficient"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { entropy_coefficient: inf } }",
                   "reinforcement_learning.ppo.entropy_coefficient"},
        WrongField{"reinforcement_learning { cart_pole {} ppo { rollout: 5 } }",
                   "training.batch_size"},
        WrongField{"reinforcement_learning { cart_pole {} ppo {} }", "model"},
        WrongField{"reinforcement_learning { cart_pole {} } training { steps: 5 episodes: 5 }",
                   "training.epochs"},
        WrongField{"reinforcement_learning { cart_pole {} } training { accumulate_batches: 2 }",
                   "training.accumulate_batches"},
        WrongField{"reinforcement_learning { cart_pole {} } data { dataset: 'mnist' }", "data"},
        WrongField{"training { episodes: 5 }", "training.episodes"}));

TEST(Validate, AnAgentNeedsNoDataAndHasOneLength) {
  v1::JobSpec spec;
  spec.mutable_reinforcement_learning()->mutable_cart_pole();
  spec.mutable_model()->add_layers()->mutable_dense()->set_units(2);
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("training"));
  spec.mutable_training()->set_episodes(5);
  EXPECT_THAT(Validate(spec, kServer), IsOk());
  spec.mutable_training()->set_steps(5);
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("training"));
}

INSTANTIATE_TEST_SUITE_P(
    Training, EveryField,
    ::testing::Values(
        WrongField{"training { epochs: -1 }", "training.epochs"},
        WrongField{"training { steps: 5 }", "training"},
        WrongField{"training { stop_after: 2 }", "training.stop_after"},
        WrongField{"training { threads: 5 }", "training.threads"},
        WrongField{"training { precision: 9 }", "training.precision"},
        WrongField{"training { recompute: 9 }", "training.recompute"},
        WrongField{"training { clip_value: -1 }", "training.clip_value"},
        WrongField{"training { accumulate_batches: -1 }", "training.accumulate_batches"},
        WrongField{"training { parameter_rules { parameters: \"dense_1\" } }",
                   "training.parameter_rules[0]"},
        WrongField{"training { parameter_rules { freeze: true } }",
                   "training.parameter_rules[0].parameters"},
        WrongField{"training { parameter_rules { parameters: \"*\" weight_decay: -1 } }",
                   "training.parameter_rules[0].weight_decay"},
        WrongField{"training { parameter_rules { parameters: \"*\" freeze_until_step: -1 } }",
                   "training.parameter_rules[0].freeze_until_step"},
        WrongField{"training { layer_decay: 0 }", "training.layer_decay"},
        WrongField{"training { layer_decay: 1.5 }", "training.layer_decay"},
        WrongField{"training { average_decay: 1 }", "training.average_decay"},
        WrongField{"training { neftune_alpha: -1 }", "training.neftune_alpha"},
        WrongField{"training { neftune_alpha: 5 }", "training.neftune_alpha"},
        WrongField{"training { layer_statistics_every: -1 }", "training.layer_statistics_every"},
        WrongField{"training { early_stopping { patience: 0 } }",
                   "training.early_stopping.patience"},
        WrongField{"training { early_stopping { patience: 1 min_delta: -1 } }",
                   "training.early_stopping.min_delta"},
        WrongField{"training { early_stopping { patience: 1 } } data { validation_fraction: 0 }",
                   "training.early_stopping"},
        WrongField{"training { checkpoints { every_steps: -1 } }",
                   "training.checkpoints.every_steps"},
        WrongField{"training { checkpoints { every_seconds: -1 } }",
                   "training.checkpoints.every_seconds"},
        WrongField{"training { checkpoints { keep_latest: 0 } }",
                   "training.checkpoints.keep_latest"},
        WrongField{"training { optimizer { sgd { momentum: 1 } } }",
                   "training.optimizer.sgd.momentum"},
        WrongField{"training { optimizer { sgd { nesterov: true } } }",
                   "training.optimizer.sgd.nesterov"},
        WrongField{"training { optimizer { sgd { weight_decay: -1 } } }",
                   "training.optimizer.sgd.weight_decay"},
        WrongField{"training { optimizer { adam { beta1: 1 } } }", "training.optimizer.adam.beta1"},
        WrongField{"training { optimizer { adamw { beta2: 1 } } }",
                   "training.optimizer.adamw.beta2"},
        WrongField{"training { optimizer { adamw { epsilon: 0 } } }",
                   "training.optimizer.adamw.epsilon"},
        WrongField{"training { optimizer { rmsprop { decay: 1 } } }",
                   "training.optimizer.rmsprop.decay"},
        WrongField{"training { optimizer { rmsprop { momentum: 1 } } }",
                   "training.optimizer.rmsprop.momentum"},
        WrongField{"training { schedule { warmup_steps: -1 } }", "training.schedule.warmup_steps"},
        WrongField{"training { schedule { step { every_epochs: 0 } } }",
                   "training.schedule.step.every_epochs"},
        WrongField{"training { schedule { step { every_epochs: 1 factor: 2 } } }",
                   "training.schedule.step.factor"},
        WrongField{"training { schedule { exponential { factor_per_epoch: 0 } } }",
                   "training.schedule.exponential.factor_per_epoch"},
        WrongField{"training { schedule { cosine { final_factor: 2 } } }",
                   "training.schedule.cosine.final_factor"},
        WrongField{"training { schedule { linear { final_factor: -1 } } }",
                   "training.schedule.linear.final_factor"},
        WrongField{"training { schedule { one_cycle { rising_share: 1 } } }",
                   "training.schedule.one_cycle.rising_share"},
        WrongField{"training { schedule { plateau {} } }", "training.schedule.plateau"},
        WrongField{"training { schedule { plateau { factor: 1 } } }",
                   "training.schedule.plateau.factor"},
        WrongField{"training { schedule { plateau { patience: 0 } } }",
                   "training.schedule.plateau.patience"}));

INSTANTIATE_TEST_SUITE_P(
    Model, EveryField,
    ::testing::Values(
        WrongField{"model { layers {} }", "model.layers[2]"},
        WrongField{"model { layers { name: '1x' flatten {} } }", "model.layers[2].name"},
        WrongField{"model { layers { name: 'input' flatten {} } }", "model.layers[2].name"},
        WrongField{"model { layers { name: 'a' flatten {} } layers { name: 'a' flatten {} } }",
                   "model.layers[3].name"},
        WrongField{"model { layers { inputs: 'nowhere' flatten {} } }",
                   "model.layers[2].inputs[0]"},
        WrongField{"model { layers { inputs: ['input', 'input'] flatten {} } }",
                   "model.layers[2].inputs"},
        WrongField{"model { layers { inputs: 'input' add {} } }", "model.layers[2].inputs"},
        WrongField{"model { layers { concat {} } }", "model.layers[2].inputs"},
        WrongField{"model { layers { dense {} } }", "model.layers[2].dense.units"},
        WrongField{"model { layers { dense { units: 1 activation: 99 } } }",
                   "model.layers[2].dense.activation"},
        WrongField{"model { layers { dense { units: 1 initializer { kind: 99 } } } }",
                   "model.layers[2].dense.initializer.kind"},
        WrongField{"model { layers { dense { units: 1 initializer { stddev: 0 } } } }",
                   "model.layers[2].dense.initializer.stddev"},
        WrongField{"model { layers { conv2d { kernel: 3 } } }", "model.layers[2].conv2d.filters"},
        WrongField{"model { layers { conv2d_transpose { kernel: 3 } } }",
                   "model.layers[2].conv2d_transpose.filters"},
        WrongField{"model { layers { upsample2d { factor: 0 } } }",
                   "model.layers[2].upsample2d.factor"},
        WrongField{"model { layers { conv2d { filters: 1 } } }", "model.layers[2].conv2d.kernel"},
        WrongField{"model { layers { conv2d { filters: 3 kernel: 1 stride: 0 } } }",
                   "model.layers[2].conv2d.stride"},
        WrongField{"model { layers { conv2d { filters: 3 kernel: 1 dilation: 0 } } }",
                   "model.layers[2].conv2d.dilation"},
        WrongField{"model { layers { conv2d { filters: 3 kernel: 1 groups: 2 } } }",
                   "model.layers[2].conv2d.groups"},
        WrongField{"model { layers { conv2d { filters: 3 kernel: 1 padding: 9 } } }",
                   "model.layers[2].conv2d.padding"},
        WrongField{"model { layers { max_pool2d {} } }", "model.layers[2].max_pool2d.size"},
        WrongField{"model { layers { avg_pool2d { size: 2 stride: 0 } } }",
                   "model.layers[2].avg_pool2d.stride"},
        WrongField{"model { layers { batch_norm { momentum: 1 } } }",
                   "model.layers[2].batch_norm.momentum"},
        WrongField{"model { layers { batch_norm { epsilon: 0 } } }",
                   "model.layers[2].batch_norm.epsilon"},
        WrongField{"model { layers { layer_norm { epsilon: 0 } } }",
                   "model.layers[2].layer_norm.epsilon"},
        WrongField{"model { layers { dropout { rate: 1 } } }", "model.layers[2].dropout.rate"},
        WrongField{"model { layers { lstm {} } }", "model.layers[2].lstm.units"},
        WrongField{"model { layers { gru { units: 1 layers: 0 } } }", "model.layers[2].gru.layers"},
        WrongField{"model { layers { simple_rnn { units: 1 dropout: 1 } } }",
                   "model.layers[2].simple_rnn.dropout"},
        WrongField{"model { layers { lstm { units: 1 initializer { kind: 99 } } } }",
                   "model.layers[2].lstm.initializer.kind"},
        WrongField{"model { layers { conv1d { kernel: 3 } } }", "model.layers[2].conv1d.filters"},
        WrongField{"model { layers { conv1d { filters: 3 } } }", "model.layers[2].conv1d.kernel"},
        WrongField{"model { layers { conv1d { filters: 3 kernel: 1 activation: 99 } } }",
                   "model.layers[2].conv1d.activation"},
        WrongField{"model { layers { attention {} } }", "model.layers[2].attention.heads"},
        WrongField{"model { layers { attention { heads: 2 kv_heads: 0 } } }",
                   "model.layers[2].attention.kv_heads"},
        WrongField{"model { layers { attention { heads: 2 window: 3 } } }",
                   "model.layers[2].attention.window"},
        WrongField{"model { layers { attention { heads: 2 dropout: 1 } } }",
                   "model.layers[2].attention.dropout"},
        WrongField{"model { layers { attention { heads: 2 rotary_base: 0 } } }",
                   "model.layers[2].attention.rotary_base"},
        WrongField{"model { layers { attention { heads: 2 rotary: true alibi: true } } }",
                   "model.layers[2].attention.alibi"},
        WrongField{"model { layers { lstm { units: 2 reset_after: true } } }",
                   "model.layers[2].lstm.reset_after"},
        WrongField{"model { layers { glu {} } }", "model.layers[2].glu.units"},
        WrongField{"model { layers { glu { units: 2 activation: 99 } } }",
                   "model.layers[2].glu.activation"},
        WrongField{"model { layers { positions {} } }", "model.layers[2].positions.length"},
        WrongField{"model { layers { positions { kind: 9 } } }", "model.layers[2].positions.kind"},
        WrongField{"model { layers { rms_norm { epsilon: 0 } } }",
                   "model.layers[2].rms_norm.epsilon"},
        WrongField{"model { layers { sequence_pool { kind: 9 } } }",
                   "model.layers[2].sequence_pool.kind"},
        WrongField{"model { layers { activation {} } }", "model.layers[2].activation.function"},
        WrongField{"model { layers { activation { function: RELU negative_slope: -1 } } }",
                   "model.layers[2].activation.negative_slope"},
        WrongField{"model { layers { reshape {} } }", "model.layers[2].reshape.shape"},
        WrongField{"model { layers { reshape { shape: [-1, -1] } } }",
                   "model.layers[2].reshape.shape"},
        WrongField{"model { layers { reshape { shape: [0] } } }",
                   "model.layers[2].reshape.shape[0]"}));

INSTANTIATE_TEST_SUITE_P(
    Repeat, EveryField,
    ::testing::Values(
        WrongField{"model { layers { repeat { layers { flatten {} } } } }",
                   "model.layers[2].repeat.times"},
        WrongField{"model { layers { repeat { times: 1001 layers { flatten {} } } } }",
                   "model.layers[2].repeat.times"},
        WrongField{"model { layers { repeat { times: 2 } } }", "model.layers[2].repeat.layers"},
        WrongField{"model { layers { repeat { times: 2 name: '2' layers { flatten {} } } } }",
                   "model.layers[2].repeat.name"},
        WrongField{"model { layers { name: 'a' repeat { times: 2 layers { flatten {} } } } }",
                   "model.layers[2].name"},
        WrongField{"model { layers { name: 'block_2' flatten {} } "
                   "layers { repeat { times: 2 layers { flatten {} } } } }",
                   "model.layers[3].repeat.name"},
        WrongField{"model { layers { repeat { times: 2 layers { dense {} } } } }",
                   "model.layers[2].repeat.layers[0].dense.units"},
        WrongField{"model { layers { repeat { times: 2 layers { inputs: 'x' flatten {} } } } }",
                   "model.layers[2].repeat.layers[0].inputs[0]"},
        WrongField{"model { layers { repeat { times: 2 layers { name: 'a' flatten {} } } } "
                   "layers { inputs: 'a' flatten {} } }",
                   "model.layers[3].inputs[0]"},
        WrongField{"model { layers { repeat { times: 1000 layers { repeat { times: 1000 "
                   "layers { flatten {} } } } } } }",
                   "model.layers"},
        WrongField{"model { layers { repeat { times: 1 layers { repeat { times: 1 layers { repeat "
                   "{ times: 1 layers { repeat { times: 1 layers { repeat { times: 1 layers { "
                   "flatten {} } } } } } } } } } } } }",
                   "model.layers[2].repeat.layers[0].repeat.layers[0].repeat.layers[0].repeat."
                   "layers[0].repeat"}));

TEST(Model, ACopysOutputIsReadByTheNameOfItsRepeat) {
  EXPECT_THAT(Validate(With("model { layers { repeat { times: 2 name: 'stage' "
                            "layers { name: 'a' flatten {} } layers { inputs: ['a', 'input'] "
                            "add {} } } } layers { inputs: 'stage' flatten {} } }"),
                       kServer),
              IsOk());
}

TEST(Model, ANameThatTheServerMakesMayBeRead) {
  EXPECT_THAT(
      Validate(With("model { layers { inputs: ['flatten_1', 'input'] concat {} } }"), kServer),
      IsOk());
}

TEST(Validate, NamesOfLayersClassesAndColumnsHaveABound) {
  const std::string name(257, 'n');
  v1::JobSpec spec = Sound();
  spec.mutable_data()->add_classes(name);
  spec.mutable_data()->mutable_table()->add_ignore(std::string(1025, 'n'));
  spec.mutable_model()->mutable_pretrained()->set_model("models/a");
  spec.mutable_model()->mutable_pretrained()->add_freeze(name);
  spec.mutable_model()->mutable_layers(1)->add_inputs(name);
  spec.mutable_training()->add_weight_decay_exclude(name);
  EXPECT_THAT(Paths(spec),
              ::testing::UnorderedElementsAre(
                  "data.classes[0]", "data.table.ignore[0]", "model.pretrained.freeze[0]",
                  "model.layers[1].inputs[0]", "training.weight_decay_exclude[0]"));
}

TEST(Validate, ASpecHasABoundInBytes) {
  v1::JobSpec spec = Sound();
  for (int i = 0; i < 2000; ++i) {
    spec.mutable_data()->mutable_table()->add_ignore(std::string(1000, 'n'));
  }
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("spec"));
}

TEST(Validate, ALabelsKeyHasNoEqualsSign) {
  v1::JobSpec spec = Sound();
  (*spec.mutable_labels())["a=b"] = "c";
  (*spec.mutable_labels())["a"] = "b=c";
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("labels"));
}

TEST(Validate, OfVeryManyWrongFieldsOnlyTheNumberIsKept) {
  v1::JobSpec spec = Sound();
  for (int i = 0; i < 100'000; ++i) {
    spec.mutable_classification()->add_class_weights(-1);
  }
  const FieldErrors errors = CheckSpec(spec, kServer);
  EXPECT_EQ(errors.all().size(), FieldErrors::kMostKept);
  EXPECT_THAT(errors.ToStatus(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("and 99984 more")));
}

}  // namespace
}  // namespace hone::server::jobs
