#pragma once

#include "absl/status/status.h"
#include "engine/tasks/evaluation.h"
#include "engine/tasks/translation.h"
#include "engine/tasks/translator.h"

namespace hone::engine::tasks {

// The translator's programs that an evaluation needs.
TranslatorShape EvaluationShape(const TranslationOptions& options);

// Adds to the result of an evaluation what TranslationOptions says of translations: metrics, a note
// and, after the training, pictures. Sentences that have no translations to compare with are left
// out; of those that are longer than a translator takes, the end is.
absl::Status EvaluateTranslations(const TranslationOptions& options,
                                  const EvaluationContext& context, Evaluation& result);

}  // namespace hone::engine::tasks
