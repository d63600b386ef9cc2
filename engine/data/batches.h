#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hone::engine::data {

// Where a run stands in its data: `next` examples of epoch `epoch` have been given out. The same
// for any number of workers.
struct Position {
  int64_t epoch = 0;
  int64_t next = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

struct Batch {
  std::span<const int32_t> rows;  // valid until Next begins another epoch, or Seek
  Position begin;                 // of its first example
  Position end;  // to go on from when it is consumed; {epoch + 1, 0} after an epoch's last batch
  bool ends_epoch() const { return end.epoch != begin.epoch; }
};

struct BatchesOptions {
  int64_t batch_size = 32;
  uint64_t seed = 1;
  bool shuffle = true;  // else always in the order of the rows
};

// The order of the training examples: in each epoch every row once, in a permutation that depends
// on (seed, epoch) alone. An epoch's last batch is as short as it comes out. After construction
// nothing is allocated. Not thread-safe.
class Batches {
 public:
  // `rows` must not be empty, batch_size must be positive.
  Batches(std::span<const int32_t> rows, const BatchesOptions& options);

  // The next batch, of the next epoch when this one is used up.
  Batch Next();
  // Of the first example that was not given out yet.
  Position position() const { return position_; }
  // Goes on from a position of an earlier run with the same rows and options.
  void Seek(Position position);

  int64_t examples() const { return static_cast<int64_t>(rows_.size()); }
  int64_t batches_per_epoch() const;

 private:
  void Permute(int64_t epoch);

  std::vector<int32_t> rows_;
  std::vector<int32_t> order_;  // of epoch order_epoch_
  BatchesOptions options_;
  int64_t order_epoch_ = -1;
  Position position_;
};

}  // namespace hone::engine::data
