#include "engine/tasks/q_learner.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {
namespace {

int64_t BestOf(const float* values, int64_t actions) {
  return std::max_element(values, values + actions) - values;
}

}  // namespace

QLearner::QLearner(const ReinforcementLearningOptions& options, uint64_t seed, int64_t batch_size)
    : options_(options),
      seed_(seed),
      episodes_(options.environment, options.copies, seed),
      replay_(options.replay, static_cast<int64_t>(episodes_.record_bytes())),
      waiting_(static_cast<size_t>(options.copies)),
      actions_(episodes_.actions()),
      observation_(episodes_.observation_size()),
      places_(static_cast<size_t>(batch_size)),
      taken_(static_cast<size_t>(batch_size)),
      wanted_(static_cast<size_t>(batch_size)),
      weights_(static_cast<size_t>(batch_size), 1.0f),
      chosen_(static_cast<size_t>(options.copies)) {
  for (Waiting& copy : waiting_) {
    copy.steps.resize(static_cast<size_t>(options_.n_step));
    for (Waiting::Step& step : copy.steps) {
      step.before.resize(episodes_.record_bytes());
    }
  }
}

double QLearner::progress() const {
  return options_.episodes > 0
             ? static_cast<double>(episodes_.ended()) / static_cast<double>(options_.episodes)
             : static_cast<double>(episodes_.steps()) / static_cast<double>(options_.steps);
}

double QLearner::epsilon() const {
  const auto& [start, end, share, decay] = options_.exploration;
  if (decay > 0) {
    return std::max(end, start * decayed_);
  }
  return start + (end - start) * (share > 0 ? std::min(1.0, progress() / share) : 1);
}

bool QLearner::Finished() const {
  return options_.episodes > 0 && episodes_.ended() >= options_.episodes;
}

absl::Status QLearner::BeginStep(const StepContext& context) {
  for (int64_t i = 0; i < options_.steps_each(); i += options_.copies) {
    HONE_RETURN_IF_ERROR(Act(context.programs));
  }
  learns_ = episodes_.steps() >= options_.learning_starts;
  if (!learns_) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(MoveTarget(context.programs.store()));
  return MakeBatch(context);
}

// One step of every copy, with one run of the network for all.
absl::Status QLearner::Act(TaskPrograms& programs) {
  RandomStream random(seed_, "act", static_cast<uint64_t>(episodes_.steps()));
  const double explored = epsilon();
  bool asks = false;
  for (int32_t& action : chosen_) {
    const bool explores = double{random.NextUnit()} < explored;
    action =
        explores ? static_cast<int32_t>(random.NextBelow(static_cast<uint64_t>(actions_))) : -1;
    asks = asks || !explores;
  }
  if (asks) {
    if (act_ == nullptr) {
      HONE_ASSIGN_OR_RETURN(act_, programs.forward(kActProgram, {.batch = options_.copies}));
    }
    auto* seen = static_cast<float*>(act_->input(kFeaturesInput));
    for (size_t i = 0; i < chosen_.size(); ++i) {
      episodes_.Observe(episodes_.state(static_cast<int64_t>(i)),
                        {seen + i * observation_, observation_});
    }
    HONE_RETURN_IF_ERROR(programs.Run(*act_, {}));
    const auto* values = static_cast<const float*>(act_->fetched(0));
    for (size_t i = 0; i < chosen_.size(); ++i) {
      if (chosen_[i] < 0) {
        chosen_[i] =
            static_cast<int32_t>(BestOf(values + static_cast<int64_t>(i) * actions_, actions_));
      }
    }
  }
  for (size_t i = 0; i < chosen_.size(); ++i) {
    Take(static_cast<int64_t>(i), chosen_[i]);
  }
  return absl::OkStatus();
}

