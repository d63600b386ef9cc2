#include "engine/text/pretrained/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/pattern.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

absl::string_view Of(absl::string_view text, TextRange piece) {
  return text.substr(piece.begin, piece.end - piece.begin);
}

void Add(size_t begin, size_t end, std::vector<TextRange>& out) {
  if (begin < end) {
    out.push_back({begin, end});
  }
}

// What becomes of that by which a text is divided.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Match {
  TextRange range;
  bool matches = false;
};

// Appends what a behaviour makes of the parts of a piece, which `matches` are in their order.
void Join(Behavior behavior, const std::vector<Match>& matches, std::vector<TextRange>& out) {
  const size_t first = out.size();
  bool before = false;  // the part before it matched; the part behind it for kMergedWithNext
  const auto each = [&](const Match& match) {
    const bool has_neighbour = out.size() > first;
    switch (behavior) {
      case Behavior::kRemoved:
        if (!match.matches) {
          out.push_back(match.range);
        }
        break;
      case Behavior::kIsolated:
        out.push_back(match.range);
        break;
      case Behavior::kContiguous:
        if (match.matches == before && has_neighbour) {
          out.back().end = match.range.end;
        } else {
          out.push_back(match.range);
        }
        break;
      case Behavior::kMergedWithPrevious:
        if (match.matches && !before && has_neighbour) {
          out.back().end = match.range.end;
        } else {
          out.push_back(match.range);
        }
        break;
      case Behavior::kMergedWithNext:
        if (match.matches && !before && has_neighbour) {
          out.back().begin = match.range.begin;
        } else {
          out.push_back(match.range);
        }
        break;
    }
    before = match.matches;
  };
  if (behavior == Behavior::kMergedWithNext) {
    std::for_each(matches.rbegin(), matches.rend(), each);
    std::reverse(out.begin() + static_cast<ptrdiff_t>(first), out.end());
  } else {
    std::ranges::for_each(matches, each);
  }
}

class Split final : public PreTokenizer {
 public:
  Split(std::unique_ptr<const Pattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    std::vector<TextRange> out;
    std::vector<Match> matches;
    for (const TextRange& piece : pieces) {
      matches.clear();
      pattern_->Divide(Of(text.text(), piece), [&](size_t begin, size_t end, bool found) {
        matches.push_back({{piece.begin + begin, piece.begin + end}, found != invert_});
      });
      Join(behavior_, matches, out);
    }
    pieces = std::move(out);
  }

 private:
  const std::unique_ptr<const Pattern> pattern_;
  const Behavior behavior_;
  const bool invert_;
};

// By characters of one trait, each a match.
class SplitAtTrait final : public PreTokenizer {
 public:
  SplitAtTrait(CharacterTrait trait, Behavior behavior) : trait_(trait), behavior_(behavior) {}

  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    std::vector<TextRange> out;
    std::vector<Match> matches;
    for (const TextRange& piece : pieces) {
      matches.clear();
      size_t done = piece.begin;
      for (size_t at = piece.begin; at < piece.end;) {
        const NextCharacter next = FirstOf(text.text().substr(at));
        if ((traits_[next.character] & trait_) != 0) {
          if (done < at) {
            matches.push_back({{done, at}, false});
          }
          done = at + next.size;
          matches.push_back({{at, done}, true});
        }
        at += next.size;
      }
      if (done < piece.end) {
        matches.push_back({{done, piece.end}, false});
      }
      Join(behavior_, matches, out);
    }
    pieces = std::move(out);
  }

 private:
  const uint16_t* const traits_ = CharacterTraits();
  const CharacterTrait trait_;
  const Behavior behavior_;
};

// White space is dropped, and what `alone` says stands alone. BERT: signs. Runs of characters that
// belong to no word are pieces where `runs` is set: the pattern \w+|[^\w\s]+.
class SplitWords final : public PreTokenizer {
 public:
  enum class Kind { kSpaces, kBert, kWordsAndRuns };
  explicit SplitWords(Kind kind) : kind_(kind) {}

  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    std::vector<TextRange> out;
    for (const TextRange& piece : pieces) {
      size_t begin = piece.begin;
      bool in_word = false;  // kWordsAndRuns: the piece from `begin` on is of \w
      for (size_t at = piece.begin; at < piece.end;) {
        const NextCharacter next = FirstOf(text.text().substr(at));
        const uint16_t traits = traits_[next.character];
        if ((traits & kWhiteSpace) != 0) {
          Add(begin, at, out);
          begin = at + next.size;
        } else if (kind_ == Kind::kBert && (traits & kPunctuation) != 0) {
          Add(begin, at, out);
          begin = at + next.size;
          Add(at, begin, out);
        } else if (kind_ == Kind::kWordsAndRuns) {
          const bool word = (traits & kWordCharacter) != 0;
          if (word != in_word) {
            Add(begin, at, out);
            begin = at;
          }
          in_word = word;
        }
        at += next.size;
      }
      Add(begin, piece.end, out);
    }
    pieces = std::move(out);
  }

 private:
  const uint16_t* const traits_ = CharacterTraits();
  const Kind kind_;
};

