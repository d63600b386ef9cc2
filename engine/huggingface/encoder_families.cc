#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/huggingface/families.h"

// Encoders of texts (Devlin et al., "BERT", 2019; Sanh et al., "DistilBERT", 2019; Liu et al.,
// "RoBERTa", 2019), as transformers computes them.
namespace hone::engine::huggingface {
namespace {

constexpr absl::string_view kPreset = "transformer_encoder";
// The head reads what the first token's row has become; it is one dense layer, then the classes.
constexpr absl::string_view kOptions =
    R"({"norm": "post", "embedding_norm": true, "pooling": "first", "pooler": true,
        "transposed": true})";

const std::vector<Word>& Activations() {
  static const auto* const kWords = new std::vector<Word>{{"gelu", "gelu"},
                                                          {"gelu_new", "gelu_tanh"},
                                                          {"gelu_pytorch_tanh", "gelu_tanh"},
                                                          {"relu", "relu"}};
  return *kWords;
}

std::vector<ConfigKey> BertKeys() {
  return {
      {.key = "vocab_size", .size = 'V', .option = "table_rows"},
      {.key = "hidden_size", .size = 'D', .option = "width"},
      {.key = "num_hidden_layers", .size = 'L', .option = "layers"},
      {.key = "num_attention_heads", .size = 'H', .option = "heads"},
      {.key = "intermediate_size", .size = 'F', .option = "hidden"},
      {.key = "max_position_embeddings", .size = 'P', .option = "length"},
      {.key = "type_vocab_size", .size = 'T', .option = "token_types"},
      {.key = "layer_norm_eps", .option = "epsilon", .otherwise = "1e-12"},
      {.key = "hidden_act",
       .option = "activation",
       .otherwise = "\"gelu\"",
       .words = Activations()},
      {.key = "hidden_dropout_prob", .option = "dropout", .otherwise = "0.1"},
      {.key = "attention_probs_dropout_prob", .option = "attention_dropout", .otherwise = "0.1"},
      {.key = "classifier_dropout", .option = "head_dropout", .otherwise = "null"},
      {.key = "position_embedding_type", .only = "\"absolute\""},
      {.key = "is_decoder", .only = "false"},
      {.key = "add_cross_attention", .only = "false"},
  };
}

// What the three have in common, by the names of BERT's parts.
std::vector<ModuleRule> BertModules(Part places) {
  return {
      {"embeddings.word_embeddings", "token_embedding", "V D"},
      {.theirs = "embeddings.position_embeddings",
       .ours = "positions",
       .weight = "P D",
       .part = places},
      {"embeddings.token_type_embeddings", "token_types", "T D"},
      {"embeddings.LayerNorm", "embedding_norm", "D", "D"},
      {"encoder.layer.{i}.attention.self.query", "block_{n}.attention.query", "D D", "D"},
      {"encoder.layer.{i}.attention.self.key", "block_{n}.attention.key", "D D", "D"},
      {"encoder.layer.{i}.attention.self.value", "block_{n}.attention.value", "D D", "D"},
      {"encoder.layer.{i}.attention.output.dense", "block_{n}.attention.output", "D D", "D"},
      {"encoder.layer.{i}.attention.output.LayerNorm", "block_{n}.norm_1", "D", "D"},
      {"encoder.layer.{i}.intermediate.dense", "block_{n}.up", "F D", "F"},
      {"encoder.layer.{i}.output.dense", "block_{n}.down", "D F", "D"},
      {"encoder.layer.{i}.output.LayerNorm", "block_{n}.norm_2", "D", "D"},
  };
}

std::vector<ModuleRule> Joined(std::vector<ModuleRule> modules,
                               const std::vector<ModuleRule>& more) {
  modules.insert(modules.end(), more.begin(), more.end());
  return modules;
}

ModuleRule Head(absl::string_view theirs, absl::string_view ours, absl::string_view weight,
                absl::string_view bias) {
  return {.theirs = theirs, .ours = ours, .weight = weight, .bias = bias, .optional = true};
}

absl::Status CompleteBert(const nlohmann::json&, Sizes&, nlohmann::json&) {
  return absl::OkStatus();
}

absl::Status CompleteDistilBert(const nlohmann::json&, Sizes&, nlohmann::json& options) {
  options["pooler_activation"] = "relu";
  options["epsilon"] = 1e-12;
  return absl::OkStatus();
}

// Places are counted from the padding token's number + 1.
absl::Status CompleteRoberta(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options) {
  const auto padding = config.find("pad_token_id");
  int64_t number = 1;
  if (padding != config.end() && !padding->is_null()) {
    if (!padding->is_number_integer() || padding->get<int64_t>() < 0 ||
        padding->get<int64_t>() >= sizes['P'] - 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "`pad_token_id` must be at least 0 and below max_position_embeddings − 1, got ",
          padding->dump()));
    }
    number = padding->get<int64_t>();
  } else if (sizes['P'] < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("`max_position_embeddings` must be at least 3, got ", sizes['P']));
  }
  options["pooler_dropout"] = true;
  sizes['O'] = number + 1;
  options["length"] = sizes['P'] - sizes['O'];
  return absl::OkStatus();
}

}  // namespace

