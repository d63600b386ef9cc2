// A checkpoint's file: the header, and every tensor that it promises.

#include "engine/checkpoint/safetensors.h"

#include <vector>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  static const fuzz::Folder folder;
  const auto file = engine::checkpoint::SafetensorsFile::Open(
      folder.Write("model.safetensors", fuzz::Text(data, size)));
  if (!file.ok()) {
    return 0;
  }
  for (const engine::checkpoint::FileTensor& tensor : file->tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
    file->Read(tensor, values).IgnoreError();
  }
  return 0;
}
