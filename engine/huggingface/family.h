#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/tensor/tensor.h"

// What is known of a family of checkpoints, as a table: how its config.json becomes options of one
// of our presets (models/presets.h), and which of its tensors is which parameter. A family is one
// function of families.h and its line in families.cc.
namespace hone::engine::huggingface {

// Sizes by the letters that shapes of tensors are written with: V tokens, D width, F between the
// two products of a block, P places, T token types, L blocks, H heads; G heads of keys and values,
// K the numbers of all these heads, E those of one, A those of all heads of queries; O places that
// stand before that of a text's first token.
using Sizes = std::map<char, int64_t>;

// A word of config.json, and what the preset calls it.
struct Word {
  absl::string_view theirs;
  absl::string_view ours;
};

// A key of config.json. Values are written as JSON.
struct ConfigKey {
  absl::string_view key;
  char size = 0;                     // it is this size: a whole number of at least 1
  absl::string_view option = {};     // of the preset, which gets the value
  absl::string_view otherwise = {};  // where the key is absent or null; empty: it must be there;
                                     // "null": the preset's own default
  std::vector<Word> words = {};      // the only values, where it is a word
  absl::string_view only = {};       // the only value; an absent key has it
  bool for_complete = false;         // Family::complete reads it
};

// Which part of its tensor a parameter is: all of it, the rows behind the first O, or one of the
// thirds of its last dimension; or rows for columns.
enum class Part : uint8_t { kAll, kPlaces, kQuery, kKey, kValue, kTransposed };

// `theirs`.weight and `theirs`.bias are `ours`.weight and `ours`.bias. In the names {i} is the
// block's number from 0, {n} the same from 1.
struct ModuleRule {
  absl::string_view theirs;  // without the family's prefix
  absl::string_view ours;
  absl::string_view weight;  // the shape in the file, "F D"; "*" is any size. Empty: there is none
  absl::string_view bias = {};  // the same
  // Of a head, or of another task: it need not be there, nor have a parameter in the job's model.
  bool optional = false;
  Part part = Part::kAll;
  // The bias is there where this option of the preset is true; empty: always.
  absl::string_view biased_if = {};
  // The last product's: where the option tied_embeddings is true, a copy of the table that is not
  // read.
  bool untied = false;
};

struct Family {
  absl::string_view model_type;  // as config.json says it
  absl::string_view preset;
  absl::string_view options;                // of the preset, that all of the family have: JSON
  std::vector<absl::string_view> prefixes;  // that names of tensors may begin with
  std::vector<ConfigKey> keys;
  // Further sizes and options, which follow from several keys. INVALID_ARGUMENT names the key.
  absl::Status (*complete)(const nlohmann::json& config, Sizes& sizes, nlohmann::json& options);
  // Of rules for the same parameter the first one whose tensor is there counts.
  std::vector<ModuleRule> modules;
  // Names of tensors, with {i}, that hold nothing of the model's: masks, copies of tied weights.
  std::vector<absl::string_view> unread;
};

// A name of a rule with the block's number, from 0, in its place.
std::string OfBlock(absl::string_view name, int64_t block);
// How many modules the rule of that name stands for.
int64_t BlocksOf(absl::string_view name, const Sizes& sizes);

// The extents that a rule's shape has: "3D *" → [3 · width, −1]; −1 is any.
Shape WantedShape(absl::string_view shape, const Sizes& sizes);
bool Fits(const Shape& shape, const Shape& wanted);
// "[1152, any]"
std::string Extents(const Shape& wanted);

}  // namespace hone::engine::huggingface
