#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/load.h"
#include "engine/data/table_augment.h"
#include "engine/models/model_description.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "engine/tasks/classification.h"
#include "engine/tasks/forecasting.h"
#include "engine/tasks/image_generation.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/masked_language_modeling.h"
#include "engine/tasks/multi_label_classification.h"
#include "engine/tasks/parameter_rules.h"
#include "engine/tasks/preference_optimization.h"
#include "engine/tasks/recommendation.h"
#include "engine/tasks/regression.h"
#include "engine/tasks/reinforcement_learning.h"
#include "engine/tasks/text_embedding.h"
#include "engine/tasks/token_tagging.h"
#include "engine/tasks/translation.h"

namespace hone::engine::tasks {

using TaskOptions =
    std::variant<ClassificationOptions, RegressionOptions, ImageGenerationOptions,
                 RecommendationOptions, ReinforcementLearningOptions, ForecastingOptions,
                 LanguageModelingOptions, TranslationOptions, MaskedLanguageModelingOptions,
                 TextEmbeddingOptions, TokenTaggingOptions, MultiLabelClassificationOptions,
                 PreferenceOptimizationOptions>;

// Adapters that a job learns in the earlier model's place (models/lora.h). What is not said is that
// of adapters that the earlier model has, else the default of models::LoraDescription.
struct LoraOptions {
  std::optional<int64_t> rank = {};
  std::optional<double> alpha = {};
  std::optional<bool> rslora = {};
  float dropout = 0;
  std::vector<std::string> targets = {};
};

// What of an earlier model a job begins with (job/pretrained.h).
struct PretrainedOptions {
  std::string directory;    // a published model; "": none
  int64_t drop_layers = 0;  // of its list of layers, the last ones: the job's own take their place
  // Those that begin with the earlier model's values, as ParameterRule::parameters names them;
  // empty: all that both models have.
  std::vector<std::string> parameters = {};
  std::optional<LoraOptions> lora = {};
  // Added to the tokens of its tokenizer, in this order, with rows of their own in its tables.
  std::vector<std::string> new_tokens = {};
};

// Ends the run when the validation loss has not fallen by more than min_delta for `patience`
// epochs.
struct EarlyStopping {
  int64_t patience = 1;
  double min_delta = 0;
};

struct CheckpointPolicy {
  int64_t every_steps = 0;     // 0: at the end of epochs only, of some where they are short
  double every_seconds = 300;  // 0: not by time
  int keep_latest = 2;
};

// Whether the backward pass computes parts of the forward pass again instead of keeping them for
// it: less memory for about a third more time, and the same bits.
enum class Recompute { kWhenNeeded, kNever, kAlways };

// A whole training job, checked and with every default in its place.
struct TrainingConfig {
  std::string display_name;
  TaskOptions task;
  data::LoadOptions data;
  data::Augmentation augmentation;             // of pictures
  data::TableAugmentation table_augmentation;  // of the rows of a table
  models::ModelDescription model;              // with the layers of `pretrained`, if there is one
  PretrainedOptions pretrained;

  int64_t epochs = 0;      // the length: one of the two
  int64_t steps = 0;       // updates
  int64_t stop_after = 0;  // the run ends here, in epochs or steps as its length; 0: at its length
  int64_t batch_size = 32;
  optim::OptimizerOptions optimizer = optim::Adam();
  std::vector<ParameterRule> parameter_rules;  // what a job says in a short form stands first
  optim::Schedule schedule;
  // The learning rate of each layer is so many times that of the layer behind it
  // (LayersBehind, parameter_rules.h). 1: all have the same. Of jobs with one update.
  double layer_decay = 1;
  // Above 0: the weights that are evaluated and published are a mean over the updates
  // (train/weight_average.h). Of jobs with one update.
  double average_decay = 0;
  // Above 0: noise on the rows that stand for tokens (ops/embedding_noise.h).
  float neftune_alpha = 0;
  uint64_t seed = 1;
  DType compute = DType::kF32;  // kBf16: products in bfloat16, master weights in f32
  int threads = 1;
  bool one_thread_if_small = false;  // of the threads, where a step pays for no team (IsWorthATeam)
  double clip_norm = 0;              // 0: off
  double clip_value = 0;             // 0: off
  int64_t accumulate_batches = 1;
  std::optional<EarlyStopping> early_stopping;
  CheckpointPolicy checkpoints;
  int64_t layer_statistics_every = 50;           // 0: off
  int64_t memory_bytes = 0;                      // that the run may take; 0: what there is
  Recompute recompute = Recompute::kWhenNeeded;  // needed: where memory_bytes are not enough
  bool cache_frozen = true;  // a frozen trunk is run once where that can be (train/frozen_trunk.h)

  std::string run_directory;  // checkpoints/ and model/ are made in it
  bool resume = false;        // from the newest whole checkpoint there, if there is one
  int64_t known_checkpoint =
      0;                 // a step: who resumes finds a checkpoint so new there, or DATA_LOSS
  bool profile = false;  // the times of the program's steps, in the log at the end
};

}  // namespace hone::engine::tasks
