// hone-bench NET BATCH PRECISION [SECONDS [SHARDS]]: one training step of ours, timed.
//
// NET: s1 (the CNN of client/examples/mnist-cnn.yaml) or s9 (the MLP of mnist-mlp.yaml); PRECISION:
// f32 or bf16. Two threads, Adam, made-up pictures. Prints one line of JSON; tests/bench/run puts
// it beside PyTorch's, which torch_step.py gives.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/layers/conv2d.h"
#include "engine/layers/dense.h"
#include "engine/onednn/primitive.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/normalize.h"
#include "engine/ops/reshape.h"
#include "engine/optim/optimizer.h"
#include "engine/plan/replicas.h"
#include "engine/train/train_step.h"
#include "tests/bench/timing.h"

namespace hone::engine {
namespace {

using bench::Median;
using bench::Now;

constexpr int kThreads = 2;
constexpr int64_t kPixels = 28 * 28;

struct BenchOptions {
  std::string net;
  int64_t batch = 0;
  DType compute = DType::kF32;
  double seconds = 2;  // of the step itself; the other measurements take about as long
  int shards = 0;      // 0: as a job would choose
};

struct Measured {
  bench::Timing timing;
  double step_ms = 0;  // median
  // oneDNN's best product of 2048 x 2048 matrices; 0 where the processor has no bf16.
  double f32_gflops = 0, bf16_gflops = 0;
  double needed_gflop = 0;   // multiplications and additions of one step's products
  double primitives_ms = 0;  // every part of the step timed alone, added up
  int shards = 1;
  double loss = 0;
  double peak_rss_mb = 0;
};

// Median seconds of one call of body(), which is called in chunks.
template <typename Body>
double MedianSeconds(int chunks, int calls, Body&& body) {
  std::vector<double> seconds;
  for (int i = 0; i < chunks; ++i) {
    const double begin = Now();
    for (int j = 0; j < calls; ++j) {
      body();
    }
    seconds.push_back((Now() - begin) / calls);
  }
  return Median(std::move(seconds));
}

Value Dense(Graph& graph, Value x, const char* name, int64_t units, ActivationKind activation) {
  layers::DenseOptions dense;
  dense.name = name;
  dense.units = units;
  dense.activation = activation;
  return layers::Dense(graph, x, dense);
}

// A 3x3 convolution with ReLU and a 2x2 pool.
Value ConvPool(Graph& graph, Value x, const std::string& number, int64_t filters) {
  layers::Conv2dOptions conv;
  conv.name = "conv" + number;
  conv.filters = filters;
  conv.kernel = 3;
  conv.activation = ActivationKind::kRelu;
  layers::Pool2dOptions pool;
  pool.name = "pool" + number;
  return layers::MaxPool2d(graph, layers::Conv2d(graph, x, conv), pool);
}

// Logits of pictures [batch, 1, 28, 28].
Value AddNet(Graph& graph, absl::string_view net, Value x) {
  if (net == "s1") {
    x = ConvPool(graph, x, "1", 32);
    x = Flatten(graph, ConvPool(graph, x, "2", 64));
    x = Dense(graph, x, "dense1", 64, ActivationKind::kRelu);
    return Dense(graph, x, "dense2", 10, ActivationKind::kNone);
  }
  x = Flatten(graph, x);
  x = Dense(graph, x, "dense1", 512, ActivationKind::kRelu);
  x = Dense(graph, x, "dense2", 256, ActivationKind::kRelu);
  return Dense(graph, x, "dense3", 10, ActivationKind::kNone);
}

absl::StatusOr<BuiltGraph> BuildNet(absl::string_view net, int64_t batch, ParameterStore& store) {
  BuiltGraph built;
  built.graph = std::make_unique<Graph>();
  Graph& graph = *built.graph;
  const Value bytes = graph.Input("features", {{batch, 1, 28, 28}, DType::kU8});
  const Value labels = graph.Input("targets", {{batch}, DType::kS32});
  graph.set_scope("input");
  const Value pixels = NormalizePixels(graph, bytes, {});
  graph.set_scope("");
  const Value logits = AddNet(graph, net, pixels);
  graph.set_scope("loss");
  const Loss loss = CrossEntropy(graph, logits, labels, {});
  std::vector<Value> parameters;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].kind == Graph::Node::Kind::kParameter) {
      parameters.push_back({static_cast<int32_t>(i), 0});
    }
  }
  const std::vector<Value> gradients = Differentiate(graph, loss.sum, parameters);
  HONE_RETURN_IF_ERROR(graph.status());
  built.request.graph = &graph;
  built.request.fetch = {loss.sum, loss.weight, loss.correct};
  for (size_t i = 0; i < parameters.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id,
                          store.Declare(graph.node(parameters[i].node).parameter));
    built.request.gradients.emplace_back(gradients[i], id);
  }
  return built;
}

