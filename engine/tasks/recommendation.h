#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// Which items a user would like. The model reads the inputs "user" and "item", s32 [batch], and
// gives one number for each pair.
//
// Explicit feedback: the number is the rating, brought to mean 0 and deviation 1; what is learned
// is the mean squared error. Implicit feedback: what a user has rated is liked more than what is
// drawn among the items that the user has not rated; with s the scores of the two, the loss is
// −ln σ(s(user, rated) − s(user, drawn)): Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR:
// Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.
struct RecommendationOptions {
  enum class Feedback { kExplicit, kImplicit };
  Feedback feedback = Feedback::kExplicit;
  int64_t negatives = 1;  // implicit: items drawn for each rating, other ones in each epoch
};

// How many items of a list count in hit rate and NDCG.
inline constexpr int64_t kListLength = 10;

std::unique_ptr<Task> MakeRecommendation(const RecommendationOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<RecommendationOptions> RecommendationFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
