#pragma once

#include <cstdlib>

// Whoever includes this trains with the hone-sentencepiece of this build, unless another one is
// named: the programs of tests do not stand beside it.
namespace hone::engine::testing {

inline const bool kNamesSentencePieceProgram =
    ::setenv("HONE_SENTENCEPIECE", HONE_SENTENCEPIECE_BINARY, /*overwrite=*/0) == 0;

}  // namespace hone::engine::testing
