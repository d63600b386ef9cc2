#include "client/cli/handbook.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <cstring>
#include <deque>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/contexts.h"
#include "engine/base/files.h"
#include "server/command_line/completion.h"
#include "server/command_line/manual.h"

namespace hone::client::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
namespace command_line = server::command_line;

constexpr int kMostNames = 100;
constexpr absl::Duration kPatience = absl::Seconds(1);

std::string StateName(v1::Job::State state) {
  return absl::AsciiStrToLower(v1::Job::State_Name(state));
}

void AddJobs(Client& client, command_line::Completion& found) {
  v1::ListJobsRequest request;
  request.set_page_size(kMostNames);
  if (const absl::StatusOr<v1::ListJobsResponse> jobs = client.ListJobs(request); jobs.ok()) {
    for (const v1::Job& job : jobs->jobs()) {
      found.words.push_back(
          {job.name(), absl::StrCat(job.display_name(), ", ", StateName(job.state()))});
    }
  }
}

void AddModels(Client& client, command_line::Completion& found) {
  v1::ListModelsRequest request;
  request.set_page_size(kMostNames);
  if (const absl::StatusOr<v1::ListModelsResponse> models = client.ListModels(request);
      models.ok()) {
    for (const v1::Model& model : models->models()) {
      found.words.push_back({model.name(), model.display_name()});
    }
  }
}

void AddDatasets(Client& client, command_line::Completion& found) {
  v1::ListDatasetsRequest request;
  request.set_page_size(kMostNames);
  if (const absl::StatusOr<v1::ListDatasetsResponse> datasets = client.ListDatasets(request);
      datasets.ok()) {
    for (const v1::Dataset& dataset : datasets->datasets()) {
      found.words.push_back({dataset.name()});
    }
  }
}

void AddSweepNames(Client& client, command_line::Completion& found) {
  v1::ListSweepsRequest request;
  request.set_page_size(kMostNames);
  if (const absl::StatusOr<v1::ListSweepsResponse> sweeps = client.ListSweeps(request);
      sweeps.ok()) {
    for (const v1::Sweep& sweep : sweeps->sweeps()) {
      found.words.push_back({sweep.name()});
    }
  }
}

// The names of a server, which the options in `given` tell of. What it does not say in time is
// left out without a word.
void AskServer(const std::vector<std::string>& given,
               void (*ask)(Client&, command_line::Completion&), command_line::Completion& found) {
  CLI::App app(kProgram, "hone");
  Globals globals;
  Declare(app, globals);
  app.require_subcommand(0);
  globals.access.patience = kPatience;
  try {
    app.parse(std::vector<std::string>(given.rbegin(), given.rend()));
    ask(*globals.Connect(), found);
  } catch (const CLI::Error&) {
  }
}

void AddContexts(command_line::Completion& found) {
  const absl::StatusOr<std::string> folder = ConfigFolder();
  const absl::StatusOr<Contexts> contexts =
      folder.ok() ? ReadContexts(*folder) : absl::StatusOr<Contexts>(folder.status());
  if (contexts.ok()) {
    for (const auto& [name, context] : contexts->all) {
      found.words.push_back({name, context.server});
    }
  }
}

bool Ask(const std::string& what, const std::vector<std::string>& given,
         command_line::Completion& found) {
  if (what == "CONTEXT" || what == "context") {
    AddContexts(found);
  } else if (what == "JOB") {
    AskServer(given, &AddJobs, found);
  } else if (what == "SWEEP") {
    AskServer(given, &AddSweepNames, found);
  } else if (what == "DATASET") {
    AskServer(given, &AddDatasets, found);
  } else if (what == "MODEL" || what == "against" || what == "base") {
    AskServer(given, &AddModels, found);
    found.files = true;  // a model's folder
  } else if (what == "state") {
    for (int i = v1::Job::State_MIN + 1; i <= v1::Job::State_MAX; ++i) {
      found.words.push_back({StateName(static_cast<v1::Job::State>(i))});
    }
  } else {
    // What nobody can know, and what is no file.
    static const std::set<std::string> kTexts = {
        "server", "project", "label", "remove-label", "name",   "NAME", "task",  "request-id",
        "set",    "text",    "text2", "prompt",       "system", "user", "class", "metric"};
    return kTexts.contains(what);
  }
  return true;
}

