#include "tests/bench/sequence_nets.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/data/batches.h"
#include "engine/graph/row_sums.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::bench {
namespace {

constexpr absl::string_view kLabelsInput = "labels";

void Add(SequenceNet& net, models::LayerKind kind, std::string name,
         std::vector<std::string> inputs = {}) {
  net.model.layers.push_back(
      {.name = std::move(name), .inputs = std::move(inputs), .kind = std::move(kind)});
}

void AddDense(SequenceNet& net, int64_t units, std::string name,
              ActivationKind activation = ActivationKind::kNone) {
  layers::DenseOptions dense;
  dense.units = units;
  dense.activation = activation;
  Add(net, dense, std::move(name));
}

// Tokens [rows] and offsets of sequences of these lengths.
void AddText(SequenceBatch& batch, std::span<const int32_t> lengths, int64_t vocabulary,
             absl::string_view tokens_name, absl::string_view offsets_name, std::mt19937& random) {
  std::vector<int32_t> offsets = {0};
  std::partial_sum(lengths.begin(), lengths.end(), std::back_inserter(offsets));
  std::vector<int32_t> tokens(static_cast<size_t>(PlannedRows(offsets.back())), 0);
  for (auto token = tokens.begin(); token != tokens.begin() + offsets.back(); ++token) {
    *token = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary));
  }
  batch.tokens += offsets.back();
  batch.rows += static_cast<int64_t>(tokens.size());
  batch.inputs.emplace_back(tokens_name, std::move(tokens));
  batch.inputs.emplace_back(offsets_name, std::move(offsets));
}

// `count` labels, and −1 for as many `rows` as there are behind them.
void AddLabels(SequenceBatch& batch, int64_t count, int64_t rows, int64_t classes,
               std::mt19937& random) {
  std::vector<int32_t> labels(static_cast<size_t>(rows), -1);
  for (auto label = labels.begin(); label != labels.begin() + count; ++label) {
    *label = static_cast<int32_t>(random() % static_cast<uint64_t>(classes));
  }
  batch.inputs.emplace_back(kLabelsInput, std::move(labels));
}

// With a label of `classes` for each sequence.
void AddClassifiedBatch(SequenceNet& net, std::span<const int32_t> lengths, int64_t vocabulary,
                        int64_t classes) {
  std::mt19937 random(static_cast<uint32_t>(net.batches.size() + 1));
  SequenceBatch& batch = net.batches.emplace_back();
  net.sequences = static_cast<int64_t>(lengths.size());
  AddText(batch, lengths, vocabulary, kTokensInput, kOffsetsInput, random);
  AddLabels(batch, net.sequences, net.sequences, classes, random);
}

SequenceNet Recurrent(bool gru) {
  constexpr int64_t kVocabulary = 10'000, kClasses = 2;
  SequenceNet net;
  Add(net, layers::EmbeddingOptions{.rows = kVocabulary, .width = 64}, "embedding");
  if (gru) {
    Add(net, models::Gru{{.units = 128}}, "recurrent");
  } else {
    Add(net, models::Lstm{{.units = 128}}, "recurrent");
  }
  AddDense(net, kClasses, "head");
  AddClassifiedBatch(net, std::vector<int32_t>(32, 120), kVocabulary, kClasses);
  return net;
}

struct Sizes {
  int64_t layers, width, heads, longest, vocabulary;
};

// Blocks with the norms before attention and dense layers, as GPT-2's, or behind them, as BERT's.
void AddTransformer(SequenceNet& net, const Sizes& s, bool causal, float dropout) {
  Add(net, layers::EmbeddingOptions{.rows = s.vocabulary, .width = s.width}, "embedding");
  Add(net, layers::PositionsOptions{.length = s.longest}, "positions");
  if (!causal) {
    Add(net, models::LayerNorm{}, "embedding_norm");
    Add(net, models::Dropout{dropout}, "embedding_dropped");
  }
  std::string before = net.model.layers.back().name;
  for (int64_t i = 0; i < s.layers; ++i) {
    const std::string block = absl::StrCat("block", i);
    const auto add_norm = [&](absl::string_view part, const std::string& stream) {
      if (dropout > 0) {
        Add(net, models::Dropout{dropout}, absl::StrCat(block, part, "_dropped"));
      }
      const std::string last = net.model.layers.back().name;
      Add(net, models::Add{}, absl::StrCat(block, part, "_sum"), {stream, last});
      if (!causal) {
        Add(net, models::LayerNorm{}, absl::StrCat(block, part, "_norm"));
      }
      return net.model.layers.back().name;
    };
    if (causal) {
      Add(net, models::LayerNorm{}, block + "_norm1", {before});
    }
    Add(net, layers::AttentionOptions{.heads = s.heads, .causal = causal, .dropout = dropout},
        block + "_attention");
    before = add_norm("_attention", before);
    if (causal) {
      Add(net, models::LayerNorm{}, block + "_norm2", {before});
    }
    AddDense(net, 4 * s.width, block + "_wide", ActivationKind::kGelu);
    AddDense(net, s.width, block + "_narrow");
    before = add_norm("_dense", before);
  }
}

