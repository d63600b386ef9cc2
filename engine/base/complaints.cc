#include "engine/base/complaints.h"

#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace hone {
namespace {

constexpr size_t kShown = 20;
// The payload of a status: line and text of each complaint, each with a zero byte behind it, which
// no text that can be read has.
constexpr char kPayload[] = "hone/complaints";

absl::Status WithComplaints(std::string message, const std::vector<Complaint>& complaints) {
  absl::Status status = absl::InvalidArgumentError(message);
  std::string payload;
  for (const Complaint& complaint : complaints) {
    absl::StrAppend(&payload, complaint.line);
    payload.push_back('\0');
    payload += complaint.text;
    payload.push_back('\0');
  }
  status.SetPayload(kPayload, absl::Cord(payload));
  return status;
}

}  // namespace

absl::Status AsStatus(Complaint complaint) {
  std::string message = complaint.text;
  return WithComplaints(std::move(message), {std::move(complaint)});
}

void Complaints::Add(Complaint complaint) {
  if (first_.size() < kShown) {
    first_.push_back(std::move(complaint));
  }
  ++count_;
}

absl::Status Complaints::status() const {
  if (count_ == 0) {
    return absl::OkStatus();
  }
  const std::string texts = absl::StrJoin(
      first_, "; ",
      [](std::string* out, const Complaint& complaint) { out->append(complaint.text); });
  return WithComplaints(absl::StrCat(count_, count_ == 1 ? " error: " : " errors: ", texts,
                                     count_ > static_cast<int64_t>(kShown) ? "; …" : ""),
                        first_);
}

std::vector<Complaint> ComplaintsIn(const absl::Status& status) {
  std::vector<Complaint> complaints;
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value()) {
    return complaints;
  }
  const std::vector<std::string> parts = absl::StrSplit(std::string(*payload), '\0');
  for (size_t i = 0; i + 1 < parts.size(); i += 2) {
    Complaint& complaint = complaints.emplace_back();
    if (!absl::SimpleAtoi(parts[i], &complaint.line)) {
      complaint.line = 0;
    }
    complaint.text = parts[i + 1];
  }
  return complaints;
}

}  // namespace hone
