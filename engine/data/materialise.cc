#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/file_lock.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/data/download.h"

namespace hone::engine::data {
namespace {

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::string Join(const std::string& folder, absl::string_view below) {
  return below.empty() ? folder : absl::StrCat(folder, "/", below);
}

bool AllExist(const CatalogEntry& entry, const std::string& folder,
              const char* const CatalogFile::*name) {
  for (const CatalogFile& file : entry.files) {
    if (!Exists(Join(folder, file.*name))) {
      return false;
    }
  }
  return true;
}

bool CanDownload(const CatalogEntry& entry) {
  return !entry.files.empty() && entry.files[0].url[0] != 0;
}

// The SHA-256 of a file. It is read once and remembered below the cache folder, for as long as the
// file keeps its size and time.
absl::StatusOr<std::string> RememberedSha256(const std::string& path,
                                             const std::string& cache_dir) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, path);
  }
  const std::string stamp =
      absl::StrCat(info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, " ");
  const std::string folder = Join(cache_dir, "sha256");
  const std::string note = absl::StrCat(folder, "/", Sha256(path).substr(0, 32));
  if (!cache_dir.empty()) {
    const absl::StatusOr<std::string> known = ReadFile(note, 1024);
    if (known.ok() && known->size() == stamp.size() + 64 && known->rfind(stamp, 0) == 0) {
      return known->substr(stamp.size());
    }
  }
  HONE_ASSIGN_OR_RETURN(std::string sha256, Sha256OfFile(path));
  if (!cache_dir.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    // Where it cannot be kept, the file is read again the next time.
    WriteFileAtomically(note, stamp + sha256).IgnoreError();
  }
  return sha256;
}

// Sentences about the mirror's files that are not those the catalogue knows.
absl::StatusOr<std::vector<std::string>> Differences(const CatalogEntry& entry,
                                                     const Sources& sources) {
  std::vector<std::string> notes;
  for (const CatalogFile& file : entry.files) {
    const std::string path = Join(sources.mirror_dir, file.mirror);
    HONE_ASSIGN_OR_RETURN(const std::string sha256, RememberedSha256(path, sources.cache_dir));
    if (sha256 != file.sha256) {
      notes.push_back(absl::StrCat(path, " is not the ", entry.name,
                                   " that the catalogue knows: its SHA-256 is ", sha256,
                                   ", the known one is ", file.sha256));
    }
  }
  return notes;
}

// Whether every file is in the cache as it should be. Damaged ones are named in `damaged`.
absl::StatusOr<bool> CacheIsWhole(const CatalogEntry& entry, const std::string& folder,
                                  const Sources& sources, std::vector<std::string>& damaged) {
  bool whole = true;
  for (const CatalogFile& file : entry.files) {
    const std::string path = Join(folder, file.name);
    if (!Exists(path)) {
      whole = false;
      continue;
    }
    HONE_ASSIGN_OR_RETURN(const std::string sha256, RememberedSha256(path, sources.cache_dir));
    if (sha256 != file.sha256) {
      whole = false;
      damaged.push_back(path);
    }
  }
  return whole;
}

// Brings what is missing; one process at a time, so that each finds what the one before it brought.
absl::Status DownloadMissing(const CatalogEntry& entry, const std::string& folder,
                             const Sources& sources) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return ErrnoStatus(error.value(), folder);
  }
  const auto tell = [&](const std::string& what, int64_t done, int64_t total) {
    if (sources.progress) {
      sources.progress(what, done, total);
    }
  };
  HONE_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Take(folder + ".lock", [&] {
                          tell(absl::StrCat("waiting for another download of ", entry.name), 0, 0);
                          return true;
                        }));
  std::vector<std::string> damaged;
  HONE_RETURN_IF_ERROR(CacheIsWhole(entry, folder, sources, damaged).status());
  for (const std::string& path : damaged) {
    std::filesystem::remove(path, error);
  }
  for (const CatalogFile& file : entry.files) {
    const std::string path = Join(folder, file.name);
    if (Exists(path)) {
      continue;
    }
    DownloadOptions options;
    options.sha256 = file.sha256;
    options.max_bytes = file.bytes;
    options.protocols = sources.protocols;
    options.progress = [&](int64_t done, int64_t total) {
      tell(absl::StrCat("downloading ", entry.name, "/", file.name), done, total);
    };
    HONE_RETURN_IF_ERROR(Download(file.url, path, options));
  }
  return absl::OkStatus();
}

// From the cache, after a download where that is needed and allowed. Nullopt: it cannot be obtained
// so; `tried` says why.
absl::StatusOr<std::optional<Materialised>> FromCache(const CatalogEntry& entry,
                                                      const Sources& sources,
                                                      std::vector<std::string>& tried) {
  if (!CanDownload(entry)) {
    tried.emplace_back("it cannot be downloaded");
    return std::nullopt;
  }
  if (sources.cache_dir.empty()) {
    tried.emplace_back("there is no cache folder to download into");
    return std::nullopt;
  }
  const std::string folder = Join(sources.cache_dir, entry.name);
  const std::string path = Join(folder, entry.cache_path);
  std::vector<std::string> damaged;
  HONE_ASSIGN_OR_RETURN(const bool whole, CacheIsWhole(entry, folder, sources, damaged));
  if (whole) {
    return Materialised{path, absl::StrCat("cache ", path), {}};
  }
  if (!damaged.empty()) {
    tried.push_back(absl::StrCat(absl::StrJoin(damaged, ", "), " is damaged"));
  }
  if (sources.offline) {
    tried.emplace_back("downloads are turned off");
    return std::nullopt;
  }
  HONE_RETURN_IF_ERROR(DownloadMissing(entry, folder, sources));
  return Materialised{path, absl::StrCat("downloaded from ", entry.files[0].url), {}};
}

}  // namespace

absl::StatusOr<Materialised> Materialise(const CatalogEntry& entry, const Sources& sources) {
  if (entry.generated) {
    return Materialised{"", absl::StrCat("drawn by a program: ", entry.name), {}, true};
  }
  std::vector<std::string> tried;
  if (!sources.mirror_dir.empty()) {
    const std::string path = Join(sources.mirror_dir, entry.mirror_path);
    if (Exists(path) && AllExist(entry, sources.mirror_dir, &CatalogFile::mirror)) {
      HONE_ASSIGN_OR_RETURN(std::vector<std::string> notes, Differences(entry, sources));
      return Materialised{path, absl::StrCat("local mirror ", path), std::move(notes)};
    }
    tried.push_back(absl::StrCat("the local mirror does not have ", path));
  } else {
    tried.emplace_back("HONE_DATA_DIR names no local mirror");
  }
  absl::StatusOr<std::optional<Materialised>> cached = FromCache(entry, sources, tried);
  if (cached.ok() && cached->has_value()) {
    return **std::move(cached);
  }
  if (!cached.ok()) {
    tried.emplace_back(cached.status().message());
  }
  if (entry.generated_fallback) {
    return Materialised{
        "",
        absl::StrCat("generated digits instead of ", entry.name, ": ", absl::StrJoin(tried, "; ")),
        {},
        true};
  }
  const std::string why =
      absl::StrCat("data set ", entry.name, " cannot be obtained: ", absl::StrJoin(tried, "; "));
  if (cached.ok()) {
    return absl::NotFoundError(why);
  }
  // What a download stumbles over is no fault of the job, but for a disk that is full.
  return absl::IsResourceExhausted(cached.status()) ? absl::ResourceExhaustedError(why)
                                                    : absl::UnavailableError(why);
}

}  // namespace hone::engine::data
