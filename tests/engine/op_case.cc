#include "tests/engine/op_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/graph/lowering.h"
#include "engine/graph/reference.h"
#include "engine/graph/sum.h"
#include "engine/ops/scale.h"
#include "engine/plan/program.h"

namespace hone::engine {
namespace {

constexpr RunScalars kScalars = {.seed = 7, .step = 3, .first_example = 5};

// Σ y · c: makes one number of an output, so that it can be differentiated. Only here.
class ContractOp final : public Op {
 public:
  absl::string_view kind() const override { return "test_contract"; }

  absl::StatusOr<std::vector<TensorType>> InferTypes(std::span<const TensorType>) const override {
    return std::vector<TensorType>{{Shape{}, DType::kF32}};
  }

  void Differentiate(Gradient& g) const override {
    g.Accumulate(0, [&] { return ScaleBy(g.graph(), g.input(1), g.dy()); });
  }

  void Reference(std::span<const DoubleTensor* const> in, std::span<DoubleTensor> out,
                 const RunScalars&) const override {
    for (size_t i = 0; i < in[0]->values.size(); ++i) {
      out[0][0] += in[0]->values[i] * in[1]->values[i];
    }
  }

  absl::Status Lower(Lowering& l) const override {
    HONE_ASSIGN_OR_RETURN(const Slot y, l.PlainInput(0));
    HONE_ASSIGN_OR_RETURN(const Slot c, l.PlainInput(1));
    const Slot sum = l.Output(0, onednn::MemoryDesc::Plain(l.output_type(0)));
    const int64_t n = l.input_type(0).shape.elements();
    l.Emit(kind(), [=](const Memory& m) -> absl::StatusOr<StepFunction> {
      return [a = m.as<float>(y), b = m.as<float>(c), to = m.as<float>(sum), n](const RunScalars&) {
        double total = 0;
        for (int64_t i = 0; i < n; ++i) {
          total += double{a[i]} * b[i];
        }
        *to = static_cast<float>(total);
        return true;
      };
    });
    return absl::OkStatus();
  }
};

std::string NameOfSource(const Graph::Node& node) {
  return node.kind == Graph::Node::Kind::kParameter ? node.parameter.name : node.name;
}

void FillInput(void* to, DType dtype, const std::vector<float>& numbers) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (dtype == DType::kU8) {
      static_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(numbers[i]);
    } else if (dtype == DType::kS32) {
      static_cast<int32_t*>(to)[i] = static_cast<int32_t>(numbers[i]);
    } else {
      static_cast<float*>(to)[i] = numbers[i];
    }
  }
}

std::vector<double> Widen(const float* from, int64_t count) { return {from, from + count}; }

bool IsParameter(const Graph& graph, Value value) {
  return graph.node(value.node).kind == Graph::Node::Kind::kParameter;
}

// What is asked of a case, in the order of CaseResult.
std::vector<Value> FetchedOf(const BuiltCase& built, Asked asked) {
  if (asked == Asked::kLossAlone) {
    return {built.loss};
  }
  std::vector<Value> fetch = built.outputs.outputs;
  fetch.insert(fetch.end(), built.outputs.not_differentiated.begin(),
               built.outputs.not_differentiated.end());
  return fetch;
}

// What to compile of a case: what is asked for, and gradients: of parameters in the slab, of inputs
// fetched.
struct CaseRequest {
  ProgramRequest request;
  std::vector<ParameterId> slab;  // by gradient that exists: −1 if it is fetched

  static absl::StatusOr<CaseRequest> Make(const BuiltCase& built, Asked asked,
                                          ParameterStore& store) {
    CaseRequest made;
    made.request.graph = &built.graph;
    made.request.fetch = FetchedOf(built, asked);
    for (size_t i = 0; i < built.gradients.size(); ++i) {
      const Value gradient = built.gradients[i], of = built.builder.differentiated[i];
      if (!gradient.valid()) {
        continue;
      }
      if (IsParameter(built.graph, of)) {
        HONE_ASSIGN_OR_RETURN(const ParameterId id,
                              store.Find(built.graph.node(of.node).parameter.name));
        made.request.gradients.emplace_back(gradient, id);
        made.slab.push_back(id);
      } else if (asked == Asked::kEverything) {
        made.request.fetch.push_back(gradient);
        made.slab.push_back(-1);
      }
    }
    return made;
  }
};

}  // namespace

