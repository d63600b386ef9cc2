// A tokenizer of a model file, or, where the bytes are no JSON, a model of SentencePiece, also as a
// checkpoint has it: one that is read must give ids of its own, and be written as it was read.

#include "engine/text/tokenizer.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/text/pretrained/sentencepiece_json.h"
#include "engine/text/pretrained_tokenizer.h"
#include "engine/text/sentencepiece_tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace {

// What a checkpoint's model becomes is no wrong tokenizer.json, but may be too large a one.
void ReadAsCheckpoint(absl::string_view model) {
  using namespace hone::engine::text;  // NOLINT
  const auto json =
      SentencePieceAsJson(model, {.add_begin = false, .legacy = model.size() % 2 == 0});
  const auto tokenizer = json.ok() ? ParseTokenizerJson(json->dump()) : json.status();
  if (!tokenizer.ok()) {
    return;
  }
  const std::string text = "The cat's 2nd  café,\n我们 <s> ﬁ ";
  const TokenizedText tokens = (*tokenizer)->EncodeWithBytes(text);
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    if (tokens.ids[i] < 0 || tokens.ids[i] >= (*tokenizer)->size() ||
        tokens.bytes[i].begin > tokens.bytes[i].end || tokens.bytes[i].end > text.size()) {
      std::abort();
    }
  }
  (*tokenizer)->Decode(tokens.ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone::engine::text;  // NOLINT
  const auto json = hone::ParseJson(hone::fuzz::Text(data, size));
  if (!json.ok()) {
    ReadAsCheckpoint(hone::fuzz::Text(data, size));
  }
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
