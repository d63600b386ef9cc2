#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hone {

// What is wrong at a line of a text; `text` names the line, too.
struct Complaint {
  int64_t line = 0;  // from 1
  std::string text;
};

// INVALID_ARGUMENT with the complaint's text, from which ComplaintsIn gives the complaint.
absl::Status AsStatus(Complaint complaint);

// Complaints of many lines, told in one status: `3 errors: line 7 …; line 9 …`.
class Complaints {
 public:
  void Add(Complaint complaint);
  // So many more, behind at least 20 that were added: they are counted.
  void AddUntold(int64_t count) { count_ += count; }
  absl::Status status() const;  // INVALID_ARGUMENT with the first 20; OK without any

 private:
  std::vector<Complaint> first_;
  int64_t count_ = 0;
};

// The complaints that a status of these functions was made of, also where it was annotated since;
// none for every other.
std::vector<Complaint> ComplaintsIn(const absl::Status& status);

}  // namespace hone
