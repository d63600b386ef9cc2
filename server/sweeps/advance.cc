#include "server/sweeps/advance.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/utf8.h"
#include "server/sweeps/search.h"

namespace hone::server::sweeps {
namespace {

constexpr size_t kMostMetrics = 64;
constexpr size_t kMostMessage = 2000;  // bytes

bool Better(const v1::SweepSpec& spec, const v1::Trial& a, const v1::Trial& b) {
  if (a.has_objective() != b.has_objective()) {
    return a.has_objective();
  }
  if (a.has_objective()) {
    if (a.rung() != b.rung()) {
      return a.rung() > b.rung();
    }
    if (a.objective() != b.objective()) {
      return spec.objective().goal() == v1::Objective::MINIMIZE ? a.objective() < b.objective()
                                                                : a.objective() > b.objective();
    }
  }
  return a.number() < b.number();
}

int Count(const v1::Sweep& sweep, v1::Trial::State state) {
  return static_cast<int>(std::ranges::count(sweep.trials(), state, &v1::Trial::state));
}

// In words; "": there is some left.
std::string WhyNoBudget(const v1::Sweep& sweep, double elapsed_seconds) {
  const v1::Budget& budget = sweep.spec().budget();
  int64_t steps = 0;
  for (const v1::Trial& trial : sweep.trials()) {
    steps += trial.steps();
  }
  if (budget.steps() > 0 && steps >= budget.steps()) {
    return absl::StrCat("the budget of ", budget.steps(), " steps was used up");
  }
  if (budget.seconds() > 0 && elapsed_seconds >= budget.seconds()) {
    return absl::StrCat("the budget of ", budget.seconds(), " seconds was used up");
  }
  return "";
}

void StopTrial(const std::string& why, v1::Trial& trial) {
  trial.set_state(v1::Trial::STOPPED);
  trial.set_message(why);
}

// All of a rung have trained: the best go on to the next one.
void Promote(int rung, v1::Sweep& sweep) {
  std::vector<v1::Trial*> resting;
  for (v1::Trial& trial : *sweep.mutable_trials()) {
    if (trial.state() == v1::Trial::RESTING && trial.rung() == rung) {
      resting.push_back(&trial);
    }
  }
  std::ranges::sort(resting, [&](const v1::Trial* a, const v1::Trial* b) {
    return Better(sweep.spec(), *a, *b);
  });
  const auto room = static_cast<size_t>(TrialsInRung(sweep.spec(), sweep.trials_size(), rung + 1));
  for (size_t i = 0; i < resting.size(); ++i) {
    if (i < room) {
      resting[i]->set_rung(rung + 1);
      resting[i]->set_state(v1::Trial::WAITING);
    } else {
      StopTrial(absl::StrCat("others were better after rung ", rung), *resting[i]);
    }
  }
}

void End(v1::Sweep& sweep) {
  const bool any =
      std::ranges::any_of(sweep.trials(), [](const v1::Trial& t) { return t.has_objective(); });
  if (any) {
    sweep.set_state(v1::Sweep::SUCCEEDED);
    return;
  }
  sweep.set_state(v1::Sweep::FAILED);
  const auto failed = std::ranges::find(sweep.trials(), v1::Trial::FAILED, &v1::Trial::state);
  sweep.set_message(
      failed == sweep.trials().end()
          ? "no trial came to its end"
          : absl::StrCat("no trial ended well; trial ", failed->number(), ": ", failed->message()));
}

// A trial has trained well and has no such metric: nor will any other.
const v1::Trial* WithoutObjective(const v1::Sweep& sweep) {
  const bool any =
      std::ranges::any_of(sweep.trials(), [](const v1::Trial& t) { return t.has_objective(); });
  const auto without = std::ranges::find_if(
      sweep.trials(), [](const v1::Trial& t) { return t.without_objective(); });
  return any || without == sweep.trials().end() ? nullptr : &*without;
}

// The metric's value; else the names of those there are.
std::optional<double> Find(const std::string& metric, const v1::Job& job, std::string& names) {
  std::map<std::string, double> values(job.metrics().begin(), job.metrics().end());
  for (const auto& [name, value] : job.evaluation().metrics()) {
    values[name] = value;
  }
  if (const auto found = values.find(metric); found != values.end()) {
    return found->second;
  }
  names = absl::StrJoin(
      values, ", ", [](std::string* out, const auto& value) { absl::StrAppend(out, value.first); });
  return std::nullopt;
}

}  // namespace

bool IsEnd(v1::Sweep::State state) {
  return state == v1::Sweep::SUCCEEDED || state == v1::Sweep::FAILED ||
         state == v1::Sweep::CANCELLED;
}

bool IsEnd(v1::Trial::State state) {
  return state == v1::Trial::SUCCEEDED || state == v1::Trial::FAILED ||
         state == v1::Trial::CANCELLED || state == v1::Trial::STOPPED;
}

std::vector<int> Advance(v1::Sweep& sweep, double elapsed_seconds) {
  std::vector<int> begin;
  if (IsEnd(sweep.state())) {
    return begin;
  }
  if (const v1::Trial* without = WithoutObjective(sweep);
      without != nullptr && sweep.state() == v1::Sweep::RUNNING) {
    Stop(v1::Sweep::FAILED,
         absl::StrCat("objective.metric: trial ", without->number(), " ", without->message()),
         sweep);
  }
  const int running = Count(sweep, v1::Trial::RUNNING);
  if (sweep.state() == v1::Sweep::STOPPING) {
    if (running == 0) {
      sweep.set_state(sweep.ends_as());
    }
    Summarise(sweep);
    return begin;
  }
  const auto rungs = static_cast<int>(Rungs(sweep.spec()).size());
  if (const std::string why = WhyNoBudget(sweep, elapsed_seconds); !why.empty()) {
    for (v1::Trial& trial : *sweep.mutable_trials()) {
      if (trial.state() == v1::Trial::WAITING || trial.state() == v1::Trial::RESTING) {
        StopTrial(why, trial);
      }
    }
  }
  for (int rung = 1; rung < rungs; ++rung) {
    const bool unfinished = std::ranges::any_of(sweep.trials(), [&](const v1::Trial& trial) {
      return trial.rung() == rung &&
             (trial.state() == v1::Trial::WAITING || trial.state() == v1::Trial::RUNNING);
    });
    if (!unfinished) {
      Promote(rung, sweep);
    }
  }
  const int room = sweep.spec().parallelism() - running;
  for (const v1::Trial& trial : sweep.trials()) {
    if (static_cast<int>(begin.size()) < room && trial.state() == v1::Trial::WAITING) {
      begin.push_back(trial.number());
    }
  }
  if (running == 0 && begin.empty()) {
    End(sweep);
  }
  Summarise(sweep);
  return begin;
}

void TakeResult(const v1::SweepSpec& spec, const v1::Job& job,
                const v1::LayerStatistics& statistics, v1::Trial& trial) {
  trial.set_steps(std::max(trial.steps(), job.progress().step()));
  trial.set_training_seconds(job.progress().active_seconds());
  trial.set_parameters(job.plan().parameters());
  trial.set_depth(job.plan().depth());
  trial.set_model(job.model());
  trial.clear_metrics();
  for (const auto& [name, value] : std::map<std::string, double>(
           job.evaluation().metrics().begin(), job.evaluation().metrics().end())) {
    if (trial.metrics_size() < static_cast<int>(kMostMetrics)) {
      (*trial.mutable_metrics())[name] = value;
    }
  }
  trial.clear_verdicts();
  for (const v1::LayerStatistics::Layer& layer : statistics.layers()) {
    if (!layer.verdict().empty()) {
      ++(*trial.mutable_verdicts())[layer.verdict()];
    }
  }
  trial.set_message(CutUtf8(job.message(), kMostMessage));
  if (job.state() != v1::Job::SUCCEEDED) {
    trial.clear_objective();
    trial.set_state(job.state() == v1::Job::CANCELLED ? v1::Trial::CANCELLED : v1::Trial::FAILED);
    if (trial.message().empty()) {
      trial.set_message(v1::Job::EndReason_Name(job.end_reason()));
    }
    return;
  }
  std::string names;
  const std::optional<double> value = Find(spec.objective().metric(), job, names);
  if (!value.has_value()) {
    trial.set_state(v1::Trial::FAILED);
    trial.set_without_objective(true);
    trial.set_message(absl::StrCat("reports no metric `", spec.objective().metric(),
                                   "`; it reports: ", names.empty() ? "none" : names));
    return;
  }
  trial.set_objective(*value);
  const bool last = trial.rung() >= static_cast<int>(Rungs(spec).size());
  trial.set_state(last ? v1::Trial::SUCCEEDED : v1::Trial::RESTING);
}

void TakeLoss(absl::string_view why, v1::Trial& trial) {
  trial.set_state(v1::Trial::FAILED);
  trial.clear_objective();
  trial.set_message(std::string(why));
}

void Stop(v1::Sweep::State ends_as, absl::string_view message, v1::Sweep& sweep) {
  sweep.set_state(v1::Sweep::STOPPING);
  sweep.set_ends_as(ends_as);
  sweep.set_message(std::string(message));
  for (v1::Trial& trial : *sweep.mutable_trials()) {
    if (trial.state() == v1::Trial::WAITING || trial.state() == v1::Trial::RESTING) {
      trial.set_state(v1::Trial::CANCELLED);
    }
  }
}

std::vector<const v1::Trial*> Ranked(const v1::Sweep& sweep) {
  std::vector<const v1::Trial*> ranked;
  for (const v1::Trial& trial : sweep.trials()) {
    ranked.push_back(&trial);
  }
  std::ranges::sort(
      ranked, [&](const v1::Trial* a, const v1::Trial* b) { return Better(sweep.spec(), *a, *b); });
  return ranked;
}

void Summarise(v1::Sweep& sweep) {
  sweep.set_trials_total(sweep.trials_size());
  sweep.set_trials_ended(static_cast<int>(std::ranges::count_if(
      sweep.trials(), [](const v1::Trial& trial) { return IsEnd(trial.state()); })));
  sweep.clear_best_trial();
  sweep.clear_best_objective();
  const std::vector<const v1::Trial*> ranked = Ranked(sweep);
  if (!ranked.empty() && ranked.front()->has_objective()) {
    sweep.set_best_trial(ranked.front()->number());
    sweep.set_best_objective(ranked.front()->objective());
  }
}

}  // namespace hone::server::sweeps
