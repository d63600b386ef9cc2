#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

// Tokens by their ids: kSpecialTokens, kMaskToken where there is one, then those that were given. A
// text that spells a special token is not taken for one.
class Vocabulary {
 public:
  // INVALID_ARGUMENT: there are none, one is empty or no UTF-8, one comes twice, or they are over
  // 2^24.
  static absl::StatusOr<Vocabulary> Make(std::vector<std::string> tokens, bool mask);
  // How many special tokens there are.
  static int64_t CountSpecial(bool mask);

  int64_t size() const;
  SpecialTokens special() const;
  bool has_mask() const { return mask_; }
  // The id of a token that was given, else that of the unknown one.
  int32_t Find(absl::string_view token) const;
  // The text of an id: of the unknown one "<unk>", of the mask "[MASK]", of begin and end "".
  absl::string_view TextOf(int32_t id) const;
  // Without the special ones.
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  Vocabulary(std::vector<std::string> tokens, bool mask)
      : tokens_(std::move(tokens)), mask_(mask) {}

  std::vector<std::string> tokens_;
  bool mask_;
  absl::flat_hash_map<std::string, int32_t> ids_;
};

// A tokenizer's JSON, with "mask" where its vocabulary has one: that of others, by which runs know
// their data again, stays as it is.
nlohmann::json WithMask(nlohmann::json json, const Vocabulary& vocabulary);

}  // namespace hone::engine::text
