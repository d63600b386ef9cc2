#pragma once

#include "absl/status/status.h"
#include "engine/data/load.h"
#include "engine/data/text_loading.h"

// The steps of LoadTexts (texts.h) that make targets of labels.
namespace hone::engine::data {

// Texts of which nothing is learned but themselves.
bool HasNoTargets(const LoadOptions& options);

// Fills loading.targets from the labels of the texts that are kept, as the task learns them.
absl::Status SetTargets(TextLoading& loading);

// Brings the target values to mean 0 and deviation 1 of the training part, where that is wanted;
// whether a text has a class stays 1 or 0.
void Standardize(TextLoading& loading);

}  // namespace hone::engine::data
