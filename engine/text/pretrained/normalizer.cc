#include "engine/text/pretrained/normalizer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/pattern.h"
#include "engine/text/pretrained/precompiled_map.h"
#include "engine/text/pretrained/unicode_forms.h"

namespace hone::engine::text {
namespace {

class FormNormalizer final : public Normalizer {
 public:
  explicit FormNormalizer(UnicodeForm form) : form_(form) {}
  void Apply(AlignedText& text) const override { ToUnicodeForm(form_, text); }

 private:
  const UnicodeForm form_;
};

class Lowercase final : public Normalizer {
 public:
  void Apply(AlignedText& text) const override {
    const absl::string_view old = text.text();
    AlignedText::Rewriter rewriter(text);
    for (size_t at = 0; at < old.size();) {
      const NextCharacter next = FirstOf(old.substr(at));
      const LowerCase lower = LowerCaseOf(next.character);
      for (int i = 0; i < lower.size; ++i) {
        rewriter.Put(lower.characters[i], at);
      }
      at += next.size;
    }
    rewriter.Finish();
  }
};

class StripAccents final : public Normalizer {
 public:
  void Apply(AlignedText& text) const override {
    const absl::string_view old = text.text();
    AlignedText::Rewriter rewriter(text);
    for (size_t at = 0; at < old.size();) {
      const NextCharacter next = FirstOf(old.substr(at));
      if ((CharacterTraits()[next.character] & kMark) == 0) {
        rewriter.Copy(at, at + next.size);
      }
      at += next.size;
    }
    rewriter.Finish();
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void Apply(AlignedText& text) const override {
    const absl::string_view old = text.text();
    size_t begin = 0, end = 0;
    bool inside = false;
    for (size_t at = 0; at < old.size();) {
      const NextCharacter next = FirstOf(old.substr(at));
      at += next.size;
      if ((CharacterTraits()[next.character] & kWhiteSpace) == 0) {
        inside = true;
        end = at;
      } else if (!inside) {
        begin = at;
      }
    }
    begin = left_ ? begin : 0;
    end = right_ ? std::max(end, begin) : old.size();
    if (begin == 0 && end == old.size()) {
      return;
    }
    AlignedText::Rewriter rewriter(text);
    rewriter.Copy(begin, end);
    rewriter.Finish();
  }

 private:
  const bool left_, right_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(Replacement replacement) : replacement_(std::move(replacement)) {}

  // What comes instead has the bytes of the match's last character.
  void Apply(AlignedText& text) const override {
    AlignedText::Rewriter rewriter(text);
    bool any = false;
    replacement_.pattern->Divide(text.text(), [&](size_t begin, size_t end, bool matches) {
      if (matches) {
        rewriter.Put(replacement_.content, end - 1);
        any = true;
      } else {
        rewriter.Copy(begin, end);
      }
    });
    if (any) {
      rewriter.Finish();
    }
  }

 private:
  const Replacement replacement_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void Apply(AlignedText& text) const override {
    if (!text.text().empty()) {
      text.Prepend(prefix_);
    }
  }

 private:
  const std::string prefix_;
};

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(PrecompiledMap map) : map_(std::move(map)) {}
  void Apply(AlignedText& text) const override { map_.Apply(text); }

 private:
  const PrecompiledMap map_;
};

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const Normalizer>> steps)
      : steps_(std::move(steps)) {}
  void Apply(AlignedText& text) const override {
    for (const auto& step : steps_) {
      step->Apply(text);
    }
  }

 private:
  const std::vector<std::unique_ptr<const Normalizer>> steps_;
};

std::unique_ptr<const Normalizer> ReadStep(const JsonPart& json, bool may_nest, double& growth);

std::unique_ptr<const Normalizer> ReadBert(const JsonPart& json) {
  json.KnowsOnly({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  const bool lower_case = json.Bool("lowercase");
  return NewBertNormalizer({.clean_text = json.Bool("clean_text"),
                            .handle_chinese_characters = json.Bool("handle_chinese_chars"),
                            .strip_accents = json.Bool("strip_accents", lower_case),
                            .lower_case = lower_case});
}

std::unique_ptr<const Normalizer> ReadPrecompiled(const JsonPart& json, double& growth) {
  json.KnowsOnly({"type", "precompiled_charsmap"});
  const std::string base64 = json.String("precompiled_charsmap");
  if (!json.ok()) {
    return nullptr;
  }
  const JsonPart value = json.At("precompiled_charsmap");
  std::string bytes;
  if (!absl::Base64Unescape(base64, &bytes)) {
    value.Fail("must be written in Base64");
    return nullptr;
  }
  absl::StatusOr<PrecompiledMap> map = PrecompiledMap::Parse(bytes);
  if (!map.ok()) {
    value.Fail(map.status().message());
    return nullptr;
  }
  MultiplyGrowth(value, map->growth(), growth);
  return std::make_unique<const Precompiled>(*std::move(map));
}

std::unique_ptr<const Normalizer> ReadSequence(const JsonPart& json, bool may_nest,
                                               double& growth) {
  json.KnowsOnly({"type", "normalizers"});
  std::vector<std::unique_ptr<const Normalizer>> steps;
  if (!may_nest) {
    json.Fail("a sequence within a sequence is not read");
    return nullptr;
  }
  for (const JsonPart& step : json.At("normalizers").Items()) {
    steps.push_back(ReadStep(step, false, growth));
    if (steps.back() == nullptr) {
      return nullptr;
    }
  }
  return std::make_unique<const Sequence>(std::move(steps));
}

std::unique_ptr<const Normalizer> ReadStep(const JsonPart& json, bool may_nest, double& growth) {
  const size_t type = json.OneOf(
      "type", {"BertNormalizer", "Bert", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents",
               "Strip", "Replace", "Prepend", "Precompiled", "Sequence"});
  if (!json.ok()) {
    return nullptr;
  }
  switch (type) {
    case 0:
    case 1:
      return ReadBert(json);
    case 2:
      return std::make_unique<const FormNormalizer>(UnicodeForm{.composed = true, .loose = false});
    case 3:
      return std::make_unique<const FormNormalizer>(UnicodeForm{.composed = false, .loose = false});
    case 4:
      return std::make_unique<const FormNormalizer>(UnicodeForm{.composed = true, .loose = true});
    case 5:
      return std::make_unique<const FormNormalizer>(UnicodeForm{.composed = false, .loose = true});
    case 6:
      return std::make_unique<const Lowercase>();
    case 7:
      return std::make_unique<const StripAccents>();
    case 8:
      json.KnowsOnly({"type", "strip_left", "strip_right"});
      return std::make_unique<const Strip>(json.Bool("strip_left"), json.Bool("strip_right"));
    case 9:
      return std::make_unique<const Replace>(ReadReplacement(json, growth));
    case 10:
      json.KnowsOnly({"type", "prepend"});
      return std::make_unique<const Prepend>(json.String("prepend"));
    case 11:
      return ReadPrecompiled(json, growth);
    default:
      return ReadSequence(json, may_nest, growth);
  }
}

}  // namespace

std::unique_ptr<const Normalizer> ReadNormalizer(const JsonPart& json) {
  double growth = 1;
  return json.value().is_null() ? nullptr : ReadStep(json, true, growth);
}

}  // namespace hone::engine::text
