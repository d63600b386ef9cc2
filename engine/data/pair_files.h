#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// How pairs of sentences stand in a file, or in two.
enum class PairLayout { kTable, kJsonLines, kTabs, kParallel };

struct PairSource {
  PairLayout layout = PairLayout::kTabs;
  Part part = Part::kTrain;
  std::string file = {};    // of both sides, or of the source
  std::string beside = {};  // of the target
};

// The files that are read of a path, by their names below it ("" for a path that is a file), and
// what they are: the layouts of pair_rows.h.
struct PairFiles {
  std::string format;
  std::vector<PairSource> sources;
  int64_t left_out = 0;  // files beside them
};

// NOT_FOUND: there is no such path. INVALID_ARGUMENT: it is in none of the layouts, one of two
// parallel files is without the other, two files are the same part, or there is no training part
// among them.
absl::StatusOr<PairFiles> FindPairFiles(const std::string& path, const PairOptions& options);

// The ends of the names of those files of a folder or archive that could be parallel files, because
// others beside them differ in their ends alone: "de", "en". Empty: there are none.
absl::StatusOr<std::vector<std::string>> ParallelEnds(const std::string& path);

}  // namespace hone::engine::data