std::string CaseBuilder::NextName(absl::string_view kind) {
  return absl::StrCat(kind, numbers.size());
}

Value CaseBuilder::Keep(Value value, const std::string& name, std::vector<float> values) {
  numbers[name] = std::move(values);
  return value;
}

std::vector<float> CaseBuilder::Numbers(const Shape& shape, Fill fill) const {
  // Steps of 37 modulo 250: 250 neighbours in a row differ.
  const auto phase = static_cast<int64_t>(numbers.size() * 91);
  std::vector<float> values;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t k = (i * 37 + i / 250 * 53 + phase) % 250;
    if (fill == Fill::kPositive) {
      values.push_back(0.5f + static_cast<float>(k % 128) / 64);
    } else if (fill == Fill::kPowers) {
      values.push_back((k % 2 == 0 ? 0.5f : -0.5f) * static_cast<float>(1 << k % 3));
    } else if (fill == Fill::kExtreme) {
      constexpr float kSizes[] = {90, 0.5f, 1000, 178};
      values.push_back((k % 2 == 0 ? 1.0f : -1.0f) * kSizes[k / 2 % 4]);
    } else {
      values.push_back(static_cast<float>(k < 125 ? k - 125 : k - 124) / 64);
    }
  }
  return values;
}

Value CaseBuilder::Parameter(const Shape& shape, Fill fill) {
  const std::string name = NextName("parameter");
  const Value value = graph.Parameter({.name = name, .shape = shape, .initializer = {}});
  differentiated.push_back(value);
  return Keep(value, name, Numbers(shape, fill));
}

Value CaseBuilder::Input(const Shape& shape, Fill fill) {
  const std::string name = NextName("input");
  const Value value = graph.Input(name, {shape, DType::kF32});
  differentiated.push_back(value);
  return Keep(value, name, Numbers(shape, fill));
}

Value CaseBuilder::Buffer(const Shape& shape, Fill fill) {
  const std::string name = NextName("buffer");
  const Value value = graph.Parameter(
      {.name = name, .shape = shape, .initializer = {}, .role = ParameterRole::kBuffer});
  return Keep(value, name, Numbers(shape, fill));
}

Value CaseBuilder::Bytes(const Shape& shape) {
  const std::string name = NextName("bytes");
  std::vector<float> values;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    values.push_back(static_cast<float>((i * 37 + 11) % 256));
  }
  return Keep(graph.Input(name, {shape, DType::kU8}), name, std::move(values));
}

Value CaseBuilder::Labels(int64_t batch, int64_t classes, bool ignore_one) {
  const std::string name = NextName("labels");
  std::vector<float> values;
  for (int64_t i = 0; i < batch; ++i) {
    values.push_back(ignore_one && i == 1 ? -1 : static_cast<float>((i * 7 + 3) % classes));
  }
  return Keep(graph.Input(name, {Shape{batch}, DType::kS32}), name, std::move(values));
}

Value CaseBuilder::Offsets(const std::vector<int>& lengths) {
  const std::string name = NextName("offsets");
  std::vector<float> values = {0};
  for (const int length : lengths) {
    values.push_back(values.back() + static_cast<float>(length));
  }
  const auto count = static_cast<int64_t>(values.size());
  return Keep(graph.Input(name, {Shape{count}, DType::kS32}), name, std::move(values));
}

