#include "engine/tasks/policy_learner.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {
namespace {

// Of two of a batch's advantages that are alike.
constexpr double kLeastDeviation = 1e-8;

// An action at random by the policy, and its log probability.
struct Choice {
  int32_t action;
  float log_probability;
};
Choice Draw(const float* logits, int64_t actions, RandomStream& random) {
  const double most = double{*std::max_element(logits, logits + actions)};
  double total = 0;
  for (int64_t k = 0; k < actions; ++k) {
    total += std::exp(double{logits[k]} - most);
  }
  double left = double{random.NextUnit()} * total;
  int64_t action = 0;
  for (; action < actions - 1; ++action) {
    left -= std::exp(double{logits[action]} - most);
    if (left < 0) {
      break;
    }
  }
  return {.action = static_cast<int32_t>(action),
          .log_probability = static_cast<float>(double{logits[action]} - most - std::log(total))};
}

}  // namespace

void EstimateAdvantages(std::span<const float> rewards, std::span<const float> values,
                        std::span<const float> next, std::span<const uint8_t> ends, double discount,
                        double lambda, std::span<float> advantages) {
  double advantage = 0;
  for (size_t t = rewards.size(); t-- > 0;) {
    const double error = double{rewards[t]} + discount * double{next[t]} - double{values[t]};
    advantage = error + (ends[t] != 0 ? 0 : discount * lambda * advantage);
    advantages[t] = static_cast<float>(advantage);
  }
}

PolicyLearner::PolicyLearner(const ReinforcementLearningOptions& options, uint64_t seed)
    : options_(options),
      policy_(*options.policy),
      seed_(seed),
      episodes_(options.environment, options.copies, seed),
      size_(policy_.rollout * options.copies),
      updates_(policy_.updates(options.copies)),
      used_(updates_),
      records_(static_cast<size_t>(size_) * episodes_.record_bytes()),
      taken_(static_cast<size_t>(size_)),
      log_taken_(static_cast<size_t>(size_)),
      advantages_(static_cast<size_t>(size_)),
      returns_(static_cast<size_t>(size_)),
      order_(static_cast<size_t>(size_)),
      places_(static_cast<size_t>(policy_.minibatch)),
      scaled_(static_cast<size_t>(policy_.minibatch)) {}

int64_t PolicyLearner::BytesFor(const ReinforcementLearningOptions& options, int64_t record_bytes) {
  constexpr int64_t kNumbers = 9 * 4;  // of a step, while a rollout is made
  return options.policy->rollout * options.copies * (record_bytes + kNumbers);
}

bool PolicyLearner::Finished() const {
  return options_.episodes > 0 && episodes_.ended() >= options_.episodes && used_ == updates_;
}

absl::Status PolicyLearner::BeginStep(const StepContext& context) {
  if (used_ == updates_) {
    HONE_RETURN_IF_ERROR(Collect(context.programs));
    ++rollouts_;
    used_ = 0;
  }
  MakeMinibatch();
  ++used_;
  return absl::OkStatus();
}

absl::Status PolicyLearner::Look(TaskPrograms& programs, std::span<const std::byte> records) {
  if (act_ == nullptr) {
    HONE_ASSIGN_OR_RETURN(act_, programs.forward(kActProgram, {.batch = options_.copies}));
  }
  const size_t bytes = episodes_.record_bytes(), size = episodes_.observation_size();
  auto* seen = static_cast<float*>(act_->input(kFeaturesInput));
  std::fill_n(seen, static_cast<size_t>(options_.copies) * size, 0.0f);
  for (size_t i = 0; i < records.size() / bytes; ++i) {
    episodes_.Observe(records.subspan(i * bytes, bytes), {seen + i * size, size});
  }
  return programs.Run(*act_, {});
}

