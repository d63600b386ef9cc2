#include "engine/tasks/parameter_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/models/lora.h"

namespace hone::engine::tasks {
namespace {

// What the last of the rules that name the parameter says, where one says it.
template <typename T>
std::optional<T> LastSaid(const std::vector<ParameterRule>& rules, absl::string_view parameter,
                          std::optional<T> ParameterRule::*what) {
  std::optional<T> said;
  for (const ParameterRule& rule : rules) {
    if ((rule.*what).has_value() && RuleNames(rule, parameter)) {
      said = rule.*what;
    }
  }
  return said;
}

std::string TopOf(const std::string& parameter) { return parameter.substr(0, parameter.find('.')); }

// "block" of "block_1.attention.query.weight", which lies in a layer of "block_1"; empty where the
// name has no number there, or the parameter is the numbered layer's own.
std::string StemOfBlock(const std::string& parameter) {
  const absl::string_view product = models::ProductOfFactor(parameter);
  const std::string top = TopOf(parameter);
  const std::string layer(product.empty() ? parameter.substr(0, parameter.rfind('.')) : product);
  const size_t line = top.rfind('_');
  int64_t number = 0;
  return layer != top && line != std::string::npos && line > 0 &&
                 absl::SimpleAtoi(top.substr(line + 1), &number)
             ? top.substr(0, line)
             : "";
}

std::string Problem(const ParameterRule& rule, const std::vector<std::string>& parameters) {
  constexpr size_t kNamed = 20;
  if (!rule.freeze && !rule.learning_rate_factor && !rule.weight_decay && !rule.freeze_until_step) {
    return "must say freeze, freeze_until_step, learning_rate_factor or weight_decay";
  }
  if (rule.freeze_until_step && *rule.freeze_until_step < 0) {
    return absl::StrCat("freeze_until_step must be 0 or more, got ", *rule.freeze_until_step);
  }
  for (const auto& [name, value] : {std::pair("learning_rate_factor", rule.learning_rate_factor),
                                    {"weight_decay", rule.weight_decay}}) {
    if (value && !(std::isfinite(*value) && *value >= 0)) {
      return absl::StrCat(name, " must be 0 or more, got ", *value);
    }
  }
  if (rule.may_name_none ||
      std::ranges::any_of(parameters, [&](const auto& name) { return RuleNames(rule, name); })) {
    return "";
  }
  const auto end =
      parameters.begin() + static_cast<std::ptrdiff_t>(std::min(parameters.size(), kNamed));
  return absl::StrCat(
      "names no parameter; there are: ", absl::StrJoin(parameters.begin(), end, ", "),
      parameters.size() > kNamed ? absl::StrCat(" and ", parameters.size() - kNamed, " more") : "");
}

}  // namespace

bool RuleNames(const ParameterRule& rule, absl::string_view parameter) {
  const std::string& pattern = rule.parameters;
  if (pattern.find_first_of("*?[") != std::string::npos) {
    return fnmatch(pattern.c_str(), std::string(parameter).c_str(), FNM_NOESCAPE) == 0;
  }
  return !pattern.empty() && absl::StartsWith(parameter, pattern) &&
         (parameter.size() == pattern.size() || pattern.back() == '.' ||
          parameter[pattern.size()] == '.');
}

bool Freezes(const std::vector<ParameterRule>& rules, absl::string_view parameter) {
  return LastSaid(rules, parameter, &ParameterRule::freeze).value_or(false);
}

float LearningRateFactor(const std::vector<ParameterRule>& rules, absl::string_view parameter) {
  return LastSaid(rules, parameter, &ParameterRule::learning_rate_factor).value_or(1);
}

int64_t FrozenUpdates(const std::vector<ParameterRule>& rules, absl::string_view parameter) {
  return LastSaid(rules, parameter, &ParameterRule::freeze_until_step).value_or(0);
}

std::optional<float> WeightDecay(const std::vector<ParameterRule>& rules,
                                 absl::string_view parameter) {
  return LastSaid(rules, parameter, &ParameterRule::weight_decay);
}

std::vector<int> LayersBehind(const std::vector<std::string>& parameters) {
  std::map<std::string, std::set<std::string>> alike;  // blocks, by what stands before the number
  for (const std::string& parameter : parameters) {
    if (const std::string stem = StemOfBlock(parameter); !stem.empty()) {
      alike[stem].insert(TopOf(parameter));
    }
  }
  const auto is_block = [&](const std::string& parameter) {
    const std::string stem = StemOfBlock(parameter);
    return !stem.empty() && alike[stem].size() > 1;
  };
  int blocks = 0;
  for (const auto& [stem, tops] : alike) {
    blocks += tops.size() > 1 ? static_cast<int>(tops.size()) : 0;
  }
  std::map<std::string, int> layer_of;  // by the first part of names, counted from the front
  int last = 0, seen = 0;
  for (const std::string& parameter : parameters) {
    const auto [layer, is_new] = layer_of.try_emplace(TopOf(parameter), 0);
    if (!is_new) {
      continue;
    }
    if (blocks == 0) {
      layer->second = seen++;
    } else if (is_block(parameter)) {
      layer->second = ++seen;
    } else {
      // What stands between blocks, as the norm behind an encoder, belongs to the block before it.
      layer->second = seen < blocks ? seen : blocks + 1;
    }
    last = std::max(last, layer->second);
  }
  std::vector<int> behind;
  for (const std::string& parameter : parameters) {
    behind.push_back(last - layer_of[TopOf(parameter)]);
  }
  return behind;
}

absl::Status CheckRules(const std::vector<ParameterRule>& rules,
                        const std::vector<std::string>& parameters) {
  for (size_t i = 0; i < rules.size(); ++i) {
    if (const std::string problem = Problem(rules[i], parameters); !problem.empty()) {
      const std::string field = rules[i].field.empty()
                                    ? absl::StrCat("training.parameter_rules[", i, "]")
                                    : rules[i].field;
      return absl::InvalidArgumentError(
          absl::StrCat(field, " (", rules[i].parameters, "): ", problem));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
