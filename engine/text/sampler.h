#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace hone::engine::text {

// How the next token of a text is chosen by what a model gives for each token of the vocabulary.
// The options count in this order.
struct SamplingOptions {
  // Tokens that the text has already become less probable: a logit above 0 is divided by it, one
  // below is multiplied (Keskar et al., "CTRL", 2019). 1: none of that.
  double repetition_penalty = 1;
  double temperature = 1;  // logits are divided by it; 0: always the most probable token
  int64_t top_k = 0;       // one of the so many most probable; 0: one of all
  // One of the fewest whose probabilities together are at least this share, the most probable ones
  // (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020).
  double top_p = 1;
  uint64_t seed = 1;
};

// INVALID_ARGUMENT names the field: "top_p: must be above 0 and at most 1, got 0".
absl::Status CheckSampling(const SamplingOptions& options);

// Chooses tokens. Of equal logits the smaller id comes first. Not thread safe.
class Sampler {
 public:
  // Options that CheckSampling takes. `never`: ids that are not chosen.
  Sampler(const SamplingOptions& options, std::vector<int32_t> never);

  // One of logits.size() tokens. `seen`: those of the text so far, in any order and number; ids of
  // the vocabulary. `number`: which choice of the text it is; the same seed, number and
  // probabilities give the same token. What is not a number counts as impossible; where nothing is
  // possible, the first token that may be chosen is.
  int32_t Next(std::span<const float> logits, std::span<const int32_t> seen, int64_t number);

 private:
  using Candidate = std::pair<float, int32_t>;  // logit, token

  // The candidates that top_k and top_p leave, in the first places.
  void Narrow(float top);
  // Fills weights_, of each candidate e^((logit − top) / temperature); their sum.
  double Weigh(float top);

  const SamplingOptions options_;
  const std::vector<int32_t> never_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

}  // namespace hone::engine::text
