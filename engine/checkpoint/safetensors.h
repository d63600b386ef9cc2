#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/owned_fd.h"
#include "engine/tensor/tensor.h"

// The safetensors format (github.com/huggingface/safetensors, README "Format"): eight bytes of
// header length, little endian; a JSON object {"name": {"dtype", "shape", "data_offsets": [begin,
// end]}, …, "__metadata__": {text: text}}; the data, row major, without gaps or overlap.
namespace hone::engine::checkpoint {

enum class FileDType : uint8_t { kF64, kF32, kF16, kBf16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t SizeOf(FileDType dtype);            // bytes
absl::string_view NameOf(FileDType dtype);  // "F32" and so on, as in the file

// One tensor of a file.
struct FileTensor {
  std::string name;
  FileDType dtype = FileDType::kF32;
  Shape shape;
  int64_t begin = 0;  // first byte, counted from the start of the file
  int64_t bytes = 0;
};

// An open file with a checked header. The file is trusted in nothing: INVALID_ARGUMENT names the
// file, the tensor and what would be right for a header over 100 MB, bad or deeply nested JSON,
// duplicate or overlong names, more than 8 dimensions, sizes that overflow or do not fit the shape,
// bytes that overlap, leave a gap or lie outside the file. Tensors are read on demand (pread), so
// memory holds only what is asked for. Reading is thread safe.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // In the order of their bytes in the file.
  std::span<const FileTensor> tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // NOT_FOUND with names that there are.
  absl::StatusOr<const FileTensor*> Find(absl::string_view name) const;

  // The values as floats, straight into `out`, which has room for shape.elements(). F32 keeps every
  // bit; BF16 and F16 are exact; F64 and integers are rounded. DATA_LOSS if the file has become
  // shorter, UNAVAILABLE if it cannot be read.
  absl::Status Read(const FileTensor& tensor, std::span<float> out) const;
  // Find and Read; INVALID_ARGUMENT if the shape is another one than `shape`.
  absl::Status Read(absl::string_view name, const Shape& shape, std::span<float> out) const;
  // The whole file in memory, read-only and shared with the system's cache; a tensor lies at its
  // `begin`. Good as long as the pointer is kept, also without this object. Who shortens the file
  // meanwhile ends this process (SIGBUS); removing or replacing it does no harm.
  absl::StatusOr<std::shared_ptr<const std::byte>> Map() const;
  // The bytes as they are in the file; out.size() == tensor.bytes.
  absl::Status ReadBytes(const FileTensor& tensor, std::span<std::byte> out) const;

 private:
  std::string path_;
  std::shared_ptr<const OwnedFd> file_;
  std::vector<FileTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  absl::flat_hash_map<std::string, size_t> by_name_;
};

// A tensor to be written; `data` holds shape.elements() values of dtype and outlives the call.
struct TensorToWrite {
  std::string name;
  Shape shape;
  const void* data = nullptr;
  FileDType dtype = FileDType::kF32;
};

struct WrittenFile {
  int64_t bytes = 0;
  std::string sha256;
};

// Writes a new file in one pass and fsyncs it. The bytes depend on the arguments only; tensors lie
// in the given order. INVALID_ARGUMENT for a duplicate, empty or reserved name; RESOURCE_EXHAUSTED
// if there is no space.
absl::StatusOr<WrittenFile> WriteSafetensors(
    const std::string& path, std::span<const TensorToWrite> tensors,
    const std::map<std::string, std::string>& metadata = {});

}  // namespace hone::engine::checkpoint
