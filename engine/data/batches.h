#pragma once

#include <cstdint>
#include <functional>
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
  int64_t number = 0;             // in its epoch, from 0
  Position begin;                 // of its first example
  Position end;  // to go on from when it is consumed; {epoch + 1, 0} after an epoch's last batch
  bool ends_epoch() const { return end.epoch != begin.epoch; }
};

// The bucket of a row, such as the length that its sequence is padded to.
using RowBucket = std::function<int64_t(int32_t row)>;
// How many tokens a row's sequence has.
using RowTokens = std::function<int64_t(int32_t row)>;

struct BatchesOptions {
  int64_t batch_size = 32;
  uint64_t seed = 1;
  bool shuffle = true;       // else always in the order of the rows, bucket by bucket
  RowBucket bucket_of = {};  // a batch's rows are of one bucket; null: all rows are of one
  // Batches that so many threads can share out evenly have their rows in such an order that the
  // parts have about as many tokens each (BalanceParts); null: in the order of the shuffle.
  RowTokens tokens_of = {};
  int parts = 1;
};

// Orders rows so that `parts` parts of equally many rows, one behind the other, have about as many
// tokens each: the longest row that is left goes to the part that has the fewest tokens and still
// has room (Graham, "Bounds on Multiprocessing Timing Anomalies", 1969). Within a part the order is
// what it was. Nothing where the rows are no multiple of the parts, or all have equally many
// tokens. `scratch` is memory to use.
struct BalanceScratch {
  std::vector<int64_t> tokens;  // of each row
  std::vector<int32_t> order, rows, part_of;
  std::vector<int64_t> part_tokens, part_rows;
};
void BalanceParts(std::span<int32_t> rows, int parts, const RowTokens& tokens_of,
                  BalanceScratch& scratch);

// Rows by bucket.
struct BucketRows {
  int64_t bucket = 0;
  int64_t rows = 0;
  friend bool operator==(const BucketRows&, const BucketRows&) = default;
};
// Ascending by bucket; those that occur.
std::vector<BucketRows> CountBuckets(std::span<const int32_t> rows, const RowBucket& bucket_of);
// Batches of an epoch: each bucket's last one may be short.
int64_t BatchesPerEpoch(std::span<const BucketRows> rows, int64_t batch_size);

// The order of the training examples: in each epoch every row once, in a permutation that depends
// on (seed, epoch) alone. Rows are shuffled within their bucket, then the batches of all buckets;
// the last one of each bucket is as short as it comes out. Of one bucket, the short one is an
// epoch's last. After the first batch nothing is allocated. Not thread-safe.
class Batches {
 public:
  // `rows` must not be empty, batch_size must be positive.
  Batches(std::span<const int32_t> rows, const BatchesOptions& options);

  // The next batch, of the next epoch when this one is used up.
  Batch Next();
  // Of the first example that was not given out yet.
  Position position() const { return position_; }
  // Goes on from a position of an earlier run with the same rows and options: between two batches.
  void Seek(Position position);

  int64_t examples() const { return static_cast<int64_t>(rows_.size()); }
  int64_t batches_per_epoch() const { return static_cast<int64_t>(places_.size()); }

 private:
  struct Place {  // of a batch's rows in order_
    int64_t begin = 0;
    int64_t count = 0;
  };
  void Permute(int64_t epoch);

  std::vector<int32_t> rows_;       // bucket by bucket
  std::vector<BucketRows> groups_;  // of rows_, in their order
  std::vector<int32_t> order_;      // of epoch order_epoch_
  std::vector<Place> places_;       // of the epoch's batches, in their order
  BatchesOptions options_;
  int64_t order_epoch_ = -1;
  int64_t number_ = 0;  // of the next batch
  Position position_;
  BalanceScratch scratch_;
};

}  // namespace hone::engine::data
