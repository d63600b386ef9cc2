#include "engine/data/running_text.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/catalog.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/running_text_files.h"
#include "engine/data/spool.h"
#include "engine/data/texts.h"
#include "engine/text/cleaning.h"
#include "engine/text/corpus.h"
#include "engine/text/unicode.h"

namespace hone::engine::data {
namespace {

constexpr auto kTrain = static_cast<size_t>(Part::kTrain);
constexpr auto kValidation = static_cast<size_t>(Part::kValidation);
constexpr auto kTest = static_cast<size_t>(Part::kTest);
constexpr const char* kPartNames[] = {"training", "validation", "test"};  // by Part

// Where the character of this number begins; the end where there are no more.
size_t ByteOf(absl::string_view utf8, int64_t character) {
  absl::string_view rest = utf8;
  for (int64_t i = 0; i < character && !rest.empty(); ++i) {
    text::TakeCharacter(rest);
  }
  return utf8.size() - rest.size();
}

absl::Status CheckShares(const LoadOptions& options) {
  const double validation = options.validation_fraction, test = options.test_fraction;
  if (!(validation >= 0 && test >= 0 && validation + test < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the shares for validation and test must be at least 0 and less than 1 "
                     "together, got ",
                     validation, " and ", test));
  }
  return absl::OkStatus();
}

// A text in its parts, which lie in `spool`.
struct SpooledParts {
  std::array<absl::string_view, 3> texts = {};
  std::shared_ptr<const Spool> spool = nullptr;
};

// Cuts the end of the training part off for the parts that the data set has not.
void Divide(const LoadOptions& options, std::array<absl::string_view, 3>& texts) {
  const double validation = texts[kValidation].empty() ? options.validation_fraction : 0;
  const double test = texts[kTest].empty() ? options.test_fraction : 0;
  const auto characters = static_cast<double>(text::CountCharacters(texts[kTrain]));
  const auto cut_off = [&](double share_before) {
    const size_t at = ByteOf(texts[kTrain], static_cast<int64_t>(characters * share_before));
    const absl::string_view end = texts[kTrain].substr(at);
    texts[kTrain] = texts[kTrain].substr(0, at);
    return end;
  };
  if (test > 0) {
    texts[kTest] = cut_off(1 - test);
  }
  if (validation > 0) {
    texts[kValidation] = cut_off(1 - validation - test);
  }
}

absl::StatusOr<SpooledParts> CleanAll(const SpooledParts& read, const LoadOptions& options,
                                      DataReport& report) {
  const text::CleaningOptions& cleaning = CleaningOf(options);
  if (cleaning == text::CleaningOptions()) {
    return read;
  }
  const auto spool = std::make_shared<Spool>(options.stream, "the cleaned text");
  text::CleaningCounts counts;
  std::array<int64_t, 4> begins = {};  // of each part; the last is where all of them end
  for (size_t part = 0; part < read.texts.size(); ++part) {
    HONE_RETURN_IF_ERROR(text::CleanInPieces(
        read.texts[part], cleaning, static_cast<size_t>(options.stream.piece_bytes), &counts,
        [&](absl::string_view piece) { return spool->Append(piece); }));
    begins[part + 1] = spool->size();
  }
  HONE_RETURN_IF_ERROR(spool->Finish());
  SpooledParts cleaned = {.spool = spool};
  for (size_t part = 0; part < cleaned.texts.size(); ++part) {
    cleaned.texts[part] = spool->bytes().substr(
        static_cast<size_t>(begins[part]), static_cast<size_t>(begins[part + 1] - begins[part]));
  }
  for (const text::CleaningCounts::Step& step : counts.steps) {
    if (step.changed > 0) {
      report.notes.push_back(absl::StrCat("cleaning: ", step.name, " changed the text"));
    }
  }
  return cleaned;
}

absl::StatusOr<TextPreprocessing> MakePreprocessing(const TextOptions& options,
                                                    absl::string_view train) {
  if (options.like != nullptr) {
    return TextPreprocessing{.cleaning = options.like->cleaning,
                             .tokenizer = options.like->tokenizer};
  }
  TextPreprocessing result = {.cleaning = options.cleaning};
  const auto text = [&](int64_t) { return train; };
  HONE_ASSIGN_OR_RETURN(result.tokenizer, text::TrainTokenizer(options.tokenizer, {1, text}));
  return result;
}

absl::StatusOr<Tokens> Encode(absl::string_view text, const text::Tokenizer& tokenizer,
                              const StreamOptions& options) {
  const auto spool = std::make_shared<Spool>(options, "the text's tokens");
  HONE_RETURN_IF_ERROR(text::EncodeInPieces(
      tokenizer, text, static_cast<size_t>(options.piece_bytes),
      [&](std::span<const int32_t> ids) { return spool->Append(BytesOf(ids)); }));
  HONE_RETURN_IF_ERROR(spool->Finish());
  return Tokens(spool);
}

absl::Status CheckPart(std::span<const int32_t> tokens, size_t part, const LoadOptions& options,
                       const RunningTextOptions& windows) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (count > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("the ", kPartNames[part], " part has ", count,
                                                   " tokens; it may have 2147483647"));
  }
  if (part == kTrain && options.as == nullptr) {
    if (count <= windows.window) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the training part has ", count, " tokens, which are not enough for one window of ",
          windows.window, " and the token behind it (", windows.task, ".window)"));
    }
    if (windows.evaluation_streams > 0 && (count - 1) / windows.batch < windows.window) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the training part has ", count, " tokens, which are not enough for a window of ",
          windows.window, " in each of ", windows.batch, " rows that carry their state (",
          windows.task, ".window, training.batch_size)"));
    }
    if (std::ranges::all_of(tokens, [&](int32_t token) { return token == tokens[0]; })) {
      return absl::InvalidArgumentError(
          "all tokens of the training part are the same one: there is nothing to learn");
    }
  }
  if (count == 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", kPartNames[part], " part is one token alone: none stands behind it"));
  }
  return absl::OkStatus();
}