// Everything that a training step needs, over made-up pictures.
class Trainer {
 public:
  explicit Trainer(const BenchOptions& options)
      : options_(options),
        shards_(options.shards > 0
                    ? options.shards
                    : ShardsFor(options.batch, kThreads, false, /*gradient_bytes=*/0)) {}

  absl::Status Prepare() {
    const auto build = [this](int64_t batch) { return BuildNet(options_.net, batch, store_); };
    HONE_RETURN_IF_ERROR(build(options_.batch).status());  // declares the parameters
    store_.Allocate(shards_);
    store_.Initialize(/*seed=*/1);
    HONE_ASSIGN_OR_RETURN(
        replicas_,
        Replicas::Compile(build, options_.batch, store_,
                          {.threads = kThreads, .shards = shards_, .compute = options_.compute}));
    for (int k = 0; k < shards_; ++k) {
      arenas_.emplace_back(replicas_.arena_bytes());
    }
    HONE_RETURN_IF_ERROR(replicas_.Bind(arenas_));
    std::vector<optim::ParameterRange> ranges;
    for (ParameterId id = 0; id < store_.size(); ++id) {
      ranges.push_back({store_.offset(id), store_.offset(id) + store_.spec(id).shape.elements()});
    }
    HONE_ASSIGN_OR_RETURN(optim::Optimizer optimizer,
                          optim::Optimizer::Create(optim::Adam{}, std::move(ranges)));
    optimizer_ = std::make_unique<optim::Optimizer>(std::move(optimizer));
    step_ = std::make_unique<train::TrainStep>(store_, *optimizer_, kThreads);
    store_.RefreshAll();
    MakePictures();
    return absl::OkStatus();
  }

  absl::Status Step() {
    const auto fill = [this](const Program& program, int64_t first, int64_t count) {
      Fill(program, first, count);
      return absl::OkStatus();
    };
    ++steps_;
    HONE_ASSIGN_OR_RETURN(const train::StepResult result,
                          step_->Run(replicas_,
                                     {.scalars = {.seed = 1, .step = steps_},
                                      .update_number = static_cast<int64_t>(steps_),
                                      .learning_rate = 1e-3},
                                     fill));
    loss_ = result.loss_sum / result.weight;
    return result.finite ? absl::OkStatus() : absl::InternalError("the loss is not finite");
  }

  // Seconds of each part alone: every step of the program, on all shards side by side, and the
  // passes over the slab.
  double SumOfPrimitives() {
    double sum = 0;
    for (size_t i = 0; i < replicas_.program(0).steps().size(); ++i) {
      RunTeam(shards_, [&](int k) { (void)replicas_.RunShard(k, {}); });  // what the step reads
      sum += Alone(shards_, [&](int k) { replicas_.program(k).steps()[i].run({}); });
    }
    std::vector<const float*> gradients;
    for (int k = 0; k < shards_; ++k) {
      gradients.push_back(store_.gradient_slab(k));
    }
    const optim::Slabs slabs = {store_.value_slab(), gradients};
    const auto share = [](int64_t count, int k) {
      return ShareOf(count, k, kThreads, ParameterStore::kAlignment);
    };
    sum += Alone(kThreads, [&](int k) {
      const auto [begin, end] = share(optimizer_->ReadFloats(false), k);
      optimizer_->Read(slabs, false, begin, end);
    });
    const optim::UpdateStep update = {
        .step = static_cast<int64_t>(steps_), .learning_rate = 1e-6, .scale = 1e-3};
    sum += Alone(kThreads, [&](int k) {
      const auto [begin, end] = share(optimizer_->WriteFloats(), k);
      optimizer_->Write(slabs, update, begin, end);
    });
    return sum + MedianSeconds(100, 1, [&] {
             store_.MarkChanged();
             RunTeam(kThreads, [&](int k) {
               const auto [begin, end] = share(store_.stale_bytes(), k);
               store_.Refresh(begin, end);
             });
           });
  }

