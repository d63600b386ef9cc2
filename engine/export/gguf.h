#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// GGUF, version 3 (github.com/ggml-org/ggml, docs/gguf.md): all numbers little endian.
//   "GGUF", u32 3, u64 tensors, u64 pairs
//   a pair:   key as a string, u32 type, value. A string is u64 its bytes, then these; an array u32
//             type of its elements, u64 how many, then these
//   a tensor: name as a string, u32 dimensions, u64 for each its extent, the fastest first, u32
//             type, u64 where its data begins behind the first multiple of the alignment
namespace hone::engine::exports {

inline constexpr uint64_t kGgufAlignment = 32;
inline constexpr size_t kGgufMostNameBytes = 64;  // of a tensor

using GgufValue = std::variant<uint32_t, float, bool, std::string, std::vector<std::string>,
                               std::vector<int32_t>>;

// How the numbers of a tensor lie. Q8_0: blocks of 32, an f16 d and 32 i8 q, d · q each.
enum class GgufType : uint32_t { kF32 = 0, kF16 = 1, kQ8_0 = 8, kBf16 = 30 };
inline constexpr int64_t kGgufBlock = 32;
// Of so many numbers, a multiple of the block where they lie in blocks.
int64_t GgufBytes(GgufType type, int64_t numbers);

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> extents;  // the fastest first
  GgufType type = GgufType::kF32;
  std::string bytes;              // to be written
  absl::string_view mapped = {};  // of one that was read: where its bytes lie in Gguf::file

  int64_t numbers() const;
  absl::string_view data() const { return mapped.empty() ? absl::string_view(bytes) : mapped; }
};

struct Gguf {
  std::vector<std::pair<std::string, GgufValue>> pairs;
  std::vector<GgufTensor> tensors;
  std::shared_ptr<const std::byte> file = nullptr;  // of one that was read: the file in memory

  // Null where there is none of that name and type.
  template <typename T>
  const T* Find(absl::string_view key) const {
    for (const auto& [name, value] : pairs) {
      if (name == key) {
        return std::get_if<T>(&value);
      }
    }
    return nullptr;
  }
  const GgufTensor* FindTensor(absl::string_view name) const;
};

// Numbers as bytes of a type, rounded to the nearest, and back. Q8_0: d is the largest size of a
// block by 127.
std::string ToGgufBytes(GgufType type, const std::vector<float>& numbers);
std::vector<float> FromGgufBytes(GgufType type, absl::string_view bytes);

// The whole file, written durably. INVALID_ARGUMENT: a name is too long.
absl::Status WriteGguf(const std::string& path, const Gguf& gguf);
// Reads what WriteGguf writes, and no other types. Tensors stay in the file, which must not become
// shorter meanwhile. INVALID_ARGUMENT says at which byte the file is
// cut off or wrong.
absl::StatusOr<Gguf> ReadGguf(const std::string& path);

}  // namespace hone::engine::exports
