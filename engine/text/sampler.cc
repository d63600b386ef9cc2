#include "engine/text/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"

namespace hone::engine::text {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

absl::Status Wrong(absl::string_view field, absl::string_view wanted, double got) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": must be ", wanted, ", got ", got));
}

// Uniform in [0, 1), 53 bits.
double Unit(uint64_t seed, int64_t number) {
  RandomStream random(seed, "sampling", static_cast<uint64_t>(number));
  const uint64_t high = random.NextBits();
  return static_cast<double>((high << 32 | random.NextBits()) >> 11) * 0x1.0p-53;
}

}  // namespace

absl::Status CheckSampling(const SamplingOptions& options) {
  // Comparisons that a NaN fails.
  if (!(options.temperature >= 0 && options.temperature <= 100)) {
    return Wrong("temperature", "at least 0 and at most 100", options.temperature);
  }
  if (options.top_k < 0) {
    return Wrong("top_k", "at least 0", static_cast<double>(options.top_k));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return Wrong("top_p", "above 0 and at most 1", options.top_p);
  }
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 100)) {
    return Wrong("repetition_penalty", "above 0 and at most 100", options.repetition_penalty);
  }
  return absl::OkStatus();
}

Sampler::Sampler(const SamplingOptions& options, std::vector<int32_t> never)
    : options_(options), never_(std::move(never)) {}

int32_t Sampler::Next(std::span<const float> logits, std::span<const int32_t> seen,
                      int64_t number) {
  logits_.assign(logits.begin(), logits.end());
  for (float& logit : logits_) {
    logit = std::isnan(logit) ? kImpossible : logit;
  }
  if (options_.repetition_penalty != 1) {
    const auto penalty = static_cast<float>(options_.repetition_penalty);
    for (const int32_t token : seen) {  // of what was given, so that each counts once
      const float logit = logits[static_cast<size_t>(token)];
      logits_[static_cast<size_t>(token)] = std::isnan(logit) ? kImpossible
                                            : logit > 0       ? logit / penalty
                                                              : logit * penalty;
    }
  }
  for (const int32_t token : never_) {
    if (token >= 0 && static_cast<size_t>(token) < logits_.size()) {
      logits_[static_cast<size_t>(token)] = kImpossible;
    }
  }
  const auto best = std::ranges::max_element(logits_);
  if (*best == kImpossible) {
    int32_t token = 0;
    while (std::ranges::find(never_, token) != never_.end()) {
      ++token;
    }
    return token;
  }
  const auto most_probable = static_cast<int32_t>(best - logits_.begin());
  if (options_.temperature == 0 || options_.top_k == 1 || std::isinf(*best)) {
    return most_probable;
  }
  candidates_.clear();
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (logits_[i] != kImpossible) {
      candidates_.emplace_back(logits_[i], static_cast<int32_t>(i));
    }
  }
  Narrow(*best);
  double left = Unit(options_.seed, number) * Weigh(*best);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    left -= weights_[i];
    if (left < 0) {
      return candidates_[i].second;
    }
  }
  return most_probable;  // rounding has left a little
}

void Sampler::Narrow(float top) {
  const size_t most = options_.top_k == 0
                          ? candidates_.size()
                          : std::min(candidates_.size(), static_cast<size_t>(options_.top_k));
  if (most == candidates_.size() && options_.top_p == 1) {
    return;
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  if (most < candidates_.size()) {
    std::ranges::nth_element(candidates_, candidates_.begin() + static_cast<std::ptrdiff_t>(most),
                             before);
    candidates_.resize(most);
  }
  if (options_.top_p == 1) {
    std::ranges::sort(candidates_, before);
    return;
  }
  const double wanted = options_.top_p * Weigh(top);
  // As a rule few of a large vocabulary are kept: no more of it is brought into order.
  const auto behind = [&](const Candidate& a, const Candidate& b) { return before(b, a); };
  std::ranges::make_heap(candidates_, behind);
  double share = 0;
  auto end = candidates_.end();
  while (end != candidates_.begin() && share < wanted) {
    share += std::exp((double{candidates_.front().first} - top) / options_.temperature);
    std::ranges::pop_heap(candidates_.begin(), end, behind);
    --end;
  }
  // Those that were taken from the heap stand behind it, the most probable one last.
  candidates_.erase(candidates_.begin(), end);
  std::ranges::reverse(candidates_);
}

double Sampler::Weigh(float top) {
  weights_.clear();
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += weights_.emplace_back(std::exp((double{candidate.first} - top) / options_.temperature));
  }
  return sum;
}

}  // namespace hone::engine::text
