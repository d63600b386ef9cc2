#include "engine/data/table_augment.h"

#include <algorithm>

#include "engine/base/rng.h"

namespace hone::engine::data {

TableAugmenter::TableAugmenter(const TableAugmentation& augmentation,
                               std::span<const ColumnPreprocessing> columns)
    : augmentation_(augmentation) {
  for (const ColumnPreprocessing& column : columns) {
    cells_.push_back(
        {.features = static_cast<size_t>(column.features()),
         .is_number = !column.is_category(),
         .missing = column.is_category()
                        ? 0.0f
                        : static_cast<float>((column.fill - column.mean) / column.std)});
  }
}

void TableAugmenter::Augment(const AugmentKey& key, std::span<const float> in,
                             std::span<float> out) const {
  RandomStream random(key.seed, "augment tables",
                      static_cast<uint64_t>(key.epoch) << 32 | static_cast<uint32_t>(key.row));
  std::ranges::copy(in, out.begin());
  size_t first = 0;
  for (const Cell& cell : cells_) {
    const std::span<float> features = out.subspan(first, cell.features);
    if (cell.is_number && augmentation_.noise > 0) {
      features[0] += augmentation_.noise * random.NextNormal();
    }
    if (augmentation_.cell_dropout > 0 && random.NextUnit() < augmentation_.cell_dropout) {
      std::ranges::fill(features, cell.missing);
    }
    first += cell.features;
  }
}

}  // namespace hone::engine::data
