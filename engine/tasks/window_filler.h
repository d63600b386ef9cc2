#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/inputs.h"
#include "engine/tensor/token_rows.h"

// Windows of a text, and documents that share them, as a language model's inputs.
namespace hone::engine::tasks {

// s32 [rows]: the token behind each one, −1 where none is, or none that is learned.
inline constexpr absl::string_view kTargetsInput = "targets";
// s32 [PackedShape::learned()]: the rows whose next token is learned, where others are not; the
// targets are theirs alone then.
inline constexpr absl::string_view kLearnedInput = "learned";

// What a batch is planned for: rows of tokens, the sequences that they belong to, and how many of
// the rows are learned, in eighths; 0: all may be. In one number, as buckets are; of a running
// text, which has a sequence for each window, the rows alone.
struct PackedShape {
  int64_t rows = 0;
  int64_t sequences = 0;
  int64_t eighths = 0;

  static PackedShape Of(const BatchShape& shape, bool packed) {
    return packed ? PackedShape{.rows = shape.bucket & kMost,
                                .sequences = shape.bucket >> kBits & kMostSequences,
                                .eighths = shape.bucket >> (kBits + kSequenceBits)}
                  : PackedShape{.rows = shape.bucket, .sequences = shape.batch};
  }
  int64_t bucket() const { return eighths << (kBits + kSequenceBits) | sequences << kBits | rows; }
  // Rows that are learned at most; 0: all.
  int64_t learned() const { return PlannedRows((rows * eighths + 7) / 8); }
  // The least number of eighths of the rows that holds so many.
  static int64_t EighthsFor(int64_t learned, int64_t rows) {
    const int64_t eighths = rows > 0 ? (8 * learned + rows - 1) / rows : 0;
    return eighths < 8 ? eighths : 0;
  }

  static constexpr int kBits = 31, kSequenceBits = 27;
  static constexpr int64_t kMost = (int64_t{1} << kBits) - 1;
  static constexpr int64_t kMostSequences = (int64_t{1} << kSequenceBits) - 1;
};

// Puts sequences one behind another, and what each token foretells. A model may do without each of
// the inputs. Allocates nothing.
class WindowFiller {
 public:
  static absl::StatusOr<WindowFiller> Begin(const Inputs& inputs, const PackedShape& shape);

  // All but the last are read, all but the first are foretold: those that are learned, of each of
  // the sequence's tokens, or all where this is empty. INTERNAL where the program has no room.
  absl::Status Add(std::span<const int32_t> sequence, std::span<const uint8_t> learned,
                   int32_t state_row);
  // Sequences that are left are empty.
  void Finish();

 private:
  // The rows of a sequence, which begins at row_, whose next token is learned.
  absl::Status AddLearned(std::span<const int32_t> sequence, std::span<const uint8_t> learned);

  PackedShape shape_;
  std::span<int32_t> tokens_, offsets_, targets_, learned_, state_rows_;
  size_t row_ = 0;
  size_t target_ = 0;  // of those that are learned
  size_t sequence_ = 0;
};

}  // namespace hone::engine::tasks
