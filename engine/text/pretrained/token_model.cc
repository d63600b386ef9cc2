#include "engine/text/pretrained/token_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hone::engine::text {

void ReadVocabulary(const JsonPart& json, std::vector<std::string>& written) {
  if (!json.value().is_object()) {
    json.Fail("must be an object of tokens and their ids");
    return;
  }
  // Few real vocabularies leave ids out, and none leaves out many.
  const uint64_t end = std::min<uint64_t>(kMostTokens, json.value().size() + (uint64_t{1} << 16));
  std::vector<bool> taken;
  for (const auto& [token, id] : json.value().items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= end) {
      json.Fail(absl::StrCat("the id of `", token, "` must be a whole number below ", end, ", got ",
                             id.dump()));
      return;
    }
    const auto at = id.get<size_t>();
    if (at >= written.size()) {
      written.resize(at + 1);
      taken.resize(at + 1);
    }
    if (taken[at]) {
      json.Fail(
          absl::StrCat("the tokens `", written[at], "` and `", token, "` have the same id ", at));
      return;
    }
    taken[at] = true;
    written[at] = token;
  }
}

ReadModel ReadTokenModel(const JsonPart& json, bool bytes) {
  // Old files do not name the kind; theirs is told by what else the model has.
  size_t kind = 0;
  if (json.Has("type")) {
    kind = json.OneOf("type", {"WordPiece", "BPE", "Unigram"});
  } else if (json.Has("merges")) {
    kind = 1;
  } else if (!json.Has("continuing_subword_prefix")) {
    json.At("type").Fail("is missing; known are WordPiece, BPE, Unigram");
  }
  if (!json.ok()) {
    return {};
  }
  if (bytes && kind != 1) {
    json.Fail("the pre-tokenizer ByteLevel is read with a BPE model only");
    return {};
  }
  return kind == 0 ? ReadWordPiece(json) : kind == 1 ? ReadBpe(json, bytes) : ReadUnigram(json);
}

}  // namespace hone::engine::text
