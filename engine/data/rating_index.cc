#include "engine/data/rating_index.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/data/rating_rows.h"

namespace hone::engine::data {
namespace {

constexpr int kVersion = 1;

// An unsigned number in sevens of bits, the lowest first, the eighth bit says that more follow.
void AppendNumber(uint64_t number, std::string& out) {
  for (; number >= 0x80; number >>= 7) {
    out.push_back(static_cast<char>(number | 0x80));
  }
  out.push_back(static_cast<char>(number));
}

// False where there is none.
bool TakeNumber(absl::string_view& in, uint64_t& number) {
  number = 0;
  for (int shift = 0; shift < 35 && !in.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    number |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) {
      return true;
    }
  }
  return false;
}

// Of each user the number of items, the first item, and the distances of the others.
std::string PackRated(const RatingIndex& index) {
  std::string bytes;
  for (size_t user = 0; user + 1 < index.rated_begin.size(); ++user) {
    const std::span<const int32_t> items = index.RatedBy(static_cast<int32_t>(user));
    AppendNumber(items.size(), bytes);
    int32_t before = 0;
    for (const int32_t item : items) {
      AppendNumber(static_cast<uint64_t>(item - before), bytes);
      before = item;
    }
  }
  return absl::Base64Escape(bytes);
}

absl::Status UnpackRated(const std::string& text, RatingIndex& index) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) {
    return absl::InvalidArgumentError("`rated` is not base64");
  }
  absl::string_view in = bytes;
  index.rated_begin = {0};
  for (size_t user = 0; user < index.users.size(); ++user) {
    uint64_t count = 0, gap = 0, item = 0;
    bool whole = TakeNumber(in, count) && count <= index.items.size();
    for (uint64_t i = 0; whole && i < count; ++i) {
      whole = TakeNumber(in, gap) && (i == 0 || gap > 0);
      item += gap;
      whole = whole && item < index.items.size();
      index.rated.push_back(static_cast<int32_t>(item));
    }
    if (!whole) {
      return absl::InvalidArgumentError(
          absl::StrCat("`rated` of user ", user, " is no ascending list of items"));
    }
    index.rated_begin.push_back(static_cast<int64_t>(index.rated.size()));
  }
  return in.empty() ? absl::OkStatus()
                    : absl::InvalidArgumentError("`rated` goes on behind the last user");
}

// With four decimals: a mean of ratings needs no more.
nlohmann::json Rounded(const std::vector<float>& numbers) {
  nlohmann::json out = nlohmann::json::array();
  for (const float number : numbers) {
    out.push_back(std::round(static_cast<double>(number) * 1e4) / 1e4);
  }
  return out;
}

}  // namespace

bool IdIsBefore(absl::string_view a, absl::string_view b) {
  const std::optional<uint64_t> m = IdNumber(a), n = IdNumber(b);
  if (m && n && *m != *n) {
    return *m < *n;
  }
  return m.has_value() != n.has_value() ? m.has_value() : a < b;
}

int32_t RatingIndex::Find(const std::vector<std::string>& ids, absl::string_view id) {
  const auto found = std::ranges::lower_bound(ids, id, IdIsBefore);
  return found != ids.end() && *found == id ? static_cast<int32_t>(found - ids.begin()) : -1;
}

std::span<const int32_t> RatingIndex::RatedBy(int32_t user) const {
  if (user < 0 || rated_begin.empty()) {
    return {};
  }
  const auto u = static_cast<size_t>(user);
  return std::span(rated).subspan(static_cast<size_t>(rated_begin[u]),
                                  static_cast<size_t>(rated_begin[u + 1] - rated_begin[u]));
}

bool RatingIndex::HasRated(int32_t user, int32_t item) const {
  return std::ranges::binary_search(RatedBy(user), item);
}

double RatingIndex::Guess(int32_t user, int32_t item) const {
  return item >= 0   ? item_means[static_cast<size_t>(item)]
         : user >= 0 ? user_means[static_cast<size_t>(user)]
                     : mean;
}

std::string RatingIndex::ToJson() const {
  nlohmann::json json = {{"version", kVersion},
                         {"user_column", user_column},
                         {"item_column", item_column},
                         {"users", users},
                         {"items", items},
                         {"item_names", item_names},
                         {"mean", mean},
                         {"lowest", lowest},
                         {"highest", highest},
                         {"user_means", Rounded(user_means)},
                         {"item_means", Rounded(item_means)},
                         {"item_counts", item_counts}};
  if (!std::isfinite(lowest)) {
    json.erase("lowest");
    json.erase("highest");
  }
  if (!rated_begin.empty()) {
    json["rated"] = PackRated(*this);
  }
  return json.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<RatingIndex> RatingIndex::FromJson(const std::string& text) {
  RatingIndex index;
  try {
    const absl::StatusOr<nlohmann::json> parsed = ParseJson(text);
    HONE_RETURN_IF_ERROR(Annotate(parsed.status(), "ratings"));
    const nlohmann::json& json = *parsed;
    if (json.at("version") != kVersion) {
      return absl::InvalidArgumentError(
          absl::StrCat("ratings: the index must be of version ", kVersion));
    }
    index.user_column = json.at("user_column").get<std::string>();
    index.item_column = json.at("item_column").get<std::string>();
    index.users = json.at("users").get<std::vector<std::string>>();
    index.items = json.at("items").get<std::vector<std::string>>();
    index.item_names = json.at("item_names").get<std::vector<std::string>>();
    index.mean = json.at("mean").get<double>();
    if (json.contains("lowest")) {
      index.lowest = json.at("lowest").get<double>();
      index.highest = json.at("highest").get<double>();
    }
    index.user_means = json.at("user_means").get<std::vector<float>>();
    index.item_means = json.at("item_means").get<std::vector<float>>();
    index.item_counts = json.at("item_counts").get<std::vector<int32_t>>();
    if (index.users.empty() || index.items.empty() ||
        !std::ranges::is_sorted(index.users, IdIsBefore) ||
        !std::ranges::is_sorted(index.items, IdIsBefore) ||
        index.user_means.size() != index.users.size() ||
        index.item_means.size() != index.items.size() ||
        index.item_counts.size() != index.items.size() || index.lowest > index.highest ||
        (!index.item_names.empty() && index.item_names.size() != index.items.size())) {
      return absl::InvalidArgumentError(
          "ratings: users and items must be ids in their order, with a mean for each, and the "
          "lowest rating "
          "must not be above the highest");
    }
    if (json.contains("rated")) {
      HONE_RETURN_IF_ERROR(
          Annotate(UnpackRated(json.at("rated").get<std::string>(), index), "ratings"));
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("ratings: ", error.what()));
  }
  return index;
}

absl::StatusOr<RatingIndex::Sizes> RatingIndex::SizesOf(const std::string& text) {
  try {
    if (const absl::StatusOr<nlohmann::json> json = ParseJson(text); json.ok()) {
      const Sizes sizes = {.users = static_cast<int64_t>(json->at("users").size()),
                           .items = static_cast<int64_t>(json->at("items").size())};
      if (sizes.users > 0 && sizes.items > 0) {
        return sizes;
      }
    }
  } catch (const nlohmann::json::exception&) {
    // Is no index.
  }
  return absl::InvalidArgumentError("recommendation: the data must be ratings of items by users");
}

}  // namespace hone::engine::data
