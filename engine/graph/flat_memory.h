#pragma once

#include <cstdint>

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

// Of two inputs of one shape, the one in whose layout an elementwise op of both works: the first
// that has the result's element type already.
inline int LeadingInput(const Lowering& l) {
  return l.desc(0).type().dtype != l.output_dtype(0) && l.desc(1).type().dtype == l.output_dtype(0)
             ? 1
             : 0;
}

// The address of an element.
inline void* At(void* data, DType dtype, int64_t index) {
  return static_cast<char*>(data) + index * SizeOf(dtype);
}

}  // namespace hone::engine
