#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::engine::tasks {

struct Artifact {
  std::string kind;  // "model", or a task's own word
  std::string path;  // relative to the run's directory
  int64_t bytes = 0;
  std::string sha256;  // of the file; of a model, of model.safetensors
};

// Is told of artifacts, on the thread that trains.
class ArtifactObserver {
 public:
  virtual ~ArtifactObserver() = default;
  virtual void OnArtifact(const Artifact& artifact) = 0;
};

// Where a task leaves what is no number: pictures, samples of text. Each is a file below
// RUN/artifacts that appears whole or not at all, and is told to the observer once it is there.
class ArtifactSink {
 public:
  // Takes everything and keeps nothing: for steps that are only measured.
  ArtifactSink() = default;
  // The observer outlives it.
  ArtifactSink(std::string run_directory, ArtifactObserver& observer)
      : run_directory_(std::move(run_directory)), observer_(&observer) {}

  // `path` below RUN/artifacts, such as "samples/step-00000500.png"; a file that is there is
  // replaced, as by a resumed run. `kind` is for who shows it: "samples", but not "model".
  // INTERNAL: a path that leads elsewhere. RESOURCE_EXHAUSTED: no space; else errors of files.h.
  absl::Status Write(const std::string& kind, const std::string& path,
                     absl::string_view bytes) const;

 private:
  std::string run_directory_;
  ArtifactObserver* observer_ = nullptr;
};

}  // namespace hone::engine::tasks
