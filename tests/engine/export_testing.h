#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/engine/huggingface_testing.h"

// Folders that are exported.
namespace hone::engine::testing {

// A tokenizer.json of 40 tokens: a byte-level BPE as GPT-2's, of letters and some signs.
inline std::string SmallBytePairs() {
  nlohmann::json vocabulary = {{"<s>", 0}, {"</s>", 1}};
  int id = 2;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    vocabulary[std::string(1, letter)] = id++;
  }
  for (const char* token : {"Ġ", "th", "Ġa", ".", "?", ",", "!", ":", "'", "T", "I", "Q"}) {
    vocabulary[token] = id++;
  }
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  nlohmann::json added = nlohmann::json::array();
  for (const char* token : {"<s>", "</s>"}) {
    added.push_back({{"id", vocabulary[token]},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return nlohmann::json{
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"}, {"unk_token", "?"}, {"vocab", vocabulary}, {"merges", {"t h", "Ġ a"}}}}}
      .dump();
}

// The golden checkpoint of that name with such a tokenizer, in a new folder.
inline void WriteWriter(const std::string& folder, const std::string& name,
                        checkpoint::FileDType dtype = checkpoint::FileDType::kF32) {
  std::filesystem::create_directory(folder);
  const nlohmann::json& golden = GoldenCheckpoint(name);
  hone::testing::Put(folder + "/config.json", golden["config"].dump());
  WriteTensors(folder + "/model.safetensors", TensorsOf(golden), dtype);
  hone::testing::Put(folder + "/tokenizer.json", SmallBytePairs());
  hone::testing::Put(folder + "/generation_config.json", R"({"eos_token_id": [1, 0]})");
}

}  // namespace hone::engine::testing
