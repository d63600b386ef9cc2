#pragma once

#include <cstdint>

// What the engine (sentencepiece_trainer.h) and the program hone-sentencepiece say to each other on
// one stream, in the byte order of the machine. Without a library, so that both may include it.
//
// A request: uint32 how many options, for each its name and its value as strings; then sentences as
// strings, then kEndOfSentences. A string is a uint32, its length, and that many bytes.
// The answer: a byte, one of Outcome; uint64 a length, and that many bytes: the model, or what went
// wrong. Requests follow one another; the program ends where the stream does.
namespace hone::engine::text::sentencepiece_wire {

inline constexpr uint32_t kEndOfSentences = 0xffffffff;
inline constexpr uint32_t kMostOptions = 64;
// Of a string, and of an answer.
inline constexpr uint32_t kMostBytes = 1 << 20;
inline constexpr uint64_t kMostAnswerBytes = uint64_t{1} << 30;

enum Outcome : uint8_t { kFailed = 0, kTrained = 1, kOutOfMemory = 2 };

// What the program exits with where the library lacks memory in a thread of its own, from which
// there is no way back to an answer.
inline constexpr int kExitOutOfMemory = 3;

}  // namespace hone::engine::text::sentencepiece_wire
