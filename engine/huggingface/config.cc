#include "engine/huggingface/config.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/huggingface/families.h"

namespace hone::engine::huggingface {
namespace {

using nlohmann::json;

constexpr int64_t kMostBytes = 1 << 20;
constexpr int64_t kMostBlocks = 1000;
constexpr int64_t kMostOfASize = 1 << 24;  // tokens, numbers of a row
constexpr size_t kMostShown = 80;          // bytes of a value

// Keys of any family that change nothing of what the net computes from tokens.
constexpr absl::string_view kWithoutEffect[] = {
    "_attn_implementation_autoset",
    "_model_name_or_path",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cls_token_id",
    "decoder_start_token_id",
    "directionality",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "language",
    "mask_token_id",
    "max_length",
    "min_length",
    "model_type",
    "n_ctx",
    "name",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pad_token_id",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "prefix",
    "problem_type",
    "qa_dropout",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "return_dict",
    "sep_token_id",
    "sinusoidal_pos_embds",  // the table is in the file either way
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tie_weights_",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
};

// Keys of any family that would change it: the only value that is taken of each.
struct FixedKey {
  absl::string_view key;
  absl::string_view only;
};
constexpr FixedKey kFixed[] = {
    {"cross_attention_hidden_size", "null"},
    {"is_encoder_decoder", "false"},
    {"pruned_heads", "{}"},
    {"tie_encoder_decoder", "false"},
    {"tie_word_embeddings", "true"},
};

std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMostShown) {
    text = CutUtf8(text, kMostShown);
    text += "…";
  }
  return text;
}

json Parsed(absl::string_view text) { return json::parse(text); }

class Reader {
 public:
  Reader(const json& in, const Family& family, Config& out) : in_(in), family_(family), out_(out) {}

  absl::Status Read() {
    out_.family = &family_;
    out_.options = Parsed(family_.options);
    for (const ConfigKey& key : family_.keys) {
      ReadKey(key);
    }
    for (const auto& [key, value] : in_.items()) {
      CheckOther(key, value);
    }
    if (!wrong_.empty()) {
      return absl::InvalidArgumentError(absl::StrJoin(wrong_, "; "));
    }
    return family_.complete(in_, out_.sizes, out_.options);
  }

 private:
  const json* Find(absl::string_view key) const {
    const auto found = in_.find(std::string(key));
    return found == in_.end() || found->is_null() ? nullptr : &*found;
  }

  void ReadKey(const ConfigKey& key) {
    if (key.for_complete) {
      return;
    }
    const json* value = Find(key.key);
    if (!key.only.empty()) {
      CheckOnly(key.key, key.only, value);
      return;
    }
    if (value == nullptr && key.otherwise.empty()) {
      wrong_.push_back(absl::StrCat("`", key.key, "` is missing"));
      return;
    }
    const json taken = value != nullptr ? *value : Parsed(key.otherwise);
    if (taken.is_null()) {
      return;
    }
    if (key.size != 0) {
      ReadSize(key, taken);
    } else if (!key.words.empty()) {
      ReadWord(key, taken);
    } else if (const bool yes_or_no = Parsed(key.otherwise).is_boolean();
               yes_or_no ? !taken.is_boolean() : !taken.is_number()) {
      wrong_.push_back(absl::StrCat("`", key.key, "` must be ",
                                    yes_or_no ? "true or false" : "a number", ", got ",
                                    Shown(taken)));
    } else {
      out_.options[std::string(key.option)] = taken;
    }
  }

  void ReadSize(const ConfigKey& key, const json& value) {
    const int64_t most = key.size == 'L' ? kMostBlocks : kMostOfASize;
    // A number beyond int64 is compared as the unsigned one that it is.
    const bool whole = value.is_number_unsigned()
                           ? value.get<uint64_t>() <= static_cast<uint64_t>(most)
                           : value.is_number_integer();
    if (!whole || value.get<int64_t>() < 1 || value.get<int64_t>() > most) {
      wrong_.push_back(absl::StrCat("`", key.key, "` must be a whole number from 1 to ", most,
                                    ", got ", Shown(value)));
      return;
    }
    out_.sizes[key.size] = value.get<int64_t>();
    if (!key.option.empty()) {
      out_.options[std::string(key.option)] = value;
    }
  }

  void ReadWord(const ConfigKey& key, const json& value) {
    const auto word = std::ranges::find_if(key.words, [&](const Word& known) {
      return value.is_string() && value.get_ref<const std::string&>() == known.theirs;
    });
    if (word != key.words.end()) {
      out_.options[std::string(key.option)] = std::string(word->ours);
      return;
    }
    const std::string known = absl::StrJoin(
        key.words, ", ", [](std::string* out, const Word& w) { absl::StrAppend(out, w.theirs); });
    wrong_.push_back(
        absl::StrCat("`", key.key, "` must be one of ", known, ", got ", Shown(value)));
  }

  void CheckOnly(absl::string_view key, absl::string_view only, const json* value) {
    if (value != nullptr && *value != Parsed(only)) {
      wrong_.push_back(absl::StrCat("`", key, "` must be ", only, ", got ", Shown(*value)));
    }
  }

  void CheckOther(const std::string& key, const json& value) {
    if (value.is_null() ||
        std::ranges::find(family_.keys, key, &ConfigKey::key) != family_.keys.end()) {
      return;
    }
    const auto fixed = std::ranges::find(kFixed, key, &FixedKey::key);
    if (fixed != std::end(kFixed)) {
      CheckOnly(key, fixed->only, &value);
    } else if (std::ranges::find(kWithoutEffect, key) == std::end(kWithoutEffect)) {
      wrong_.push_back(absl::StrCat("`", CutUtf8(key, kMostShown),
                                    "` is not known, so the model might answer differently here"));
    }
  }

  const json& in_;
  const Family& family_;
  Config& out_;
  std::vector<std::string> wrong_;
};

}  // namespace

absl::StatusOr<Config> ParseConfig(absl::string_view text) {
  constexpr char kFile[] = "config.json";
  const absl::StatusOr<json> parsed = ParseJsonObject(text);
  HONE_RETURN_IF_ERROR(Annotate(parsed.status(), kFile));
  const json& in = *parsed;
  const auto type = in.find("model_type");
  if (type == in.end() || !type->is_string()) {
    return absl::InvalidArgumentError(
        "config.json: `model_type` is missing: it says what kind of model this is");
  }
  const absl::StatusOr<const Family*> family = FindFamily(type->get<std::string>());
  HONE_RETURN_IF_ERROR(Annotate(family.status(), kFile));
  Config config;
  HONE_RETURN_IF_ERROR(Annotate(Reader(in, **family, config).Read(), kFile));
  return config;
}

absl::StatusOr<Config> ReadConfig(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat(directory, "/config.json"), kMostBytes));
  absl::StatusOr<Config> config = ParseConfig(text);
  HONE_RETURN_IF_ERROR(Annotate(config.status(), directory));
  return config;
}

}  // namespace hone::engine::huggingface
