// A tokenizer.json of a checkpoint: one that is read must give ids of its own and bytes within the
// text, and be read again from what a model keeps of it.

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/text/pretrained_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone::engine::text;  // NOLINT
  std::vector<std::string> overridden;
  const auto tokenizer = ParseTokenizerJson(hone::fuzz::Text(data, size), nullptr, &overridden);
  if (!tokenizer.ok()) {
    return 0;
  }
  const std::string text =
      "The cat's 2nd  café,\n我们 <s>[MASK] e\xCC\x81\xCC\xA3 ﬁ \xF0\x9F\x98\x80";
  const TokenizedText pair = (*tokenizer)->EncodePairInTemplate(text, "");
  for (size_t i = 0; i < pair.ids.size(); ++i) {
    if (pair.ids[i] < 0 || pair.ids[i] >= (*tokenizer)->size() ||
        pair.bytes[i].begin > pair.bytes[i].end || pair.bytes[i].end > text.size()) {
      std::abort();
    }
    (*tokenizer)->GoesOn(pair.ids[i]);
  }
  std::vector<int32_t> ids;
  (*tokenizer)->Encode(text, ids);
  if (ids != (*tokenizer)->EncodeWithBytes(text).ids) {
    std::abort();
  }
  (*tokenizer)->Decode(pair.ids);
  (*tokenizer)->DecodeBytes(pair.ids);
  const auto again = TokenizerFromJson((*tokenizer)->ToJson());
  if (!again.ok() || (*again)->size() != (*tokenizer)->size()) {
    std::abort();
  }
  return 0;
}
