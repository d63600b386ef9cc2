#include "engine/text/pretrained/sentencepiece_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/sentencepiece_model.h"

namespace hone::engine::text {
namespace {

using nlohmann::json;
using Piece = SentencePieceModel::Piece;
using Type = SentencePieceModel::Type;

bool BeginsCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

int64_t CharactersOf(absl::string_view text) {
  return std::ranges::count_if(text, BeginsCharacter);
}

// Two pieces that may be joined into a third.
struct Merge {
  absl::string_view left, right;
  float score = 0;
  int32_t left_id = 0, right_id = 0;
  int64_t left_size = 0, right_size = 0;  // characters
};

// All of them, in the order in which they are joined. Of the ways to one piece those with the
// longer parts come first, as transformers has it.
std::vector<Merge> MergesOf(const std::vector<Piece>& pieces) {
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].type == Type::kNormal) {
      ids.emplace(pieces[id].text, static_cast<int32_t>(id));
    }
  }
  std::vector<Merge> merges;
  for (const Piece& piece : pieces) {
    if (piece.type != Type::kNormal) {
      continue;
    }
    const absl::string_view text = piece.text;
    const auto first = static_cast<std::ptrdiff_t>(merges.size());
    for (size_t at = 1; at < text.size(); ++at) {
      if (!BeginsCharacter(text[at])) {
        continue;
      }
      const auto left = ids.find(text.substr(0, at)), right = ids.find(text.substr(at));
      if (left != ids.end() && right != ids.end()) {
        merges.push_back({.left = left->first,
                          .right = right->first,
                          .score = piece.score,
                          .left_id = left->second,
                          .right_id = right->second,
                          .left_size = CharactersOf(left->first),
                          .right_size = CharactersOf(right->first)});
      }
    }
    std::sort(merges.begin() + first, merges.end(), [](const Merge& a, const Merge& b) {
      return std::pair(a.left_id, a.right_id) < std::pair(b.left_id, b.right_id);
    });
  }
  std::ranges::stable_sort(merges, [](const Merge& a, const Merge& b) {
    return std::tuple(a.score, a.left_size, a.right_size) >
           std::tuple(b.score, b.left_size, b.right_size);
  });
  return merges;
}

json Added(size_t id, const Piece& piece) {
  return {{"id", id},
          {"content", piece.text},
          {"special", piece.type != Type::kUserDefined},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", false}};
}

json TemplateItem(const char* kind, const std::string& id, int type) {
  return {{kind, {{"id", id}, {"type_id", type}}}};
}

// What stands around a text, and around each of a pair.
json TemplateOf(const SentencePieceUse& use, int64_t begin, int64_t end) {
  const auto around = [&](const char* text, int type, json& out) {
    if (use.add_begin) {
      out.push_back(TemplateItem("SpecialToken", use.begin, type));
    }
    out.push_back(TemplateItem("Sequence", text, type));
    if (use.add_end) {
      out.push_back(TemplateItem("SpecialToken", use.end, type));
    }
  };
  json single = json::array(), pair = json::array(), specials = json::object();
  around("A", 0, single);
  around("A", 0, pair);
  around("B", 1, pair);
  const auto special = [&](bool added, const std::string& token, int64_t id) {
    if (added) {
      specials[token] = {
          {"id", token}, {"ids", json::array({id})}, {"tokens", json::array({token})}};
    }
  };
  special(use.add_begin, use.begin, begin);
  special(use.add_end, use.end, end);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

json Replace(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

// How texts become pieces, and pieces texts; `before`: with a space before each text.
void AddSpaces(const SentencePieceModel& model, bool before, bool legacy, json& out) {
  const std::string space(kSpacePiece);
  json steps = json::array();
  if (!model.precompiled_map.empty()) {
    steps.push_back({{"type", "Precompiled"},
                     {"precompiled_charsmap", absl::Base64Escape(model.precompiled_map)}});
  }
  if (model.single_spaces) {
    steps.push_back(Replace("Regex", " {2,}", " "));
    steps.push_back(Replace("Regex", R"(\A | \z)", ""));
  }
  if (before && legacy) {
    steps.push_back({{"type", "Prepend"}, {"prepend", space}});
  }
  if (legacy || !before) {
    steps.push_back(Replace("String", " ", space));
  } else {
    out["pre_tokenizer"] = {{"type", "Metaspace"},
                            {"replacement", space},
                            {"prepend_scheme", "first"},
                            {"split", false}};
  }
  if (!steps.empty()) {
    out["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
  }
  json decoders = json::array();
  decoders.push_back(Replace("String", space, " "));
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (before) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  out["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

// The tokens, and how a text is divided into them.
json ModelOf(const SentencePieceModel& model, const Piece& unknown) {
  if (model.algorithm == SentencePieceModel::Algorithm::kUnigram) {
    json vocabulary = json::array();
    for (const Piece& piece : model.pieces) {
      vocabulary.push_back(json::array({piece.text, piece.score}));
    }
    return {{"type", "Unigram"},
            {"unk_id", &unknown - model.pieces.data()},
            {"byte_fallback", model.byte_fallback},
            {"vocab", std::move(vocabulary)}};
  }
  json vocabulary = json::object(), merges = json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    vocabulary[model.pieces[id].text] = id;
  }
  for (const Merge& merge : MergesOf(model.pieces)) {
    merges.push_back(json::array({std::string(merge.left), std::string(merge.right)}));
  }
  return {{"type", "BPE"},
          {"unk_token", unknown.text},
          {"fuse_unk", true},
          {"byte_fallback", model.byte_fallback},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace

absl::StatusOr<json> SentencePieceAsJson(absl::string_view bytes, const SentencePieceUse& use) {
  HONE_ASSIGN_OR_RETURN(const SentencePieceModel model, SentencePieceModel::Parse(bytes));
  const auto first = [&](Type type) { return std::ranges::find(model.pieces, type, &Piece::type); };
  if (first(Type::kUnused) != model.pieces.end()) {
    return absl::InvalidArgumentError(
        "it has pieces out of use, and such a model is read from the tokenizer.json that "
        "transformers makes of it: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)");
  }
  json added = json::array();
  int64_t begin = -1, end = -1;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    if (piece.type == Type::kUnknown || piece.type == Type::kControl ||
        piece.type == Type::kUserDefined) {
      added.push_back(Added(id, piece));
    }
    begin = piece.text == use.begin ? static_cast<int64_t>(id) : begin;
    end = piece.text == use.end ? static_cast<int64_t>(id) : end;
  }
  for (const auto& [wanted, id, token] :
       {std::tuple(use.add_begin, begin, use.begin), std::tuple(use.add_end, end, use.end)}) {
    if (wanted && id < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the special token `", token, "` is not there"));
    }
  }
  for (int64_t i = 0; i < use.sentinels; ++i) {
    added.push_back(Added(
        model.pieces.size() + static_cast<size_t>(i),
        {.text = absl::StrCat("<extra_id_", use.sentinels - 1 - i, ">"), .type = Type::kControl}));
  }
  json out = {{"version", "1.0"},          {"added_tokens", std::move(added)},
              {"normalizer", nullptr},     {"pre_tokenizer", nullptr},
              {"post_processor", nullptr}, {"model", ModelOf(model, *first(Type::kUnknown))}};
  if (use.add_begin || use.add_end) {
    out["post_processor"] = TemplateOf(use, begin, end);
  }
  AddSpaces(model, model.space_before && use.space_before, use.legacy, out);
  return out;
}

}  // namespace hone::engine::text
