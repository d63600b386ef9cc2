#include "engine/text/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace hone::engine::text {

BeamSearch::BeamSearch(const BeamOptions& options, int32_t begin, int32_t end,
                       std::vector<int32_t> never)
    : options_(options),
      end_(end),
      never_(std::move(never)),
      open_({{begin}}),
      sums_({0}),
      parents_({0}) {
  if (options_.longest < 1) {
    End(open_[0], 0, false);
    open_.clear();
    done_ = true;
  }
}

bool BeamSearch::IsNever(int32_t token) const {
  return std::ranges::find(never_, token) != never_.end();
}

void BeamSearch::Collect(std::span<const float> logits, int32_t text,
                         std::vector<Candidate>& all) const {
  float top = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    top = std::isfinite(logit) ? std::max(top, logit) : top;
  }
  double exponentials = 0;
  for (const float logit : logits) {
    exponentials += std::isfinite(logit) ? std::exp(double{logit} - double{top}) : 0;
  }
  const double normalizer = double{top} + std::log(exponentials);
  // No more than these can come among the best of all.
  const size_t most = 2 * static_cast<size_t>(options_.beams);
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.sum != b.sum ? a.sum > b.sum : a.token < b.token;
  };
  std::vector<Candidate> best;  // a heap whose first one is the worst
  for (size_t token = 0; token < logits.size(); ++token) {
    const auto id = static_cast<int32_t>(token);
    if (!std::isfinite(logits[token])) {
      continue;
    }
    const Candidate candidate = {
        sums_[static_cast<size_t>(text)] + double{logits[token]} - normalizer, text, id};
    if ((best.size() == most && !before(candidate, best.front())) || IsNever(id)) {
      continue;
    }
    if (best.size() == most) {
      std::ranges::pop_heap(best, before);
      best.pop_back();
    }
    best.push_back(candidate);
    std::ranges::push_heap(best, before);
  }
  all.insert(all.end(), best.begin(), best.end());
}

void BeamSearch::End(const std::vector<int32_t>& text, double sum, bool ended) {
  BeamText found;
  found.tokens.assign(text.begin() + 1, text.end());
  found.ended = ended;
  const auto length = static_cast<double>(found.tokens.size() + (ended ? 1 : 0));
  found.score = sum / std::pow(std::max(length, 1.0), options_.length_penalty);
  found_.push_back(std::move(found));
}

void BeamSearch::Add(std::span<const std::span<const float>> logits) {
  std::vector<Candidate> candidates;
  for (size_t text = 0; text < open_.size(); ++text) {
    Collect(logits[text], static_cast<int32_t>(text), candidates);
  }
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    if (a.sum != b.sum) {
      return a.sum > b.sum;
    }
    return std::pair(a.text, a.token) < std::pair(b.text, b.token);
  });
  const auto beams = static_cast<size_t>(options_.beams);
  std::vector<std::vector<int32_t>> grown;
  std::vector<double> sums;
  std::vector<int32_t> parents;
  for (size_t rank = 0; rank < candidates.size() && grown.size() < beams; ++rank) {
    const Candidate& candidate = candidates[rank];
    const std::vector<int32_t>& text = open_[static_cast<size_t>(candidate.text)];
    if (candidate.token != end_) {
      grown.push_back(text);
      grown.back().push_back(candidate.token);
      sums.push_back(candidate.sum);
      parents.push_back(candidate.text);
    } else if (rank < beams) {
      End(text, candidate.sum, true);
    }
  }
  // A model that gives no number for any token.
  if (candidates.empty()) {
    for (size_t text = 0; text < open_.size(); ++text) {
      End(open_[text], sums_[text], false);
    }
  }
  open_ = std::move(grown);
  sums_ = std::move(sums);
  parents_ = std::move(parents);
  done_ = found_.size() >= beams || open_.empty();
  if (!done_ && static_cast<int64_t>(open_[0].size()) > options_.longest) {
    for (size_t text = 0; text < open_.size(); ++text) {
      End(open_[text], sums_[text], false);
    }
    done_ = true;
  }
  if (done_) {
    open_.clear();
  }
}

std::vector<BeamText> BeamSearch::Take() {
  std::ranges::stable_sort(found_,
                           [](const BeamText& a, const BeamText& b) { return a.score > b.score; });
  if (found_.size() > static_cast<size_t>(options_.beams)) {
    found_.resize(static_cast<size_t>(options_.beams));
  }
  return std::move(found_);
}

}  // namespace hone::engine::text
