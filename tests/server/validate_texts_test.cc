// What jobs that read or write texts may be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/jobs/job.h"
#include "tests/server/validate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::jobs {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

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

v1::JobSpec Parsed(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}
TEST(Validate, PreferencesAreLearnedByAModelThatGoesOnFromACheckpoint) {
  const std::string rest = R"( data { dataset: "x" } training { steps: 9 })";
  const std::string pretrained = R"( model { pretrained { model: "models/a" } })";
  EXPECT_THAT(Validate(Parsed("preference_optimization {}" + pretrained + rest), kServer), IsOk());
  EXPECT_THAT(Validate(Parsed("preference_optimization { beta: 0.3 window: 64 }" + pretrained +
                              R"( data { dataset: "x" chat { template: CHATML } } )" +
                              "training { steps: 9 }"),
                       kServer),
              IsOk());
  EXPECT_THAT(Paths(Parsed("preference_optimization {} model { preset { gpt {} } }" + rest)),
              ::testing::ElementsAre("model.pretrained"));
}

TEST(ModelTaskName, IsALanguageModelsWherePreferencesAreLearned) {
  EXPECT_EQ(ModelTaskName(Parsed("preference_optimization {}")), "language_modeling");
}

TEST(ModelTaskName, IsElsewhereTheJobs) {
  EXPECT_EQ(ModelTaskName(Parsed("classification {}")), "classification");
}

TEST(Validate, WhatPreferencesCannotBeIsNamed) {
  EXPECT_THAT(Paths(Parsed(R"(preference_optimization { beta: 0 window: 0 }
                       data { dataset: "x" text { min_characters: 1 } chat { learn: ALL } }
                       training { steps: 9 } model { pretrained { model: "models/a" } })")),
              ::testing::UnorderedElementsAre("preference_optimization.beta",
                                              "preference_optimization.window", "data.text",
                                              "data.chat.learn"));
}

const std::string kEncoderOfTexts =
    R"( training { epochs: 1 } model { preset { transformer_encoder { length: 64 } } })";

TEST(Validate, VectorsAreMadeOfPairsOfTexts) {
  const std::string data = R"(data { dataset: "x" text { second_columns: "b" max_tokens: 4 } })";
  EXPECT_THAT(Validate(Parsed("text_embedding {}" + data + kEncoderOfTexts), kServer), IsOk());
  EXPECT_THAT(
      Paths(Parsed(
          R"(text_embedding { pooling: 9 scale: -1 } data { dataset: "x" text { columns: "a" } })" +
          kEncoderOfTexts)),
      ::testing::UnorderedElementsAre("text_embedding.pooling", "text_embedding.scale",
                                      "data.text.second_columns"));
  v1::JobSpec lone = Parsed("text_embedding {}" + data + kEncoderOfTexts);
  lone.mutable_training()->set_batch_size(1);
  EXPECT_THAT(Validate(lone, kServer),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("training.batch_size: must be at least 2 for text_embedding")));
}

TEST(Validate, PairsAndTriplesOfTextsMayHaveTheColumnsThatNobodyNames) {
  for (const char* data : {R"(data { dataset: "x" })", R"(data { dataset: "x" text {} })"}) {
    EXPECT_THAT(
        Validate(Parsed(std::string("text_embedding {} ") + data + kEncoderOfTexts), kServer),
        IsOk());
  }
}

TEST(Validate, VectorsOfNamedNegativesNeedTheSecondColumnNamed) {
  const std::string data = R"(data { dataset: "x" text { negative_columns: "c" )";
  EXPECT_THAT(
      Paths(Parsed("text_embedding {}" + data + R"(second_columns: "b" } })" + kEncoderOfTexts)),
      ::testing::IsEmpty());
  EXPECT_THAT(Paths(Parsed("text_embedding {}" + data + "} }" + kEncoderOfTexts)),
              ::testing::ElementsAre("data.text.second_columns"));
}

TEST(Validate, NegativesAreForVectorsOfTextsAlone) {
  EXPECT_THAT(
      Validate(OfTexts(R"(data { text { second_columns: "b" negative_columns: "c" } })"), kServer),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("data.text.negative_columns: must not be given")));
}

TEST(Validate, AColumnOfNegativesHasANameOfBoundedLength) {
  v1::JobSpec spec = Parsed(
      R"(text_embedding {} data { dataset: "x" text { second_columns: "b" } })" + kEncoderOfTexts);
  spec.mutable_data()->mutable_text()->add_negative_columns(std::string(1 << 16, 'c'));
  EXPECT_THAT(Paths(spec), ::testing::ElementsAre("data.text.negative_columns[0]"));
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

}  // namespace
}  // namespace hone::server::jobs
