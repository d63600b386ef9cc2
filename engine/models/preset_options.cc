#include "engine/models/preset_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"

namespace hone::engine::models {

absl::Status CheckLeast(absl::string_view name, int64_t value, int64_t least) {
  return value >= least ? absl::OkStatus()
                        : absl::InvalidArgumentError(absl::StrCat("`", name, "` must be at least ",
                                                                  least, ", got ", value));
}

absl::Status CheckWord(absl::string_view name, absl::string_view value,
                       std::initializer_list<absl::string_view> all) {
  return std::ranges::find(all, value) != all.end()
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("`", name, "` must be one of ",
                                                       absl::StrJoin(all, ", "), ", got \"", value,
                                                       "\""));
}

absl::Status CheckDropout(float dropout) {
  return dropout >= 0 && dropout < 1
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   absl::StrCat("`dropout` must be at least 0 and below 1, got ", dropout));
}

absl::Status CheckPlaces(absl::string_view name, int64_t places, const BuildOptions& build) {
  if (places >= build.longest) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " must be at least ", build.longest,
      ", one for each place of the longest sequence, got ", places,
      build.shortened_by.empty()
          ? ""
          : absl::StrCat("; ", build.shortened_by, ": ", places, " would cut longer ones")));
}

absl::Status CheckHeads(int64_t heads, int64_t width) {
  HONE_RETURN_IF_ERROR(CheckLeast("heads", heads, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("width", width, 1));
  return width % heads == 0 ? absl::OkStatus()
                            : absl::InvalidArgumentError(absl::StrCat(
                                  "`heads` must divide `width`, got ", heads, " and ", width));
}

}  // namespace hone::engine::models
