#include "server/jobs/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "tests/server/validate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::jobs {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

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
        WrongField{"data { table { ignore: '\\t' } }", "data.table.ignore[0]"},
        WrongField{"data { table { augmentation { noise: -1 } } }",
                   "data.table.augmentation.noise"},
        WrongField{"data { table { standardize: false augmentation { noise: 0.1 } } }",
                   "data.table.augmentation.noise"},
        WrongField{"data { table { augmentation { cell_dropout: 1 } } }",
                   "data.table.augmentation.cell_dropout"}));

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
        WrongField{"image_generation { } training { layer_decay: 0.5 }", "training.layer_decay"},
        WrongField{"image_generation { } model { pretrained { lora { } } }",
                   "model.pretrained.lora"},
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
        WrongField{"reinforcement_learning { cart_pole {} } training { layer_decay: 0.5 }",
                   "training.layer_decay"},
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
        WrongField{"training { average_decay: 1 }", "training.average_decay"},
        WrongField{"training { average_decay: -0.1 }", "training.average_decay"},
        WrongField{"training { average_decay: nan }", "training.average_decay"},
        WrongField{"training { neftune_alpha: -1 }", "training.neftune_alpha"},
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

// A job with these new tokens.
v1::JobSpec WithNewTokens(const std::vector<std::string>& tokens) {
  v1::JobSpec spec = Sound();
  v1::Pretrained& pretrained = *spec.mutable_model()->mutable_pretrained();
  pretrained.set_model("models/a");
  pretrained.mutable_new_tokens()->Add(tokens.begin(), tokens.end());
  return spec;
}

TEST(Validate, TakesNewTokens) {
  EXPECT_THAT(Validate(WithNewTokens({"<a>", "two words", "天"}), {.max_threads = 4}), IsOk());
}

TEST(Validate, NamesNewTokensThatAreEmptyTooLongOrThereTwice) {
  EXPECT_THAT(
      Paths(WithNewTokens({"<a>", "", std::string(1025, 'a'), "<a>"})),
      ::testing::ElementsAre("model.pretrained.new_tokens[1]", "model.pretrained.new_tokens[2]",
                             "model.pretrained.new_tokens[3]"));
}

TEST(Validate, BoundsTheNumberOfNewTokens) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 4097; ++i) {
    tokens.push_back("<" + std::to_string(i) + ">");
  }
  EXPECT_THAT(Paths(WithNewTokens(tokens)), ::testing::ElementsAre("model.pretrained.new_tokens"));
}

TEST(Validate, NewTokensBelongToTheEarlierModelsTokenizer) {
  v1::JobSpec spec = WithNewTokens({"<a>"});
  spec.mutable_data()->mutable_text()->mutable_tokenizer()->mutable_characters();
  EXPECT_THAT(Paths(spec), ::testing::Contains("model.pretrained.new_tokens"));
}

}  // namespace
}  // namespace hone::server::jobs
