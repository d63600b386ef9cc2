#include "engine/text/chat_encoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/text/chat_template.h"

namespace hone::engine::text {
namespace {

// Special tokens that stand around turns.
std::vector<absl::string_view> MarksOf(ChatTemplate::Kind kind) {
  switch (kind) {
    case ChatTemplate::Kind::kChatMl:
    case ChatTemplate::Kind::kChatMlTools:
      return {"<|im_start|>", "<|im_end|>"};
    case ChatTemplate::Kind::kLlama3:
    case ChatTemplate::Kind::kLlama31:
      return {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
    case ChatTemplate::Kind::kAlpaca:
    case ChatTemplate::Kind::kPlain:
      break;
  }
  return {};
}

}  // namespace

ChatEncoder::ChatEncoder(const ChatTemplate& chat_template, std::shared_ptr<const Tokenizer> owner,
                         const PretrainedTokenizer& tokenizer)
    : template_(chat_template), owner_(std::move(owner)), tokenizer_(&tokenizer) {
  const SpecialTokens special = tokenizer.special();
  tokens_.begin = tokenizer.Written(special.begin);
  tokens_.end = tokenizer.Written(special.end);
  const std::vector<int32_t> around = tokenizer.EncodeInTemplate("a").ids;
  tokens_.begins_texts = special.begin >= 0 && !around.empty() && around.front() == special.begin;
  end_of_turn_ = tokenizer.IdOf(EndOfTurn(template_, tokens_));
  for (const absl::string_view mark : MarksOf(template_.kind)) {
    marks_.emplace_back(mark);
  }
  marks_.push_back(tokens_.end);
  if (needs_begin()) {
    marks_.push_back(tokens_.begin);
  }
  std::erase(marks_, "");
}

absl::StatusOr<ChatEncoder> ChatEncoder::Make(const ChatTemplate& chat_template,
                                              std::shared_ptr<const Tokenizer> tokenizer) {
  const auto* const of_checkpoint = dynamic_cast<const PretrainedTokenizer*>(tokenizer.get());
  if (of_checkpoint == nullptr) {
    return absl::InvalidArgumentError(
        "conversations need the tokenizer of a checkpoint: model.pretrained must name one, or a "
        "model that began with one");
  }
  ChatEncoder encoder(chat_template, std::move(tokenizer), *of_checkpoint);
  const std::string name(NameOf(chat_template.kind));
  for (const absl::string_view mark : MarksOf(chat_template.kind)) {
    if (of_checkpoint->IdOf(mark) < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the chat template ", name, " needs the token ", mark,
          ", which the vocabulary does not have; alpaca and plain need none but an end token"));
    }
  }
  if (encoder.end_of_turn_ < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the chat template ", name,
        " needs a token that ends texts (eos_token), which the tokenizer does not name"));
  }
  if (encoder.needs_begin() && encoder.tokens_.begin.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chat template ", name,
                     " needs a token that begins texts (bos_token), which the tokenizer "
                     "does not name"));
  }
  return encoder;
}

ChatTokens ChatEncoder::Encode(const Chat& chat) const {
  const RenderedChat rendered = Render(template_, tokens_, chat);
  TokenizedText tokenized = tokenizer_->EncodeWithAllBytes(rendered.text);
  ChatTokens result = {.ids = std::move(tokenized.ids)};
  result.learned.reserve(result.ids.size());
  size_t span = 0;
  for (const TokenizedText::Bytes& bytes : tokenized.bytes) {
    while (span < rendered.learned.size() && rendered.learned[span].end <= bytes.begin) {
      ++span;
    }
    result.learned.push_back(
        span < rendered.learned.size() && rendered.learned[span].begin <= bytes.begin ? 1 : 0);
  }
  return result;
}

absl::string_view ChatEncoder::MarkIn(absl::string_view content) const {
  const auto found = std::ranges::find_if(
      marks_, [&](const std::string& mark) { return absl::StrContains(content, mark); });
  return found == marks_.end() ? absl::string_view() : *found;
}

bool ChatEncoder::needs_begin() const {
  return template_.kind == ChatTemplate::Kind::kLlama3 ||
         template_.kind == ChatTemplate::Kind::kLlama31;
}

std::string ChatEncoder::AsJinja() const { return ToJinja(template_, tokens_.begins_texts); }

std::vector<int32_t> ChatEncoder::EncodeQuestion(const Chat& chat) const {
  std::vector<int32_t> ids;
  tokenizer_->Encode(Render(template_, tokens_, chat, /*asks=*/true).text, ids);
  return ids;
}

}  // namespace hone::engine::text
