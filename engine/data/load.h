#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/preprocessing.h"
#include "engine/data/report.h"
#include "engine/data/spool.h"
#include "engine/data/text_augment.h"
#include "engine/text/chat.h"
#include "engine/text/cleaning.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {

enum class Task {
  kClassification,
  kRegression,
  kRecommendation,
  kForecasting,
  kLanguageModeling,
  kTranslation,
  kTextPairs,     // pairs of texts, or triples, each text read by itself, without labels
  kTokenTagging,  // a tag for each word
  kMultiLabel     // any number of classes for a text
};

// Where named data sets come from.
struct Sources {
  std::string mirror_dir;           // a local folder laid out as catalog.h says; "" for none
  std::string cache_dir;            // downloads live here; "" for none: then nothing is downloaded
  bool offline = false;             // never downloads
  std::string protocols = "https";  // that downloads may use
  // Called now and then with what is being done; total_bytes is 0 where it is unknown. May be
  // empty.
  std::function<void(const std::string& what, int64_t done_bytes, int64_t total_bytes)> progress;
};

// HONE_DATA_DIR as the mirror; HONE_CACHE_DIR, else XDG_CACHE_HOME/hone, else ~/.cache/hone as the
// cache.
Sources SourcesFromEnvironment();

// Tables of ratings. Columns are named as the table's head does; "": by their place.
struct RatingOptions {
  enum class Ids {
    kText,       // any text
    kNumbers,    // whole numbers from 0; anything else is an error
    kAutomatic,  // any text; but where all ids of a column are whole numbers, none is negative
  };
  enum class Split {
    kRandom,
    kByTime,       // the latest ratings are the test part, those before them validate
    kLeaveOneOut,  // each user's latest rating, or one drawn with the seed where there are no times
  };
  std::string user = {};    // "": the first column
  std::string item = {};    // "": the second
  std::string rating = {};  // "": the third; a table of two columns has none, and each row counts 1
  std::string time = {};    // a number, larger is later; "": none, or the archive's own
  std::string name = {};    // what an item is called; "": none, or the archive's own
  Ids ids = Ids::kAutomatic;
  Split split = Split::kRandom;
  std::optional<float> at_least = {};  // rows with lower ratings are left out
  bool values_count = true;            // false: that a pair occurs is all that is learned
};

// Texts: where they stand in their files, and how they become tokens. Of a running text
// (running_text.h) encoding, cleaning and tokenizer count.
struct TextOptions {
  enum class Encoding { kUtf8, kLatin1 };
  enum class Keep { kFirst, kLongest };

  // Of a table, or keys of JSON objects; what several hold is joined by a space. Empty: the
  // catalogue's, else "text" or "sentence".
  std::vector<std::string> columns = {};
  // In the same way the second texts, of examples that are pairs. Empty: they are not.
  std::vector<std::string> second_columns = {};
  // In the same way the hard negatives, of examples that are triples; Task::kTextPairs alone. Empty:
  // there are none, unless none of the three is named: then kTextPairs has the columns "anchor",
  // "positive" and, where the files have it, "negative".
  std::vector<std::string> negative_columns = {};
  Encoding encoding = Encoding::kUtf8;
  text::CleaningOptions cleaning = {};
  // Cleaned texts with fewer characters, or with more, are left out. 0: none are.
  int64_t min_characters = 0;
  int64_t max_characters = 0;
  // Of near copies (text/near_copies.h) with this similarity one stays. 0: all do.
  double near_copies = 0;
  Keep keep = Keep::kFirst;
  text::TokenizerOptions tokenizer = {};
  int64_t max_tokens = 0;  // TextPreprocessing::max_tokens
  // Cleaning and tokenizer are these, of a model that is gone on with, and so is the length where
  // max_tokens does not say another. Null: they are as said above.
  std::shared_ptr<const TextPreprocessing> like = nullptr;
  // Sentences about `like` for the report: what its files say and is not done here.
  std::vector<std::string> like_notes = {};
  TextAugmentation augmentation = {};  // of the training part, as it is trained on
  std::string separator = ",";  // between the names of a label, where a text may have several
};

// Sentences and their translations: where they stand in their files, and how they become tokens.
struct PairOptions {
  // Columns of a table, keys of JSON objects, or the ends of the names of files with a sentence a
  // line (train.en). "": the catalogue's, else what pair_rows.h says.
  std::string source = {};
  std::string target = {};
  TextOptions::Encoding encoding = TextOptions::Encoding::kUtf8;
  text::CleaningOptions cleaning = {};  // of both sides
  bool drop_empty = false;              // pairs with a side without words leave; else an error
  // Pairs with more tokens than this on one side are left out. 0: none are.
  int64_t max_source_tokens = 0;
  int64_t max_target_tokens = 0;
  // Of the training part's pairs that are left by then only so many are taken, in the order of
  // their files and lines. 0: all are.
  int64_t first = 0;
  text::TokenizerOptions source_tokenizer = {};
  text::TokenizerOptions target_tokenizer = {};
  // Of near copies (text/near_copies.h) with this similarity one stays. A pair is both its sides:
  // two translations of one sentence that differ are no copies. 0: all stay.
  double near_copies = 0;
  TextOptions::Keep keep = TextOptions::Keep::kFirst;
  // Of the sources of the training part, as it is trained on; what is to be written stays as it is.
  TextAugmentation augmentation = {};
};

