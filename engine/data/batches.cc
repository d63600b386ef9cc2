#include "engine/data/batches.h"

#include <algorithm>
#include <utility>

#include "engine/base/rng.h"

namespace hone::engine::data {

Batches::Batches(std::span<const int32_t> rows, const BatchesOptions& options)
    : rows_(rows.begin(), rows.end()), order_(rows_), options_(options) {}

int64_t Batches::batches_per_epoch() const {
  return (examples() + options_.batch_size - 1) / options_.batch_size;
}

Batch Batches::Next() {
  if (order_epoch_ != position_.epoch) {
    Permute(position_.epoch);
  }
  Batch batch;
  batch.begin = position_;
  const int64_t count = std::min(options_.batch_size, examples() - position_.next);
  batch.rows = std::span<const int32_t>(order_).subspan(static_cast<size_t>(position_.next),
                                                        static_cast<size_t>(count));
  position_.next += count;
  if (position_.next >= examples()) {
    position_ = {position_.epoch + 1, 0};
  }
  batch.end = position_;
  return batch;
}

void Batches::Seek(Position position) {
  // Whole epochs of `next` are carried over, so that a position is always inside an epoch.
  position_ = {position.epoch + position.next / examples(), position.next % examples()};
}

// Fisher and Yates, always from the order of the rows: an epoch's order does not depend on the
// epochs before.
void Batches::Permute(int64_t epoch) {
  order_epoch_ = epoch;
  if (!options_.shuffle) {
    return;
  }
  std::copy(rows_.begin(), rows_.end(), order_.begin());
  RandomStream stream(options_.seed, "shuffle", static_cast<uint64_t>(epoch));
  for (size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[static_cast<size_t>(stream.NextBelow(i))]);
  }
}

}  // namespace hone::engine::data
