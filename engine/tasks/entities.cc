#include "engine/tasks/entities.h"

namespace hone::engine::tasks {
namespace {

// "B-PER" is B and PER; "B" is B without a type, and so is O; a tag without a prefix is S, and its
// own type.
struct Tag {
  char prefix = 'O';
  absl::string_view type = {};
};

constexpr absl::string_view kNoType = "_";

Tag Parse(absl::string_view tag) {
  constexpr absl::string_view kPrefixes = "BIES";
  if (tag == "O") {
    return {};
  }
  const bool has_prefix = !tag.empty() && kPrefixes.find(tag[0]) != absl::string_view::npos &&
                          (tag.size() == 1 || tag[1] == '-');
  if (!has_prefix) {
    return {.prefix = 'S', .type = tag};
  }
  return {.prefix = tag[0], .type = tag.size() > 2 ? tag.substr(2) : kNoType};
}

}  // namespace

std::vector<Entity> EntitiesOf(std::span<const absl::string_view> tags) {
  std::vector<Entity> entities;
  bool open = false;  // the last entity may go on
  Tag before;
  for (size_t i = 0; i < tags.size(); ++i) {
    const Tag tag = Parse(tags[i]);
    open = open && (tag.prefix == 'I' || tag.prefix == 'E') && tag.type == before.type &&
           before.prefix != 'E' && before.prefix != 'S';
    if (tag.prefix != 'O') {
      const auto word = static_cast<int64_t>(i);
      if (!open) {
        entities.push_back({.begin = word, .end = word, .type = std::string(tag.type)});
      }
      entities.back().end = word + 1;
      open = true;
    }
    before = tag;
  }
  return entities;
}

}  // namespace hone::engine::tasks
