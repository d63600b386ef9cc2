#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/model_service.pb.h"

namespace hone::server::artifacts {

// In a data directory that a backup is being restored to.
inline constexpr char kRestoring[] = "restoring";

// What nobody stops.
inline bool Always() { return true; }

// What the folder of a job's checkpoints holds. kUnfinished: only what a killed worker left half
// written.
enum class CheckpointFiles { kNone, kUnfinished, kWhole };

// The server's folder, locked for as long as this lives:
//   store.db               jobs, events, models
//   runs/<job>/attempt-N/  what attempt N writes: request, checkpoints, model, worker.log
//   runs/<job>/tensorboard/  event files: metrics/tensorboard.h
//   models/<id>/           published models
//   cache/                 downloaded data sets
//   datasets/, uploads/    data sets that were uploaded, and parts of them: datasets/blobs.h
//   tmp/                   requests of plans and predictions; emptied at start
//   restoring/             of a restore that has not ended: no server starts with it
// Names come from ids that the server made, never from a user. Errors are those of
// engine/base/files.h: a folder that cannot be read is one, never an empty folder. Any thread.
class DataDirectory {
 public:
  // Makes what is missing. FAILED_PRECONDITION: another server uses it, or a backup was to be
  // restored to it and is not whole.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& root);
  // The same lock on what is there; changes nothing.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> OpenAsItIs(const std::string& root);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  const std::string& root() const { return root_; }
  std::string store_path() const { return root_ + "/store.db"; }
  std::string cache_directory() const { return root_ + "/cache"; }
  std::string datasets_directory() const { return root_ + "/datasets"; }
  std::string uploads_directory() const { return root_ + "/uploads"; }
  std::string ModelDirectory(const std::string& model_id) const;

  std::string AttemptDirectory(const std::string& job_id, int attempt) const;
  // What an attempt leaves beside its model: job_artifacts.h.
  std::string ArtifactsDirectory(const std::string& job_id, int attempt) const;

  std::string TensorBoardDirectory(const std::string& job_id) const;

  // The folder of an attempt. What the attempt before it left moves there, so that a worker of that
  // attempt which wakes late finds its folder gone and writes nowhere.
  absl::StatusOr<std::string> PrepareAttempt(const std::string& job_id, int attempt) const;

  // Lets a job that has no folder yet begin with what another one's checkpoints are, if it has any.
  absl::Status InheritCheckpoints(const std::string& from_job, const std::string& to_job) const;

  std::string RunDirectory(const std::string& job_id) const;

  // For as long as it lives, what the functions below remove stays, and those who call them wait: a
  // backup takes what the store names. Waits for what is being removed.
  std::unique_lock<std::shared_mutex> HoldRemovals() const;
  // For who removes other files of the folder. Owns nothing: they are held.
  std::shared_lock<std::shared_mutex> TryToRemove() const;

  // A model's folder, out of sight at once. OK also where it is not there.
  absl::Status RemoveModel(const std::string& model_id) const;

  // The ids of the jobs that have a folder.
  absl::StatusOr<std::vector<std::string>> Runs() const;
  absl::StatusOr<CheckpointFiles> FindCheckpoints(const std::string& job_id) const;
  // What else a job's attempts wrote stays, and a mark, which says that there were some.
  absl::Status RemoveCheckpoints(const std::string& job_id) const;
  absl::StatusOr<bool> CheckpointsWereRemoved(const std::string& job_id) const;

  // All folders of a job's attempts, out of sight at once. OK also where there are none.
  absl::Status RemoveRun(const std::string& job_id) const;

  // Moves `relative`, a folder (or a file, then its folder) inside an attempt's folder, to
  // models/<id> and lists its files with their SHA-256. INVALID_ARGUMENT: it leads out of the
  // attempt's folder, or has something else than files and folders. Errors of ListFiles. After an
  // error of the disk the folder is where it was, and nothing is published.
  absl::StatusOr<std::vector<v1::ModelFile>> Publish(
      const std::string& attempt_directory, const std::string& relative,
      const std::string& model_id, absl::FunctionRef<bool()> wanted = Always) const;

  // A new empty folder under tmp/.
  absl::StatusOr<std::string> MakeTemporary() const;
  static void Remove(const std::string& directory);

  int64_t FreeBytes() const;
  // Bytes of the files in each part of the folder by its name: "runs", "models", …, "store". Looks
  // at every file.
  std::map<std::string, int64_t> BytesByPart() const;

 private:
  // `create`: O_CREAT, or 0.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Lock(const std::string& root, int create);
  absl::Status PutAway(const std::string& folder) const;
  DataDirectory(std::string root, int lock_fd) : root_(std::move(root)), lock_fd_(lock_fd) {}

  const std::string root_;
  const int lock_fd_;
  mutable std::shared_mutex removals_;
};

// The files under `directory`, sorted by path, with their SHA-256: all of them or an error, never a
// part. Nothing is thrown. INVALID_ARGUMENT: there are more than 10,000, or one is a link, or has a
// name that is not UTF-8; CANCELLED: `wanted`, which is asked again and again, says no.
absl::StatusOr<std::vector<v1::ModelFile>> ListFiles(const std::string& directory,
                                                     absl::FunctionRef<bool()> wanted = Always);

}  // namespace hone::server::artifacts
