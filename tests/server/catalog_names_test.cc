#include "server/datasets/catalog_names.h"

#include <gtest/gtest.h>

#include "engine/data/catalog.h"

namespace hone::server::datasets {
namespace {

TEST(CatalogNames, AreThoseOfTheEnginesCatalogue) {
  for (const engine::data::CatalogEntry& entry : engine::data::Catalog()) {
    EXPECT_TRUE(IsCatalogName(entry.name)) << entry.name;
  }
  EXPECT_FALSE(IsCatalogName("people"));
}

}  // namespace
}  // namespace hone::server::datasets
