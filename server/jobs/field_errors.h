#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::server::jobs {

// One wrong field: its path as in the job file, what it must be and what it is.
struct FieldError {
  std::string path;
  std::string text;
};

// An open or closed interval, in words and as a test.
struct Range {
  double low;
  double high;
  bool low_open = false;
  bool high_open = false;
};
inline constexpr Range Closed(double low, double high) { return {low, high}; }
inline constexpr Range UpTo(double low, double high) {
  return {low, high, false, true};
}  // [low, high)
inline constexpr Range Above(double low, double high) {
  return {low, high, true, false};
}  // (low, high]

// Collects the wrong fields of a spec; beyond kMostKept only their number. Values given as floats
// are printed as the user wrote them (shortest form).
class FieldErrors {
 public:
  static constexpr size_t kMostKept = 100;

  void Add(absl::string_view path, absl::string_view text);
  // "must be between 1 and 65536, got 0"; a NaN is in no range.
  void CheckInt(absl::string_view path, int64_t value, int64_t low, int64_t high);
  void CheckFloat(absl::string_view path, float value, const Range& range);
  // At most so many bytes, without control characters.
  void CheckText(absl::string_view path, absl::string_view text, size_t longest);

  // Those that are kept.
  const std::vector<FieldError>& all() const { return errors_; }

  // OK, or INVALID_ARGUMENT: one line for each field (at most 16), and a google.rpc.BadRequest as
  // payload.
  absl::Status ToStatus() const;

 private:
  std::vector<FieldError> errors_;
  size_t more_ = 0;
};

// Each of a list of names, and that there are at most so many.
void CheckNames(const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& all,
                int most, size_t longest, FieldErrors& errors);

// The payload's key, as in google.protobuf.Any.
inline constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

}  // namespace hone::server::jobs
