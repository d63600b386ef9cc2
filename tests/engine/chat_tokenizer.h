#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text/pretrained_tokenizer.h"

// A tokenizer of a checkpoint that chats, small enough for tests.
namespace hone::engine::testing {

// Each byte of ASCII that is printed, the space and the line feed is a token; those given are
// joined, and these are special. Of the special ones the first begins a text, the second ends one.
// With `trims` the bytes of a token are told without the spaces around it.
inline std::shared_ptr<const text::PretrainedTokenizer> ChatTokenizer(
    const std::vector<std::pair<std::string, std::string>>& merges = {},
    const std::vector<std::string>& special = {"<|im_start|>", "<|im_end|>"}, bool trims = false) {
  nlohmann::json vocabulary = nlohmann::json::object();
  int32_t next = 0;
  for (char c = '!'; c <= '~'; ++c) {
    vocabulary[std::string(1, c)] = next++;
  }
  vocabulary["\xc4\xa0"] = next++;  // the space, as byte-level tokenizers write it
  vocabulary["\xc4\x8a"] = next++;  // the line feed
  nlohmann::json joined = nlohmann::json::array();
  for (const auto& [left, right] : merges) {
    vocabulary[left + right] = next++;
    joined.push_back({left, right});
  }
  nlohmann::json added = nlohmann::json::array();
  text::TokenRoles roles;
  for (size_t i = 0; i < special.size(); ++i) {
    (i == 0 ? roles.begin : i == 1 ? roles.end : roles.mask) = i < 2 ? next : -1;
    added.push_back({{"id", next++},
                     {"content", special[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const nlohmann::json bytes = {{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", false},
                                {"use_regex", false}};
  nlohmann::json trimming = bytes;
  trimming["trim_offsets"] = true;
  const nlohmann::json json = {{"version", "1.0"},
                               {"truncation", nullptr},
                               {"padding", nullptr},
                               {"added_tokens", added},
                               {"normalizer", nullptr},
                               {"pre_tokenizer", bytes},
                               {"post_processor", trims ? trimming : nlohmann::json()},
                               {"decoder", bytes},
                               {"model",
                                {{"type", "BPE"},
                                 {"dropout", nullptr},
                                 {"unk_token", nullptr},
                                 {"continuing_subword_prefix", nullptr},
                                 {"end_of_word_suffix", nullptr},
                                 {"fuse_unk", false},
                                 {"byte_fallback", false},
                                 {"vocab", vocabulary},
                                 {"merges", joined}}}};
  auto tokenizer = text::ParseTokenizerJson(json.dump(), &roles);
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

}  // namespace hone::engine::testing
