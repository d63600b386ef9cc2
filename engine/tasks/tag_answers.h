#pragma once

#include <memory>
#include <vector>

#include "engine/data/preprocessing.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Programs of one text each, for as many tokens as there are powers of two up to the longest piece
// of a text that is tagged at once: what the model's texts may have at most, or 512 tokens.
std::vector<ForwardSpec> TaggingPrograms(const data::TextPreprocessing& how);

// Answers a text with its words and their tags, by these programs, each of which fetches logits
// [rows, tags]. Words are runs of letters and numbers, signs are words by themselves
// (text::WordSplit::kPunctuation). A text that has more tokens than a piece is tagged piece by
// piece, each as if it stood alone.
std::unique_ptr<Answerer> NewTagAnswerer(const data::Preprocessing& preprocessing);

}  // namespace hone::engine::tasks
