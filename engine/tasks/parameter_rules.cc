#include "engine/tasks/parameter_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

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

std::string Problem(const ParameterRule& rule, const std::vector<std::string>& parameters) {
  constexpr size_t kNamed = 20;
  if (!rule.freeze && !rule.learning_rate_factor && !rule.weight_decay) {
    return "must say freeze, learning_rate_factor or weight_decay";
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

std::optional<float> WeightDecay(const std::vector<ParameterRule>& rules,
                                 absl::string_view parameter) {
  return LastSaid(rules, parameter, &ParameterRule::weight_decay);
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
