#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/piece_tree.h"
#include "engine/text/pretrained/byte_alphabet.h"
#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/token_model.h"

namespace hone::engine::text {
namespace {

// As NewUnigramSearch (piece_search.h), but for what differs in the crate: scores are doubles, all
// pieces of the vocabulary may stand in texts, and unknown characters that follow one another are
// one token.
class UnigramModel final : public TokenModel {
 public:
  UnigramModel(const std::vector<std::string>& written, std::vector<double> scores, int32_t unknown,
               bool byte_fallback)
      : scores_(std::move(scores)), unknown_(unknown), byte_fallback_(byte_fallback) {
    constexpr double kPenalty = 10;
    unknown_score_ = *std::ranges::min_element(scores_) - kPenalty;
    for (size_t id = 0; id < written.size(); ++id) {
      if (!written[id].empty()) {
        tree_.Add(written[id], static_cast<int32_t>(id));
      }
    }
    for (int byte = 0; byte < 256 && byte_fallback_; ++byte) {
      byte_ids_[byte] = Find(BytePiece(static_cast<uint8_t>(byte)));
    }
  }

  void Tokenize(absl::string_view word, std::vector<TokenOfWord>& tokens) const override {
    struct Best {
      double score = 0;
      uint32_t begin = kNowhere;  // of the last piece of the best way that ends here
      int32_t id = 0;
    };
    std::vector<Best> best(word.size() + 1);
    for (size_t begin = 0; begin < word.size();) {
      const double so_far = best[begin].score;
      const auto offer = [&](size_t end, double score, int32_t id) {
        if (best[end].begin == kNowhere || score > best[end].score) {
          best[end] = {score, static_cast<uint32_t>(begin), id};
        }
      };
      const size_t character = FirstOf(word.substr(begin)).size;
      bool alone = false;  // the character is a piece
      int32_t node = PieceTree::kRoot;
      for (size_t end = begin; end < word.size();) {
        node = tree_.Child(node, word[end++]);
        if (node == PieceTree::kNone) {
          break;
        }
        if (const int32_t id = tree_.IdAt(node); id != PieceTree::kNone) {
          offer(end, scores_[static_cast<size_t>(id)] + so_far, id);
          alone = alone || end - begin == character;
        }
      }
      if (!alone) {
        offer(begin + character, unknown_score_ + so_far, unknown_);
      }
      begin += character;
    }
    const size_t first = tokens.size();
    for (auto end = static_cast<uint32_t>(word.size()); end > 0;) {
      const Best& at = best[end];
      const bool goes_on =
          at.id == unknown_ && tokens.size() > first && tokens.back().id == unknown_;
      if (goes_on) {
        tokens.back().begin = at.begin;
      } else {
        tokens.push_back({at.id, at.begin, end});
      }
      end = at.begin;
    }
    std::reverse(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());
    const bool any_unknown =
        std::any_of(tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end(),
                    [&](const TokenOfWord& token) { return token.id == unknown_; });
    if (any_unknown) {
      WriteUnknown(word, first, tokens);
    }
  }

 private:
  static constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();

  int32_t Find(absl::string_view piece) const {
    int32_t node = PieceTree::kRoot;
    for (const char byte : piece) {
      node = node == PieceTree::kNone ? node : tree_.Child(node, byte);
    }
    return node == PieceTree::kNone ? PieceTree::kNone : tree_.IdAt(node);
  }

  // Unknown parts that are a piece as a whole, and those that become bytes.
  void WriteUnknown(absl::string_view word, size_t first, std::vector<TokenOfWord>& tokens) const {
    const std::vector<TokenOfWord> found(tokens.begin() + static_cast<ptrdiff_t>(first),
                                         tokens.end());
    tokens.resize(first);
    for (TokenOfWord token : found) {
      const absl::string_view part = word.substr(token.begin, token.end - token.begin);
      if (token.id != unknown_) {
        tokens.push_back(token);
      } else if (const int32_t id = Find(part); id != PieceTree::kNone) {
        tokens.push_back({id, token.begin, token.end});
      } else if (byte_fallback_ && std::ranges::all_of(part, [&](char byte) {
                   return byte_ids_[static_cast<uint8_t>(byte)] != PieceTree::kNone;
                 })) {
        for (const char byte : part) {
          tokens.push_back({byte_ids_[static_cast<uint8_t>(byte)], token.begin, token.end});
        }
      } else {
        tokens.push_back(token);
      }
    }
  }

  const std::vector<double> scores_;  // by id
  const int32_t unknown_;
  const bool byte_fallback_;
  double unknown_score_ = 0;
  PieceTree tree_;
  int32_t byte_ids_[256] = {};
};

}  // namespace

ReadModel ReadUnigram(const JsonPart& json) {
  json.KnowsOnly({"type", "unk_id", "vocab", "byte_fallback"});
  ReadModel out;
  std::vector<double> scores;
  const JsonPart vocabulary = json.At("vocab");
  if (!vocabulary.value().is_array() || vocabulary.value().empty() ||
      vocabulary.value().size() > static_cast<size_t>(kMostTokens)) {
    vocabulary.Fail(
        absl::StrCat("must be a list of 1 to ", kMostTokens, " pairs of piece and score"));
    return out;
  }
  for (size_t i = 0; i < vocabulary.value().size(); ++i) {
    const nlohmann::json& pair = vocabulary.value()[i];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_number() ||
        !std::isfinite(pair[1].get<double>())) {
      vocabulary.Fail(absl::StrCat("[", i, "] must be a piece and its score, got ", pair.dump()));
      return out;
    }
    out.written.push_back(pair[0].get<std::string>());
    scores.push_back(pair[1].get<double>());
  }
  out.unknown =
      static_cast<int32_t>(json.Count("unk_id", static_cast<int64_t>(out.written.size()) - 1));
  const bool byte_fallback = json.Bool("byte_fallback", false);
  if (json.ok()) {
    out.model = std::make_unique<const UnigramModel>(out.written, std::move(scores), out.unknown,
                                                     byte_fallback);
  }
  return out;
}

}  // namespace hone::engine::text
