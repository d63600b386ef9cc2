#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/model_name.h"
#include "client/cli/models_export.h"
#include "client/cli/plan_table.h"
#include "client/cli/render.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

constexpr char kModel[] = "models/<id>, the id alone, or a name, of which the newest is meant";

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
  const absl::StatusOr<v1::Model> model = GetServerModel(*client, name);
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

int DeleteModel(const std::string& name, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<std::string> found = FindOnlyServerModel(*client, name);
  const absl::Status status = found.ok() ? client->DeleteModel(*found) : found.status();
  if (!status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(v1::DeleteModelResponse());
  } else {
    std::printf("%s is deleted\n", found->c_str());
  }
  return kSuccess;
}

// Changes what the request's mask names of the model that a person names so.
absl::StatusOr<v1::Model> UpdateNamed(const std::string& name, v1::UpdateModelRequest request,
                                      const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  HONE_ASSIGN_OR_RETURN(*request.mutable_model()->mutable_name(), FindServerModel(*client, name));
  return client->UpdateModel(request);
}

int PinModel(const std::string& name, bool pinned, const Globals& globals) {
  v1::UpdateModelRequest request;
  request.mutable_model()->set_pinned(pinned);
  request.mutable_update_mask()->add_paths("pinned");
  const absl::StatusOr<v1::Model> model = UpdateNamed(name, std::move(request), globals);
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
  request.mutable_model()->set_display_name(display_name);
  request.mutable_update_mask()->add_paths("display_name");
  const absl::StatusOr<v1::Model> model = UpdateNamed(name, std::move(request), globals);
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
  AddCommand(*models, globals, "show", "One model: its files, numbers and layers.",
             [name, &globals] { return Show(*name, globals); })
      ->add_option("MODEL", *name, kModel)
      ->required();
  AddCommand(*models, globals, "delete", "Remove a model and its files; its job stays.",
             [name, &globals] { return DeleteModel(*name, globals); })
      ->add_option("MODEL", *name, "models/<id>, the id alone, or a name that no other model has")
      ->required();
  for (const bool pinned : {true, false}) {
    AddCommand(*models, globals, pinned ? "pin" : "unpin",
               pinned ? "Keep a model, whatever the server's limits say."
                      : "Let the server's limits remove a model again.",
               [name, pinned, &globals] { return PinModel(*name, pinned, globals); })
        ->add_option("MODEL", *name, kModel)
        ->required();
  }
  const auto display_name = std::make_shared<std::string>();
  CLI::App* rename = AddCommand(
      *models, globals, "rename", "Give a model another display name; its id stays.",
      [name, display_name, &globals] { return RenameModel(*name, *display_name, globals); });
  rename->add_option("MODEL", *name, kModel)->required();
  rename->add_option("NAME", *display_name, "the new name")->required();
  AddModelsExport(*models, globals);
  AddModelImport(*models, globals);
}

}  // namespace hone::client::cli
