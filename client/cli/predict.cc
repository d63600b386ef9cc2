#include <algorithm>
#include <array>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/csv.h"
#include "client/cli/forecast_view.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/model_name.h"
#include "client/cli/render.h"
#include "client/cli/text_view.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::client::cli {
namespace {

constexpr int64_t kMaxPictureBytes = 64 << 20;
constexpr int64_t kMaxMazeBytes = 16 << 10;
constexpr int64_t kMaxTextBytes = 64 << 20;
// What one call takes, and what fits a message beside its frame.
constexpr size_t kInputsPerCall = 256;
constexpr size_t kBytesPerCall = 3 << 20;

struct PredictOptions {
  std::string model;
  std::vector<std::string> pictures;
  std::string csv;
  std::vector<std::string> users;
  std::vector<std::string> mazes;
  std::vector<std::string> texts;
  std::string text_file;
  std::vector<std::string> seconds;  // of pairs, as many as there are texts
  std::string second_file;
  std::vector<std::string> series;
  std::string nearest;  // a file of texts, of which those nearest to each text are shown
  int top = 0;          // 0: not given
  int beams = 0;        // 0: not given
};

constexpr int kClassesShown = 5;
constexpr size_t kTextShown = 120;  // bytes

struct Input {
  std::string label;
  v1::PredictInput input;
};

// Those of the command line, `option`, then the lines of a file. Empty lines are left out; of
// pairs, whose lines belong together, they are errors.
absl::StatusOr<std::vector<std::string>> ReadTexts(absl::string_view option,
                                                   std::vector<std::string> texts,
                                                   const std::string& path, bool pairs) {
  for (size_t i = 0; i < texts.size(); ++i) {
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(texts[i]), absl::StrCat(option, " ", i + 1)));
  }
  if (path.empty()) {
    return texts;
  }
  HONE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxTextBytes));
  const absl::StatusOr<std::string> file = FromUtf8(std::move(bytes));
  HONE_RETURN_IF_ERROR(Annotate(file.status(), path));
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(*file, "\n"), '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (!absl::StripAsciiWhitespace(line).empty()) {
      texts.emplace_back(line);
    } else if (pairs) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " line ", number, ": is empty; each line is a text of a pair"));
    }
  }
  return texts;
}

// Texts, or pairs of them where there are second ones.
absl::Status AddTexts(const PredictOptions& options, std::vector<Input>& inputs) {
  const bool pairs = !options.seconds.empty() || !options.second_file.empty();
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                        ReadTexts("--text", options.texts, options.text_file, pairs));
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> seconds,
                        ReadTexts("--text2", options.seconds, options.second_file, pairs));
  if (pairs && texts.size() != seconds.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--text2, --text2-file: each text needs its second one; there are ",
                     texts.size(), " texts and ", seconds.size(), " second ones"));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    Input input{.label = CutUtf8(texts[i], kTextShown), .input = {}};
    if (pairs) {
      absl::StrAppend(&input.label, " | ", CutUtf8(seconds[i], kTextShown));
      input.input.mutable_text_pair()->set_text(texts[i]);
      input.input.mutable_text_pair()->set_second(seconds[i]);
    } else {
      input.input.set_text(texts[i]);
    }
    input.input.set_beams(options.beams);
    inputs.push_back(std::move(input));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Input>> ReadInputs(const PredictOptions& options) {
  std::vector<Input> inputs;
  for (const std::string& path : options.pictures) {
    HONE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxPictureBytes));
    Input input{.label = path, .input = {}};
    input.input.set_image(std::move(bytes));
    inputs.push_back(std::move(input));
  }
  if (!options.csv.empty()) {
    HONE_ASSIGN_OR_RETURN(std::string text, ReadFile(options.csv, kMaxPictureBytes));
    HONE_ASSIGN_OR_RETURN(const std::vector<Record> records,
                          ReadRecords(std::move(text), options.csv));
    for (size_t i = 0; i < records.size(); ++i) {
      Input input{.label = absl::StrCat("row ", i + 1), .input = {}};
      for (const auto& [column, cell] : records[i]) {
        (*input.input.mutable_record()->mutable_cells())[column] = cell;
      }
      inputs.push_back(std::move(input));
    }
  }
  for (const std::string& user : options.users) {
    Input input{.label = absl::StrCat("user ", user), .input = {}};
    input.input.mutable_user()->set_id(user);
    input.input.mutable_user()->set_top(options.top);
    inputs.push_back(std::move(input));
  }
  for (const std::string& path : options.mazes) {
    absl::StatusOr<std::string> text = ReadFile(path, kMaxMazeBytes);
    if (absl::IsInvalidArgument(text.status())) {
      return absl::InvalidArgumentError(absl::StrCat(
          text.status().message(), "; a maze has at most 32 lines of 32 cells, one byte each"));
    }
    HONE_RETURN_IF_ERROR(text.status());
    text = FromUtf8(*std::move(text));
    HONE_RETURN_IF_ERROR(Annotate(text.status(), path));
    Input input{.label = path, .input = {}};
    input.input.set_maze(*std::move(text));
    inputs.push_back(std::move(input));
  }
  HONE_RETURN_IF_ERROR(AddTexts(options, inputs));
  for (const std::string& path : options.series) {
    HONE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kBytesPerCall));
    absl::StatusOr<std::string> table = FromUtf8(std::move(bytes));
    HONE_RETURN_IF_ERROR(Annotate(table.status(), path));
    Input input{.label = path, .input = {}};
    input.input.set_series(*std::move(table));
    inputs.push_back(std::move(input));
  }
  if (inputs.empty()) {
    return absl::InvalidArgumentError(
        "give at least one picture, --text TEXT, --csv FILE, --series FILE, --maze FILE, or --user "
        "ID");
  }
  return inputs;
}

