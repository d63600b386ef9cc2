#include "engine/export/gguf_tokenizer.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/chat_template.h"
#include "engine/text/pretrained_tokenizer.h"

namespace hone::engine::exports {
namespace {

using nlohmann::json;

// Types of tokens, by llama.cpp's numbers.
constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

constexpr char kEndId[] = "tokenizer.ggml.eos_token_id";

// How texts are split before the merges: what llama.cpp calls each way.
constexpr char kLlama3[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen2[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

absl::Status Unknown(absl::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat("format gguf: ", what,
                   "; byte-level BPE as GPT-2, SmolLM, Llama 3 and Qwen2 "
                   "have it is what is written"));
}

absl::StatusOr<std::string> PreTokenizer(const json& pre) {
  const auto is = [](const json& part, const char* type) {
    return part.is_object() && part.value("type", "") == type;
  };
  // Nothing is put before a text.
  const auto is_byte_level = [&](const json& part) {
    return is(part, "ByteLevel") && !part.value("add_prefix_space", false);
  };
  if (is_byte_level(pre) && pre.value("use_regex", true)) {
    return "gpt-2";
  }
  if (is(pre, "Sequence") && pre.contains("pretokenizers") && pre["pretokenizers"].size() == 2 &&
      is_byte_level(pre["pretokenizers"][1])) {
    const json& first = pre["pretokenizers"][0];
    const bool regex = pre["pretokenizers"][1].value("use_regex", true);
    if (is(first, "Digits") && first.value("individual_digits", false) && regex) {
      return "smollm";
    }
    if (is(first, "Split") && !regex && first.contains("pattern") &&
        first.value("behavior", "") == "Isolated" && !first.value("invert", false)) {
      const std::string pattern = first["pattern"].value("Regex", "");
      if (pattern == kLlama3 || pattern == kQwen2) {
        return pattern == kLlama3 ? "llama-bpe" : "qwen2";
      }
    }
  }
  return Unknown(absl::StrCat("the tokenizer's pre_tokenizer is ", CutUtf8(pre.dump(), 200)));
}

// What llama.cpp takes for granted of a tokenizer that splits texts by `pre`.
absl::Status CheckModel(const json& description, absl::string_view pre) {
  const json normalizer = description.value("normalizer", json());
  if (!normalizer.is_null() && normalizer.value("type", "") != "NFC") {
    return Unknown(absl::StrCat("the tokenizer's normalizer is ", CutUtf8(normalizer.dump(), 200)));
  }
  const json& model = description.at("model");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto affix = model.find(key);
        affix != model.end() && !affix->is_null() && *affix != "") {
      return Unknown(absl::StrCat("the tokenizer's model has `", key, "`"));
    }
  }
  // It looks words up whole for this kind alone.
  const auto found = model.find("ignore_merges");
  const bool ignores = found != model.end() && found->is_boolean() && found->get<bool>();
  if (ignores != (pre == "llama-bpe")) {
    return Unknown(absl::StrCat("the tokenizer's model has `ignore_merges` ",
                                ignores ? "true" : "false", " with texts split as ", pre, " does"));
  }
  return absl::OkStatus();
}

// Merges are written as "a b" or as ["a", "b"].
absl::StatusOr<std::vector<std::string>> Merges(const json& merges) {
  std::vector<std::string> written;
  for (const json& merge : merges) {
    if (merge.is_string()) {
      written.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2) {
      written.push_back(
          absl::StrCat(merge[0].get<std::string>(), " ", merge[1].get<std::string>()));
    } else {
      return Unknown("a merge of the tokenizer is no pair");
    }
  }
  return written;
}

// A file that came with the checkpoint; an empty object where there is none.
json FileOf(const tasks::ModelFile& file, const char* name) {
  const auto found = file.checkpoint_files.find(name);
  json parsed = found == file.checkpoint_files.end()
                    ? json()
                    : json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed : json::object();
}

// The first number of a key that may be a list of numbers, where it is one of the tokens.
std::optional<uint32_t> IdIn(const json& object, const char* key, int64_t tokens) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return std::nullopt;
  }
  const json& id = found->is_array() && !found->empty() ? found->front() : *found;
  if (!id.is_number_integer()) {
    return std::nullopt;
  }
  const auto number = id.get<int64_t>();
  return number >= 0 && number < tokens ? std::optional(static_cast<uint32_t>(number))
                                        : std::nullopt;
}