// All copies act side by side; their steps lie apart.
absl::Status PolicyLearner::Collect(TaskPrograms& programs) {
  const size_t bytes = episodes_.record_bytes();
  const auto copies = static_cast<size_t>(options_.copies);
  const auto steps = static_cast<size_t>(policy_.rollout);
  const auto count = static_cast<size_t>(size_);
  std::vector<float> rewards(count), valued(count), next(count);
  std::vector<uint8_t> ends(count);
  std::vector<std::byte> states(copies * bytes);
  std::vector<std::byte> cut_records;  // the ends of episodes that were cut short …
  std::vector<size_t> cut_places;      // … and the steps before them
  for (size_t t = 0; t <= steps; ++t) {
    for (size_t i = 0; i < copies; ++i) {
      std::ranges::copy(episodes_.state(static_cast<int64_t>(i)),
                        states.begin() + static_cast<std::ptrdiff_t>(i * bytes));
    }
    HONE_RETURN_IF_ERROR(Look(programs, states));
    for (size_t i = 0; i < copies && t > 0; ++i) {
      const size_t before = i * steps + t - 1;
      next[before] = ends[before] != 0 ? 0 : values()[i];
    }
    if (t == steps) {
      break;
    }
    RandomStream random(seed_, "act", static_cast<uint64_t>(episodes_.steps()));
    for (size_t i = 0; i < copies; ++i) {
      const size_t place = i * steps + t;
      const auto copy = static_cast<int64_t>(i);
      const Choice choice =
          Draw(logits() + copy * episodes_.actions(), episodes_.actions(), random);
      std::copy_n(states.begin() + static_cast<std::ptrdiff_t>(i * bytes), bytes,
                  records_.begin() + static_cast<std::ptrdiff_t>(place * bytes));
      taken_[place] = choice.action;
      log_taken_[place] = choice.log_probability;
      valued[place] = values()[i];
      const environments::Outcome outcome = episodes_.Step(copy, choice.action);
      const float clip = options_.reward_clip;
      rewards[place] = clip > 0 ? std::clamp(outcome.reward, -clip, clip) : outcome.reward;
      if (outcome.terminated || outcome.truncated) {
        ends[place] = 1;
        if (!outcome.terminated) {
          const std::span<const std::byte> end = episodes_.state(copy);
          cut_records.insert(cut_records.end(), end.begin(), end.end());
          cut_places.push_back(place);
        }
        episodes_.Begin(copy);
      }
    }
  }
  for (size_t first = 0; first < cut_places.size(); first += copies) {
    const size_t some = std::min(copies, cut_places.size() - first);
    HONE_RETURN_IF_ERROR(
        Look(programs, std::span(cut_records).subspan(first * bytes, some * bytes)));
    for (size_t i = 0; i < some; ++i) {
      next[cut_places[first + i]] = values()[i];
    }
  }
  for (size_t i = 0; i < copies; ++i) {
    const auto of_copy = [&](auto& all) { return std::span(all).subspan(i * steps, steps); };
    EstimateAdvantages(of_copy(rewards), of_copy(valued), of_copy(next), of_copy(ends),
                       double{options_.discount}, policy_.lambda, of_copy(advantages_));
  }
  for (size_t place = 0; place < count; ++place) {
    returns_[place] = advantages_[place] + valued[place];
  }
  return absl::OkStatus();
}

void PolicyLearner::MakeMinibatch() {
  const int64_t each = size_ / policy_.minibatch;  // of an epoch
  const int64_t epoch = rollouts_ * policy_.epochs + used_ / each;
  if (order_of_ != epoch) {
    order_of_ = epoch;
    std::iota(order_.begin(), order_.end(), 0);
    RandomStream random(seed_, "minibatches", static_cast<uint64_t>(epoch));
    for (size_t i = order_.size(); i > 1; --i) {
      std::swap(order_[i - 1], order_[random.NextBelow(i)]);
    }
  }
  std::copy_n(order_.begin() + used_ % each * policy_.minibatch, policy_.minibatch,
              places_.begin());
  double mean = 0, squares = 0;
  const auto count = static_cast<double>(places_.size());
  if (policy_.normalize_advantages && places_.size() > 1) {
    for (const int32_t place : places_) {
      mean += double{advantages_[static_cast<size_t>(place)]} / count;
    }
    for (const int32_t place : places_) {
      const double from_mean = double{advantages_[static_cast<size_t>(place)]} - mean;
      squares += from_mean * from_mean;
    }
  }
  const double deviation = policy_.normalize_advantages && places_.size() > 1
                               ? std::sqrt(squares / (count - 1)) + kLeastDeviation
                               : 1;
  for (size_t i = 0; i < places_.size(); ++i) {
    scaled_[i] = static_cast<float>((double{advantages_[static_cast<size_t>(places_[i])]} - mean) /
                                    deviation);
  }
}

