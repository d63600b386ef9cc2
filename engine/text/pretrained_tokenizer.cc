#include "engine/text/pretrained_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/chat_template.h"
#include "engine/text/pretrained/sentencepiece_json.h"
#include "engine/text/pretrained/vocabulary_files.h"

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
    HONE_ASSIGN_OR_RETURN(std::string bytes,
                          ReadFile(std::filesystem::path(path_) / name, kLargestFile));
    absl::StatusOr<std::string> text = FromUtf8(std::move(bytes));
    HONE_RETURN_IF_ERROR(Annotate(text.status(), name));
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
    absl::StatusOr<nlohmann::json> json = ParseJsonObject(text);
    HONE_RETURN_IF_ERROR(Annotate(json.status(), name));
    return json;
  }

 private:
  const std::string path_;
};

// The first of the tokens that the vocabulary has: those that the files name, else how families
// write it.
int32_t FirstId(const PretrainedTokenizer& tokenizer, const TokenizerSettings& settings,
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

TokenRoles RolesOf(const PretrainedTokenizer& tokenizer, const TokenizerSettings& settings) {
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

constexpr char kLlamaPieces[] = "tokenizer.model", kT5Pieces[] = "spiece.model";
constexpr char kMakeJson[] =
    "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of transformers makes a "
    "tokenizer.json of it, which is read";

// How the tokenizer's class uses the model in the file of that name.
absl::StatusOr<SentencePieceUse> UseOf(absl::string_view name, const TokenizerSettings& settings) {
  SentencePieceUse use = {.add_begin = settings.Flag("add_bos_token", true),
                          .add_end = settings.Flag("add_eos_token", false),
                          .space_before = settings.Flag("add_prefix_space", true),
                          .legacy = settings.Flag("legacy", true)};
  const std::string said = settings.Text("tokenizer_class");
  const absl::string_view of = absl::StripSuffix(said, "Fast");
  if (of == "T5Tokenizer" || (said.empty() && name == kT5Pieces)) {
    use.add_begin = false;
    use.add_end = true;
    constexpr int64_t kOfT5 = 100, kMost = 10000;
    const auto sentinels = settings.config.value("extra_ids", nlohmann::json(kOfT5));
    if (!sentinels.is_number_integer() || sentinels < 0 || sentinels > kMost) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer_config.json: extra_ids: must be a whole number from 0 to ", kMost,
                       ", got ", CutUtf8(sentinels.dump(), 40)));
    }
    // Newer files list them among added_tokens_decoder.
    const bool listed = settings.config.contains("added_tokens_decoder");
    use.sentinels = listed ? 0 : sentinels.get<int64_t>();
  } else if (name == kT5Pieces && of != "LlamaTokenizer") {
    return absl::InvalidArgumentError(absl::StrCat(
        "how a ", CutUtf8(said, 80),
        " uses its pieces is not known here; known are T5Tokenizer and LlamaTokenizer. ",
        kMakeJson));
  }
  return use;
}

// A model of SentencePiece, as a tokenizer.json.
absl::StatusOr<nlohmann::json> FromSentencePieces(const Folder& folder, const std::string& name,
                                                  const TokenizerSettings& settings) {
  HONE_ASSIGN_OR_RETURN(const std::string bytes, folder.ReadBytes(name));
  HONE_ASSIGN_OR_RETURN(SentencePieceUse use, UseOf(name, settings));
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
  std::map<int64_t, nlohmann::json> behind;  // by id, as they get their ids in this order
  for (const auto& [key, token] : more->items()) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || !token.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer_config.json: added_tokens_decoder.",
                                                     CutUtf8(key, 40),
                                                     ": must be an id and a token"));
    }
    nlohmann::json entry = token;
    entry["id"] = id;
    const auto known =
        std::ranges::find_if(added, [&](const nlohmann::json& one) { return one["id"] == id; });
    if (known == added.end()) {
      behind[id] = std::move(entry);
    } else {
      *known = std::move(entry);
    }
  }
  for (auto& [id, token] : behind) {
    added.push_back(std::move(token));
  }
  return json;
}

// The text of a tokenizer.json, and the file that it is of.
struct Source {
  std::string json;
  std::string file;
};

absl::StatusOr<Source> ReadSource(const Folder& folder, const TokenizerSettings& settings) {
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
  for (const char* name : {kLlamaPieces, kT5Pieces}) {
    if (folder.Has(name)) {
      absl::StatusOr<nlohmann::json> json = FromSentencePieces(folder, name, settings);
      HONE_RETURN_IF_ERROR(Annotate(json.status(), name));
      return Source{json->dump(), name};
    }
  }
  constexpr char kXlmPieces[] = "sentencepiece.bpe.model";
  if (folder.Has(kXlmPieces)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kXlmPieces, ": the ids of its pieces are not those of the checkpoint. ", kMakeJson));
  }
  return absl::NotFoundError(
      "there is no tokenizer: none of tokenizer.json, vocab.txt, vocab.json with "
      "merges.txt, tokenizer.model, and spiece.model");
}

}  // namespace

absl::StatusOr<ReadTokenizer> ReadPretrainedTokenizer(const std::string& directory) {
  const Folder folder(directory);
  TokenizerSettings settings;
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
  } else {
    read.chat_template = ChatTemplateIn(settings.config);
  }
  return read;
}

}  // namespace hone::engine::text
