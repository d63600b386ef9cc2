#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/below.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/render.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct ArtifactsOptions {
  std::string job;
  std::vector<std::string> words;  // "get" and names
  std::string folder = ".";
};

int List(const std::string& job, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListArtifactsRequest request;
  v1::ListArtifactsResponse all;
  request.set_name(job);
  request.set_page_size(1000);
  do {
    const absl::StatusOr<v1::ListArtifactsResponse> page = client->ListArtifacts(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    all.mutable_artifacts()->MergeFrom(page->artifacts());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (globals.json) {
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {{"artifact", ">size", "written"}};
  for (const v1::JobArtifact& artifact : all.artifacts()) {
    rows.push_back({artifact.path(), absl::StrCat(">", Bytes(artifact.bytes())),
                    absl::FormatTime("%Y-%m-%d %H:%M:%S",
                                     absl::FromUnixSeconds(artifact.update_time().seconds()),
                                     absl::LocalTimeZone())});
  }
  if (all.artifacts().empty()) {
    std::printf("no artifacts\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

// Beside its place first: the file is there whole, or not at all. One that is there stays.
absl::StatusOr<v1::JobArtifact> Get(Client& client, const std::string& job, const std::string& path,
                                    const std::string& folder) {
  if (!CheckBelow(path).ok()) {
    return absl::InvalidArgumentError(absl::StrCat("`", path, "` is not a name of an artifact"));
  }
  const std::string target = absl::StrCat(folder, "/", path);
  const std::string part = absl::StrCat(target, ".part");
  std::error_code error;
  if (std::filesystem::exists(target, error)) {
    return absl::AlreadyExistsError(absl::StrCat(target, " exists already"));
  }
  v1::DownloadArtifactRequest request;
  request.set_name(job);
  request.set_path(path);
  v1::JobArtifact artifact;
  std::ofstream stream;
  absl::Status status =
      client.DownloadArtifact(request, [&](const v1::DownloadArtifactResponse& chunk) {
        if (chunk.has_artifact()) {
          artifact = chunk.artifact();
          std::filesystem::create_directories(std::filesystem::path(target).parent_path(), error);
          stream.open(part, std::ios::binary | std::ios::trunc);
        }
        stream.write(chunk.data().data(), static_cast<std::streamsize>(chunk.data().size()));
        return stream.good() ? absl::OkStatus() : ErrnoStatus(errno, part);
      });
  stream.close();
  if (status.ok() && (::rename(part.c_str(), target.c_str()) != 0)) {
    status = ErrnoStatus(errno, target);
  }
  if (!status.ok()) {
    std::filesystem::remove(part, error);
    return status;
  }
  return artifact;
}

int GetAll(const ArtifactsOptions& options, const std::string& job, const Globals& globals) {
  if (options.words.front() != "get" || options.words.size() < 2) {
    return Fail(absl::InvalidArgumentError(
                    "give `get` and the names of artifacts to download, or nothing to list them"),
                globals);
  }
  const std::unique_ptr<Client> client = globals.Connect();
  for (size_t i = 1; i < options.words.size(); ++i) {
    const absl::StatusOr<v1::JobArtifact> got = Get(*client, job, options.words[i], options.folder);
    if (!got.ok()) {
      return Fail(got.status(), globals);
    }
    if (globals.json) {
      PrintJsonLine(*got);
    } else {
      std::printf("%s/%s  %s\n", options.folder.c_str(), got->path().c_str(),
                  Bytes(got->bytes()).c_str());
    }
  }
  return kSuccess;
}

}  // namespace

void AddArtifacts(CLI::App& jobs, Globals& globals) {
  const auto options = std::make_shared<ArtifactsOptions>();
  CLI::App* command = AddCommand(
      jobs, globals, "artifacts",
      "What a job has left beside its model; `get NAME…` downloads files.", [options, &globals] {
        const std::string job = ResourceName("jobs", options->job);
        return options->words.empty() ? List(job, globals) : GetAll(*options, job, globals);
      });
  command->add_option("JOB", options->job, "jobs/<id>, or the id alone")->required();
  command->add_option("WORDS", options->words, "`get` and names: download these files");
  command->add_option("--to", options->folder, "the folder to put them into")
      ->capture_default_str();
}

}  // namespace hone::client::cli
