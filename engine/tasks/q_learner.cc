#include "engine/tasks/q_learner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {
namespace {

constexpr int64_t kRecentEpisodes = 100;

int64_t BestOf(const float* values, int64_t actions) {
  return std::max_element(values, values + actions) - values;
}

// Numbers and texts one after another.
class Writer {
 public:
  template <class T>
  void Add(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void AddBytes(const void* bytes, size_t size) {
    Add(static_cast<int64_t>(size));
    out_.append(static_cast<const char*>(bytes), size);
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(const std::string& in) : in_(in) {}

  template <class T>
  void Take(T& value) {
    if (!Has(sizeof(value))) {
      return;
    }
    std::memcpy(&value, in_.data() + at_, sizeof(value));
    at_ += sizeof(value);
  }
  std::string TakeBytes() {
    int64_t size = 0;
    Take(size);
    if (size < 0 || !Has(static_cast<size_t>(size))) {
      ok_ = false;
      return "";
    }
    at_ += static_cast<size_t>(size);
    return in_.substr(at_ - static_cast<size_t>(size), static_cast<size_t>(size));
  }
  // As many as it has.
  void TakeBytes(std::vector<std::byte>& into) {
    const std::string bytes = TakeBytes();
    ok_ = ok_ && bytes.size() == into.size();
    if (ok_) {
      std::memcpy(into.data(), bytes.data(), bytes.size());
    }
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && at_ == in_.size(); }

 private:
  bool Has(size_t size) {
    ok_ = ok_ && in_.size() - at_ >= size;
    return ok_;
  }

  const std::string& in_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace

QLearner::QLearner(const ReinforcementLearningOptions& options, uint64_t seed, int64_t batch_size)
    : options_(options),
      seed_(seed),
      replay_(options.replay,
              environments::MakeEnvironment(options.environment)->spec().record_bytes),
      copies_(static_cast<size_t>(options.copies)),
      places_(static_cast<size_t>(batch_size)),
      taken_(static_cast<size_t>(batch_size)),
      wanted_(static_cast<size_t>(batch_size)),
      weights_(static_cast<size_t>(batch_size), 1.0f),
      chosen_(static_cast<size_t>(options.copies)) {
  recent_.reserve(kRecentEpisodes);
  for (Copy& copy : copies_) {
    copy.environment = environments::MakeEnvironment(options_.environment);
    const environments::EnvironmentSpec& spec = copy.environment->spec();
    copy.state.resize(static_cast<size_t>(spec.record_bytes));
    copy.steps.resize(static_cast<size_t>(options_.n_step));
    for (Copy::Step& step : copy.steps) {
      step.before.resize(copy.state.size());
    }
    actions_ = static_cast<int64_t>(spec.actions.size());
    observation_ = static_cast<size_t>(spec.observation_size());
    Begin(copy);
  }
}

double QLearner::progress() const {
  return options_.episodes > 0
             ? static_cast<double>(episodes_) / static_cast<double>(options_.episodes)
             : static_cast<double>(steps_) / static_cast<double>(options_.steps);
}

double QLearner::epsilon() const {
  const auto& [start, end, share, decay] = options_.exploration;
  if (decay > 0) {
    return std::max(end, start * decayed_);
  }
  return start + (end - start) * (share > 0 ? std::min(1.0, progress() / share) : 1);
}

bool QLearner::Finished() const { return options_.episodes > 0 && episodes_ >= options_.episodes; }

absl::Status QLearner::BeginStep(const StepContext& context) {
  for (int64_t i = 0; i < options_.steps_each(); i += options_.copies) {
    HONE_RETURN_IF_ERROR(Act(context.programs));
  }
  learns_ = steps_ >= options_.learning_starts;
  if (!learns_) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(MoveTarget(context.programs.store()));
  return MakeBatch(context);
}

// One step of every copy, with one run of the network for all.
absl::Status QLearner::Act(TaskPrograms& programs) {
  RandomStream random(seed_, "act", static_cast<uint64_t>(steps_));
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
    for (size_t i = 0; i < copies_.size(); ++i) {
      copies_[i].environment->Observe(copies_[i].state, {seen + i * observation_, observation_});
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
  for (size_t i = 0; i < copies_.size(); ++i) {
    Take(copies_[i], chosen_[i]);
  }
  return absl::OkStatus();
}

void QLearner::Take(Copy& copy, int32_t action) {
  const environments::Outcome outcome = copy.environment->Step(action);
  const float clip = options_.reward_clip;
  const auto last = static_cast<size_t>((copy.first + copy.waiting) % options_.n_step);
  copy.steps[last].before = copy.state;
  copy.steps[last].action = action;
  copy.steps[last].reward = clip > 0 ? std::clamp(outcome.reward, -clip, clip) : outcome.reward;
  ++copy.waiting;
  copy.environment->Record(copy.state);
  copy.sum += double{outcome.reward};
  ++copy.length;
  ++steps_;
  const bool ends = outcome.terminated || outcome.truncated;
  while (copy.waiting > 0 && (ends || copy.waiting == options_.n_step)) {
    Remember(copy, outcome.terminated);
  }
  if (ends) {
    const Episode episode = {.sum = copy.sum,
                             .length = static_cast<double>(copy.length),
                             .solved = outcome.solved ? 1.0 : 0.0};
    if (static_cast<int64_t>(recent_.size()) < kRecentEpisodes) {
      recent_.push_back(episode);
    } else {
      recent_[static_cast<size_t>(episodes_ % kRecentEpisodes)] = episode;
    }
    ++episodes_;
    decayed_ *= options_.exploration.decay > 0 ? options_.exploration.decay : 1;
    Begin(copy);
  }
}

// The oldest step that waits, with the rewards of all that do.
void QLearner::Remember(Copy& copy, bool terminated) {
  float reward = 0, discount = 1;
  for (int64_t i = 0; i < copy.waiting; ++i) {
    const auto place = static_cast<size_t>((copy.first + i) % options_.n_step);
    reward += discount * copy.steps[place].reward;
    discount *= options_.discount;
  }
  const Copy::Step& step = copy.steps[static_cast<size_t>(copy.first)];
  replay_.Add({.before = step.before,
               .after = copy.state,
               .action = step.action,
               .reward = reward,
               .discount = terminated ? 0 : discount});
  copy.first = (copy.first + 1) % options_.n_step;
  --copy.waiting;
}

void QLearner::Begin(Copy& copy) {
  RandomStream random(seed_, "episode", static_cast<uint64_t>(begun_++));
  const uint64_t high = random.NextBits();
  copy.environment->Reset(high << 32 | random.NextBits());
  copy.environment->Record(copy.state);
  copy.sum = 0;
  copy.length = 0;
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
  if (rate == 0 && steps_ - copied_ < options_.target_every) {
    return absl::OkStatus();
  }
  for (const auto& [online, target] : networks_) {
    HONE_RETURN_IF_ERROR(store.Blend(online, target, rate == 0 ? 1 : rate));
  }
  copied_ = steps_;
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
  const environments::Environment& environment = *copies_.front().environment;
  auto* seen = static_cast<float*>(after_->input(kFeaturesInput));
  for (size_t i = 0; i < places_.size(); ++i) {
    environment.Observe(replay_.at(places_[i]).after, {seen + i * observation_, observation_});
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
  const environments::Environment& environment = *copies_.front().environment;
  for (size_t i = 0; i < count && !seen.empty(); ++i) {
    environment.Observe(replay_.at(places_[first + i]).before,
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
  values["environment_steps"] = static_cast<double>(steps_);
  values["episodes"] = static_cast<double>(episodes_);
  if (q_count_ > 0) {
    values["mean_q"] = q_sum_ / static_cast<double>(q_count_);
  }
  if (recent_.empty()) {
    return;
  }
  Episode sum;
  for (const Episode& episode : recent_) {
    sum.sum += episode.sum;
    sum.length += episode.length;
    sum.solved += episode.solved;
  }
  const auto count = static_cast<double>(recent_.size());
  values["recent_return"] = sum.sum / count;
  values["recent_length"] = sum.length / count;
  values["recent_success_rate"] = sum.solved / count;
}

void QLearner::Save(checkpoint::RunState& state) const {
  state.sections["replay"] = replay_.Save();
  Writer out;
  for (const int64_t number : {steps_, episodes_, begun_, copied_, q_count_}) {
    out.Add(number);
  }
  out.Add(decayed_);
  out.Add(q_sum_);
  out.AddBytes(recent_.data(), recent_.size() * sizeof(Episode));
  for (const Copy& copy : copies_) {
    const std::string saved = copy.environment->Save();
    out.AddBytes(saved.data(), saved.size());
    out.AddBytes(copy.state.data(), copy.state.size());
    out.Add(copy.sum);
    out.Add(copy.length);
    out.Add(copy.first);
    out.Add(copy.waiting);
    for (const Copy::Step& step : copy.steps) {
      out.AddBytes(step.before.data(), step.before.size());
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
  Reader in(state.sections.at("episodes"));
  for (int64_t* number : {&steps_, &episodes_, &begun_, &copied_, &q_count_}) {
    in.Take(*number);
  }
  in.Take(decayed_);
  in.Take(q_sum_);
  const std::string recent = in.TakeBytes();
  recent_.resize(std::min<size_t>(recent.size() / sizeof(Episode), kRecentEpisodes));
  std::memcpy(recent_.data(), recent.data(), recent_.size() * sizeof(Episode));
  for (Copy& copy : copies_) {
    HONE_RETURN_IF_ERROR(copy.environment->Restore(in.TakeBytes()));
    in.TakeBytes(copy.state);
    in.Take(copy.sum);
    in.Take(copy.length);
    in.Take(copy.first);
    in.Take(copy.waiting);
    for (Copy::Step& step : copy.steps) {
      in.TakeBytes(step.before);
      in.Take(step.action);
      in.Take(step.reward);
    }
    if (!in.ok() || copy.first < 0 || copy.first >= options_.n_step || copy.waiting < 0 ||
        copy.waiting >= options_.n_step) {
      return absl::InvalidArgumentError("the checkpoint's episodes are not of this job");
    }
  }
  return in.done() ? absl::OkStatus()
                   : absl::InvalidArgumentError("the checkpoint's episodes are not of this job");
}

}  // namespace hone::engine::tasks
