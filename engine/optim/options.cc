#include "engine/optim/options.h"

#include <cmath>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "engine/optim/fields.h"

namespace hone::engine::optim {
namespace {

absl::Status Reject(absl::string_view field, absl::string_view rule, double got) {
  return RejectField(absl::StrCat("optimizer.", field), rule, got);
}

// A field of an optimizer's options and what it has to be.
struct Field {
  absl::string_view name;
  double value;
  enum { kNotNegative, kPositive, kBelowOne } rule;
};

absl::Status Check(absl::string_view kind, std::initializer_list<Field> fields) {
  for (const Field& field : fields) {
    const std::string name = absl::StrCat(kind, ".", field.name);
    const bool finite = std::isfinite(field.value);
    // As a float, which is what the update computes with.
    if (field.rule == Field::kPositive && !(finite && static_cast<float>(field.value) >= 1e-30f)) {
      return Reject(name, "a positive number, at least 1e-30", field.value);
    }
    if (field.rule == Field::kNotNegative && !(finite && field.value >= 0)) {
      return Reject(name, "a finite number, at least 0", field.value);
    }
    if (field.rule == Field::kBelowOne && !(field.value >= 0 && field.value < 1)) {
      return Reject(name, "at least 0 and below 1", field.value);
    }
  }
  return absl::OkStatus();
}

template <class AnyAdam>
absl::Status CheckAdam(absl::string_view kind, const AnyAdam& o) {
  return Check(kind, {{"learning_rate", o.learning_rate, Field::kNotNegative},
                      {"beta1", o.beta1, Field::kBelowOne},
                      {"beta2", o.beta2, Field::kBelowOne},
                      {"epsilon", o.epsilon, Field::kPositive},
                      {"weight_decay", o.weight_decay, Field::kNotNegative}});
}

}  // namespace

absl::string_view NameOf(const OptimizerOptions& options) {
  static constexpr absl::string_view kNames[] = {"sgd", "adam", "adamw", "rmsprop"};
  return kNames[options.index()];
}

double LearningRateOf(const OptimizerOptions& options) {
  return std::visit([](const auto& o) { return o.learning_rate; }, options);
}

double WeightDecayOf(const OptimizerOptions& options) {
  return std::visit([](const auto& o) { return o.weight_decay; }, options);
}

bool IsLazy(const OptimizerOptions& options) {
  const auto* adam = std::get_if<Adam>(&options);
  const auto* adamw = std::get_if<AdamW>(&options);
  return (adam != nullptr && adam->lazy) || (adamw != nullptr && adamw->lazy);
}

absl::Status Validate(const OptimizerOptions& options) {
  return std::visit(
      Overloaded{
          [](const Sgd& o) {
            if (o.nesterov && o.momentum == 0) {
              return absl::InvalidArgumentError(
                  "optimizer.sgd.nesterov: needs a momentum above 0, got momentum 0");
            }
            return Check("sgd", {{"learning_rate", o.learning_rate, Field::kNotNegative},
                                 {"momentum", o.momentum, Field::kBelowOne},
                                 {"weight_decay", o.weight_decay, Field::kNotNegative}});
          },
          [](const Adam& o) { return CheckAdam("adam", o); },
          [](const AdamW& o) { return CheckAdam("adamw", o); },
          [](const RmsProp& o) {
            return Check("rmsprop", {{"learning_rate", o.learning_rate, Field::kNotNegative},
                                     {"decay", o.decay, Field::kBelowOne},
                                     {"epsilon", o.epsilon, Field::kPositive},
                                     {"momentum", o.momentum, Field::kBelowOne},
                                     {"weight_decay", o.weight_decay, Field::kNotNegative}});
          },
      },
      options);
}

std::vector<std::string> StateNames(const OptimizerOptions& options) {
  if (const Sgd* sgd = std::get_if<Sgd>(&options)) {
    return sgd->momentum == 0 ? std::vector<std::string>{} : std::vector<std::string>{"velocity"};
  }
  if (const RmsProp* rmsprop = std::get_if<RmsProp>(&options)) {
    std::vector<std::string> names = {"square"};
    if (rmsprop->momentum != 0) {
      names.push_back("velocity");
    }
    if (rmsprop->centered) {
      names.push_back("mean");
    }
    return names;
  }
  return {"m", "v"};
}

}  // namespace hone::engine::optim