std::string ManualOfHone(const CLI::App& app) {
  command_line::Page page{.name = "hone",
                          .version = HONE_VERSION,
                          .title = "trains and fine-tunes neural networks on CPUs",
                          .synopsis = "hone [OPTIONS] COMMAND [ARGUMENTS]"};
  page.before.push_back(
      {.heading = "DESCRIPTION",
       .text = "hone trains neural networks here (hone run) or gives them to a server, honed(8) "
               "(hone submit), shows how they learn, and tries what they have learned. What is to "
               "be trained stands in a job file; hone-job-file(5) has its fields.\n\n"
               "The options of the program are taken before and after the command. Each is what "
               "its flag says, else what its variable says, else what the context says, else the "
               "default. The context is the one that --context names, else HONE_CONTEXT, else the "
               "current one of config.yaml; where --server or HONE_SERVER names a server and no "
               "context is named, no context counts."});
  page.after.push_back(
      {.heading = "EXIT STATUS",
       .terms = {{"0", "Success; a job that was followed has succeeded."},
                 {"1", "A job failed, or something else went wrong on the way."},
                 {"2", "A wrong command line or job file, or a name that does not exist."},
                 {"3", "The server cannot be reached."},
                 {"4", "Cancelled, or interrupted by Ctrl-C."}}});
  page.after.push_back(
      {.heading = "FILES",
       .terms = {{"$XDG_CONFIG_HOME/hone/config.yaml",
                  "The contexts; without the variable in ~/.config/hone. Only its owner may change "
                  "it."},
                 {"$XDG_CONFIG_HOME/hone/tokens/",
                  "The tokens that hone login keeps, a file for each context. Others may not read "
                  "them."},
                 {"hone-runs/", "The folders of hone run, with checkpoints and models."}}});
  page.after.push_back({.heading = "EXAMPLES",
                        .text =
                            "Train here, then ask the model:\n"
                            "    hone run mnist-cnn.yaml\n"
                            "    hone predict hone-runs/mnist-cnn-1 seven.png\n"
                            "The same on a server, and everything that it does:\n"
                            "    hone config set-context lab --server lab.example.org:50051 --tls\n"
                            "    hone --context lab login\n"
                            "    hone submit mnist-cnn.yaml --follow\n"
                            "    hone top\n"});
  page.see_also = {"hone-job-file(5)", "honed(8)", "hone-worker(8)"};
  return command_line::ManualPage(
      page, command_line::TreeText(app) +
                command_line::EnvironmentText(
                    app, {{"HONE_TOKEN", "The token that says who you are; see --token-file."},
                          {"HONE_DATA_DIR", "Data sets are looked for here before the network."},
                          {"HONE_CACHE_DIR",
                           "Where downloaded data sets are kept; else "
                           "XDG_CACHE_HOME/hone, else ~/.cache/hone."},
                          {"NO_COLOR", "If it is not empty, nothing has a colour."},
                          {"TRACEPARENT", "The trace (W3C) that calls of the server belong to."}}));
}

// The comment of a field or a value, in one paragraph.
template <typename Of>
std::string CommentOf(const Of& of) {
  google::protobuf::SourceLocation where;
  if (!of.GetSourceLocation(&where)) {
    return "";
  }
  const std::string text = absl::StrCat(where.leading_comments, where.trailing_comments);
  std::vector<absl::string_view> lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StripAsciiWhitespace(line).empty()) {
      lines.push_back(absl::StripAsciiWhitespace(line));
    }
  }
  return absl::StrJoin(lines, " ");
}

std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    return absl::StrCat("map of ", field.message_type()->map_value()->type_name());
  }
  std::string type = field.type_name();
  if (field.message_type() != nullptr) {
    type = field.message_type()->name();
  } else if (field.enum_type() != nullptr) {
    std::vector<std::string> values;
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      const EnumValueDescriptor& value = *field.enum_type()->value(i);
      if (!absl::EndsWith(value.name(), "_UNSPECIFIED")) {
        values.push_back(value.name());
      }
    }
    type = absl::StrJoin(values, " | ");
  }
  return field.is_repeated() ? absl::StrCat("list of ", type) : type;
}

