// Three steps of two networks against each other, by the one loop, against PyTorch in float64:
// losses, both networks, and the mean of the generator. The numbers are explained in
// tests/golden/first_steps_of_gan.py.
#include <gmock/gmock.h>

#include <tuple>

#include "engine/tasks/table.h"
#include "tests/engine/generation_testing.h"
#include "tests/engine/golden_run.h"

namespace hone::engine::train {
namespace {

constexpr int kBatch = 12, kSide = 4;
constexpr const char* kLossNames[] = {"non_saturating", "least_squares", "hinge", "wasserstein"};

// The loss, and the threads: one, or a shard for each of two.
class FirstStepsOfGan : public GenerationTest,
                        public ::testing::WithParamInterface<std::tuple<AdversarialKind, int>> {
 protected:
  FirstStepsOfGan() {
    std::string pixels, labels;
    for (int i = 0; i < kBatch * kSide * kSide; ++i) {
      pixels += static_cast<char>(testing::Number(1, i) & 255);
    }
    for (int i = 0; i < kBatch; ++i) {
      labels += static_cast<char>(i % 2);
    }
    for (const char* part : {"train", "t10k"}) {
      Write(std::string("golden/") + part + "-images-idx3-ubyte",
            data::IdxImages(kBatch, kSide, kSide, pixels));
      Write(std::string("golden/") + part + "-labels-idx1-ubyte", data::IdxLabels(kBatch, labels));
    }
    const auto adam = [](double rate) {
      return optim::Adam{.learning_rate = rate, .beta1 = 0.5, .epsilon = 1e-12};
    };
    options_.loss = std::get<0>(GetParam());
    options_.latent = 5;
    options_.label_smoothing = options_.loss == AdversarialKind::kNonSaturating ||
                                       options_.loss == AdversarialKind::kLeastSquares
                                   ? 0.1f
                                   : 0;
    options_.clip_weights = 0.25;
    options_.average_decay = 0.22;  // above 2 / 11 and below 3 / 12: both terms of the rule count
    options_.generator_optimizer = adam(0.02);
    options_.discriminator_optimizer = adam(0.03);
    config_.data.path = Path("golden");
    config_.model.networks = {
        {.name = "generator",
         .layers = {DenseLayer(9, ActivationKind::kTanh),
                    DenseLayer(kSide * kSide, ActivationKind::kTanh),
                    Of(models::Reshape{{1, kSide, kSide}})}},
        {.name = "discriminator",
         .layers = {Of(models::Flatten{}), DenseLayer(9, ActivationKind::kTanh), DenseLayer(1)}}};
    config_.seed = 3;
    config_.batch_size = kBatch;
    config_.epochs = 3;
    config_.threads = std::get<1>(GetParam());
    config_.task = options_;
  }
};

TEST_P(FirstStepsOfGan, HavePyTorchsLossesAndWeights) {
  const nlohmann::json golden = GoldenRun(
      "first_steps_of_gan.json")[kLossNames[static_cast<size_t>(std::get<0>(GetParam()))]];
  begin_with_ = [&](ParameterStore& store) { BeginAsGolden(golden, store); };
  ASSERT_EQ(Attempt(*tasks::MakeTask(config_.task), NewRun()).value(), EndReason::kCompleted);
  for (const char* network : {"discriminator", "generator"}) {
    ExpectLosses(golden["losses"][network], std::string(network) + "_loss", state_);
  }
  ASSERT_EQ(golden["parameters"].size(), 8u);
  for (const nlohmann::json& parameter : golden["parameters"]) {
    const auto name = parameter["name"].get<std::string>();
    ExpectMovement(parameter, "moved", Values(name));
    if (const size_t dot = name.find('.'); name.substr(0, dot) == "generator") {
      ExpectMovement(parameter, "mean_moved", Values("generator_average" + name.substr(dot)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, FirstStepsOfGan,
                         ::testing::Combine(::testing::Values(AdversarialKind::kNonSaturating,
                                                              AdversarialKind::kLeastSquares,
                                                              AdversarialKind::kHinge,
                                                              AdversarialKind::kWasserstein),
                                            ::testing::Values(1, 2)),
                         [](const auto& test) {
                           return std::string(
                                      kLossNames[static_cast<size_t>(std::get<0>(test.param))]) +
                                  (std::get<1>(test.param) == 1 ? "_OneThread" : "_Shards");
                         });

}  // namespace
}  // namespace hone::engine::train
