#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/local_job.h"
#include "client/cli/model_name.h"
#include "client/cli/picture.h"
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
  std::optional<std::string> prompt;  // a text is asked for
  v1::Writing writing;                // its options
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
  wish.set_prompt(*options.prompt);
  wish.set_count(options.count > 0 ? options.count : kTokens);
  wish.set_seed(options.seed);
  return wish;
}

// A text on its way to the terminal, or its pieces as JSON.
class TextView {
 public:
  TextView(std::string prompt, const Globals& globals)
      : prompt_(std::move(prompt)), globals_(globals) {}

  // At once, behind the prompt. CANCELLED where nobody reads on.
  absl::Status Show(const v1::GenerateResponse& piece) {
    if (globals_.json) {
      PrintJsonLine(piece);
    } else {
      const std::string text = begun_ ? piece.text() : absl::StrCat(prompt_, piece.text());
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    }
    begun_ = true;
    return std::ferror(stdout) == 0 ? absl::OkStatus()
                                    : absl::CancelledError("what is written cannot be shown");
  }

  void End() const {
    if (begun_ && !globals_.json) {
      std::printf("\n");
    }
  }

 private:
  const std::string prompt_;
  const Globals& globals_;
  bool begun_ = false;  // a refused wish shows nothing
};

absl::Status WriteLocal(const std::string& folder, const GenerateOptions& options,
                        const Globals& globals, TextView& view) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<LocalModel> model,
                        LocalModel::Load(folder, *globals.interrupts));
  std::vector<v1::PredictInput> question(1);
  v1::Writing& wish = *question[0].mutable_writing();
  wish = WritingOf(options);
  v1::GenerateResponse piece;
  while (piece.end() == v1::Writing::END_UNSPECIFIED) {
    HONE_ASSIGN_OR_RETURN(v1::PredictResponse answer, model->Ask(question));
    if (!answer.predictions(0).has_writing()) {
      return absl::InternalError("the worker answered with no text");
    }
    v1::Prediction::Written& written = *answer.mutable_predictions(0)->mutable_writing();
    wish.clear_prompt();  // it is in the state
    wish.mutable_state()->Swap(written.mutable_state());
    piece.set_text(written.text());
    piece.set_end(written.end());
    piece.set_tokens(wish.state().written());
    if (!piece.text().empty() || piece.end() != v1::Writing::END_UNSPECIFIED) {
      HONE_RETURN_IF_ERROR(view.Show(piece));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteOnServer(const GenerateOptions& options, const Globals& globals, TextView& view) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::GenerateRequest request;
  HONE_ASSIGN_OR_RETURN(*request.mutable_name(), FindServerModel(*client, options.model));
  *request.mutable_text() = WritingOf(options);
  return client->Generate(request,
                          [&](const v1::GenerateResponse& piece) { return view.Show(piece); });
}

// The prompt and what the model makes of it, token by token.
int Write(const std::string& folder, const GenerateOptions& options, const Globals& globals) {
  TextView view(*options.prompt, globals);
  const absl::Status status = folder.empty() ? WriteOnServer(options, globals, view)
                                             : WriteLocal(folder, options, globals, view);
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
  if (options.prompt.has_value()) {
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
  CLI::App* command =
      AddCommand(app, globals, "generate", "Have a model draw pictures, or write on from a prompt.",
                 [options, &globals] { return Generate(*options, globals); });
  command
      ->add_option("MODEL", options->model, "models/<id> of the server, or a model's folder here")
      ->required();
  command->add_option("--out", options->out, "the PNG file, a grid of all drawings")
      ->capture_default_str();
  command
      ->add_option("--count", options->count,
                   "so many drawings; default 64, or 10 with --to-seed. With --prompt so many "
                   "tokens; default 500")
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
  const auto add = [&](const std::string& name, const std::string& description, auto set) {
    command->add_option_function<double>(name, set, description)->needs(prompt);
  };
  add("--temperature", "below 1 more probable tokens; 0: always the most probable one; default 1",
      [options](double value) { options->writing.set_temperature(value); });
  add("--top-p", "of the most probable tokens that together have this share; default 1",
      [options](double value) { options->writing.set_top_p(value); });
  add("--repetition-penalty", "above 1 fewer tokens that have been there; default 1",
      [options](double value) { options->writing.set_repetition_penalty(value); });
  command
      ->add_option_function<int64_t>(
          "--top-k", [options](int64_t value) { options->writing.set_top_k(value); },
          "of so many most probable tokens; 0: of all")
      ->needs(prompt);
  command
      ->add_option_function<std::vector<std::string>>(
          "--stop",
          [options](const std::vector<std::string>& stops) {
            options->writing.mutable_stop()->Assign(stops.begin(), stops.end());
          },
          "the text ends before this one; may be given several times")
      ->allow_extra_args(false)
      ->needs(prompt);
}

}  // namespace hone::client::cli
