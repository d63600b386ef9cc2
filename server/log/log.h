#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/strings/string_view.h"

namespace hone::server::log {

// What happened is said in a sentence for people; what is looked for stands in fields:
//   time=2026-01-31T12:00:00.000Z level=info msg="attempt started" job=abc attempt=1
// or the same as a JSON object. One event is one line, whatever its values hold.
enum class Format { kLogfmt, kJson };

// A key of ours and a value, which may be text of a stranger. Text beyond kMaxText bytes is cut.
class Field {
 public:
  Field(absl::string_view key, absl::string_view text) : key_(key), value_(text), is_text_(true) {}
  Field(absl::string_view key, const std::string& text) : Field(key, absl::string_view(text)) {}
  Field(absl::string_view key, const char* text) : Field(key, absl::string_view(text)) {}
  Field(absl::string_view key, int64_t number);
  Field(absl::string_view key, int number) : Field(key, int64_t{number}) {}
  Field(absl::string_view key, double number);

  void AppendTo(std::string& line, Format format) const;

  static constexpr size_t kMaxText = 1500;

 private:
  absl::string_view key_;
  std::string value_;
  bool is_text_;
};

// The fields in the given order; without the time and the level.
std::string Join(Format format, absl::string_view message, std::initializer_list<Field> fields);

// To stderr, from `level` on: "debug", "info", "warning" or "error". Before anything is logged.
void Begin(Format format, const std::string& level);

// Any thread. Fields with empty text are left out.
void Debug(absl::string_view message, std::initializer_list<Field> fields = {});
void Info(absl::string_view message, std::initializer_list<Field> fields = {});
void Warning(absl::string_view message, std::initializer_list<Field> fields = {});
void Error(absl::string_view message, std::initializer_list<Field> fields = {});

}  // namespace hone::server::log