  // Of the products alone: nothing that a perfect engine could leave out.
  double NeededFlops() const {
    double flops = 0;
    for (int k = 0; k < shards_; ++k) {
      for (const Program::Step& step : replicas_.program(k).steps()) {
        const bool product =
            absl::StartsWith(step.op, "conv2d") || absl::StartsWith(step.op, "linear");
        flops += product ? step.cost.flops : 0;
      }
    }
    return flops;
  }

  int shards() const { return shards_; }
  double loss() const { return loss_; }

 private:
  // Each call's work is done five times, so that the team's start weighs little.
  template <typename Body>
  static double Alone(int workers, Body&& body) {
    constexpr int kRepeats = 5;
    return MedianSeconds(30, 1,
                         [&] {
                           RunTeam(workers, [&](int k) {
                             for (int i = 0; i < kRepeats; ++i) {
                               body(k);
                             }
                           });
                         }) /
           kRepeats;
  }

  // Each label has a pattern of its own, so that the loss falls.
  void MakePictures() {
    pixels_.resize(static_cast<size_t>(options_.batch * kPixels));
    labels_.resize(static_cast<size_t>(options_.batch));
    for (int64_t i = 0; i < options_.batch; ++i) {
      const int64_t label = i % 10;
      labels_[static_cast<size_t>(i)] = static_cast<int32_t>(label);
      for (int64_t j = 0; j < kPixels; ++j) {
        pixels_[static_cast<size_t>(i * kPixels + j)] =
            static_cast<uint8_t>((i * 7 + j * 13 + label * j) % 251);
      }
    }
  }

  void Fill(const Program& program, int64_t first, int64_t count) const {
    std::memcpy(program.input("features"), pixels_.data() + first * kPixels,
                static_cast<size_t>(count * kPixels));
    std::memcpy(program.input("targets"), labels_.data() + first,
                static_cast<size_t>(count) * sizeof(int32_t));
  }

  const BenchOptions& options_;
  const int shards_;
  ParameterStore store_;
  Replicas replicas_;
  std::vector<Buffer> arenas_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<train::TrainStep> step_;
  std::vector<uint8_t> pixels_;
  std::vector<int32_t> labels_;
  uint64_t steps_ = 0;
  double loss_ = 0;
};

// The best of plain weights and of a layout of oneDNN's choice.
absl::StatusOr<double> GemmFlopsPerSecond(DType dtype) {
  constexpr int64_t kSide = 2048;
  const ScopedThreads threads(kThreads);
  const TensorType type = {{kSide, kSide}, dtype};
  const auto plain = onednn::MemoryDesc::Plain(type);
  double best = 0;
  for (const onednn::MemoryDesc& weights : {plain, onednn::MemoryDesc::Any(type)}) {
    HONE_ASSIGN_OR_RETURN(const onednn::Primitive product,
                          onednn::MakeMatMul(plain, weights, plain));
    const Buffer a(type.bytes()), b(product.desc(onednn::Arg::kWeights).bytes()), c(type.bytes()),
        scratchpad(product.scratchpad_bytes());
    std::vector<onednn::Execution::Argument> arguments = {{onednn::Arg::kSrc, a.data()},
                                                          {onednn::Arg::kWeights, b.data()},
                                                          {onednn::Arg::kDst, c.data()}};
    if (scratchpad.bytes() > 0) {
      arguments.push_back({onednn::Arg::kScratchpad, scratchpad.data()});
    }
    HONE_ASSIGN_OR_RETURN(const onednn::Execution run,
                          onednn::Execution::Create(product, arguments));
    for (int i = 0; i < 6; ++i) {
      const double begin = Now();
      if (!run.Run()) {
        return absl::InternalError("oneDNN refused a matrix product");
      }
      best = std::max(best, 2.0 * kSide * kSide * kSide / (Now() - begin));
    }
  }
  return best;
}

// Measures the machine's rates again and keeps the best: they move.
absl::Status RaiseRates(Measured& measured) {
  HONE_ASSIGN_OR_RETURN(const double f32, GemmFlopsPerSecond(DType::kF32));
  measured.f32_gflops = std::max(measured.f32_gflops, f32 / 1e9);
  if (HasBf16()) {
    HONE_ASSIGN_OR_RETURN(const double bf16, GemmFlopsPerSecond(DType::kBf16));
    measured.bf16_gflops = std::max(measured.bf16_gflops, bf16 / 1e9);
  }
  return absl::OkStatus();
}

