// The first training step of whole nets against PyTorch in float64: loss and every gradient. The
// numbers, and how they judge a tensor without holding it, are explained in
// tests/golden/first_step.py.
#include "tests/support/golden.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/reference.h"
#include "engine/models/build.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/normalize.h"
#include "engine/plan/replicas.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::engine::testing::FindParameter;
using ::hone::engine::testing::kPatterns;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::RelativeError;
using ::hone::engine::testing::Start;
using ::hone::testing::IsOk;
using layers::Padding;
using models::LayerDescription;

constexpr uint64_t kPixels = 1, kLabels = 2;  // streams of numbers
// One net as this test sees it.
struct Net {
  std::string name;  // in first_step.json
  Shape picture;
  PixelScaling scaling = {};
  CrossEntropyOptions loss = {};
  models::ModelDescription model = {};

  // Adds a layer behind the one before, or behind `inputs`.
  void Add(models::LayerKind kind, std::string layer = "", std::vector<std::string> inputs = {}) {
    LayerDescription& row = model.layers.emplace_back();
    row.kind = std::move(kind);
    row.name = std::move(layer);
    row.inputs = std::move(inputs);
  }
};

layers::DenseOptions Dense(int64_t units, ActivationKind activation = ActivationKind::kNone) {
  layers::DenseOptions dense;
  dense.units = units;
  dense.activation = activation;
  return dense;
}

layers::Conv2dOptions Conv(int64_t filters, int64_t kernel) {
  layers::Conv2dOptions conv;
  conv.filters = filters;
  conv.kernel = kernel;
  return conv;
}

Net Cnn() {
  Net net{.name = "cnn", .picture = {1, 28, 28}};
  for (const int64_t filters : {32, 64}) {
    layers::Conv2dOptions conv = Conv(filters, 3);
    conv.activation = ActivationKind::kRelu;
    net.Add(conv);
    net.Add(models::MaxPool2d{});
  }
  net.Add(models::Flatten{});
  net.Add(Dense(64, ActivationKind::kRelu));
  net.Add(Dense(10));
  return net;
}

Net Mlp() {
  Net net{.name = "mlp", .picture = {1, 28, 28}};
  net.Add(models::Flatten{});
  net.Add(Dense(512, ActivationKind::kRelu));
  net.Add(Dense(256, ActivationKind::kRelu));
  net.Add(Dense(10));
  return net;
}

// The net of client/examples/cifar-resnet.yaml, layer for layer.
Net Residual() {
  Net net{.name = "residual", .picture = {3, 32, 32}};
  net.scaling.mean = {0.491f, 0.482f, 0.447f};
  net.scaling.std = {0.247f, 0.243f, 0.262f};
  net.loss.label_smoothing = 0.05f;
  // A convolution and the normalisation behind it, NAME_norm.
  const auto conv_norm = [&](const std::string& name, std::vector<std::string> inputs,
                             layers::Conv2dOptions conv, int64_t stride,
                             ActivationKind activation) {
    conv.stride = stride;
    conv.padding = Padding::kSame;
    conv.use_bias = false;
    net.Add(conv, name, std::move(inputs));
    models::BatchNorm norm;
    norm.activation = activation;
    net.Add(norm, name + "_norm");
  };
  const auto block = [&](const std::string& name, const std::string& from, int64_t filters,
                         int64_t stride, bool shortcut) {
    conv_norm(name + "1", {from}, Conv(filters, 3), stride, ActivationKind::kRelu);
    conv_norm(name + "2", {}, Conv(filters, 3), 1, ActivationKind::kNone);
    if (shortcut) {
      conv_norm(name + "_short", {from}, Conv(filters, 1), stride, ActivationKind::kNone);
    }
    models::Add add;
    add.activation = ActivationKind::kRelu;
    net.Add(add, name, {name + "2_norm", shortcut ? name + "_short_norm" : from});
  };
  conv_norm("stem", {}, Conv(16, 3), 1, ActivationKind::kRelu);
  block("a", "stem_norm", 16, 1, false);
  block("b", "a", 32, 2, true);
  block("c", "b", 64, 2, true);
  block("d", "c", 64, 1, false);
  net.Add(models::GlobalAvgPool2d{});
  net.Add(Dense(10));
  return net;
}

