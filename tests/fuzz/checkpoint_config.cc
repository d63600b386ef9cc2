// The config.json of a checkpoint in Hugging Face's form.

#include "engine/huggingface/config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  engine::huggingface::ParseConfig(fuzz::Text(data, size)).status().IgnoreError();
  return 0;
}
