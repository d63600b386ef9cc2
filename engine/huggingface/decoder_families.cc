#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/huggingface/families.h"

// Language models (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019;
// Touvron et al., "LLaMA", 2023), as transformers computes them.
namespace hone::engine::huggingface {
namespace {

constexpr absl::string_view kPreset = "gpt";

absl::Status Wrong(absl::string_view key, absl::string_view must, const nlohmann::json& got) {
  return absl::InvalidArgumentError(
      absl::StrCat("`", key, "` must ", must, ", got ", got.dump().substr(0, 200)));
}

absl::Status CompleteGpt2(const nlohmann::json&, Sizes& sizes, nlohmann::json&) {
  sizes.try_emplace('F', 4 * sizes['D']);
  return absl::OkStatus();
}

// Of newer files; older ones have `rope_theta` and `rope_scaling`.
absl::Status ReadRope(const nlohmann::json& rope, nlohmann::json& options) {
  if (rope.is_null()) {
    return absl::OkStatus();
  }
  constexpr absl::string_view kMust =
      "be {\"rope_theta\": a number, \"rope_type\": \"default\"} and have nothing else";
  if (!rope.is_object()) {
    return Wrong("rope_parameters", kMust, rope);
  }
  for (const auto& [key, value] : rope.items()) {
    const bool theta = key == "rope_theta" && value.is_number();
    if (!theta && !((key == "rope_type" || key == "type") && value == "default")) {
      return Wrong("rope_parameters", kMust, rope);
    }
    if (theta) {
      options["rotary_base"] = value;
    }
  }
  return absl::OkStatus();
}

absl::Status CompleteLlama(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options) {
  const int64_t width = sizes['D'], heads = sizes['H'];
  if (width % heads != 0 || width / heads % 2 != 0) {
    return Wrong("num_attention_heads",
                 absl::StrCat("divide hidden_size ", width, " into even numbers"), heads);
  }
  const int64_t groups = sizes.try_emplace('G', heads).first->second;
  if (heads % groups != 0) {
    return Wrong("num_key_value_heads", absl::StrCat("divide num_attention_heads ", heads), groups);
  }
  sizes['K'] = groups * (width / heads);
  const nlohmann::json head = config.value("head_dim", nlohmann::json());
  if (!head.is_null() && head != width / heads) {
    return Wrong("head_dim", absl::StrCat("be hidden_size ÷ num_attention_heads, ", width / heads),
                 head);
  }
  return ReadRope(config.value("rope_parameters", nlohmann::json()), options);
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
  static const auto* const kFamily = new Family{
      .model_type = "llama",
      .preset = kPreset,
      .options = R"({"positions": "rotary", "norm": "rms", "gated": true, "use_bias": false,
                     "transposed": true})",
      .prefixes = {"model."},
      .keys =
          {
              {.key = "vocab_size", .size = 'V', .option = "table_rows"},
              {.key = "hidden_size", .size = 'D', .option = "width"},
              {.key = "intermediate_size", .size = 'F', .option = "hidden"},
              {.key = "num_hidden_layers", .size = 'L', .option = "layers"},
              {.key = "num_attention_heads", .size = 'H', .option = "heads"},
              {.key = "num_key_value_heads",
               .size = 'G',
               .option = "kv_heads",
               .otherwise = "null"},
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
              {.key = "rope_scaling", .only = "null"},
              {.key = "rope_parameters", .for_complete = true},
              {.key = "rope_interleaved", .only = "false"},
              {.key = "head_dim", .for_complete = true},
              {.key = "attention_bias", .only = "false"},
              {.key = "mlp_bias", .only = "false"},
              {.key = "pretraining_tp", .only = "1"},
          },
      .complete = CompleteLlama,
      .modules =
          {
              {"embed_tokens", "token_embedding", "V D"},
              {"layers.{i}.input_layernorm", "block_{n}.norm_1", "D"},
              {"layers.{i}.self_attn.q_proj", "block_{n}.attention.query", "D D"},
              {"layers.{i}.self_attn.k_proj", "block_{n}.attention.key", "K D"},
              {"layers.{i}.self_attn.v_proj", "block_{n}.attention.value", "K D"},
              {"layers.{i}.self_attn.o_proj", "block_{n}.attention.output", "D D"},
              {"layers.{i}.post_attention_layernorm", "block_{n}.norm_2", "D"},
              {"layers.{i}.mlp.gate_proj", "block_{n}.feed_forward.gate", "F D"},
              {"layers.{i}.mlp.up_proj", "block_{n}.feed_forward.up", "F D"},
              {"layers.{i}.mlp.down_proj", "block_{n}.feed_forward.down", "D F"},
              {"norm", "norm", "D"},
              {.theirs = "lm_head", .ours = "output", .weight = "V D", .untied = true},
          },
      .unread = {"rotary_emb.inv_freq", "layers.{i}.self_attn.rotary_emb.inv_freq"}};
  return *kFamily;
}

}  // namespace hone::engine::huggingface