const nlohmann::json& Golden(const Net& net) {
  static const auto* const kGolden = new nlohmann::json(
      nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/first_step.json")));
  return (*kGolden)[net.name];
}

uint8_t Pixel(int64_t i) { return static_cast<uint8_t>(Number(kPixels, i) & 255); }
int32_t Label(int64_t i) { return static_cast<int32_t>(Number(kLabels, i) % 10); }

struct Training {
  BuiltGraph built;
  std::vector<ParameterSpec> trainable;
  std::vector<Value> gradients;  // of `trainable`
  bool needs_batch_statistics = false;
};

absl::StatusOr<Training> Build(const Net& net, int64_t batch) {
  Training result;
  result.built.graph = std::make_unique<Graph>();
  Graph& graph = *result.built.graph;
  const Shape& picture = net.picture;
  const Value bytes =
      graph.Input("features", {{batch, picture[0], picture[1], picture[2]}, DType::kU8});
  const Value labels = graph.Input("targets", {{batch}, DType::kS32});
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel model,
      models::BuildModel(graph, net.model, NormalizePixels(graph, bytes, net.scaling),
                         {.training = true, .logits = true}));
  result.needs_batch_statistics = model.needs_batch_statistics;
  const Loss loss = CrossEntropy(graph, model.output, labels, net.loss);
  std::vector<Value> parameters;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Graph::Node& node = graph.nodes()[i];
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTrainable) {
      parameters.push_back({static_cast<int32_t>(i), 0});
      result.trainable.push_back(node.parameter);
    }
  }
  result.gradients = Differentiate(graph, loss.sum, parameters);
  HONE_RETURN_IF_ERROR(graph.status());
  result.built.request.graph = &graph;
  result.built.request.fetch = {loss.sum};
  return result;
}

enum class Engine { kReference, kOneThread, kTeam, kShards };
const char* const kEngineNames[] = {"Reference", "OneThread", "Team", "Shards"};

struct Step {
  double loss_sum = 0;
  std::vector<std::vector<double>> gradients = {};  // in the order of the golden file
};

absl::StatusOr<Step> ByReference(const Net& net) {
  const nlohmann::json& golden = Golden(net);
  HONE_ASSIGN_OR_RETURN(Training training, Build(net, golden["batch"].get<int64_t>()));
  std::vector<Value> fetch = training.built.request.fetch;
  fetch.insert(fetch.end(), training.gradients.begin(), training.gradients.end());
  const auto source = [&](const Graph::Node& node) {
    DoubleTensor tensor(node.types[0].shape);
    const nlohmann::json* parameter = FindParameter(golden, node.parameter.name);
    for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
      tensor[i] = node.name == "features"  ? Pixel(i)
                  : node.name == "targets" ? Label(i)
                  : parameter != nullptr   ? Start(*parameter, i)
                                           : 0;
    }
    return tensor;
  };
  HONE_ASSIGN_OR_RETURN(const std::vector<DoubleTensor> values,
                        Interpret(*training.built.graph, fetch, source));
  Step step{.loss_sum = values[0][0]};
  for (const nlohmann::json& parameter : golden["parameters"]) {
    for (size_t i = 0; i < training.trainable.size(); ++i) {
      if (training.trainable[i].name == parameter["name"].get<std::string>()) {
        step.gradients.push_back(values[i + 1].values);
      }
    }
  }
  return step;
}

// Declares the net's parameters and starts them.
absl::Status FillStore(const Net& net, int shards, ParameterStore& store) {
  HONE_ASSIGN_OR_RETURN(const Training training, Build(net, 8));
  for (const Graph::Node& node : training.built.graph->nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      HONE_RETURN_IF_ERROR(store.Declare(node.parameter).status());
    }
  }
  store.Allocate(shards);
  store.Initialize(1);
  for (const nlohmann::json& parameter : Golden(net)["parameters"]) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, store.Find(parameter["name"].get<std::string>()));
    const std::span<float> values = store.mutable_values(id).f32();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = Start(parameter, static_cast<int64_t>(i));
    }
  }
  store.MarkChanged();
  return absl::OkStatus();
}

// Shard k's examples.
void FillInputs(const Net& net, const Replicas& replicas, int k) {
  auto* const pixels = static_cast<uint8_t*>(replicas.program(k).input("features"));
  auto* const labels = static_cast<int32_t*>(replicas.program(k).input("targets"));
  const int64_t size = net.picture.elements();
  for (int64_t i = 0; i < replicas.examples(k); ++i) {
    labels[i] = Label(replicas.begin(k) + i);
    for (int64_t j = 0; j < size; ++j) {
      pixels[i * size + j] = Pixel((replicas.begin(k) + i) * size + j);
    }
  }
}

