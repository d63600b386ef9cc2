#include "engine/text/pretrained_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/pretrained/sentencepiece_json.h"

namespace hone::engine::text {
namespace {

constexpr int64_t kLargestFile = int64_t{256} << 20;

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  bool Has(const std::string& name) const {
    std::error_code ignored;
    return std::filesystem::is_regular_file(std::filesystem::path(path_) / name, ignored);
  }
  // Errors name the file.
  absl::StatusOr<std::string> Read(const std::string& name) const {
    HONE_ASSIGN_OR_RETURN(std::string text,
                          ReadFile(std::filesystem::path(path_) / name, kLargestFile));
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text), name));
    return text;
  }
  absl::StatusOr<std::string> ReadBytes(const std::string& name) const {
    return ReadFile(std::filesystem::path(path_) / name, kLargestFile);
  }
  // An empty object where it is not there.
  absl::StatusOr<nlohmann::json> ReadObject(const std::string& name) const {
    if (!Has(name)) {
      return nlohmann::json::object();
    }
    HONE_ASSIGN_OR_RETURN(const std::string text, Read(name));
    nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": no object of JSON"));
    }
    return json;
  }

 private:
  const std::string path_;
};

// What the files beside the tokenizer say of it.
struct Settings {
  nlohmann::json config;   // tokenizer_config.json
  nlohmann::json special;  // special_tokens_map.json

  // "[CLS]" of "cls_token", which may be an object with its content; empty: nothing is said.
  std::string Token(const std::string& key) const {
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
  bool Flag(const std::string& key, bool otherwise) const {
    const auto found = config.find(key);
    return found != config.end() && found->is_boolean() ? found->get<bool>() : otherwise;
  }
};

// The first of the tokens that the vocabulary has: those that the files name, else how families
// write it.
int32_t FirstId(const PretrainedTokenizer& tokenizer, const Settings& settings,
                std::initializer_list<const char*> keys,
                std::initializer_list<absl::string_view> usual) {
  for (const char* key : keys) {
    if (const std::string token = settings.Token(key); !token.empty()) {
      if (const int32_t id = tokenizer.IdOf(token); id >= 0) {
        return id;
      }
    }
  }
  for (const absl::string_view token : usual) {
    if (const int32_t id = tokenizer.IdOf(token); id >= 0) {
      return id;
    }
  }
  return -1;
}

TokenRoles RolesOf(const PretrainedTokenizer& tokenizer, const Settings& settings) {
  TokenRoles roles;
  roles.unknown = FirstId(tokenizer, settings, {"unk_token"}, {"[UNK]", "<unk>"});
  if (roles.unknown < 0) {
    roles.unknown = tokenizer.special().unknown;
  }
  roles.padding = FirstId(tokenizer, settings, {"pad_token"}, {"[PAD]", "<pad>"});
  roles.begin = FirstId(tokenizer, settings, {"cls_token", "bos_token"}, {"[CLS]", "<s>"});
  roles.end =
      FirstId(tokenizer, settings, {"sep_token", "eos_token"}, {"[SEP]", "</s>", "<|endoftext|>"});
  roles.mask = FirstId(tokenizer, settings, {"mask_token"}, {"[MASK]", "<mask>"});
  return roles;
}

// One token as tokenizer.json has it among added_tokens.
nlohmann::json Added(int64_t id, absl::string_view content) {
  return {{"id", id},           {"content", std::string(content)},
          {"special", true},    {"single_word", false},
          {"lstrip", false},    {"rstrip", false},
          {"normalized", false}};
}

// vocab.txt of BERT, as a tokenizer.json.
absl::StatusOr<nlohmann::json> FromVocabularyFile(const std::string& text,
                                                  const Settings& settings) {
  nlohmann::json vocabulary = nlohmann::json::object();
  int64_t id = 0;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    const std::string token(absl::StripTrailingAsciiWhitespace(line));
    if (!vocabulary.emplace(token, id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("vocab.txt: line ", id + 1, " has `", token, "` for the second time"));
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
  for (const std::string& token : {unknown, begin, end}) {
    if (!vocabulary.contains(token)) {
      return absl::InvalidArgumentError(
          absl::StrCat("vocab.txt: the special token `", token, "` is not there"));
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

// vocab.json and merges.txt of GPT-2 and RoBERTa, as a tokenizer.json.
absl::StatusOr<nlohmann::json> FromMergesFile(nlohmann::json vocabulary, const std::string& text,
                                              const Settings& settings) {
  nlohmann::json merges = nlohmann::json::array();
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripSuffix(line, "\r");
    if (!line.empty() && !absl::StartsWith(line, "#version")) {
      merges.push_back(std::string(line));
    }
  }
  const bool prefix_space = settings.Flag("add_prefix_space", false);
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"}) {
    if (const auto found = vocabulary.find(token);
        found != vocabulary.end() && found->is_number_unsigned()) {
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

// tokenizer.model of Llama, as a tokenizer.json.
absl::StatusOr<nlohmann::json> FromSentencePieces(const Folder& folder, const Settings& settings) {
  HONE_ASSIGN_OR_RETURN(const std::string bytes, folder.ReadBytes("tokenizer.model"));
  SentencePieceUse use = {.add_begin = settings.Flag("add_bos_token", true),
                          .add_end = settings.Flag("add_eos_token", false),
                          .space_before = settings.Flag("add_prefix_space", true),
                          .legacy = settings.Flag("legacy", true)};
  for (const auto& [key, token] :
       {std::pair("bos_token", &use.begin), std::pair("eos_token", &use.end)}) {
    if (std::string said = settings.Token(key); !said.empty()) {
      *token = std::move(said);
    }
  }
  HONE_ASSIGN_OR_RETURN(nlohmann::json json, SentencePieceAsJson(bytes, use));
  const auto more = settings.config.find("added_tokens_decoder");
  if (more == settings.config.end() || !more->is_object()) {
    return json;
  }
  nlohmann::json& added = json["added_tokens"];
  for (const auto& [key, token] : more->items()) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || !token.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer_config.json: added_tokens_decoder.",
                                                     key.substr(0, 40),
                                                     ": must be an id and a token"));
    }
    nlohmann::json entry = token;
    entry["id"] = id;
    const auto known =
        std::ranges::find_if(added, [&](const nlohmann::json& one) { return one["id"] == id; });
    if (known == added.end()) {
      added.push_back(std::move(entry));
    } else {
      *known = std::move(entry);
    }
  }
  return json;
}

// The text of a tokenizer.json, and the file that it is of.
struct Source {
  std::string json;
  std::string file;
};

absl::StatusOr<Source> ReadSource(const Folder& folder, const Settings& settings) {
  if (folder.Has("tokenizer.json")) {
    HONE_ASSIGN_OR_RETURN(std::string json, folder.Read("tokenizer.json"));
    return Source{std::move(json), "tokenizer.json"};
  }
  if (folder.Has("vocab.txt")) {
    HONE_ASSIGN_OR_RETURN(const std::string text, folder.Read("vocab.txt"));
    HONE_ASSIGN_OR_RETURN(const nlohmann::json json, FromVocabularyFile(text, settings));
    return Source{json.dump(), "vocab.txt"};
  }
  if (folder.Has("vocab.json") && folder.Has("merges.txt")) {
    HONE_ASSIGN_OR_RETURN(nlohmann::json vocabulary, folder.ReadObject("vocab.json"));
    HONE_ASSIGN_OR_RETURN(const std::string text, folder.Read("merges.txt"));
    HONE_ASSIGN_OR_RETURN(const nlohmann::json json,
                          FromMergesFile(std::move(vocabulary), text, settings));
    return Source{json.dump(), "vocab.json"};
  }
  if (folder.Has("tokenizer.model")) {
    absl::StatusOr<nlohmann::json> json = FromSentencePieces(folder, settings);
    HONE_RETURN_IF_ERROR(Annotate(json.status(), "tokenizer.model"));
    return Source{json->dump(), "tokenizer.model"};
  }
  for (const char* name : {"spiece.model", "sentencepiece.bpe.model"}) {
    if (folder.Has(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          name,
          ": a checkpoint's model of SentencePiece is read from the tokenizer.json that "
          "transformers makes of it: "
          "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"));
    }
  }
  return absl::NotFoundError(
      "there is no tokenizer: none of tokenizer.json, vocab.txt, vocab.json with "
      "merges.txt, and tokenizer.model");
}

}  // namespace

