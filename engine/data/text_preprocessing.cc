#include "engine/data/text_preprocessing.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/chat_template.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::data {
namespace {

constexpr absl::string_view kNormalizations[] = {"none", "nfc", "nfkc"};  // by text::Normalization

nlohmann::json ToJson(const text::CleaningOptions& options) {
  return {
      {"html", options.html},
      {"normalization", std::string(kNormalizations[static_cast<size_t>(options.normalization)])},
      {"lower_case", options.lower_case},
      {"control_characters", options.control_characters},
      {"white_space", options.white_space}};
}

absl::StatusOr<text::CleaningOptions> CleaningFromJson(const nlohmann::json& json) {
  const auto form = std::ranges::find(kNormalizations, json.at("normalization").get<std::string>());
  if (form == std::end(kNormalizations)) {
    return absl::InvalidArgumentError("`text.cleaning.normalization` is none of none, nfc, nfkc");
  }
  return text::CleaningOptions{
      .html = json.at("html").get<bool>(),
      .normalization = static_cast<text::Normalization>(form - std::begin(kNormalizations)),
      .lower_case = json.at("lower_case").get<bool>(),
      .control_characters = json.at("control_characters").get<bool>(),
      .white_space = json.at("white_space").get<bool>()};
}

// Who tokenizes texts in a template.
const text::PretrainedTokenizer* OfTemplate(const text::Tokenizer& tokenizer) {
  return dynamic_cast<const text::PretrainedTokenizer*>(&tokenizer);
}

}  // namespace

std::vector<int32_t> TextPreprocessing::Encode(absl::string_view utf8) const {
  std::vector<int32_t> ids = EncodeCleaned(text::Clean(utf8, cleaning, nullptr));
  Cut(ids);
  return ids;
}

std::vector<int32_t> TextPreprocessing::EncodePair(absl::string_view first,
                                                   absl::string_view second) const {
  std::vector<int32_t> ids = EncodeCleanedPair(text::Clean(first, cleaning, nullptr),
                                               text::Clean(second, cleaning, nullptr));
  Cut(ids);
  return ids;
}

std::vector<int32_t> TextPreprocessing::EncodeCleanedPair(absl::string_view first,
                                                          absl::string_view second) const {
  if (in_template) {
    return OfTemplate(*tokenizer)->EncodePairInTemplate(first, second).ids;
  }
  const text::SpecialTokens special = tokenizer->special();
  std::vector<int32_t> ids;
  if (special.begin >= 0) {
    ids.push_back(special.begin);
  }
  for (const absl::string_view text : {first, second}) {
    const std::vector<int32_t> of_text = EncodeCleaned(text);
    ids.insert(ids.end(), of_text.begin(), of_text.end());
    ids.push_back(special.end);
  }
  return ids;
}

void TextPreprocessing::Cut(std::vector<int32_t>& ids) const {
  const auto most = static_cast<size_t>(max_tokens);
  if (max_tokens == 0 || ids.size() <= most) {
    return;
  }
  const auto first_end = pairs ? std::ranges::find(ids, separator()) : ids.end();
  if (first_end == ids.end()) {
    // What a template puts behind a text stays.
    const bool ends = in_template && ids.back() == tokenizer->special().end;
    ids.resize(most);
    ids.back() = ends ? tokenizer->special().end : ids.back();
    return;
  }
  const ptrdiff_t first_begin = tokenizer->special().begin >= 0 ? 1 : 0;
  ptrdiff_t first = first_end - ids.begin() - first_begin;  // tokens that stay
  ptrdiff_t second = ids.end() - first_end - 2;
  for (size_t size = ids.size(); size > most; --size) {
    --(first > second ? first : second);
  }
  const auto second_begin = first_end + 1;
  ids.erase(second_begin + second, ids.end() - 1);
  ids.erase(ids.begin() + first_begin + first, first_end);
}

std::vector<int32_t> TextPreprocessing::EncodeCleaned(absl::string_view cleaned) const {
  std::vector<int32_t> ids;
  if (in_template) {
    ids = OfTemplate(*tokenizer)->EncodeInTemplate(cleaned).ids;
  } else {
    tokenizer->Encode(cleaned, ids);
  }
  if (ids.empty()) {
    ids.push_back(std::max(tokenizer->special().unknown, 0));
  }
  return ids;
}

bool TextPreprocessing::HasTokensOf(const TextPreprocessing& other) const {
  return data::ToJson(cleaning) == data::ToJson(other.cleaning) &&
         (tokenizer == other.tokenizer || tokenizer->ToJson() == other.tokenizer->ToJson());
}

nlohmann::json TextPreprocessing::ToJson() const {
  nlohmann::json json = {{"cleaning", data::ToJson(cleaning)},
                         {"tokenizer", tokenizer->ToJson()},
                         {"max_tokens", max_tokens}};
  if (pairs) {
    json["pairs"] = true;
  }
  if (in_template) {
    json["in_template"] = true;
  }
  if (chat.has_value()) {
    json["chat"] = text::ToJson(*chat);
  }
  if (!chat_template.empty()) {
    json["chat_template"] = chat_template;
  }
  return json;
}

absl::StatusOr<TextPreprocessing> TextPreprocessing::FromJson(const nlohmann::json& json) {
  TextPreprocessing text;
  HONE_ASSIGN_OR_RETURN(text.cleaning, CleaningFromJson(json.at("cleaning")));
  HONE_ASSIGN_OR_RETURN(text.tokenizer, text::TokenizerFromJson(json.at("tokenizer")));
  text.max_tokens = json.at("max_tokens").get<int64_t>();
  if (text.max_tokens < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("`text.max_tokens` must be 0 or more, got ", text.max_tokens));
  }
  text.pairs = json.value("pairs", false);
  if (text.pairs && (text.tokenizer->special().end < 0 ||
                     (text.max_tokens > 0 && text.max_tokens < kLeastOfAPair))) {
    return absl::InvalidArgumentError(
        absl::StrCat("`text.pairs` needs a tokenizer with a token that ends a text, and "
                     "`text.max_tokens` 0 or at least ",
                     kLeastOfAPair));
  }
  text.in_template = json.value("in_template", false);
  if (text.in_template && (OfTemplate(*text.tokenizer) == nullptr ||
                           (text.max_tokens > 0 && text.max_tokens < kLeastInTemplate))) {
    return absl::InvalidArgumentError(
        absl::StrCat("`text.in_template` needs the tokenizer of a checkpoint, and "
                     "`text.max_tokens` 0 or at least ",
                     kLeastInTemplate));
  }
  if (const auto chat = json.find("chat"); chat != json.end()) {
    HONE_ASSIGN_OR_RETURN(text.chat, text::ChatTemplateFromJson(*chat));
  }
  text.chat_template = json.value("chat_template", "");
  return text;
}

bool operator==(const TextPreprocessing& a, const TextPreprocessing& b) {
  return a.ToJson() == b.ToJson();
}

}  // namespace hone::engine::data
