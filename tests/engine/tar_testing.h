#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"

namespace hone::engine::data {

// Writes a tar archive of files, by name and bytes, that is compressed where its own name ends in
// "gz"; returns its path.
inline std::string Tar(const std::string& path,
                       const std::vector<std::pair<std::string, std::string>>& files) {
  archive* out = archive_write_new();
  if (absl::EndsWith(path, "gz")) {
    archive_write_add_filter_gzip(out);
  }
  // POSIX's has no room for long names.
  const bool is_long =
      std::ranges::any_of(files, [](const auto& file) { return file.first.size() > 100; });
  is_long ? archive_write_set_format_gnutar(out) : archive_write_set_format_ustar(out);
  EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK) << path;
  for (const auto& [name, bytes] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(out, entry);
    archive_write_data(out, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_free(out);
  return path;
}

}  // namespace hone::engine::data