class Gpt2Split final : public PreTokenizer {
 public:
  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    std::vector<TextRange> out;
    out.reserve(text.text().size() / 4 + 4);
    for (const TextRange& piece : pieces) {
      DivideAsGpt2(text.text(), piece, out);
    }
    pieces = std::move(out);
  }
};

// A space before each piece that has none.
class PrefixSpace final : public PreTokenizer {
 public:
  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    if (std::ranges::all_of(
            pieces, [&](const TextRange& piece) { return text.text()[piece.begin] == ' '; })) {
      return;
    }
    AlignedText::Rewriter rewriter(text);
    for (TextRange& piece : pieces) {
      const size_t begin = rewriter.size();
      if (text.text()[piece.begin] != ' ') {
        rewriter.Put(" ", piece.begin);
      }
      rewriter.Copy(piece.begin, piece.end);
      piece = {begin, rewriter.size()};
    }
    rewriter.Finish();
  }
};

class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kNever, kFirst };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}

  void Divide(AlignedText& text, std::vector<TextRange>& pieces) const override {
    AlignedText::Rewriter rewriter(text);
    std::vector<TextRange> out;
    for (const TextRange& piece : pieces) {
      const absl::string_view old = text.text();
      size_t begin = rewriter.size();
      const bool has = old[piece.begin] == ' ' || absl::StartsWith(Of(old, piece), replacement_);
      if (!has && (prepend_ == Prepend::kAlways ||
                   (prepend_ == Prepend::kFirst && text.BeginOf(piece.begin) == 0))) {
        rewriter.Put(replacement_, piece.begin);
      }
      // A piece begins with the last of several spaces; each of those before is one by itself.
      const auto cut = [&] {
        if (split_) {
          Add(begin, rewriter.size(), out);
          begin = rewriter.size();
        }
      };
      for (size_t at = piece.begin; at < piece.end;) {
        if (old[at] == ' ') {
          cut();
          rewriter.Put(replacement_, at);
          ++at;
        } else if (absl::StartsWith(old.substr(at, piece.end - at), replacement_)) {
          cut();
          rewriter.Copy(at, at + replacement_.size());
          at += replacement_.size();
        } else {
          const size_t size = FirstOf(old.substr(at)).size;
          rewriter.Copy(at, at + size);
          at += size;
        }
      }
      Add(begin, rewriter.size(), out);
    }
    rewriter.Finish();
    pieces = std::move(out);
  }

 private:
  const std::string replacement_;
  const Prepend prepend_;
  const bool split_;
};