absl::StatusOr<Measured> Measure(const BenchOptions& options) {
  if (options.compute == DType::kBf16 && !HasBf16()) {
    return absl::FailedPreconditionError("this processor does not multiply bfloat16 numbers");
  }
  Trainer trainer(options);
  HONE_RETURN_IF_ERROR(trainer.Prepare());
  Measured measured;
  for (int i = 0; i < 20; ++i) {
    HONE_RETURN_IF_ERROR(trainer.Step());
  }
  std::vector<double> chunks;
  const double end = Now() + options.seconds;
  while (Now() < end || chunks.size() < 5) {
    const double begin = Now();
    for (int i = 0; i < 10; ++i) {
      HONE_RETURN_IF_ERROR(trainer.Step());
    }
    chunks.push_back(Now() - begin);
  }
  measured.timing = bench::TimingOf(chunks, /*kinds=*/1, /*steps_each=*/10);
  measured.step_ms = 1e3 * measured.timing.seconds;
  measured.peak_rss_mb =
      bench::PeakRssMb();  // of the steps: the products below have matrices of their own
  HONE_RETURN_IF_ERROR(RaiseRates(measured));
  measured.needed_gflop = trainer.NeededFlops() / 1e9;
  measured.primitives_ms = 1e3 * trainer.SumOfPrimitives();
  measured.shards = trainer.shards();
  measured.loss = trainer.loss();
  HONE_RETURN_IF_ERROR(RaiseRates(measured));
  return measured;
}

void Print(const BenchOptions& options, const Measured& measured) {
  const double rate = options.compute == DType::kBf16 ? measured.bf16_gflops : measured.f32_gflops;
  const double limit_ms = 1e3 * measured.needed_gflop / rate;
  std::printf(
      "{\"net\": \"%s\", \"batch\": %lld, \"precision\": \"%s\", \"shards\": %d, \"step_ms\": "
      "%.4f, \"steps\": %lld, \"spread\": %.4f, "
      "\"f32_gflops\": %.1f, \"bf16_gflops\": %.1f, \"needed_gflop\": %.4f, \"mfu\": %.4f, "
      "\"sum_of_primitives_ms\": "
      "%.4f, \"step_over_sum\": %.4f, \"loss\": %.4f, \"peak_rss_mb\": %.1f, \"onednn\": \"%s\", "
      "\"instruction_sets\": \"%s\"}\n",
      options.net.c_str(), static_cast<long long>(options.batch),
      std::string(NameOf(options.compute)).c_str(), measured.shards, measured.step_ms,
      static_cast<long long>(measured.timing.steps), measured.timing.spread, measured.f32_gflops,
      measured.bf16_gflops, measured.needed_gflop, limit_ms / measured.step_ms,
      measured.primitives_ms, measured.step_ms / measured.primitives_ms, measured.loss,
      measured.peak_rss_mb, onednn::Description().c_str(), InstructionSets().c_str());
}

int Main(int argc, char** argv) {
  BenchOptions options;
  const std::string precision = argc > 3 ? argv[3] : "";
  options.net = argc > 1 ? argv[1] : "";
  options.batch = argc > 2 ? std::atoll(argv[2]) : 0;
  options.seconds = argc > 4 ? std::atof(argv[4]) : options.seconds;
  options.shards = argc > 5 ? std::atoi(argv[5]) : options.shards;
  options.compute = precision == "bf16" ? DType::kBf16 : DType::kF32;
  if ((options.net != "s1" && options.net != "s9") || options.batch < 1 ||
      (precision != "f32" && precision != "bf16") || options.shards < 0 ||
      options.shards > kThreads) {
    std::fputs("usage: hone-bench s1|s9 BATCH f32|bf16 [SECONDS [SHARDS]]\n", stderr);
    return 2;
  }
  const absl::StatusOr<Measured> measured = Measure(options);
  if (!measured.ok()) {
    std::fprintf(stderr, "hone-bench: %s\n", measured.status().ToString().c_str());
    return 1;
  }
  Print(options, *measured);
  return 0;
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) { return hone::engine::Main(argc, argv); }