SequenceNet LanguageModel(int64_t width, int64_t sequences, int32_t tokens) {
  constexpr int64_t kCharacters = 65;
  SequenceNet net;
  AddTransformer(net, {4, width, 4, tokens, kCharacters}, /*causal=*/true, 0);
  Add(net, models::LayerNorm{}, "norm");
  AddDense(net, kCharacters, "head");
  std::mt19937 random(1);
  net.sequences = sequences;
  SequenceBatch& batch = net.batches.emplace_back();
  AddText(batch, std::vector<int32_t>(static_cast<size_t>(sequences), tokens), kCharacters,
          kTokensInput, kOffsetsInput, random);
  AddLabels(batch, batch.tokens, batch.rows, kCharacters, random);
  return net;
}

// A normal distribution with the mean 24 and the standard deviation 9, cut to 6–128: about as long
// as SST-2's sentences are. The sum of twelve uniform numbers is normal but for its tails, and a
// linear congruential generator in whole numbers is soon written again: torch_sequences.py has it.
std::vector<int32_t> SentenceLengths(int64_t count) {
  constexpr int64_t kOne = 65536, kMeanSum = 12 * (kOne - 1) / 2;
  uint32_t state = 1;
  std::vector<int32_t> lengths;
  for (int64_t i = 0; i < count; ++i) {
    int64_t sum = 0;
    for (int j = 0; j < 12; ++j) {
      state = state * 1664525 + 1013904223;
      sum += state / kOne;
    }
    const int64_t length = (24 * kOne + 9 * (sum - kMeanSum) + kOne / 2) >> 16;
    lengths.push_back(static_cast<int32_t>(std::clamp<int64_t>(length, 6, 128)));
  }
  return lengths;
}

// As BERT classifies: the first token through a dense layer with tanh, dropout and a dense layer.
SequenceNet Encoder(bool of_sentences) {
  constexpr int64_t kVocabulary = 30'522, kClasses = 2, kSequences = 16, kBatches = 16;
  constexpr int64_t kWidth = 384;
  constexpr int32_t kLongest = 128;
  constexpr float kDropout = 0.1f;
  SequenceNet net;
  AddTransformer(net, {6, kWidth, 12, kLongest, kVocabulary}, /*causal=*/false, kDropout);
  Add(net, layers::SequencePoolOptions{.kind = SegmentPoolKind::kFirst}, "first");
  AddDense(net, kWidth, "pooler", ActivationKind::kTanh);
  Add(net, models::Dropout{kDropout}, "pooler_dropped");
  AddDense(net, kClasses, "head");
  if (!of_sentences) {
    AddClassifiedBatch(net, std::vector<int32_t>(kSequences, kLongest), kVocabulary, kClasses);
    return net;
  }
  const std::vector<int32_t> lengths = SentenceLengths(kBatches * kSequences);
  for (size_t i = 0; i < lengths.size(); i += kSequences) {
    AddClassifiedBatch(net, std::span(lengths).subspan(i, kSequences), kVocabulary, kClasses);
  }
  return net;
}

SequenceNet Seq2Seq() {
  constexpr int64_t kSource = 7'000, kTarget = 12'000;
  std::vector<int32_t> sources, targets;
  for (int32_t i = 0; i < 64; ++i) {  // 6 and 7.5 tokens in the mean
    sources.push_back(2 + i % 9);
    targets.push_back(3 + i % 10);
  }
  SequenceNet net;
  net.model.preset = {.name = "seq2seq", .options = R"({"units": 256, "dropout": 0.1})"};
  net.options.vocabulary = kTarget;
  net.options.translation.source_vocabulary = kSource;
  net.sequences = 64;
  std::mt19937 random(1);
  SequenceBatch& batch = net.batches.emplace_back();
  AddText(batch, targets, kTarget, kTokensInput, kOffsetsInput, random);
  const int64_t tokens = batch.tokens, rows = batch.rows;
  AddText(batch, sources, kSource, models::kSourceTokensInput, models::kSourceOffsetsInput, random);
  AddLabels(batch, tokens, rows, kTarget, random);
  return net;
}

}  // namespace

std::vector<size_t> SequenceBatch::shape() const {
  std::vector<size_t> counts;
  for (const auto& [name, values] : inputs) {
    counts.push_back(values.size());
  }
  return counts;
}

