#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::client::jobfile {

// One thing that is wrong with a job file, and what would be right.
struct Problem {
  std::string where;  // "job.yaml:12:5", "--set training.epochs"
  std::string field;  // "training.epochs"; "" for the file itself
  std::string what;
  std::string ToString() const;
};

// All problems of a job file, in the order in which they were found.
class Problems {
 public:
  void Add(Problem problem) { list_.push_back(std::move(problem)); }
  bool empty() const { return list_.empty(); }
  const std::vector<Problem>& list() const { return list_; }

  // OK when there are none; else INVALID_ARGUMENT with one problem a line, at most the first 20.
  absl::Status ToStatus() const;

 private:
  std::vector<Problem> list_;
};

// The known name that was probably meant: another case or punctuation, a typing error, a part of
// the name. "" if none is near.
std::string Nearest(absl::string_view given, const std::vector<std::string>& known);

}  // namespace hone::client::jobfile
