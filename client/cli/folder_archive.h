#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hone::client::cli {

// A checkpoint's folder as the bytes of a tar archive, which are made while they are read: nothing
// is written. Links are followed, as caches of checkpoints have them. The same files give the same
// bytes, whenever and by whomever they are read, so that an upload of them goes on after a cut.
class FolderArchive {
 public:
  // Of the files that a checkpoint is made of: weights as safetensors, what describes them and the
  // tokenizer, and .json of the folders in it; not what makes a folder a model of ours. NOT_FOUND:
  // it has no config.json or no weights, with a word on weights in other forms. INVALID_ARGUMENT:
  // it is an adapter, and its base does not lie beside it. Errors of reading the folder.
  static absl::StatusOr<FolderArchive> Of(const std::string& folder);
  // An adapter of peft's, and the checkpoint that it stands on in a folder `base`, whatever the
  // adapter's folder has of it. INVALID_ARGUMENT: `adapter` is none, or `base` is one, too.
  // NOT_FOUND: the adapter has no weights as safetensors; as above for the base.
  static absl::StatusOr<FolderArchive> OnBase(const std::string& adapter, const std::string& base);

  int64_t bytes() const { return bytes_; }
  // Lower-case hexadecimal; reads everything.
  absl::StatusOr<std::string> Sha256() const;
  // Fills the chunk, which has the size that is wanted, from `offset` on, and shortens it at the
  // end. DATA_LOSS: a file has become shorter since.
  absl::Status Read(int64_t offset, std::string& chunk) const;

 private:
  struct Part {
    int64_t begin = 0;
    std::string bytes = {};  // these, or those of a file
    std::string path = {};
    int64_t size = 0;

    int64_t end() const { return begin + size; }
  };

  void AddBytes(std::string bytes);
  void AddEnd();
  absl::Status AddFile(const std::string& name, const std::string& path);

  std::vector<Part> parts_;  // one behind another
  int64_t bytes_ = 0;
};

}  // namespace hone::client::cli