std::vector<SequenceBatch> SequenceBatch::Parts(int n) const {
  const auto named = [&](absl::string_view name) -> const std::vector<int32_t>& {
    return std::ranges::find(inputs, name, &decltype(inputs)::value_type::first)->second;
  };
  const bool two_texts = std::ranges::any_of(inputs, [](const auto& input) {
    return input.first != kOffsetsInput && absl::EndsWith(input.first, kOffsetsInput);
  });
  const std::vector<int32_t>& offsets = named(kOffsetsInput);
  const size_t sequences = offsets.size() - 1, planned = named(kTokensInput).size();
  const auto each = sequences / static_cast<size_t>(n);
  if (n == 1 || two_texts || each * static_cast<size_t>(n) != sequences) {
    return {*this};
  }
  const auto length = [&](int32_t i) -> int64_t {
    return offsets[static_cast<size_t>(i) + 1] - offsets[static_cast<size_t>(i)];
  };
  std::vector<int32_t> order(sequences);
  std::iota(order.begin(), order.end(), 0);
  data::BalanceScratch scratch;
  data::BalanceParts(order, n, length, scratch);
  std::vector<SequenceBatch> parts;
  int64_t most = 0;
  for (auto first = order.begin(); first != order.end();
       first += static_cast<std::ptrdiff_t>(each)) {
    const std::span<const int32_t> own(first, each);
    SequenceBatch& part = parts.emplace_back();
    for (const auto& [name, values] : inputs) {
      std::vector<int32_t> of_part;
      for (const int32_t i : own) {
        const auto at = static_cast<size_t>(i);
        if (name == kOffsetsInput) {
          of_part.push_back(static_cast<int32_t>(part.tokens));
          part.tokens += length(i);
        } else if (values.size() == planned) {
          of_part.insert(of_part.end(), values.begin() + offsets[at],
                         values.begin() + offsets[at + 1]);
        } else {
          of_part.push_back(values[at]);
        }
      }
      if (name == kOffsetsInput) {
        of_part.push_back(static_cast<int32_t>(part.tokens));
      }
      part.inputs.emplace_back(name, std::move(of_part));
    }
    most = std::max(most, part.tokens);
  }
  for (SequenceBatch& part : parts) {
    part.rows = PlannedRows(most);
    for (auto& [name, values] : part.inputs) {
      if (name != kOffsetsInput && values.size() == static_cast<size_t>(part.tokens)) {
        values.resize(static_cast<size_t>(part.rows), name == kLabelsInput ? -1 : 0);
      }
    }
  }
  return parts;
}

double SequenceNet::tokens() const {
  double sum = 0;
  for (const SequenceBatch& batch : batches) {
    sum += static_cast<double>(batch.tokens);
  }
  return sum / static_cast<double>(batches.size());
}

absl::StatusOr<SequenceNet> MakeSequenceNet(absl::string_view name) {
  if (name == "lstm" || name == "gru") {
    return Recurrent(name == "gru");
  }
  if (name == "gpt128") {
    return LanguageModel(128, 12, 64);
  }
  if (name == "gpt256") {
    return LanguageModel(256, 8, 256);
  }
  if (name == "minilm" || name == "minilm_lengths") {
    return Encoder(/*of_sentences=*/name == "minilm_lengths");
  }
  if (name == "seq2seq") {
    return Seq2Seq();
  }
  return absl::NotFoundError(absl::StrCat("there is no net \"", name,
                                          "\"; there are lstm, gru, gpt128, gpt256, minilm, "
                                          "minilm_lengths and seq2seq"));
}

absl::StatusOr<BuiltGraph> BuildSequenceStep(const SequenceNet& net, const SequenceBatch& batch,
                                             ParameterStore& store) {
  BuiltGraph built;
  built.graph = std::make_unique<Graph>();
  Graph& graph = *built.graph;
  models::ModelDescription model = net.model;
  model.inputs.clear();
  std::vector<models::NamedValue> inputs;
  Value labels;
  for (const auto& [name, values] : batch.inputs) {
    const Value input = graph.Input(name, {{static_cast<int64_t>(values.size())}, DType::kS32});
    if (name == kLabelsInput) {
      labels = input;
    } else {
      model.inputs.push_back(name);
      inputs.push_back({name, input});
    }
  }
  models::BuildOptions options = net.options;
  options.training = true;
  options.logits = true;
  HONE_ASSIGN_OR_RETURN(const models::BuiltModel output,
                        models::BuildModel(graph, model, inputs, options));
  const Loss loss = CrossEntropy(graph, output.output, labels, {});
  std::vector<Value> parameters;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
      parameters.push_back({static_cast<int32_t>(i), 0});
    }
  }
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, parameters);
  HONE_RETURN_IF_ERROR(graph.status());
  built.request = {
      .graph = &graph, .fetch = {loss.sum, loss.weight, loss.correct}, .gradients = {}};
  for (size_t i = 0; i < parameters.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id,
                          store.Declare(graph.node(parameters[i].node).parameter));
    if (!store.allocated() && IsRowSums(graph, gradients[i])) {
      store.GiveRows(id);
    }
    built.request.gradients.emplace_back(gradients[i], id);
  }
  return built;
}

absl::Status FillSequences(const SequenceBatch& batch, const Program& program) {
  for (const auto& [name, values] : batch.inputs) {
    if (void* const to = program.input(name); to != nullptr) {
      std::ranges::copy(values, static_cast<int32_t*>(to));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::bench
