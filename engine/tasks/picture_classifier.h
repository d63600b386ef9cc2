#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/program.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::tasks {

// A published classification model that says of pictures which class they are, and what its last
// hidden layer makes of them. Not thread safe.
class PictureClassifier {
 public:
  // For pictures [channels, height, width]. INVALID_ARGUMENT: the model classifies nothing, other
  // pictures, or has no hidden layer of at most kMostFeatures numbers. Errors of
  // checkpoint::LoadModel.
  static absl::StatusOr<std::unique_ptr<PictureClassifier>> Load(const std::string& directory,
                                                                 const Shape& picture, int threads);
  PictureClassifier(const PictureClassifier&) = delete;
  PictureClassifier& operator=(const PictureClassifier&) = delete;

  static constexpr int64_t kMostFeatures = 2048;

  const std::vector<std::string>& class_names() const { return class_names_; }
  int64_t features() const { return features_; }

  struct Judgements {
    std::vector<float> probabilities;  // [pictures, classes]
    std::vector<float> features;       // [pictures, features()]
  };
  // `pixels` are bytes [pictures, channels, height, width].
  absl::StatusOr<Judgements> Judge(std::span<const uint8_t> pixels);

 private:
  PictureClassifier() = default;

  std::vector<std::string> class_names_;
  int64_t picture_bytes_ = 0;
  int64_t features_ = 0;
  int threads_ = 1;
  ParameterStore store_;
  std::vector<Program> programs_;  // one
  Buffer arena_;
};

}  // namespace hone::engine::tasks
