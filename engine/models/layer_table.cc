#include "engine/models/layer_table.h"

#include <algorithm>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/layers/product.h"

namespace hone::engine::models {
namespace {

using Node = Graph::Node;

Shape OfOneExample(const Shape& shape) {
  return shape.rank() == 0
             ? shape
             : Shape(std::vector<int64_t>(shape.dims().begin() + 1, shape.dims().end()));
}

// "encoder.layer.3" of "encoder.layer.3.weight", where a parameter stands in no scope.
std::string ScopeOf(const Node& node) {
  const std::string& name = node.parameter.name;
  return node.name.empty() ? name.substr(0, name.rfind('.')) : node.name;
}

class Table {
 public:
  Table(const Graph& graph, int64_t batch)
      : graph_(graph), batch_(static_cast<double>(batch)), row_of_(graph.nodes().size(), -1) {}

  LayerTable Make() {
    FindRows();
    for (size_t i = 0; i < row_of_.size(); ++i) {
      CountNode(i);
    }
    FollowValues();
    FindDeadUnits();
    FillRows();
    return {.rows = std::move(rows_), .depths = std::move(depths_)};
  }

 private:
  const Node& node(size_t i) const { return graph_.nodes()[i]; }
  LayerSummary& row(size_t i) { return rows_[static_cast<size_t>(row_of_[i])]; }
  static bool IsParameter(const Node& node) {
    return node.kind == Node::Kind::kParameter && node.parameter.role != ParameterRole::kBuffer &&
           node.parameter.role != ParameterRole::kTransient;
  }

  void FindRows() {
    for (const Graph::Layer& layer : graph_.layers()) {
      rows_.push_back({.name = layer.path, .kind = layer.kind});
      outputs_.push_back(layer.output);
    }
    for (size_t i = 0; i < row_of_.size(); ++i) {
      if (IsParameter(node(i)) && RowOf(rows_, ScopeOf(node(i))) < 0) {
        rows_.push_back({.name = ScopeOf(node(i))});
        outputs_.emplace_back();
      }
    }
    absl::flat_hash_map<std::string, int> known;
    for (size_t i = 0; i < row_of_.size(); ++i) {
      if (node(i).kind == Node::Kind::kOp || IsParameter(node(i))) {
        const std::string scope = IsParameter(node(i)) ? ScopeOf(node(i)) : node(i).name;
        const auto [entry, fresh] = known.try_emplace(scope, -1);
        entry->second = fresh ? RowOf(rows_, scope) : entry->second;
        row_of_[i] = entry->second;
      }
    }
  }

  void CountNode(size_t i) {
    if (row_of_[i] < 0) {
      return;
    }
    if (IsParameter(node(i))) {
      const ParameterSpec& spec = node(i).parameter;
      int64_t& count = absl::EndsWith(spec.name, "bias") ? row(i).biases : row(i).weights;
      count = SaturatingSum(count, spec.shape.elements());
      row(i).trainable = row(i).trainable || spec.role == ParameterRole::kTrainable;
      return;
    }
    std::vector<TensorType> in;
    for (const Value value : node(i).inputs) {
      in.push_back(graph_.type(value));
    }
    row(i).forward_flops += node(i).op->EstimateCost(in, node(i).types).flops / batch_;
    // A scope that is no layer is named after what it does first with its parameters.
    if (row(i).kind.empty()) {
      row(i).kind = std::string(node(i).op->kind());
    }
    const auto r = static_cast<size_t>(row_of_[i]);
    if (r >= graph_.layers().size() || !graph_.layers()[r].output.valid()) {
      outputs_[r] = {static_cast<int32_t>(i), 0};
    }
  }

