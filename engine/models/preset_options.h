#pragma once

#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/models/build.h"

// What presets say of options that they cannot take. All are OK or INVALID_ARGUMENT.
namespace hone::engine::models {

absl::Status CheckLeast(absl::string_view name, int64_t value, int64_t least);
absl::Status CheckWord(absl::string_view name, absl::string_view value,
                       std::initializer_list<absl::string_view> all);
absl::Status CheckDropout(float dropout);
// Of learned positions, which are so many; layers call the field as their own.
absl::Status CheckPlaces(absl::string_view name, int64_t places, const BuildOptions& build);
absl::Status CheckHeads(int64_t heads, int64_t width);  // both at least 1; heads divide the width

}  // namespace hone::engine::models
