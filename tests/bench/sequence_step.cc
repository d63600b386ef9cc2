// hone-bench-sequences NET [PRECISION] [SECONDS]: a training step over sequences, timed.
//
// NET: lstm or gru (embedding 10,000 × 64, 128 units, the last state; 32 sequences of 120 tokens);
// gpt128 (4 layers × 128, 4 heads, 12 sequences of 64 characters) or gpt256 (4 × 256, 8 of 256);
// minilm (6 × 384, 12 heads, dropout 0.1, the first token's class; 16 sequences of 128 tokens) or
// minilm_lengths (the same, 16 sequences of 7 to 41 tokens); seq2seq (GRU of 256 units, Bahdanau's
// attention, dropout 0.1, vocabularies of 7,000 and 12,000; 64 pairs of 2 to 10 and 3 to 12
// tokens). PRECISION: f32 or bf16. Adam, two threads. Prints one line of JSON;
// tests/bench/torch_sequences.py is its peer.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

#include "engine/base/status.h"
#include "engine/graph/row_sums.h"
#include "engine/models/build.h"
#include "engine/ops/cross_entropy.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/tensor/token_rows.h"
#include "engine/train/train_step.h"

namespace hone::engine {
namespace {

constexpr int kThreads = 2;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Net {
  models::ModelDescription model;
  std::vector<int32_t> lengths;
  int64_t vocabulary = 0;
  int64_t classes = 2;
  bool of_tokens = false;  // a label for each token, not for each sequence
  // Of a net that translates: of the text that it reads.
  std::vector<int32_t> source_lengths = {};
  int64_t source_vocabulary = 0;

  bool translates() const { return source_vocabulary > 0; }
  int64_t source_tokens() const {
    return std::accumulate(source_lengths.begin(), source_lengths.end(), int64_t{0});
  }
  int64_t batch() const { return static_cast<int64_t>(lengths.size()); }
  int64_t tokens() const { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }

  void Add(models::LayerKind kind, std::string name, std::vector<std::string> inputs = {}) {
    model.layers.push_back(
        {.name = std::move(name), .inputs = std::move(inputs), .kind = std::move(kind)});
  }
  void AddDense(int64_t units, std::string name,
                ActivationKind activation = ActivationKind::kNone) {
    layers::DenseOptions dense;
    dense.units = units;
    dense.activation = activation;
    Add(dense, std::move(name));
  }
};

Net Recurrent(bool gru) {
  Net net;
  net.lengths.assign(32, 120);
  net.vocabulary = 10000;
  net.Add(layers::EmbeddingOptions{.rows = net.vocabulary, .width = 64}, "embedding");
  if (gru) {
    net.Add(models::Gru{{.units = 128}}, "recurrent");
  } else {
    net.Add(models::Lstm{{.units = 128}}, "recurrent");
  }
  net.AddDense(net.classes, "head");
  return net;
}

struct Sizes {
  int64_t layers, width, heads, sequences, tokens, vocabulary;
};

// Blocks with the norms before attention and dense layers, as GPT-2's, or behind them, as BERT's.
Net Transformer(const Sizes& s, bool causal, float dropout) {
  Net net;
  net.lengths.assign(static_cast<size_t>(s.sequences), static_cast<int32_t>(s.tokens));
  net.vocabulary = s.vocabulary;
  net.Add(layers::EmbeddingOptions{.rows = s.vocabulary, .width = s.width}, "embedding");
  net.Add(layers::PositionsOptions{.length = s.tokens}, "positions");
  std::string before = "positions";
  for (int64_t i = 0; i < s.layers; ++i) {
    const std::string block = "block" + std::to_string(i);
    const auto add_norm = [&](const std::string& part, const std::string& stream) {
      if (dropout > 0) {
        net.Add(models::Dropout{dropout}, block + part + "_dropped");
      }
      const std::string last = net.model.layers.back().name;
      net.Add(models::Add{}, block + part + "_sum", {stream, last});
      if (!causal) {
        net.Add(models::LayerNorm{}, block + part + "_norm");
      }
      return net.model.layers.back().name;
    };
    if (causal) {
      net.Add(models::LayerNorm{}, block + "_norm1", {before});
    }
    net.Add(layers::AttentionOptions{.heads = s.heads, .causal = causal, .dropout = dropout},
            block + "_attention");
    before = add_norm("_attention", before);
    if (causal) {
      net.Add(models::LayerNorm{}, block + "_norm2", {before});
    }
    net.AddDense(4 * s.width, block + "_wide", ActivationKind::kGelu);
    net.AddDense(s.width, block + "_narrow");
    before = add_norm("_dense", before);
  }
  return net;
}

Net Seq2Seq() {
  Net net;
  net.source_vocabulary = 7000;
  net.vocabulary = net.classes = 12000;
  net.of_tokens = true;
  for (int32_t i = 0; i < 64; ++i) {  // 6 and 7.5 tokens in the mean
    net.source_lengths.push_back(2 + i % 9);
    net.lengths.push_back(3 + i % 10);
  }
  net.model.preset = {.name = "seq2seq", .options = R"({"units": 256, "dropout": 0.1})"};
  return net;
}

absl::StatusOr<Net> NetOf(const std::string& name) {
  if (name == "seq2seq") {
    return Seq2Seq();
  }
  if (name == "lstm" || name == "gru") {
    return Recurrent(name == "gru");
  }
  if (name == "gpt128" || name == "gpt256") {
    const bool small = name == "gpt128";
    Net net = Transformer(small ? Sizes{4, 128, 4, 12, 64, 65} : Sizes{4, 256, 4, 8, 256, 65},
                          /*causal=*/true, 0);
    net.Add(models::LayerNorm{}, "norm");
    net.classes = net.vocabulary;
    net.of_tokens = true;
    net.AddDense(net.classes, "head");
    return net;
  }
  if (name == "minilm" || name == "minilm_lengths") {
    Net net = Transformer({6, 384, 12, 16, 128, 30522}, /*causal=*/false, 0.1f);
    if (name == "minilm_lengths") {  // a normal distribution's, 24 ± 9
      net.lengths = {7, 12, 15, 17, 19, 20, 22, 23, 25, 26, 28, 29, 31, 33, 36, 41};
    }
    net.Add(layers::SequencePoolOptions{.kind = SegmentPoolKind::kFirst}, "first");
    net.AddDense(net.classes, "head");
    return net;
  }
  return absl::InvalidArgumentError("there is no net " + name);
}

absl::StatusOr<BuiltGraph> Build(const Net& net, ParameterStore& store) {
  BuiltGraph built;
  built.graph = std::make_unique<Graph>();
  Graph& graph = *built.graph;
  const int64_t rows = PlannedRows(net.tokens());
  const Value tokens = graph.Input(kTokensInput, {{rows}, DType::kS32});
  const Value offsets = graph.Input(kOffsetsInput, {{net.batch() + 1}, DType::kS32});
  const Value labels = graph.Input("labels", {{net.of_tokens ? rows : net.batch()}, DType::kS32});
  models::ModelDescription model = net.model;
  std::vector<models::NamedValue> inputs = {{std::string(kTokensInput), tokens},
                                            {std::string(kOffsetsInput), offsets}};
  models::BuildOptions options = {.training = true, .logits = true, .vocabulary = net.vocabulary};
  if (net.translates()) {
    const auto add = [&](absl::string_view name, int64_t count) {
      inputs.push_back({std::string(name), graph.Input(name, {{count}, DType::kS32})});
    };
    add(models::kSourceTokensInput, PlannedRows(net.source_tokens()));
    add(models::kSourceOffsetsInput, net.batch() + 1);
    options.translation.source_vocabulary = net.source_vocabulary;
  }
  model.inputs.clear();
  for (const models::NamedValue& input : inputs) {
    model.inputs.push_back(input.name);
  }
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

// Random tokens and labels; zeros and −1 behind the last sequence.
void Fill(const Net& net, const Program& program) {
  std::mt19937 random(1);
  auto* tokens = static_cast<int32_t*>(program.input(kTokensInput));
  auto* labels = static_cast<int32_t*>(program.input("labels"));
  auto* offsets = static_cast<int32_t*>(program.input(kOffsetsInput));
  offsets[0] = 0;
  std::partial_sum(net.lengths.begin(), net.lengths.end(), offsets + 1);
  const int64_t rows = PlannedRows(net.tokens());
  for (int64_t i = 0; i < rows; ++i) {
    const bool is_token = i < net.tokens();
    tokens[i] = is_token ? static_cast<int32_t>(random() % net.vocabulary) : 0;
    if (net.of_tokens) {
      labels[i] = is_token ? static_cast<int32_t>(random() % net.classes) : -1;
    }
  }
  if (net.translates()) {
    auto* source = static_cast<int32_t*>(program.input(models::kSourceTokensInput));
    auto* source_offsets = static_cast<int32_t*>(program.input(models::kSourceOffsetsInput));
    source_offsets[0] = 0;
    std::partial_sum(net.source_lengths.begin(), net.source_lengths.end(), source_offsets + 1);
    for (int64_t i = 0; i < PlannedRows(net.source_tokens()); ++i) {
      source[i] =
          i < net.source_tokens() ? static_cast<int32_t>(random() % net.source_vocabulary) : 0;
    }
  }
  for (int64_t i = 0; !net.of_tokens && i < net.batch(); ++i) {
    labels[i] = static_cast<int32_t>(random() % net.classes);
  }
}

// The median of the steps' times.
absl::StatusOr<double> StepSeconds(const Net& net, DType compute, double seconds) {
  ParameterStore store;
  HONE_RETURN_IF_ERROR(Build(net, store).status());  // declares the parameters
  store.Allocate(1);
  store.Initialize(1);
  HONE_ASSIGN_OR_RETURN(Replicas replicas,
                        Replicas::Compile([&](int64_t) { return Build(net, store); }, net.batch(),
                                          store, {.threads = kThreads, .compute = compute}));
  std::vector<Buffer> arenas;
  arenas.emplace_back(replicas.arena_bytes());
  HONE_RETURN_IF_ERROR(replicas.Bind(arenas));
  std::vector<ParameterId> ids(static_cast<size_t>(store.size()));
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::sort(ids, {}, [&](ParameterId id) { return store.offset(id); });
  std::vector<optim::ParameterRange> ranges;
  for (const ParameterId id : ids) {
    ranges.push_back({.begin = store.offset(id),
                      .end = store.offset(id) + store.spec(id).shape.elements(),
                      .row_width = store.gives_rows(id) ? store.spec(id).shape.back() : 0});
  }
  HONE_ASSIGN_OR_RETURN(optim::Optimizer optimizer,
                        optim::Optimizer::Create(optim::Adam{}, std::move(ranges)));
  train::TrainStep step(store, optimizer, kThreads);
  store.RefreshAll();
  std::vector<double> times;
  const double end = Now() + seconds;
  for (uint64_t number = 1; Now() < end || times.size() < 5; ++number) {
    const auto fill = [&](const Program& program, int64_t, int64_t) {
      Fill(net, program);
      return absl::OkStatus();
    };
    const double begin = Now();
    HONE_RETURN_IF_ERROR(step.Run(replicas,
                                  {.scalars = {.seed = 1, .step = number},
                                   .update_number = static_cast<int64_t>(number),
                                   .learning_rate = 1e-3},
                                  fill)
                             .status());
    times.push_back(Now() - begin);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: hone-bench-sequences NET [f32|bf16] [SECONDS]\n", stderr);
    return 2;
  }
  const absl::StatusOr<Net> net = NetOf(argv[1]);
  const std::string precision = argc > 2 ? argv[2] : "f32";
  const absl::StatusOr<double> seconds =
      net.ok() ? StepSeconds(*net, precision == "bf16" ? DType::kBf16 : DType::kF32,
                             argc > 3 ? std::atof(argv[3]) : 2)
               : net.status();
  if (!seconds.ok()) {
    std::fprintf(stderr, "hone-bench-sequences: %s\n", seconds.status().ToString().c_str());
    return 1;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"net\": \"%s\", \"step_ms\": %.3f, \"peak_rss_mb\": %.1f, \"rows_over_tokens\": "
      "%.4f}\n",
      argv[1], 1e3 * *seconds, static_cast<double>(usage.ru_maxrss) / 1024,
      static_cast<double>(PlannedRows(net->tokens())) / static_cast<double>(net->tokens()));
  return 0;
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) { return hone::engine::Main(argc, argv); }
