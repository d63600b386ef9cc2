#include "engine/data/load.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/data/fingerprint.h"
#include "engine/data/formats.h"
#include "engine/data/generated_digits.h"
#include "engine/data/prepare.h"
#include "engine/data/table.h"
#include "engine/data/texts.h"
#include "engine/image/image.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kGeneratedTrain = 60000;
constexpr int64_t kGeneratedTest = 10000;

// A data set as its format yields it, with what the catalogue knows about it filled into the
// options.
struct Opened {
  LoadOptions options;
  Examples examples;
  DataReport report;
};

absl::StatusOr<Opened> ReadPath(LoadOptions options, std::string source, Depth depth) {
  Opened opened{std::move(options), {}, {}};
  opened.report.source = std::move(source);
  HONE_ASSIGN_OR_RETURN(const Format* format, DetectFormat(opened.options.path));
  opened.report.format = format->name;
  HONE_ASSIGN_OR_RETURN(opened.examples,
                        format->read(opened.options.path, opened.options, depth, opened.report));
  if (opened.examples.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        opened.options.path, ": the data set is empty: it needs at least one example"));
  }
  return opened;
}

Opened Generated(LoadOptions options, std::string source, Depth depth) {
  Opened opened{std::move(options), {}, {}};
  opened.report.source = std::move(source);
  opened.report.format = "generated";
  const int64_t size = kGeneratedTrain + kGeneratedTest;
  // The drawings do not depend on the job's seed: runs with different seeds see the same data set.
  opened.examples.parts = GenerateDigits({.count = depth == Depth::kAll ? size : 0, .seed = 1});
  opened.examples.parts.size = size;
  if (depth == Depth::kHeaders) {
    for (int64_t i = 0; i < size; ++i) {
      opened.examples.parts.labels.push_back(static_cast<int32_t>(i % 10));
    }
  }
  opened.examples.train_size = kGeneratedTrain;
  opened.report.examples_read = size;
  return opened;
}

absl::StatusOr<Opened> Open(LoadOptions options, Depth depth) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  if (options.dataset.empty()) {
    std::string source = options.path;
    return ReadPath(std::move(options), std::move(source), depth);
  }
  HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
  if (entry->task == Task::kRecommendation) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", options.dataset, " holds ratings; the task for it is recommendation"));
  }
  if (entry->task == Task::kForecasting) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset, " is a series; the task for it is forecasting"));
  }
  if (entry->task == Task::kLanguageModeling) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset,
                     " holds one running text; the task for it is language_modeling"));
  }
  if (entry->task == Task::kTranslation) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data set ", options.dataset, " holds sentence pairs; the task for it is translation"));
  }
  if (entry->texts) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset,
                     " holds texts; data.text says how they become tokens (`text: {}`: by words)"));
  }
  HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
  if (options.target.empty()) {
    options.target = entry->target;
  }
  if (options.class_names.empty()) {
    options.class_names.assign(entry->class_names.begin(), entry->class_names.end());
  }
  if (found.generated) {
    return Generated(std::move(options), std::move(found.source), depth);
  }
  options.path = std::move(found.path);
  HONE_ASSIGN_OR_RETURN(Opened opened,
                        ReadPath(std::move(options), std::move(found.source), depth));
  opened.report.notes.insert(opened.report.notes.begin(), found.notes.begin(), found.notes.end());
  return opened;
}

// The pictures' shape once they have the size and channels that were asked for.
absl::StatusOr<Shape> WantedShape(const Shape& shape, const LoadOptions& options) {
  if (options.height < 0 || options.width < 0 || options.height > 1 << 14 ||
      options.width > 1 << 14 ||
      (options.channels != 0 && options.channels != 1 && options.channels != 3)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pictures cannot be brought to ", options.channels, " channels of ", options.height, "x",
        options.width, "; channels are 1 or 3, height and width at most 16384"));
  }
  return Shape{options.channels > 0 ? options.channels : shape[0],
               options.height > 0 ? options.height : shape[1],
               options.width > 0 ? options.width : shape[2]};
}

