#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_replace.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::worker {

// Where IMPORT unpacks the checkpoint.
inline std::string ImportedFolder(const v1::WorkerRequest& request) {
  return request.run_directory() + "/model";
}

// What the server keeps for its clients is known to them by its name: in texts for them its paths
// become the names that the job gives. A path that a job file gave stays as it is.
class ClientsWords {
 public:
  explicit ClientsWords(const v1::WorkerRequest& request) {
    if (!request.dataset_path().empty() && !request.spec().data().dataset().empty()) {
      names_.emplace_back(request.dataset_path(), request.spec().data().dataset());
    }
    if (request.mode() == v1::WorkerRequest::IMPORT) {
      names_.emplace_back(ImportedFolder(request), request.spec().data().dataset());
    }
    const v1::JobSpec& spec = request.spec();
    for (const auto& [path, name] :
         {std::pair(&request.model_directory(), &spec.model().pretrained().model()),
          std::pair(&request.model_directory(), &spec.evaluation().model()),
          std::pair(&request.other_model_directory(), &spec.evaluation().against())}) {
      if (!path->empty() && !name->empty()) {
        names_.emplace_back(*path, *name);
      }
    }
    if (const std::string& name = request.spec().image_generation().evaluation().classifier();
        !request.classifier_directory().empty() && !name.empty()) {
      names_.emplace_back(request.classifier_directory(), name);
    }
  }

  std::string Of(absl::string_view text) const { return absl::StrReplaceAll(text, names_); }
  absl::Status Of(const absl::Status& status) const {
    absl::Status told(status.code(), Of(status.message()));
    status.ForEachPayload(
        [&](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
    return told;
  }

 private:
  std::vector<std::pair<std::string, std::string>> names_;
};

}  // namespace hone::server::worker
