// The index of a checkpoint's shards, beside two shards of a tensor each.

#include <utility>
#include <vector>

#include "engine/checkpoint/safetensors.h"
#include "engine/huggingface/tensor_files.h"
#include "tests/fuzz/fuzz.h"

namespace {

// A folder with the shards; of the index, what each input says.
const hone::fuzz::Folder& Shards() {
  using namespace hone::engine;  // NOLINT
  static const hone::fuzz::Folder folder;
  static const bool written = [] {
    const std::vector<float> value = {1};
    for (const auto& [tensor, shard] : {std::pair("a", "model-00001-of-00002.safetensors"),
                                        std::pair("b", "model-00002-of-00002.safetensors")}) {
      const std::vector<checkpoint::TensorToWrite> tensors = {
          {.name = tensor, .shape = {1}, .data = value.data()}};
      checkpoint::WriteSafetensors(folder.Write(shard, ""), tensors).IgnoreError();
    }
    return true;
  }();
  static_cast<void>(written);
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  Shards().Write("model.safetensors.index.json", fuzz::Text(data, size));
  engine::huggingface::TensorFiles::Open(Shards().path()).status().IgnoreError();
  return 0;
}