absl::Status PolicyLearner::Fill(const Examples& examples, const Inputs& inputs) const {
  const auto first = static_cast<size_t>(examples.first), count = examples.rows.size();
  const size_t bytes = episodes_.record_bytes(), size = episodes_.observation_size();
  HONE_ASSIGN_OR_RETURN(const std::span<float> seen, inputs.Find<float>(kFeaturesInput));
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> taken, inputs.Find<int32_t>(kTakenInput));
  HONE_ASSIGN_OR_RETURN(const std::span<float> log_taken, inputs.Find<float>(kLogTakenInput));
  HONE_ASSIGN_OR_RETURN(const std::span<float> advantages, inputs.Find<float>(kAdvantagesInput));
  HONE_ASSIGN_OR_RETURN(const std::span<float> returns, inputs.Find<float>(kReturnsInput));
  for (size_t i = 0; i < count; ++i) {
    const auto place = static_cast<size_t>(places_[first + i]);
    if (!seen.empty()) {
      episodes_.Observe(std::span(records_).subspan(place * bytes, bytes),
                        seen.subspan(i * size, size));
    }
    taken[i] = taken_[place];
    log_taken[i] = log_taken_[place];
    advantages[i] = scaled_[first + i];
    returns[i] = returns_[place];
  }
  return absl::OkStatus();
}

void PolicyLearner::AfterUpdate(const UpdateOutcome& outcome) {
  if (outcome.first == 0) {
    entropy_ = divergence_ = clipped_ = value_errors_ = 0;
    examples_ = 0;
  }
  entropy_ += double{outcome.program.fetched_scalar(kFetchEntropy)};
  divergence_ += double{outcome.program.fetched_scalar(kFetchDivergence)};
  clipped_ += double{outcome.program.fetched_scalar(kFetchClipped)};
  value_errors_ += double{outcome.program.fetched_scalar(kFetchValueErrors)};
  examples_ += outcome.examples;
}

void PolicyLearner::AddMetrics(std::map<std::string, double>& values) const {
  if (examples_ > 0) {
    const auto count = static_cast<double>(examples_);
    values["entropy"] = entropy_ / count;
    values["policy_divergence"] = divergence_ / count;
    values["clipped_share"] = clipped_ / count;
    values["value_error"] = value_errors_ / count;
  }
  episodes_.AddMetrics(values);
}

void PolicyLearner::Save(checkpoint::RunState& state) const {
  StateWriter rollout;
  rollout.AddAll(records_);
  rollout.AddAll(taken_);
  rollout.AddAll(log_taken_);
  rollout.AddAll(advantages_);
  rollout.AddAll(returns_);
  state.sections["rollout"] = rollout.Take();
  StateWriter out;
  episodes_.Save(out);
  for (const int64_t number : {used_, rollouts_, examples_}) {
    out.Add(number);
  }
  for (const double number : {entropy_, divergence_, clipped_, value_errors_}) {
    out.Add(number);
  }
  state.sections["episodes"] = out.Take();
}

absl::Status PolicyLearner::Restore(const checkpoint::RunState& state) {
  for (const char* name : {"rollout", "episodes"}) {
    if (!state.sections.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the checkpoint has no section \"", name,
                       "\": it is not of an agent that learns a policy"));
    }
  }
  StateReader rollout(state.sections.at("rollout"));
  rollout.TakeAll(records_);
  rollout.TakeAll(taken_);
  rollout.TakeAll(log_taken_);
  rollout.TakeAll(advantages_);
  rollout.TakeAll(returns_);
  StateReader in(state.sections.at("episodes"));
  HONE_RETURN_IF_ERROR(episodes_.Restore(in));
  for (int64_t* number : {&used_, &rollouts_, &examples_}) {
    in.Take(*number);
  }
  for (double* number : {&entropy_, &divergence_, &clipped_, &value_errors_}) {
    in.Take(*number);
  }
  if (!rollout.done() || !in.done() || used_ < 0 || used_ > updates_) {
    return absl::InvalidArgumentError("the checkpoint's rollout is not of this job");
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
