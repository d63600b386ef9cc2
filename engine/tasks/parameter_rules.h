#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::engine::tasks {

// What is different about some of a model's parameters. Of several rules that name a parameter, the
// last that says something of it counts, for each thing that is said.
struct ParameterRule {
  // The beginning of their names, up to a dot or the end, "encoder.layer"; or a glob over the whole
  // name, in which * stands for dots, too: "encoder.layer.[0-3].*", "*.bias".
  std::string parameters;
  std::optional<bool> freeze =
      {};  // they keep their values; those of a frozen layer do in any case
  std::optional<float> learning_rate_factor = {};
  // They keep their values in the first so many updates, and begin then.
  std::optional<int64_t> freeze_until_step = {};
  std::optional<float> weight_decay = {};  // of those that decay at all: no bias, no normalisation

  std::string field = {};      // where the job says so, for errors: "training.parameter_rules[0]"
  bool may_name_none = false;  // it is no error where it names no parameter
};

bool RuleNames(const ParameterRule& rule, absl::string_view parameter);

bool Freezes(const std::vector<ParameterRule>& rules, absl::string_view parameter);
float LearningRateFactor(const std::vector<ParameterRule>& rules, absl::string_view parameter);
int64_t FrozenUpdates(const std::vector<ParameterRule>& rules, absl::string_view parameter);
std::optional<float> WeightDecay(const std::vector<ParameterRule>& rules,
                                 absl::string_view parameter);

// For each of a model's parameters, in the order in which its layers are built, how many layers lie
// behind its own. A layer is a block where several are alike ("block_1", "block_2", …, which have
// layers of their own): what stands before the first of them is one layer, and so is what stands
// behind the last; what stands between two belongs to the one before it. Else it is what parameters
// have before the first dot.
std::vector<int> LayersBehind(const std::vector<std::string>& parameters);

// INVALID_ARGUMENT: "training.parameter_rules[0] (encodr.*): …", or another field, for a rule that
// says nothing, whose numbers are negative or not finite, or that names none of the parameters
// there are.
absl::Status CheckRules(const std::vector<ParameterRule>& rules,
                        const std::vector<std::string>& parameters);

}  // namespace hone::engine::tasks
