#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/data_put.h"
#include "client/cli/folder_archive.h"
#include "client/cli/text.h"
#include "client/errors.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

// `hone models import`.
namespace hone::client::cli {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);  // while the server is away
constexpr absl::Duration kPause = absl::Milliseconds(200);
constexpr char kUnderWay[] = "IMPORT_UNDER_WAY";  // the server's reason
constexpr int kMostUploads = 5;

struct ImportOptions {
  std::string path, base, name;
};

// What is sent: an archive, or a folder as one, with that of its base where that is not empty.
struct Source {
  PutOptions put;
  std::string name;  // of the model, where nobody says otherwise
};

absl::StatusOr<Source> SourceOf(const std::string& path, const std::string& base) {
  Source source;
  const std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    // `net/` is `net`, and `.` has the name that it has above.
    const std::filesystem::path full = std::filesystem::canonical(path, error);
    source.name = error ? "model" : full.filename().string();
    HONE_ASSIGN_OR_RETURN(FolderArchive archive, base.empty() ? FolderArchive::Of(path)
                                                              : FolderArchive::OnBase(path, base));
    HONE_ASSIGN_OR_RETURN(source.put.sha256, archive.Sha256());
    source.put.format = v1::Dataset::TAR;
    source.put.bytes = archive.bytes();
    source.put.read = [archive = std::move(archive)](int64_t offset, std::string& chunk) {
      return archive.Read(offset, chunk);
    };
  } else if (!base.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--base: goes with an adapter's folder, and ", path, " is none"));
  } else {
    HONE_ASSIGN_OR_RETURN(source.put.format, FormatOf(path));
    if (source.put.format != v1::Dataset::TAR && source.put.format != v1::Dataset::TAR_GZ) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": must be a checkpoint's folder, or a .tar, .tar.gz or .tgz of one"));
    }
    source.name = clean.filename().string();
    source.name = source.name.substr(0, source.name.rfind(".t"));
    source.put.path = path;
    HONE_ASSIGN_OR_RETURN(source.put.sha256, Sha256OfFile(path));
  }
  source.put.dataset_id = absl::StrCat("import-", source.put.sha256.substr(0, 16));
  if (source.name.empty()) {  // of `/`, and of `.tar`
    source.name = source.put.dataset_id;
  }
  return source;
}

// The model that was made of the same bytes under that name.
absl::StatusOr<std::optional<v1::Model>> FindImported(Client& client, const std::string& name,
                                                      const std::string& sha256) {
  v1::ListModelsRequest request;
  request.set_display_name(name);
  request.set_page_size(1000);
  do {
    HONE_ASSIGN_OR_RETURN(const v1::ListModelsResponse page, client.ListModels(request));
    for (const v1::Model& model : page.models()) {
      if (model.archive_sha256() == sha256) {
        return model;
      }
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return std::optional<v1::Model>();
}

// Asks again while the same import is under way: it is made once; and for a while after a cut, and
// where the server ends.
absl::StatusOr<v1::Model> Ask(Client& client, const v1::ImportModelRequest& request) {
  std::optional<absl::Duration> lost;
  for (;;) {
    absl::StatusOr<v1::Model> model = client.ImportModel(request);
    const bool under_way = Reason(model.status()) == kUnderWay;
    if (!under_way && !IsBrokenLine(model.status()) && !absl::IsUnavailable(model.status())) {
      return model;
    }
    lost = under_way ? std::optional<absl::Duration>() : lost.value_or(SteadyNow());
    if (lost.has_value() && SteadyNow() - *lost > kPatience) {
      return model;
    }
    client.Wait(std::max(kPause, RetryDelay(model.status()).value_or(kPause)));
  }
}

absl::StatusOr<v1::Model> ImportFrom(Client& client, const ImportOptions& options, bool shown) {
  HONE_ASSIGN_OR_RETURN(const Source source, SourceOf(options.path, options.base));
  v1::ImportModelRequest request;
  request.set_display_name(options.name.empty() ? source.name : options.name);
  request.set_dataset(absl::StrCat("datasets/", source.put.dataset_id));
  const auto remove = [&] {
    client.DeleteDataset(request.dataset(), /*force=*/false).IgnoreError();
  };
  for (int uploads = 1;; ++uploads) {
    HONE_ASSIGN_OR_RETURN(std::optional<v1::Model> known,
                          FindImported(client, request.display_name(), source.put.sha256));
    if (known.has_value()) {
      remove();  // what a command left that ended before it heard of its model
      return *std::move(known);
    }
    int cuts = 0;
    HONE_RETURN_IF_ERROR(PutFileShown(client, source.put, shown, cuts).status());
    absl::StatusOr<v1::Model> model = Ask(client, request);
    // Somebody else has imported the same bytes meanwhile, and removed them.
    if (absl::IsNotFound(model.status()) && uploads < kMostUploads) {
      continue;
    }
    // After anything else the same command goes on from what has arrived.
    if (model.ok() || absl::IsInvalidArgument(model.status())) {
      remove();
    }
    return model;
  }
}

std::string NextStep(const v1::Model& model) {
  return model.task() == "language_modeling"
             ? absl::StrCat("hone generate ", model.name(), " --prompt …")
             : absl::StrCat("hone predict ", model.name(), " --text …");
}

int ImportModel(const ImportOptions& options, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<v1::Model> model = ImportFrom(*client, options, !globals.json);
  if (!model.ok()) {
    return Fail(model.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*model);
  } else {
    std::printf("%s  %s  %s\n next: %s\n", model->name().c_str(), model->display_name().c_str(),
                Bytes(model->bytes()).c_str(), NextStep(*model).c_str());
  }
  return kSuccess;
}

}  // namespace

void AddModelImport(CLI::App& models, Globals& globals) {
  const auto options = std::make_shared<ImportOptions>();
  CLI::App* command =
      AddCommand(models, globals, "import",
                 "Make a model of a checkpoint in Hugging Face's form; an interrupted import "
                 "continues where it stopped.",
                 [options, &globals] { return ImportModel(*options, globals); });
  command->add_option("PATH", options->path, "the checkpoint's folder, or a .tar or .tar.gz of it")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("--base", options->base,
                      "where PATH is the folder of an adapter of peft's: that of the checkpoint "
                      "that it stands on");
  command->add_option("--name", options->name,
                      "what the model is called; default: the folder's name");
}

}  // namespace hone::client::cli
