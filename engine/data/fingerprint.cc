#include "engine/data/fingerprint.h"

#include <nlohmann/json.hpp>
#include <span>

#include "absl/strings/str_cat.h"
#include "engine/data/prepare.h"

namespace hone::engine::data {

std::string Fingerprint(const LoadedData& data) {
  std::vector<uint64_t> parts;
  const auto add = [&](const auto& values) {
    parts.push_back(
        ContentHash(values.data(), static_cast<int64_t>(values.size() * sizeof(*values.data()))));
  };
  const Dataset& dataset = data.dataset;
  if (dataset.size() > 0 && dataset.own() == nullptr) {
    add(std::span(dataset.example(0),
                  static_cast<size_t>(dataset.size() * dataset.features().bytes())));
  }
  if (dataset.own() != nullptr) {
    parts.push_back(dataset.own()->content_hash());
  }
  add(dataset.labels());
  add(dataset.targets());
  for (const std::vector<int32_t>* rows :
       {&data.splits.train, &data.splits.validation, &data.splits.test}) {
    add(*rows);
  }
  // Names of columns may be no UTF-8.
  add(data.preprocessing.ToJson().dump(-1, ' ', /*ensure_ascii=*/false,
                                       nlohmann::json::error_handler_t::replace));
  const uint64_t whole =
      ContentHash(parts.data(), static_cast<int64_t>(parts.size() * sizeof(uint64_t)));
  return absl::StrCat(absl::Hex(whole, absl::kZeroPad16));
}

}  // namespace hone::engine::data