void QLearner::Take(int64_t copy, int32_t action) {
  Waiting& waiting = waiting_[static_cast<size_t>(copy)];
  Waiting::Step& last =
      waiting.steps[static_cast<size_t>((waiting.first + waiting.count) % options_.n_step)];
  std::ranges::copy(episodes_.state(copy), last.before.begin());
  const environments::Outcome outcome = episodes_.Step(copy, action);
  const float clip = options_.reward_clip;
  last.action = action;
  last.reward = clip > 0 ? std::clamp(outcome.reward, -clip, clip) : outcome.reward;
  ++waiting.count;
  const bool ends = outcome.terminated || outcome.truncated;
  while (waiting.count > 0 && (ends || waiting.count == options_.n_step)) {
    Remember(waiting, episodes_.state(copy), outcome.terminated);
  }
  if (ends) {
    decayed_ *= options_.exploration.decay > 0 ? options_.exploration.decay : 1;
    episodes_.Begin(copy);
  }
}

// The oldest step that waits, with the rewards of all that do.
void QLearner::Remember(Waiting& waiting, std::span<const std::byte> after, bool terminated) {
  float reward = 0, discount = 1;
  for (int64_t i = 0; i < waiting.count; ++i) {
    const auto place = static_cast<size_t>((waiting.first + i) % options_.n_step);
    reward += discount * waiting.steps[place].reward;
    discount *= options_.discount;
  }
  const Waiting::Step& step = waiting.steps[static_cast<size_t>(waiting.first)];
  replay_.Add({.before = step.before,
               .after = after,
               .action = step.action,
               .reward = reward,
               .discount = terminated ? 0 : discount});
  waiting.first = (waiting.first + 1) % options_.n_step;
  --waiting.count;
}

absl::Status QLearner::MoveTarget(ParameterStore& store) {
  if (networks_.empty()) {
    const std::string prefix = absl::StrCat(kTargetScope, ".");
    for (ParameterId id = 0; id < store.size(); ++id) {
      const std::string& name = store.spec(id).name;
      if (absl::StartsWith(name, prefix)) {
        HONE_ASSIGN_OR_RETURN(const ParameterId online, store.Find(name.substr(prefix.size())));
        networks_.emplace_back(online, id);
      }
    }
  }
  const bool first = copied_ < 0;
  const float rate = first ? 1 : options_.target_rate;
  if (rate == 0 && episodes_.steps() - copied_ < options_.target_every) {
    return absl::OkStatus();
  }
  for (const auto& [online, target] : networks_) {
    HONE_RETURN_IF_ERROR(store.Blend(online, target, rate == 0 ? 1 : rate));
  }
  copied_ = episodes_.steps();
  return absl::OkStatus();
}

absl::Status QLearner::MakeBatch(const StepContext& context) {
  RandomStream random(seed_, "replay", static_cast<uint64_t>(context.step));
  const double beta = options_.replay.beta + (1 - options_.replay.beta) * std::min(1.0, progress());
  replay_.Draw(random, beta, places_, weights_);
  if (after_ == nullptr) {
    HONE_ASSIGN_OR_RETURN(
        after_,
        context.programs.forward(kAfterProgram, {.batch = static_cast<int64_t>(places_.size())}));
  }
  auto* seen = static_cast<float*>(after_->input(kFeaturesInput));
  for (size_t i = 0; i < places_.size(); ++i) {
    episodes_.Observe(replay_.at(places_[i]).after, {seen + i * observation_, observation_});
  }
  HONE_RETURN_IF_ERROR(context.programs.Run(*after_, {}));
  const auto* values = static_cast<const float*>(after_->fetched(0));
  const auto* choosing = options_.double_q ? static_cast<const float*>(after_->fetched(1)) : values;
  for (size_t i = 0; i < places_.size(); ++i) {
    const Transition met = replay_.at(places_[i]);
    const int64_t row = static_cast<int64_t>(i) * actions_;
    taken_[i] = met.action;
    wanted_[i] = met.reward;
    if (met.discount > 0) {
      wanted_[i] += met.discount * values[row + BestOf(choosing + row, actions_)];
    }
  }
  return absl::OkStatus();
}

