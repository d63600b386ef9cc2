#include "engine/tasks/filling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "engine/text/cleaning.h"

namespace hone::engine::tasks {
namespace {

constexpr size_t kMostTokens = 1 << 16;
constexpr int64_t kMostMasks = 256;

const std::vector<int32_t>& TokensOf(const Example& example) {
  return std::get<std::vector<int32_t>>(example.at(std::string(kTokensInput)));
}

class FillingAnswerer final : public Answerer {
 public:
  explicit FillingAnswerer(const data::Preprocessing& preprocessing)
      : text_(*preprocessing.text), special_(text_.tokenizer->special()) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    return outputs == text_.tokenizer->size()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("the model gives ", outputs,
                                                         " numbers for a vocabulary of ",
                                                         text_.tokenizer->size()));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* asked = std::get_if<TextQuestion>(&question);
    if (asked == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": the model takes texts with ", text::kMaskToken, ", this is ", NameOf(question)));
    }
    if (asked->second.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the model takes single texts, this is a pair"));
    }
    if (asked->beams != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": beams: must not be given: the model does not translate"));
    }
    absl::StatusOr<std::vector<int32_t>> tokens = ReadMasked(asked->text, text_);
    HONE_RETURN_IF_ERROR(Annotate(tokens.status(), name));
    return Example{{std::string(kTokensInput), *std::move(tokens)}};
  }

  int64_t BucketOf(std::span<const Example> examples) const override {
    size_t tokens = 0;
    for (const Example& example : examples) {
      tokens += TokensOf(example).size();
    }
    return PlannedRows(static_cast<int64_t>(std::bit_ceil(std::max<size_t>(tokens, 1))));
  }

  absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(TextFiller filler, TextFiller::Begin(inputs));
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> places, inputs.Find<int32_t>(kMaskedInput));
    if (places.size() != examples.size()) {
      return absl::InternalError(absl::StrCat("a program that finds ", places.size(),
                                              " tokens was given ", examples.size(), " texts"));
    }
    int32_t row = 0;
    for (size_t i = 0; i < examples.size(); ++i) {
      const std::vector<int32_t>& tokens = TokensOf(examples[i]);
      HONE_RETURN_IF_ERROR(filler.Add(tokens));
      places[i] = row + std::get<std::vector<int32_t>>(examples[i].at(kMaskedInput))[0];
      row += static_cast<int32_t>(tokens.size());
    }
    return filler.Finish();
  }

  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override {
    std::vector<Example> each;  // one mask of a text
    std::vector<size_t> text_of;
    for (size_t i = 0; i < examples.size(); ++i) {
      const std::vector<int32_t>& tokens = TokensOf(examples[i]);
      for (size_t place = 0; place < tokens.size(); ++place) {
        if (tokens[place] == special_.mask) {
          each.push_back(examples[i]);
          each.back()[kMaskedInput] = std::vector<int32_t>{static_cast<int32_t>(place)};
          text_of.push_back(i);
        }
      }
    }
    HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> outputs, run(each));
    std::vector<Prediction> predictions(examples.size());
    for (size_t k = 0; k < outputs.size(); ++k) {
      predictions[text_of[k]].fills.push_back(Best(outputs[k]));
    }
    return predictions;
  }

 private:
  // By the softmax of the logits; no special token is an answer.
  std::vector<Prediction::Class> Best(const std::vector<float>& logits) const {
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [&](int32_t token) { return special_.Has(token); });
    const size_t count = std::min(order.size(), kFillsOfAMask);
    const auto more_likely = [&](int32_t a, int32_t b) {
      const float la = logits[static_cast<size_t>(a)], lb = logits[static_cast<size_t>(b)];
      return la != lb ? la > lb : a < b;
    };
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(count),
                              more_likely);
    const double top = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) {
      sum += std::exp(logit - top);
    }
    std::vector<Prediction::Class> best;
    for (size_t i = 0; i < count; ++i) {
      const int32_t token = order[i];
      best.push_back({text_.tokenizer->Decode({&token, 1}),
                      std::exp(logits[static_cast<size_t>(token)] - top) / sum});
    }
    return best;
  }

  const data::TextPreprocessing& text_;
  const text::SpecialTokens special_;
};

}  // namespace

absl::StatusOr<std::vector<int32_t>> ReadMasked(absl::string_view text,
                                                const data::TextPreprocessing& how) {
  HONE_RETURN_IF_ERROR(CheckUtf8(text));
  const int32_t mask = how.tokenizer->special().mask;
  const text::SpecialTokens special = how.tokenizer->special();
  std::vector<int32_t> tokens;
  if (how.in_template && special.begin >= 0) {
    tokens.push_back(special.begin);
  }
  bool first = true;
  for (const absl::string_view piece : absl::StrSplit(text, std::string(text::kMaskToken))) {
    if (!first) {
      tokens.push_back(mask);
    }
    const bool joined =
        !first && !piece.empty() && !absl::ascii_isspace(static_cast<unsigned char>(piece[0]));
    first = false;
    how.tokenizer->EncodeBesideMask(text::Clean(piece, how.cleaning, nullptr), joined, tokens);
  }
  const size_t most = how.max_tokens > 0 ? static_cast<size_t>(how.max_tokens) : kMostTokens;
  if (how.in_template && special.end >= 0) {
    tokens.push_back(special.end);
  }
  const bool cut = tokens.size() > most;
  if (cut) {
    const int32_t last = how.in_template && special.end >= 0 ? special.end : tokens[most - 1];
    tokens.resize(most);
    tokens.back() = last;
  }
  const int64_t masks = std::ranges::count(tokens, mask);
  if (masks < 1 || masks > kMostMasks) {
    return absl::InvalidArgumentError(
        absl::StrCat("must have ", text::kMaskToken, " 1 to ", kMostMasks,
                     " times, each where a word is to be found, as in \"a ", text::kMaskToken,
                     " film\"", cut ? ", among its first " : "",
                     cut ? absl::StrCat(most, " tokens") : "", "; got ", masks));
  }
  return tokens;
}

absl::StatusOr<std::unique_ptr<Answerer>> NewFillingAnswerer(
    const data::Preprocessing& preprocessing) {
  if (!preprocessing.text.has_value() || preprocessing.text->tokenizer->special().mask < 0) {
    return absl::InvalidArgumentError(
        "a model that finds masked tokens must have a tokenizer with a mask token");
  }
  return std::make_unique<FillingAnswerer>(preprocessing);
}

}  // namespace hone::engine::tasks
