#include "engine/train/table_gradients.h"

namespace hone::engine::train {

TableGradients::TableGradients(const ParameterStore& store, const optim::Optimizer& optimizer) {
  for (size_t r = 0; r < optimizer.ranges().size(); ++r) {
    const optim::ParameterRange& range = optimizer.ranges()[r];
    for (ParameterId id = 0; range.row_width > 0 && id < store.size(); ++id) {
      if (store.gives_rows(id) && store.offset(id) == range.begin) {
        const Shape& shape = store.spec(id).shape;
        tables_.push_back(
            {.id = id, .range = static_cast<int>(r), .rows = shape[0], .width = shape[1]});
      }
    }
  }
}

void TableGradients::AddParts(const Replicas& replicas, Table& table) {
  table.parts.clear();
  for (int k = 0; k < replicas.shards(); ++k) {
    for (const Program::RowGradient& given : replicas.program(k).row_gradients()) {
      if (given.id == table.id) {
        table.parts.push_back({.rows = given.rows, .capacity = given.capacity, .sums = given.sums});
      }
    }
  }
}

std::span<const optim::TableGradient> TableGradients::Collect(const Replicas& replicas) {
  gradients_.clear();
  for (Table& table : tables_) {
    AddParts(replicas, table);
    if (has_accumulated_) {
      table.parts.push_back(table.accumulated->Sum());
    }
    gradients_.push_back({.range = table.range, .parts = table.parts});
  }
  return gradients_;
}

void TableGradients::Accumulate(const Replicas& replicas) {
  for (Table& table : tables_) {
    AddParts(replicas, table);
    if (!table.accumulated.has_value()) {
      table.accumulated.emplace(table.rows, table.width);
    }
    for (const optim::RowGradient& part : table.parts) {
      table.accumulated->Add(part);
    }
  }
  has_accumulated_ = true;
}

void TableGradients::Clear() {
  for (Table& table : tables_) {
    if (table.accumulated.has_value()) {
      table.accumulated->Clear();
    }
  }
  has_accumulated_ = false;
}

}  // namespace hone::engine::train
