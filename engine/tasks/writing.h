#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/prediction.h"

// A language model that writes: how its task's TaskModel builds the programs and answers. The model
// reads "tokens" and "offsets" and gives [rows, vocabulary], logits of what comes next.
namespace hone::engine::tasks {

inline constexpr absl::string_view kPlacesInput = "places";

// TaskModel::BuildPrediction: of each text the logits of its last token, [batch, vocabulary].
absl::StatusOr<TaskGraph> BuildNextToken(const models::ModelDescription& model,
                                         const DataInfo& info, const BatchShape& shape);
// TaskModel::BuildDecoding, for texts of at most `window` tokens. UNIMPLEMENTED names the layer
// that reads all of a text.
absl::StatusOr<TaskGraph> BuildNextTokenStep(const models::ModelDescription& model,
                                             const DataInfo& info, int64_t rows, int64_t window);

// Answers WritingQuestions.
//
// The model sees the last `window` tokens of prompt and text. When there are more, all but the last
// window / 2 are forgotten, so that a cache is filled anew once in window / 2 tokens. A text whose
// prompt is empty begins behind a line break, or behind the end of another text where the
// vocabulary has no line break; neither is shown. It ends with `count` tokens, before a stop text,
// or where the model ends it. The token for what is unknown is never written. A prompt is cleaned
// as the training's texts were, but that space at its end stays.
//
// An answer has one token at first, so that somebody who waits sees it at once, then up to 8, fewer
// where they take longer than a moment: which of them come together changes nothing but that.
//
// Read, INVALID_ARGUMENT: options that CheckSampling and CheckStops do not take, a count below 1, a
// prompt with characters or words that the vocabulary does not have, by the first of them; a state
// that is none of this model's. The preprocessing outlives the answerer.
std::unique_ptr<Answerer> NewWritingAnswerer(const data::Preprocessing& preprocessing,
                                             int64_t window);

}  // namespace hone::engine::tasks
