#include "engine/checkpoint/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"

namespace hone::engine::checkpoint {
namespace {

struct DTypeFacts {
  FileDType dtype;
  absl::string_view name;
  int64_t bytes;
};

constexpr DTypeFacts kDTypes[] = {
    {FileDType::kF64, "F64", 8},   {FileDType::kF32, "F32", 4}, {FileDType::kF16, "F16", 2},
    {FileDType::kBf16, "BF16", 2}, {FileDType::kI64, "I64", 8}, {FileDType::kI32, "I32", 4},
    {FileDType::kI16, "I16", 2},   {FileDType::kI8, "I8", 1},   {FileDType::kU8, "U8", 1},
    {FileDType::kBool, "BOOL", 1},
};

absl::StatusOr<FileDType> DTypeFromName(absl::string_view name) {
  for (const DTypeFacts& facts : kDTypes) {
    if (facts.name == name) {
      return facts.dtype;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "dtype ", Shown(name), " is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"));
}

// Takes the header in event by event: nothing is built that is not wanted, nesting is refused where
// it goes wrong, and a name that comes twice is seen (a JSON tree would keep one of the two).
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  absl::Status status() const { return status_; }
  SafetensorsHeader Take() { return std::move(header_); }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a truth value"); }
  bool number_integer(number_integer_t value) override {
    return Fail(absl::StrCat(Place(), ": must not be negative, got ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Unexpected(absl::StrCat("the number ", Shown(text)));
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) {
      return Unexpected("a number");
    }
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      return Fail(absl::StrCat(Place(), ": ", value, " is too large"));
    }
    std::vector<int64_t>& numbers = field_ == "shape" ? shape_ : offsets_;
    const size_t limit = field_ == "shape" ? kMaxRank : 2;
    if (numbers.size() == limit) {
      return Fail(absl::StrCat(Place(), ": at most ", limit, " numbers are allowed"));
    }
    numbers.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = value;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype") {
      return Unexpected("a text");
    }
    const absl::StatusOr<FileDType> dtype = DTypeFromName(value);
    if (!dtype.ok()) {
      return Fail(absl::StrCat(Place(), ": ", dtype.status().message()));
    }
    dtype_ = *dtype;
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ >= 2) {
      return Unexpected("an object");
    }
    ++depth_;
    return true;
  }

  bool key(string_t& key) override {
    if (key.size() > kMaxNameBytes) {
      return Fail(absl::StrCat("the name ", Shown(key), " has ", key.size(), " bytes, at most ",
                               kMaxNameBytes, " are allowed"));
    }
    if (depth_ == 1) {
      name_ = key;
      field_.clear();
      in_metadata_ = key == "__metadata__";
      fields_.clear();
      shape_.clear();
      offsets_.clear();
      dtype_.reset();
      return names_.insert(key).second || Fail(absl::StrCat(Shown(key), " comes twice"));
    }
    field_ = key;
    if (!in_metadata_ && key != "dtype" && key != "shape" && key != "data_offsets") {
      return Fail(absl::StrCat("tensor ", Shown(name_), ": ", Shown(key),
                               " is not one of dtype, shape, data_offsets"));
    }
    return fields_.insert(key).second || Fail(absl::StrCat(Place(), " comes twice"));
  }

  bool end_object() override {
    --depth_;
    if (depth_ != 1 || in_metadata_) {
      return true;
    }
    return AddTensor();
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || field_ == "dtype") {
      return Unexpected("a list");
    }
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("the header is not valid JSON at its byte ", position));
  }

 private:
  std::string Place() const {
    if (depth_ == 0) {
      return "the header";
    }
    const std::string owner = in_metadata_ ? "__metadata__" : absl::StrCat("tensor ", Shown(name_));
    return field_.empty() ? owner : absl::StrCat(owner, ": ", Shown(field_));
  }

  bool Fail(const std::string& message) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(message);
    }
    return false;
  }

  bool Unexpected(absl::string_view what) {
    absl::string_view wanted = "an object {dtype, shape, data_offsets}";
    if (depth_ == 0) {
      wanted = "an object {name: tensor, …}";
    } else if (in_metadata_) {
      wanted = "an object {text: text, …}";
    } else if (depth_ == 2) {
      wanted = field_ == "dtype" ? "a text" : "a list of numbers";
    } else if (depth_ == 3) {
      wanted = "a whole number";
    }
    return Fail(absl::StrCat(Place(), ": must be ", wanted, ", got ", what));
  }

  bool AddTensor() {
    if (fields_.size() != 3) {
      return Fail(
          absl::StrCat("tensor ", Shown(name_), ": must have dtype, shape and data_offsets"));
    }
    FileTensor tensor{.name = name_, .dtype = *dtype_, .shape = Shape(shape_)};
    int64_t bytes = SizeOf(tensor.dtype);
    // A zero among the extents does not excuse an overflow of the others.
    for (const int64_t extent : shape_) {
      if (__builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes)) {
        return Fail(absl::StrCat("tensor ", Shown(name_), ": the size of shape ",
                                 tensor.shape.ToString(), " overflows"));
      }
    }
    if (std::find(shape_.begin(), shape_.end(), 0) != shape_.end()) {
      bytes = 0;
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      return Fail(absl::StrCat("tensor ", Shown(name_),
                               ": data_offsets must be [begin, end] with begin <= end"));
    }
    if (offsets_[1] - offsets_[0] != bytes) {
      return Fail(absl::StrCat("tensor ", Shown(name_), ": ", NameOf(tensor.dtype),
                               tensor.shape.ToString(), " needs ", bytes,
                               " bytes, but data_offsets hold ", offsets_[1] - offsets_[0]));
    }
    tensor.begin = offsets_[0];
    tensor.bytes = bytes;
    header_.tensors.push_back(std::move(tensor));
    return true;
  }

  SafetensorsHeader header_;
  absl::Status status_;
  absl::flat_hash_set<std::string> names_;
  int depth_ = 0;  // 1 in the header, 2 in a tensor or the metadata, 3 in a list
  bool in_metadata_ = false;
  std::string name_;
  std::string field_;
  absl::flat_hash_set<std::string> fields_;
  std::optional<FileDType> dtype_;
  std::vector<int64_t> shape_;
  std::vector<int64_t> offsets_;
};

