#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::engine::tasks {

// Some words of a sentence, one behind the other, that are one thing.
struct Entity {
  int64_t begin = 0;  // its first word
  int64_t end = 0;    // behind its last
  std::string type;   // "PER"; "_" where its tags name none

  friend bool operator==(const Entity&, const Entity&) = default;
};

// The entities that tags say, as conlleval counts them (Tjong Kim Sang and De Meulder,
// "Introduction to the CoNLL-2003 Shared Task", 2003) and seqeval does by default: O is outside,
// B-TYPE begins one, I-TYPE goes on with it, or begins one where there is none of its type; E-TYPE
// ends one, and S-TYPE is one word. B, I, E and S alone do so for entities without a type. A tag
// without such a prefix is an entity of one word. They are ascending, apart.
std::vector<Entity> EntitiesOf(std::span<const absl::string_view> tags);

// Counts entities of sentences: one that was found is right where its first word, its last and its
// type are.
struct EntityCounts {
  int64_t right = 0;
  int64_t found = 0;
  int64_t there = 0;

  double precision() const { return Ratio(right, found); }
  double recall() const { return Ratio(right, there); }
  double f1() const { return Ratio(2 * right, found + there); }

 private:
  static double Ratio(int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  }
};

}  // namespace hone::engine::tasks
