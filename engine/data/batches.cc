#include "engine/data/batches.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "engine/base/rng.h"

namespace hone::engine::data {
namespace {

// Fisher and Yates. Places are drawn some at a time, so that their memory is asked for before it is
// needed.
template <typename T>
void Shuffle(std::span<T> values, RandomStream& stream) {
  std::array<size_t, 32> others;
  for (size_t left = values.size(); left > 1;) {
    const size_t count = std::min(others.size(), left - 1);
    for (size_t k = 0; k < count; ++k) {
      others[k] = static_cast<size_t>(stream.NextBelow(left - k));
      __builtin_prefetch(&values[others[k]]);
    }
    for (size_t k = 0; k < count; ++k) {
      std::swap(values[--left], values[others[k]]);
    }
  }
}

}  // namespace

void BalanceParts(std::span<int32_t> rows, int parts, const RowTokens& tokens_of,
                  BalanceScratch& scratch) {
  const size_t count = rows.size(), n = static_cast<size_t>(parts);
  if (parts <= 1 || count % n != 0) {
    return;
  }
  scratch.tokens.resize(count);
  scratch.order.resize(count);
  scratch.rows.assign(rows.begin(), rows.end());
  scratch.part_of.resize(count);
  std::ranges::transform(rows, scratch.tokens.begin(), tokens_of);
  if (std::ranges::adjacent_find(scratch.tokens, std::not_equal_to()) == scratch.tokens.end()) {
    return;
  }
  std::iota(scratch.order.begin(), scratch.order.end(), 0);
  std::ranges::sort(scratch.order, [&](int32_t a, int32_t b) {
    return std::pair(-scratch.tokens[static_cast<size_t>(a)], a) <
           std::pair(-scratch.tokens[static_cast<size_t>(b)], b);
  });
  scratch.part_tokens.assign(n, 0);
  scratch.part_rows.assign(n, static_cast<int64_t>(count / n));  // that it has room for
  for (const int32_t i : scratch.order) {
    size_t least = n;
    for (size_t k = 0; k < n; ++k) {
      if (scratch.part_rows[k] > 0 &&
          (least == n || scratch.part_tokens[k] < scratch.part_tokens[least])) {
        least = k;
      }
    }
    scratch.part_tokens[least] += scratch.tokens[static_cast<size_t>(i)];
    --scratch.part_rows[least];
    scratch.part_of[static_cast<size_t>(i)] = static_cast<int32_t>(least);
  }
  size_t next = 0;
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < count; ++i) {
      if (scratch.part_of[i] == static_cast<int32_t>(k)) {
        rows[next++] = scratch.rows[i];
      }
    }
  }
}

std::vector<BucketRows> CountBuckets(std::span<const int32_t> rows, const RowBucket& bucket_of) {
  std::map<int64_t, int64_t> counts;
  for (const int32_t row : rows) {
    ++counts[bucket_of ? bucket_of(row) : 0];
  }
  std::vector<BucketRows> buckets;
  for (const auto& [bucket, count] : counts) {
    buckets.push_back({bucket, count});
  }
  return buckets;
}

int64_t BatchesPerEpoch(std::span<const BucketRows> rows, int64_t batch_size) {
  int64_t batches = 0;
  for (const BucketRows& bucket : rows) {
    batches += (bucket.rows + batch_size - 1) / batch_size;
  }
  return batches;
}

Batches::Batches(std::span<const int32_t> rows, const BatchesOptions& options)
    : rows_(rows.begin(), rows.end()),
      groups_(CountBuckets(rows, options.bucket_of)),
      options_(options) {
  if (groups_.size() > 1) {
    std::ranges::stable_sort(rows_, {}, options_.bucket_of);
  }
  order_ = rows_;
  places_.resize(static_cast<size_t>(BatchesPerEpoch(groups_, options_.batch_size)));
  Permute(0);
}

Batch Batches::Next() {
  if (order_epoch_ != position_.epoch) {
    Permute(position_.epoch);
    number_ = 0;
  }
  const Place& place = places_[static_cast<size_t>(number_)];
  const std::span<int32_t> rows =
      std::span(order_).subspan(static_cast<size_t>(place.begin), static_cast<size_t>(place.count));
  if (options_.tokens_of != nullptr) {
    BalanceParts(rows, options_.parts, options_.tokens_of, scratch_);
  }
  Batch batch;
  batch.rows = rows;
  batch.number = number_++;
  batch.begin = position_;
  position_.next += place.count;
  if (position_.next >= examples()) {
    position_ = {position_.epoch + 1, 0};
  }
  batch.end = position_;
  return batch;
}

void Batches::Seek(Position position) {
  // Whole epochs of `next` are carried over, so that a position is always inside an epoch.
  position_ = {position.epoch + position.next / examples(), position.next % examples()};
  Permute(position_.epoch);
  number_ = 0;
  int64_t before = 0;
  for (; before < position_.next; ++number_) {
    before += places_[static_cast<size_t>(number_)].count;
  }
  position_.next = before;
  if (before >= examples()) {
    position_ = {position_.epoch + 1, 0};
  }
}

// Always from the order of the rows: an epoch's order does not depend on the epochs before.
void Batches::Permute(int64_t epoch) {
  order_epoch_ = epoch;
  std::copy(rows_.begin(), rows_.end(), order_.begin());
  RandomStream stream(options_.seed, "shuffle", static_cast<uint64_t>(epoch));
  int64_t begin = 0;
  auto place = places_.begin();
  for (const BucketRows& group : groups_) {
    if (options_.shuffle) {
      Shuffle(
          std::span(order_).subspan(static_cast<size_t>(begin), static_cast<size_t>(group.rows)),
          stream);
    }
    for (const int64_t end = begin + group.rows; begin < end; ++place) {
      *place = {begin, std::min(options_.batch_size, end - begin)};
      begin += place->count;
    }
  }
  if (options_.shuffle && groups_.size() > 1) {
    RandomStream batches(options_.seed, "shuffle batches", static_cast<uint64_t>(epoch));
    Shuffle(std::span(places_), batches);
  }
}

}  // namespace hone::engine::data
