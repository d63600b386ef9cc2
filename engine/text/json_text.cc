#include "engine/text/json_text.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace hone::engine::text {
namespace {

using nlohmann::ordered_json;

// As Python's repr has it: the fewest digits that give the number again.
std::string NumberText(double number) {
  constexpr double kLeastFixed = 1e-4, kLeastWithExponent = 1e16;
  const double size = std::abs(number);
  const bool fixed = size == 0 || (size >= kLeastFixed && size < kLeastWithExponent);
  char digits[64];
  char* const end = std::to_chars(digits, digits + sizeof(digits), number,
                                  fixed ? std::chars_format::fixed : std::chars_format::scientific)
                        .ptr;
  std::string text(digits, end);
  return fixed && !absl::StrContains(text, ".") ? absl::StrCat(text, ".0") : text;
}

class Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  void Write(const ordered_json& value, int depth) {
    if (value.is_number_float()) {
      text_ += NumberText(value.get<double>());
    } else if (!value.is_structured() || value.empty()) {
      text_ += value.dump();
    } else {
      WriteParts(value, depth + 1);
    }
  }
  std::string Take() && { return std::move(text_); }

 private:
  void WriteParts(const ordered_json& value, int depth) {
    text_ += value.is_object() ? '{' : '[';
    bool first = true;
    for (const auto& [key, part] : value.items()) {
      text_ += first ? "" : indent_ > 0 ? "," : ", ";
      first = false;
      NewLine(depth);
      if (value.is_object()) {
        absl::StrAppend(&text_, ordered_json(key).dump(), ": ");
      }
      Write(part, depth);
    }
    NewLine(depth - 1);
    text_ += value.is_object() ? '}' : ']';
  }

  void NewLine(int depth) {
    if (indent_ > 0) {
      text_ += '\n';
      text_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth), ' ');
    }
  }

  const int indent_;
  std::string text_;
};

}  // namespace

std::string JsonText(const ordered_json& value, int indent) {
  Writer writer(indent);
  writer.Write(value, 0);
  return std::move(writer).Take();
}

}  // namespace hone::engine::text