// One section for each message that a job file can have in it, in the order of their first use.
std::string FieldsText(const Descriptor& first) {
  std::string text;
  std::deque<const Descriptor*> open = {&first};
  std::set<const Descriptor*> seen = {&first};
  while (!open.empty()) {
    const Descriptor& message = *open.front();
    open.pop_front();
    absl::StrAppend(&text, ".SS ", command_line::Escape(message.name()), "\n");
    if (const std::string comment = CommentOf(message); !comment.empty()) {
      absl::StrAppend(&text, command_line::Escape(comment), "\n");
    }
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      const std::string comment = CommentOf(field);
      absl::StrAppend(&text, ".TP\n\\fB", command_line::Escape(field.name()), "\\fR: \\fI",
                      command_line::Escape(TypeOf(field)), "\\fR\n",
                      comment.empty() ? "See its type." : command_line::Escape(comment), "\n");
      const Descriptor* inner = field.message_type();
      if (inner != nullptr && !field.is_map() && seen.insert(inner).second) {
        open.push_back(inner);
      }
    }
  }
  return absl::StrCat(".SH FIELDS\n", text);
}

absl::StatusOr<std::string> ManualOfJobFile(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, int64_t{64} << 20);
  if (!bytes.ok()) {
    return bytes.status();
  }
  google::protobuf::FileDescriptorSet files;
  google::protobuf::DescriptorPool pool;
  if (!files.ParseFromString(*bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must be a set of descriptors"));
  }
  for (const google::protobuf::FileDescriptorProto& file : files.file()) {
    if (pool.BuildFile(file) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", file.name(), " does not fit"));
    }
  }
  const Descriptor* const job = pool.FindMessageTypeByName("hone.v1.JobSpec");
  if (job == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must have hone.v1.JobSpec"));
  }
  command_line::Page page{.name = "hone-job-file",
                          .section = 5,
                          .version = HONE_VERSION,
                          .title = "what is to be trained, on what, and how"};
  page.before.push_back(
      {.heading = "DESCRIPTION",
       .text =
           "A job file is the JSON form of hone.v1.JobSpec, written as YAML or JSON. It is what "
           "hone run, hone plan and hone submit read. Unknown keys are errors with line and "
           "column. The shortest useful one, a regression on a table:\n"
           "    regression: {}\n"
           "    data: {path: prices.csv}\n"
           "    model:\n"
           "      layers:\n"
           "        - dense: {units: 64, activation: RELU}\n"
           "        - dense: {units: 1}\n"
           "    training: {epochs: 20}\n"
           "A field is changed on the command line by --set, as in --set training.epochs=1. "
           "Beside the fields below, data.path names a file or a folder here, and "
           "model.pretrained.path a model's folder; hone submit uploads what they name."});
  page.see_also = {"hone(1)", "honed(8)"};
  return command_line::ManualPage(page, FieldsText(*job));
}

int PrintManual(const CLI::App& app, int argc, const char* const* argv) {
  absl::StatusOr<std::string> page =
      argc == 3 && std::strcmp(argv[2], "hone") == 0 ? ManualOfHone(app)
      : argc == 4 && std::strcmp(argv[2], "job-file") == 0
          ? ManualOfJobFile(argv[3])
          : absl::InvalidArgumentError("usage: hone __man hone | job-file DESCRIPTORS");
  if (!page.ok()) {
    std::fprintf(stderr, "hone: %s\n", std::string(page.status().message()).c_str());
    return kUsage;
  }
  std::fputs(page->c_str(), stdout);
  return kSuccess;
}

}  // namespace

std::optional<int> TellShell(const CLI::App& app, int argc, const char* const* argv) {
  const absl::string_view asked = argc > 1 ? argv[1] : "";
  if (asked == "__complete" && argc > 2) {
    std::fputs(command_line::CompletionText(argv[2], app,
                                            std::vector<std::string>(argv + 3, argv + argc), &Ask)
                   .c_str(),
               stdout);
    return kSuccess;
  }
  if (asked == "__man") {
    return PrintManual(app, argc, argv);
  }
  return std::nullopt;
}

void AddCompletion(CLI::App& app, Globals& globals) {
  const auto shell = std::make_shared<std::string>();
  AddCommand(app, globals, "completion",
             "Print what a shell reads to complete command lines: source <(hone completion bash)",
             [shell] {
               std::fputs(command_line::CompletionScript(*shell, "hone").c_str(), stdout);
               return kSuccess;
             })
      ->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(command_line::kShells),
                                                     std::end(command_line::kShells))));
}

}  // namespace hone::client::cli
