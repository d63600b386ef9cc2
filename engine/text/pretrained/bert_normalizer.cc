#include <algorithm>
#include <vector>

#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/normalizer.h"
#include "engine/text/pretrained/unicode_forms.h"

namespace hone::engine::text {
namespace {

using Change = AlignedText::Change;

// What one character becomes, if it is alone: nothing of it depends on its neighbours but the order
// of marks, see Apply.
class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options) : options_(options) {
    for (char32_t c = 0; c < 0x80; ++c) {
      char32_t out[kMost];
      ascii_[c] = Become(c, out) == 0 ? '\0' : static_cast<char>(out[0]);
    }
  }

  void Apply(AlignedText& text) const override {
    const absl::string_view old = text.text();
    AlignedText::Rewriter rewriter(text);
    for (size_t at = 0; at < old.size();) {
      const auto byte = static_cast<uint8_t>(old[at]);
      if (byte < 0x80) {
        if (const char c = ascii_[byte]; c != '\0' || (byte == 0 && !options_.clean_text)) {
          rewriter.Put(absl::string_view(&c, 1), at);
        }
        ++at;
        continue;
      }
      const NextCharacter next = FirstOf(old.substr(at));
      if (options_.strip_accents && StaysWhileReordered(next.character)) {
        ApplyInSteps(text);
        return;
      }
      char32_t out[kMost];
      const size_t count = Become(next.character, out);
      for (size_t i = 0; i < count; ++i) {
        rewriter.Put(out[i], at);
      }
      at += next.size;
    }
    rewriter.Finish();
  }

 private:
  static constexpr size_t kMost = 70;  // characters of one: of 32, twice as many in lower case

  bool IsRemoved(char32_t c) const {
    constexpr char32_t kReplacement = 0xfffd;
    return options_.clean_text &&
           (c == 0 || c == kReplacement ||
            ((traits_[c] & kOther) != 0 && c != '\t' && c != '\n' && c != '\r'));
  }

  // A mark that is not stripped and has a place among others: then marks change their order.
  bool StaysWhileReordered(char32_t c) const {
    if ((traits_[c] & (kReordered | kDecomposes)) == 0) {
      return false;
    }
    char32_t parts[32];
    const size_t count = Decompose(c, false, parts);
    return std::any_of(parts, parts + count, [&](char32_t part) {
      return (traits_[part] & (kReordered | kNonspacing)) == kReordered;
    });
  }

  size_t Become(char32_t c, char32_t (&out)[kMost]) const {
    if (IsRemoved(c)) {
      return 0;
    }
    if (options_.clean_text && (traits_[c] & kWhiteSpace) != 0) {
      c = ' ';
    }
    size_t size = 0;
    const bool apart = options_.handle_chinese_characters && (traits_[c] & kChinese) != 0;
    if (apart) {
      out[size++] = ' ';
    }
    char32_t parts[32] = {c};
    const size_t count = options_.strip_accents ? Decompose(c, false, parts) : 1;
    for (size_t i = 0; i < count; ++i) {
      if (options_.strip_accents && (traits_[parts[i]] & kNonspacing) != 0) {
        continue;
      }
      const LowerCase lower =
          options_.lower_case ? LowerCaseOf(parts[i]) : LowerCase{{parts[i], 0}, 1};
      for (int k = 0; k < lower.size; ++k) {
        out[size++] = lower.characters[k];
      }
    }
    if (apart) {
      out[size++] = ' ';
    }
    return size;
  }

  // One rule after the other over the whole text.
  void ApplyInSteps(AlignedText& text) const {
    BertNormalizerOptions before = options_, behind = {false, false, false, options_.lower_case};
    before.strip_accents = before.lower_case = false;
    BertNormalizer(before).Apply(text);
    ToUnicodeForm({}, text);
    {
      const absl::string_view old = text.text();
      AlignedText::Rewriter rewriter(text);
      for (size_t at = 0; at < old.size();) {
        const NextCharacter next = FirstOf(old.substr(at));
        if ((traits_[next.character] & kNonspacing) == 0) {
          rewriter.Copy(at, at + next.size);
        }
        at += next.size;
      }
      rewriter.Finish();
    }
    BertNormalizer(behind).Apply(text);
  }

  const BertNormalizerOptions options_;
  const uint16_t* const traits_ = CharacterTraits();
  char ascii_[0x80];  // what it becomes, '\0' for nothing
};

}  // namespace

std::unique_ptr<const Normalizer> NewBertNormalizer(const BertNormalizerOptions& options) {
  return std::make_unique<const BertNormalizer>(options);
}

}  // namespace hone::engine::text