void Describe(const RunningText::PartTokens& tokens, size_t part, int32_t unknown, int64_t windows,
              DataReport& report) {
  SplitReport& split = part == kTrain        ? report.train
                       : part == kValidation ? report.validation
                                             : report.test;
  split.examples = windows;
  if (tokens.tokens.empty()) {
    return;
  }
  TokenReport& counts = split.tokens.emplace();
  counts.tokens = static_cast<int64_t>(tokens.tokens.size());
  counts.unknown = std::ranges::count(tokens.tokens, unknown);
  report.notes.push_back(absl::StrFormat(
      "%s part: %d tokens of %d bytes, %.1f %% of them unknown", kPartNames[part], counts.tokens,
      tokens.bytes,
      100.0 * static_cast<double>(counts.unknown) / static_cast<double>(counts.tokens)));
}

absl::Status Finish(SpooledParts read, const LoadOptions& options,
                    const RunningTextOptions& windows, LoadedData& data) {
  HONE_RETURN_IF_ERROR(CheckShares(options));
  HONE_ASSIGN_OR_RETURN(SpooledParts cleaned, CleanAll(read, options, data.report));
  read = {};  // no longer needed, whether in memory or on the disk
  std::array<absl::string_view, 3>& texts = cleaned.texts;
  Divide(options, texts);
  if (options.as != nullptr) {
    data.preprocessing = *options.as;
  } else {
    data.preprocessing.input = Preprocessing::Input::kText;
    HONE_ASSIGN_OR_RETURN(data.preprocessing.text, MakePreprocessing(*options.text, texts[kTrain]));
  }
  const text::Tokenizer& tokenizer = *data.preprocessing.text->tokenizer;
  std::array<RunningText::PartTokens, 3> parts;
  for (size_t part = 0; part < parts.size(); ++part) {
    HONE_ASSIGN_OR_RETURN(parts[part].tokens, Encode(texts[part], tokenizer, options.stream));
    parts[part].bytes = static_cast<int64_t>(texts[part].size());
    HONE_RETURN_IF_ERROR(CheckPart(parts[part].tokens, part, options, windows));
  }
  RunningText::Windows how = {.length = windows.window, .seed = options.seed};
  const int64_t together = std::max<int64_t>(windows.evaluation_streams, 1);
  how.streams = {together, together, together};
  if (options.as == nullptr && windows.evaluation_streams > 0) {
    how.streams[kTrain] = windows.batch;
  } else if (options.as == nullptr) {
    const int64_t in_order =
        TextStreams{.tokens = static_cast<int64_t>(parts[kTrain].tokens.size()) - 1,
                    .window = windows.window}
            .windows();
    how.drawn = (in_order + windows.batch - 1) / windows.batch * windows.batch;
  }
  const auto text = std::make_shared<const RunningText>(std::move(parts), how);
  if (text->size() < 1 || text->size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the text has ", text->size(), " windows of tokens; a data set has 1 to 2147483647"));
  }
  data.splits = text->splits();
  data.report.notes.push_back(absl::StrCat("the vocabulary has ", tokenizer.size(), " tokens"));
  const size_t counts[] = {data.splits.train.size(), data.splits.validation.size(),
                           data.splits.test.size()};
  for (size_t part = 0; part < std::size(counts); ++part) {
    Describe(text->part(part), part, tokenizer.special().unknown,
             static_cast<int64_t>(counts[part]), data.report);
  }
  data.report.examples_read = text->size();
  data.dataset = Dataset(text);
  return absl::OkStatus();
}

// A path to read, with what the catalogue knows of it.
absl::Status FindText(LoadOptions& options, DataReport& report) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  report.source = options.path;
  if (options.dataset.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
  if (entry->task != Task::kLanguageModeling) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set ", options.dataset,
                     " holds no running text, which language modeling learns from"));
  }
  HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
  options.path = std::move(found.path);
  report.source = std::move(found.source);
  report.notes = std::move(found.notes);
  return absl::OkStatus();
}

