#pragma once

// What only the files of this folder see.

#include <dnnl.hpp>

#include "engine/onednn/primitive.h"

namespace hone::engine::onednn {

struct MemoryDesc::Rep {
  dnnl::memory::desc desc;
  TensorType type;
};

struct Primitive::Rep {
  dnnl::primitive primitive;
  dnnl::primitive_desc_base desc;
  std::string implementation;
};

dnnl::engine& Cpu();
int ArgumentId(Arg arg);
dnnl::memory::data_type ToDnnl(DType dtype);
DType FromDnnl(dnnl::memory::data_type type);

// A desc that oneDNN chose, with the extents of the tensor it is for.
MemoryDesc Wrap(const dnnl::memory::desc& desc);

}  // namespace hone::engine::onednn
