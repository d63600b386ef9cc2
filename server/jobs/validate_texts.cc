#include "server/jobs/validate_texts.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/jobs/names.h"

namespace hone::server::jobs {
namespace {

constexpr int64_t kMostWindow = 1 << 20;

// Data that is one running text, for this task.
void CheckRunningText(const v1::DataSpec& data, const std::string& task, FieldErrors& errors) {
  const v1::TextOptions& text = data.text();
  for (const auto& [field, given] :
       {std::pair("data.text.columns", text.columns_size() > 0),
        std::pair("data.text.label", !text.label().empty()),
        std::pair("data.text.min_characters", text.min_characters() != 0),
        std::pair("data.text.max_characters", text.max_characters() != 0),
        std::pair("data.text.near_copies", text.near_copies() != 0),
        std::pair("data.text.max_tokens", text.max_tokens() != 0),
        std::pair("data.text.augmentation", text.has_augmentation()),
        std::pair("data.text.second_columns", text.second_columns_size() > 0),
        std::pair("data.deduplicate", data.deduplicate()),
        std::pair("data.limit", data.limit() != 0), std::pair("data.fold", data.has_fold()),
        std::pair("data.classes", data.classes_size() > 0)}) {
    if (given) {
      errors.Add(field, absl::StrCat("must not be given: ", task, " reads one running text"));
    }
  }
}

// Data of texts without labels, of which nothing is learned but themselves.
void CheckTextsAlone(const v1::DataSpec& data, absl::string_view why, FieldErrors& errors) {
  for (const auto& [field, given] :
       {std::pair("data.text.second_columns", data.text().second_columns_size() > 0),
        std::pair("data.text.augmentation", data.text().has_augmentation())}) {
    if (given) {
      errors.Add(field, absl::StrCat("must not be given: ", why));
    }
  }
  if (data.classes_size() > 0) {
    errors.Add("data.classes", "must not be given: only pictures can be chosen by class");
  }
}

// Conversations, of a model that goes on from a checkpoint.
void CheckChat(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::ChatOptions& chat = spec.data().chat();
  constexpr size_t kMostSystem = size_t{1} << 16;
  const std::string at = "data.chat";
  if (!v1::ChatOptions::Template_IsValid(chat.template_())) {
    errors.Add(at + ".template",
               "must be one of CHATML, LLAMA3, ALPACA, PLAIN, CHATML_TOOLS, LLAMA31");
  }
  if (!v1::ChatOptions::Learn_IsValid(chat.learn())) {
    errors.Add(at + ".learn", "must be ANSWERS or ALL");
  }
  if (chat.system().size() > kMostSystem) {
    errors.Add(at + ".system",
               absl::StrCat("must be at most ", kMostSystem, " bytes, got ", chat.system().size()));
  }
  errors.CheckInt(at + ".max_tokens", chat.max_tokens(), 0, kMostWindow);
  if (chat.max_tokens() == 1) {
    errors.Add(at + ".max_tokens", "must be at least 2, of which the second one is foretold");
  }
  if (!spec.has_language_modeling() && !spec.has_preference_optimization() &&
      !spec.has_evaluation()) {
    errors.Add(at, "is read by the tasks language_modeling and preference_optimization only");
  }
}

// A language model of conversations.
void CheckChatTask(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::LanguageModeling& task = spec.language_modeling();
  if (task.documents() == v1::LanguageModeling::JOINED) {
    errors.Add("language_modeling.documents",
               "must be PACKED, or not be given, with data.chat: no conversation goes on where "
               "another one ended");
  }
  if (task.carry_state()) {
    errors.Add("language_modeling.carry_state",
               "must be false with data.chat: no conversation goes on where another one ended");
  }
  if (!spec.model().has_pretrained()) {
    errors.Add("model.pretrained",
               "must be given with data.chat: conversations are made of a checkpoint's tokens");
  }
  if (spec.data().has_text()) {
    errors.Add("data.text", "must not be given with data.chat, which says how texts are made");
  }
  if (spec.data().classes_size() > 0) {
    errors.Add("data.classes", "must not be given: only pictures can be chosen by class");
  }
}

void CheckLanguageModeling(const v1::JobSpec& spec, FieldErrors& errors) {
  if (spec.language_modeling().has_window()) {
    errors.CheckInt("language_modeling.window", spec.language_modeling().window(), 1, kMostWindow);
  }
  errors.CheckFloat("language_modeling.z_loss", spec.language_modeling().z_loss(), UpTo(0, 1));
  if (spec.language_modeling().carry_state() && spec.model().has_preset()) {
    errors.Add("language_modeling.carry_state",
               "must be false with a preset: none of those that write has recurrent layers, whose "
               "state could be carried");
  }
  const v1::LanguageModeling& task = spec.language_modeling();
  if (!v1::LanguageModeling::Documents_IsValid(task.documents())) {
    errors.Add("language_modeling.documents", "must be JOINED or PACKED");
  }
  if (spec.data().has_chat()) {
    return CheckChatTask(spec, errors);
  }
  if (task.documents() != v1::LanguageModeling::PACKED) {
    return CheckRunningText(spec.data(), "language modeling", errors);
  }
  if (task.carry_state()) {
    errors.Add("language_modeling.carry_state",
               "must be false where documents are PACKED: none of them goes on where another one "
               "ended");
  }
  CheckTextsAlone(spec.data(), "documents are foretold as they are", errors);
  if (spec.data().text().max_tokens() != 0) {
    errors.Add("data.text.max_tokens",
               "must not be given: a document that is longer than language_modeling.window is cut "
               "into pieces");
  }
}

void CheckPreferenceOptimization(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::PreferenceOptimization& task = spec.preference_optimization();
  if (task.has_beta()) {
    errors.CheckFloat("preference_optimization.beta", task.beta(), Above(0, 1000));
  }
  if (task.has_window()) {
    errors.CheckInt("preference_optimization.window", task.window(), 1, kMostWindow);
  }
  if (spec.data().chat().learn() == v1::ChatOptions::ALL) {
    errors.Add("data.chat.learn", "must be ANSWERS for preference_optimization: it compares these");
  }
  if (!spec.model().has_pretrained()) {
    errors.Add(
        "model.pretrained",
        "must be given: preferences are written with a checkpoint's tokens, and its model is "
        "the one that they are learned against");
  }
  if (spec.data().has_text()) {
    errors.Add("data.text", "must not be given: data.chat says how preferences are made texts");
  }
  if (spec.data().classes_size() > 0) {
    errors.Add("data.classes", "must not be given: only pictures can be chosen by class");
  }
}

void CheckMaskedLanguageModeling(const v1::JobSpec& spec, FieldErrors& errors) {
  const int64_t window = spec.masked_language_modeling().window();
  errors.CheckInt("masked_language_modeling.window", window, 0, kMostWindow);
  if (window != 0) {
    CheckRunningText(spec.data(), "masked language modeling with a window", errors);
    return;
  }
  CheckTextsAlone(spec.data(), "words of single texts, as they are, are masked", errors);
}

void CheckTranslationTask(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::Translation& task = spec.translation();
  errors.CheckFloat("translation.label_smoothing", task.label_smoothing(), UpTo(0, 1));
  if (task.has_beams()) {
    errors.CheckInt("translation.beams", task.beams(), 1, 16);
  }
  errors.CheckFloat("translation.length_penalty", task.length_penalty(), Closed(0, 10));
  if (task.has_longest()) {
    errors.CheckInt("translation.longest", task.longest(), 1, 1024);
  }
  errors.CheckInt("translation.evaluation_sentences", task.evaluation_sentences(), 0, 1'000'000);
  errors.CheckInt("translation.attention_maps", task.attention_maps(), 0, 100);
  if (task.has_scheduled_sampling()) {
    const v1::ScheduledSampling& sampling = task.scheduled_sampling();
    const std::string at = "translation.scheduled_sampling";
    errors.CheckFloat(at + ".from", sampling.from(), Closed(0, 1));
    errors.CheckFloat(at + ".to", sampling.to(), Closed(0, 1));
    errors.CheckInt(at + ".steps", sampling.has_steps() ? sampling.steps() : 1, 1, 1'000'000'000);
  }
  if (spec.data().classes_size() > 0) {
    errors.Add("data.classes", "must not be given: translation reads data.pairs");
  }
}

void CheckTextEmbedding(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::TextEmbedding& task = spec.text_embedding();
  if (!v1::TextEmbedding::Pooling_IsValid(task.pooling())) {
    errors.Add("text_embedding.pooling", "must be MEAN or FIRST");
  }
  if (task.has_scale()) {
    errors.CheckFloat("text_embedding.scale", task.scale(), Above(0, 1000));
  }
  if (spec.training().has_batch_size() && spec.training().batch_size() == 1) {
    errors.Add("training.batch_size",
               "must be at least 2 for text_embedding: each text finds its own among those of its "
               "batch, got 1");
  }
  const v1::TextOptions& text = spec.data().text();
  if (text.second_columns_size() == 0 &&
      (text.columns_size() > 0 || text.negative_columns_size() > 0)) {
    errors.Add("data.text.second_columns",
               "must be given: the column of the text that belongs to that of data.text.columns");
  }
  for (const auto& [field, given] : {std::pair("data.text.augmentation", text.has_augmentation()),
                                     std::pair("data.text.label", !text.label().empty()),
                                     std::pair("data.classes", spec.data().classes_size() > 0)}) {
    if (given) {
      errors.Add(field, "must not be given: pairs of texts are learned as they are");
    }
  }
}

void CheckTokenTagging(const v1::DataSpec& data, FieldErrors& errors) {
  const v1::TextOptions& text = data.text();
  for (const auto& [field, given] :
       {std::pair("data.text.second_columns", text.second_columns_size() > 0),
        std::pair("data.text.min_characters", text.min_characters() != 0),
        std::pair("data.text.max_characters", text.max_characters() != 0),
        std::pair("data.text.near_copies", text.near_copies() != 0),
        std::pair("data.text.augmentation", text.has_augmentation()),
        std::pair("data.deduplicate", data.deduplicate()),
        std::pair("data.classes", data.classes_size() > 0)}) {
    if (given) {
      errors.Add(field, "must not be given: the words of whole sentences are tagged");
    }
  }
  if (text.columns_size() > 1) {
    errors.Add("data.text.columns", "must be one key, of the list of words");
  }
}

void CheckMultiLabel(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::MultiLabelClassification& task = spec.multi_label_classification();
  errors.CheckText("multi_label_classification.separator", task.separator(), 16);
  if (task.has_threshold()) {
    errors.CheckFloat("multi_label_classification.threshold", task.threshold(), Above(0, 0.999999));
  }
  if (!spec.data().has_text()) {
    errors.Add("data.text", "must be given: multi_label_classification reads texts");
  }
  if (spec.data().classes_size() > 0) {
    errors.Add("data.classes", "must not be given: only pictures can be chosen by class");
  }
}

void CheckTokenizer(const std::string& at, const v1::Tokenizer& tokenizer, FieldErrors& errors) {
  constexpr int64_t kLeastVocabulary = 4, kMostVocabulary = 1 << 24;
  if (tokenizer.has_words()) {
    const v1::Tokenizer::Words& words = tokenizer.words();
    if (words.has_vocabulary()) {
      errors.CheckInt(at + ".words.vocabulary", words.vocabulary(), kLeastVocabulary,
                      kMostVocabulary);
    }
    if (words.has_min_count()) {
      errors.CheckInt(at + ".words.min_count", words.min_count(), 1, int64_t{1} << 40);
    }
    if (!v1::Tokenizer::Words::Split_IsValid(words.split())) {
      errors.Add(at + ".words.split", "must be one of PUNCTUATION, SPACES");
    }
  }
  if (tokenizer.has_sentencepiece()) {
    const v1::Tokenizer::SentencePiece& pieces = tokenizer.sentencepiece();
    if (!v1::Tokenizer::SentencePiece::Model_IsValid(pieces.model())) {
      errors.Add(at + ".sentencepiece.model", "must be one of UNIGRAM, BPE");
    }
    if (pieces.has_vocabulary()) {
      const int64_t least = kLeastVocabulary + (pieces.byte_fallback() ? 256 : 0);
      errors.CheckInt(at + ".sentencepiece.vocabulary", pieces.vocabulary(), least,
                      kMostVocabulary);
    }
    if (pieces.has_character_coverage()) {
      errors.CheckFloat(at + ".sentencepiece.character_coverage", pieces.character_coverage(),
                        Closed(0.5, 1));
    }
  }
}

void CheckAugmentation(const std::string& at, const v1::TextAugmentation& changes,
                       FieldErrors& errors) {
  for (const auto& [field, share] :
       {std::pair(".character_noise", changes.character_noise()),
        std::pair(".word_dropout", changes.word_dropout()),
        std::pair(".unknown", changes.unknown()), std::pair(".swap", changes.swap())}) {
    errors.CheckFloat(at + field, share, UpTo(0, 1));
  }
}

// Of data.text or data.pairs.
template <typename Options>
void CheckNearCopies(const std::string& at, const Options& options, FieldErrors& errors) {
  errors.CheckFloat(at + ".near_copies", options.near_copies(), Closed(0, 1));
  if (!v1::TextOptions::Keep_IsValid(options.keep())) {
    errors.Add(at + ".keep", "must be one of FIRST, LONGEST");
  }
}

void CheckTexts(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::TextOptions& text = spec.data().text();
  CheckNames("data.text.columns", text.columns(), kMaxColumns, kMaxColumn, errors);
  CheckNames("data.text.second_columns", text.second_columns(), kMaxColumns, kMaxColumn, errors);
  CheckNames("data.text.negative_columns", text.negative_columns(), kMaxColumns, kMaxColumn,
             errors);
  if (text.negative_columns_size() > 0 && !spec.has_text_embedding() && !spec.has_evaluation()) {
    errors.Add("data.text.negative_columns",
               "must not be given: hard negatives are read for text_embedding alone");
  }
  errors.CheckText("data.text.label", text.label(), kMaxColumn);
  if (!v1::TextOptions::Encoding_IsValid(text.encoding())) {
    errors.Add("data.text.encoding", "must be one of UTF8, LATIN1");
  }
  if (!v1::TextCleaning::Normalization_IsValid(text.cleaning().normalization())) {
    errors.Add("data.text.cleaning.normalization", "must be one of NONE, NFC, NFKC");
  }
  errors.CheckInt("data.text.min_characters", text.min_characters(), 0, 1 << 20);
  errors.CheckInt("data.text.max_characters", text.max_characters(), 0, 1 << 20);
  if (text.max_characters() > 0 && text.max_characters() < text.min_characters()) {
    errors.Add("data.text.max_characters",
               absl::StrCat("must be at least data.text.min_characters, ", text.min_characters(),
                            ", got ", text.max_characters()));
  }
  CheckNearCopies("data.text", text, errors);
  CheckTokenizer("data.text.tokenizer", text.tokenizer(), errors);
  errors.CheckInt("data.text.max_tokens", text.max_tokens(), 0, 1 << 20);
  constexpr int64_t kLeastOfAPair = 5;  // a token of each text beside three special ones
  if (text.second_columns_size() > 0 && !spec.has_text_embedding() && text.max_tokens() > 0 &&
      text.max_tokens() < kLeastOfAPair) {
    errors.Add("data.text.max_tokens",
               absl::StrCat("must be at least ", kLeastOfAPair, " for pairs of texts, got ",
                            text.max_tokens()));
  }
  CheckAugmentation("data.text.augmentation", text.augmentation(), errors);
  if (spec.data().has_text() && !spec.has_classification() && !spec.has_regression() &&
      !spec.has_language_modeling() && !spec.has_preference_optimization() &&
      !spec.has_masked_language_modeling() && !spec.has_text_embedding() &&
      !spec.has_token_tagging() && !spec.has_multi_label_classification() &&
      !spec.has_evaluation()) {
    errors.Add("data.text",
               "is read by the tasks classification, multi_label_classification, regression, "
               "token_tagging, text_embedding, language_modeling and masked_language_modeling "
               "only");
  }
}

void CheckPairs(const v1::JobSpec& spec, FieldErrors& errors) {
  const v1::PairOptions& pairs = spec.data().pairs();
  const std::string at = "data.pairs";
  errors.CheckText(at + ".source", pairs.source(), kMaxColumn);
  errors.CheckText(at + ".target", pairs.target(), kMaxColumn);
  if (!pairs.source().empty() && pairs.source() == pairs.target()) {
    errors.Add(at + ".target", "must not be the same as data.pairs.source");
  } else if (pairs.source().empty() != pairs.target().empty()) {
    errors.Add(at + (pairs.source().empty() ? ".source" : ".target"),
               "must be given, as data.pairs gives the other side");
  }
  if (!v1::TextOptions::Encoding_IsValid(pairs.encoding())) {
    errors.Add(at + ".encoding", "must be one of UTF8, LATIN1");
  }
  if (!v1::TextCleaning::Normalization_IsValid(pairs.cleaning().normalization())) {
    errors.Add(at + ".cleaning.normalization", "must be one of NONE, NFC, NFKC");
  }
  errors.CheckInt(at + ".max_source_tokens", pairs.max_source_tokens(), 0, 1 << 20);
  errors.CheckInt(at + ".max_target_tokens", pairs.max_target_tokens(), 0, 1 << 20);
  errors.CheckInt(at + ".first", pairs.first(), 0, std::numeric_limits<int32_t>::max());
  CheckTokenizer(at + ".source_tokenizer", pairs.source_tokenizer(), errors);
  CheckTokenizer(at + ".target_tokenizer", pairs.target_tokenizer(), errors);
  CheckNearCopies(at, pairs, errors);
  CheckAugmentation(at + ".augmentation", pairs.augmentation(), errors);
  if (spec.data().has_pairs() && !spec.has_translation() && !spec.has_evaluation()) {
    errors.Add(at, "is read by the task translation only");
  }
}

}  // namespace

void CheckTaskOfTexts(const v1::JobSpec& spec, FieldErrors& errors) {
  switch (spec.task_case()) {
    case v1::JobSpec::kLanguageModeling:
      return CheckLanguageModeling(spec, errors);
    case v1::JobSpec::kPreferenceOptimization:
      return CheckPreferenceOptimization(spec, errors);
    case v1::JobSpec::kTranslation:
      return CheckTranslationTask(spec, errors);
    case v1::JobSpec::kMaskedLanguageModeling:
      return CheckMaskedLanguageModeling(spec, errors);
    case v1::JobSpec::kTextEmbedding:
      return CheckTextEmbedding(spec, errors);
    case v1::JobSpec::kTokenTagging:
      return CheckTokenTagging(spec.data(), errors);
    case v1::JobSpec::kMultiLabelClassification:
      return CheckMultiLabel(spec, errors);
    default:
      return;
  }
}

void CheckDataOfTexts(const v1::JobSpec& spec, FieldErrors& errors) {
  CheckTexts(spec, errors);
  CheckPairs(spec, errors);
  if (spec.data().has_chat()) {
    CheckChat(spec, errors);
  }
}

}  // namespace hone::server::jobs
