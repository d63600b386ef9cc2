#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainCharacters(const CharacterTokens& options,
                                                                 const Corpus& corpus);
// Throws nlohmann::json::exception where a field is missing or of another type.
absl::StatusOr<std::unique_ptr<const Tokenizer>> CharactersFromJson(const nlohmann::json& json);

}  // namespace hone::engine::text