Behavior ReadBehavior(const JsonPart& json) {
  return static_cast<Behavior>(json.OneOf(
      "behavior", {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"}));
}

void ReadByteLevel(const JsonPart& json, PreTokenizers& out) {
  json.KnowsOnly({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  if (json.Bool("add_prefix_space")) {
    out.steps.push_back(std::make_unique<const PrefixSpace>());
  }
  if (json.Bool("use_regex", true)) {
    out.steps.push_back(std::make_unique<const Gpt2Split>());
  }
  out.bytes = true;
}

void ReadMetaspace(const JsonPart& json, PreTokenizers& out) {
  json.KnowsOnly({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  const std::string replacement = json.String("replacement");
  if (CountCharacters(replacement) != 1) {
    json.At("replacement").Fail("must be one character");
    return;
  }
  auto prepend = Metaspace::Prepend::kAlways;
  if (json.Has("prepend_scheme")) {
    prepend =
        static_cast<Metaspace::Prepend>(json.OneOf("prepend_scheme", {"always", "never", "first"}));
  }
  if (!json.Bool("add_prefix_space", true)) {
    if (json.Has("prepend_scheme") && prepend != Metaspace::Prepend::kNever) {
      json.At("add_prefix_space").Fail("false and a prepend_scheme that is not \"never\" differ");
    }
    prepend = Metaspace::Prepend::kNever;
  }
  out.needs_origins = out.needs_origins || prepend == Metaspace::Prepend::kFirst;
  out.steps.push_back(
      std::make_unique<const Metaspace>(replacement, prepend, json.Bool("split", true)));
}

void ReadSplit(const JsonPart& json, PreTokenizers& out) {
  json.KnowsOnly({"type", "pattern", "behavior", "invert"});
  const Behavior behavior = ReadBehavior(json);
  const bool invert = json.Bool("invert");
  const JsonPart pattern = json.At("pattern");
  if (pattern.Has("Regex") && pattern.String("Regex") == kGpt2Pattern && !invert &&
      behavior == Behavior::kIsolated) {
    out.steps.push_back(std::make_unique<const Gpt2Split>());
    return;
  }
  out.steps.push_back(std::make_unique<const Split>(ReadPattern(pattern), behavior, invert));
}

void ReadStep(const JsonPart& json, bool may_nest, PreTokenizers& out) {
  if (out.bytes) {
    json.Fail("a pre-tokenizer behind ByteLevel is not read");
    return;
  }
  const auto add = [&](auto step) { out.steps.push_back(std::move(step)); };
  switch (json.OneOf("type", {"BertPreTokenizer", "ByteLevel", "Metaspace", "Whitespace",
                              "WhitespaceSplit", "Digits", "Split", "Punctuation", "Sequence"})) {
    case 0:
      json.KnowsOnly({"type"});
      return add(std::make_unique<const SplitWords>(SplitWords::Kind::kBert));
    case 1:
      return ReadByteLevel(json, out);
    case 2:
      return ReadMetaspace(json, out);
    case 3:
      json.KnowsOnly({"type"});
      return add(std::make_unique<const SplitWords>(SplitWords::Kind::kWordsAndRuns));
    case 4:
      json.KnowsOnly({"type"});
      return add(std::make_unique<const SplitWords>(SplitWords::Kind::kSpaces));
    case 5:
      json.KnowsOnly({"type", "individual_digits"});
      return add(std::make_unique<const SplitAtTrait>(
          kNumber, json.Bool("individual_digits") ? Behavior::kIsolated : Behavior::kContiguous));
    case 6:
      return ReadSplit(json, out);
    case 7:
      json.KnowsOnly({"type", "behavior"});
      return add(std::make_unique<const SplitAtTrait>(
          kPunctuation, json.Has("behavior") ? ReadBehavior(json) : Behavior::kIsolated));
    default:
      break;
  }
  json.KnowsOnly({"type", "pretokenizers"});
  if (!may_nest) {
    json.Fail("a sequence within a sequence is not read");
    return;
  }
  for (const JsonPart& step : json.At("pretokenizers").Items()) {
    ReadStep(step, false, out);
    if (!step.ok()) {
      return;
    }
  }
}

}  // namespace

PreTokenizers ReadPreTokenizers(const JsonPart& json) {
  PreTokenizers out;
  if (!json.value().is_null()) {
    ReadStep(json, true, out);
  }
  return out;
}

void DivideAsGpt2(absl::string_view text, TextRange piece, std::vector<TextRange>& out) {
  static const uint16_t* const traits = CharacterTraits();
  const absl::string_view all = text.substr(0, piece.end);
  // What a character is to the pattern: the trait by which its run goes on, 0 for signs.
  const auto kind_at = [&](size_t at, uint32_t& size) {
    const NextCharacter next = FirstOf(all.substr(at));
    size = next.size;
    return traits[next.character] & (kLetter | kNumber | kWhiteSpace);
  };
  const auto contraction_at = [&](size_t at) -> size_t {
    const absl::string_view rest = all.substr(at + 1, 2);
    if (!rest.empty() && absl::StrContains("stmd", rest[0])) {
      return 2;
    }
    return rest == "re" || rest == "ve" || rest == "ll" ? 3 : 0;
  };
  for (size_t at = piece.begin; at < piece.end;) {
    if (all[at] == '\'') {
      if (const size_t size = contraction_at(at); size > 0) {
        out.push_back({at, at + size});
        at += size;
        continue;
      }
    }
    const bool space = all[at] == ' ' && at + 1 < piece.end;
    uint32_t size = 0;
    size_t end = at + (space ? 1 : 0);
    const int kind = kind_at(end, size);
    if (kind != kWhiteSpace) {
      do {
        end += size;
      } while (end < piece.end && kind_at(end, size) == kind);
      out.push_back({at, end});
      at = end;
      continue;
    }
    // A run of spaces; its last one belongs to what follows.
    size_t last = at;
    end = at;
    while (end < piece.end && kind_at(end, size) == kWhiteSpace) {
      last = end;
      end += size;
    }
    end = end < piece.end && last > at ? last : end;
    out.push_back({at, end});
    at = end;
  }
}

}  // namespace hone::engine::text
