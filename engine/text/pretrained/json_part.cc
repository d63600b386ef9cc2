#include "engine/text/pretrained/json_part.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/utf8.h"

namespace hone::engine::text {
namespace {

const nlohmann::json& Null() {
  static const nlohmann::json& null = *new nlohmann::json();
  return null;
}

// A value in an error: as it stands in the file, and no more of it than a line takes.
std::string Shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  constexpr size_t kLongest = 60;
  if (text.size() > kLongest) {
    text = absl::StrCat(CutUtf8(text, kLongest), " …");
  }
  return text;
}

}  // namespace

void JsonPart::Fail(absl::string_view what) const {
  if (error_.ok()) {
    error_ = absl::InvalidArgumentError(path_.empty() ? std::string(what)
                                                      : absl::StrCat(path_, ": ", what));
  }
}

bool JsonPart::Has(absl::string_view key) const {
  const auto found = value_.is_object() ? value_.find(std::string(key)) : value_.end();
  return found != value_.end() && !found->is_null();
}

JsonPart JsonPart::At(absl::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
  if (!value_.is_object()) {
    Fail(absl::StrCat("must be an object with the key `", key, "`, got ", Shown(value_)));
    return {Null(), std::move(path), error_};
  }
  const auto found = value_.find(std::string(key));
  return {found == value_.end() ? Null() : *found, std::move(path), error_};
}

std::vector<JsonPart> JsonPart::Items() const {
  std::vector<JsonPart> items;
  if (!value_.is_array()) {
    Fail(absl::StrCat("must be a list, got ", Shown(value_)));
    return items;
  }
  items.reserve(value_.size());
  for (size_t i = 0; i < value_.size(); ++i) {
    items.push_back({value_[i], absl::StrCat(path_, "[", i, "]"), error_});
  }
  return items;
}

std::string JsonPart::AsString() const {
  if (!value_.is_string()) {
    Fail(absl::StrCat("must be a text, got ", Shown(value_)));
    return "";
  }
  return value_.get<std::string>();
}

int64_t JsonPart::AsCount(int64_t most) const {
  const bool whole = value_.is_number_unsigned() || (value_.is_number_integer() && value_ >= 0);
  if (!whole || value_.get<uint64_t>() > static_cast<uint64_t>(most)) {
    Fail(absl::StrCat("must be a whole number from 0 to ", most, ", got ", Shown(value_)));
    return 0;
  }
  return value_.get<int64_t>();
}

std::string JsonPart::String(absl::string_view key) const { return At(key).AsString(); }

std::string JsonPart::String(absl::string_view key, absl::string_view otherwise) const {
  return Has(key) ? At(key).AsString() : std::string(otherwise);
}

bool JsonPart::Bool(absl::string_view key) const {
  const JsonPart part = At(key);
  if (!part.value_.is_boolean()) {
    part.Fail(absl::StrCat("must be true or false, got ", Shown(part.value_)));
    return false;
  }
  return part.value_.get<bool>();
}

bool JsonPart::Bool(absl::string_view key, bool otherwise) const {
  return Has(key) ? Bool(key) : otherwise;
}

int64_t JsonPart::Count(absl::string_view key, int64_t most) const { return At(key).AsCount(most); }

size_t JsonPart::OneOf(absl::string_view key,
                       std::initializer_list<absl::string_view> names) const {
  const JsonPart part = At(key);
  const auto found = part.value_.is_string()
                         ? std::ranges::find(names, part.value_.get<std::string>())
                         : names.end();
  if (found == names.end()) {
    part.Fail(absl::StrCat(Shown(part.value_), " is not known here; known are ",
                           absl::StrJoin(names, ", ")));
    return 0;
  }
  return static_cast<size_t>(found - names.begin());
}

void JsonPart::KnowsOnly(std::initializer_list<absl::string_view> keys) const {
  if (!value_.is_object()) {
    Fail(absl::StrCat("must be an object, got ", Shown(value_)));
    return;
  }
  for (const auto& [key, value] : value_.items()) {
    if (std::ranges::find(keys, key) == keys.end()) {
      At(key).Fail(absl::StrCat("is not known here; known are ", absl::StrJoin(keys, ", ")));
    }
  }
}

}  // namespace hone::engine::text
