#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/text/pretrained/json_part.h"

namespace hone::engine::text {

// Makes a text of tokens as they are written. Immutable: any number of threads may use it.
class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  // Changes the tokens, whose texts one after another are the text. `bytes`: tokens may end within
  // a character, and their bytes are left as they are; else what is no whole character is U+FFFD.
  virtual void Apply(bool bytes, std::vector<std::string>& tokens) const = 0;
};

// Of the part `decoder` of a tokenizer.json; null where that is null (then a space stands between
// two tokens), or in error.
std::unique_ptr<const TokenDecoder> ReadTokenDecoder(const JsonPart& json);

}  // namespace hone::engine::text