absl::Status QLearner::Fill(const Examples& examples, const Inputs& inputs) const {
  const auto first = static_cast<size_t>(examples.first), count = examples.rows.size();
  HONE_ASSIGN_OR_RETURN(const std::span<float> seen, inputs.Find<float>(kFeaturesInput));
  for (size_t i = 0; i < count && !seen.empty(); ++i) {
    episodes_.Observe(replay_.at(places_[first + i]).before,
                      seen.subspan(i * observation_, observation_));
  }
  HONE_ASSIGN_OR_RETURN(const std::span<int32_t> taken, inputs.Find<int32_t>(kTakenInput));
  HONE_ASSIGN_OR_RETURN(const std::span<float> wanted, inputs.Find<float>(kWantedInput));
  HONE_ASSIGN_OR_RETURN(const std::span<float> weights, inputs.Find<float>(kWeightsInput));
  std::copy_n(taken_.begin() + static_cast<std::ptrdiff_t>(first), count, taken.begin());
  std::copy_n(wanted_.begin() + static_cast<std::ptrdiff_t>(first), count, wanted.begin());
  std::copy_n(weights_.begin() + static_cast<std::ptrdiff_t>(first), count, weights.begin());
  return absl::OkStatus();
}

void QLearner::AfterUpdate(const UpdateOutcome& outcome) {
  const auto first = static_cast<size_t>(outcome.first);
  const auto count = static_cast<size_t>(outcome.examples);
  const std::span errors(static_cast<const float*>(outcome.program.fetched(kFetchErrors)), count);
  replay_.SetErrors(std::span(places_).subspan(first, count), errors);
  if (first == 0) {
    q_sum_ = 0;
    q_count_ = 0;
  }
  for (size_t i = 0; i < count; ++i) {
    q_sum_ += double{wanted_[first + i]} + double{errors[i]};
  }
  q_count_ += static_cast<int64_t>(count);
}

void QLearner::AddMetrics(std::map<std::string, double>& values) const {
  values["epsilon"] = epsilon();
  if (q_count_ > 0) {
    values["mean_q"] = q_sum_ / static_cast<double>(q_count_);
  }
  episodes_.AddMetrics(values);
}

void QLearner::Save(checkpoint::RunState& state) const {
  state.sections["replay"] = replay_.Save();
  StateWriter out;
  episodes_.Save(out);
  out.Add(copied_);
  out.Add(decayed_);
  out.Add(q_sum_);
  out.Add(q_count_);
  for (const Waiting& waiting : waiting_) {
    out.Add(waiting.first);
    out.Add(waiting.count);
    for (const Waiting::Step& step : waiting.steps) {
      out.AddAll(step.before);
      out.Add(step.action);
      out.Add(step.reward);
    }
  }
  state.sections["episodes"] = out.Take();
}

absl::Status QLearner::Restore(const checkpoint::RunState& state) {
  for (const char* name : {"replay", "episodes"}) {
    if (!state.sections.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the checkpoint has no section \"", name, "\": it is not of an agent"));
    }
  }
  HONE_RETURN_IF_ERROR(replay_.Restore(state.sections.at("replay")));
  StateReader in(state.sections.at("episodes"));
  HONE_RETURN_IF_ERROR(episodes_.Restore(in));
  in.Take(copied_);
  in.Take(decayed_);
  in.Take(q_sum_);
  in.Take(q_count_);
  for (Waiting& waiting : waiting_) {
    in.Take(waiting.first);
    in.Take(waiting.count);
    for (Waiting::Step& step : waiting.steps) {
      in.TakeAll(step.before);
      in.Take(step.action);
      in.Take(step.reward);
    }
    if (!in.ok() || waiting.first < 0 || waiting.first >= options_.n_step || waiting.count < 0 ||
        waiting.count >= options_.n_step) {
      return absl::InvalidArgumentError("the checkpoint's episodes are not of this job");
    }
  }
  return in.done() ? absl::OkStatus()
                   : absl::InvalidArgumentError("the checkpoint's episodes are not of this job");
}

}  // namespace hone::engine::tasks
