#include "engine/text/pretrained/precompiled_map.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

constexpr size_t kUnitBytes = 4;
// A unit's children are those whose numbers differ from its own in the last byte alone.
constexpr size_t kBlock = 256;

// The parts of a unit.
uint32_t LabelOf(uint32_t unit) { return unit & (0x80000000U | 0xff); }
bool EndsKey(uint32_t unit) { return (unit >> 8 & 1) != 0; }
size_t OffsetOf(uint32_t unit) { return size_t{unit >> 10} << ((unit & 0x200) >> 6); }
size_t ValueOf(uint32_t unit) { return unit & 0x7fffffffU; }

uint32_t NumberAt(absl::string_view bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < kUnitBytes; ++i) {
    number |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  }
  return number;
}

absl::Status NoMap(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("is no map of characters: ", why));
}

// Behind the cluster of characters that `text`, which is not empty, begins with.
size_t ClusterOf(absl::string_view text) {
  NextCharacter last = FirstOf(text);
  size_t end = last.size;
  utf8proc_int32_t state = 0;
  while (end < text.size()) {
    const NextCharacter next = FirstOf(text.substr(end));
    const bool plain = last.character < 0x80 && next.character < 0x80 && last.character != '\r';
    if (plain ||
        utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.character),
                                         static_cast<utf8proc_int32_t>(next.character), &state)) {
      break;
    }
    end += next.size;
    last = next;
  }
  return end;
}

// `replacement` for so many characters of the old text: one for one, then what is more belongs to
// the last of them; where there are fewer new ones, the last one before takes what is left over.
void Replace(int64_t characters, absl::string_view replacement,
             std::vector<AlignedText::Change>& changes) {
  for (; !replacement.empty(); --characters) {
    changes.push_back({TakeCharacter(replacement), characters > 0 ? 0 : 1});
  }
  if (characters > 0 && !changes.empty()) {
    changes.back().change -= static_cast<int32_t>(characters);
  }
}

}  // namespace

absl::StatusOr<PrecompiledMap> PrecompiledMap::Parse(absl::string_view bytes) {
  if (bytes.size() < kUnitBytes) {
    return NoMap(absl::StrCat("it has ", bytes.size(), " bytes"));
  }
  const size_t size = NumberAt(bytes, 0);
  bytes.remove_prefix(kUnitBytes);
  if (size > bytes.size()) {
    return NoMap(
        absl::StrCat("its trie has ", size, " bytes, of which ", bytes.size(), " are there"));
  }
  if (size == 0 || size % (kBlock * kUnitBytes) != 0) {
    return NoMap(absl::StrCat("its trie has ", size, " bytes, which must be a multiple of ",
                              kBlock * kUnitBytes));
  }
  PrecompiledMap map;
  map.units_.resize(size / kUnitBytes);
  for (size_t i = 0; i < map.units_.size(); ++i) {
    map.units_[i] = NumberAt(bytes, i * kUnitBytes);
  }
  map.replacements_ = std::string(bytes.substr(size));
  if (Utf8Prefix(map.replacements_) != map.replacements_.size()) {
    return NoMap("its replacements are no UTF-8");
  }
  HONE_RETURN_IF_ERROR(map.Check());
  return map;
}

absl::Status PrecompiledMap::Check() {
  // By number of a unit: whether its children were looked at. A trie of a stranger may have ways
  // that lead back.
  std::vector<bool> seen(units_.size());
  std::vector<size_t> left;
  // Children that no key leads to are not looked at: there may be anything.
  const auto reach = [&](size_t from, uint32_t unit) {
    const size_t to = from ^ OffsetOf(unit);
    if (to >= units_.size()) {
      return NoMap(
          absl::StrCat("unit ", from, " of its trie points to unit ", to, " of ", units_.size()));
    }
    if (!seen[to]) {
      seen[to] = true;
      left.push_back(to);
    }
    return absl::OkStatus();
  };
  HONE_RETURN_IF_ERROR(reach(0, units_[0]));
  const size_t root = left.back();
  while (!left.empty()) {
    const size_t at = left.back();
    left.pop_back();
    for (size_t byte = 1; byte < kBlock; ++byte) {
      const size_t child = at ^ byte;
      const uint32_t unit = units_[child];
      if (LabelOf(unit) != byte) {
        continue;
      }
      begins_[byte] = begins_[byte] || at == root;
      HONE_RETURN_IF_ERROR(reach(child, unit));
      if (!EndsKey(unit)) {
        continue;
      }
      const size_t begin = ValueOf(units_[child ^ OffsetOf(unit)]);
      if (begin >= replacements_.size() || ContinuesCharacter(replacements_[begin])) {
        return NoMap(absl::StrCat("a replacement at byte ", begin, " of ", replacements_.size(),
                                  " is none"));
      }
      const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
      growth_ = std::max(growth_, static_cast<double>(end - begin));
    }
  }
  return absl::OkStatus();
}

bool PrecompiledMap::Find(absl::string_view text, absl::string_view& replacement) const {
  size_t at = OffsetOf(units_[0]);
  for (const char byte : text) {
    at ^= static_cast<uint8_t>(byte);
    const uint32_t unit = units_[at];
    if (byte == '\0' || LabelOf(unit) != static_cast<uint8_t>(byte)) {
      return false;
    }
    at ^= OffsetOf(unit);
    if (EndsKey(unit)) {
      replacement = absl::string_view(replacements_).substr(ValueOf(units_[at]));
      replacement = replacement.substr(0, replacement.find('\0'));
      return true;
    }
  }
  return false;
}

void PrecompiledMap::Apply(AlignedText& text) const {
  constexpr size_t kLongestCluster = 5;  // that is looked for as a whole
  std::vector<AlignedText::Change> changes;
  bool changed = false;
  const auto replace = [&](absl::string_view part) {
    absl::string_view replacement;
    if (!begins_[static_cast<uint8_t>(part[0])] || !Find(part, replacement)) {
      return false;
    }
    Replace(CountCharacters(part), replacement, changes);
    changed = true;
    return true;
  };
  changes.reserve(text.text().size());
  for (absl::string_view rest = text.text(); !rest.empty();) {
    absl::string_view cluster = rest.substr(0, ClusterOf(rest));
    rest.remove_prefix(cluster.size());
    if (cluster.size() <= kLongestCluster && replace(cluster)) {
      continue;
    }
    while (!cluster.empty()) {
      const NextCharacter next = FirstOf(cluster);
      if (!replace(cluster.substr(0, next.size))) {
        changes.push_back({next.character, 0});
      }
      cluster.remove_prefix(next.size);
    }
  }
  if (changed) {
    text.Transform(changes);
  }
}

}  // namespace hone::engine::text
