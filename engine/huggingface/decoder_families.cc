#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/huggingface/families.h"

// Language models (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019;
// Touvron et al., "LLaMA", 2023; the Qwen team, "Qwen2 Technical Report", 2024, "Qwen3 Technical
// Report", 2025), as transformers computes them.
namespace hone::engine::huggingface {
namespace {

constexpr absl::string_view kPreset = "gpt";

absl::Status Wrong(absl::string_view key, absl::string_view must, const nlohmann::json& got) {
  return absl::InvalidArgumentError(
      absl::StrCat("`", key, "` must ", must, ", got ", CutUtf8(got.dump(), 200)));
}

absl::Status CompleteGpt2(const nlohmann::json&, Sizes& sizes, nlohmann::json&) {
  sizes.try_emplace('F', 4 * sizes['D']);
  return absl::OkStatus();
}

// A number of at least `least` that a group of keys has.
absl::Status ReadNumber(absl::string_view group, const nlohmann::json& in, const char* key,
                        double least, const char* option, nlohmann::json& options) {
  const auto found = in.find(key);
  if (found == in.end() || !found->is_number() || !(found->get<double>() >= least)) {
    return Wrong(absl::StrCat(group, ".", key), absl::StrCat("be a number of at least ", least),
                 found == in.end() ? nlohmann::json() : *found);
  }
  options[option] = *found;
  return absl::OkStatus();
}

// How rotary angles are stretched, and in newer files also their base: the keys of `rope_scaling`
// and `rope_parameters`.
absl::Status ReadRope(absl::string_view group, const nlohmann::json& rope,
                      nlohmann::json& options) {
  if (rope.is_null()) {
    return absl::OkStatus();
  }
  if (!rope.is_object()) {
    return Wrong(group, "be an object, or null", rope);
  }
  const nlohmann::json type =
      rope.value("rope_type", rope.value("type", nlohmann::json("default")));
  if (type != "default" && type != "linear" && type != "llama3") {
    return Wrong(absl::StrCat(group, ".rope_type"),
                 "be default, linear or llama3, the ways to stretch rotary angles known here",
                 type);
  }
  std::vector<absl::string_view> known = {"rope_type", "type", "rope_theta"};
  if (rope.contains("rope_theta")) {
    HONE_RETURN_IF_ERROR(ReadNumber(group, rope, "rope_theta", 1, "rotary_base", options));
  }
  if (type != "default") {
    options["rotary_scaling"] = type;
    known.emplace_back("factor");
    HONE_RETURN_IF_ERROR(ReadNumber(group, rope, "factor", 1, "rotary_factor", options));
  }
  if (type == "llama3") {
    known.insert(known.end(),
                 {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"});
    HONE_RETURN_IF_ERROR(ReadNumber(group, rope, "low_freq_factor", 0, "rotary_low", options));
    HONE_RETURN_IF_ERROR(ReadNumber(group, rope, "high_freq_factor", 0, "rotary_high", options));
    HONE_RETURN_IF_ERROR(
        ReadNumber(group, rope, "original_max_position_embeddings", 1, "rotary_original", options));
  }
  for (const auto& [key, value] : rope.items()) {
    if (!value.is_null() && std::ranges::find(known, key) == known.end()) {
      return Wrong(absl::StrCat(group, ".", CutUtf8(key, 80)),
                   absl::StrCat("not be there with rope_type ", type.get<std::string>()), value);
    }
  }
  return absl::OkStatus();
}

// A flag of config.json that says whether parts have biases.
absl::Status ReadBias(const nlohmann::json& config, const char* key,
                      std::initializer_list<const char*> parts, nlohmann::json& options) {
  const nlohmann::json flag = config.value(key, nlohmann::json());
  if (!flag.is_null() && !flag.is_boolean()) {
    return Wrong(key, "be true or false", flag);
  }
  for (const char* part : parts) {
    options[part] = flag.is_boolean() && flag.get<bool>();
  }
  return absl::OkStatus();
}

// Sizes of heads, which all of Llama's kin have; `head` is the width of one where the file does not
// say, 0: hidden_size ÷ num_attention_heads.
absl::Status CompleteHeads(const nlohmann::json& config, int64_t head, Sizes& sizes,
                           nlohmann::json& options) {
  constexpr int64_t kMostOfAHead = 1 << 16;
  const int64_t width = sizes['D'], heads = sizes['H'];
  const nlohmann::json given = config.value("head_dim", nlohmann::json());
  if (!given.is_null()) {
    if (!given.is_number_integer() || given < 2 || given > kMostOfAHead ||
        given.get<int64_t>() % 2) {
      return Wrong("head_dim", absl::StrCat("be an even number from 2 to ", kMostOfAHead), given);
    }
    head = given.get<int64_t>();
  } else if (head == 0 && (width % heads != 0 || width / heads % 2 != 0)) {
    return Wrong("num_attention_heads",
                 absl::StrCat("divide hidden_size ", width, " into even numbers"), heads);
  }
  head = head == 0 ? width / heads : head;
  const int64_t groups = sizes.try_emplace('G', heads).first->second;
  if (heads % groups != 0) {
    return Wrong("num_key_value_heads", absl::StrCat("divide num_attention_heads ", heads), groups);
  }
  sizes['E'] = head;
  sizes['A'] = heads * head;
  sizes['K'] = groups * head;
  if (heads * head != width) {
    options["head_width"] = head;
  }
  return absl::OkStatus();
}

absl::Status CompleteRope(const nlohmann::json& config, nlohmann::json& options) {
  HONE_RETURN_IF_ERROR(
      ReadRope("rope_scaling", config.value("rope_scaling", nlohmann::json()), options));
  return ReadRope("rope_parameters", config.value("rope_parameters", nlohmann::json()), options);
}

absl::Status CompleteLlama(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options) {
  HONE_RETURN_IF_ERROR(CompleteHeads(config, 0, sizes, options));
  HONE_RETURN_IF_ERROR(ReadBias(config, "attention_bias", {"query_bias", "output_bias"}, options));
  HONE_RETURN_IF_ERROR(ReadBias(config, "mlp_bias", {"feed_forward_bias"}, options));
  return CompleteRope(config, options);
}

// Every layer sees all of the text.
absl::Status CheckFullAttention(const nlohmann::json& config) {
  const nlohmann::json types = config.value("layer_types", nlohmann::json());
  if (types.is_null()) {
    return absl::OkStatus();
  }
  const bool full = types.is_array() && std::ranges::all_of(types, [](const nlohmann::json& type) {
                      return type == "full_attention";
                    });
  return full ? absl::OkStatus() : Wrong("layer_types", "be full_attention each", types);
}

absl::Status CompleteQwen2(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options) {
  HONE_RETURN_IF_ERROR(CompleteHeads(config, 0, sizes, options));
  HONE_RETURN_IF_ERROR(CheckFullAttention(config));
  options["query_bias"] = true;
  return CompleteRope(config, options);
}

absl::Status CompleteQwen3(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options) {
  constexpr int64_t kHeadWidth = 128;  // where a file says nothing
  HONE_RETURN_IF_ERROR(CompleteHeads(config, kHeadWidth, sizes, options));
  HONE_RETURN_IF_ERROR(CheckFullAttention(config));
  HONE_RETURN_IF_ERROR(ReadBias(config, "attention_bias", {"query_bias", "output_bias"}, options));
  options["head_norm"] = true;
  return CompleteRope(config, options);
}

constexpr absl::string_view kLlamaOptions =
    R"({"positions": "rotary", "norm": "rms", "gated": true, "use_bias": false,
        "transposed": true})";

// Keys that Llama and its kin have, and those of one of them.
std::vector<ConfigKey> LlamaKeys(const std::vector<ConfigKey>& more) {
  std::vector<ConfigKey> keys = {
      {.key = "vocab_size", .size = 'V', .option = "table_rows"},
      {.key = "hidden_size", .size = 'D', .option = "width"},
      {.key = "intermediate_size", .size = 'F', .option = "hidden"},
      {.key = "num_hidden_layers", .size = 'L', .option = "layers"},
      {.key = "num_attention_heads", .size = 'H', .option = "heads"},
      {.key = "max_position_embeddings", .size = 'P', .option = "longest"},
      {.key = "rms_norm_eps", .option = "epsilon", .otherwise = "1e-6"},
      {.key = "hidden_act",
       .option = "activation",
       .otherwise = "\"silu\"",
       .words = {{"silu", "silu"},
                 {"swish", "silu"},
                 {"gelu", "gelu"},
                 {"gelu_new", "gelu_tanh"},
                 {"gelu_pytorch_tanh", "gelu_tanh"},
                 {"relu", "relu"}}},
      {.key = "attention_dropout", .option = "attention_dropout", .otherwise = "0"},
      {.key = "rope_theta", .option = "rotary_base", .otherwise = "10000"},
      {.key = "tie_word_embeddings", .option = "tied_embeddings", .otherwise = "false"},
      {.key = "rope_scaling", .for_complete = true},
      {.key = "rope_parameters", .for_complete = true},
      {.key = "head_dim", .for_complete = true},
  };
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

// Sliding windows, which both kinds of Qwen can have and no file of theirs uses.
std::vector<ConfigKey> QwenKeys(const std::vector<ConfigKey>& more) {
  std::vector<ConfigKey> keys = LlamaKeys({
      {.key = "num_key_value_heads", .size = 'G', .option = "kv_heads"},
      {.key = "use_sliding_window", .only = "false"},
      {.key = "sliding_window", .for_complete = true},
      {.key = "max_window_layers", .for_complete = true},
      {.key = "layer_types", .for_complete = true},
      {.key = "use_mrope", .only = "false"},
  });
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

std::vector<ModuleRule> LlamaModules(const std::vector<ModuleRule>& more) {
  const auto product = [](absl::string_view theirs, absl::string_view ours,
                          absl::string_view weight, absl::string_view bias,
                          absl::string_view biased_if) {
    return ModuleRule{
        .theirs = theirs, .ours = ours, .weight = weight, .bias = bias, .biased_if = biased_if};
  };
  constexpr absl::string_view kQuery = "query_bias", kFeedForward = "feed_forward_bias";
  std::vector<ModuleRule> modules = {
      {"embed_tokens", "token_embedding", "V D"},
      {"layers.{i}.input_layernorm", "block_{n}.norm_1", "D"},
      product("layers.{i}.self_attn.q_proj", "block_{n}.attention.query", "A D", "A", kQuery),
      product("layers.{i}.self_attn.k_proj", "block_{n}.attention.key", "K D", "K", kQuery),
      product("layers.{i}.self_attn.v_proj", "block_{n}.attention.value", "K D", "K", kQuery),
      product("layers.{i}.self_attn.o_proj", "block_{n}.attention.output", "D A", "D",
              "output_bias"),
      {"layers.{i}.post_attention_layernorm", "block_{n}.norm_2", "D"},
      product("layers.{i}.mlp.gate_proj", "block_{n}.feed_forward.gate", "F D", "F", kFeedForward),
      product("layers.{i}.mlp.up_proj", "block_{n}.feed_forward.up", "F D", "F", kFeedForward),
      product("layers.{i}.mlp.down_proj", "block_{n}.feed_forward.down", "D F", "D", kFeedForward),
      {"norm", "norm", "D"},
      {.theirs = "lm_head", .ours = "output", .weight = "V D", .untied = true},
  };
  modules.insert(modules.end(), more.begin(), more.end());
  return modules;
}

Family OfLlamasKin(absl::string_view model_type, std::vector<ConfigKey> keys,
                   decltype(Family::complete) complete, const std::vector<ModuleRule>& modules) {
  return {.model_type = model_type,
          .preset = kPreset,
          .options = kLlamaOptions,
          .prefixes = {"model."},
          .keys = std::move(keys),
          .complete = complete,
          .modules = LlamaModules(modules),
          .unread = {"rotary_emb.inv_freq", "layers.{i}.self_attn.rotary_emb.inv_freq"}};
}

}  // namespace

const Family& Gpt2() {
  static const auto* const kFamily = new Family{
      .model_type = "gpt2",
      .preset = kPreset,
      .options = R"({"positions": "learned", "use_bias": true})",
      .prefixes = {"transformer."},
      .keys =
          {
              {.key = "vocab_size", .size = 'V', .option = "table_rows"},
              {.key = "n_positions", .size = 'P', .option = "window"},
              {.key = "n_embd", .size = 'D', .option = "width"},
              {.key = "n_layer", .size = 'L', .option = "layers"},
              {.key = "n_head", .size = 'H', .option = "heads"},
              {.key = "n_inner", .size = 'F', .option = "hidden", .otherwise = "null"},
              {.key = "layer_norm_epsilon", .option = "epsilon", .otherwise = "1e-5"},
              {.key = "activation_function",
               .option = "activation",
               .otherwise = "\"gelu_new\"",
               .words = {{"gelu_new", "gelu_tanh"},
                         {"gelu_pytorch_tanh", "gelu_tanh"},
                         {"gelu", "gelu"},
                         {"relu", "relu"}}},
              {.key = "resid_pdrop", .option = "dropout", .otherwise = "0.1"},
              {.key = "embd_pdrop", .option = "embedding_dropout", .otherwise = "0.1"},
              {.key = "attn_pdrop", .option = "attention_dropout", .otherwise = "0.1"},
              {.key = "tie_word_embeddings", .option = "tied_embeddings", .otherwise = "true"},
              {.key = "scale_attn_weights", .only = "true"},
              {.key = "scale_attn_by_inverse_layer_idx", .only = "false"},
              {.key = "add_cross_attention", .only = "false"},
          },
      .complete = CompleteGpt2,
      .modules =
          {
              {"wte", "token_embedding", "V D"},
              {"wpe", "positions", "P D"},
              {"h.{i}.ln_1", "block_{n}.norm_1", "D", "D"},
              // Three products in one, and all of them [in, out].
              {.theirs = "h.{i}.attn.c_attn",
               .ours = "block_{n}.attention.query",
               .weight = "D 3D",
               .bias = "3D",
               .part = Part::kQuery},
              {.theirs = "h.{i}.attn.c_attn",
               .ours = "block_{n}.attention.key",
               .weight = "D 3D",
               .bias = "3D",
               .part = Part::kKey},
              {.theirs = "h.{i}.attn.c_attn",
               .ours = "block_{n}.attention.value",
               .weight = "D 3D",
               .bias = "3D",
               .part = Part::kValue},
              {"h.{i}.attn.c_proj", "block_{n}.attention.output", "D D", "D"},
              {"h.{i}.ln_2", "block_{n}.norm_2", "D", "D"},
              {"h.{i}.mlp.c_fc", "block_{n}.up", "D F", "F"},
              {"h.{i}.mlp.c_proj", "block_{n}.down", "F D", "D"},
              {"ln_f", "norm", "D", "D"},
              {.theirs = "lm_head",
               .ours = "output",
               .weight = "V D",
               .part = Part::kTransposed,
               .untied = true},
          },
      .unread = {"h.{i}.attn.bias", "h.{i}.attn.masked_bias"}};
  return *kFamily;
}

const Family& Llama() {
  static const auto* const kFamily = new Family(OfLlamasKin(
      "llama",
      LlamaKeys({
          {.key = "num_key_value_heads", .size = 'G', .option = "kv_heads", .otherwise = "null"},
          {.key = "rope_interleaved", .only = "false"},
          {.key = "attention_bias", .for_complete = true},
          {.key = "mlp_bias", .for_complete = true},
          {.key = "pretraining_tp", .only = "1"},
      }),
      CompleteLlama, {}));
  return *kFamily;
}

const Family& Qwen2() {
  static const auto* const kFamily =
      new Family(OfLlamasKin("qwen2", QwenKeys({}), CompleteQwen2, {}));
  return *kFamily;
}

const Family& Qwen3() {
  static const auto* const kFamily = new Family(OfLlamasKin(
      "qwen3", QwenKeys({{.key = "attention_bias", .for_complete = true}}), CompleteQwen3,
      {{"layers.{i}.self_attn.q_norm", "block_{n}.attention.query_norm", "E"},
       {"layers.{i}.self_attn.k_norm", "block_{n}.attention.key_norm", "E"}}));
  return *kFamily;
}

}  // namespace hone::engine::huggingface
