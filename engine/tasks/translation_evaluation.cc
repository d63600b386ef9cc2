#include "engine/tasks/translation_evaluation.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/data/sentence_pairs.h"
#include "engine/image/image.h"
#include "engine/tasks/attention_map.h"
#include "engine/text/bleu.h"
#include "engine/text/chrf.h"

namespace hone::engine::tasks {
namespace {

constexpr size_t kSamples = 3;
constexpr int64_t kLongestOfAMap = 48;  // tokens
constexpr char kEnd[] = "</s>";

class TranslationEvaluator {
 public:
  TranslationEvaluator(const TranslationOptions& options, const EvaluationContext& context,
                       std::vector<int32_t> rows)
      : options_(options),
        context_(context),
        pairs_(data::SentencePairsOf(context.dataset)),
        source_(*context.info.preprocessing.text->tokenizer),
        target_(*context.info.preprocessing.target_text->tokenizer),
        rows_(std::move(rows)) {}

  absl::Status Run(Evaluation& result) {
    const TranslatorShape shape = EvaluationShape(options_);
    HONE_ASSIGN_OR_RETURN(Translator translator,
                          Translator::Make(context_.programs, context_.info.preprocessing, shape));
    const auto longest = static_cast<size_t>(shape.longest_sentence());
    for (const int32_t row : rows_) {
      const std::span<const int32_t> source = pairs_.source(row);
      sentences_.push_back(source.first(std::min(source.size(), longest)));
    }
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> greedy, Translate(translator, 1));
    Judge(greedy, "", result);
    result.note = Samples(greedy);
    if (!context_.final) {
      return absl::OkStatus();
    }
    if (options_.beams > 1) {
      HONE_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                            Translate(translator, options_.beams));
      Judge(found, "beam_", result);
    }
    absl::StrAppend(&result.note, "\n", rows_.size(), " sentences: ", signatures_);
    return DrawMaps(translator);
  }

 private:
  text::BeamOptions Search(int64_t beams) const {
    return {.beams = beams, .length_penalty = options_.length_penalty, .longest = options_.longest};
  }

  // The best translation of each sentence, as a text.
  absl::StatusOr<std::vector<std::string>> Translate(Translator& translator, int64_t beams) const {
    constexpr size_t kSlice = 256;
    const std::span<const std::span<const int32_t>> all(sentences_);
    std::vector<std::string> texts;
    while (texts.size() < all.size()) {
      const size_t count = std::min(kSlice, all.size() - texts.size());
      HONE_ASSIGN_OR_RETURN(
          const std::vector<Translated> translated,
          translator.Translate(all.subspan(texts.size(), count), {.search = Search(beams)}));
      for (const Translated& one : translated) {
        texts.push_back(target_.Decode(one.texts[0].tokens));
      }
      context_.progress(static_cast<double>(texts.size()) / static_cast<double>(all.size()));
    }
    return texts;
  }

  // The figures of these translations, and which ones they are.
  void Judge(const std::vector<std::string>& texts, const std::string& prefix, Evaluation& result) {
    text::Bleu bleu;
    text::Chrf chrf;
    for (size_t i = 0; i < texts.size(); ++i) {
      bleu.Add(texts[i], pairs_.references(rows_[i]));
      chrf.Add(texts[i], pairs_.references(rows_[i]));
    }
    result.metrics[prefix + "bleu"] = bleu.score();
    result.metrics[prefix + "chrf"] = chrf.score();
    signatures_ = absl::StrCat("BLEU ", bleu.signature(), ", chrF ", chrf.signature());
  }

  // "i am cold . → j'ai froid .  (je suis froid .)", a line each.
  std::string Samples(const std::vector<std::string>& texts) const {
    std::string note;
    for (size_t i = 0; i < std::min(kSamples, texts.size()); ++i) {
      absl::StrAppend(&note, i > 0 ? "\n" : "", source_.Decode(sentences_[i]), " → ", texts[i],
                      "  (", pairs_.references(rows_[i])[0], ")");
    }
    return note;
  }

  // Of the first sentences that are not too long.
  absl::Status DrawMaps(Translator& translator) const {
    std::vector<std::span<const int32_t>> sentences;
    for (const std::span<const int32_t> sentence : sentences_) {
      if (static_cast<int64_t>(sentences.size()) < options_.attention_maps &&
          static_cast<int64_t>(sentence.size()) <= kLongestOfAMap) {
        sentences.push_back(sentence);
      }
    }
    if (sentences.empty()) {
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(
        const std::vector<Translated> translated,
        translator.Translate(sentences, {.search = Search(1), .attention = true}));
    for (size_t i = 0; i < translated.size(); ++i) {
      const AttentionMap& map = translated[i].attention;
      if (map.empty()) {
        continue;
      }
      const std::vector<std::string> read = Words(source_, sentences[i]);
      std::vector<std::string> written = Words(target_, translated[i].texts[0].tokens);
      if (written.size() < map.size()) {
        written.push_back(kEnd);
      }
      HONE_ASSIGN_OR_RETURN(const std::string png, image::EncodePng(Draw(map)));
      const std::string path = absl::StrFormat("attention/%d", i + 1);
      HONE_RETURN_IF_ERROR(context_.artifacts.Write("attention", path + ".png", png));
      HONE_RETURN_IF_ERROR(
          context_.artifacts.Write("attention", path + ".txt", Tabulate(map, read, written)));
    }
    return absl::OkStatus();
  }

  static std::vector<std::string> Words(const text::Tokenizer& tokenizer,
                                        std::span<const int32_t> tokens) {
    std::vector<std::string> words;
    for (const int32_t& token : tokens) {
      words.push_back(tokenizer.Decode({&token, 1}));
    }
    return words;
  }

  const TranslationOptions& options_;
  const EvaluationContext& context_;
  const data::SentencePairs& pairs_;
  const text::Tokenizer& source_;
  const text::Tokenizer& target_;
  const std::vector<int32_t> rows_;
  std::vector<std::span<const int32_t>> sentences_;  // of rows_
  std::string signatures_;
};

}  // namespace

TranslatorShape EvaluationShape(const TranslationOptions& options) {
  return {.rows = 64,
          .source_rows = 1024,
          .window = options.longest,
          .longest_source = options.attention_maps > 0 ? kLongestOfAMap : 0};
}

absl::Status EvaluateTranslations(const TranslationOptions& options,
                                  const EvaluationContext& context, Evaluation& result) {
  if (!context.final && options.evaluation_sentences == 0) {
    return absl::OkStatus();
  }
  const data::SentencePairs& pairs = data::SentencePairsOf(context.dataset);
  std::vector<int32_t> rows =
      pairs.FirstOfEach(context.rows, context.final ? 0 : options.evaluation_sentences);
  std::erase_if(rows, [&](int32_t row) { return pairs.references(row).empty(); });
  return rows.empty() ? absl::OkStatus()
                      : TranslationEvaluator(options, context, std::move(rows)).Run(result);
}

}  // namespace hone::engine::tasks
