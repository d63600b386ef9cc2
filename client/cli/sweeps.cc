#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/render.h"
#include "client/cli/sweep_view.h"
#include "client/cli/sweep_watch.h"

namespace hone::client::cli {
namespace {

std::string When(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? ""
             : absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                                absl::LocalTimeZone());
}

std::string Best(const v1::Sweep& sweep) {
  const std::string& metric = sweep.spec().objective().metric();
  return sweep.best_trial() == 0
             ? ""
             : absl::StrCat("trial ", sweep.best_trial(), ", ", MetricLabel(metric), " ",
                            MetricText(metric, sweep.best_objective()));
}

int List(int limit, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  v1::ListSweepsRequest request;
  v1::ListSweepsResponse all;
  do {
    request.set_page_size(std::min(limit - all.sweeps_size(), 1000));
    const absl::StatusOr<v1::ListSweepsResponse> page = client->ListSweeps(request);
    if (!page.ok()) {
      return Fail(page.status(), globals);
    }
    all.mutable_sweeps()->MergeFrom(page->sweeps());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && all.sweeps_size() < limit);
  all.set_next_page_token(request.page_token());
  if (globals.json) {
    PrintJsonLine(all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {
      {"sweep", "name", "state", "created", ">trials", "best"}};
  for (const v1::Sweep& sweep : all.sweeps()) {
    rows.push_back(
        {sweep.name(), sweep.display_name(),
         absl::AsciiStrToLower(v1::Sweep::State_Name(sweep.state())), When(sweep.create_time()),
         absl::StrCat(">", sweep.trials_ended(), " of ", sweep.trials_total()), Best(sweep)});
  }
  if (all.sweeps().empty()) {
    std::printf("no sweeps\n");
  } else {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

int Show(const std::string& name, int most, const Globals& globals) {
  const absl::StatusOr<v1::Sweep> sweep = globals.Connect()->GetSweep(ResourceName("sweeps", name));
  if (!sweep.ok()) {
    return Fail(sweep.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*sweep);
  } else {
    PrintLines(RenderSweep(*sweep, static_cast<size_t>(most), Screen::Of(stdout).width()));
  }
  return kSuccess;
}

int Cancel(const std::string& name, const Globals& globals) {
  const absl::StatusOr<v1::Sweep> sweep =
      globals.Connect()->CancelSweep(ResourceName("sweeps", name));
  if (!sweep.ok()) {
    return Fail(sweep.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*sweep);
  } else {
    std::printf("%s is %s\n", sweep->name().c_str(),
                absl::AsciiStrToLower(v1::Sweep::State_Name(sweep->state())).c_str());
  }
  return kSuccess;
}

int Delete(const std::string& name, const Globals& globals) {
  const std::string full = ResourceName("sweeps", name);
  if (const absl::Status status = globals.Connect()->DeleteSweep(full); !status.ok()) {
    return Fail(status, globals);
  }
  if (globals.json) {
    PrintJsonLine(v1::DeleteSweepResponse());
  } else {
    std::printf("%s is deleted; its jobs stay\n", full.c_str());
  }
  return kSuccess;
}

}  // namespace

void AddSweeps(CLI::App& app, Globals& globals) {
  CLI::App* sweeps = app.add_subcommand("sweeps", "The server's sweeps.");
  sweeps->require_subcommand(1);
  sweeps->fallthrough();
  const auto limit = std::make_shared<int>(50);
  AddCommand(*sweeps, globals, "list", "The newest sweeps first.",
             [limit, &globals] { return List(*limit, globals); })
      ->add_option("--limit", *limit, "at most so many")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  const auto name = std::make_shared<std::string>();
  const auto most = std::make_shared<int>(50);
  const auto add = [&](const char* verb, const char* help, std::function<int()> body) {
    CLI::App* command = AddCommand(*sweeps, globals, verb, help, std::move(body));
    command->add_option("SWEEP", *name, "sweeps/<id>, or the id alone")->required();
    return command;
  };
  add("show", "Its trials, the best on top, and the objective over each axis.",
      [name, most, &globals] { return Show(*name, *most, globals); })
      ->add_option("--limit", *most, "at most so many trials")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add("watch", "Watch a sweep; it can be left (Ctrl-C) and watched again.", [name, &globals] {
    return WatchSweep(*globals.Connect(), ResourceName("sweeps", *name), globals);
  });
  add("cancel", "Begin no more trials and cancel those that run.",
      [name, &globals] { return Cancel(*name, globals); });
  add("delete", "Forget a sweep that has ended; its jobs and models stay.",
      [name, &globals] { return Delete(*name, globals); });
}

}  // namespace hone::client::cli
