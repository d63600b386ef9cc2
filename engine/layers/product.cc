#include "engine/layers/product.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/graph/sum.h"
#include "engine/layers/parameters.h"
#include "engine/ops/concat.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/scale.h"

namespace hone::engine::layers {
namespace {

constexpr LinearOptions kTransposed = {.transposed = true};

// An adapter that is being added: of which product, and its two factors.
struct Adapter {
  size_t product = 0;
  LowRank options;
  Value a, b;
};

Value Factor(Graph& graph, const std::string& name, const Shape& shape,
             const Initializer& initializer) {
  return graph.Parameter({.name = name, .shape = shape, .initializer = initializer});
}

// Declares the factors, in the scope of the product.
Adapter Declare(Graph& graph, size_t product, const LowRank& options, int64_t in, int64_t units) {
  const std::string of = graph.scope();
  const Graph::Scope scope(graph, kLora, kLora);
  // Kaiming's uniform numbers with a leak of √5, which torch.nn.Linear begins with: √(6 / (1 + 5))
  // of 1/√in.
  const Initializer start = {.kind = Initializer::Kind::kKaimingUniform,
                             .fan_in = 6 * static_cast<double>(in),
                             .fan_out = static_cast<double>(options.rank)};
  return {.product = product,
          .options = options,
          .a = Factor(graph, absl::StrCat(of, ".lora_A.weight"), {options.rank, in}, start),
          .b = Factor(graph, absl::StrCat(of, ".lora_B.weight"), {units, options.rank},
                      {.kind = Initializer::Kind::kZeros})};
}

// What all adapters of x begin with, side by side: [batch, …, all ranks].
Value Narrowed(Graph& graph, Value x, const std::vector<Adapter>& adapters) {
  std::vector<Value> factors;
  float dropout = 0;
  for (const Adapter& adapter : adapters) {
    factors.push_back(adapter.a);
    dropout = std::max(dropout, adapter.options.dropout);
  }
  {
    const Graph::Scope scope(graph, "lora_dropout");
    x = Dropout(graph, x, dropout);
  }
  return Linear(graph, x, Concat(graph, factors, /*axis=*/0), std::nullopt, kTransposed);
}

}  // namespace

std::vector<Value> Products(Graph& graph, Value x, const std::vector<ProductOptions>& products) {
  const Shape shape = graph.shape(x);
  std::vector<Value> results;
  std::vector<Adapter> adapters;
  for (size_t i = 0; i < products.size(); ++i) {
    const ProductOptions& product = products[i];
    const Graph::Scope scope(graph, product.name);
    const LayerParameters parameters(graph, product.frozen);
    const Value weight = parameters.ProductWeight(shape.back(), product.units, product.transposed,
                                                  product.initializer);
    const std::optional<Value> bias = parameters.Bias(product.use_bias, product.units);
    results.push_back(Linear(graph, x, weight, bias, {.transposed = product.transposed}));
    if (const std::optional<LowRank> options = graph.AdapterOf(graph.scope())) {
      adapters.push_back(Declare(graph, i, *options, shape.back(), product.units));
    }
  }
  if (adapters.empty() || !graph.status().ok()) {
    return results;
  }
  // What several share is of none of them: it stands in the scope around. A single one has it, so
  // that it is not taken for a layer before its product.
  const auto narrowed = [&] {
    if (adapters.size() > 1) {
      return Narrowed(graph, x, adapters);
    }
    const Graph::Scope of_product(graph, products[adapters[0].product].name);
    const Graph::Scope of_adapter(graph, kLora, kLora);
    return Narrowed(graph, x, adapters);
  };
  const Value all = narrowed();
  int64_t begin = 0;
  for (const Adapter& adapter : adapters) {
    const Graph::Scope of_product(graph, products[adapter.product].name);
    Value& result = results[adapter.product];
    const int64_t end = begin + adapter.options.rank;
    Value added;
    {
      Graph::Scope of_adapter(graph, kLora, kLora);
      const Value own = adapters.size() > 1 ? Slice(graph, all, begin, end, shape.rank() - 1) : all;
      const Value scaled = ScaleBy(graph, own, graph.Constant(adapter.options.scale));
      added = of_adapter.Gives(Linear(graph, scaled, adapter.b, std::nullopt, kTransposed));
    }
    result = Sum(graph, result, added);
    begin = end;
  }
  return results;
}

Value Product(Graph& graph, Value x, const ProductOptions& product) {
  return Products(graph, x, {product}).front();
}

}  // namespace hone::engine::layers
