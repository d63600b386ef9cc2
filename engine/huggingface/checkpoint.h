#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/text_preprocessing.h"
#include "engine/huggingface/adapter.h"
#include "engine/huggingface/tensor_files.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"

// Checkpoints in folders as Hugging Face's transformers writes them: config.json, weights as
// safetensors, tokenizer files. Such a folder is seen as one of our models: a preset with its
// options, its parameters by our names, and how it makes tokens of texts.
namespace hone::engine::huggingface {

// The folder has a config.json, or is an adapter (adapter.h), and is no model of ours. In all below
// an adapter's folder is its base with the adapter: its net, its weights.
bool IsCheckpoint(const std::string& directory);

// The net, behind "tokens" and "offsets". Reads config.json alone, and of an adapter what it has;
// errors of ReadConfig and ReadAdapter.
absl::StatusOr<models::ModelDescription> DescribeModel(const std::string& directory);

// Of each target the products here that it means. A job may call them by the checkpoint's names,
// with their prefix or without, as ends or as globs, or by ours: "q_proj" → all of
// "block_*.attention.query", "layers.3.self_attn.q_proj" → "block_4.attention.query". What is
// neither stays as it is. Errors of ReadConfig.
absl::StatusOr<std::vector<std::vector<std::string>>> OurProducts(
    const std::string& directory, const std::vector<std::string>& targets);

// How the checkpoint makes tokens of texts: those of its template around each, and no more tokens
// than the net has places. An adapter may have a tokenizer.json of its own. How the checkpoint
// writes conversations, where its chat template is known (text/chat_template.h). INVALID_ARGUMENT
// where the tokenizer has more tokens than the table of embeddings has rows. Errors of ReadConfig
// and text::ReadPretrainedTokenizer. What the tokenizer's files say and is not done
// (text::ReadTokenizer::overridden) is added to `notes` where it is not null.
absl::StatusOr<data::TextPreprocessing> ReadTokens(const std::string& directory,
                                                   std::vector<std::string>* notes = nullptr);

// The weights, by the names and in the shapes of our parameters. Opening reads headers only.
class Weights {
 public:
  // INVALID_ARGUMENT with every tensor that is missing, that nobody reads, that has another shape
  // than config.json says or holds no floating-point numbers of 16 or 32 bits. Errors of ReadConfig
  // and TensorFiles::Open.
  static absl::StatusOr<Weights> Open(const std::string& directory);

  // Our names, in the order of the family's table.
  const std::vector<std::string>& names() const { return names_; }
  // Of all tensors in the files.
  int64_t bytes() const;
  bool Holds(absl::string_view name) const { return parameters_.contains(name); }

  // The name is held; so in all below. In the checkpoint, for messages.
  const std::string& TheirName(absl::string_view name) const { return At(name).theirs; }
  const Shape& shape(absl::string_view name) const { return At(name).shape; }
  checkpoint::FileDType dtype(absl::string_view name) const { return At(name).tensor.dtype; }
  // Where the values can be read as they lie: f32 or bf16, aligned, row behind row. nullopt
  // otherwise. A file that is asked for the first time is mapped and its SHA-256 taken. Not for
  // several threads at once.
  absl::StatusOr<std::optional<BorrowedValues>> InPlace(absl::string_view name) const;
  // Lends the store those of its frozen parameters, of the same names and shapes, that can be read
  // as they lie; before its Allocate. Checkpoints of the store cannot name the files, whose SHA-256
  // is not taken.
  absl::Status LendTo(ParameterStore& store) const;
  // The values as floats; out.size() == shape(name).elements(). Errors of SafetensorsFile::Read.
  // ReadInto puts them into a parameter of that name, rounded where it is kept in bf16;
  // INVALID_ARGUMENT where its shape is another.
  absl::Status Read(absl::string_view name, std::span<float> out) const;
  absl::Status ReadInto(ParameterStore& store, ParameterId id) const;
  // The whole tensor of theirs that the parameter is, or is a part of.
  absl::Status ReadTheirs(absl::string_view name, std::span<float> out) const;

 private:
  // A block of one of their tensors: our row r is the elements from first + r · stride on; all of
  // it, if transposed.
  struct Parameter {
    std::string theirs;
    size_t file = 0;
    checkpoint::FileTensor tensor;
    Shape shape;  // ours
    int64_t first = 0;
    int64_t stride = 0;
    bool transposed = false;
  };
  struct MappedFile {
    std::shared_ptr<const std::byte> memory;
    std::string sha256;  // "": not taken yet
  };
  class Matcher;

  explicit Weights(TensorFiles files) : files_(std::move(files)), mapped_(files_.files()) {}
  absl::Status Add(Adapter adapter);
  const Parameter& At(absl::string_view name) const { return parameters_.find(name)->second; }
  // `named`: with the SHA-256 of its file.
  absl::StatusOr<std::optional<BorrowedValues>> Borrowed(absl::string_view name, bool named) const;

  TensorFiles files_;
  std::vector<std::string> names_;
  absl::flat_hash_map<std::string, Parameter> parameters_;
  mutable std::vector<std::optional<MappedFile>> mapped_;  // by file
};

}  // namespace hone::engine::huggingface
