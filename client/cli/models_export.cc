#include "client/cli/models_export.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli/below.h"
#include "client/cli/local_job.h"
#include "client/cli/model_name.h"
#include "client/cli/render.h"
#include "client/cli/run_folder.h"
#include "client/jobfile/print.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::client::cli {
namespace {

constexpr int64_t kMostJobBytes = 64 << 10;

struct ExportOptions {
  std::string model;
  std::string folder;
  std::string format;  // "": the server's files as they are
  std::string type;
};

// Writes the files of a download one after another and checks each against its SHA-256.
class Download {
 public:
  explicit Download(std::string folder) : folder_(std::move(folder)) {}

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

// A folder that is removed with what is in it.
class TemporaryFolder {
 public:
  // Beside another one, which need not be there, under a name that nobody has.
  static absl::StatusOr<std::unique_ptr<TemporaryFolder>> Beside(const std::string& folder) {
    const std::filesystem::path above = std::filesystem::path(folder).parent_path();
    std::error_code error;
    if (!above.empty()) {
      std::filesystem::create_directories(above, error);
    }
    if (error) {
      return ErrnoStatus(error.value(), above.string());
    }
    std::string pattern = absl::StrCat(folder, ".part-XXXXXX");
    if (::mkdtemp(pattern.data()) == nullptr) {
      return ErrnoStatus(errno, absl::StrCat("cannot create a folder beside ", folder));
    }
    return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(std::move(pattern)));
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  // For a folder in it: a temporary one itself is for its owner alone.
  std::string In(const std::string& folder) const {
    return absl::StrCat(path_, "/", std::filesystem::path(folder).filename().string());
  }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

// Fills a folder beside the wanted one first: it is there whole, or not at all.
absl::Status MakeFolder(const std::string& folder,
                        absl::FunctionRef<absl::Status(const std::string& part)> fill) {
  std::error_code error;
  if (folder.empty()) {
    return absl::InvalidArgumentError("DIR: give the name of the folder to make");
  }
  if (std::filesystem::exists(folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat(folder, " exists already"));
  }
  HONE_ASSIGN_OR_RETURN(const auto beside, TemporaryFolder::Beside(folder));
  const std::string part = beside->In(folder);
  std::filesystem::create_directory(part, error);
  if (error) {
    return ErrnoStatus(error.value(), part);
  }
  HONE_RETURN_IF_ERROR(fill(part));
  std::filesystem::rename(part, folder, error);
  return error ? ErrnoStatus(error.value(), folder) : absl::OkStatus();
}

absl::Status DownloadTo(Client& client, const std::string& name, const std::string& folder) {
  return MakeFolder(folder, [&](const std::string& part) -> absl::Status {
    Download files(part);
    HONE_RETURN_IF_ERROR(client.DownloadModel(
        name, [&](const v1::DownloadModelResponse& chunk) { return files.Take(chunk); }));
    return files.Close();
  });
}

// `out/` is `out`.
std::string WithoutSlash(std::string folder) {
  folder.erase(folder.find_last_not_of('/') + 1);
  return folder;
}

int ExportFiles(const ExportOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<v1::Model> model = GetServerModel(*client, options.model);
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (const absl::Status status = DownloadTo(*client, model->name(), WithoutSlash(options.folder));
      !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
  } else {
    const bool draws = model->task() == "image_generation";
    std::printf("%s: %d files, %s\n next: hone %s %s …\n", options.folder.c_str(),
                model->files_size(), Bytes(model->bytes()).c_str(), draws ? "generate" : "predict",
                options.folder.c_str());
  }
  return kSuccess;
}

// A model's folder on this machine, and the job that trained it, as YAML, where that is known. No
// message holds text that is not UTF-8.
struct LocalModelFiles {
  std::string folder;
  std::string job;
};

// Writes the files of a format into `part`, by a worker, which reads them again.
absl::StatusOr<v1::WorkerFrame::Exported> WriteFormat(const ExportOptions& options,
                                                      const LocalModelFiles& model,
                                                      const std::string& part,
                                                      const Globals& globals) {
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::EXPORT, 0, {});
  request.set_model_directory(model.folder);
  request.set_run_directory(part);
  request.set_export_format(options.format);
  request.set_export_type(options.type);
  request.set_export_job(model.job);
  HONE_ASSIGN_OR_RETURN(const v1::WorkerFrame frame,
                        AskWorker(std::move(request), *globals.interrupts, nullptr));
  return frame.exported();
}

// Of a run's folder, which has its job beside the model.
LocalModelFiles OfFolder(const std::string& folder) {
  LocalModelFiles model = {.folder = folder, .job = ""};
  const std::filesystem::path path(WithoutSlash(folder));
  if (path.filename() == "model") {
    std::string job =
        ReadFile((path.parent_path() / kJobFile).string(), kMostJobBytes).value_or("");
    model.job = CheckUtf8(job).ok() ? std::move(job) : "";
  }
  return model;
}

absl::StatusOr<v1::WorkerFrame::Exported> ExportInFormat(const ExportOptions& options,
                                                         const Globals& globals) {
  HONE_ASSIGN_OR_RETURN(const std::string here, FindModelFolder(options.model));
  const std::string folder = WithoutSlash(options.folder);
  v1::WorkerFrame::Exported exported;
  const auto write = [&](const LocalModelFiles& model) {
    return MakeFolder(folder, [&](const std::string& part) -> absl::Status {
      HONE_ASSIGN_OR_RETURN(exported, WriteFormat(options, model, part, globals));
      return absl::OkStatus();
    });
  };
  if (!here.empty()) {
    HONE_RETURN_IF_ERROR(write(OfFolder(here)));
    return exported;
  }
  std::error_code error;
  if (std::filesystem::exists(folder, error)) {  // before anything is downloaded
    return absl::AlreadyExistsError(absl::StrCat(folder, " exists already"));
  }
  const std::unique_ptr<Client> client = globals.Connect();
  HONE_ASSIGN_OR_RETURN(const v1::Model model, GetServerModel(*client, options.model));
  HONE_ASSIGN_OR_RETURN(const auto beside, TemporaryFolder::Beside(folder));
  LocalModelFiles files = {.folder = beside->In(folder), .job = ""};
  if (const absl::StatusOr<v1::Job> job = client->GetJob(model.job()); job.ok()) {
    files.job = jobfile::PrintYaml(job->spec());  // a job that is gone leaves its model
  }
  HONE_RETURN_IF_ERROR(DownloadTo(*client, model.name(), files.folder));
  HONE_RETURN_IF_ERROR(write(files));
  return exported;
}

int ExportModel(const ExportOptions& options, const Globals& globals) {
  if (options.format.empty()) {
    return ExportFiles(options, globals);
  }
  if (!options.type.empty() && options.format != "gguf") {
    return Fail(absl::InvalidArgumentError("--type: is of --format gguf alone"), globals);
  }
  const absl::StatusOr<v1::WorkerFrame::Exported> exported = ExportInFormat(options, globals);
  if (!exported.ok()) {
    return Fail(exported.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*exported);
    return kSuccess;
  }
  std::printf("%s\n", absl::StrFormat(
                          "%s: %d files; the answers to %d questions differ from the model's by "
                          "%.1e of the largest at most",
                          options.folder, exported->files_size(), exported->questions(),
                          exported->difference())
                          .c_str());
  return kSuccess;
}

}  // namespace

void AddModelsExport(CLI::App& models, Globals& globals) {
  const auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      AddCommand(models, globals, "export",
                 "Copy a model's files into a new folder, or write them in the form of others.",
                 [options, &globals] { return ExportModel(*options, globals); });
  command
      ->add_option(
          "MODEL", options->model,
          "models/<id>, the id alone, or a name, of which the newest is meant; with --format "
          "also a model's folder here")
      ->required();
  command->add_option("DIR", options->folder, "the folder to make")->required();
  CLI::Option* format =
      command
          ->add_option("--format", options->format,
                       "hf: a folder for transformers, of a model that began with a checkpoint of "
                       "that form; merged-hf: the same of a model with adapters, in its weights; "
                       "peft: the adapters alone; onnx: for onnxruntime; gguf: for llama.cpp, of "
                       "Llama's type [Hone's own files]")
          ->check(CLI::IsMember({"hf", "merged-hf", "peft", "onnx", "gguf"}));
  command->add_option("--type", options->type, "of gguf: how numbers are kept [f16]")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}))
      ->needs(format);
}

}  // namespace hone::client::cli
