#include "engine/tasks/episodes.h"

#include <algorithm>

#include "engine/base/rng.h"
#include "engine/base/status.h"

namespace hone::engine::tasks {
namespace {

constexpr int64_t kRecentEpisodes = 100;

}  // namespace

Episodes::Episodes(const environments::EnvironmentOptions& options, int64_t copies, uint64_t seed)
    : seed_(seed), copies_(static_cast<size_t>(copies)) {
  recent_.reserve(kRecentEpisodes);
  for (Copy& copy : copies_) {
    copy.environment = environments::MakeEnvironment(options);
    copy.state.resize(static_cast<size_t>(copy.environment->spec().record_bytes));
  }
  for (int64_t copy = 0; copy < copies; ++copy) {
    Begin(copy);
  }
}

void Episodes::Begin(int64_t copy) {
  Copy& begins = copies_[static_cast<size_t>(copy)];
  RandomStream random(seed_, "episode", static_cast<uint64_t>(begun_++));
  const uint64_t high = random.NextBits();
  begins.environment->Reset(high << 32 | random.NextBits());
  begins.environment->Record(begins.state);
  begins.sum = 0;
  begins.length = 0;
}

environments::Outcome Episodes::Step(int64_t copy, int64_t action) {
  Copy& acts = copies_[static_cast<size_t>(copy)];
  const environments::Outcome outcome = acts.environment->Step(action);
  acts.environment->Record(acts.state);
  acts.sum += double{outcome.reward};
  ++acts.length;
  ++steps_;
  if (outcome.terminated || outcome.truncated) {
    const Episode episode = {.sum = acts.sum,
                             .length = static_cast<double>(acts.length),
                             .solved = outcome.solved ? 1.0 : 0.0};
    if (static_cast<int64_t>(recent_.size()) < kRecentEpisodes) {
      recent_.push_back(episode);
    } else {
      recent_[static_cast<size_t>(ended_ % kRecentEpisodes)] = episode;
    }
    ++ended_;
  }
  return outcome;
}

void Episodes::AddMetrics(std::map<std::string, double>& values) const {
  values["environment_steps"] = static_cast<double>(steps_);
  values["episodes"] = static_cast<double>(ended_);
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

void Episodes::Save(StateWriter& out) const {
  for (const int64_t number : {steps_, ended_, begun_}) {
    out.Add(number);
  }
  out.AddAll(recent_);
  for (const Copy& copy : copies_) {
    const std::string saved = copy.environment->Save();
    out.AddBytes(saved.data(), saved.size());
    out.AddAll(copy.state);
    out.Add(copy.sum);
    out.Add(copy.length);
  }
}

absl::Status Episodes::Restore(StateReader& in) {
  for (int64_t* number : {&steps_, &ended_, &begun_}) {
    in.Take(*number);
  }
  recent_.resize(static_cast<size_t>(std::clamp<int64_t>(ended_, 0, kRecentEpisodes)));
  in.TakeAll(recent_);
  for (Copy& copy : copies_) {
    const std::string saved = in.TakeBytes();
    if (!in.ok()) {
      break;
    }
    HONE_RETURN_IF_ERROR(copy.environment->Restore(saved));
    in.TakeAll(copy.state);
    in.Take(copy.sum);
    in.Take(copy.length);
  }
  return in.ok() ? absl::OkStatus()
                 : absl::InvalidArgumentError("the checkpoint's episodes are not of this job");
}

}  // namespace hone::engine::tasks
