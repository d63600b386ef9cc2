#pragma once

#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/tasks/image_generation.h"
#include "engine/tasks/model_file.h"
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

  // A model's folder once more, without the tensors whose names begin so and without a network of
  // its description ("": all are left).
  std::string Without(const std::string& directory, const std::string& tensors,
                      const std::string& network) const {
    const checkpoint::Model model = checkpoint::LoadModel(directory).value();
    std::vector<std::vector<float>> values;
    std::vector<checkpoint::TensorToWrite> kept;
    for (const checkpoint::FileTensor& tensor : model.tensors.tensors()) {
      if (!tensor.name.starts_with(tensors)) {
        std::vector<float>& numbers =
            values.emplace_back(static_cast<size_t>(tensor.shape.elements()));
        EXPECT_TRUE(model.tensors.Read(tensor, numbers).ok()) << tensor.name;
        kept.push_back({.name = tensor.name, .shape = tensor.shape, .data = numbers.data()});
      }
    }
    tasks::ModelFile file = tasks::ModelFileFromJson(model.model_json).value();
    std::erase_if(file.model.networks, [&](const auto& one) { return one.name == network; });
    const std::string to = NewRun() + "/model";
    EXPECT_TRUE(checkpoint::WriteModel(to, kept, {}, tasks::ToJson(file)).ok());
    return to;
  }

  tasks::ImageGenerationOptions options_;
};

}  // namespace hone::engine::train