absl::Status Resize(const Shape& wanted, const LoadOptions& options, DatasetParts& parts) {
  const Shape from = parts.features.shape;
  if (from == wanted) {
    return absl::OkStatus();
  }
  const int64_t factors[] = {parts.size, wanted[0], wanted[1], wanted[2]};
  HONE_ASSIGN_OR_RETURN(const int64_t bytes,
                        CheckedBytes(factors, options.max_bytes, "pictures of the size asked for"));
  Buffer values(bytes);
  const auto in_bytes = static_cast<size_t>(from.elements());
  image::Image picture{from[0], from[1], from[2], std::vector<uint8_t>(in_bytes)};
  for (int64_t row = 0; row < parts.size; ++row) {
    std::memcpy(picture.pixels.data(), parts.feature_values.as<uint8_t>() + row * from.elements(),
                in_bytes);
    const image::Image resized =
        image::Resize(image::WithChannels(picture, wanted[0]), wanted[1], wanted[2]);
    std::memcpy(values.as<uint8_t>() + row * wanted.elements(), resized.pixels.data(),
                resized.pixels.size());
  }
  parts.feature_values = std::move(values);
  parts.features.shape = wanted;
  return absl::OkStatus();
}

absl::StatusOr<Preprocessing> ForPictures(const DatasetParts& parts, const LoadOptions& options) {
  const auto channels = static_cast<size_t>(parts.features.shape[0]);
  for (const std::vector<float>* values : {&options.pixel_mean, &options.pixel_std}) {
    if (values->size() > 1 && values->size() != channels) {
      return absl::InvalidArgumentError(
          absl::StrCat("image mean and std need one value, or one for each channel: ", channels,
                       ", got ", values->size()));
    }
  }
  for (const float std : options.pixel_std) {
    if (!(std > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("image std is ", std, "; it must be positive"));
    }
  }
  Preprocessing preprocessing;
  preprocessing.input = Preprocessing::Input::kImage;
  preprocessing.image = parts.features.shape;
  preprocessing.pixel_mean = ForChannels(options.pixel_mean, parts.features.shape[0]);
  preprocessing.pixel_std = ForChannels(options.pixel_std, parts.features.shape[0]);
  preprocessing.class_names = parts.class_names;
  return preprocessing;
}

// Split, with the data set named in its errors.
absl::StatusOr<Splits> SplitRows(const SplitRequest& request, const Opened& opened) {
  absl::StatusOr<Splits> splits = Split(request, opened.options);
  if (!splits.ok()) {
    return Annotate(splits.status(), opened.report.source);
  }
  return splits;
}

// The classes that are asked for: those of the model that reads the data, where they are others.
absl::Status ChooseClasses(Opened& opened) {
  const LoadOptions& options = opened.options;
  std::vector<std::string> classes = options.classes;
  if (options.as != nullptr && options.as->class_names != opened.examples.parts.class_names) {
    classes = options.as->class_names;
  }
  return KeepClasses(classes, opened.examples, opened.report);
}

// As the model wants it; other sizes and values of pixels give way.
absl::StatusOr<LoadOptions> OptionsAs(LoadOptions options) {
  if (options.as == nullptr) {
    return options;
  }
  const Preprocessing& model = *options.as;
  if (model.input == Preprocessing::Input::kOwn) {
    return absl::InvalidArgumentError("the model reads neither pictures nor a table");
  }
  if (model.input == Preprocessing::Input::kImage) {
    options.channels = model.image[0];
    options.height = model.image[1];
    options.width = model.image[2];
    options.pixel_mean = model.pixel_mean;
    options.pixel_std = model.pixel_std;
  }
  return options;
}

// What a fold leaves out.
void NoteFold(int64_t own_test_rows, const LoadOptions& options, DataReport& report) {
  if (options.fold_count > 0 && own_test_rows > 0) {
    report.notes.push_back(absl::StrCat("the data set's own test part, ", own_test_rows,
                                        " examples, is left out: the test part is ", "fold ",
                                        options.fold_index, " of ", options.fold_count));
  }
}

// At least two classes to learn.
absl::Status CheckClasses(const DataReport& report, const std::vector<std::string>& names) {
  const std::vector<int64_t>& counts = report.train.class_counts;
  const auto used = std::count_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; });
  if (used >= 2) {
    return absl::OkStatus();
  }
  const auto one = std::find_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; });
  return absl::InvalidArgumentError(absl::StrCat(
      report.source, ": ",
      one == counts.end() ? std::string("no training example is left")
                          : absl::StrCat("all ", *one, " training examples are of class '",
                                         names[static_cast<size_t>(one - counts.begin())], "'"),
      "; classification needs at least two classes"));
}

