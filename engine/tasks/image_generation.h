#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/ops/adversarial_loss.h"
#include "engine/optim/optimizer.h"

namespace hone::engine::tasks {

class Task;

// Pictures drawn by one network, `generator`, which learns from another, `discriminator`, that
// learns to tell them from those of the data (Goodfellow et al. 2014). Each step updates the
// discriminator, and every so many steps the generator after it.
//   generator       reads latent [batch, latent], with the classes behind them where it draws by
//                   class; gives [batch, channels, height, width], as FeaturesInput gives pictures
//   discriminator   reads such pictures, with a plane for each class behind the channels where it
//                   draws by class; gives a number, [batch, 1]
// Metrics: each one's loss, "discriminator_accuracy_real" and "…_drawn"; "variety" at evaluations.
// Final ones, where the data has classes: "frechet_distance", "class_share_min" (of the class that
// is drawn least), "class_share_min_confident" (the same of drawings that the classifier is 90 %
// sure of), "classifier_confidence" (the mean probability of the class that it takes a drawing
// for). Artifacts of kind "samples": samples/step-00000938.png, always of the same random numbers;
// of kind "evaluation": evaluation/class-shares.csv.
struct ImageGenerationOptions {
  int64_t latent = 100;
  AdversarialKind loss = AdversarialKind::kNonSaturating;
  float label_smoothing = 0;
  float instance_noise = 0;          // its deviation in the beginning (Sønderby et al. 2017)
  int64_t instance_noise_steps = 0;  // over which it falls to 0; 0: it stays
  int64_t discriminator_steps = 1;   // for one of the generator
  double clip_weights = 0.01;        // of kWasserstein alone
  bool conditional = false;          // by class (Mirza and Osindero 2014)
  // The share of the generator's mean that is kept at each of its updates, less in the beginning:
  // at most (1 + n) / (10 + n) at the n-th. 0: there is no mean, and the model draws with the last
  // weights.
  double average_decay = 0.999;
  // At the end so many drawings are shown to a classifier: which classes they are of, how sure it
  // is, and how far its last hidden layer's features of them are from those of real pictures. 0:
  // none are.
  int64_t evaluation_drawings = 10000;
  std::string classifier_directory;  // a published model; "": one that is trained for this
  std::optional<optim::OptimizerOptions> generator_optimizer = {};  // else the job's
  std::optional<optim::OptimizerOptions> discriminator_optimizer = {};
};

// Names of networks. The mean of the generator's weights is a network, too, kept in buffers.
inline constexpr char kGenerator[] = "generator";
inline constexpr char kDiscriminator[] = "discriminator";
inline constexpr char kGeneratorAverage[] = "generator_average";

std::unique_ptr<Task> MakeImageGeneration(const ImageGenerationOptions& options);
// Of what Task::ToJson gave: see table.h. Without the optimizers.
absl::StatusOr<ImageGenerationOptions> ImageGenerationFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
