#include "server/rpc/job_file.h"

#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/jobfile/job_file.h"
#include "engine/base/utf8.h"
#include "server/jobs/field_errors.h"

namespace hone::server::rpc {
namespace {

using client::jobfile::Problem;

constexpr char kOrigin[] = "job_file";
// Of what is told of a problem, in which there may be names as long as the file.
constexpr size_t kMostOfField = 200;
constexpr size_t kMostOfProblem = 300;

// "line 12, column 5: " for "job_file:12:5"; "" where no place is said.
std::string Place(absl::string_view where) {
  const std::vector<absl::string_view> parts = absl::StrSplit(where, ':');
  return parts.size() == 3 && parts[0] == kOrigin
             ? absl::StrCat("line ", parts[1], ", column ", parts[2], ": ")
             : "";
}

std::string Cut(absl::string_view text, size_t longest) {
  return CutUtf8(WholeUtf8(text.substr(0, longest + 8)), longest);
}

// "job_file:1:4: what is wrong" in words.
std::string WithPlace(absl::string_view message) {
  size_t end = 0;  // of the place, which is before the third colon
  for (int colons = 0; end < message.size() && (colons += message[end] == ':' ? 1 : 0) < 3; ++end) {
  }
  const std::string place = Place(message.substr(0, end));
  if (!place.empty()) {
    return absl::StrCat(place, absl::StripPrefix(message.substr(end), ": "));
  }
  return std::string(absl::StripPrefix(message, absl::StrCat(kOrigin, ": ")));
}

}  // namespace

absl::StatusOr<v1::JobSpec> SpecOfJobFile(const std::string& text) {
  client::jobfile::Problems problems;
  absl::StatusOr<client::jobfile::JobFile> file =
      client::jobfile::ParseJobFile(text, kOrigin, {}, problems);
  jobs::FieldErrors errors;
  for (const Problem& problem : problems.list()) {
    errors.Add(problem.field.empty() ? kOrigin : Cut(problem.field, kMostOfField),
               absl::StrCat(Place(problem.where), Cut(problem.what, kMostOfProblem)));
  }
  if (!file.ok()) {
    if (errors.all().empty()) {
      errors.Add(kOrigin, Cut(WithPlace(file.status().message()), kMostOfProblem));
    }
    return errors.ToStatus();
  }
  const client::jobfile::LocalPaths& paths = file->paths;
  for (const auto& [field, path, instead] :
       {std::tuple("data.path", &paths.data, "upload it, and name it in data.dataset"),
        std::tuple("model.pretrained.path", &paths.pretrained,
                   "import it, and name it in model.pretrained.model"),
        std::tuple("image_generation.evaluation.path", &paths.classifier,
                   "import it, and name it in image_generation.evaluation.classifier"),
        std::tuple("reinforcement_learning.maze.path", &paths.maze,
                   "write its text in reinforcement_learning.maze.text")}) {
    if (!path->empty()) {
      errors.Add(field, absl::StrCat("is a place on the client's machine; ", instead));
    }
  }
  if (const absl::Status status = errors.ToStatus(); !status.ok()) {
    return status;
  }
  return std::move(file->spec);
}

}  // namespace hone::server::rpc
