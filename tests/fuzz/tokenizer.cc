// A tokenizer of a model file, or, where the bytes are no JSON, a model of SentencePiece: one that
// is read must give ids of its own, and be written as it was read.

#include "engine/text/tokenizer.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/text/sentencepiece_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone::engine::text;  // NOLINT
  const auto json = hone::ParseJson(hone::fuzz::Text(data, size));
  const auto tokenizer = json.ok() ? TokenizerFromJson(*json)
                                   : NewSentencePieceTokenizer(hone::fuzz::Text(data, size));
  if (!tokenizer.ok()) {
    return 0;
  }
  std::vector<int32_t> ids;
  (*tokenizer)->Encode("The cat's 2nd café, 我们 <s>", ids);
  for (const int32_t id : ids) {
    if (id < 0 || id >= (*tokenizer)->size()) {
      std::abort();
    }
  }
  (*tokenizer)->EncodeBesideMask(" a\n", /*joined=*/true, ids);
  (*tokenizer)->Decode(ids);
  const auto again = TokenizerFromJson((*tokenizer)->ToJson());
  if (!again.ok() || (*again)->size() != (*tokenizer)->size()) {
    std::abort();
  }
  return 0;
}
