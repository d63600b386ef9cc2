#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/data_put.h"
#include "client/cli/live_view.h"
#include "client/cli/render.h"
#include "client/errors.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::client::cli {
namespace {

int Put(const std::string& name, const std::string& path, const Globals& globals) {
  const absl::StatusOr<v1::Dataset::Format> format = FormatOf(path);
  if (!format.ok()) {
    return Fail(format.status(), globals);
  }
  const std::unique_ptr<Client> client = globals.Connect();
  int cuts = 0;
  const absl::StatusOr<v1::Dataset> dataset = PutFileShown(
      *client, {.dataset_id = name, .path = path, .format = *format}, !globals.json, cuts);
  if (!dataset.ok()) {
    return Fail(dataset.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*dataset);
    return kSuccess;
  }
  std::printf("%s  %s  SHA-256 %s%s\n next: hone data check %s\n", dataset->name().c_str(),
              Bytes(dataset->bytes()).c_str(), dataset->sha256().c_str(),
              cuts > 0 ? absl::StrCat("  (went on after ", cuts, " cuts)").c_str() : "",
              name.c_str());
  return kSuccess;
}

int List(const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListDatasetsRequest request;
  v1::ListDatasetsResponse all;
  do {
    request.set_page_size(1000);
    const absl::StatusOr<v1::ListDatasetsResponse> page = client->ListDatasets(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    all.mutable_datasets()->MergeFrom(page->datasets());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (globals.json) {
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {{"data set", "format", ">size", "SHA-256"}};
  for (const v1::Dataset& dataset : all.datasets()) {
    rows.push_back({dataset.name(), v1::Dataset::Format_Name(dataset.format()),
                    absl::StrCat(">", Bytes(dataset.bytes())), dataset.sha256().substr(0, 12)});
  }
  if (all.datasets().empty()) {
    std::printf("no data sets\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

void PrintReport(const v1::DatasetReport& report) {
  std::printf("%s, %lld examples of [%s]\n", report.format().c_str(),
              static_cast<long long>(report.examples()),
              absl::StrJoin(report.shape(), ", ").c_str());
  std::vector<std::vector<std::string>> classes = {{"class", ">examples"}};
  for (const v1::ClassCount& count : report.classes()) {
    classes.push_back({count.name(), absl::StrCat(">", count.examples())});
  }
  if (classes.size() > 1) {
    PrintLines(Table(classes));
  }
  std::vector<std::vector<std::string>> rows = {{report.columns().begin(), report.columns().end()}};
  for (const v1::DatasetReport::Row& row : report.rows()) {
    rows.emplace_back(row.cells().begin(), row.cells().end());
  }
  if (rows.size() > 1) {
    PrintLines(Table(rows));
  }
  for (const std::string& note : report.notes()) {
    std::printf("%s\n", note.c_str());
  }
}

// 2 where the data are wrong, as for every wrong input.
int Tell(const absl::StatusOr<v1::DatasetReport>& report, const Globals& globals) {
  if (!report.ok()) {
    return Fail(report.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*report);
  } else if (report->valid()) {
    PrintReport(*report);
  }
  if (report->valid()) {
    return kSuccess;
  }
  for (const v1::DatasetProblem& problem : report->problems()) {
    std::fprintf(stderr, "hone: %s: %s\n", problem.file().c_str(), problem.text().c_str());
  }
  return kUsage;
}

// Has the server read the data set and waits for what it finds. Ctrl-C ends the waiting, not the
// reading: the same command comes back to it.
absl::StatusOr<v1::DatasetReport> Validate(Client& client, const std::string& name, int rows) {
  constexpr absl::Duration kMostPause = absl::Seconds(2);
  constexpr absl::Duration kPatience = absl::Seconds(30);  // while the server is away
  absl::StatusOr<v1::DatasetValidation> validation = client.ValidateDataset(name, rows);
  absl::Duration pause = absl::Milliseconds(20);
  absl::Duration heard = SteadyNow();
  while (validation.ok() && validation->state() == v1::DatasetValidation::RUNNING) {
    client.Wait(pause);
    pause = std::min(2 * pause, kMostPause);
    absl::StatusOr<v1::DatasetValidation> now = client.GetDatasetValidation(name, rows);
    if (absl::IsNotFound(now.status())) {
      now = client.ValidateDataset(name, rows);  // the server was started again: it begins anew
    }
    if (IsBrokenLine(now.status()) && SteadyNow() - heard < kPatience) {
      continue;
    }
    heard = SteadyNow();
    validation = std::move(now);
  }
  HONE_RETURN_IF_ERROR(validation.status());
  if (validation->state() != v1::DatasetValidation::DONE) {
    return absl::InternalError(validation->message());
  }
  return std::move(*validation->mutable_report());
}

int Show(const std::string& name, int rows, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const absl::StatusOr<v1::Dataset> dataset = client->GetDataset(ResourceName("datasets", name));
  if (!dataset.ok()) {
    return Fail(dataset.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*dataset);
  } else {
    std::printf("%s  %s  %s\nSHA-256 %s\n", dataset->name().c_str(),
                v1::Dataset::Format_Name(dataset->format()).c_str(),
                Bytes(dataset->bytes()).c_str(), dataset->sha256().c_str());
  }
  return Tell(Validate(*client, dataset->name(), rows), globals);
}

int Check(const std::string& name, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  return Tell(Validate(*client, ResourceName("datasets", name), 0), globals);
}

int Delete(const std::string& name, bool force, const Globals& globals) {
  const std::string resource = ResourceName("datasets", name);
  if (const absl::Status status = globals.Connect()->DeleteDataset(resource, force); !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(v1::DeleteDatasetResponse());
  } else {
    std::printf("%s deleted\n", resource.c_str());
  }
  return kSuccess;
}

}  // namespace

void AddData(CLI::App& app, Globals& globals) {
  CLI::App* data = app.add_subcommand("data", "The server's data sets.");
  data->require_subcommand(1);
  data->fallthrough();
  const auto name = std::make_shared<std::string>();
  const auto path = std::make_shared<std::string>();
  const auto rows = std::make_shared<int>(5);
  const auto force = std::make_shared<bool>(false);
  CLI::App* put = AddCommand(*data, globals, "put",
                             "Upload a file; an interrupted upload continues where it stopped.",
                             [name, path, &globals] { return Put(*name, *path, globals); });
  put->add_option("NAME", *name, "what jobs call it: `data.dataset`")->required();
  put->add_option(
         "PATH", *path,
         "a table (.csv, .tsv, .data), JSON lines (.jsonl) or an archive (.tar), also gzipped")
      ->required()
      ->check(CLI::ExistingPath);
  AddCommand(*data, globals, "list", "The newest data sets first.",
             [&globals] { return List(globals); });
  CLI::App* show = AddCommand(*data, globals, "show", "One data set: its size and what is in it.",
                              [name, rows, &globals] { return Show(*name, *rows, globals); });
  show->add_option("DATASET", *name, "datasets/<name>, or the name alone")->required();
  show->add_option("--rows", *rows, "rows of a table that are shown")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  AddCommand(*data, globals, "check", "Read all of it: the first 20 errors, each with its line.",
             [name, &globals] { return Check(*name, globals); })
      ->add_option("DATASET", *name, "datasets/<name>, or the name alone")
      ->required();
  CLI::App* remove = AddCommand(*data, globals, "delete", "Delete a data set that no job needs.",
                                [name, force, &globals] { return Delete(*name, *force, globals); });
  remove->add_option("DATASET", *name, "datasets/<name>, or the name alone")->required();
  remove->add_flag("--force", *force,
                   "even if jobs need it: they keep the bytes until they have ended");
}

}  // namespace hone::client::cli
