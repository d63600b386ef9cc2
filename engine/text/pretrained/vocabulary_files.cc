#include "engine/text/pretrained/vocabulary_files.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::engine::text {
namespace {

constexpr absl::string_view kVocabularyFile = "vocab.txt";
constexpr absl::string_view kMergesFile = "merges.txt";

// A line or token in an error.
std::string Shown(absl::string_view text) {
  constexpr size_t kLongest = 60;
  return absl::StrCat("`", CutUtf8(text, kLongest), text.size() > kLongest ? "…`" : "`");
}

absl::Status Wrong(absl::string_view file, int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": line ", line, ": ", what));
}

// One token as tokenizer.json has it among added_tokens.
nlohmann::json Added(int64_t id, absl::string_view content) {
  return {{"id", id},           {"content", std::string(content)},
          {"special", true},    {"single_word", false},
          {"lstrip", false},    {"rstrip", false},
          {"normalized", false}};
}

// "t h", of which both tokens and "th" are in the vocabulary.
absl::Status CheckMerge(absl::string_view line, int64_t number, const nlohmann::json& vocabulary) {
  const std::vector<absl::string_view> tokens = absl::StrSplit(line, ' ');
  if (tokens.size() != 2 || tokens[0].empty() || tokens[1].empty()) {
    return Wrong(kMergesFile, number,
                 absl::StrCat("must be two tokens with a space between them, got ", Shown(line)));
  }
  for (const absl::string_view token : tokens) {
    if (!vocabulary.contains(std::string(token))) {
      return Wrong(
          kMergesFile, number,
          absl::StrCat("joins ", Shown(token), ", which must be in vocab.json and is not"));
    }
  }
  const std::string joined = absl::StrCat(tokens[0], tokens[1]);
  if (!vocabulary.contains(joined)) {
    return Wrong(kMergesFile, number,
                 absl::StrCat("makes ", Shown(joined), ", which must be in vocab.json and is not"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string TokenizerSettings::Token(const std::string& key) const {
  for (const nlohmann::json* file : {&config, &special}) {
    const auto found = file->find(key);
    if (found == file->end()) {
      continue;
    }
    if (found->is_string()) {
      return found->get<std::string>();
    }
    if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
      return (*found)["content"].get<std::string>();
    }
  }
  return "";
}

std::string TokenizerSettings::Text(const std::string& key) const {
  const auto found = config.find(key);
  return found != config.end() && found->is_string() ? found->get<std::string>() : "";
}

bool TokenizerSettings::Flag(const std::string& key, bool otherwise) const {
  const auto found = config.find(key);
  return found != config.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

absl::StatusOr<nlohmann::json> FromVocabularyFile(absl::string_view text,
                                                  const TokenizerSettings& settings) {
  nlohmann::json vocabulary = nlohmann::json::object();
  int64_t id = 0;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const std::string token(absl::StripTrailingAsciiWhitespace(line));
    if (const auto [first, is_new] = vocabulary.emplace(token, id); !is_new) {
      return Wrong(kVocabularyFile, id + 1,
                   absl::StrCat("has ", Shown(token), ", as line ", first->get<int64_t>() + 1,
                                " has; each line must be another token"));
    }
    ++id;
  }
  const auto name = [&](const char* key, const char* usual) {
    const std::string said = settings.Token(key);
    return said.empty() ? std::string(usual) : said;
  };
  const std::string unknown = name("unk_token", "[UNK]"), begin = name("cls_token", "[CLS]"),
                    end = name("sep_token", "[SEP]");
  nlohmann::json added = nlohmann::json::array();
  for (const std::string& token :
       {name("pad_token", "[PAD]"), unknown, begin, end, name("mask_token", "[MASK]")}) {
    if (vocabulary.contains(token)) {
      added.push_back(Added(vocabulary[token].get<int64_t>(), token));
    }
  }
  for (const auto& [key, token] : {std::pair("unk_token", &unknown), std::pair("cls_token", &begin),
                                   std::pair("sep_token", &end)}) {
    if (!vocabulary.contains(*token)) {
      return absl::InvalidArgumentError(absl::StrCat(
          kVocabularyFile, ": none of its ", id, " lines is the special token ", Shown(*token),
          "; where it is another one, ", key, " of tokenizer_config.json must say it"));
    }
  }
  const bool lower_case = settings.Flag("do_lower_case", true);
  const auto pair = [&](const std::string& token) {
    return nlohmann::json::array({token, vocabulary[token]});
  };
  return nlohmann::json{
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", settings.Flag("tokenize_chinese_chars", true)},
        {"strip_accents", settings.Flag("strip_accents", lower_case)},
        {"lowercase", lower_case}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", {{"type", "BertProcessing"}, {"sep", pair(end)}, {"cls", pair(begin)}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", unknown},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100},
        {"vocab", std::move(vocabulary)}}}};
}

absl::StatusOr<nlohmann::json> FromMergesFile(nlohmann::json vocabulary, absl::string_view text,
                                              const TokenizerSettings& settings) {
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_unsigned()) {
      return absl::InvalidArgumentError(absl::StrCat("vocab.json: the id of ", Shown(token),
                                                     " must be a whole number, got ",
                                                     Shown(id.dump())));
    }
  }
  nlohmann::json merges = nlohmann::json::array();
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (!line.empty() && !absl::StartsWith(line, "#version")) {
      HONE_RETURN_IF_ERROR(CheckMerge(line, number, vocabulary));
      merges.push_back(std::string(line));
    }
  }
  const bool prefix_space = settings.Flag("add_prefix_space", false);
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"}) {
    if (const auto found = vocabulary.find(token); found != vocabulary.end()) {
      added.push_back(Added(found->get<int64_t>(), token));
      added.back()["lstrip"] = absl::string_view(token) == "<mask>";
    }
  }
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", prefix_space},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  // RoBERTa's vocabulary begins with its special tokens.
  nlohmann::json around = byte_level;
  if (vocabulary.value("<s>", nlohmann::json()) == 0 && vocabulary.contains("</s>")) {
    around = {{"type", "RobertaProcessing"},
              {"sep", nlohmann::json::array({"</s>", vocabulary["</s>"]})},
              {"cls", nlohmann::json::array({"<s>", vocabulary["<s>"]})},
              {"trim_offsets", true},
              {"add_prefix_space", prefix_space}};
  }
  return nlohmann::json{
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", around},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}}}};
}

}  // namespace hone::engine::text
