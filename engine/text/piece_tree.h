#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// Pieces by the ways of bytes that lead to them.
class PieceTree {
 public:
  static constexpr int32_t kRoot = 0, kNone = -1;

  void Add(absl::string_view text, int32_t id) {
    int32_t node = kRoot;
    for (const char byte : text) {
      node =
          children_.try_emplace(Key(node, byte), static_cast<int32_t>(ids_.size())).first->second;
      if (node == static_cast<int32_t>(ids_.size())) {
        ids_.push_back(kNone);
      }
    }
    ids_[static_cast<size_t>(node)] = id;
  }

  // kNone: no piece goes on so.
  int32_t Child(int32_t node, char byte) const {
    const auto found = children_.find(Key(node, byte));
    return found == children_.end() ? kNone : found->second;
  }
  // The piece that ends here, or kNone.
  int32_t IdAt(int32_t node) const { return ids_[static_cast<size_t>(node)]; }

 private:
  static uint64_t Key(int32_t node, char byte) {
    return uint64_t{static_cast<uint32_t>(node)} << 8 | static_cast<uint8_t>(byte);
  }

  absl::flat_hash_map<uint64_t, int32_t> children_;
  std::vector<int32_t> ids_ = {kNone};  // by node
};

}  // namespace hone::engine::text
