#pragma once

#include <memory>

#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"
#include "engine/tasks/translation.h"
#include "engine/tasks/translator.h"

namespace hone::engine::tasks {

// The translator's programs that answers need.
TranslatorShape AnswerShape(const TranslationOptions& options);

// Answers TextQuestions with translations, several at a time. INVALID_ARGUMENT where a text is too
// long. The preprocessing outlives it.
std::unique_ptr<Answerer> NewTranslationAnswerer(const data::Preprocessing& preprocessing,
                                                 const TranslationOptions& options);

}  // namespace hone::engine::tasks