absl::StatusOr<ReadTokenizer> ReadPretrainedTokenizer(const std::string& directory) {
  const Folder folder(directory);
  Settings settings;
  HONE_ASSIGN_OR_RETURN(settings.config, folder.ReadObject("tokenizer_config.json"));
  HONE_ASSIGN_OR_RETURN(settings.special, folder.ReadObject("special_tokens_map.json"));
  HONE_ASSIGN_OR_RETURN(const Source source, ReadSource(folder, settings));
  ReadTokenizer read;
  read.file = source.file;
  const auto parse = [&](const TokenRoles* roles, std::vector<std::string>* overridden)
      -> absl::StatusOr<std::unique_ptr<const PretrainedTokenizer>> {
    auto tokenizer = ParseTokenizerJson(source.json, roles, overridden);
    if (!tokenizer.ok()) {
      return Annotate(tokenizer.status(), source.file);
    }
    return tokenizer;
  };
  HONE_ASSIGN_OR_RETURN(const auto first, parse(nullptr, &read.overridden));
  read.roles = RolesOf(*first, settings);
  HONE_ASSIGN_OR_RETURN(read.tokenizer, parse(&read.roles, nullptr));
  // Where it has no bound, transformers writes 1e30.
  constexpr double kNone = 1e12;
  const auto most = settings.config.find("model_max_length");
  if (most != settings.config.end() && most->is_number() && most->get<double>() < kNone &&
      most->get<double>() >= 1) {
    read.max_tokens = static_cast<int64_t>(most->get<double>());
  }
  if (folder.Has("chat_template.jinja")) {
    HONE_ASSIGN_OR_RETURN(read.chat_template, folder.Read("chat_template.jinja"));
  } else if (const auto chat = settings.config.find("chat_template");
             chat != settings.config.end() && chat->is_string()) {
    read.chat_template = chat->get<std::string>();
  }
  return read;
}

}  // namespace hone::engine::text