// Sequences of numbers: a row of a table is a point in time, rows stand in its order.
struct SeriesOptions {
  // What a model computes with: numbers brought to mean 0 and deviation 1, or their logarithms.
  enum class Scaling { kStandard, kLogStandard, kUnscaled };
  // What the model's numbers are added to, before they are brought back to the target's own unit.
  enum class Base {
    kZero,
    kLast,      // the last value of the window
    kSeasonal,  // the value one season before
  };
  std::string target = {};                // a column; "": the last one
  std::vector<std::string> columns = {};  // what a window holds beside the target
  std::string time = {};                  // a column; "": none
  int64_t window = 0;                     // points that a forecast is made of
  int64_t horizon = 1;                    // points that are forecast
  int64_t step = 1;                       // points from one window to the next
  int64_t period = 1;                     // points of a season; 1: there are none
  Scaling scaling = Scaling::kStandard;
  Base base = Base::kZero;
};

// Conversations (chats.h).
struct ChatOptions {
  // How they are written; none: as the checkpoint says.
  std::optional<text::ChatTemplate::Kind> kind = {};
  // The system turn of those that have none, "" for none; not given: the template's own.
  std::optional<std::string> system = {};
  bool learn_all = false;  // every token is learned, not the answers alone
  // What a conversation has behind these is cut off. 0: what has no place in a window.
  int64_t max_tokens = 0;
};

struct LoadOptions {
  // One of the two: a name of the catalogue, or a file or folder.
  std::string dataset;
  std::string path;
  Sources sources;

  Task task = Task::kClassification;
  uint64_t seed = 1;
  // Set aside from the training part, as a share or as a number.
  double validation_fraction = 0;
  int64_t validation_count = 0;
  double test_fraction = 0.2;  // where the data set has no test part
  // Instead: the test part is part `fold_index`, from 1, of so many equal parts of the training
  // part; the data set's own test part is left out. 0: no folds.
  int64_t fold_count = 0;
  int64_t fold_index = 0;
  bool deduplicate = false;  // drops exact copies of an earlier example
  int64_t limit =
      0;  // at most so many examples of the training part (validation included), 0 for all

  // Pictures are brought to this size and number of channels (1 grey, 3 RGB); 0: the first
  // picture's.
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<float> pixel_mean;  // one for all channels, one for each, or empty
  std::vector<float> pixel_std;

  // Names for formats that number their classes (IDX); a label beyond them is an error. Empty: as
  // many as there are labels.
  std::vector<std::string> class_names;

  // Texts: where all labels, one or several of a text, are among these names, whatever their case,
  // or all tags are, as they are written, classes are these in this order, that of the head of a
  // checkpoint. Empty: no checkpoint brings one.
  std::vector<std::string> head_classes = {};

  // Pictures: only those of these classes, which become the classes 0, 1, …; empty: all.
  std::vector<std::string> classes;

  // Tables.
  std::string target;  // a column; "": the catalogue's, else the last; of texts, "label"
  bool standardize = true;
  bool standardize_target = true;
  std::vector<std::string> ignore;  // columns left out

  RatingOptions ratings;
  SeriesOptions series;
  std::optional<TextOptions> text;  // the examples are texts
  std::optional<ChatOptions> chat;  // or conversations, which `text` then says the tokenizer of
  PairOptions pairs;
  // The data are read as a model reads them, by its preprocessing, not by one fitted to them: its
  // size of pictures, its columns by name, its classes in its order. Null: no model does.
  std::shared_ptr<const Preprocessing> as = nullptr;

  int64_t max_bytes = int64_t{16} << 30;  // pictures and features of more are refused
  StreamOptions stream;                   // texts, pairs and tables that may be larger than memory
};

// How the texts of the training part are changed: those that a model reads.
inline const TextAugmentation& AugmentationOf(const LoadOptions& options) {
  return options.task == Task::kTranslation || !options.text.has_value()
             ? options.pairs.augmentation
             : options.text->augmentation;
}

// Rows of the one data set, ascending; an example is in at most one list.
struct Splits {
  std::vector<int32_t> train;
  std::vector<int32_t> validation;
  std::vector<int32_t> test;
};

struct LoadedData {
  Dataset dataset;
  Splits splits;
  Preprocessing preprocessing;
  DataReport report;
  std::string fingerprint;  // of all but the report: fingerprint.h
  bool triples = false;     // of Task::kTextPairs: each pair has a hard negative (text_pairs.h)
};

// Reads, cleans, splits and, for tables, encodes a data set. The same options and files give the
// same result. INVALID_ARGUMENT names the file and the line or byte and says what would be right;
// NOT_FOUND for a file or a name; UNAVAILABLE where a download failed.
absl::StatusOr<LoadedData> Load(const LoadOptions& options);

// What Load would give, without pixels: reads headers, labels and names (a table is read whole).
// Damaged pictures and copies are not noticed.
struct DataSummary {
  TensorType features;  // of one example
  TensorType target;    // s32[] or f32[k]
  std::vector<std::string> class_names;
  std::vector<std::string> target_names;
  int64_t train = 0;  // examples
  int64_t validation = 0;
  int64_t test = 0;
  int64_t bytes = 0;          // in memory when loaded
  int64_t loading_bytes = 0;  // at most while it is loaded: pictures before and after a resize
  std::string source;
  std::string format;
};
absl::StatusOr<DataSummary> Inspect(const LoadOptions& options);

}  // namespace hone::engine::data