// The error as the person who named the files reads it: their name instead of `inputs[i]`, which
// counts from `first`.
absl::Status WithLabels(const absl::Status& status, const std::vector<Input>& inputs,
                        size_t first) {
  std::string message(status.message());
  for (size_t i = first; i < inputs.size() && i < first + kInputsPerCall; ++i) {
    const std::string field = absl::StrCat("inputs[", i - first, "]");
    if (absl::StrContains(message, field)) {
      message = absl::StrReplaceAll(message, {{field, inputs[i].label}});
    }
  }
  return absl::Status(status.code(), message);
}

// Bytes of a message that an input takes, or of the answer where that is larger: of each word of a
// text there may be its tag.
size_t BytesOf(const v1::PredictInput& input) {
  constexpr size_t kOfAnswer = 64, kOfTextByte = 6;
  const size_t bytes = input.ByteSizeLong();
  return input.has_text() ? std::max(bytes, kOfAnswer + kOfTextByte * input.text().size()) : bytes;
}

// The worker says so of an answer that fits no message, as vectors of many numbers may not.
bool IsOfTooManyInputs(const absl::Status& status) {
  return absl::IsInvalidArgument(status) &&
         absl::StrContains(status.message(), "send fewer inputs");
}

// All inputs in as few calls as the limits allow.
template <typename Call>
absl::StatusOr<v1::PredictResponse> InBatches(const std::vector<Input>& inputs, const Call& call) {
  v1::PredictResponse all;
  size_t most = kInputsPerCall;
  for (size_t i = 0; i < inputs.size();) {
    const size_t first = i;
    std::vector<v1::PredictInput> batch;
    size_t bytes = 0;
    while (i < inputs.size() && batch.size() < most &&
           (batch.empty() || bytes + BytesOf(inputs[i].input) <= kBytesPerCall)) {
      bytes += BytesOf(inputs[i].input);
      batch.push_back(inputs[i++].input);
    }
    const absl::StatusOr<v1::PredictResponse> answer = call(batch);
    if (IsOfTooManyInputs(answer.status()) && batch.size() > 1) {
      most = batch.size() / 2;
      i = first;
      continue;
    }
    if (!answer.ok()) {
      return WithLabels(answer.status(), inputs, first);
    }
    all.mutable_predictions()->MergeFrom(answer->predictions());
  }
  if (all.predictions_size() != static_cast<int>(inputs.size())) {
    return absl::InternalError(absl::StrCat(inputs.size(), " inputs, but ", all.predictions_size(),
                                            " predictions came back"));
  }
  return all;
}