absl::Status AddIds(const tasks::ModelFile& file, const json& roles, int64_t tokens, Gguf& gguf) {
  const json generation = FileOf(file, "generation_config.json"),
             config = FileOf(file, "config.json");
  const auto add = [&](const char* key, const char* theirs, const char* role) {
    std::optional<uint32_t> id = IdIn(generation, theirs, tokens);
    id = id.has_value() ? id : IdIn(config, theirs, tokens);
    id = id.has_value() ? id : IdIn(roles, role, tokens);
    if (id.has_value()) {
      gguf.pairs.emplace_back(key, *id);
    }
  };
  add("tokenizer.ggml.bos_token_id", "bos_token_id", "begin");
  add(kEndId, "eos_token_id", "end");
  add("tokenizer.ggml.unknown_token_id", "unk_token_id", "unknown");
  add("tokenizer.ggml.padding_token_id", "pad_token_id", "padding");
  // Where llama.cpp is told none, it takes GPT-2's number 11 of this kind, and ends texts there.
  return gguf.Find<uint32_t>(kEndId) != nullptr
             ? absl::OkStatus()
             : absl::FailedPreconditionError(
                   "format gguf: the checkpoint names no token that ends texts, without which "
                   "llama.cpp ends them at another one; write `eos_token` into its "
                   "tokenizer_config.json");
}

void AddChatTemplate(const tasks::ModelFile& file, Gguf& gguf) {
  const auto jinja = file.checkpoint_files.find("chat_template.jinja");
  std::string text = jinja != file.checkpoint_files.end()
                         ? jinja->second
                         : text::ChatTemplateIn(FileOf(file, "tokenizer_config.json"));
  if (!text.empty()) {
    gguf.pairs.emplace_back("tokenizer.chat_template", std::move(text));
  }
}

}  // namespace

absl::Status AddTokenizer(const tasks::ModelFile& file, int64_t rows, Gguf& gguf) {
  const auto* const tokenizer =
      dynamic_cast<const text::PretrainedTokenizer*>(file.preprocessing.text->tokenizer.get());
  if (tokenizer == nullptr) {
    return Unknown("the tokenizer is none of a checkpoint");
  }
  const json kept = tokenizer->ToJson();
  const json description = json::parse(kept.at("tokenizer_json").get_ref<const std::string&>());
  const json& model = description.at("model");
  if (model.value("type", "BPE") != "BPE" || model.value("byte_fallback", false)) {
    return Unknown("the tokenizer's model is another one");
  }
  HONE_ASSIGN_OR_RETURN(const std::string pre,
                        PreTokenizer(description.value("pre_tokenizer", json())));
  HONE_RETURN_IF_ERROR(CheckModel(description, pre));
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> merges, Merges(model.at("merges")));
  std::map<int64_t, int32_t> added;  // types by id
  for (const json& token : description.value("added_tokens", json::array())) {
    added[token.at("id").get<int64_t>()] = token.value("special", false) ? kControl : kUserDefined;
  }
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  for (int64_t id = 0; id < rows; ++id) {
    std::string written = tokenizer->Written(static_cast<int32_t>(id));
    const auto of_added = added.find(id);
    const bool used = id < tokenizer->size() && !written.empty();
    types.push_back(of_added != added.end() ? of_added->second : used ? kNormal : kUnused);
    tokens.push_back(used ? std::move(written) : absl::StrCat("[PAD", id, "]"));
  }
  gguf.pairs.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
  gguf.pairs.emplace_back("tokenizer.ggml.pre", pre);
  gguf.pairs.emplace_back("tokenizer.ggml.tokens", std::move(tokens));
  gguf.pairs.emplace_back("tokenizer.ggml.token_type", std::move(types));
  gguf.pairs.emplace_back("tokenizer.ggml.merges", std::move(merges));
  HONE_RETURN_IF_ERROR(AddIds(file, kept.at("roles"), rows, gguf));
  const std::vector<int32_t> ids = tokenizer->EncodeInTemplate("a").ids;
  const auto* const begin = gguf.Find<uint32_t>("tokenizer.ggml.bos_token_id");
  gguf.pairs.emplace_back(
      "tokenizer.ggml.add_bos_token",
      begin != nullptr && !ids.empty() && static_cast<uint32_t>(ids.front()) == *begin);
  AddChatTemplate(file, gguf);
  return absl::OkStatus();
}

}  // namespace hone::engine::exports
