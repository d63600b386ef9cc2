#include "engine/export/gguf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"
#include "engine/checkpoint/durable_file.h"
#include "engine/tensor/half.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::exports {

static_assert(std::endian::native == std::endian::little, "GGUF's numbers are little endian");

namespace {

constexpr absl::string_view kMagic = "GGUF";
constexpr uint32_t kVersion = 3;
// Types of values.
constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;
constexpr uint64_t kMostBytes = uint64_t{1} << 40;
constexpr int64_t kBlockBytes = 2 + kGgufBlock;

template <typename T>
void Put(std::string& out, T number) {
  static_assert(std::is_arithmetic_v<T>);
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void PutString(std::string& out, absl::string_view text) {
  Put<uint64_t>(out, text.size());
  absl::StrAppend(&out, text);
}

void PutValue(std::string& out, const GgufValue& value) {
  if (const auto* whole = std::get_if<uint32_t>(&value)) {
    Put(out, kUint32);
    Put(out, *whole);
  } else if (const auto* number = std::get_if<float>(&value)) {
    Put(out, kFloat32);
    Put(out, *number);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    Put(out, kBool);
    Put<uint8_t>(out, *flag ? 1 : 0);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    Put(out, kString);
    PutString(out, *text);
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    Put(out, kArray);
    Put(out, kString);
    Put<uint64_t>(out, texts->size());
    for (const std::string& one : *texts) {
      PutString(out, one);
    }
  } else {
    const auto& wholes = std::get<std::vector<int32_t>>(value);
    Put(out, kArray);
    Put(out, kInt32);
    Put<uint64_t>(out, wholes.size());
    for (const int32_t one : wholes) {
      Put(out, one);
    }
  }
}

uint64_t Aligned(uint64_t offset) {
  return (offset + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

class Reader {
 public:
  explicit Reader(absl::string_view all) : all_(all) {}

  absl::StatusOr<Gguf> Read() {
    Gguf gguf;
    if (all_.substr(0, kMagic.size()) != kMagic) {
      return absl::InvalidArgumentError("the file does not begin with GGUF");
    }
    at_ = kMagic.size();
    if (Number<uint32_t>() != kVersion) {
      return absl::InvalidArgumentError("the file must be of version 3");
    }
    const auto tensors = Number<uint64_t>(), pairs = Number<uint64_t>();
    for (uint64_t i = 0; i < pairs && !failed_; ++i) {
      std::string key = String();
      gguf.pairs.emplace_back(std::move(key), Value());
    }
    std::vector<uint64_t> offsets;
    for (uint64_t i = 0; i < tensors && !failed_; ++i) {
      GgufTensor tensor;
      tensor.name = String();
      const auto dimensions = Number<uint32_t>();
      for (uint32_t d = 0; d < std::min(dimensions, uint32_t{4}); ++d) {
        tensor.extents.push_back(std::clamp(Number<uint64_t>(), uint64_t{1}, kMostBytes));
      }
      tensor.type = static_cast<GgufType>(Number<uint32_t>());
      offsets.push_back(Number<uint64_t>());
      failed_ = failed_ || dimensions > 4 || GgufBytes(tensor.type, tensor.numbers()) < 0;
      gguf.tensors.push_back(std::move(tensor));
    }
    const uint64_t data = Aligned(at_);
    for (size_t i = 0; i < gguf.tensors.size() && !failed_; ++i) {
      GgufTensor& tensor = gguf.tensors[i];
      const auto bytes = static_cast<uint64_t>(GgufBytes(tensor.type, tensor.numbers()));
      if (offsets[i] % kGgufAlignment != 0 || offsets[i] > all_.size() ||
          bytes > all_.size() - offsets[i] || data + offsets[i] + bytes > all_.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the tensor ", tensor.name, " does not lie in the file"));
      }
      tensor.mapped = all_.substr(data + offsets[i], bytes);
    }
    if (failed_) {
      return absl::InvalidArgumentError(
          absl::StrCat("the file is cut off, or wrong, at byte ", at_));
    }
    return gguf;
  }

 private:
  template <typename T>
  T Number() {
    T number = 0;
    if (failed_ || all_.size() - at_ < sizeof(T)) {
      failed_ = true;
      return number;
    }
    std::memcpy(&number, all_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return number;
  }

  std::string String() {
    const auto size = Number<uint64_t>();
    if (failed_ || size > all_.size() - at_) {
      failed_ = true;
      return "";
    }
    std::string text(all_.substr(at_, size));
    at_ += size;
    return text;
  }

  GgufValue Value() {
    switch (Number<uint32_t>()) {
      case kUint32:
        return Number<uint32_t>();
      case kFloat32:
        return Number<float>();
      case kBool:
        return Number<uint8_t>() != 0;
      case kString:
        return String();
      case kArray:
        return Array();
      default:
        failed_ = true;
        return uint32_t{0};
    }
  }

  GgufValue Array() {
    const auto type = Number<uint32_t>();
    const auto count = Number<uint64_t>();
    std::vector<std::string> texts;
    std::vector<int32_t> wholes;
    failed_ = failed_ || (type != kString && type != kInt32);
    for (uint64_t i = 0; i < count && !failed_; ++i) {
      if (type == kString) {
        texts.push_back(String());
      } else {
        wholes.push_back(Number<int32_t>());
      }
    }
    return type == kString ? GgufValue(std::move(texts)) : GgufValue(std::move(wholes));
  }

  const absl::string_view all_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

int64_t GgufBytes(GgufType type, int64_t numbers) {
  switch (type) {
    case GgufType::kF32:
      return SaturatingProduct(numbers, 4);
    case GgufType::kF16:
    case GgufType::kBf16:
      return SaturatingProduct(numbers, 2);
    case GgufType::kQ8_0:
      return numbers % kGgufBlock == 0 ? SaturatingProduct(numbers / kGgufBlock, kBlockBytes) : -1;
  }
  return -1;
}

int64_t GgufTensor::numbers() const {
  int64_t count = 1;
  for (const uint64_t extent : extents) {
    count = SaturatingProduct(count, static_cast<int64_t>(extent));
  }
  return count;
}

const GgufTensor* Gguf::FindTensor(absl::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &GgufTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

std::string ToGgufBytes(GgufType type, const std::vector<float>& numbers) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(
      std::max<int64_t>(GgufBytes(type, static_cast<int64_t>(numbers.size())), 0)));
  if (type != GgufType::kQ8_0) {
    for (const float number : numbers) {
      if (type == GgufType::kF32) {
        Put(bytes, number);
      } else {
        Put(bytes, type == GgufType::kF16 ? ToF16(number) : ToBf16(number));
      }
    }
    return bytes;
  }
  for (size_t begin = 0; begin + kGgufBlock <= numbers.size(); begin += kGgufBlock) {
    float most = 0;
    for (size_t i = 0; i < kGgufBlock; ++i) {
      most = std::max(most, std::abs(numbers[begin + i]));
    }
    const float d = most / 127, inverse = d > 0 ? 1 / d : 0;
    Put(bytes, ToF16(d));
    for (size_t i = 0; i < kGgufBlock; ++i) {
      const float q = std::round(numbers[begin + i] * inverse);
      Put(bytes, static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f)));
    }
  }
  return bytes;
}

std::vector<float> FromGgufBytes(GgufType type, absl::string_view bytes) {
  std::vector<float> numbers;
  const auto read = [&](size_t at, auto& number) {
    std::memcpy(&number, bytes.data() + at, sizeof(number));
  };
  if (type == GgufType::kF32) {
    numbers.resize(bytes.size() / sizeof(float));
    std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(float));
  } else if (type == GgufType::kQ8_0) {
    for (size_t at = 0; at + kBlockBytes <= bytes.size(); at += kBlockBytes) {
      uint16_t d = 0;
      read(at, d);
      for (size_t i = 0; i < kGgufBlock; ++i) {
        int8_t q = 0;
        read(at + sizeof(d) + i, q);
        numbers.push_back(FromF16(d) * static_cast<float>(q));
      }
    }
  } else {
    for (size_t at = 0; at + 2 <= bytes.size(); at += 2) {
      uint16_t half = 0;
      read(at, half);
      numbers.push_back(type == GgufType::kF16 ? FromF16(half) : FromBf16(half));
    }
  }
  return numbers;
}

absl::Status WriteGguf(const std::string& path, const Gguf& gguf) {
  std::string head(kMagic);
  Put(head, kVersion);
  Put<uint64_t>(head, gguf.tensors.size());
  Put<uint64_t>(head, gguf.pairs.size());
  for (const auto& [key, value] : gguf.pairs) {
    PutString(head, key);
    PutValue(head, value);
  }
  uint64_t offset = 0;
  for (const GgufTensor& tensor : gguf.tensors) {
    if (tensor.name.size() > kGgufMostNameBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", tensor.name, ": a name has at most ", kGgufMostNameBytes, " bytes"));
    }
    PutString(head, tensor.name);
    Put(head, static_cast<uint32_t>(tensor.extents.size()));
    for (const uint64_t extent : tensor.extents) {
      Put(head, extent);
    }
    Put(head, static_cast<uint32_t>(tensor.type));
    Put(head, offset);
    offset = Aligned(offset + tensor.data().size());
  }
  head.resize(Aligned(head.size()), '\0');
  HONE_ASSIGN_OR_RETURN(checkpoint::DurableFile file, checkpoint::DurableFile::Create(path));
  HONE_RETURN_IF_ERROR(file.Append(absl::string_view(head)));
  for (const GgufTensor& tensor : gguf.tensors) {
    HONE_RETURN_IF_ERROR(file.Append(tensor.data()));
    const std::string gap(Aligned(tensor.data().size()) - tensor.data().size(), '\0');
    HONE_RETURN_IF_ERROR(file.Append(absl::string_view(gap)));
  }
  return file.Finish().status();
}

absl::StatusOr<Gguf> ReadGguf(const std::string& path) {
  const OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info = {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  const auto size = static_cast<size_t>(info.st_size);
  std::shared_ptr<const std::byte> file;
  if (size > 0) {
    void* const begin = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (begin == MAP_FAILED) {
      return ErrnoStatus(errno, absl::StrCat("cannot map ", path));
    }
    file = std::shared_ptr<const std::byte>(
        static_cast<const std::byte*>(begin),
        [begin, size](const std::byte*) { ::munmap(begin, size); });
  }
  absl::StatusOr<Gguf> gguf =
      Reader(absl::string_view(reinterpret_cast<const char*>(file.get()), size)).Read();
  HONE_RETURN_IF_ERROR(Annotate(gguf.status(), path));
  gguf->file = std::move(file);
  return gguf;
}

}  // namespace hone::engine::exports
