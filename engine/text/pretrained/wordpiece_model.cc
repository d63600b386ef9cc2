#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/piece_tree.h"
#include "engine/text/pretrained/token_model.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

class WordPieceModel final : public TokenModel {
 public:
  WordPieceModel(const std::vector<std::string>& written, absl::string_view prefix, int32_t unknown,
                 int64_t most_characters)
      : unknown_(unknown), most_characters_(most_characters) {
    for (size_t id = 0; id < written.size(); ++id) {
      if (!written[id].empty()) {
        tree_.Add(written[id], static_cast<int32_t>(id));
      }
    }
    for (const char byte : prefix) {
      inside_ = inside_ == PieceTree::kNone ? inside_ : tree_.Child(inside_, byte);
    }
  }

  void Tokenize(absl::string_view word, std::vector<TokenOfWord>& tokens) const override {
    const size_t first = tokens.size();
    const auto size = static_cast<uint32_t>(word.size());
    const bool short_enough = static_cast<int64_t>(word.size()) <= most_characters_ ||
                              CountCharacters(word) <= most_characters_;
    for (uint32_t begin = 0; short_enough && begin < size;) {
      int32_t node = begin == 0 ? PieceTree::kRoot : inside_;
      int32_t id = PieceTree::kNone;
      uint32_t end = begin;
      for (uint32_t at = begin; at < size && node != PieceTree::kNone;) {
        node = tree_.Child(node, word[at++]);
        if (node != PieceTree::kNone && tree_.IdAt(node) != PieceTree::kNone) {
          id = tree_.IdAt(node);
          end = at;
        }
      }
      if (id == PieceTree::kNone) {
        break;
      }
      tokens.push_back({id, begin, end});
      begin = end;
    }
    if (tokens.size() == first || tokens.back().end != size) {
      tokens.resize(first);
      tokens.push_back({unknown_, 0, size});
    }
  }

 private:
  PieceTree tree_;
  int32_t inside_ = PieceTree::kRoot;  // where pieces begin that go on with a word
  const int32_t unknown_;
  const int64_t most_characters_;
};

}  // namespace

ReadModel ReadWordPiece(const JsonPart& json) {
  json.KnowsOnly(
      {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  ReadModel out;
  ReadVocabulary(json.At("vocab"), out.written);
  out.continuing_prefix = json.String("continuing_subword_prefix", "##");
  constexpr int64_t kUsual = 100, kMost = 1 << 20;
  const int64_t most_characters =
      json.Has("max_input_chars_per_word") ? json.Count("max_input_chars_per_word", kMost) : kUsual;
  const std::string unknown = json.String("unk_token", "[UNK]");
  const auto found = std::ranges::find(out.written, unknown);
  if (unknown.empty() || found == out.written.end()) {
    json.At("unk_token").Fail(absl::StrCat("`", unknown, "` is not in the vocabulary"));
  }
  if (json.ok()) {
    out.unknown = static_cast<int32_t>(found - out.written.begin());
    out.model = std::make_unique<const WordPieceModel>(out.written, out.continuing_prefix,
                                                       out.unknown, most_characters);
  }
  return out;
}

}  // namespace hone::engine::text
