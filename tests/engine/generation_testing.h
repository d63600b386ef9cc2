#pragma once

#include "engine/tasks/image_generation.h"
#include "tests/engine/task_testing.h"

namespace hone::engine::train {

// A generator and a discriminator of few units for 70 grey pictures of 8×8 of two classes, in
// batches of 32, 32 and 6.
class GenerationTest : public TaskTest {
 protected:
  GenerationTest() {
    config_ = Pictures();
    config_.augmentation = {};
    config_.data.pixel_mean = config_.data.pixel_std = {0.5f};
    config_.layer_statistics_every = 1;
    config_.model.layers.clear();
    config_.model.networks = {
        {.name = "generator",
         .layers = {DenseLayer(8, kRelu), DenseLayer(64, ActivationKind::kTanh),
                    Of(models::Reshape{{1, 8, 8}})}},
        {.name = "discriminator",
         .layers = {Of(models::Flatten{}), DenseLayer(8, kRelu), DenseLayer(1)}}};
    options_.latent = 4;
    options_.evaluation_drawings = 0;
  }

  tasks::ImageGenerationOptions options_;
};

}  // namespace hone::engine::train
