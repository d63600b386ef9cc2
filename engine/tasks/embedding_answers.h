#pragma once

#include <memory>

#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Answers a text with its vector, which is the model's output for it, of length 1; a pair of texts
// with the first one's and the similarity of both, the cosine of the angle between their vectors.
std::unique_ptr<Answerer> NewEmbeddingAnswerer(const data::Preprocessing& preprocessing);

}  // namespace hone::engine::tasks
