#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/optim/optimizer.h"
#include "engine/optim/row_accumulator.h"
#include "engine/plan/replicas.h"

namespace hone::engine::train {

// The gradients of the tables among an optimizer's ranges, as the programs of a batch leave them
// and as earlier batches did. Nothing where no parameter gives rows.
class TableGradients {
 public:
  TableGradients(const ParameterStore& store, const optim::Optimizer& optimizer);

  // What the shards have, and what was accumulated behind it; good until the next call. The
  // programs may run afterwards: it says where they leave it.
  std::span<const optim::TableGradient> Collect(const Replicas& replicas);
  // Keeps what the shards have now for the calls of Collect to come.
  void Accumulate(const Replicas& replicas);
  // Forgets what was accumulated.
  void Clear();

 private:
  struct Table {
    ParameterId id;
    int range;
    int64_t rows, width;
    std::vector<optim::RowGradient> parts = {};
    std::optional<optim::RowAccumulator> accumulated = {};
  };
  static void AddParts(const Replicas& replicas, Table& table);

  std::vector<Table> tables_;
  std::vector<optim::TableGradient> gradients_;
  bool has_accumulated_ = false;
};

}  // namespace hone::engine::train
