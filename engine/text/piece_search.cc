#include "engine/text/piece_search.h"

#include <algorithm>
#include <cfloat>
#include <cstddef>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/text/piece_tree.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

using Piece = SentencePieceModel::Piece;
using Type = SentencePieceModel::Type;

// May stand for a part of a text.
bool IsOfTexts(Type type) {
  return type == Type::kNormal || type == Type::kUserDefined || type == Type::kUnused;
}

int32_t UnknownOf(const SentencePieceModel& model) {
  const auto unknown = std::ranges::find(model.pieces, Type::kUnknown, &Piece::type);
  return static_cast<int32_t>(unknown - model.pieces.begin());
}

// The bytes of the first character of a text that is not empty.
size_t CharacterSize(absl::string_view text) {
  absl::string_view rest = text;
  TakeCharacter(rest);
  return text.size() - rest.size();
}

class UnigramSearch final : public PieceSearch {
 public:
  explicit UnigramSearch(const SentencePieceModel& model) : unknown_(UnknownOf(model)) {
    float least = FLT_MAX, most = FLT_MIN;
    for (const Piece& piece : model.pieces) {
      if (piece.type == Type::kNormal) {
        least = std::min(least, piece.score);
        most = std::max(most, piece.score);
      }
    }
    constexpr float kPenalty = 10;
    unknown_score_ = least - kPenalty;
    scores_.reserve(model.pieces.size());
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const Piece& piece = model.pieces[id];
      const bool wanted = piece.type == Type::kUserDefined;
      scores_.push_back(wanted ? static_cast<double>(static_cast<float>(piece.text.size()) * most) -
                                     0.1
                               : static_cast<double>(piece.score));
      if (piece.type == Type::kNormal || wanted) {
        tree_.Add(piece.text, static_cast<int32_t>(id));
      }
    }
  }

  void Divide(absl::string_view text, Found found) const override {
    struct Best {
      size_t begin = std::string::npos;  // of the last piece; npos: there is no way to this place
      float score = 0;
      int32_t id = 0;
    };
    std::vector<Best> best(text.size() + 1);  // by where the way ends
    best[0].begin = 0;
    for (size_t begin = 0; begin < text.size();) {
      const float so_far = best[begin].score;
      const auto offer = [&](size_t end, double score, int32_t id) {
        Best& at = best[end];
        if (at.begin == std::string::npos || score > static_cast<double>(at.score)) {
          at = {.begin = begin, .score = static_cast<float>(score), .id = id};
        }
      };
      const size_t character = CharacterSize(text.substr(begin));
      bool alone = false;  // the character is a piece
      int32_t node = PieceTree::kRoot;
      for (size_t end = begin; end < text.size();) {
        node = tree_.Child(node, text[end++]);
        if (node == PieceTree::kNone) {
          break;
        }
        if (const int32_t id = tree_.IdAt(node); id != PieceTree::kNone) {
          offer(end, ScoreOf(id, so_far), id);
          alone = alone || end - begin == character;
        }
      }
      if (!alone) {
        offer(begin + character, static_cast<double>(unknown_score_ + so_far), unknown_);
      }
      begin += character;
    }
    std::vector<size_t> ends;
    for (size_t end = text.size(); end > 0; end = best[end].begin) {
      ends.push_back(end);
    }
    for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
      const Best& at = best[*end];
      found(text.substr(at.begin, *end - at.begin), at.id);
    }
  }

 private:
  double ScoreOf(int32_t id, float so_far) const {
    return scores_[static_cast<size_t>(id)] + static_cast<double>(so_far);
  }

  const int32_t unknown_;
  float unknown_score_ = 0;
  std::vector<double> scores_;  // by id
  PieceTree tree_;
};

