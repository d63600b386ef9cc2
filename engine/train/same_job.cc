#include "engine/train/same_job.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/data/prepare.h"
#include "engine/models/model_description.h"

namespace hone::engine::train {
namespace {

// The first sixteen digits tell apart what is not made to collide.
std::string Short(const std::string& text) { return Sha256(text).substr(0, 16); }

// To the last bit.
template <class... Numbers>
std::string Exact(Numbers... numbers) {
  return absl::StrJoin({absl::StrFormat("%.17g", static_cast<double>(numbers))...}, " ");
}

struct OfOptimizer {
  std::string operator()(const optim::Sgd& o) const {
    return Exact(o.learning_rate, o.momentum, o.nesterov, o.weight_decay);
  }
  template <class Adam>
  std::string operator()(const Adam& o) const {
    return Exact(o.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay, o.lazy);
  }
  std::string operator()(const optim::RmsProp& o) const {
    return Exact(o.learning_rate, o.decay, o.epsilon, o.momentum, o.centered, o.weight_decay);
  }
};

struct OfSchedule {
  std::string operator()(const optim::ConstantRate&) const { return "constant"; }
  std::string operator()(const optim::StepDecay& s) const {
    return Exact(s.every_epochs, s.factor);
  }
  std::string operator()(const optim::ExponentialDecay& s) const {
    return Exact(s.factor_per_epoch);
  }
  std::string operator()(const optim::CosineDecay& s) const { return Exact(s.final_factor); }
  std::string operator()(const optim::LinearDecay& s) const { return Exact(s.final_factor); }
  std::string operator()(const optim::OneCycle& s) const { return Exact(s.rising_share); }
  std::string operator()(const optim::Plateau& s) const {
    return Exact(s.factor, s.patience, s.min_delta, s.min_factor);
  }
};

std::string OfRules(const std::vector<tasks::ParameterRule>& rules) {
  std::string text;
  for (const tasks::ParameterRule& rule : rules) {
    absl::StrAppend(&text, rule.parameters, "\n", rule.freeze.has_value(),
                    rule.freeze.value_or(false), " ",
                    Exact(rule.learning_rate_factor.value_or(-1), rule.weight_decay.value_or(-1),
                          rule.freeze_until_step.value_or(-1)),
                    "\n");
  }
  return text;
}

std::string OfValues(const ParameterStore& store) {
  std::string text;
  for (ParameterId id = 0; id < store.size(); ++id) {
    const BorrowedValues* borrowed = store.borrowed(id);
    const ConstParameterView values = store.values(id);
    absl::StrAppend(&text, store.spec(id).name, " ",
                    borrowed != nullptr
                        ? borrowed->sha256
                        : absl::StrCat(data::ContentHash(values.data, values.bytes())),
                    "\n");
  }
  return Short(text);
}

}  // namespace

JobParts PartsOf(const tasks::TrainingConfig& config, const tasks::Task& task,
                 const data::LoadedData& data, const ParameterStore& store) {
  const data::Augmentation& a = config.augmentation;
  const data::TextAugmentation& of_texts = data::AugmentationOf(config.data);
  JobParts parts = {
      {"model", Short(models::ToJson(config.model).dump())},
      {"model.pretrained", Short(absl::StrJoin(config.pretrained.parameters, "\n"))},
      {"task", Short(task.ToJson().dump())},
      {"data", data.fingerprint},
      {"data.image.augmentation",
       Exact(a.shift, a.horizontal_flip, a.rotate_degrees, a.crop_padding, a.erase_probability,
             a.brightness, a.contrast)},
      {"data.table.augmentation",
       Exact(config.table_augmentation.noise, config.table_augmentation.cell_dropout)},
      {"the augmentation of texts",
       Exact(of_texts.character_noise, of_texts.word_dropout, of_texts.unknown, of_texts.swap)},
      {"training.epochs", absl::StrCat(config.epochs)},
      {"training.steps", absl::StrCat(config.steps)},
      {"training.batch_size", absl::StrCat(config.batch_size)},
      {"training.optimizer", absl::StrCat(optim::NameOf(config.optimizer), " ",
                                          std::visit(OfOptimizer(), config.optimizer))},
      {"training.schedule",
       absl::StrCat(config.schedule.kind.index(), " ", config.schedule.warmup_steps, " ",
                    std::visit(OfSchedule(), config.schedule.kind))},
      {"training.parameter_rules", Short(OfRules(config.parameter_rules))},
      {"training.layer_decay", Exact(config.layer_decay)},
      {"training.average_decay", Exact(config.average_decay)},
      {"training.neftune_alpha", Exact(config.neftune_alpha)},
      {"training.seed", absl::StrCat(config.seed)},
      {"training.precision", std::string(NameOf(config.compute))},
      {"training.threads", absl::StrCat(config.threads)},
      {"training.clip_norm", Exact(config.clip_norm)},
      {"training.clip_value", Exact(config.clip_value)},
      {"training.accumulate_batches", absl::StrCat(config.accumulate_batches)},
      {"training.layer_statistics_every", absl::StrCat(config.layer_statistics_every)},
      {"the instruction sets", InstructionSets()},
      {"what the weights are", OfValues(store)},
  };
  if (config.early_stopping.has_value()) {
    parts.emplace_back("training.early_stopping",
                       Exact(config.early_stopping->patience, config.early_stopping->min_delta));
  }
  return parts;
}

}  // namespace hone::engine::train
