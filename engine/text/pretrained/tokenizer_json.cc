#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/pretrained/added_tokens.h"
#include "engine/text/pretrained/byte_alphabet.h"
#include "engine/text/pretrained/characters.h"
#include "engine/text/pretrained/json_part.h"
#include "engine/text/pretrained/normalizer.h"
#include "engine/text/pretrained/pre_tokenizer.h"
#include "engine/text/pretrained/token_decoder.h"
#include "engine/text/pretrained/token_model.h"
#include "engine/text/pretrained/token_template.h"
#include "engine/text/pretrained_tokenizer.h"
#include "engine/text/sentencepiece_model.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

using Bytes = TokenizedText::Bytes;

// What a tokenizer.json says.
struct Parts {
  std::string json;  // its text
  std::vector<AddedToken> added;
  std::unique_ptr<const Normalizer> normalizer;  // null: none
  PreTokenizers pre_tokenizers;
  ReadModel model;
  std::unique_ptr<const TokenDecoder> decoder;  // null: none
  TokenTemplate around;
};

class JsonTokenizer final : public PretrainedTokenizer {
 public:
  JsonTokenizer(Parts parts, const TokenRoles& roles)
      : parts_(std::move(parts)),
        roles_(roles),
        added_to_given_(parts_.added, false),
        added_to_normalized_(parts_.added, true),
        // Where each token's text began says where a prefix belongs.
        always_tracked_(parts_.pre_tokenizers.needs_origins && parts_.normalizer != nullptr),
        written_(parts_.model.written),
        decoded_(parts_.model.written) {
    absl::flat_hash_set<absl::string_view> specials;
    for (const AddedToken& token : parts_.added) {
      const auto id = static_cast<size_t>(token.id);
      written_.resize(std::max(written_.size(), id + 1));
      decoded_.resize(written_.size());
      written_[id] = token.content;
      decoded_[id] = token.looked_for;
      if (token.special) {
        specials.insert(token.content);
      }
    }
    special_.resize(written_.size());
    for (size_t id = 0; id < written_.size(); ++id) {
      special_[id] = specials.contains(decoded_[id]);
      if (!written_[id].empty()) {
        ids_.emplace(written_[id], static_cast<int32_t>(id));
      }
    }
  }

  int64_t size() const override { return static_cast<int64_t>(written_.size()); }
  SpecialTokens special() const override {
    return {
        .unknown = roles_.unknown, .begin = roles_.begin, .end = roles_.end, .mask = roles_.mask};
  }

