#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/graph/lowering.h"

// For lowerings of elementwise ops, which run over memory as one flat array whatever its layout is
// (ForElements in base/team.h shares it among threads).
namespace hone::engine {

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

// Elements [begin, end) of y from a and b, arrays of one type. Zeros give a zero.
using BinaryKernel = void (*)(DType dtype, const void* a, const void* b, void* y, int64_t begin,
                              int64_t end);

// Emits such an op of inputs 0 and 1, of one shape, into output 0.
absl::Status LowerElementwise(Lowering& l, absl::string_view label, BinaryKernel kernel);

// The address of an element.
inline void* At(void* data, DType dtype, int64_t index) {
  return static_cast<char*>(data) + index * SizeOf(dtype);
}

}  // namespace hone::engine
