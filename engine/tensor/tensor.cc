#include "engine/tensor/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hone::engine {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

}  // namespace

int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kS32:
      return 4;
    case DType::kBf16:
      return 2;
    case DType::kU8:
      return 1;
  }
  return 0;
}

absl::string_view NameOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBf16:
      return "bf16";
    case DType::kS32:
      return "s32";
    case DType::kU8:
      return "u8";
  }
  return "?";
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (const int64_t dim : dims_) {
    product = SaturatingProduct(product, dim);
  }
  return product;
}

std::string Shape::ToString() const { return absl::StrCat("[", absl::StrJoin(dims_, ", "), "]"); }

std::string TensorType::ToString() const { return absl::StrCat(NameOf(dtype), shape.ToString()); }

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) {
    return;
  }
  const int64_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  const int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = nullptr;
  if (::posix_memalign(&data, static_cast<size_t>(alignment), static_cast<size_t>(rounded)) != 0) {
    throw std::bad_alloc();
  }
  if (alignment == kHugePage) {
    // Whole ones only: the rest of the last would be memory that nobody uses.
    ::madvise(data, static_cast<size_t>(rounded / kHugePage * kHugePage), MADV_HUGEPAGE);
  }
  std::memset(data, 0, static_cast<size_t>(rounded));
  data_.reset(static_cast<std::byte*>(data));
}

void Buffer::Free::operator()(std::byte* data) const { std::free(data); }

}  // namespace hone::engine
