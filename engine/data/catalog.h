#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"

namespace hone::engine::data {

struct CatalogFile {
  const char* name;    // in the cache folder of the data set
  const char* mirror;  // below the mirror folder
  const char* url;     // "" where it cannot be downloaded
  const char* sha256;
  int64_t bytes;
};

// A well-known data set.
struct CatalogEntry {
  const char* name;
  const char* description;
  const char* licence;
  std::span<const CatalogFile> files;
  // What Load reads, below the mirror and below the data set's cache folder ("" is that folder
  // itself).
  const char* mirror_path;
  const char* cache_path;
  const char* target;  // a table's column to predict; "" for the last one
  Task task;
  std::span<const char* const> class_names = {};  // where the files only number them
  bool generated_fallback = false;  // with no other source, generated digits take its place
  bool generated = false;           // there are no files: a program draws it
  bool texts = false;
  // Of a table of texts; of sentence pairs the source's and the target's (PairOptions).
  std::span<const char* const> text_columns = {};
};

std::span<const CatalogEntry> Catalog();
// NOT_FOUND lists the names.
absl::StatusOr<const CatalogEntry*> Find(absl::string_view name);

struct Materialised {
  std::string path;                // a file or folder for Load, or LoadRatings; "" when generated
  std::string source;              // a sentence for the report
  std::vector<std::string> notes;  // more of them: files of the mirror that are not the known ones
  bool generated = false;
};

// Brings a data set onto this machine: the mirror, else the cache, else a download into the cache
// (resumed where an earlier one stopped, verified by SHA-256, renamed into place), else for some
// the generated digits. A file of the cache that is damaged is downloaded again. Any number of
// processes may share a cache. The message says what was tried. NOT_FOUND: there is no way to it
// here; UNAVAILABLE: the download failed; RESOURCE_EXHAUSTED: for want of space.
absl::StatusOr<Materialised> Materialise(const CatalogEntry& entry, const Sources& sources);

}  // namespace hone::engine::data
