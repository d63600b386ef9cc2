#include "server/handbook.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "server/command_line/completion.h"
#include "server/command_line/manual.h"
#include "server/config/config.h"
#include "server/config/version.h"
#include "server/doctor/doctor.h"
#include "server/tokens/command.h"

namespace hone::server {
namespace {

// Each parses with command_line::Parse, so that it can tell of itself.
struct Command {
  absl::string_view name;
  int (*main)(int argc, const char* const* argv);
};
constexpr Command kCommands[] = {{"doctor", &doctor::Main}, {"token", &tokens::Main}};

const Command* Find(absl::string_view name) {
  const auto* const found = std::ranges::find(kCommands, name, &Command::name);
  return found == std::end(kCommands) ? nullptr : found;
}

int Usage(absl::string_view usage) {
  std::fprintf(stderr, "usage: honed %s\n", std::string(usage).c_str());
  return 2;
}

int PrintScript(int argc, const char* const* argv) {
  const std::string script =
      argc == 3 ? command_line::CompletionScript(argv[2], "honed") : std::string();
  if (script.empty()) {
    return Usage(absl::StrCat("completion ", absl::StrJoin(command_line::kShells, "|")));
  }
  std::fputs(script.c_str(), stdout);
  return 0;
}

// Words after a command are the command's.
std::optional<int> Complete(int argc, const char* const* argv) {
  const Command* const command = argc > 4 ? Find(argv[3]) : nullptr;
  if (command != nullptr) {
    std::vector<const char*> rest(argv, argv + argc);
    rest.erase(rest.begin() + 3);
    return command->main(static_cast<int>(rest.size()), rest.data());
  }
  if (argc == 4) {
    std::vector<absl::string_view> names = {"completion"};
    for (const Command& known : kCommands) {
      names.push_back(known.name);
    }
    for (const absl::string_view name : names) {
      if (absl::StartsWith(name, argv[3])) {
        std::printf("%s\t\n", std::string(name).c_str());
      }
    }
  }
  return std::nullopt;
}

int PrintWorkersPage() {
  command_line::Page page{.name = "hone-worker",
                          .section = 8,
                          .version = std::string(config::kVersion),
                          .title = "trains one job of honed or of hone run"};
  page.synopsis =
      "hone-worker train|plan|predict|dataset|import|serve|export --request FILE [--nice N]";
  page.before.push_back(
      {.heading = "DESCRIPTION",
       .text = "honed(8) and hone(1) start a process of this program for each job, plan, upload "
               "that is looked at, and loaded model. It is not for people: it takes a request in "
               "binary form, sends what happens to its descriptor 3, and ends when descriptor 4 "
               "does, which its parent holds.\n\n"
               "It has a limit of memory, writes only into the folder of its job (by Landlock, "
               "where the kernel has it), opens no connections unless it downloads a data set, "
               "gets no new privileges and leaves no core dump. SIGTERM asks it to write a "
               "checkpoint and to end."});
  page.after.push_back({.heading = "EXIT STATUS",
                        .terms = {{"0", "The work is done."},
                                  {"1", "It failed; descriptor 3 has told why."},
                                  {"2", "It was not started by honed or hone."}}});
  page.after.push_back(
      {.heading = "ENVIRONMENT",
       .terms = {{"TRACEPARENT", "The trace (W3C) of the call that has made the job."}}});
  page.see_also = {"honed(8)", "hone(1)"};
  std::fputs(command_line::ManualPage(page, "").c_str(), stdout);
  return 0;
}

// The commands tell of themselves, between what comes before them and what comes after.
int PrintServersPage(const std::string& tree) {
  command_line::Page page{.name = "honed",
                          .section = 8,
                          .version = std::string(config::kVersion),
                          .title = "queues and trains jobs of hone, and keeps the models"};
  page.synopsis = "honed --data-dir DIR [OPTIONS]";
  page.before.push_back(
      {.heading = "DESCRIPTION",
       .text = "honed takes job files over gRPC, queues them, runs each in a process of "
               "hone-worker(8), and keeps jobs, models and data sets in one folder. A job that it "
               "has accepted survives the death of the worker and of the server. SIGTERM, SIGINT "
               "and SIGHUP end it: running jobs write a checkpoint and go on at the next start.\n\n"
               "Each setting is taken from its flag, else from its variable, else from a line of "
               "the INI file that --config names, else it is the default."});
  const size_t end = tree.find(".SH ENVIRONMENT");
  page.after.push_back({.heading = "EXIT STATUS",
                        .terms = {{"0", "It was asked to end, and did."},
                                  {"1", "It could not start, or no longer take connections."},
                                  {"2", "A wrong command line or setting."}}});
  page.after.push_back(
      {.heading = "FILES",
       .terms = {{"DIR/store.db", "The queue, the jobs and their events, by SQLite."},
                 {"DIR/models/, DIR/datasets/", "The files of models and of uploaded data sets."},
                 {"DIR/runs/", "The folders of jobs, with their checkpoints."}}});
  page.after.push_back({.heading = "EXAMPLES",
                        .text = "    honed --data-dir /srv/hone\n"
                                "    honed token create --data-dir /srv/hone --name anna --role "
                                "submitter\n"});
  page.see_also = {"hone(1)", "hone-worker(8)", "hone-job-file(5)"};
  // One write for each part: the commands write to stdout themselves.
  const std::string whole = command_line::ManualPage(page, tree.substr(0, end) + "\x01");
  const size_t cut = whole.find('\x01');
  std::printf("%s.SH COMMANDS\n", whole.substr(0, cut).c_str());
  for (const Command& command : kCommands) {
    const char* const describe[] = {"honed", "__describe"};
    command.main(2, describe);
  }
  std::printf(
      ".SS honed completion\nPrint what a shell reads to complete command lines: bash, zsh "
      "or fish.\n%s%s",
      tree.substr(end).c_str(), whole.substr(cut + 1).c_str());
  return 0;
}

}  // namespace

std::optional<int> RunCommand(int argc, const char* const* argv) {
  const absl::string_view name = argc > 1 ? argv[1] : "";
  if (const Command* const command = Find(name); command != nullptr) {
    return command->main(argc - 1, argv + 1);
  }
  if (name == "completion") {
    return PrintScript(argc, argv);
  }
  if (name == "__complete") {
    return Complete(argc, argv);
  }
  if (name != "__man") {
    return std::nullopt;
  }
  if (argc == 3 && absl::string_view(argv[2]) == "worker") {
    return PrintWorkersPage();
  }
  const auto parsed = config::Parse(argc, argv);
  if (argc != 3 || absl::string_view(argv[2]) != "honed" || !parsed.ok()) {
    return Usage("__man honed | worker");
  }
  return PrintServersPage(parsed->text.value_or(""));
}

}  // namespace hone::server
