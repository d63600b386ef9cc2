#include "server/translate/data.h"

#include <string>
#include <vector>

#include "server/translate/as_written.h"

namespace hone::server::translate {
namespace {

namespace data = engine::data;

// Nothing of the texts but themselves is learned: a part of them validates where nobody says
// otherwise.
bool LearnsTexts(const v1::JobSpec& spec) {
  return spec.has_language_modeling() || spec.has_masked_language_modeling() ||
         spec.has_preference_optimization();
}

data::RatingOptions ToRatingOptions(const v1::RatingOptions& in) {
  using Ids = data::RatingOptions::Ids;
  using Split = data::RatingOptions::Split;
  data::RatingOptions out{.user = in.user(),
                          .item = in.item(),
                          .rating = in.rating(),
                          .time = in.time(),
                          .name = in.name()};
  out.ids = in.ids() == v1::RatingOptions::NUMBERS ? Ids::kNumbers
            : in.ids() == v1::RatingOptions::TEXT  ? Ids::kText
                                                   : Ids::kAutomatic;
  out.split = in.split() == v1::RatingOptions::BY_TIME         ? Split::kByTime
              : in.split() == v1::RatingOptions::LEAVE_ONE_OUT ? Split::kLeaveOneOut
                                                               : Split::kRandom;
  if (in.at_least() != 0) {
    out.at_least = AsWritten(in.at_least());
  }
  return out;
}

data::SeriesOptions ToSeriesOptions(const v1::SeriesOptions& in) {
  using Scaling = data::SeriesOptions::Scaling;
  using Base = data::SeriesOptions::Base;
  data::SeriesOptions out{.target = in.target(), .time = in.time(), .window = in.window()};
  out.columns.assign(in.columns().begin(), in.columns().end());
  out.horizon = Or(in.has_horizon(), in.horizon(), out.horizon);
  out.step = Or(in.has_step(), in.step(), out.step);
  out.period = Or(in.has_period(), in.period(), out.period);
  out.scaling = in.scaling() == v1::SeriesOptions::LOG_STANDARD ? Scaling::kLogStandard
                : in.scaling() == v1::SeriesOptions::UNSCALED   ? Scaling::kUnscaled
                                                                : Scaling::kStandard;
  out.base = in.base() == v1::SeriesOptions::LAST       ? Base::kLast
             : in.base() == v1::SeriesOptions::SEASONAL ? Base::kSeasonal
                                                        : Base::kZero;
  return out;
}

engine::text::TokenizerOptions ToTokenizer(const v1::Tokenizer& in) {
  namespace text = engine::text;
  if (in.has_characters()) {
    return text::CharacterTokens();
  }
  if (in.has_sentencepiece()) {
    const v1::Tokenizer::SentencePiece& pieces = in.sentencepiece();
    text::SentencePieceTokens out;
    out.algorithm = pieces.model() == v1::Tokenizer::SentencePiece::BPE
                        ? text::SentencePieceTokens::Algorithm::kBpe
                        : text::SentencePieceTokens::Algorithm::kUnigram;
    out.vocabulary = Or(pieces.has_vocabulary(), pieces.vocabulary(), out.vocabulary);
    out.character_coverage = Or(pieces.has_character_coverage(),
                                AsWritten(pieces.character_coverage()), out.character_coverage);
    out.byte_fallback = pieces.byte_fallback();
    return out;
  }
  const v1::Tokenizer::Words& words = in.words();
  text::WordTokens out;
  out.vocabulary = Or(words.has_vocabulary(), words.vocabulary(), out.vocabulary);
  out.min_count = Or(words.has_min_count(), words.min_count(), out.min_count);
  out.split = words.split() == v1::Tokenizer::Words::SPACES ? text::WordSplit::kSpaces
                                                            : text::WordSplit::kPunctuation;
  return out;
}

engine::text::CleaningOptions ToCleaning(const v1::TextCleaning& in) {
  using engine::text::Normalization;
  return {.html = in.html(),
          .normalization = in.normalization() == v1::TextCleaning::NFC    ? Normalization::kNfc
                           : in.normalization() == v1::TextCleaning::NFKC ? Normalization::kNfkc
                                                                          : Normalization::kNone,
          .lower_case = in.lower_case(),
          .control_characters = in.control_characters(),
          .white_space = in.white_space()};
}

data::TextOptions::Encoding ToEncoding(v1::TextOptions::Encoding in) {
  return in == v1::TextOptions::LATIN1 ? data::TextOptions::Encoding::kLatin1
                                       : data::TextOptions::Encoding::kUtf8;
}

data::TextOptions::Keep ToKeep(v1::TextOptions::Keep in) {
  return in == v1::TextOptions::LONGEST ? data::TextOptions::Keep::kLongest
                                        : data::TextOptions::Keep::kFirst;
}

data::TextAugmentation ToAugmentation(const v1::TextAugmentation& in) {
  return {.character_noise = in.character_noise(),
          .word_dropout = in.word_dropout(),
          .unknown = in.unknown(),
          .swap = in.swap()};
}

data::TextOptions ToTextOptions(const v1::TextOptions& in) {
  data::TextOptions out;
  out.columns.assign(in.columns().begin(), in.columns().end());
  out.encoding = ToEncoding(in.encoding());
  out.cleaning = ToCleaning(in.cleaning());
  out.min_characters = in.min_characters();
  out.max_characters = in.max_characters();
  out.near_copies = AsWritten(in.near_copies());
  out.keep = ToKeep(in.keep());
  out.tokenizer = ToTokenizer(in.tokenizer());
  out.max_tokens = in.max_tokens();
  out.second_columns.assign(in.second_columns().begin(), in.second_columns().end());
  out.negative_columns.assign(in.negative_columns().begin(), in.negative_columns().end());
  out.augmentation = ToAugmentation(in.augmentation());
  return out;
}

data::PairOptions ToPairOptions(const v1::PairOptions& in) {
  return {.source = in.source(),
          .target = in.target(),
          .encoding = ToEncoding(in.encoding()),
          .cleaning = ToCleaning(in.cleaning()),
          .drop_empty = in.drop_empty(),
          .max_source_tokens = in.max_source_tokens(),
          .max_target_tokens = in.max_target_tokens(),
          .first = in.first(),
          .source_tokenizer = ToTokenizer(in.source_tokenizer()),
          .target_tokenizer = ToTokenizer(in.target_tokenizer()),
          .near_copies = AsWritten(in.near_copies()),
          .keep = ToKeep(in.keep()),
          .augmentation = ToAugmentation(in.augmentation())};
}

data::ChatOptions ToChatOptions(const v1::ChatOptions& in) {
  using Kind = engine::text::ChatTemplate::Kind;
  data::ChatOptions out;
  switch (in.template_()) {
    case v1::ChatOptions::CHATML:
      out.kind = Kind::kChatMl;
      break;
    case v1::ChatOptions::LLAMA3:
      out.kind = Kind::kLlama3;
      break;
    case v1::ChatOptions::ALPACA:
      out.kind = Kind::kAlpaca;
      break;
    case v1::ChatOptions::PLAIN:
      out.kind = Kind::kPlain;
      break;
    case v1::ChatOptions::CHATML_TOOLS:
      out.kind = Kind::kChatMlTools;
      break;
    case v1::ChatOptions::LLAMA31:
      out.kind = Kind::kLlama31;
      break;
    default:
      break;
  }
  if (in.has_system()) {
    out.system = in.system();
  }
  out.learn_all = in.learn() == v1::ChatOptions::ALL;
  out.max_tokens = in.max_tokens();
  return out;
}

}  // namespace

bool ReadsTexts(const v1::JobSpec& spec) {
  return spec.data().has_text() || spec.has_language_modeling() ||
         spec.has_preference_optimization() || spec.has_masked_language_modeling() ||
         spec.has_text_embedding() || spec.has_token_tagging() ||
         spec.has_multi_label_classification();
}

data::LoadOptions ToLoadOptions(const v1::WorkerRequest& request) {
  // With early stopping, of texts of which nothing else is learned, and of pairs; the test part of
  // these, too.
  constexpr double kValidation = 0.1, kTranslationTest = 0.1;
  const v1::JobSpec& spec = request.spec();
  const v1::DataSpec& in = spec.data();
  data::LoadOptions options;
  options.dataset = in.dataset();
  if (!request.dataset_path().empty()) {
    options.dataset.clear();
    options.path = request.dataset_path();
  }
  options.sources.mirror_dir = request.data_mirror();
  options.sources.cache_dir = request.cache_directory();
  options.stream.folder = request.run_directory();
  options.task = spec.has_regression()                   ? data::Task::kRegression
                 : spec.has_recommendation()             ? data::Task::kRecommendation
                 : spec.has_forecasting()                ? data::Task::kForecasting
                 : LearnsTexts(spec)                     ? data::Task::kLanguageModeling
                 : spec.has_translation()                ? data::Task::kTranslation
                 : spec.has_text_embedding()             ? data::Task::kTextPairs
                 : spec.has_token_tagging()              ? data::Task::kTokenTagging
                 : spec.has_multi_label_classification() ? data::Task::kMultiLabel
                                                         : data::Task::kClassification;
  options.seed = spec.training().has_seed() ? spec.training().seed() : 1;
  const bool validates =
      spec.training().has_early_stopping() || LearnsTexts(spec) || spec.has_translation();
  options.validation_fraction = in.has_validation_fraction() ? Precise(in.validation_fraction())
                                : validates                  ? kValidation
                                                             : 0;
  if (in.has_test_fraction()) {
    options.test_fraction = Precise(in.test_fraction());
  } else if (LearnsTexts(spec)) {
    options.test_fraction = 0;
  } else if (spec.has_translation()) {
    options.test_fraction = kTranslationTest;
  }
  options.fold_count = in.fold().count();
  options.fold_index = in.fold().index();
  options.deduplicate = in.deduplicate();
  options.classes.assign(in.classes().begin(), in.classes().end());
  options.limit = in.limit();
  options.height = in.image().height();
  options.width = in.image().width();
  options.channels = in.image().channels();
  options.pixel_mean.assign(in.image().mean().begin(), in.image().mean().end());
  options.pixel_std.assign(in.image().std().begin(), in.image().std().end());
  if (spec.has_image_generation()) {
    // From −1 to 1, as the generator's tanh.
    constexpr float kMiddle = 0.5f;
    for (std::vector<float>* numbers : {&options.pixel_mean, &options.pixel_std}) {
      if (numbers->empty()) {
        numbers->push_back(kMiddle);
      }
    }
  }
  const v1::TableOptions& table = in.table();
  options.target = table.target();
  options.standardize = Or(table.has_standardize(), table.standardize(), true);
  options.standardize_target = Or(table.has_standardize_target(), table.standardize_target(), true);
  options.ignore.assign(table.ignore().begin(), table.ignore().end());
  options.ratings = ToRatingOptions(in.ratings());
  options.series = ToSeriesOptions(in.series());
  options.pairs = ToPairOptions(in.pairs());
  if (in.has_chat() || spec.has_preference_optimization()) {
    options.chat = ToChatOptions(in.chat());
  }
  if (ReadsTexts(spec)) {
    options.text = ToTextOptions(in.text());
    options.target = in.text().label();
    if (spec.has_language_modeling() &&
        in.text().tokenizer().kind_case() == v1::Tokenizer::KIND_NOT_SET) {
      options.text->tokenizer = engine::text::CharacterTokens();
    }
  }
  return options;
}

data::Augmentation ToAugmentation(const v1::Augmentation& in) {
  return {.shift = in.shift(),
          .horizontal_flip = in.horizontal_flip(),
          .rotate_degrees = in.rotate_degrees(),
          .crop_padding = in.crop_padding(),
          .erase_probability = in.erase_probability(),
          .brightness = in.brightness(),
          .contrast = in.contrast()};
}

data::TableAugmentation ToAugmentation(const v1::TableAugmentation& in) {
  return {.noise = in.noise(), .cell_dropout = in.cell_dropout()};
}

}  // namespace hone::server::translate
