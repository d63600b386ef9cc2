#include "server/jobs/field_errors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/reason.h"

namespace hone::server::jobs {
namespace {

// All of it has to fit the 8 KiB of trailers that a gRPC client accepts by default.
constexpr size_t kMaxErrors = 16;

std::string Words(const Range& range) {
  if (!range.low_open && !range.high_open) {
    return absl::StrCat("must be between ", range.low, " and ", range.high);
  }
  return absl::StrCat("must be ", range.low_open ? "greater than " : "at least ", range.low,
                      " and ", range.high_open ? "less than " : "at most ", range.high);
}

}  // namespace

void FieldErrors::Add(absl::string_view path, absl::string_view text) {
  if (errors_.size() == kMostKept) {
    ++more_;
    return;
  }
  errors_.push_back({std::string(path), std::string(text)});
}

void FieldErrors::CheckInt(absl::string_view path, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    Add(path, absl::StrCat("must be between ", low, " and ", high, ", got ", value));
  }
}

void FieldErrors::CheckFloat(absl::string_view path, float value, const Range& range) {
  const bool above = range.low_open ? value > range.low : value >= range.low;
  const bool below = range.high_open ? value < range.high : value <= range.high;
  if (!above || !below) {
    Add(path, absl::StrCat(Words(range), ", got ", value));
  }
}

void FieldErrors::CheckText(absl::string_view path, absl::string_view text, size_t longest) {
  if (text.size() > longest) {
    Add(path, absl::StrCat("must be at most ", longest, " bytes, got ", text.size()));
  }
  if (std::any_of(text.begin(), text.end(),
                  [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    Add(path, "must not have control characters");
  }
}

absl::Status FieldErrors::ToStatus() const {
  if (errors_.empty()) {
    return absl::OkStatus();
  }
  const size_t shown = std::min(errors_.size(), kMaxErrors);
  google::rpc::BadRequest details;
  std::vector<std::string> lines;
  for (size_t i = 0; i < shown; ++i) {
    lines.push_back(absl::StrCat(errors_[i].path, ": ", errors_[i].text));
    auto& violation = *details.add_field_violations();
    violation.set_field(errors_[i].path);
    violation.set_description(errors_[i].text);
  }
  if (const size_t left = errors_.size() + more_ - shown; left > 0) {
    lines.push_back(absl::StrCat("and ", left, " more"));
  }
  absl::Status status = absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
  status.SetPayload(kBadRequestUrl, absl::Cord(details.SerializeAsString()));
  return WithReason(status, reason::kInvalidField);
}

void CheckNames(const std::string& path, const google::protobuf::RepeatedPtrField<std::string>& all,
                int most, size_t longest, FieldErrors& errors) {
  if (all.size() > most) {
    errors.Add(path, absl::StrCat("must be at most ", most, " names, got ", all.size()));
    return;
  }
  for (int i = 0; i < all.size(); ++i) {
    errors.CheckText(absl::StrCat(path, "[", i, "]"), all.Get(i), longest);
  }
}

}  // namespace hone::server::jobs