class BpeSearch final : public PieceSearch {
 public:
  explicit BpeSearch(const SentencePieceModel& model) : unknown_(UnknownOf(model)) {
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      const Piece& piece = model.pieces[id];
      if (!IsOfTexts(piece.type)) {
        continue;
      }
      pieces_.try_emplace(piece.text, Entry{.id = static_cast<int32_t>(id),
                                            .score = piece.score,
                                            .unused = piece.type == Type::kUnused});
      if (piece.type == Type::kUserDefined) {
        wanted_.Add(piece.text, static_cast<int32_t>(id));
      }
    }
  }

  void Divide(absl::string_view text, Found found) const override {
    std::vector<Symbol> symbols = Split(text);
    std::priority_queue<Pair> pairs;
    // Pieces that are joined on the way to others, and of what.
    absl::flat_hash_map<absl::string_view, std::pair<absl::string_view, absl::string_view>> parts;
    const auto offer = [&](int32_t left, int32_t right) {
      if (left < 0 || right < 0) {
        return;
      }
      const Symbol& a = symbols[static_cast<size_t>(left)];
      const Symbol& b = symbols[static_cast<size_t>(right)];
      if (a.wanted || b.wanted) {
        return;
      }
      const absl::string_view joined(a.text.data(), a.text.size() + b.text.size());
      const auto piece = pieces_.find(joined);
      if (piece == pieces_.end()) {
        return;
      }
      pairs.push(
          {.score = piece->second.score, .left = left, .right = right, .size = joined.size()});
      if (piece->second.unused) {
        parts.try_emplace(joined, a.text, b.text);
      }
    };
    for (size_t i = 1; i < symbols.size(); ++i) {
      offer(static_cast<int32_t>(i) - 1, static_cast<int32_t>(i));
    }
    while (!pairs.empty()) {
      const Pair pair = pairs.top();
      pairs.pop();
      Symbol& left = symbols[static_cast<size_t>(pair.left)];
      Symbol& right = symbols[static_cast<size_t>(pair.right)];
      if (left.text.empty() || right.text.empty() ||
          left.text.size() + right.text.size() != pair.size) {
        continue;  // one of them has been joined with another one since
      }
      left.text = absl::string_view(left.text.data(), pair.size);
      right.text = {};
      left.next = right.next;
      if (left.next >= 0) {
        symbols[static_cast<size_t>(left.next)].previous = pair.left;
      }
      offer(left.previous, pair.left);
      offer(pair.left, left.next);
    }
    for (int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
      Tell(symbols[static_cast<size_t>(i)].text, parts, found);
    }
  }

 private:
  struct Entry {
    int32_t id = 0;
    float score = 0;
    bool unused = false;
  };
  struct Symbol {
    absl::string_view text;  // empty: it has been joined with the one before it
    int32_t previous = -1, next = -1;
    bool wanted = false;  // a piece that stays as it is
  };
  struct Pair {
    float score = 0;
    int32_t left = 0, right = 0;
    size_t size = 0;  // bytes of both, when they were neighbours

    bool operator<(const Pair& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };

  // The longest piece that stays as it is, at each place, else a character.
  std::vector<Symbol> Split(absl::string_view text) const {
    std::vector<Symbol> symbols;
    while (!text.empty()) {
      size_t longest = 0;
      int32_t node = PieceTree::kRoot;
      for (size_t end = 0; end < text.size();) {
        node = wanted_.Child(node, text[end++]);
        if (node == PieceTree::kNone) {
          break;
        }
        longest = wanted_.IdAt(node) != PieceTree::kNone ? end : longest;
      }
      const size_t size = longest > 0 ? longest : CharacterSize(text);
      const auto i = static_cast<int32_t>(symbols.size());
      symbols.push_back({.text = text.substr(0, size),
                         .previous = i - 1,
                         .next = size == text.size() ? -1 : i + 1,
                         .wanted = longest > 0});
      text.remove_prefix(size);
    }
    return symbols;
  }

  // The piece of a part; of one that is not used, those that it was joined of.
  void Tell(absl::string_view part,
            const absl::flat_hash_map<absl::string_view,
                                      std::pair<absl::string_view, absl::string_view>>& parts,
            Found found) const {
    std::vector<absl::string_view> left = {part};
    while (!left.empty()) {
      const absl::string_view next = left.back();
      left.pop_back();
      const auto piece = pieces_.find(next);
      if (piece == pieces_.end()) {
        found(next, unknown_);
        continue;
      }
      const auto of = parts.find(next);
      if (!piece->second.unused || of == parts.end()) {
        found(next, piece->second.id);
        continue;
      }
      left.push_back(of->second.second);
      left.push_back(of->second.first);
    }
  }

  const int32_t unknown_;
  absl::flat_hash_map<std::string, Entry> pieces_;
  PieceTree wanted_;
};

}  // namespace

std::unique_ptr<const PieceSearch> NewBpeSearch(const SentencePieceModel& model) {
  return std::make_unique<BpeSearch>(model);
}

std::unique_ptr<const PieceSearch> NewUnigramSearch(const SentencePieceModel& model) {
  return std::make_unique<UnigramSearch>(model);
}

}  // namespace hone::engine::text
