#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"

// A language model that writes. Its prediction program gives for each text the logits of what comes
// behind its last token, [batch, vocabulary].
namespace hone::engine::tasks {

// Of TaskModel::BuildDecoding.
inline constexpr absl::string_view kPlacesInput = "places";
inline constexpr absl::string_view kStateRowsInput = "state_rows";

// Answers WritingQuestions.
//
// The model sees the last `window` tokens of prompt and text. When there are more, all but the last
// window / 2 are forgotten, so that a cache is filled anew once in window / 2 tokens. A text whose
// prompt is empty begins behind a line break, or behind the end of another text where the
// vocabulary has no line break; neither is shown. It ends with `count` tokens, before a stop text,
// or where the model ends it. The token for what is unknown is never written. A prompt is cleaned
// as the training's texts were, but that space at its end stays.
//
// A model that chats (TextPreprocessing::chat) is also asked by messages; its text is the next turn
// of the assistant, and ends with it, as a text behind a prompt does where the model writes what
// ends a turn. Where a conversation and its answer have no place in a window, of which half at most
// is kept for the answer, its first turns are left out, but for that of the system; the last one
// must have a place.
//
// An answer has one token at first, so that somebody who waits sees it at once, then up to 8, fewer
// where they take longer than a moment: which of them come together changes nothing but that.
//
// Read, INVALID_ARGUMENT: options that CheckSampling and CheckStops do not take, a count below 1, a
// prompt with characters or words that the vocabulary does not have, by the first of them; messages
// beside a prompt, of roles that are not known, empty ones, those that have a token of the template
// in them (text::ChatEncoder::MarkIn), those whose last is not the user's, of a model that does not
// chat (with what its checkpoint's template is); a state that is none of this model's. The
// preprocessing outlives the answerer.
//
// With `begins_texts` the model knows how a text begins: a prompt stands behind the token for that.
std::unique_ptr<Answerer> NewWritingAnswerer(const data::Preprocessing& preprocessing,
                                             int64_t window, bool begins_texts = false);

}  // namespace hone::engine::tasks
