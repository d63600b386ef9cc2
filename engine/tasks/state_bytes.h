#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace hone::engine::tasks {

// Numbers and texts one after another, for a section of a run's state.
class StateWriter {
 public:
  template <class T>
  void Add(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void AddBytes(const void* bytes, size_t size) {
    Add(static_cast<int64_t>(size));
    out_.append(static_cast<const char*>(bytes), size);
  }
  template <class T>
  void AddAll(const std::vector<T>& values) {
    AddBytes(values.data(), values.size() * sizeof(T));
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reads them back. After bytes that do not fit, ok() is false and nothing more is read. The bytes
// outlive it.
class StateReader {
 public:
  explicit StateReader(const std::string& in) : in_(in) {}

  template <class T>
  void Take(T& value) {
    if (!Has(sizeof(value))) {
      return;
    }
    std::memcpy(&value, in_.data() + at_, sizeof(value));
    at_ += sizeof(value);
  }
  std::string TakeBytes() {
    int64_t size = 0;
    Take(size);
    if (size < 0 || !Has(static_cast<size_t>(size))) {
      ok_ = false;
      return "";
    }
    at_ += static_cast<size_t>(size);
    return in_.substr(at_ - static_cast<size_t>(size), static_cast<size_t>(size));
  }
  // As many as it has.
  template <class T>
  void TakeAll(std::vector<T>& into) {
    const std::string bytes = TakeBytes();
    ok_ = ok_ && bytes.size() == into.size() * sizeof(T);
    if (ok_) {
      std::memcpy(into.data(), bytes.data(), bytes.size());
    }
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && at_ == in_.size(); }

 private:
  bool Has(size_t size) {
    ok_ = ok_ && in_.size() - at_ >= size;
    return ok_;
  }

  const std::string& in_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace hone::engine::tasks
