#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/chat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/model_name.h"
#include "client/cli/picture.h"
#include "client/cli/write_text.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/image/image.h"

namespace hone::client::cli {
namespace {

// What one process is asked at a time: its answer must fit a frame.
constexpr int kTogether = 32;

struct GenerateOptions {
  std::string model;
  int count = 0;
  std::string class_name;
  uint64_t seed = 1;
  std::optional<uint64_t> to_seed;
  std::string out = "drawings.png";
  int columns = 0;
  std::optional<std::string> prompt;    // a text is asked for
  std::optional<std::string> question;  // an answer is; "": to questions that are read
  std::string system;
  v1::Writing writing;  // how a text, or an answer, is written

  bool writes() const { return prompt.has_value() || question.has_value(); }
};

constexpr int kMostPictures = 4096;
constexpr int kMostTokens = 1 << 20;

v1::GenerateRequest RequestOf(const GenerateOptions& options) {
  v1::GenerateRequest request;
  v1::GenerateRequest::Drawings& drawings = *request.mutable_drawings();
  drawings.set_count(options.count);
  drawings.set_seed(options.seed);
  drawings.set_class_(options.class_name);
  if (options.to_seed.has_value()) {
    drawings.set_to_seed(*options.to_seed);
  }
  return request;
}

v1::Writing WritingOf(const GenerateOptions& options) {
  constexpr int kTokens = 500;
  v1::Writing wish = options.writing;
  wish.set_prompt(options.prompt.value_or(""));
  wish.set_count(options.count > 0 ? options.count : kTokens);
  wish.set_seed(options.seed);
  return wish;
}

// The prompt and what the model makes of it, token by token, or answers to questions.
int Write(const std::string& folder, const GenerateOptions& options, const Globals& globals) {
  const absl::StatusOr<std::unique_ptr<TextWriter>> writer =
      TextWriter::Open(folder, options.model, globals);
  if (!writer.ok()) {
    return Fail(writer.status(), globals);
  }
  if (options.question.has_value()) {
    return RunChat(
        **writer,
        {.question = *options.question, .system = options.system, .options = WritingOf(options)},
        globals);
  }
  TextView view(*options.prompt, globals);
  const absl::Status status = (*writer)->Write(
      WritingOf(options), [&](const v1::GenerateResponse& piece) { return view.Show(piece); });
  view.End();
  return status.ok() ? kSuccess : Fail(status, globals);
}

// PNG files, in their order.
using Files = std::vector<std::string>;

absl::StatusOr<Files> DrawLocal(const std::string& folder, const GenerateOptions& options,
                                const Globals& globals) {
  Files files;
  while (static_cast<int>(files.size()) < options.count) {
    v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::PREDICT, 0, {});
    request.set_model_directory(folder);
    const auto first = static_cast<int>(files.size());
    const int end = std::min(first + kTogether, options.count);
    for (int i = first; i < end; ++i) {
      v1::Drawing& drawing = *request.add_inputs()->mutable_drawing();
      drawing.set_seed(options.seed);
      drawing.set_class_(options.class_name);
      if (options.to_seed.has_value()) {
        drawing.set_to_seed(*options.to_seed);
        drawing.set_share(options.count > 1 ? i / static_cast<double>(options.count - 1) : 0);
      } else {
        drawing.set_number(i);
      }
    }
    HONE_ASSIGN_OR_RETURN(const v1::WorkerFrame frame,
                          AskWorker(std::move(request), *globals.interrupts, nullptr));
    for (const v1::Prediction& prediction : frame.predictions().predictions()) {
      files.push_back(prediction.picture().png());
    }
    if (static_cast<int>(files.size()) != end) {
      return absl::InternalError(absl::StrCat(end - first, " drawings were asked for, but ",
                                              frame.predictions().predictions_size(), " came"));
    }
  }
  return files;
}

absl::StatusOr<Files> DrawOnServer(const GenerateOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::GenerateRequest request = RequestOf(options);
  HONE_ASSIGN_OR_RETURN(*request.mutable_name(), FindServerModel(*client, options.model));
  Files files;
  HONE_RETURN_IF_ERROR(client->Generate(request, [&](const v1::GenerateResponse& response) {
    files.push_back(response.picture());
    return absl::OkStatus();
  }));
  return files;
}

absl::StatusOr<std::string> GridOf(const Files& files, int columns) {
  std::vector<engine::image::Image> pictures;
  for (const std::string& file : files) {
    HONE_ASSIGN_OR_RETURN(pictures.emplace_back(), engine::image::Decode(file, "a drawing"));
  }
  HONE_ASSIGN_OR_RETURN(const engine::image::Image grid, engine::image::Grid(pictures, columns));
  return engine::image::EncodePng(grid);
}

// About as many rows as columns; the way from one drawing to another in one row.
int ColumnsOf(const GenerateOptions& options) {
  if (options.columns > 0) {
    return options.columns;
  }
  int columns = 1;
  while (columns * columns < options.count) {
    ++columns;
  }
  return options.to_seed.has_value() ? options.count : columns;
}

int Generate(GenerateOptions options, const Globals& globals) {
  constexpr int kPictures = 64, kStrip = 10;
  const absl::StatusOr<std::string> folder = FindModelFolder(options.model);
  if (!folder.ok()) {
    return Fail(folder.status(), globals);
  }
  if (options.writes()) {
    return Write(*folder, options, globals);
  }
  if (options.count > kMostPictures) {
    return Fail(absl::InvalidArgumentError(absl::StrCat("--count: must be 1 to ", kMostPictures,
                                                        " drawings, got ", options.count)),
                globals);
  }
  if (options.count == 0) {
    options.count = options.to_seed.has_value() ? kStrip : kPictures;
  }
  const absl::StatusOr<Files> files =
      folder->empty() ? DrawOnServer(options, globals) : DrawLocal(*folder, options, globals);
  if (!files.ok()) {
    return Fail(files.status(), globals);
  }
  const absl::StatusOr<std::string> grid = GridOf(*files, ColumnsOf(options));
  const absl::Status written = grid.ok() ? WriteFileAtomically(options.out, *grid) : grid.status();
  if (!written.ok()) {
    return Fail(written, globals);
  }
  if (globals.json) {
    v1::JobArtifact artifact;
    artifact.set_path(options.out);
    artifact.set_bytes(static_cast<int64_t>(grid->size()));
    PrintJsonLine(artifact);
    return kSuccess;
  }
  const Screen screen = Screen::Of(stdout);
  if (screen.terminal) {
    for (const Line& line : RenderPicture(*grid, screen.width() - 1, screen.height() - 4)) {
      std::printf("%s\n", line.Render(screen.width(), screen.color).c_str());
    }
  }
  std::printf("%s: %d %s\n", options.out.c_str(), options.count,
              options.count == 1 ? "drawing" : "drawings");
  return kSuccess;
}

}  // namespace

