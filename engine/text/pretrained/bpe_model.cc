#include <algorithm>
#include <limits>
#include <optional>
#include <queue>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/text/pretrained/byte_alphabet.h"
#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/token_model.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

struct Merge {
  uint32_t rank = 0;
  int32_t id = 0;  // of the joined token
};

struct BpeOptions {
  std::string prefix = "", suffix = "";  // of what goes on with a word, and of what ends one
  int32_t unknown = -1;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
  bool bytes = false;  // words come as bytes
};

class BpeModel final : public TokenModel {
 public:
  using Merges = absl::flat_hash_map<uint64_t, Merge>;
  static uint64_t Key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  BpeModel(BpeOptions options, const std::vector<std::string>& written, Merges merges)
      : options_(std::move(options)), merges_(std::move(merges)) {
    for (size_t id = 0; id < written.size(); ++id) {
      if (!written[id].empty()) {
        ids_.emplace(written[id], static_cast<int32_t>(id));
      }
    }
    FindUnits();
    RememberWholeWords(written);
  }

  void Tokenize(absl::string_view word, std::vector<TokenOfWord>& tokens) const override {
    if (word.size() <= longest_whole_) {
      if (const auto whole = whole_.find(word); whole != whole_.end()) {
        tokens.push_back({whole->second, 0, static_cast<uint32_t>(word.size())});
        return;
      }
    }
    Divide(word, tokens);
  }

 private:
  struct Symbol {
    int32_t id = 0;
    uint32_t size = 0;  // bytes of the word; 0: it has been joined with the one before it
    int32_t previous = -1, next = -1;
  };