absl::StatusOr<Step> ByProgram(const Net& net, int threads, int shards) {
  const nlohmann::json& golden = Golden(net);
  ParameterStore store;
  HONE_RETURN_IF_ERROR(FillStore(net, shards, store));
  const auto build = [&](int64_t batch) -> absl::StatusOr<BuiltGraph> {
    HONE_ASSIGN_OR_RETURN(Training training, Build(net, batch));
    for (size_t i = 0; i < training.trainable.size(); ++i) {
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store.Find(training.trainable[i].name));
      training.built.request.gradients.emplace_back(training.gradients[i], id);
    }
    return std::move(training.built);
  };
  HONE_ASSIGN_OR_RETURN(Replicas replicas,
                        Replicas::Compile(build, golden["batch"].get<int64_t>(), store,
                                          {.threads = threads, .shards = shards}));
  std::vector<Buffer> arenas;
  for (int k = 0; k < shards; ++k) {
    arenas.emplace_back(replicas.arena_bytes());
  }
  HONE_RETURN_IF_ERROR(replicas.Bind(arenas));
  store.RefreshAll();
  std::vector<absl::Status> statuses(static_cast<size_t>(shards));
  RunTeam(shards, [&](int k) {
    FillInputs(net, replicas, k);
    statuses[static_cast<size_t>(k)] = replicas.RunShard(k, {});
  });
  Step step;
  for (int k = 0; k < shards; ++k) {
    HONE_RETURN_IF_ERROR(statuses[static_cast<size_t>(k)]);
    step.loss_sum += static_cast<double>(replicas.program(k).fetched_scalar(0));
  }
  for (const nlohmann::json& parameter : golden["parameters"]) {
    HONE_ASSIGN_OR_RETURN(const ParameterId id, store.Find(parameter["name"].get<std::string>()));
    std::vector<double>& sum = step.gradients.emplace_back(store.values(id).f32().size());
    for (int k = 0; k < shards; ++k) {
      const std::span<const float> part = store.gradients(id, k);
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] += static_cast<double>(part[i]);
      }
    }
  }
  return step;
}

absl::StatusOr<Step> FirstStepOf(const Net& net, Engine engine) {
  switch (engine) {
    case Engine::kReference:
      return ByReference(net);
    case Engine::kOneThread:
      return ByProgram(net, /*threads=*/1, /*shards=*/1);
    case Engine::kTeam:
      return ByProgram(net, /*threads=*/2, /*shards=*/1);
    case Engine::kShards:
      break;
  }
  return ByProgram(net, /*threads=*/2, /*shards=*/2);
}

using Setting = std::tuple<Net (*)(), Engine>;
class FirstStep : public ::testing::TestWithParam<Setting> {};

TEST_P(FirstStep, HasPyTorchsLossAndGradients) {
  const Net net = std::get<0>(GetParam())();
  const Engine engine = std::get<1>(GetParam());
  const nlohmann::json& golden = Golden(net);
  const auto training = Build(net, 8);
  ASSERT_THAT(training, IsOk());
  if (engine == Engine::kShards && training->needs_batch_statistics) {
    GTEST_SKIP() << "a net with batch statistics is not split into shards";
  }
  ASSERT_EQ(training->trainable.size(), golden["parameters"].size());
  const auto step = FirstStepOf(net, engine);
  ASSERT_THAT(step, IsOk());
  const double tolerance = engine == Engine::kReference ? 1e-9 : 1e-5;
  const auto loss = golden["loss_sum"].get<double>();
  EXPECT_NEAR(step->loss_sum, loss, tolerance * loss);
  ASSERT_EQ(step->gradients.size(), golden["parameters"].size());
  for (size_t i = 0; i < step->gradients.size(); ++i) {
    const nlohmann::json& parameter = golden["parameters"][i];
    EXPECT_LE(RelativeError<double>(step->gradients[i], parameter["gradient"]), tolerance)
        << parameter["name"];
  }
}

std::string NameOfSetting(const ::testing::TestParamInfo<Setting>& info) {
  const std::string net = std::get<0>(info.param)().name;
  return net + "_" + kEngineNames[static_cast<size_t>(std::get<1>(info.param))];
}
INSTANTIATE_TEST_SUITE_P(All, FirstStep,
                         ::testing::Combine(::testing::Values(&Cnn, &Mlp, &Residual),
                                            ::testing::Values(Engine::kReference,
                                                              Engine::kOneThread, Engine::kTeam,
                                                              Engine::kShards)),
                         NameOfSetting);

// The check itself can fail: one element of 100,000 wrong by 2e-5 of the norm.
TEST(GoldenSums, ShowOneWrongElementOfALargeTensor) {
  std::vector<double> tensor(100000);
  nlohmann::json golden = {{"norm", 0.0}, {"sums", std::vector<double>(kPatterns, 0.0)}};
  double squares = 0;
  for (size_t i = 0; i < tensor.size(); ++i) {
    tensor[i] = std::sin(static_cast<double>(i));
    squares += tensor[i] * tensor[i];
    for (size_t k = 0; k < kPatterns; ++k) {
      const double sign = (Number(0, static_cast<int64_t>(i)) >> k) & 1 ? -1 : 1;
      golden["sums"][k] = golden["sums"][k].get<double>() + sign * tensor[i];
    }
  }
  golden["norm"] = std::sqrt(squares);
  EXPECT_LT(RelativeError<double>(tensor, golden), 1e-12);
  tensor[77777] += 2e-5 * std::sqrt(squares);
  EXPECT_NEAR(RelativeError<double>(tensor, golden), 2e-5, 1e-9);
}

}  // namespace
}  // namespace hone::engine
