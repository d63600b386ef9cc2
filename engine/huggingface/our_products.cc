#include <fnmatch.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/huggingface/adapter.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/config.h"

namespace hone::engine::huggingface {
namespace {

// A target names a product by the end of its name behind a dot, or by a glob over all of it.
bool Names(const std::string& target, absl::string_view product) {
  if (target.find_first_of("*?[") != std::string::npos) {
    return fnmatch(target.c_str(), std::string(product).c_str(), FNM_NOESCAPE) == 0;
  }
  return !target.empty() && absl::ConsumeSuffix(&product, target) &&
         (product.empty() || product.back() == '.');
}

// Our names of the products that a rule and a target both mean: one glob where that is all blocks.
std::vector<std::string> Meant(const Config& config, const ModuleRule& rule,
                               const std::string& target) {
  const auto named = [&](const std::string& theirs) {
    return Names(target, theirs) ||
           std::ranges::any_of(config.family->prefixes, [&](absl::string_view prefix) {
             return Names(target, absl::StrCat(prefix, theirs));
           });
  };
  const int64_t blocks = BlocksOf(rule.theirs, config.sizes);
  std::vector<std::string> ours;
  for (int64_t block = 0; block < blocks; ++block) {
    if (named(OfBlock(rule.theirs, block))) {
      ours.push_back(OfBlock(rule.ours, block));
    }
  }
  if (!ours.empty() && std::ssize(ours) == blocks) {
    ours = {absl::StrReplaceAll(rule.ours, {{"{n}", "*"}})};
  }
  return ours;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<std::string>>> OurProducts(
    const std::string& directory, const std::vector<std::string>& targets) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(const Config config, ReadConfig(base));
  std::vector<std::vector<std::string>> products;
  for (const std::string& target : targets) {
    // A head's products are there for some tasks only: they are taken where nothing else is meant.
    std::vector<std::string> of_blocks, of_heads;
    for (const ModuleRule& rule : config.family->modules) {
      if (IsAdaptable(rule)) {
        const std::vector<std::string> meant = Meant(config, rule, target);
        std::vector<std::string>& to = rule.optional ? of_heads : of_blocks;
        to.insert(to.end(), meant.begin(), meant.end());
      }
    }
    std::vector<std::string>& found = of_blocks.empty() ? of_heads : of_blocks;
    if (found.empty()) {
      found.push_back(target);
    }
    products.push_back(std::move(found));
  }
  return products;
}

}  // namespace hone::engine::huggingface
