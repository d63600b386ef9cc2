#include "server/datasets/catalog_names.h"

#include <algorithm>
#include <array>

namespace hone::server::datasets {
namespace {

// As in engine/data/catalog.cc.
constexpr std::array<absl::string_view, 24> kNames = {
    "mnist",
    "fashion-mnist",
    "cifar-10",
    "cifar10-jpeg",
    "sign-digits",
    "optdigits",
    "iris",
    "wine",
    "winequality-red",
    "winequality-white",
    "california-housing",
    "movielens-100k",
    "movielens-1m",
    "generated-ratings",
    "imdb",
    "sst2",
    "ag-news",
    "ag-news-test",
    "airline-passengers",
    "daily-min-temperatures",
    "tiny-shakespeare",
    "tatoeba-eng-fra",
    "multi30k",
    "names",
};

}  // namespace

bool IsCatalogName(absl::string_view name) {
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace hone::server::datasets
