#include "engine/data/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hone::engine::data {
namespace {

constexpr size_t kPlaces = 20;

nlohmann::json ToJson(const TokenReport& tokens) {
  return {{"tokens", tokens.tokens},
          {"unknown", tokens.unknown},
          {"cut", tokens.cut},
          {"longest", tokens.longest},
          {"longest_where", tokens.longest_where},
          {"lengths", tokens.lengths}};
}

nlohmann::json ToJson(const SplitReport& split) {
  nlohmann::json json = {{"examples", split.examples}, {"class_counts", split.class_counts}};
  if (split.tokens.has_value()) {
    json["tokens"] = ToJson(*split.tokens);
  }
  if (split.target_tokens.has_value()) {
    json["target_tokens"] = ToJson(*split.target_tokens);
  }
  return json;
}

}  // namespace

std::string Dropped::Place::ToString() const {
  return why.empty() ? where : absl::StrCat(where, ": ", why);
}

void DataReport::Drop(absl::string_view reason, absl::string_view where, int64_t count) {
  Drop(reason, Dropped::Place{.where = std::string(where)}, count);
}

void DataReport::Drop(absl::string_view reason, Dropped::Place place, int64_t count) {
  auto found = std::find_if(dropped.begin(), dropped.end(),
                            [&](const Dropped& entry) { return entry.reason == reason; });
  if (found == dropped.end()) {
    found = dropped.insert(dropped.end(), Dropped{std::string(reason), 0, {}});
  }
  found->count += count;
  if (found->first.size() < kPlaces) {
    found->first.push_back(std::move(place));
  }
}

int64_t DataReport::dropped_examples() const {
  int64_t total = 0;
  for (const Dropped& entry : dropped) {
    total += entry.count;
  }
  return total;
}

nlohmann::json DataReport::ToJson() const {
  nlohmann::json drops = nlohmann::json::array();
  for (const Dropped& entry : dropped) {
    nlohmann::json first = nlohmann::json::array();
    for (const Dropped::Place& place : entry.first) {
      first.push_back(place.ToString());
    }
    drops.push_back({{"reason", entry.reason}, {"count", entry.count}, {"first", first}});
  }
  return {{"source", source},
          {"format", format},
          {"examples_read", examples_read},
          {"dropped", drops},
          {"duplicates", duplicates},
          {"duplicates_across_parts", duplicates_across_parts},
          {"contradictions", contradictions},
          {"missing_cells", missing_cells},
          {"train", data::ToJson(train)},
          {"validation", data::ToJson(validation)},
          {"test", data::ToJson(test)},
          {"notes", notes}};
}

}  // namespace hone::engine::data
