#include "server/doctor/doctor.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/artifacts/data_directory.h"
#include "server/artifacts/entries.h"
#include "server/command_line/parse.h"
#include "server/datasets/blobs.h"
#include "server/store/dataset_store.h"
#include "server/store/sqlite_store.h"

namespace hone::server::doctor {
namespace {

constexpr int kPage = 1000;

// The directory and the store stay locked and open as long as a finding may be mended.
struct Patient {
  std::string root;
  std::unique_ptr<artifacts::DataDirectory> directory;
  std::unique_ptr<store::JobStore> store;
  std::vector<Finding> findings;

  void Add(std::string what, std::function<absl::Status()> mend = nullptr) {
    findings.push_back({std::move(what), std::move(mend)});
  }
};

// The names in a folder; none where there is no such folder.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  absl::StatusOr<std::vector<std::string>> names = artifacts::EntriesOf(folder);
  return absl::IsNotFound(names.status()) ? std::vector<std::string>() : std::move(names);
}

void CheckFile(Patient& patient, const std::string& owner, const std::string& path,
               const std::string& sha256) {
  const absl::StatusOr<std::string> found = Sha256OfFile(path);
  if (!found.ok()) {
    patient.Add(absl::StrCat(owner, ": ", found.status().message()));
  } else if (*found != sha256) {
    patient.Add(absl::StrCat(owner, ": ", path, " has the SHA-256 ", *found,
                             ", and the store says ", sha256));
  }
}

absl::Status CheckJobs(const std::shared_ptr<Patient>& patient) {
  std::set<std::string> known;
  store::ListJobs what{.project = "", .limit = kPage};
  do {
    HONE_ASSIGN_OR_RETURN(const store::Page<jobs::Job> page, patient->store->List(what));
    for (const jobs::Job& job : page.items) {
      known.insert(job.id);
      if (!job.model_id.empty() &&
          absl::IsNotFound(patient->store->GetModel(job.model_id).status())) {
        patient->Add(absl::StrCat("jobs/", job.id, ": its model is not there"));
      }
    }
    what.from_row = page.next_row;
  } while (what.from_row != 0);
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(patient->root + "/runs"));
  for (const std::string& name : names) {
    if (!known.contains(name)) {
      patient->Add(absl::StrCat("runs/", name, ": belongs to no job"),
                   [patient, name] { return patient->directory->RemoveRun(name); });
    }
  }
  return absl::OkStatus();
}

absl::Status CheckModels(const std::shared_ptr<Patient>& patient) {
  std::set<std::string> known;
  int64_t before = 0;
  do {
    HONE_ASSIGN_OR_RETURN(
        const store::Page<v1::Model> page,
        patient->store->ListModels({.project = "", .limit = kPage, .before_row = before}));
    for (const v1::Model& model : page.items) {
      HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model.name()));
      known.insert(id);
      for (const v1::ModelFile& file : model.files()) {
        CheckFile(*patient, model.name(),
                  absl::StrCat(patient->directory->ModelDirectory(id), "/", file.path()),
                  file.sha256());
      }
    }
    before = page.next_row;
  } while (before != 0);
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(patient->root + "/models"));
  for (const std::string& name : names) {
    if (!known.contains(name)) {
      patient->Add(absl::StrCat("models/", name, ": belongs to no model"),
                   [patient, name] { return patient->directory->RemoveModel(name); });
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDatasets(const std::shared_ptr<Patient>& patient) {
  const datasets::Blobs blobs(patient->directory->datasets_directory(),
                              patient->directory->uploads_directory());
  HONE_ASSIGN_OR_RETURN(const auto all, patient->store->datasets().AllBytes());
  for (const store::DatasetBytes& bytes : all) {
    CheckFile(*patient, "a data set", blobs.Path(bytes), bytes.sha256);
  }
  HONE_ASSIGN_OR_RETURN(const auto uploads, patient->store->datasets().AllUploads());
  const absl::StatusOr<std::vector<std::string>> others = blobs.Others(all, uploads);
  if (!absl::IsNotFound(others.status())) {  // else no server has made the folders
    HONE_RETURN_IF_ERROR(others.status());
  }
  for (const std::string& path : others.value_or(std::vector<std::string>())) {
    patient->Add(absl::StrCat(path, ": belongs to no data set"), [path]() -> absl::Status {
      std::error_code error;
      std::filesystem::remove(path, error);
      return error ? ErrnoStatus(error.value(), absl::StrCat("cannot remove ", path))
                   : absl::OkStatus();
    });
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Finding>> Examine(const std::string& data_directory) {
  const std::string file = data_directory + "/store.db";
  std::error_code error;
  const bool is_there = std::filesystem::exists(file, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot look at ", file));
  }
  if (!is_there) {
    return absl::NotFoundError(
        absl::StrCat(data_directory, ": there is no store.db; is it a server's --data-dir?"));
  }
  const auto patient = std::make_shared<Patient>();
  patient->root = data_directory;
  HONE_ASSIGN_OR_RETURN(patient->directory, artifacts::DataDirectory::OpenAsItIs(data_directory));
  HONE_RETURN_IF_ERROR(store::CheckSqliteVersion(patient->directory->store_path()));
  HONE_ASSIGN_OR_RETURN(patient->store, store::OpenSqliteStore(patient->directory->store_path()));
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> damage, patient->store->FindDamage());
  for (const std::string& what : damage) {
    patient->Add(absl::StrCat("store.db: ", what));
  }
  HONE_RETURN_IF_ERROR(CheckJobs(patient));
  HONE_RETURN_IF_ERROR(CheckModels(patient));
  HONE_RETURN_IF_ERROR(CheckDatasets(patient));
  return std::move(patient->findings);
}

int Main(int argc, const char* const* argv) {
  std::string data_directory;
  bool mend = false;
  CLI::App app("Checks every invariant of a server's folder; changes nothing unless asked.",
               "honed doctor");
  app.add_option("--data-dir", data_directory, "The server's folder; no server may use it")
      ->envname("HONED_DATA_DIR")
      ->required();
  app.add_flag("--mend", mend, "Repair what needs no decision by a person");
  if (const std::optional<int> exit = command_line::Parse(app, argc, argv); exit.has_value()) {
    return *exit;
  }
  const absl::StatusOr<std::vector<Finding>> findings = Examine(data_directory);
  if (!findings.ok()) {
    std::fprintf(stderr, "honed doctor: %s\n", std::string(findings.status().message()).c_str());
    return 1;
  }
  int left = 0;
  for (const Finding& finding : *findings) {
    std::string done;
    bool mended = false;
    if (finding.mend != nullptr) {
      const absl::Status status = mend ? finding.mend() : absl::OkStatus();
      mended = mend && status.ok();
      done = !mend     ? " (--mend removes it)"
             : !mended ? absl::StrCat(" (not mended: ", status.message(), ")")
                       : " (mended)";
    }
    left += mended ? 0 : 1;
    std::printf("%s%s\n", finding.what.c_str(), done.c_str());
  }
  if (findings->empty()) {
    std::printf("all is well\n");
  }
  return left == 0 ? 0 : 1;
}

}  // namespace hone::server::doctor