absl::StatusOr<LoadedData> FinishPictures(Opened opened) {
  if (opened.options.as != nullptr && opened.options.as->input != Preprocessing::Input::kImage) {
    return absl::InvalidArgumentError(
        absl::StrCat(opened.report.source, ": holds pictures; the model reads a table"));
  }
  HONE_RETURN_IF_ERROR(ChooseClasses(opened));
  DatasetParts& parts = opened.examples.parts;
  if (opened.options.task != Task::kClassification) {
    return absl::InvalidArgumentError(absl::StrCat(
        opened.report.source,
        ": holds pictures with classes; regression needs a table with a numeric target"));
  }
  HONE_ASSIGN_OR_RETURN(const Shape wanted, WantedShape(parts.features.shape, opened.options));
  HONE_RETURN_IF_ERROR(Resize(wanted, opened.options, parts));
  const int64_t bytes = parts.features.bytes();
  const auto pixels = [&](int64_t row) { return parts.feature_values.as<uint8_t>() + row * bytes; };
  const auto hash = [&](int64_t row) { return ContentHash(pixels(row), bytes); };
  const auto same_features = [&](int64_t a, int64_t b) {
    return std::memcmp(pixels(a), pixels(b), static_cast<size_t>(bytes)) == 0;
  };
  const auto same_target = [&](int64_t a, int64_t b) {
    return parts.labels[static_cast<size_t>(a)] == parts.labels[static_cast<size_t>(b)];
  };
  const std::vector<bool> keep =
      FindCopies({parts.size, opened.examples.train_size, hash, same_features, same_target},
                 opened.options.deduplicate, opened.report);
  LoadedData data;
  const int64_t classes = static_cast<int64_t>(parts.class_names.size());
  HONE_ASSIGN_OR_RETURN(
      data.splits,
      SplitRows({parts.size, opened.examples.train_size, parts.labels, classes, &keep}, opened));
  NoteFold(parts.size - opened.examples.train_size, opened.options, opened.report);
  CountSplits(data.splits, parts.labels, classes, opened.report);
  if (opened.options.as != nullptr) {
    data.preprocessing = *opened.options.as;
  } else {
    HONE_RETURN_IF_ERROR(CheckClasses(opened.report, parts.class_names));
    HONE_ASSIGN_OR_RETURN(data.preprocessing, ForPictures(parts, opened.options));
  }
  HONE_ASSIGN_OR_RETURN(data.dataset, Dataset::Make(std::move(parts)));
  data.report = std::move(opened.report);
  return data;
}

uint64_t HashRow(const Table& table, const TableTask& task, int64_t row) {
  uint64_t hash = 0;
  for (const size_t c : task.features) {
    // Minus zero equals zero, and every missing cell equals every other one.
    const double value =
        table.columns[c].is_category ? table.code(c, row) : table.number(c, row) + 0.0;
    const double parts[] = {static_cast<double>(hash >> 32), static_cast<double>(hash & 0xffffffff),
                            value == value ? value : -1e300};
    hash = ContentHash(parts, sizeof(parts));
  }
  return hash;
}

bool SameCell(const Table& table, size_t column, int64_t a, int64_t b) {
  if (table.columns[column].is_category) {
    return table.code(column, a) == table.code(column, b);
  }
  const double x = table.number(column, a);
  const double y = table.number(column, b);
  return x == y || (x != x && y != y);
}

absl::StatusOr<LoadedData> FinishTable(Opened opened) {
  if (!opened.options.classes.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.classes: only pictures can be chosen by class, ", opened.report.source,
                     " is a table"));
  }
  const Table& table = *opened.examples.table;
  DataReport& report = opened.report;
  const Preprocessing* const as = opened.options.as.get();
  if (as != nullptr && opened.options.target.empty() && !as->target_names.empty()) {
    opened.options.target = as->target_names[0];
  }
  HONE_ASSIGN_OR_RETURN(TableTask task, PlanTable(table, opened.options, report));
  if (as != nullptr) {
    HONE_RETURN_IF_ERROR(TakeAs(table, *as, task));
  }
  const auto same_features = [&](int64_t a, int64_t b) {
    return std::all_of(task.features.begin(), task.features.end(),
                       [&](size_t c) { return SameCell(table, c, a, b); });
  };
  const auto same_target = [&](int64_t a, int64_t b) { return SameCell(table, task.target, a, b); };
  const auto hash = [&](int64_t row) { return HashRow(table, task, row); };
  task.keep = FindCopies(
      {table.rows, opened.examples.train_size, hash, same_features, same_target, &task.keep},
      opened.options.deduplicate, report);
  LoadedData data;
  const int64_t classes = static_cast<int64_t>(task.class_names.size());
  HONE_ASSIGN_OR_RETURN(data.splits, SplitRows({table.rows, opened.examples.train_size, task.labels,
                                                classes, &task.keep},
                                               opened));
  NoteFold(table.rows - opened.examples.train_size, opened.options, report);
  CountSplits(data.splits, task.labels, classes, report);
  if (as != nullptr) {
    // It is not trained on: any rows will do.
  } else if (classes > 0) {
    HONE_RETURN_IF_ERROR(CheckClasses(report, task.class_names));
  } else if (data.splits.train.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(report.source, ": no training example is left"));
  }
  data.preprocessing =
      as != nullptr ? *as : FitTable(table, task, data.splits.train, opened.options);
  HONE_ASSIGN_OR_RETURN(DatasetParts parts,
                        EncodeTable(table, task, data.preprocessing, opened.options));
  HONE_ASSIGN_OR_RETURN(data.dataset, Dataset::Make(std::move(parts)));
  data.report = std::move(report);
  return data;
}

