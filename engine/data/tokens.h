#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/data/spool.h"

namespace hone::engine::data {

// Ids of tokens one behind the other, in memory or in a mapped file. Immutable; copies share them.
class Tokens {
 public:
  Tokens() = default;
  // Implicit: whoever has them in memory need not know that they may lie elsewhere.
  Tokens(std::vector<int32_t> ids) {  // NOLINT(google-explicit-constructor)
    const auto held = std::make_shared<const std::vector<int32_t>>(std::move(ids));
    ids_ = *held;
    memory_bytes_ = static_cast<int64_t>(ids_.size_bytes());
    held_ = held;
  }
  // Of a finished spool, to which BytesOf ids were appended.
  explicit Tokens(std::shared_ptr<const Spool> spool)
      : ids_(reinterpret_cast<const int32_t*>(spool->bytes().data()),
             spool->bytes().size() / sizeof(int32_t)),
        memory_bytes_(spool->memory_bytes()),
        held_(std::move(spool)) {}

  const int32_t* data() const { return ids_.data(); }
  size_t size() const { return ids_.size(); }
  bool empty() const { return ids_.empty(); }
  const int32_t* begin() const { return ids_.data(); }
  const int32_t* end() const { return ids_.data() + ids_.size(); }
  int32_t operator[](size_t i) const { return ids_[i]; }
  std::span<const int32_t> subspan(size_t begin, size_t count) const {
    return ids_.subspan(begin, count);
  }
  // What they take of the process's memory: nothing where they lie in a file.
  int64_t memory_bytes() const { return memory_bytes_; }

 private:
  std::span<const int32_t> ids_;
  int64_t memory_bytes_ = 0;
  std::shared_ptr<const void> held_;
};

inline absl::string_view BytesOf(std::span<const int32_t> ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size_bytes()};
}

}  // namespace hone::engine::data
