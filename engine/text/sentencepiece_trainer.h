#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/text/corpus.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

// The bytes of a model that the library SentencePiece trains of the texts, in the program
// hone-sentencepiece (sentencepiece/main.cc), which is started for it. It stands beside the
// program that runs; HONE_SENTENCEPIECE names another.
//
// Texts are not changed (data.text.cleaning has done that) and nothing is drawn: the same texts and
// options give the same bytes. What is longer than the library reads, 4096 bytes, is cut between
// lines or words, so that nothing is left out; of more than 64 MiB every second, third, … such
// stretch is read, all over the texts, so that 64 MiB are not exceeded.
//
// INVALID_ARGUMENT: the vocabulary is too small or too large for the texts, with what would be
// right. UNAVAILABLE: there is no such program, it may not be started, or somebody killed it.
// RESOURCE_EXHAUSTED (memory_error.h): its memory was not enough. INTERNAL: it ended by itself, or
// answered nonsense, and what else the library says.
absl::StatusOr<std::string> TrainSentencePieceModel(const SentencePieceTokens& options,
                                                    const Corpus& corpus);

// Starts the program now, for a process that will not be allowed to start one later: the trainings
// of this process use it, one at a time, until it ends. The errors of the start.
absl::Status StartSentencePieceProgram();

}  // namespace hone::engine::text