  bool GoesOn(int32_t id) const override {
    if (IsSpecial(id)) {
      return false;
    }
    absl::string_view text = written_[static_cast<size_t>(id)];
    const std::string& prefix = parts_.model.continuing_prefix;
    if (!prefix.empty()) {
      return absl::StartsWith(text, prefix);
    }
    std::string bytes;
    if (parts_.pre_tokenizers.bytes && BytesOf(text, bytes)) {
      text = bytes;
    }
    if (text.empty() || absl::StartsWith(text, kSpacePiece)) {
      return false;
    }
    if (ContinuesCharacter(text[0]) || ByteOfPiece(text) >= 0) {
      return true;
    }
    const char32_t first = FirstOf(text).character;
    return IsWordPart(first) && !IsWide(first);
  }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    Tokenize(utf8, ids, nullptr, false);
  }
  TokenizedText EncodeWithBytes(absl::string_view utf8) const override {
    return Encoded(utf8, parts_.around.trims);
  }
  TokenizedText EncodeWithAllBytes(absl::string_view utf8) const override {
    return Encoded(utf8, false);
  }
  TokenizedText EncodeInTemplate(absl::string_view utf8) const override {
    return parts_.around.Apply(EncodeWithBytes(utf8), nullptr);
  }
  TokenizedText EncodePairInTemplate(absl::string_view first,
                                     absl::string_view second) const override {
    const TokenizedText of_second = EncodeWithBytes(second);
    return parts_.around.Apply(EncodeWithBytes(first), &of_second);
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    return WholeUtf8(TextOf(ids, false));
  }
  std::string DecodeBytes(std::span<const int32_t> ids) const override { return TextOf(ids, true); }

  std::string Written(int32_t id) const override {
    return id >= 0 && id < size() ? written_[static_cast<size_t>(id)] : "";
  }
  int32_t IdOf(absl::string_view written) const override {
    const auto found = ids_.find(written);
    return found == ids_.end() ? -1 : found->second;
  }
  bool IsSpecial(int32_t id) const override {
    return id >= 0 && id < size() && special_[static_cast<size_t>(id)];
  }

  nlohmann::json ToJson() const override {
    return {{"kind", "pretrained"},
            {"tokenizer_json", parts_.json},
            {"roles",
             {{"unknown", roles_.unknown},
              {"padding", roles_.padding},
              {"begin", roles_.begin},
              {"end", roles_.end},
              {"mask", roles_.mask}}}};
  }

 private:
  TokenizedText Encoded(absl::string_view utf8, bool trims) const {
    TokenizedText out;
    Tokenize(utf8, out.ids, &out.bytes, trims);
    out.types.resize(out.ids.size());
    return out;
  }

  // Appends to `bytes` as well where it is not null; with `trims` those without spaces around them.
  void Tokenize(absl::string_view utf8, std::vector<int32_t>& ids, std::vector<Bytes>* bytes,
                bool trims) const {
    added_to_given_.Divide(utf8, [&](size_t begin, size_t end, const AddedToken* token) {
      AlignedText part(utf8.substr(begin, end - begin), begin, bytes != nullptr || always_tracked_);
      if (token != nullptr) {
        return Add(utf8, *token, part, 0, end - begin, ids, bytes, trims);
      }
      if (parts_.normalizer != nullptr) {
        parts_.normalizer->Apply(part);
      }
      added_to_normalized_.Divide(part.text(),
                                  [&](size_t from, size_t to, const AddedToken* inner) {
                                    if (inner != nullptr) {
                                      Add(utf8, *inner, part, from, to, ids, bytes, trims);
                                    } else if (from == 0 && to == part.text().size()) {
                                      TokenizeWords(utf8, part, ids, bytes, trims);
                                    } else {
                                      AlignedText words = part.Part(from, to);
                                      TokenizeWords(utf8, words, ids, bytes, trims);
                                    }
                                  });
    });
  }

  void Add(absl::string_view utf8, const AddedToken& token, const AlignedText& text, size_t begin,
           size_t end, std::vector<int32_t>& ids, std::vector<Bytes>* bytes, bool trims) const {
    ids.push_back(token.id);
    if (bytes != nullptr) {
      const Bytes origin = text.OriginOf(begin, end);
      bytes->push_back(
          trims ? Trimmed(utf8, text.text().substr(begin, end - begin), origin, bytes->empty())
                : origin);
    }
  }

  void TokenizeWords(absl::string_view utf8, AlignedText& text, std::vector<int32_t>& ids,
                     std::vector<Bytes>* bytes, bool trims) const {
    if (text.text().empty()) {
      return;
    }
    std::vector<TextRange> pieces = {{0, text.text().size()}};
    for (const auto& step : parts_.pre_tokenizers.steps) {
      step->Divide(text, pieces);
    }
    std::vector<TokenOfWord> tokens;
    for (const TextRange& piece : pieces) {
      tokens.clear();
      parts_.model.model->Tokenize(text.text().substr(piece.begin, piece.end - piece.begin),
                                   tokens);
      for (const TokenOfWord& token : tokens) {
        ids.push_back(token.id);
        if (bytes != nullptr) {
          const Bytes origin = text.OriginOf(piece.begin + token.begin, piece.begin + token.end);
          bytes->push_back(
              trims ? Trimmed(utf8, written_[static_cast<size_t>(token.id)], origin, bytes->empty())
                    : origin);
        }
      }
    }
  }

  // Without the spaces around a token that is written so, counted in characters.
  Bytes Trimmed(absl::string_view utf8, absl::string_view written, Bytes bytes,
                bool is_first) const {
    static const char32_t space = CharacterOfByte(' ');
    const auto is_space = [&](char32_t character) {
      return character == space || (CharacterTraits()[character] & kWhiteSpace) != 0;
    };
    size_t leading = 0, trailing = 0;
    bool only_spaces = true;
    while (!written.empty()) {
      const NextCharacter next = FirstOf(written);
      written.remove_prefix(next.size);
      if (is_space(next.character)) {
        leading += only_spaces ? 1 : 0;
        ++trailing;
      } else {
        only_spaces = false;
        trailing = 0;
      }
    }
    if (leading == 1 && parts_.around.keeps_first_space && (is_first || bytes.begin == 0)) {
      leading = 0;
    }
    for (; leading > 0 && bytes.begin < bytes.end; --leading) {
      bytes.begin += FirstOf(utf8.substr(bytes.begin)).size;
    }
    for (; trailing > 0 && bytes.end > bytes.begin; --trailing) {
      do {
        --bytes.end;
      } while (bytes.end > bytes.begin && ContinuesCharacter(utf8[bytes.end]));
    }
    return bytes;
  }

  std::string TextOf(std::span<const int32_t> ids, bool bytes) const {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const int32_t id : ids) {
      if (id >= 0 && id < size() && !special_[static_cast<size_t>(id)] &&
          !decoded_[static_cast<size_t>(id)].empty()) {
        tokens.push_back(decoded_[static_cast<size_t>(id)]);
      }
    }
    if (parts_.decoder == nullptr) {
      return absl::StrJoin(tokens, " ");
    }
    if (tokens.empty()) {
      return "";
    }
    parts_.decoder->Apply(bytes, tokens);
    return absl::StrJoin(tokens, "");
  }

  const Parts parts_;
  const TokenRoles roles_;
  const AddedTokens added_to_given_, added_to_normalized_;
  const bool always_tracked_;
  std::vector<std::string> written_;  // by id
  std::vector<std::string> decoded_;  // as decoders read them: added tokens are normalized
  std::vector<bool> special_;
  absl::flat_hash_map<std::string, int32_t> ids_;
};