  // The tokens that single bytes and ASCII's characters are, so that most need no search.
  void FindUnits() {
    for (int at = 0; at < 4; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string unit;
        if (options_.bytes) {
          AppendCharacter(CharacterOfByte(static_cast<uint8_t>(byte)), unit);
        } else {
          unit.push_back(static_cast<char>(byte));
        }
        units_[at][byte] = options_.bytes || byte < 0x80 ? IdOfUnit(unit, at & 1, at & 2) : -1;
      }
    }
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(BytePiece(static_cast<uint8_t>(byte)));
      fallbacks_[byte] = found == ids_.end() ? -1 : found->second;
    }
  }

  int32_t IdOfUnit(absl::string_view unit, bool first, bool last) const {
    const auto found = (first || options_.prefix.empty()) && (!last || options_.suffix.empty())
                           ? ids_.find(unit)
                           : ids_.find(absl::StrCat(first ? "" : options_.prefix, unit,
                                                    last ? options_.suffix : ""));
    return found == ids_.end() ? -1 : found->second;
  }

  // Words that are one token: nearly all of a text's. A word that the vocabulary has need not be
  // one, so each is tried.
  void RememberWholeWords(const std::vector<std::string>& written) {
    constexpr size_t kLongest = 64;
    std::vector<TokenOfWord> tokens;
    for (size_t id = 0; id < written.size(); ++id) {
      std::string word = written[id];
      if (!options_.suffix.empty()) {
        if (!absl::EndsWith(word, options_.suffix)) {
          continue;
        }
        word.resize(word.size() - options_.suffix.size());
      }
      if (options_.bytes && !BytesOf(std::string(word), word)) {
        continue;
      }
      if (word.empty() || word.size() > kLongest) {
        continue;
      }
      const bool as_it_is = options_.ignore_merges && options_.suffix.empty();
      tokens.clear();
      if (!as_it_is) {
        Divide(word, tokens);
      }
      if (as_it_is || (tokens.size() == 1 && tokens[0].id == static_cast<int32_t>(id) &&
                       tokens[0].end == word.size())) {
        longest_whole_ = std::max(longest_whole_, word.size());
        whole_.emplace(std::move(word), static_cast<int32_t>(id));
      }
    }
  }

  void Divide(absl::string_view word, std::vector<TokenOfWord>& tokens) const {
    if (options_.ignore_merges && (word.size() > longest_whole_ || !options_.suffix.empty())) {
      std::string written;
      if (options_.bytes) {
        for (const char byte : word) {
          AppendCharacter(CharacterOfByte(static_cast<uint8_t>(byte)), written);
        }
      } else {
        absl::StrAppend(&written, word);
      }
      if (const auto found = ids_.find(written); found != ids_.end()) {
        tokens.push_back({found->second, 0, static_cast<uint32_t>(word.size())});
        return;
      }
    }
    constexpr size_t kShort = 64;
    if (word.size() <= kShort) {
      Symbol symbols[kShort];
      size_t count = ToSymbols(word, symbols);
      JoinShort(symbols, count);
      Tell(symbols, count, tokens);
    } else {
      std::vector<Symbol> symbols(word.size());
      const size_t count = ToSymbols(word, symbols.data());
      JoinLong(symbols.data(), count);
      Tell(symbols.data(), count, tokens);
    }
  }

  // The characters, or bytes, of a word by their ids, at most as many as it has bytes. Unknown ones
  // are left out where there is no unknown token, as the crate does.
  size_t ToSymbols(absl::string_view word, Symbol* symbols) const {
    size_t count = 0;
    const auto add = [&](int32_t id, uint32_t size) {
      symbols[count++] = {.id = id, .size = size};
    };
    uint32_t unknown = 0;  // bytes of the unknown token that has not been added yet
    const auto add_unknown = [&] {
      if (unknown > 0) {
        add(options_.unknown, unknown);
        unknown = 0;
      }
    };
    for (size_t at = 0; at < word.size();) {
      const auto byte = static_cast<uint8_t>(word[at]);
      const uint32_t size = options_.bytes ? 1 : FirstOf(word.substr(at)).size;
      const bool first = at == 0, last = at + size == word.size();
      const int32_t id = options_.bytes || byte < 0x80
                             ? units_[(first ? 1 : 0) | (last ? 2 : 0)][byte]
                             : IdOfUnit(word.substr(at, size), first, last);
      if (id >= 0) {
        add_unknown();
        add(id, size);
      } else if (options_.byte_fallback && HasBytes(word.substr(at, size))) {
        for (uint32_t i = 0; i < size; ++i) {
          add(fallbacks_[static_cast<uint8_t>(word[at + i])], 1);
        }
      } else if (options_.unknown >= 0) {
        if (!options_.fuse_unknown) {
          add_unknown();
        }
        unknown += size;
      }
      at += size;
    }
    add_unknown();
    return count;
  }

  bool HasBytes(absl::string_view part) const {
    return std::ranges::all_of(
        part, [&](char byte) { return fallbacks_[static_cast<uint8_t>(byte)] >= 0; });
  }

  const Merge* MergeOf(const Symbol& left, const Symbol& right) const {
    const auto found = merges_.find(Key(left.id, right.id));
    return found == merges_.end() ? nullptr : &found->second;
  }

  // Looks at all pairs for each step: for words, which are short, faster than a queue.
  void JoinShort(Symbol* symbols, size_t& count) const {
    constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
    Merge merges[64];  // by the left one of a pair
    const auto find = [&](size_t left) {
      const Merge* merge = left + 1 < count ? MergeOf(symbols[left], symbols[left + 1]) : nullptr;
      merges[left] = merge == nullptr ? Merge{.rank = kNone} : *merge;
    };
    for (size_t i = 0; i < count; ++i) {
      find(i);
    }
    for (;;) {
      size_t best = 0;
      for (size_t i = 1; i < count; ++i) {
        best = merges[i].rank < merges[best].rank ? i : best;
      }
      if (count == 0 || merges[best].rank == kNone) {
        return;
      }
      symbols[best].id = merges[best].id;
      symbols[best].size += symbols[best + 1].size;
      std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
      std::copy(merges + best + 2, merges + count, merges + best + 1);
      --count;
      find(best);
      if (best > 0) {
        find(best - 1);
      }
    }
  }

  void JoinLong(Symbol* symbols, size_t count) const {
    struct Pair {
      uint32_t rank = 0;
      int32_t left = 0;
      int32_t id = 0;
      bool operator<(const Pair& other) const {
        return rank > other.rank || (rank == other.rank && left > other.left);
      }
    };
    std::priority_queue<Pair> pairs;
    const auto offer = [&](int32_t left) {
      if (left < 0 || symbols[left].next < 0) {
        return;
      }
      if (const Merge* merge = MergeOf(symbols[left], symbols[symbols[left].next])) {
        pairs.push({.rank = merge->rank, .left = left, .id = merge->id});
      }
    };
    const auto last = static_cast<int32_t>(count) - 1;
    for (int32_t i = 0; i <= last; ++i) {
      symbols[i].previous = i - 1;
      symbols[i].next = i == last ? -1 : i + 1;
    }
    for (int32_t i = 0; i < last; ++i) {
      offer(i);
    }
    while (!pairs.empty()) {
      const Pair pair = pairs.top();
      pairs.pop();
      Symbol& left = symbols[pair.left];
      if (left.size == 0 || left.next < 0) {
        continue;
      }
      Symbol& right = symbols[left.next];
      // One of both has been joined with another since.
      const Merge* merge = MergeOf(left, right);
      if (merge == nullptr || merge->id != pair.id) {
        continue;
      }
      left.id = pair.id;
      left.size += right.size;
      left.next = right.next;
      right.size = 0;
      if (left.next >= 0) {
        symbols[left.next].previous = pair.left;
      }
      offer(left.previous);
      offer(pair.left);
    }
  }

  static void Tell(const Symbol* symbols, size_t count, std::vector<TokenOfWord>& tokens) {
    uint32_t at = 0;
    for (size_t i = 0; i < count; ++i) {
      if (symbols[i].size > 0) {
        tokens.push_back({symbols[i].id, at, at + symbols[i].size});
        at += symbols[i].size;
      }
    }
  }

  const BpeOptions options_;
  const Merges merges_;
  absl::flat_hash_map<std::string, int32_t> ids_;    // as they are written
  absl::flat_hash_map<std::string, int32_t> whole_;  // words, as bytes where options_.bytes
  size_t longest_whole_ = 0;
  int32_t units_[4][256];  // bit 0: the first of a word, bit 1: the last
  int32_t fallbacks_[256];
};