absl::StatusOr<LoadedData> LoadRunningTextOrThrow(LoadOptions options,
                                                  const RunningTextOptions& windows) {
  if (options.as != nullptr && options.as->input != Preprocessing::Input::kText) {
    return absl::InvalidArgumentError("the model reads no texts");
  }
  if (!options.text.has_value()) {
    options.text.emplace();
  }
  LoadedData data;
  HONE_RETURN_IF_ERROR(FindText(options, data.report));
  HONE_ASSIGN_OR_RETURN(RunningTextParts read,
                        ReadRunningText(options.path, options.text->encoding, options.stream));
  data.report.format = read.format;
  if (read.files > 1) {
    data.report.notes.push_back(absl::StrCat("the text is made of ", read.files, " files"));
  }
  if (read.files_left_out > 0) {
    data.report.notes.push_back(
        absl::StrCat(read.files_left_out, " other files are no part of the text"));
  }
  HONE_RETURN_IF_ERROR(Annotate(Finish({read.texts, std::move(read.spool)}, options, windows, data),
                                data.report.source));
  data.fingerprint = Fingerprint(data);
  return data;
}

}  // namespace

RunningText::RunningText(std::array<PartTokens, 3> parts, const Windows& windows)
    : parts_(std::move(parts)), windows_(windows) {
  for (size_t part = 0; part < parts_.size(); ++part) {
    const int64_t count = draws(part) ? windows_.drawn : StreamsOf(part).windows();
    first_rows_[part + 1] = first_rows_[part] + count;
  }
}

int64_t RunningText::bytes() const {
  int64_t bytes = 0;
  for (const PartTokens& part : parts_) {
    bytes += part.tokens.memory_bytes();
  }
  return bytes;
}

uint64_t RunningText::content_hash() const {
  std::vector<uint64_t> parts = {static_cast<uint64_t>(windows_.length)};
  for (const PartTokens& part : parts_) {
    parts.push_back(ContentHash(part.tokens.data(),
                                static_cast<int64_t>(part.tokens.size() * sizeof(int32_t))));
  }
  return ContentHash(parts.data(), static_cast<int64_t>(parts.size() * sizeof(uint64_t)));
}

Splits RunningText::splits() const {
  Splits splits;
  std::vector<int32_t>* const lists[] = {&splits.train, &splits.validation, &splits.test};
  for (size_t part = 0; part < parts_.size(); ++part) {
    lists[part]->resize(static_cast<size_t>(first_rows_[part + 1] - first_rows_[part]));
    std::iota(lists[part]->begin(), lists[part]->end(), static_cast<int32_t>(first_rows_[part]));
  }
  return splits;
}

size_t RunningText::PartOf(int32_t row) const {
  size_t part = 0;
  while (part + 1 < parts_.size() && row >= first_rows_[part + 1]) {
    ++part;
  }
  return part;
}

TextStreams RunningText::StreamsOf(size_t part) const {
  const auto tokens = static_cast<int64_t>(parts_[part].tokens.size());
  return {.tokens = std::max<int64_t>(tokens - 1, 0),
          .streams = windows_.streams[part],
          .window = windows_.length};
}

TextStreams::Window RunningText::place(int32_t row) const {
  const size_t part = PartOf(row);
  return draws(part) ? TextStreams::Window{.length = windows_.length}
                     : StreamsOf(part).at(row - first_rows_[part]);
}

int64_t RunningText::length(int32_t row) const { return place(row).length; }

std::span<const int32_t> RunningText::window(int32_t row, int64_t epoch) const {
  const size_t part = PartOf(row);
  const Tokens& tokens = parts_[part].tokens;
  const TextStreams::Window in_order = place(row);
  int64_t begin = in_order.begin;
  if (draws(part)) {
    const auto places =
        static_cast<uint64_t>(static_cast<int64_t>(tokens.size()) - windows_.length);
    const auto turn = static_cast<uint64_t>(epoch);
    const uint32_t drawn = Philox(
        {static_cast<uint32_t>(row), static_cast<uint32_t>(turn), static_cast<uint32_t>(turn >> 32),
         0},
        {static_cast<uint32_t>(windows_.seed), static_cast<uint32_t>(windows_.seed >> 32)})[0];
    begin = static_cast<int64_t>(uint64_t{drawn} * places >> 32);
  }
  return tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(in_order.length) + 1);
}

int64_t RunningText::CountTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += length(row);
  }
  return count;
}

double RunningText::CountBytes(std::span<const int32_t> rows) const {
  double count = 0;
  for (const int32_t row : rows) {
    const PartTokens& part = parts_[PartOf(row)];
    count += static_cast<double>(length(row)) * static_cast<double>(part.bytes) /
             static_cast<double>(part.tokens.size());
  }
  return count;
}

absl::StatusOr<LoadedData> LoadRunningText(const LoadOptions& options,
                                           const RunningTextOptions& windows) {
  return WithinMemory(options, "the text",
                      [&] { return LoadRunningTextOrThrow(options, windows); });
}

}  // namespace hone::engine::data