// The ids are those that the crate gives: the vocabulary's, else the next ones behind it.
std::vector<AddedToken> ReadAddedTokens(const JsonPart& json, const ReadModel& model,
                                        const Normalizer* normalizer,
                                        std::vector<std::string>& said) {
  std::vector<AddedToken> tokens;
  if (json.value().is_null()) {
    return tokens;
  }
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  for (size_t id = 0; id < model.written.size(); ++id) {
    if (!model.written[id].empty()) {
      ids.emplace(model.written[id], static_cast<int32_t>(id));
    }
  }
  auto next = static_cast<int32_t>(ids.size());
  absl::flat_hash_map<std::string, size_t> places;  // in `tokens`, by content
  for (const JsonPart& item : json.Items()) {
    item.KnowsOnly({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token = {.content = item.String("content"),
                        .single_word = item.Bool("single_word", false),
                        .strip_left = item.Bool("lstrip", false),
                        .strip_right = item.Bool("rstrip", false),
                        .normalized = item.Bool("normalized", true),
                        .special = item.Bool("special", false)};
    const int64_t declared = item.Count("id", kMostTokens - 1);
    if (!item.ok()) {
      return tokens;
    }
    if (token.content.empty()) {
      continue;
    }
    const auto known = ids.find(token.content);
    const auto before = places.find(token.content);
    token.id = before != places.end() ? tokens[before->second].id
               : known != ids.end()   ? known->second
                                      : next++;
    if (token.id != declared) {
      said.push_back(absl::StrCat("tokenizer.json says that `", token.content, "` has the id ",
                                  declared, "; behind its vocabulary it has ", token.id));
    }
    AlignedText normal(token.content, 0, false);
    if (token.normalized && normalizer != nullptr) {
      normalizer->Apply(normal);
    }
    token.looked_for = std::string(normal.text());
    if (before != places.end()) {
      tokens[before->second] = std::move(token);
    } else {
      places.emplace(token.content, tokens.size());
      tokens.push_back(std::move(token));
    }
  }
  return tokens;
}

// What is baked into the file and is a job's own here.
void SayOverridden(const JsonPart& json, std::vector<std::string>& said) {
  if (json.Has("truncation")) {
    const nlohmann::json& value = json.At("truncation").value();
    said.push_back(absl::StrCat(
        "tokenizer.json cuts texts off behind ",
        value.is_object() ? value.value("max_length", nlohmann::json()).dump() : value.dump(),
        " tokens, which is not done here: max_tokens counts"));
  }
  if (json.Has("padding")) {
    said.push_back(
        "tokenizer.json fills short texts up with padding, which is not done here: texts "
        "are as long as they are");
  }
}

TokenRoles RolesFromJson(const nlohmann::json& ids) {
  return {.unknown = ids.at("unknown").get<int32_t>(),
          .padding = ids.at("padding").get<int32_t>(),
          .begin = ids.at("begin").get<int32_t>(),
          .end = ids.at("end").get<int32_t>(),
          .mask = ids.at("mask").get<int32_t>()};
}

// "[1] ("<a>"): what", of one of the tokens that are to be added.
absl::Status WrongToken(size_t place, absl::string_view token, absl::string_view what) {
  constexpr size_t kMostShown = 80;
  const nlohmann::json shown = CutUtf8(WholeUtf8(token), kMostShown);
  return absl::InvalidArgumentError(absl::StrCat("[", place, "] (", shown.dump(), "): ", what));
}

// That each is a new one.
absl::Status CheckNewTokens(const PretrainedTokenizer& tokenizer,
                            const std::vector<std::string>& tokens) {
  absl::flat_hash_map<absl::string_view, size_t> places;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty()) {
      return WrongToken(i, tokens[i], "must have at least one character");
    }
    if (const absl::Status utf8 = CheckUtf8(tokens[i]); !utf8.ok()) {
      return WrongToken(i, tokens[i], absl::StrCat("must be UTF-8: ", utf8.message()));
    }
    if (const int32_t id = tokenizer.IdOf(tokens[i]); id >= 0) {
      return WrongToken(i, tokens[i],
                        absl::StrCat("the tokenizer has it already, with the id ", id));
    }
    if (const auto [first, is_new] = places.emplace(tokens[i], i); !is_new) {
      return WrongToken(i, tokens[i],
                        absl::StrCat("is there twice, as [", first->second, "], too"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const PretrainedTokenizer>> ParseTokenizerJson(
    absl::string_view text, const TokenRoles* roles, std::vector<std::string>* overridden) {
  HONE_ASSIGN_OR_RETURN(const nlohmann::json document, ParseJson(text));
  absl::Status error;
  const JsonPart json(document, "", error);
  json.KnowsOnly({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                  "post_processor", "decoder", "model"});
  HONE_RETURN_IF_ERROR(error);
  if (json.String("version", "1.0") != "1.0") {
    json.At("version").Fail("must be \"1.0\"");
  }
  std::vector<std::string> said;
  SayOverridden(json, said);
  Parts parts;
  parts.json = std::string(text);
  parts.normalizer = ReadNormalizer(json.At("normalizer"));
  HONE_RETURN_IF_ERROR(error);
  parts.pre_tokenizers = ReadPreTokenizers(json.At("pre_tokenizer"));
  HONE_RETURN_IF_ERROR(error);
  parts.model = ReadTokenModel(json.At("model"), parts.pre_tokenizers.bytes);
  HONE_RETURN_IF_ERROR(error);
  parts.added = ReadAddedTokens(json.At("added_tokens"), parts.model, parts.normalizer.get(), said);
  HONE_RETURN_IF_ERROR(error);
  auto size = static_cast<int64_t>(parts.model.written.size());
  for (const AddedToken& token : parts.added) {
    size = std::max(size, int64_t{token.id} + 1);
  }
  parts.decoder = ReadTokenDecoder(json.At("decoder"));
  parts.around = ReadTokenTemplate(json.At("post_processor"), size);
  HONE_RETURN_IF_ERROR(error);
  if (overridden != nullptr) {
    overridden->insert(overridden->end(), said.begin(), said.end());
  }
  TokenRoles used = {.unknown = parts.model.unknown};
  if (roles != nullptr) {
    used = *roles;
    for (const int32_t id : {used.unknown, used.padding, used.begin, used.end, used.mask}) {
      if (id < -1 || id >= size) {
        return absl::InvalidArgumentError(
            absl::StrCat("a special token has the id ", id, ", of ", size, " tokens"));
      }
    }
  }
  return std::make_unique<const JsonTokenizer>(std::move(parts), used);
}

absl::StatusOr<std::unique_ptr<const PretrainedTokenizer>> WithNewTokens(
    const PretrainedTokenizer& tokenizer, const std::vector<std::string>& tokens) {
  HONE_RETURN_IF_ERROR(CheckNewTokens(tokenizer, tokens));
  const nlohmann::json kept = tokenizer.ToJson();
  HONE_ASSIGN_OR_RETURN(nlohmann::json json,
                        ParseJson(kept.at("tokenizer_json").get_ref<const std::string&>()));
  nlohmann::json& added = json["added_tokens"];
  const int64_t first = tokenizer.size();
  for (size_t i = 0; i < tokens.size(); ++i) {
    added.push_back({{"id", first + static_cast<int64_t>(i)},
                     {"content", tokens[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", true},
                     {"special", false}});
  }
  const TokenRoles roles = RolesFromJson(kept.at("roles"));
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<const PretrainedTokenizer> grown,
                        ParseTokenizerJson(json.dump(), &roles));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t id = grown->IdOf(tokens[i]);
    if (id != first + static_cast<int64_t>(i)) {
      return WrongToken(i, tokens[i],
                        absl::StrCat("would have the id ", id, ", since the ", first,
                                     " ids of the tokenizer have gaps; that it can have no token"));
    }
    std::vector<int32_t> ids;
    grown->Encode(tokens[i], ids);
    if (ids != std::vector<int32_t>{id}) {
      return WrongToken(i, tokens[i],
                        "would not be found in a text, since the tokenizer changes texts before it "
                        "looks for tokens, as by lower case, or has another one that is written so "
                        "then");
    }
  }
  return grown;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> PretrainedFromJson(const nlohmann::json& json) {
  const TokenRoles roles = RolesFromJson(json.at("roles"));
  auto tokenizer =
      ParseTokenizerJson(json.at("tokenizer_json").get_ref<const std::string&>(), &roles);
  if (!tokenizer.ok()) {
    return Annotate(tokenizer.status(), "`tokenizer.tokenizer_json`");
  }
  return *std::move(tokenizer);
}

}  // namespace hone::engine::text
