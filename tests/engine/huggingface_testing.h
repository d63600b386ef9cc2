#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/safetensors.h"
#include "engine/tensor/tensor.h"
#include "tests/engine/checkpoint_folder.h"
#include "tests/support/golden.h"
#include "tests/support/status_matchers.h"

// Folders as Hugging Face's, made of what tests/golden/huggingface.json tells.
namespace hone::engine::testing {

inline const nlohmann::json& GoldenCheckpoints() {
  static const auto* const kGolden = new nlohmann::json(
      nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/huggingface.json")));
  return *kGolden;
}

inline const nlohmann::json& GoldenCheckpoint(const std::string& name) {
  return GoldenCheckpoints().at(name);
}

// All that can be written into a folder: every family, but not the real checkpoints, of which the
// file has the answers alone.
inline std::vector<std::string> NamesOfGoldenCheckpoints() {
  std::vector<std::string> names;
  for (const auto& [name, golden] : GoldenCheckpoints().items()) {
    if (golden.contains("config")) {
      names.push_back(name);
    }
  }
  return names;
}

// Where real checkpoints are, by name; "" where this one is not there.
inline std::string RealCheckpoint(const std::string& name) {
  const auto variable = [](const char* of) {
    const char* value = std::getenv(of);
    return std::string(value == nullptr ? "" : value);
  };
  std::string root = variable("HONE_CHECKPOINT_DIR");
  if (root.empty()) {
    const std::string cache = variable("XDG_CACHE_HOME");
    root = (cache.empty() ? variable("HOME") + "/.cache" : cache) + "/hone/checkpoints";
  }
  const std::string folder = root + "/" + name;
  return std::filesystem::exists(folder + "/model.safetensors") ? folder : "";
}

// A tensor of a checkpoint that is about to be written.
struct CheckpointTensor {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

inline std::vector<CheckpointTensor> TensorsOf(const nlohmann::json& golden) {
  std::vector<CheckpointTensor> tensors;
  for (const nlohmann::json& parameter : golden["parameters"]) {
    CheckpointTensor tensor{.name = parameter["name"].get<std::string>(),
                            .shape = Shape(parameter["shape"].get<std::vector<int64_t>>()),
                            .values = {}};
    for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
      tensor.values.push_back(Start(parameter, i));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// In f32, or rounded to bf16.
inline void WriteTensors(const std::string& path, std::span<const CheckpointTensor> tensors,
                         checkpoint::FileDType dtype = checkpoint::FileDType::kF32) {
  std::vector<std::vector<uint16_t>> halves;
  halves.reserve(tensors.size());
  std::vector<checkpoint::TensorToWrite> written;
  for (const CheckpointTensor& tensor : tensors) {
    const void* data = tensor.values.data();
    if (dtype == checkpoint::FileDType::kBf16) {
      std::vector<uint16_t>& bits = halves.emplace_back();
      for (const float value : tensor.values) {
        bits.push_back(ToBf16(value));
      }
      data = bits.data();
    }
    written.push_back({.name = tensor.name, .shape = tensor.shape, .data = data, .dtype = dtype});
  }
  ASSERT_THAT(checkpoint::WriteSafetensors(path, written, {{"format", "pt"}}),
              hone::testing::IsOk());
}

// config.json and model.safetensors.
inline void WriteCheckpoint(const std::string& folder, const nlohmann::json& config,
                            std::span<const CheckpointTensor> tensors) {
  hone::testing::Put(folder + "/config.json", config.dump());
  WriteTensors(folder + "/model.safetensors", tensors);
}

}  // namespace hone::engine::testing
