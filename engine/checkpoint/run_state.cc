#include "engine/checkpoint/run_state.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"

namespace hone::engine::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr int64_t kVersion = 1;
constexpr absl::string_view kBits = "bits:";

// JSON has no infinities and no NaN: those are written as their bits.
Json FromDouble(double value) {
  if (std::isfinite(value)) {
    return value;
  }
  return absl::StrCat(kBits, absl::Hex(std::bit_cast<uint64_t>(value), absl::kZeroPad16));
}

Json FromNumbers(const std::map<std::string, double>& numbers) {
  Json object = Json::object();
  for (const auto& [name, value] : numbers) {
    object[name] = FromDouble(value);
  }
  return object;
}

// The fields of one JSON object, each taken once; the first error stays.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) {
      Fail("", "an object");
    }
  }

  bool Has(const std::string& key) const { return object_.is_object() && object_.contains(key); }

  // Null, if there is none.
  const Json* Take(const std::string& key, absl::string_view wanted) {
    taken_.insert(key);
    if (Has(key)) {
      return &object_.at(key);
    }
    Fail(key, wanted);
    return nullptr;
  }

  void Take(const std::string& key, int64_t& value) {
    const Json* json = Take(key, "a whole number");
    if (json == nullptr) {
      return;
    }
    if (!json->is_number_integer() ||
        (json->is_number_unsigned() && json->get<uint64_t>() > uint64_t{INT64_MAX})) {
      return Fail(key, "a whole number");
    }
    value = json->get<int64_t>();
  }

  void Take(const std::string& key, uint64_t& value) {
    const Json* json = Take(key, "a whole number, at least 0");
    if (json == nullptr) {
      return;
    }
    if (!json->is_number_unsigned()) {
      return Fail(key, "a whole number, at least 0");
    }
    value = json->get<uint64_t>();
  }

  void Take(const std::string& key, double& value) {
    const Json* json = Take(key, "a number");
    if (json != nullptr && !ToDouble(*json, value)) {
      Fail(key, "a number");
    }
  }

  void Take(const std::string& key, std::string& value) {
    const Json* json = Take(key, "a text");
    if (json == nullptr) {
      return;
    }
    if (!json->is_string()) {
      return Fail(key, "a text");
    }
    value = json->get<std::string>();
  }

  void Take(const std::string& key, std::map<std::string, double>& numbers) {
    const Json* json = Take(key, "an object of numbers");
    if (json == nullptr) {
      return;
    }
    if (!json->is_object()) {
      return Fail(key, "an object of numbers");
    }
    for (const auto& [name, value] : json->items()) {
      if (!ToDouble(value, numbers[name])) {
        return Fail(absl::StrCat(key, ".", name), "a number");
      }
    }
  }

  void Fail(absl::string_view key, absl::string_view wanted) {
    if (status_.ok()) {
      const absl::string_view dot = path_.empty() || key.empty() ? "" : ".";
      const std::string field = absl::StrCat(path_, dot, key);
      status_ = absl::InvalidArgumentError(absl::StrCat(field.empty() ? "the run state" : field,
                                                        ": must be ", wanted, " and is not"));
    }
  }

  // The first error; a field that nobody took is one.
  absl::Status Finish() {
    if (status_.ok()) {
      for (const auto& [key, value] : object_.items()) {
        if (!taken_.contains(key)) {
          return absl::InvalidArgumentError(absl::StrCat(path_, path_.empty() ? "" : ".", key,
                                                         ": not known; another version wrote it"));
        }
      }
    }
    return status_;
  }

 private:
  static bool ToDouble(const Json& json, double& value) {
    if (json.is_number()) {
      value = json.get<double>();
      return true;
    }
    const std::string text = json.is_string() ? json.get<std::string>() : "";
    uint64_t bits = 0;
    if (text.size() != kBits.size() + 16 || !absl::StartsWith(text, kBits) ||
        !absl::SimpleHexAtoi(text.substr(kBits.size()), &bits)) {
      return false;
    }
    value = std::bit_cast<double>(bits);
    return true;
  }

  const Json& object_;
  std::string path_;
  std::set<std::string> taken_;
  absl::Status status_;
};

absl::Status ReadPlateau(const Json& json, optim::PlateauState& plateau) {
  Fields fields(json, "plateau");
  fields.Take("factor", plateau.factor);
  fields.Take("best", plateau.best);
  fields.Take("epochs_without_fall", plateau.epochs_without_fall);
  return fields.Finish();
}

