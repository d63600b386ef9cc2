#pragma once

#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"

// A batch of sequences without rectangles. Its tokens stand one after another, sequence behind
// sequence, and offsets say where each begins: sequence i is rows [offsets[i], offsets[i + 1]).
// What has a value for each token is [rows, width]; what has one for each sequence [batch, width].
//
//   tokens   s32 [rows]       ids; those behind the last true one are 0
//   offsets  s32 [batch + 1]  from 0, never falling; offsets[batch] is the number of true tokens
//
// A program is planned for so many rows; a batch, or the largest of its parts where it is computed
// in parts, takes the least planned count that holds its tokens. Rows behind offsets[batch] belong
// to no sequence: what reads offsets gives zeros there, labels there are −1 (ignored), and no
// gradient comes back from them.
namespace hone::engine {

// The inputs of a program, and of a model, by these names. Further ones for each token (labels,
// the next token) are s32 [rows], too; those of a second text of each example have names of their
// own with the same rules, such as "target_tokens" and "target_offsets".
inline constexpr absl::string_view kTokensInput = "tokens";
inline constexpr absl::string_view kOffsetsInput = "offsets";
// Of examples that are pairs of texts, s32 [rows]: 0 in the first, 1 in the second.
inline constexpr absl::string_view kSegmentsInput = "segments";

// The planned count for a batch of so many tokens, itself a planned count: the next multiple of 8,
// above 256 of a 32nd of the power of two below. So at most 7 rows or 3.2 % are computed in vain,
// whichever is more, and there are 32 counts to an octave.
int64_t PlannedRows(int64_t tokens);

// Offsets begin with 0, never fall and stay within the rows.
bool AreOffsets(std::span<const int32_t> offsets, int64_t rows);

}  // namespace hone::engine
