#include "engine/huggingface/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"
#include "engine/checkpoint/safetensors_header.h"
#include "engine/data/file_tree.h"
#include "engine/huggingface/adapter.h"
#include "engine/huggingface/tensor_files.h"

namespace hone::engine::huggingface {
namespace {

using checkpoint::Shown;

constexpr absl::string_view kConfig = "config.json", kAdapterConfig = "adapter_config.json";
constexpr size_t kMostFiles = 2000;
constexpr size_t kLongestPart = 255;  // bytes of a file's name that the disk takes
constexpr int64_t kLookEvery = 64 << 20;

absl::string_view FolderOf(absl::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == absl::string_view::npos ? "" : name.substr(0, slash + 1);
}

absl::string_view NameIn(absl::string_view path) { return path.substr(FolderOf(path).size()); }

int64_t DepthOf(absl::string_view path) { return std::ranges::count(path, '/'); }

// What an archive holds.
struct Contents {
  std::vector<std::string> configs;  // all config.json and adapter_config.json
  std::set<std::string> names;

  // `folder` is empty or has a slash at its end; so below.
  bool Has(absl::string_view folder, absl::string_view name) const {
    return names.contains(absl::StrCat(folder, name));
  }
  bool HasWhole(absl::string_view folder) const {
    return Has(folder, kConfig) &&
           (Has(folder, "model.safetensors") || Has(folder, "model.safetensors.index.json"));
  }
};

absl::StatusOr<Contents> LookInto(const std::string& archive, int64_t most_bytes) {
  Contents contents;
  int64_t bytes = 0;
  HONE_RETURN_IF_ERROR(data::ForEachFileToUnpack(
      archive, [&](const data::TreeFile& file) -> absl::StatusOr<data::Visit> {
        if (file.bytes < 0 || file.bytes > most_bytes - bytes) {
          return absl::InvalidArgumentError(
              absl::StrCat(archive, ": the files in it have more than ", most_bytes,
                           " bytes, which is what there is room for"));
        }
        bytes += file.bytes;
        if (contents.names.size() >= 100 * kMostFiles) {
          return absl::InvalidArgumentError(absl::StrCat(
              archive, ": has more than ", 100 * kMostFiles, " files, which no checkpoint has"));
        }
        contents.names.insert(file.name);
        if (const absl::string_view last = NameIn(file.name);
            last == kConfig || last == kAdapterConfig) {
          contents.configs.push_back(file.name);
        }
        return data::Visit::kGoOn;
      }));
  return contents;
}

// The folder of the outermost config, with a slash at its end, or "".
absl::StatusOr<std::string> RootOf(const std::string& archive, const Contents& contents) {
  if (contents.configs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(archive,
                     ": has no config.json; it must be a tar of a checkpoint's folder, such as "
                     "`tar -cf model.tar -C FOLDER .` makes"));
  }
  const int64_t depth = DepthOf(*std::ranges::min_element(contents.configs, {}, DepthOf));
  std::set<std::string> roots;
  for (const std::string& config : contents.configs) {
    if (DepthOf(config) == depth) {
      roots.emplace(FolderOf(config));
    }
  }
  if (roots.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(archive, ": has several checkpoints, in ", Shown(*roots.begin()), " and ",
                     Shown(*std::next(roots.begin())), "; it must have one"));
  }
  return *roots.begin();
}

// Whether the root is an adapter whose base lies in a folder of its own; no folder of this machine
// is its base, whatever it says.
absl::StatusOr<bool> HasBaseFolder(const std::string& archive, const std::string& root,
                                   const Contents& contents) {
  if (!contents.Has(root, kAdapterConfig) || contents.HasWhole(root)) {
    return false;
  }
  const std::string base = absl::StrCat(root, kBaseFolder, "/");
  if (contents.Has(base, kAdapterConfig)) {
    return absl::InvalidArgumentError(
        absl::StrCat(archive, ": the base of the adapter, in its folder ", kBaseFolder,
                     ", is an adapter, too; merge that one into its own base before"));
  }
  if (!contents.Has(base, kConfig)) {
    return absl::InvalidArgumentError(absl::StrCat(
        archive,
        ": is an adapter without its base: `hone models import ADAPTER --base BASE` sends both; in "
        "a tar config.json, the tokenizer and model.safetensors of the base must lie in the folder "
        "`",
        kBaseFolder, "` beside adapter_config.json"));
  }
  return true;
}

// `where` is the folder, for messages.
absl::Status CheckWeights(const std::string& where, const std::string& folder,
                          const Contents& contents) {
  const bool weights = std::ranges::any_of(contents.names, [&](absl::string_view name) {
    return FolderOf(name) == folder && absl::EndsWith(name, ".safetensors");
  });
  return weights ? absl::OkStatus()
                 : absl::InvalidArgumentError(
                       NoWeights(where, contents.Has(folder, "pytorch_model.bin") ||
                                            contents.Has(folder, "pytorch_model.bin.index.json"))
                           .message());
}

// The disk beyond a floor. Others write there, too, so that it is looked at again and again.
class Disk {
 public:
  Disk(std::string directory, int64_t floor) : directory_(std::move(directory)), floor_(floor) {}

  // Before so many bytes are written. RESOURCE_EXHAUSTED: they would go below the floor.
  absl::Status Take(int64_t bytes) {
    unseen_ -= bytes;
    if (unseen_ >= 0) {
      return absl::OkStatus();
    }
    struct statvfs disk = {};
    if (::statvfs(directory_.c_str(), &disk) != 0) {
      return ErrnoStatus(errno, directory_);
    }
    const auto available =
        static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
    if (available - floor_ < bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the disk is nearly full: no more than the floor of ", floor_, " bytes is free"));
    }
    unseen_ = kLookEvery;
    return absl::OkStatus();
  }