absl::Status ReadBest(const Json& json, BestMetric& best) {
  Fields fields(json, "best");
  fields.Take("name", best.name);
  fields.Take("value", best.value);
  fields.Take("step", best.step);
  return fields.Finish();
}

absl::Status ReadHistory(const Json& json, std::vector<HistoryPoint>& history) {
  if (!json.is_array()) {
    return absl::InvalidArgumentError("history: must be a list and is not");
  }
  for (const Json& item : json) {
    Fields fields(item, absl::StrCat("history[", history.size(), "]"));
    HistoryPoint& point = history.emplace_back();
    fields.Take("step", point.step);
    fields.Take("epoch", point.epoch);
    fields.Take("values", point.values);
    HONE_RETURN_IF_ERROR(fields.Finish());
  }
  return absl::OkStatus();
}

absl::Status ReadSections(const Json& json, std::map<std::string, std::string>& sections) {
  Fields fields(json, "sections");
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) {
      std::string base64;
      fields.Take(name, base64);
      if (!absl::Base64Unescape(base64, &sections[name])) {
        fields.Fail(name, "base64");
      }
    }
  }
  return fields.Finish();
}

absl::StatusOr<RunState> Read(const Json& json) {
  Fields fields(json, "");
  int64_t version = 0;
  fields.Take("version", version);
  if (version != kVersion) {
    fields.Fail("version", absl::StrCat(kVersion));
  }
  RunState state;
  fields.Take("step", state.step);
  fields.Take("epoch", state.epoch);
  fields.Take("data_position", state.data_position);
  fields.Take("seed", state.seed);
  if (fields.Has("data_fingerprint")) {
    fields.Take("data_fingerprint", state.data_fingerprint);
  }
  if (fields.Has("arithmetic")) {
    fields.Take("arithmetic", state.arithmetic);
  }
  fields.Take("epochs_without_improvement", state.epochs_without_improvement);
  fields.Take("scalars", state.scalars);
  if (const Json* plateau = fields.Take("plateau", "an object")) {
    HONE_RETURN_IF_ERROR(ReadPlateau(*plateau, state.plateau));
  }
  if (fields.Has("best")) {
    HONE_RETURN_IF_ERROR(ReadBest(*fields.Take("best", "an object"), state.best.emplace()));
  }
  if (const Json* history = fields.Take("history", "a list")) {
    HONE_RETURN_IF_ERROR(ReadHistory(*history, state.history));
  }
  if (const Json* sections = fields.Take("sections", "an object")) {
    HONE_RETURN_IF_ERROR(ReadSections(*sections, state.sections));
  }
  HONE_RETURN_IF_ERROR(fields.Finish());
  return state;
}

}  // namespace

std::string ToJson(const RunState& state, size_t largest_section) {
  Json json = {{"version", kVersion},
               {"step", state.step},
               {"epoch", state.epoch},
               {"data_position", state.data_position},
               {"seed", state.seed},
               {"epochs_without_improvement", state.epochs_without_improvement},
               {"scalars", FromNumbers(state.scalars)},
               {"plateau",
                {{"factor", FromDouble(state.plateau.factor)},
                 {"best", FromDouble(state.plateau.best)},
                 {"epochs_without_fall", state.plateau.epochs_without_fall}}}};
  if (!state.data_fingerprint.empty()) {
    json["data_fingerprint"] = state.data_fingerprint;
  }
  if (!state.arithmetic.empty()) {
    json["arithmetic"] = state.arithmetic;
  }
  if (state.best.has_value()) {
    json["best"] = {{"name", state.best->name},
                    {"value", FromDouble(state.best->value)},
                    {"step", state.best->step}};
  }
  Json& history = json["history"] = Json::array();
  for (const HistoryPoint& point : state.history) {
    history.push_back({{"step", point.step},
                       {"epoch", FromDouble(point.epoch)},
                       {"values", FromNumbers(point.values)}});
  }
  Json& sections = json["sections"] = Json::object();
  for (const auto& [name, bytes] : state.sections) {
    if (bytes.size() <= largest_section) {
      sections[name] = absl::Base64Escape(bytes);
    }
  }
  // Names that are not UTF-8 get U+FFFD where they are broken; everything else here is ASCII.
  return json.dump(1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<RunState> RunStateFromJson(absl::string_view text) {
  try {
    const absl::StatusOr<Json> json = ParseJson(text);
    HONE_RETURN_IF_ERROR(Annotate(json.status(), "the run state"));
    return Read(*json);
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError("the run state: out of memory");
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("the run state: ", error.what()));
  }
}

}  // namespace hone::engine::checkpoint