// The tensors' bytes must be the data, one after another.
absl::Status CheckCoverage(const std::vector<FileTensor>& tensors, int64_t data_bytes) {
  int64_t end = 0;
  const FileTensor* before = nullptr;
  for (const FileTensor& tensor : tensors) {
    if (tensor.bytes > data_bytes || tensor.begin > data_bytes - tensor.bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Shown(tensor.name), ": data_offsets [", tensor.begin, ", ",
                       tensor.begin + tensor.bytes, "] lie outside the ", data_bytes,
                       " bytes of data that the file holds"));
    }
    if (tensor.begin < end) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Shown(tensor.name), " overlaps ",
                                                     Shown(before->name), ": must begin at ", end,
                                                     ", begins at ", tensor.begin));
    }
    if (tensor.begin > end) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Shown(tensor.name), ": must begin at ", end,
                       ", where the one before ends, but begins at ", tensor.begin));
    }
    end = tensor.begin + tensor.bytes;
    before = &tensor;
  }
  if (end != data_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the tensors take ", end, " bytes, but ",
                                                   data_bytes, " bytes of data follow the header"));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t SizeOf(FileDType dtype) { return kDTypes[static_cast<size_t>(dtype)].bytes; }

absl::string_view NameOf(FileDType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

std::string Shown(absl::string_view name) {
  constexpr size_t kShown = 80;
  return absl::StrCat("'", absl::Utf8SafeCHexEscape(name.substr(0, kShown)),
                      name.size() > kShown ? "…'" : "'");
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         int64_t data_bytes) {
  SafetensorsHeader header;
  try {
    HeaderReader reader;
    const bool read = nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
    HONE_RETURN_IF_ERROR(reader.status());
    if (!read) {
      return absl::InvalidArgumentError("the header is not valid JSON");
    }
    header = reader.Take();
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError("out of memory while reading the header");
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("the header is not valid JSON: ", error.what()));
  }
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const FileTensor& a, const FileTensor& b) {
                     return std::pair(a.begin, a.bytes) < std::pair(b.begin, b.bytes);
                   });
  HONE_RETURN_IF_ERROR(CheckCoverage(header.tensors, data_bytes));
  return header;
}

}  // namespace hone::engine::checkpoint