// Both forms of the list: ["a b", …] and [["a", "b"], …].
void ReadMerges(const JsonPart& json, absl::string_view prefix,
                const std::vector<std::string>& written, BpeModel::Merges& merges) {
  if (!json.value().is_array()) {
    json.Fail("must be a list of merges");
    return;
  }
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  for (size_t id = 0; id < written.size(); ++id) {
    if (!written[id].empty()) {
      ids.emplace(written[id], static_cast<int32_t>(id));
    }
  }
  merges.reserve(json.value().size());
  std::string joined;
  for (size_t i = 0; i < json.value().size(); ++i) {
    const nlohmann::json& merge = json.value()[i];
    absl::string_view parts[2];
    bool two = false;
    if (merge.is_string()) {
      const absl::string_view both = merge.get_ref<const std::string&>();
      const size_t space = both.find(' ');
      two = space != absl::string_view::npos && both.find(' ', space + 1) == both.npos;
      parts[0] = both.substr(0, space);
      parts[1] = two ? both.substr(space + 1) : "";
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      two = true;
      parts[0] = merge[0].get_ref<const std::string&>();
      parts[1] = merge[1].get_ref<const std::string&>();
    }
    if (!two || parts[1].size() < prefix.size()) {
      json.Fail(absl::StrCat("[", i, "] must be two tokens, got ", merge.dump()));
      return;
    }
    joined.assign(parts[0].data(), parts[0].size());
    absl::StrAppend(&joined, parts[1].substr(prefix.size()));
    int32_t found[3] = {};
    for (size_t k = 0; k < 3; ++k) {
      const absl::string_view token = k < 2 ? parts[k] : absl::string_view(joined);
      const auto at = ids.find(token);
      if (at == ids.end()) {
        json.Fail(absl::StrCat("[", i, "] has `", token, "`, which is not in the vocabulary"));
        return;
      }
      found[k] = at->second;
    }
    // Of a merge that comes twice the later one counts.
    merges[BpeModel::Key(found[0], found[1])] = {static_cast<uint32_t>(i), found[2]};
  }
}

}  // namespace

ReadModel ReadBpe(const JsonPart& json, bool bytes) {
  json.KnowsOnly({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                  "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  ReadModel out;
  BpeOptions options = {.prefix = json.String("continuing_subword_prefix", ""),
                        .suffix = json.String("end_of_word_suffix", ""),
                        .fuse_unknown = json.Bool("fuse_unk", false),
                        .byte_fallback = json.Bool("byte_fallback", false),
                        .ignore_merges = json.Bool("ignore_merges", false),
                        .bytes = bytes};
  if (json.Has("dropout") && json.At("dropout").value() != 0) {
    json.At("dropout").Fail("merges that are left out at random are not known here");
  }
  if (options.byte_fallback && !(options.prefix.empty() && options.suffix.empty())) {
    json.At("byte_fallback").Fail("is not read together with a prefix or suffix of tokens");
  }
  ReadVocabulary(json.At("vocab"), out.written);
  BpeModel::Merges merges;
  if (json.ok()) {
    ReadMerges(json.At("merges"), options.prefix, out.written, merges);
  }
  const std::string unknown = json.String("unk_token", "");
  if (!unknown.empty()) {
    const auto found = std::ranges::find(out.written, unknown);
    if (found == out.written.end()) {
      json.At("unk_token").Fail(absl::StrCat("`", unknown, "` is not in the vocabulary"));
    } else {
      options.unknown = static_cast<int32_t>(found - out.written.begin());
    }
  }
  out.unknown = options.unknown;
  out.continuing_prefix = options.prefix;
  if (json.ok()) {
    // The bytes of a byte-level text are units themselves.
    options.byte_fallback = options.byte_fallback && !bytes;
    out.model =
        std::make_unique<const BpeModel>(std::move(options), out.written, std::move(merges));
  }
  return out;
}

}  // namespace hone::engine::text
