#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

// The library SentencePiece. Its headers declare names in the namespace absl, so that no file may
// include both them and Abseil's; here the two are kept apart, and neither is included.
namespace hone::engine::text {

struct SentencePieceTraining {
  const char* model = "unigram";  // or "bpe"
  int vocabulary = 0;
  double coverage = 0;
  // The next text, until it returns false.
  std::function<bool(std::string& text)> next;
};

// The model in the library's own format. What is wrong, or "".
std::string TrainSentencePiece(const SentencePieceTraining& training, std::string& serialized);

// A model that encodes. Immutable once it is loaded.
class SentencePieceModel {
 public:
  SentencePieceModel();
  ~SentencePieceModel();

  // What is wrong, or "".
  std::string Load(std::string_view serialized);
  int size() const;
  int unknown() const;  // −1 for each that the model does not have
  int begin() const;
  int end() const;
  std::vector<int> Encode(std::string_view utf8) const;
  std::string Decode(const std::vector<int>& ids) const;

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace hone::engine::text
