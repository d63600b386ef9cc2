// A folder of two IDX files. The first two bytes say how long the pictures' file is; the labels'
// file is the rest.

#include <algorithm>

#include "engine/data/load.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  static const fuzz::Folder folder;
  if (size < 2) {
    return 0;
  }
  const size_t pictures = std::min<size_t>(size - 2, data[0] + 256u * data[1]);
  folder.Write("train-images-idx3-ubyte", fuzz::Text(data + 2, pictures));
  folder.Write("train-labels-idx1-ubyte", fuzz::Text(data + 2 + pictures, size - 2 - pictures));
  engine::data::LoadOptions options;
  options.path = folder.path();
  options.max_bytes = int64_t{64} << 20;
  engine::data::Inspect(options).status().IgnoreError();
  engine::data::Load(options).status().IgnoreError();
  return 0;
}