 private:
  const std::string directory_;
  const int64_t floor_;
  int64_t unseen_ = 0;  // that may be written until the next look
};

// A new file that is there after a crash.
absl::Status Write(const data::TreeFile& file, const std::string& path, Disk& disk) {
  const OwnedFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd.valid()) {
    return errno == EEXIST ? absl::InvalidArgumentError(
                                 absl::StrCat(Shown(file.name), " is in the archive twice"))
                           : ErrnoStatus(errno, absl::StrCat("cannot create ", path));
  }
  std::vector<char> buffer(1 << 20);
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const int64_t got,
                          file.read_some(buffer.data(), static_cast<int64_t>(buffer.size())));
    if (got == 0) {
      break;
    }
    HONE_RETURN_IF_ERROR(disk.Take(got));
    HONE_RETURN_IF_ERROR(
        WriteAll(fd.get(), absl::string_view(buffer.data(), static_cast<size_t>(got)), path));
  }
  return ::fsync(fd.get()) == 0 ? absl::OkStatus()
                                : ErrnoStatus(errno, absl::StrCat("cannot fsync ", path));
}

absl::Status CheckParts(absl::string_view name) {
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.size() > kLongestPart) {
      return absl::InvalidArgumentError(absl::StrCat(
          Shown(name), ": a name has at most ", kLongestPart, " bytes, this one ", part.size()));
    }
  }
  return absl::OkStatus();
}

// Makes the folders of a file, where the file has some, and writes the file.
absl::Status Place(const data::TreeFile& file, absl::string_view name, const std::string& directory,
                   std::set<std::string>& folders, Disk& disk) {
  HONE_RETURN_IF_ERROR(CheckParts(name));
  const auto is_both = [](absl::string_view which) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(which), " is a file and a folder"));
  };
  for (size_t slash = name.find('/'); slash != absl::string_view::npos;
       slash = name.find('/', slash + 1)) {
    const std::string folder(name.substr(0, slash));
    const std::string path = absl::StrCat(directory, "/", folder);
    if (folders.insert(folder).second && ::mkdir(path.c_str(), 0755) != 0) {
      return errno == EEXIST ? is_both(folder)
                             : ErrnoStatus(errno, absl::StrCat("cannot create ", path));
    }
  }
  if (folders.contains(std::string(name))) {
    return is_both(name);
  }
  return Write(file, absl::StrCat(directory, "/", name), disk);
}

}  // namespace

bool IsFileOfCheckpoint(absl::string_view name) {
  if (DepthOf(name) > 0) {
    return DepthOf(name) == 1 && name[0] != '.' && absl::EndsWith(name, ".json") &&
           NameIn(name)[0] != '.';
  }
  static constexpr std::array<absl::string_view, 5> kEndings = {".safetensors", ".json", ".txt",
                                                                ".model", ".jinja"};
  // A folder with these is a model of ours, which is read by other rules.
  return !name.empty() && name[0] != '.' && name != "model.json" && name != "manifest.json" &&
         (name == "README.md" || name == "LICENSE" ||
          std::ranges::any_of(kEndings,
                              [&](absl::string_view end) { return absl::EndsWith(name, end); }));
}

absl::Status Unpack(const std::string& archive, const std::string& directory, int64_t most_bytes,
                    int64_t disk_floor_bytes) {
  HONE_ASSIGN_OR_RETURN(const Contents contents, LookInto(archive, most_bytes));
  HONE_ASSIGN_OR_RETURN(const std::string root, RootOf(archive, contents));
  HONE_ASSIGN_OR_RETURN(const bool on_base, HasBaseFolder(archive, root, contents));
  HONE_RETURN_IF_ERROR(CheckWeights(archive, root, contents));
  const std::string base = absl::StrCat(kBaseFolder, "/");
  if (on_base) {
    HONE_RETURN_IF_ERROR(
        CheckWeights(absl::StrCat(archive, "/", kBaseFolder), absl::StrCat(root, base), contents));
  }
  Disk disk(directory, disk_floor_bytes);
  std::set<std::string> folders;
  size_t files = 0;
  const absl::Status unpacked = data::ForEachFileToUnpack(
      archive, [&](const data::TreeFile& file) -> absl::StatusOr<data::Visit> {
        absl::string_view name = file.name;
        if (!absl::ConsumePrefix(&name, root)) {
          return data::Visit::kGoOn;
        }
        const bool of_base = on_base && absl::StartsWith(name, base);
        if (!IsFileOfCheckpoint(of_base ? name.substr(base.size()) : name)) {
          return data::Visit::kGoOn;
        }
        if (++files > kMostFiles) {
          return absl::InvalidArgumentError(
              absl::StrCat(archive, ": the checkpoint has more than ", kMostFiles, " files"));
        }
        HONE_RETURN_IF_ERROR(Annotate(Place(file, name, directory, folders, disk), archive));
        return data::Visit::kGoOn;
      });
  HONE_RETURN_IF_ERROR(unpacked);
  for (const std::string& folder : folders) {
    HONE_RETURN_IF_ERROR(SyncDirectory(absl::StrCat(directory, "/", folder)));
  }
  return SyncDirectory(directory);
}

}  // namespace hone::engine::huggingface
