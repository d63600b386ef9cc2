#pragma once

// Small things that several ops share: messages about shapes, and loops over flat memory.

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/team.h"
#include "engine/graph/graph.h"
#include "engine/graph/lowering.h"

namespace hone::engine {

inline absl::Status WrongShape(absl::string_view what, absl::string_view wanted, const Shape& got) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " must be ", wanted, ", got ", got.ToString()));
}

// Refuses a tensor with an extent of 0; the first dimension is called batch.
inline absl::Status CheckNotEmpty(absl::string_view what, const Shape& shape) {
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] <= 0) {
      return absl::InvalidArgumentError(
          i == 0 ? absl::StrCat(what, ": batch=", shape[0], ", must be at least 1")
                 : absl::StrCat(what, ": dimension ", i, " is ", shape[i], " in ", shape.ToString(),
                                ", must be at least 1"));
    }
  }
  return absl::OkStatus();
}

// How many elements memory of this desc holds, padding included.
inline int64_t FlatElements(const onednn::MemoryDesc& desc) {
  return desc.bytes() / SizeOf(desc.type().dtype);
}

// A desc of elements of `dtype` that elementwise loops may run over as flat memory: `desc` itself
// if they are its own, or row major, also where padding would be touched by a function that does
// not keep zero.
inline onednn::MemoryDesc FlatDesc(const onednn::MemoryDesc& desc, DType dtype, bool keeps_zero) {
  if (desc.type().dtype == dtype && (keeps_zero || !desc.has_padding())) {
    return desc;
  }
  return onednn::MemoryDesc::Plain({desc.type().shape, dtype});
}

// Of two inputs of one shape, the one in whose layout an elementwise op of both works: the first
// that has the result's element type already.
inline int LeadingInput(const Lowering& l) {
  return l.desc(0).type().dtype != l.output_dtype(0) && l.desc(1).type().dtype == l.output_dtype(0)
             ? 1
             : 0;
}

// Among how many threads it pays to share work on so many elements: where each gets some
// microseconds of it.
inline int PartsFor(int64_t elements, int threads) {
  constexpr int64_t kGrain = 8192;
  return static_cast<int>(
      std::clamp<int64_t>((elements + kGrain - 1) / kGrain, 1, std::max(threads, 1)));
}

// body(begin, end) over [0, count) on up to `threads` threads.
template <typename Body>
void ForSlices(int64_t count, int threads, Body&& body) {
  const int used = PartsFor(count, threads);
  if (used <= 1) {
    body(int64_t{0}, count);
    return;
  }
  RunTeam(used, [&](int k) {
    const auto [begin, end] = Slice(count, k, used, 64);
    body(begin, end);
  });
}

// How many windows fit into so much room, padding included; 0 where none does.
inline int64_t WindowsIn(int64_t room, int64_t window, int64_t stride) {
  return room < window ? 0 : (room - window) / stride + 1;
}

inline void* At(void* data, DType dtype, int64_t index) {
  return static_cast<char*>(data) + index * SizeOf(dtype);
}

}  // namespace hone::engine