void AddGenerate(CLI::App& app, Globals& globals) {
  const auto options = std::make_shared<GenerateOptions>();
  const auto writing = std::make_shared<std::vector<CLI::Option*>>();
  CLI::App* command = AddCommand(
      app, globals, "generate", "Have a model draw pictures, write on from a prompt, or chat.",
      [options, writing, &globals] {
        for (const CLI::Option* option : *writing) {
          if (option->count() > 0 && !options->writes()) {
            throw CLI::RequiresError(option->get_name(), "--prompt or --chat");
          }
        }
        return Generate(*options, globals);
      });
  command
      ->add_option("MODEL", options->model, "models/<id> of the server, or a model's folder here")
      ->required();
  command->add_option("--out", options->out, "the PNG file, a grid of all drawings")
      ->capture_default_str();
  command
      ->add_option("--count", options->count,
                   "so many drawings; default 64, or 10 with --to-seed. With --prompt and --chat "
                   "so many tokens; default 500")
      ->check(CLI::Range(1, kMostTokens));
  command->add_option("--class", options->class_name,
                      "all of this class, from a model that draws by class");
  command
      ->add_option("--seed", options->seed,
                   "other drawings, another text; the same seed gives the same")
      ->capture_default_str();
  command->add_option("--to-seed", options->to_seed,
                      "the way from the first drawing of --seed to that of this one, as a strip");
  command->add_option("--columns", options->columns, "drawings in a row of the grid")
      ->check(CLI::Range(1, kMostPictures));
  CLI::Option* prompt = command->add_option_function<std::string>(
      "--prompt", [options](const std::string& text) { options->prompt = text; },
      "of a language model: the text to go on from, which may be empty");
  CLI::Option* chat =
      command
          ->add_option_function<std::string>(
              "--chat", [options](const std::string& text) { options->question = text; },
              "of a model that chats: a question; without one, behind MODEL, a "
              "conversation whose questions are read line by line")
          ->expected(0, 1)
          ->excludes(prompt);
  command
      ->add_option("--system", options->system,
                   "with --chat: what the model is told first; default: its own text")
      ->needs(chat);
  // Each says how a text is written.
  const auto of_texts = [&](CLI::Option* option) {
    writing->push_back(option);
    return option;
  };
  const auto add = [&](const std::string& name, const std::string& description, auto set) {
    of_texts(command->add_option_function<double>(name, set, description));
  };
  add("--temperature", "below 1 more probable tokens; 0: always the most probable one; default 1",
      [options](double value) { options->writing.set_temperature(value); });
  add("--top-p", "of the most probable tokens that together have this share; default 1",
      [options](double value) { options->writing.set_top_p(value); });
  add("--repetition-penalty", "above 1 fewer tokens that have been there; default 1",
      [options](double value) { options->writing.set_repetition_penalty(value); });
  of_texts(command->add_option_function<int64_t>(
      "--top-k", [options](int64_t value) { options->writing.set_top_k(value); },
      "of so many most probable tokens; 0: of all"));
  of_texts(command
               ->add_option_function<std::vector<std::string>>(
                   "--stop",
                   [options](const std::vector<std::string>& stops) {
                     options->writing.mutable_stop()->Assign(stops.begin(), stops.end());
                   },
                   "the text ends before this one; may be given several times")
               ->allow_extra_args(false));
}

}  // namespace hone::client::cli
