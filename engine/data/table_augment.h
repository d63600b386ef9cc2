#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/preprocessing.h"

namespace hone::engine::data {

// Random changes of a training row of a table; its target stays as it is. 0: not done.
struct TableAugmentation {
  // Deviation of normal noise that is added to each number, in units of the number's own deviation
  // on the training part.
  float noise = 0;
  // Share of the cells that count as missing, [0, 1): a number becomes its column's fill value, a
  // category none of those that are known.
  float cell_dropout = 0;

  bool any() const { return noise > 0 || cell_dropout > 0; }
};

// Changes rows, in the order of TableAugmentation's fields. Immutable: any number of threads may
// use it.
class TableAugmenter {
 public:
  // The columns as the table was encoded by them. For noise its numbers were standardised.
  TableAugmenter(const TableAugmentation& augmentation,
                 std::span<const ColumnPreprocessing> columns);

  // Writes the changed row; `in` and `out` are f32[features] and must not overlap. What `key` names
  // decides, and nothing else. Allocates nothing.
  void Augment(const AugmentKey& key, std::span<const float> in, std::span<float> out) const;

 private:
  struct Cell {
    size_t features = 1;
    bool is_number = true;
    float missing = 0;  // each of its features where there is no value
  };

  TableAugmentation augmentation_;
  std::vector<Cell> cells_;
};

}  // namespace hone::engine::data
