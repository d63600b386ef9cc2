// What a worker, perhaps a taken one, writes into the pipe: in pieces, as pipes give them.

#include "server/worker_process/frames.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  server::worker_process::FrameDecoder decoder;
  // The first byte says how long the pieces are.
  const size_t piece = size > 0 ? 1 + data[0] : 1;
  for (size_t at = 1; at < size; at += piece) {
    decoder.Append(fuzz::Text(data + at, std::min(piece, size - at)));
    for (;;) {
      const auto frame = decoder.Next();
      if (!frame.ok() || !frame->has_value()) {
        break;
      }
    }
  }
  return 0;
}