absl::StatusOr<LoadedData> LoadOrThrow(const LoadOptions& given) {
  HONE_ASSIGN_OR_RETURN(LoadOptions options, OptionsAs(given));
  HONE_ASSIGN_OR_RETURN(Opened opened, Open(std::move(options), Depth::kAll));
  HONE_ASSIGN_OR_RETURN(LoadedData data, opened.examples.table ? FinishTable(std::move(opened))
                                                               : FinishPictures(std::move(opened)));
  data.fingerprint = Fingerprint(data);
  return data;
}

absl::StatusOr<DataSummary> InspectOrThrow(const LoadOptions& given) {
  HONE_ASSIGN_OR_RETURN(LoadOptions options, OptionsAs(given));
  HONE_ASSIGN_OR_RETURN(Opened opened, Open(std::move(options), Depth::kHeaders));
  DataSummary summary;
  summary.source = opened.report.source;
  summary.format = opened.report.format;
  Splits splits;
  if (opened.examples.table) {
    HONE_ASSIGN_OR_RETURN(LoadedData data, FinishTable(std::move(opened)));
    summary.features = data.dataset.features();
    summary.target = data.dataset.target();
    summary.class_names = data.dataset.class_names();
    summary.target_names = data.dataset.target_names();
    summary.bytes = summary.loading_bytes = data.dataset.bytes();
    splits = std::move(data.splits);
  } else {
    HONE_RETURN_IF_ERROR(ChooseClasses(opened));
    const DatasetParts& parts = opened.examples.parts;
    HONE_ASSIGN_OR_RETURN(const Shape shape, WantedShape(parts.features.shape, opened.options));
    summary.features = {shape, DType::kU8};
    summary.target = {Shape{}, DType::kS32};
    summary.class_names = parts.class_names;
    summary.bytes = parts.size * (summary.features.bytes() + summary.target.bytes());
    summary.loading_bytes =
        summary.bytes + (shape == parts.features.shape ? 0 : parts.size * parts.features.bytes());
    HONE_ASSIGN_OR_RETURN(splits,
                          SplitRows({parts.size, opened.examples.train_size, parts.labels,
                                     static_cast<int64_t>(parts.class_names.size()), nullptr},
                                    opened));
  }
  summary.train = static_cast<int64_t>(splits.train.size());
  summary.validation = static_cast<int64_t>(splits.validation.size());
  summary.test = static_cast<int64_t>(splits.test.size());
  return summary;
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Sources SourcesFromEnvironment() {
  Sources sources;
  sources.mirror_dir = Environment("HONE_DATA_DIR");
  sources.cache_dir = Environment("HONE_CACHE_DIR");
  if (sources.cache_dir.empty()) {
    if (const std::string cache = Environment("XDG_CACHE_HOME"); !cache.empty()) {
      sources.cache_dir = cache + "/hone";
    } else if (const std::string home = Environment("HOME"); !home.empty()) {
      sources.cache_dir = home + "/.cache/hone";
    }
  }
  return sources;
}

absl::StatusOr<LoadedData> Load(const LoadOptions& options) {
  if (options.text.has_value() ||
      (options.as != nullptr && options.as->input == Preprocessing::Input::kText)) {
    return LoadTexts(options);
  }
  return WithinMemory(options, "the data set", [&] { return LoadOrThrow(options); });
}

absl::StatusOr<DataSummary> Inspect(const LoadOptions& options) {
  try {
    return InspectOrThrow(options);
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError(
        absl::StrCat(options.dataset, options.path, ": not enough memory to inspect the data set"));
  }
}

}  // namespace hone::engine::data