absl::StatusOr<v1::PredictResponse> AskLocal(const std::string& folder,
                                             const std::vector<Input>& inputs,
                                             const Globals& globals) {
  return InBatches(
      inputs,
      [&](const std::vector<v1::PredictInput>& batch) -> absl::StatusOr<v1::PredictResponse> {
        v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::PREDICT, 0, {});
        request.set_model_directory(folder);
        request.mutable_inputs()->Assign(batch.begin(), batch.end());
        HONE_ASSIGN_OR_RETURN(const v1::WorkerFrame frame,
                              AskWorker(std::move(request), *globals.interrupts, nullptr));
        v1::PredictResponse response;
        *response.mutable_predictions() = frame.predictions().predictions();
        return response;
      });
}

absl::StatusOr<v1::PredictResponse> AskServer(Client& client, const std::string& model,
                                              const std::vector<Input>& inputs) {
  HONE_ASSIGN_OR_RETURN(const std::string name, FindServerModel(client, model));
  return InBatches(inputs, [&](const std::vector<v1::PredictInput>& batch) {
    v1::PredictRequest request;
    request.set_name(name);
    request.mutable_inputs()->Assign(batch.begin(), batch.end());
    return client.Predict(request);
  });
}

// A user's list: what each item is called, the rating that is expected or the score.
void PrintItems(const v1::Prediction::Recommendation& recommendation, const Screen& screen) {
  int width = 0;
  const auto name = [](const v1::Prediction::Item& item) {
    return item.name().empty() ? item.id() : item.name();
  };
  for (const v1::Prediction::Item& item : recommendation.items()) {
    width = std::max(width, Columns(name(item)));
  }
  if (recommendation.unknown_user()) {
    const Line line = Line().Add("   not known: what others like best", Style::kDim);
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
  for (int i = 0; i < recommendation.items_size(); ++i) {
    const v1::Prediction::Item& item = recommendation.items(i);
    Line line;
    line.Add(absl::StrFormat("  %3d ", i + 1), Style::kDim)
        .Add(name(item), i == 0 ? Style::kBold : Style::kPlain)
        .PadTo(width + 8)
        .Add(absl::StrFormat("%7.3f", item.score()));
    if (!item.name().empty()) {
      line.Add(absl::StrCat("   ", item.id()), Style::kDim);
    }
    if (item.rated()) {
      line.Add("   rated already", Style::kDim);
    }
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
}

// A maze with the value of every cell and, beside it, the arrow of the best move where the path
// leads.
void PrintPath(const v1::Prediction::Path& path, const Screen& screen) {
  constexpr std::array<const char*, 4> kArrows = {"↑", "→", "↓", "←"};
  const auto on_path = [&](int cell) {
    return std::find(path.cells().begin(), path.cells().end(), cell) != path.cells().end();
  };
  for (int row = 0; row < path.rows_size(); ++row) {
    Line line;
    line.Add("   ");
    for (int column = 0; column < static_cast<int>(path.rows(row).size()); ++column) {
      const int cell = row * static_cast<int>(path.width()) + column;
      const char kind = path.rows(row)[static_cast<size_t>(column)];
      if (kind == '#') {
        line.Add("███████", Style::kDim);
      } else if (kind == 'G' || kind == 'T') {
        line.Add(kind == 'G' ? "  goal " : "  trap ", kind == 'G' ? Style::kGood : Style::kBad);
      } else if (cell < path.values_size() && cell < path.best_moves_size()) {
        const auto move = static_cast<size_t>(path.best_moves(cell));
        const char* arrow = on_path(cell) && move < kArrows.size() ? kArrows[move] : " ";
        line.Add(absl::StrFormat("%s%5.2f ", arrow, path.values(cell)),
                 on_path(cell) ? Style::kBold : Style::kDim);
      }
    }
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
  const int steps = path.cells_size() - 1;
  std::printf("   %s\n", path.solved()
                             ? absl::StrCat("the way has ", steps, " steps, the shortest way has ",
                                            path.shortest())
                                   .c_str()
                             : "the way does not lead to the goal");
}

// The best translation, and others below it with their scores.
void PrintTranslations(const v1::Prediction::Translated& translated, const Screen& screen) {
  const bool several = translated.translations_size() > 1;
  for (int i = 0; i < translated.translations_size(); ++i) {
    const v1::Prediction::Translation& translation = translated.translations(i);
    Line line;
    line.Add("   ");
    if (several) {
      line.Add(absl::StrFormat("%7.3f  ", translation.score()), Style::kDim);
    }
    line.Add(translation.text(), i == 0 ? Style::kBold : Style::kPlain);
    if (!translation.ended()) {
      line.Add("   …", Style::kDim);
    }
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
}

// The most probable classes, or tokens, with bars.
void PrintClasses(const google::protobuf::RepeatedPtrField<v1::Prediction::Class>& classes, int top,
                  const Screen& screen) {
  int width = 0;
  const int shown = std::min(top, classes.size());
  for (int i = 0; i < shown; ++i) {
    width = std::max(width, Columns(classes[i].name()));
  }
  const int bar = std::clamp(screen.width() - width - 16, 10, 40);
  for (int i = 0; i < shown; ++i) {
    const v1::Prediction::Class& entry = classes[i];
    Line line;
    line.Add("   ").Add(entry.name(), i == 0 ? Style::kBold : Style::kPlain).PadTo(width + 5);
    line.Add(Bar(entry.probability(), bar), i == 0 ? Style::kTrain : Style::kDim)
        .PadTo(width + bar + 6);
    line.Add(absl::StrFormat("%6.2f %%", 100 * entry.probability()));
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
}

// What stands at each mask of a text.
void PrintFilled(const v1::Prediction::Filled& filled, int top, const Screen& screen) {
  for (int i = 0; i < filled.masks_size(); ++i) {
    if (filled.masks_size() > 1) {
      const Line line = Line().Add(absl::StrCat("  mask ", i + 1), Style::kDim);
      std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
    }
    PrintClasses(filled.masks(i).tokens(), top, screen);
  }
}

void PrintPrediction(const std::string& label, const v1::Prediction& prediction, int top,
                     const Screen& screen) {
  const auto print = [&](const Line& line) {
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  };
  print(Line().Add(" ").Add(label, Style::kBold));
  PrintClasses(prediction.classification().classes(), top, screen);
  PrintClasses(prediction.labelled().classes(), top, screen);
  PrintFilled(prediction.filled(), top, screen);
  for (const Line& line : EmbeddedLines(prediction.embedded())) {
    print(line);
  }
  for (const Line& line : TaggedLines(prediction.tagged())) {
    print(line);
  }
  if (prediction.has_recommendation()) {
    PrintItems(prediction.recommendation(), screen);
  }
  for (const double value : prediction.regression().values()) {
    print(Line().Add("   ").Add(Significant(value), Style::kBold));
  }
  if (prediction.has_path()) {
    PrintPath(prediction.path(), screen);
  }
  PrintTranslations(prediction.translated(), screen);
  for (const Line& forecast : ForecastLines(prediction.forecast(), screen.width())) {
    print(forecast);
  }
}

// Puts the texts that others are looked for among behind the inputs; returns how many there are.
absl::StatusOr<int> AddCandidates(const PredictOptions& options, std::vector<Input>& inputs) {
  if (options.nearest.empty()) {
    return 0;
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                        ReadTexts("--nearest", {}, options.nearest, /*pairs=*/false));
  if (texts.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options.nearest, ": holds no texts"));
  }
  for (const std::string& text : texts) {
    Input& input = inputs.emplace_back();
    input.label = text;
    input.input.set_text(text);
  }
  return static_cast<int>(texts.size());
}

// Takes the last `count` predictions away and says for each of the others which of these are
// nearest.
absl::Status FindNearest(const std::vector<Input>& inputs, int count, int shown,
                         v1::PredictResponse& response) {
  const int questions = response.predictions_size() - count;
  std::vector<Candidate> candidates;
  for (int i = questions; i < response.predictions_size(); ++i) {
    if (!response.predictions(i).has_embedded()) {
      return absl::InvalidArgumentError(
          "--nearest: the model gives no vectors, as one of text_embedding does");
    }
    candidates.push_back(
        {inputs[static_cast<size_t>(i)].label, &response.predictions(i).embedded()});
  }
  for (int i = 0; i < questions; ++i) {
    AddNearest(candidates, shown, *response.mutable_predictions(i)->mutable_embedded());
  }
  response.mutable_predictions()->DeleteSubrange(questions, count);
  return absl::OkStatus();
}

int Predict(const PredictOptions& options, const Globals& globals) {
  absl::StatusOr<std::vector<Input>> inputs = ReadInputs(options);
  if (!inputs.ok()) {
    return Fail(inputs.status(), globals);
  }
  const absl::StatusOr<int> candidates = AddCandidates(options, *inputs);
  if (!candidates.ok()) {
    return Fail(candidates.status(), globals);
  }
  const absl::StatusOr<std::string> folder = FindModelFolder(options.model);
  if (!folder.ok()) {
    return Fail(folder.status(), globals);
  }
  absl::StatusOr<v1::PredictResponse> response =
      folder->empty() ? AskServer(*globals.Connect(), options.model, *inputs)
                      : AskLocal(*folder, *inputs, globals);
  if (!response.ok()) {
    return Fail(response.status(), globals);
  }
  const int top = options.top == 0 ? kClassesShown : options.top;
  if (*candidates > 0) {
    const absl::Status found = FindNearest(*inputs, *candidates, top, *response);
    if (!found.ok()) {
      return Fail(found, globals);
    }
  }
  if (globals.json) {
    PrintJsonLine(*response);
    return kSuccess;
  }
  const Screen screen = Screen::Of(stdout);
  for (int i = 0; i < response->predictions_size(); ++i) {
    PrintPrediction((*inputs)[static_cast<size_t>(i)].label, response->predictions(i), top, screen);
  }
  return kSuccess;
}

}  // namespace

void AddPredict(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<PredictOptions>();
  CLI::App* command = AddCommand(app, globals, "predict", "Ask a model.",
                                 [options, &globals] { return Predict(*options, globals); });
  command
      ->add_option("MODEL", options->model, "models/<id> of the server, or a model's folder here")
      ->required();
  command->add_option("PICTURE", options->pictures, "PNG or JPEG files");
  command->add_option("--csv", options->csv, "a table; its first line names the columns");
  command
      ->add_option("--maze", options->mazes,
                   "mazes as text: # wall, . free, S start, G goal, T trap")
      ->allow_extra_args(false);
  command
      ->add_option("--text", options->texts,
                   "texts, such as \"one of the best\"; [MASK] stands for a word that a model of "
                   "masked_language_modeling finds")
      ->allow_extra_args(false);
  command->add_option("--text-file", options->text_file, "a file of texts, one a line");
  command
      ->add_option("--text2", options->seconds,
                   "of a model that reads pairs, or of text_embedding, which says how similar both "
                   "are: the second text of each --text")
      ->allow_extra_args(false);
  command->add_option("--text2-file", options->second_file, "the second text of each line");
  command->add_option("--nearest", options->nearest,
                      "of a model of text_embedding: a file of texts, one a line; those nearest to "
                      "each --text");
  command
      ->add_option("--beams", options->beams,
                   "translations that are kept at a time while one is looked for [as the model's "
                   "job says]")
      ->check(CLI::Range(1, 16));
  command
      ->add_option("--series", options->series,
                   "tables with a row for each point in time: what comes next")
      ->allow_extra_args(false);
  command->add_option("--user", options->users,
                      "users by their ids: which items they would like, best first");
  command
      ->add_option("--top", options->top,
                   "classes to print for each picture, or words for each [MASK], or texts that are "
                   "nearest [5], or items for each user [10]")
      ->check(CLI::Range(1, 1000));
}

}  // namespace hone::client::cli