std::vector<OpCase> AllCases() {
  std::vector<OpCase> all;
  for (const auto& part :
       {ProductCases(), PoolCases(), ElementwiseCases(), LossCases(), NormalizationCases(),
        ShapeCases(), ScanCases(), SequenceCases(), DecoderCases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

BuiltCase::BuiltCase(const OpCase& what) {
  graph.set_scope(what.name);
  outputs = what.build(builder);
  for (size_t i = 0; i < outputs.outputs.size(); ++i) {
    const Shape shape = graph.shape(outputs.outputs[i]);
    const std::string name = absl::StrCat("cotangent", i);
    RandomStream random(11, name);
    std::vector<float>& numbers = builder.numbers[name];
    for (int64_t k = 0; k < shape.elements(); ++k) {
      numbers.push_back(FromBf16(ToBf16(random.NextUniform(-1, 1))));
    }
    const Value cotangent = graph.Input(name, {shape, DType::kF32});
    const Value sum = graph.Add(std::make_shared<ContractOp>(), {outputs.outputs[i], cotangent});
    loss = loss.valid() ? Sum(graph, loss, sum) : sum;
  }
  if (loss.valid()) {
    gradients = Differentiate(graph, loss, builder.differentiated);
  }
}

DoubleTensor BuiltCase::Source(const Graph::Node& node) const {
  DoubleTensor tensor(node.types[0].shape);
  const std::vector<float>& numbers = builder.numbers.at(NameOfSource(node));
  std::copy(numbers.begin(), numbers.end(), tensor.values.begin());
  return tensor;
}

absl::StatusOr<CaseResult> RunReference(const BuiltCase& built, Asked asked) {
  std::vector<Value> fetch = FetchedOf(built, asked);
  for (size_t i = 0; i < built.gradients.size(); ++i) {
    const bool wanted =
        asked == Asked::kEverything || IsParameter(built.graph, built.builder.differentiated[i]);
    if (built.gradients[i].valid() && wanted) {
      fetch.push_back(built.gradients[i]);
    }
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<DoubleTensor> tensors,
                        Interpret(
                            built.graph, fetch,
                            [&](const Graph::Node& node) { return built.Source(node); }, kScalars));
  CaseResult result;
  for (const DoubleTensor& tensor : tensors) {
    result.push_back(tensor.values);
  }
  return result;
}

absl::StatusOr<CaseResult> RunProgram(const BuiltCase& built, DType compute, int threads,
                                      Asked asked) {
  HONE_RETURN_IF_ERROR(built.graph.status());
  ParameterStore store;
  for (const Graph::Node& node : built.graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      HONE_RETURN_IF_ERROR(store.Declare(node.parameter).status());
    }
  }
  store.Allocate(1);
  for (ParameterId id = 0; id < store.size(); ++id) {
    std::ranges::copy(built.builder.numbers.at(store.spec(id).name),
                      store.mutable_values(id).f32().begin());
  }
  store.MarkChanged();
  HONE_ASSIGN_OR_RETURN(const CaseRequest what, CaseRequest::Make(built, asked, store));
  HONE_ASSIGN_OR_RETURN(
      Program program,
      Program::Compile(what.request, store, {.threads = threads, .compute = compute}));
  Buffer arena(program.arena_bytes());
  std::memset(arena.data(), 0x7f, static_cast<size_t>(arena.bytes()));  // what was there before
  HONE_RETURN_IF_ERROR(program.Bind(arena.as<std::byte>()));
  store.RefreshAll();
  const ScopedThreads scoped(threads);
  const auto run = [&]() -> absl::StatusOr<CaseResult> {
    for (const Graph::Node& node : built.graph.nodes()) {
      void* input = node.kind == Graph::Node::Kind::kInput ? program.input(node.name) : nullptr;
      if (input != nullptr) {
        FillInput(input, node.types[0].dtype, built.builder.numbers.at(node.name));
      }
    }
    HONE_RETURN_IF_ERROR(program.Run(kScalars));
    CaseResult result;
    const auto fetch = [&](int i) {
      const Value value = what.request.fetch[static_cast<size_t>(i)];
      result.push_back(Widen(static_cast<const float*>(program.fetched(i)),
                             built.graph.shape(value).elements()));
    };
    int next = 0;
    const size_t outputs = FetchedOf(built, asked).size();
    for (; next < static_cast<int>(outputs); ++next) {
      fetch(next);
    }
    for (const ParameterId id : what.slab) {
      if (id < 0) {
        fetch(next++);
      } else {
        const std::span<const float> slab = store.gradients(id, 0);
        result.emplace_back(slab.begin(), slab.end());
      }
    }
    return result;
  };
  HONE_ASSIGN_OR_RETURN(const CaseResult first, run());
  HONE_ASSIGN_OR_RETURN(CaseResult second, run());
  if (first != second) {
    return absl::InternalError("the second run of the program gave other numbers than the first");
  }
  return second;
}

double RelativeError(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

}  // namespace hone::engine
