#include "engine/text/sentence_piece_tokenizer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/text/sentence_piece_library.h"

namespace hone::engine::text {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Make(std::string serialized) {
    auto tokenizer = std::make_unique<SentencePieceTokenizer>();
    if (const std::string wrong = tokenizer->model_.Load(serialized); !wrong.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("`model` is no model of SentencePiece: ", wrong));
    }
    tokenizer->serialized_ = std::move(serialized);
    return tokenizer;
  }

  int64_t size() const override { return model_.size(); }
  SpecialTokens special() const override {
    return {.unknown = model_.unknown(), .begin = model_.begin(), .end = model_.end()};
  }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    const std::vector<int> encoded = model_.Encode({utf8.data(), utf8.size()});
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    return model_.Decode({ids.begin(), ids.end()});
  }

  nlohmann::json ToJson() const override {
    return {{"kind", "sentence_piece"}, {"model", absl::Base64Escape(serialized_)}};
  }

 private:
  SentencePieceModel model_;
  std::string serialized_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainSentencePieces(
    const SentencePieceTokens& options, const Corpus& corpus) {
  int64_t next = 0;
  const SentencePieceTraining training = {
      .model = options.model == SentencePieceTokens::Model::kBpe ? "bpe" : "unigram",
      .vocabulary = static_cast<int>(options.vocabulary),
      .coverage = options.coverage,
      .next =
          [&](std::string& text) {
            if (next == corpus.size) {
              return false;
            }
            text = std::string(corpus.text(next++));
            return true;
          },
  };
  std::string serialized;
  if (const std::string wrong = TrainSentencePiece(training, serialized); !wrong.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("SentencePiece finds no vocabulary of ",
                                                   options.vocabulary, " in these texts: ", wrong));
  }
  return SentencePieceTokenizer::Make(std::move(serialized));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> SentencePiecesFromJson(
    const nlohmann::json& json) {
  std::string serialized;
  if (!absl::Base64Unescape(json.at("model").get<std::string>(), &serialized)) {
    return absl::InvalidArgumentError("`model` is not in base 64");
  }
  return SentencePieceTokenizer::Make(std::move(serialized));
}

}  // namespace hone::engine::text
