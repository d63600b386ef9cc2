#include "engine/text/pretrained/unicode_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "engine/text/pretrained/characters.h"

namespace hone::engine::text {
namespace {

using Change = AlignedText::Change;

int ClassOf(char32_t character) {
  return (CharacterTraits()[character] & kReordered) != 0
             ? utf8proc_get_property(static_cast<utf8proc_int32_t>(character))->combining_class
             : 0;
}

std::vector<Change> Decomposed(absl::string_view text, bool loose) {
  std::vector<Change> changes;
  changes.reserve(text.size());
  size_t pending = 0;  // where the characters begin whose order is not settled
  const auto settle = [&] {
    std::stable_sort(changes.begin() + static_cast<ptrdiff_t>(pending), changes.end(),
                     [](const Change& a, const Change& b) {
                       return ClassOf(a.character) < ClassOf(b.character);
                     });
    pending = changes.size();
  };
  while (!text.empty()) {
    const NextCharacter next = FirstOf(text);
    text.remove_prefix(next.size);
    char32_t parts[32];
    const size_t count = Decompose(next.character, loose, parts);
    for (size_t i = 0; i < count; ++i) {
      if ((CharacterTraits()[parts[i]] & kReordered) == 0) {
        settle();
        // It stays where it is; only what follows it may be put into another order.
      }
      changes.push_back({parts[i], i == 0 ? 0 : 1});
    }
  }
  settle();
  return changes;
}

// The character that two are composed to; 0: they are not.
char32_t Composed(char32_t first, char32_t second) {
  if (first < 0x80 && second < 0x80) {
    return 0;
  }
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first),
                              static_cast<utf8proc_int32_t>(second)};
  const utf8proc_ssize_t size = utf8proc_normalize_utf32(
      pair, 2, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const auto made = static_cast<char32_t>(pair[0]);
  // What later versions of Unicode compose stays apart.
  return size == 1 && ((CharacterTraits()[made] & kDecomposes) != 0) ? made : 0;
}

std::vector<Change> Recomposed(const std::vector<Change>& in) {
  std::vector<Change> out, behind;  // behind: marks that stay behind the character that composes
  out.reserve(in.size());
  bool has_base = false;
  Change base = {0, 0};
  int last_class = -1;
  const auto finish = [&] {
    out.insert(out.end(), behind.begin(), behind.end());
    behind.clear();
    last_class = -1;
  };
  for (const Change& next : in) {
    const int own_class = ClassOf(next.character);
    if (!has_base) {
      if (own_class != 0) {
        out.push_back(next);
      } else {
        base = next;
        has_base = true;
      }
      continue;
    }
    const bool blocked = last_class >= own_class;
    const char32_t made = blocked ? 0 : Composed(base.character, next.character);
    if (made != 0) {
      base = {made, base.change + next.change - 1};
    } else if (own_class == 0) {
      out.push_back(base);
      finish();
      base = next;
    } else {
      behind.push_back(next);
      last_class = own_class;
    }
  }
  if (has_base) {
    out.push_back(base);
  }
  finish();
  return out;
}

}  // namespace

size_t Decompose(char32_t character, bool loose, char32_t (&out)[32]) {
  if ((CharacterTraits()[character] & (loose ? kDecomposesLoosely : kDecomposes)) == 0) {
    out[0] = character;
    return 1;
  }
  utf8proc_int32_t parts[32];
  int last_class = 0;
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (loose ? UTF8PROC_COMPAT : 0);
  const utf8proc_ssize_t size =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character), parts, 32,
                              static_cast<utf8proc_option_t>(options), &last_class);
  const auto count = static_cast<size_t>(std::clamp<utf8proc_ssize_t>(size, 0, 32));
  std::copy_n(parts, count, out);
  return count;
}

void ToUnicodeForm(UnicodeForm form, AlignedText& text) {
  // Of the characters before the first mark none is composed.
  constexpr char32_t kFirstMark = 0x300, kLatin1 = 0xa0;
  const char32_t unchanged = form.composed && !form.loose ? kFirstMark : kLatin1;
  bool may_change = false;
  for (absl::string_view rest = text.text(); !rest.empty() && !may_change;) {
    const NextCharacter next = FirstOf(rest);
    rest.remove_prefix(next.size);
    may_change = next.character >= unchanged;
  }
  if (!may_change) {
    return;
  }
  const std::vector<Change> changes = Decomposed(text.text(), form.loose);
  text.Transform(form.composed ? Recomposed(changes) : changes);
}

}  // namespace hone::engine::text
