#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "engine/base/team.h"
#include "engine/kernels/batch_norm.h"
#include "engine/onednn/primitive.h"

// For ops that go over pictures channel by channel.
namespace hone::engine {

// A desc of elements of `dtype` in which channels lie in blocks or side by side: the producer's if
// it is one, else row major.
inline onednn::MemoryDesc ChannelDesc(const onednn::MemoryDesc& producer, DType dtype) {
  return producer.type().dtype == dtype && producer.channel_block() > 0
             ? producer
             : onednn::MemoryDesc::Plain({producer.type().shape, dtype});
}

// Where [batch, channels] or [batch, channels, height, width] is, and how the kernels of
// kernels/batch_norm.h walk over it: its examples are shared among the threads.
struct ChannelLayout {
  ChannelLayout(const onednn::MemoryDesc& producer, DType dtype, int threads)
      : desc(ChannelDesc(producer, dtype)) {
    const Shape& shape = producer.type().shape;
    const int64_t lanes = shape.rank() == 2 ? shape[1] : desc.channel_block();
    view = {.batch = shape[0],
            .blocks = (shape[1] + lanes - 1) / lanes,
            .plane = shape.rank() == 2 ? 1 : shape[2] * shape[3],
            .lanes = lanes};
    parts = static_cast<int>(std::min<int64_t>(PartsFor(shape.elements(), threads), shape[0]));
  }
  DType dtype() const { return desc.type().dtype; }
  // Of one part's two sums for each channel, and of all parts'.
  int64_t sums() const { return 2 * view.padded_channels(); }
  int64_t sum_bytes() const { return parts * sums() * static_cast<int64_t>(sizeof(double)); }
  // Of `rows` rows of one number per channel.
  int64_t row_bytes(int rows) const {
    return rows * view.padded_channels() * static_cast<int64_t>(sizeof(float));
  }
  // body(k, begin, end) for each part of the examples, in parallel.
  template <typename Body>
  void ForParts(Body&& body) const {
    RunTeam(parts, [&](int k) {
      const auto [begin, end] = ShareOf(view.batch, k, parts);
      body(k, begin, end);
    });
  }
  // Two sums for each channel, over all parts, which are added in their order into the first:
  // body(begin, end, sum, second sum).
  template <typename Body>
  void Sum(double* sums_of_parts, Body&& body) const {
    std::memset(sums_of_parts, 0, static_cast<size_t>(sum_bytes()));
    ForParts([&](int k, int64_t begin, int64_t end) {
      double* const mine = sums_of_parts + k * sums();
      body(begin, end, mine, mine + view.padded_channels());
    });
    for (int64_t i = sums(); i < parts * sums(); ++i) {
      sums_of_parts[i % sums()] += sums_of_parts[i];
    }
  }

  onednn::MemoryDesc desc;
  kernels::ChannelView view = {};
  int parts = 1;
};

}  // namespace hone::engine
