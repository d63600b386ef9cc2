#include "engine/base/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone {
namespace {

using nlohmann::json;

constexpr int kNumberOverflow = 406;  // as nlohmann::json numbers its errors

// "line 3, byte 12", or "its byte 12" of a text of one line.
std::string Place(absl::string_view text, size_t at) {
  const size_t last = text.find_last_not_of('\n');
  const absl::string_view before = text.substr(0, at);
  if (text.substr(0, last).find('\n') == absl::string_view::npos) {
    return absl::StrCat("its byte ", at + 1);
  }
  const size_t feed = before.rfind('\n');
  const size_t begin = feed == absl::string_view::npos ? 0 : feed + 1;
  return absl::StrCat("line ", 1 + std::count(before.begin(), before.end(), '\n'), ", byte ",
                      at - begin + 1);
}

// Where the text begins to nest too deeply; its size: nowhere. Brackets are counted as the parser
// takes them, up to the place where it finds an error.
size_t TooDeepAt(absl::string_view text) {
  int64_t depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') {
        ++at;
      } else if (c == '"') {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) {
        return at;
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return text.size();
}

// Goes through a text that is no JSON for the place where that begins.
class Locator : public nlohmann::json_sax<json> {
 public:
  size_t at() const { return at_; }
  bool number_overflows() const { return id_ == kNumberOverflow; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  // `read` counts the bytes that were read, the one that is wrong among them.
  bool parse_error(size_t read, const std::string&,
                   const nlohmann::detail::exception& error) override {
    at_ = std::max<size_t>(read, 1) - 1;
    id_ = error.id;
    return false;
  }

 private:
  size_t at_ = 0;
  int id_ = 0;
};

absl::Status NoJson(absl::string_view text) {
  Locator locator;
  json::sax_parse(text.begin(), text.end(), &locator);
  const size_t at = std::min(locator.at(), text.size());
  if (locator.number_overflows()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has a number at ", Place(text, at), " that is too large for 64 bits"));
  }
  return absl::InvalidArgumentError(absl::StrCat("is no JSON from ", Place(text, at), " on",
                                                 at == text.size() ? ", where it ends" : ""));
}

template <typename Json>
absl::StatusOr<Json> Parse(absl::string_view text) {
  if (const size_t at = TooDeepAt(text); at < text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("has lists or objects within each other, at ",
                                                   Place(text, at), " more than the ", kDeepestJson,
                                                   " that are read"));
  }
  Json value = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return NoJson(text);
  }
  return value;
}

template <typename Json>
absl::StatusOr<Json> ParseObject(absl::string_view text) {
  HONE_ASSIGN_OR_RETURN(Json value, Parse<Json>(text));
  if (!value.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be a JSON object, got ", value.type_name()));
  }
  return value;
}

}  // namespace

absl::StatusOr<json> ParseJson(absl::string_view text) { return Parse<json>(text); }

absl::StatusOr<json> ParseJsonObject(absl::string_view text) { return ParseObject<json>(text); }

absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(absl::string_view text) {
  return Parse<nlohmann::ordered_json>(text);
}

absl::StatusOr<nlohmann::ordered_json> ParseOrderedJsonObject(absl::string_view text) {
  return ParseObject<nlohmann::ordered_json>(text);
}

}  // namespace hone