  // From where each row gets its values, and how many rows with weights lie before.
  void FollowValues() {
    // A row by its index; an input of the graph, at node i, as -1 - i.
    std::vector<std::set<int>> sources(row_of_.size());
    depths_.assign(row_of_.size(), 0);
    std::vector<int> depth_of_row(rows_.size(), 0);
    read_.resize(rows_.size());
    for (size_t i = 0; i < row_of_.size(); ++i) {
      if (node(i).kind == Node::Kind::kInput) {
        sources[i] = {-1 - static_cast<int>(i)};
      }
      for (const Value value : node(i).inputs) {
        // Tokens that a net chooses by its own numbers are made by none of its layers.
        if (node(i).types[0].dtype == DType::kS32 && graph_.type(value).dtype != DType::kS32) {
          continue;
        }
        const auto from = static_cast<size_t>(value.node);
        sources[i].insert(sources[from].begin(), sources[from].end());
        const bool same_row = row_of_[i] >= 0 && row_of_[from] == row_of_[i];
        if (node(from).kind != Node::Kind::kParameter && !same_row) {
          depths_[i] = std::max(depths_[i], depths_[from]);
        }
      }
      if (row_of_[i] < 0 || node(i).kind != Node::Kind::kOp) {
        continue;
      }
      const auto r = static_cast<size_t>(row_of_[i]);
      depth_of_row[r] = std::max(depth_of_row[r], depths_[i]);
      // An adapter lies beside a layer's own weights, not before them.
      const bool counts = rows_[r].weights > 0 && rows_[r].kind != layers::kLora;
      depths_[i] = depth_of_row[r] + (counts ? 1 : 0);
      sources[i].erase(row_of_[i]);
      read_[r].insert(sources[i].begin(), sources[i].end());
      sources[i] = {row_of_[i]};
    }
  }

  void FindDeadUnits() {
    absl::flat_hash_map<int32_t, std::vector<size_t>> readers;
    for (size_t i = 0; i < row_of_.size(); ++i) {
      for (const Value value : node(i).inputs) {
        readers[value.node].push_back(i);
      }
    }
    const auto is_relu = [&](size_t i) {
      return node(i).op != nullptr && node(i).op->kind() == "relu";
    };
    for (size_t r = 0; r < rows_.size(); ++r) {
      if (outputs_[r].valid() && rows_[r].weights > 0) {
        const std::vector<size_t>& by = readers[outputs_[r].node];
        rows_[r].shows_dead_units =
            is_relu(static_cast<size_t>(outputs_[r].node)) || (by.size() == 1 && is_relu(by[0]));
      }
    }
  }

  // Names, shapes and roles; the inputs that are read stand before the layers.
  void FillRows() {
    std::set<int> read;
    for (const std::set<int>& of_row : read_) {
      read.insert(of_row.begin(), of_row.end());
    }
    std::vector<LayerSummary> all;
    for (auto from = read.rbegin(); from != read.rend(); ++from) {
      if (*from < 0) {
        const Node& input = node(static_cast<size_t>(-1 - *from));
        all.push_back({.name = input.name,
                       .kind = "input",
                       .role = LayerRole::kInput,
                       .output_shape = OfOneExample(input.types[0].shape),
                       .inputs = {}});
      }
    }
    for (size_t r = 0; r < rows_.size(); ++r) {
      // A row of weights alone, which an op of another one uses, gives nothing.
      const bool gives_output = outputs_[r].valid() && !read.contains(static_cast<int>(r));
      rows_[r].role = gives_output ? LayerRole::kOutput : LayerRole::kHidden;
      if (outputs_[r].valid()) {
        rows_[r].output_shape = OfOneExample(graph_.shape(outputs_[r]));
      }
      for (const int from : read_[r]) {
        rows_[r].inputs.push_back(from < 0 ? node(static_cast<size_t>(-1 - from)).name
                                           : rows_[static_cast<size_t>(from)].name);
      }
    }
    all.insert(all.end(), std::make_move_iterator(rows_.begin()),
               std::make_move_iterator(rows_.end()));
    rows_ = std::move(all);
    SetShares(rows_);
  }

  const Graph& graph_;
  const double batch_;
  std::vector<LayerSummary> rows_;
  std::vector<Value> outputs_;       // of the rows
  std::vector<std::set<int>> read_;  // by the rows
  std::vector<int> row_of_;          // by node; -1: none
  std::vector<int> depths_;
};

}  // namespace

LayerTable TableOf(const Graph& graph, int64_t batch) { return Table(graph, batch).Make(); }

int RowOf(const std::vector<LayerSummary>& rows, absl::string_view scope) {
  while (!scope.empty()) {
    const auto row = std::ranges::find(rows, scope, &LayerSummary::name);
    if (row != rows.end()) {
      return static_cast<int>(row - rows.begin());
    }
    const size_t dot = scope.rfind('.');
    scope = dot == absl::string_view::npos ? "" : scope.substr(0, dot);
  }
  return -1;
}

void SetShares(std::vector<LayerSummary>& rows) {
  const auto parameters = [](const LayerSummary& row) {
    return static_cast<double>(row.weights) + static_cast<double>(row.biases);
  };
  double total = 0;
  for (const LayerSummary& row : rows) {
    total += parameters(row);
  }
  for (LayerSummary& row : rows) {
    row.share = total > 0 ? parameters(row) / total : 0;
  }
}

}  // namespace hone::engine::models
