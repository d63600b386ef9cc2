#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hone::server::doctor {

// Something that is not as it should be, in words: "models/abc: model.safetensors has another
// SHA-256 than the store says".
struct Finding {
  std::string what;
  // Puts it right without losing anything that the store knows of; null where a person must decide.
  // An error: it is as it was.
  std::function<absl::Status()> mend;
};

// Every invariant of a server's folder, while no server uses it. Reads all of it and changes
// nothing:
//   - the store's file is sound, and the events of every job are 1, 2, 3, … to its last one;
//   - every model and data set of the store has its files, with the SHA-256 that it says;
//   - every job's model is there;
//   - every folder under runs/ and models/ belongs to a job or a model of the store, and every file
//     under datasets/ and uploads/ to a data set.
// Checkpoints are verified by the worker that reads them. FAILED_PRECONDITION: a server uses it, or
// an older version wrote the store. NOT_FOUND: there is no store. DATA_LOSS: the store cannot
// be opened at all.
absl::StatusOr<std::vector<Finding>> Examine(const std::string& data_directory);

// `honed doctor --data-dir DIR [--mend]`: prints what Examine finds. Exit code 0: all is well, or
// was mended; 1: something is not, or could not be mended; 2: usage.
int Main(int argc, const char* const* argv);

}  // namespace hone::server::doctor
