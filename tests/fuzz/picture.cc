// A PNG or a JPEG.

#include "engine/image/image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  const engine::image::DecodeOptions options{.max_pixels = 1 << 20};
  const absl::string_view bytes = fuzz::Text(data, size);
  engine::image::DecodeSize(bytes, "picture", options).status().IgnoreError();
  const auto image = engine::image::Decode(bytes, "picture", options);
  if (image.ok()) {
    engine::image::Resize(engine::image::WithChannels(*image, 1), 28, 28);
  }
  return 0;
}
