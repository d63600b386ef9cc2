#include "engine/text/sentence_piece_library.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <unordered_map>
#include <utility>

namespace hone::engine::text {
namespace {

std::string MessageOf(const sentencepiece::util::Status& status) {
  return status.ok() ? std::string() : status.ToString();
}

class Texts final : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::function<bool(std::string&)>& next) : next_(next) { Next(); }

  bool done() const override { return done_; }
  void Next() override { done_ = !next_(text_); }
  const std::string& value() const override { return text_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::function<bool(std::string&)>& next_;
  std::string text_;
  bool done_ = false;
};

}  // namespace

std::string TrainSentencePiece(const SentencePieceTraining& training, std::string& serialized) {
  Texts texts(training.next);
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", training.model},
      {"vocab_size", std::to_string(training.vocabulary)},
      {"character_coverage", std::to_string(training.coverage)},
      {"hard_vocab_limit", "false"},
      {"normalization_rule_name", "identity"},
      // Longer texts would be left out.
      {"max_sentence_length", std::to_string(1 << 30)},
      // As many on every machine: sums over the texts are made by thread.
      {"num_threads", "4"},
      // Errors alone; they come back as a status, too.
      {"minloglevel", "2"},
  };
  return MessageOf(sentencepiece::SentencePieceTrainer::Train(options, &texts, &serialized));
}

SentencePieceModel::SentencePieceModel()
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
SentencePieceModel::~SentencePieceModel() = default;

std::string SentencePieceModel::Load(std::string_view serialized) {
  return MessageOf(processor_->LoadFromSerializedProto(serialized));
}

int SentencePieceModel::size() const { return processor_->GetPieceSize(); }
int SentencePieceModel::unknown() const { return processor_->unk_id(); }
int SentencePieceModel::begin() const { return processor_->bos_id(); }
int SentencePieceModel::end() const { return processor_->eos_id(); }

std::vector<int> SentencePieceModel::Encode(std::string_view utf8) const {
  return processor_->EncodeAsIds(utf8);
}

std::string SentencePieceModel::Decode(const std::vector<int>& ids) const {
  return processor_->DecodeIds(ids);
}

}  // namespace hone::engine::text
