#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/below.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/model_name.h"
#include "client/cli/plan_table.h"
#include "client/cli/render.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

int List(const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListModelsRequest request;
  v1::ListModelsResponse all;
  do {
    request.set_page_size(1000);
    const absl::StatusOr<v1::ListModelsResponse> page = client->ListModels(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    all.mutable_models()->MergeFrom(page->models());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (globals.json) {
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {{"model", "name", "task", ">size", "result", ""}};
  for (const v1::Model& model : all.models()) {
    rows.push_back({model.name(), model.display_name(), model.task(),
                    absl::StrCat(">", Bytes(model.bytes())), FinalResult(model.evaluation()),
                    model.pinned() ? "pinned" : ""});
  }
  if (all.models().empty()) {
    std::printf("no models\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

int Show(const std::string& name, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<std::string> found = FindServerModel(*client, name);
  const absl::StatusOr<v1::Model> model =
      found.ok() ? client->GetModel(*found) : absl::StatusOr<v1::Model>(found.status());
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
    return kSuccess;
  }
  std::vector<Line> lines;
  const auto add = [&lines](const char* label, const std::string& value) {
    lines.push_back(Line().Add(absl::StrCat(" ", label), Style::kDim).PadTo(12).Add(value));
  };
  add("model", absl::StrCat(model->name(), "  ", model->display_name()));
  add("task", model->task());
  if (model->archive_sha256().empty()) {
    add("made by", model->job());
  } else {
    add("imported", absl::StrCat("from an archive with SHA-256 ", model->archive_sha256()));
  }
  if (model->pinned()) {
    add("pinned", "the server's limits do not remove it");
  }
  for (const v1::ModelFile& file : model->files()) {
    add("file", absl::StrCat(file.path(), "  ", Bytes(file.bytes())));
  }
  for (const auto& [metric, value] : std::map<std::string, double>(
           model->evaluation().metrics().begin(), model->evaluation().metrics().end())) {
    add(metric.c_str(), "");
    lines.back().PadTo(23).Add(Significant(value));
  }
  lines.emplace_back();
  PrintLines(lines);
  PrintLines(LayerTable(model->plan()));
  return kSuccess;
}

// Writes the files of a download one after another and checks each against its SHA-256.
class Export {
 public:
  explicit Export(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Take(const v1::DownloadModelResponse& chunk) {
    if (chunk.has_file()) {
      HONE_RETURN_IF_ERROR(Close());
      HONE_RETURN_IF_ERROR(CheckBelow(chunk.file().path()));
      file_ = chunk.file();
      path_ = absl::StrCat(folder_, "/", file_.path());
      std::error_code error;
      std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
      if (error) {
        return ErrnoStatus(error.value(), path_);
      }
      stream_ = std::ofstream(path_, std::ios::binary | std::ios::trunc);
    }
    stream_.write(chunk.data().data(), static_cast<std::streamsize>(chunk.data().size()));
    return stream_.good() ? absl::OkStatus() : ErrnoStatus(errno, path_);
  }

  // After the last chunk.
  absl::Status Close() {
    if (path_.empty()) {
      return absl::OkStatus();
    }
    stream_.close();
    HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path_));
    if (!file_.sha256().empty() && sha256 != file_.sha256()) {
      return absl::DataLossError(absl::StrCat(path_, ": SHA-256 is ", sha256, ", not ",
                                              file_.sha256(), " as the server says"));
    }
    path_.clear();
    return absl::OkStatus();
  }

 private:
  const std::string folder_;
  v1::ModelFile file_;
  std::string path_;
  std::ofstream stream_;
};

// Into a folder beside the wanted one first: it is there whole, or not at all.
absl::Status ExportTo(Client& client, const std::string& name, const std::string& folder) {
  std::error_code error;
  if (folder.empty()) {
    return absl::InvalidArgumentError("DIR: give the name of the folder to make");
  }
  if (std::filesystem::exists(folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat(folder, " exists already"));
  }
  const std::string part = absl::StrCat(folder, ".part");
  std::filesystem::remove_all(part, error);
  std::filesystem::create_directories(part, error);
  if (error) {
    return ErrnoStatus(error.value(), part);
  }
  Export files(part);
  absl::Status status = client.DownloadModel(
      name, [&](const v1::DownloadModelResponse& chunk) { return files.Take(chunk); });
  if (status.ok()) {
    status = files.Close();
  }
  if (!status.ok()) {
    std::filesystem::remove_all(part, error);
    return status;
  }
  std::filesystem::rename(part, folder, error);
  if (error) {
    status = ErrnoStatus(error.value(), folder);
    std::filesystem::remove_all(part, error);
  }
  return status;
}

// `out/` is `out`.
std::string WithoutSlash(std::string folder) {
  folder.erase(folder.find_last_not_of('/') + 1);
  return folder;
}

int ExportModel(const std::string& name, const std::string& folder, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<v1::Model> model = client->GetModel(ResourceName("models", name));
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (const absl::Status status = ExportTo(*client, model->name(), WithoutSlash(folder));
      !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
  } else {
    const bool draws = model->task() == "image_generation";
    std::printf("%s: %d files, %s\n next: hone %s %s …\n", folder.c_str(), model->files_size(),
                Bytes(model->bytes()).c_str(), draws ? "generate" : "predict", folder.c_str());
  }
  return kSuccess;
}

int DeleteModel(const std::string& name, const Globals& globals) {
  const std::string full = ResourceName("models", name);
  if (const absl::Status status = globals.Connect()->DeleteModel(full); !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(v1::DeleteModelResponse());
  } else {
    std::printf("%s is deleted\n", full.c_str());
  }
  return kSuccess;
}

int PinModel(const std::string& name, bool pinned, const Globals& globals) {
  v1::UpdateModelRequest request;
  request.mutable_model()->set_name(ResourceName("models", name));
  request.mutable_model()->set_pinned(pinned);
  request.mutable_update_mask()->add_paths("pinned");
  const absl::StatusOr<v1::Model> model = globals.Connect()->UpdateModel(request);
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
  } else {
    std::printf("%s is %s\n", model->name().c_str(),
                pinned ? "pinned: the server's limits do not remove it" : "not pinned any more");
  }
  return kSuccess;
}

int RenameModel(const std::string& name, const std::string& display_name, const Globals& globals) {
  v1::UpdateModelRequest request;
  request.mutable_model()->set_name(ResourceName("models", name));
  request.mutable_model()->set_display_name(display_name);
  request.mutable_update_mask()->add_paths("display_name");
  const absl::StatusOr<v1::Model> model = globals.Connect()->UpdateModel(request);
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
  } else {
    std::printf("%s is called %s\n", model->name().c_str(), model->display_name().c_str());
  }
  return kSuccess;
}

}  // namespace

void AddModels(CLI::App& app, Globals& globals) {
  CLI::App* models = app.add_subcommand("models", "The server's models.");
  models->require_subcommand(1);
  models->fallthrough();
  AddCommand(*models, globals, "list", "The newest models first.",
             [&globals] { return List(globals); });
  const auto name = std::make_shared<std::string>();
  const auto folder = std::make_shared<std::string>();
  AddCommand(*models, globals, "show", "One model: its files, numbers and layers.",
             [name, &globals] { return Show(*name, globals); })
      ->add_option("MODEL", *name, "models/<id>, or the id alone")
      ->required();
  AddCommand(*models, globals, "delete", "Remove a model and its files; its job stays.",
             [name, &globals] { return DeleteModel(*name, globals); })
      ->add_option("MODEL", *name, "models/<id>, or the id alone")
      ->required();
  for (const bool pinned : {true, false}) {
    AddCommand(*models, globals, pinned ? "pin" : "unpin",
               pinned ? "Keep a model, whatever the server's limits say."
                      : "Let the server's limits remove a model again.",
               [name, pinned, &globals] { return PinModel(*name, pinned, globals); })
        ->add_option("MODEL", *name, "models/<id>, or the id alone")
        ->required();
  }
  const auto display_name = std::make_shared<std::string>();
  CLI::App* rename = AddCommand(
      *models, globals, "rename", "Give a model another display name; its id stays.",
      [name, display_name, &globals] { return RenameModel(*name, *display_name, globals); });
  rename->add_option("MODEL", *name, "models/<id>, or the id alone")->required();
  rename->add_option("NAME", *display_name, "the new name")->required();
  CLI::App* command =
      AddCommand(*models, globals, "export", "Copy a model's files into a new folder.",
                 [name, folder, &globals] { return ExportModel(*name, *folder, globals); });
  command->add_option("MODEL", *name, "models/<id>, or the id alone")->required();
  command->add_option("DIR", *folder, "the folder to make")->required();
  AddModelImport(*models, globals);
}

}  // namespace hone::client::cli