const Family& Bert() {
  static const auto* const kFamily = new Family{
      .model_type = "bert",
      .preset = kPreset,
      .options = kOptions,
      .prefixes = {"bert."},
      .keys = BertKeys(),
      .complete = CompleteBert,
      .modules = Joined(BertModules(Part::kAll),
                        {
                            Head("pooler.dense", "pooler", "D D", "D"),
                            Head("classifier", "classifier", "* D", "*"),
                            Head("cls.predictions.transform.dense", "transform", "D D", "D"),
                            Head("cls.predictions.transform.LayerNorm", "transform_norm", "D", "D"),
                            Head("cls.predictions", "output", "", "V"),
                        }),
      .unread = {"embeddings.position_ids", "cls.predictions.decoder.weight",
                 "cls.predictions.decoder.bias", "cls.seq_relationship.weight",
                 "cls.seq_relationship.bias"}};
  return *kFamily;
}

const Family& Roberta() {
  static const auto* const kFamily = new Family{
      .model_type = "roberta",
      .preset = kPreset,
      .options = kOptions,
      .prefixes = {"roberta."},
      .keys = BertKeys(),
      .complete = CompleteRoberta,
      .modules = Joined(BertModules(Part::kPlaces),
                        {
                            Head("classifier.dense", "pooler", "D D", "D"),
                            Head("pooler.dense", "pooler", "D D", "D"),
                            Head("classifier.out_proj", "classifier", "* D", "*"),
                            Head("classifier", "classifier", "* D", "*"),  // of tokens
                            Head("lm_head.dense", "transform", "D D", "D"),
                            Head("lm_head.layer_norm", "transform_norm", "D", "D"),
                            Head("lm_head", "output", "", "V"),
                        }),
      .unread = {"embeddings.position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias"}};
  return *kFamily;
}

const Family& DistilBert() {
  static const auto* const kFamily = new Family{
      .model_type = "distilbert",
      .preset = kPreset,
      .options = kOptions,
      .prefixes = {"distilbert."},
      .keys =
          {
              {.key = "vocab_size", .size = 'V', .option = "table_rows"},
              {.key = "dim", .size = 'D', .option = "width"},
              {.key = "n_layers", .size = 'L', .option = "layers"},
              {.key = "n_heads", .size = 'H', .option = "heads"},
              {.key = "hidden_dim", .size = 'F', .option = "hidden"},
              {.key = "max_position_embeddings", .size = 'P', .option = "length"},
              {.key = "activation",
               .option = "activation",
               .otherwise = "\"gelu\"",
               .words = Activations()},
              {.key = "dropout", .option = "dropout", .otherwise = "0.1"},
              {.key = "attention_dropout", .option = "attention_dropout", .otherwise = "0.1"},
              {.key = "seq_classif_dropout", .option = "head_dropout", .otherwise = "0.2"},
          },
      .complete = CompleteDistilBert,
      .modules =
          {
              {"embeddings.word_embeddings", "token_embedding", "V D"},
              {"embeddings.position_embeddings", "positions", "P D"},
              {"embeddings.LayerNorm", "embedding_norm", "D", "D"},
              {"transformer.layer.{i}.attention.q_lin", "block_{n}.attention.query", "D D", "D"},
              {"transformer.layer.{i}.attention.k_lin", "block_{n}.attention.key", "D D", "D"},
              {"transformer.layer.{i}.attention.v_lin", "block_{n}.attention.value", "D D", "D"},
              {"transformer.layer.{i}.attention.out_lin", "block_{n}.attention.output", "D D", "D"},
              {"transformer.layer.{i}.sa_layer_norm", "block_{n}.norm_1", "D", "D"},
              {"transformer.layer.{i}.ffn.lin1", "block_{n}.up", "F D", "F"},
              {"transformer.layer.{i}.ffn.lin2", "block_{n}.down", "D F", "D"},
              {"transformer.layer.{i}.output_layer_norm", "block_{n}.norm_2", "D", "D"},
              Head("pre_classifier", "pooler", "D D", "D"),
              Head("classifier", "classifier", "* D", "*"),
              Head("vocab_transform", "transform", "D D", "D"),
              Head("vocab_layer_norm", "transform_norm", "D", "D"),
              Head("vocab_projector", "output", "", "V"),
          },
      .unread = {"embeddings.position_ids", "vocab_projector.weight"}};
  return *kFamily;
}

}  // namespace hone::engine::huggingface
