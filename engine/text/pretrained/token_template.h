#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/text/pretrained/json_part.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::text {

// What a checkpoint puts around a text, or a pair, and how it cuts spaces off what tokens stand for
// (the part `post_processor` of a tokenizer.json).
struct TokenTemplate {
  struct Part {
    enum class Kind { kFirst, kSecond, kSpecial };
    Kind kind = Kind::kFirst;
    std::vector<int32_t> ids = {};  // of kSpecial
    int32_t type = 0;
  };
  std::vector<Part> single = {{.kind = Part::Kind::kFirst}};
  std::vector<Part> pair = {{.kind = Part::Kind::kFirst}, {.kind = Part::Kind::kSecond, .type = 1}};
  // The bytes of a token of byte-level BPE do not have the spaces around it, but for one that was
  // put before the text (`keeps_first_space`).
  bool trims = false;
  bool keeps_first_space = false;

  // `second` is null for a text that is no pair; both have ids and bytes.
  TokenizedText Apply(const TokenizedText& first, const TokenizedText* second) const;
};

// `json` may be null. Ids at or above `size` are errors.
TokenTemplate ReadTokenTemplate(const JsonPart& json, int64_t size);

}  // namespace hone::engine::text
