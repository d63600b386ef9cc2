// `hone quota`: what projects have, and may have.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/text.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace hone::client::cli {
namespace {

using Shares = v1::Project::Shares;
using Use = v1::Project::Use;

// As it is written: a whole number without a point.
std::string Number(double value) { return absl::StrCat(value); }

std::string ShareText(const Shares& shares, const std::string& name) {
  const auto* const field = Shares::descriptor()->FindFieldByName(name);
  const bool whole = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64;
  const auto* const reflection = Shares::GetReflection();
  if (whole) {
    const int64_t value = reflection->GetInt64(shares, field);
    return value == 0 ? "no limit" : absl::StrCat(value);
  }
  const double value = reflection->GetDouble(shares, field);
  return value == 0 ? "no limit" : Number(value);
}

// "": it is not counted.
std::string UseText(const Use& use, const std::string& name) {
  const auto* const field = Use::descriptor()->FindFieldByName(name);
  return field == nullptr ? "" : absl::StrCat(Use::GetReflection()->GetInt64(use, field));
}

int Show(const absl::StatusOr<v1::Project>& project, const Globals& globals) {
  if (!project.ok()) {
    return Fail(project.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*project);
    return kSuccess;
  }
  std::printf("%s\n", project->name().c_str());
  std::vector<std::vector<std::string>> rows = {{"share", ">used", ">of"}};
  for (int i = 0; i < Shares::descriptor()->field_count(); ++i) {
    const std::string& name = Shares::descriptor()->field(i)->name();
    rows.push_back({absl::StrReplaceAll(name, {{"_", " "}}),
                    absl::StrCat(">", UseText(project->use(), name)),
                    absl::StrCat(">", ShareText(project->shares(), name))});
  }
  PrintLines(Table(rows));
  return kSuccess;
}

int List(const Globals& globals) {
  const absl::StatusOr<v1::ListProjectsResponse> all = globals.Connect()->ListProjects();
  if (!all.ok()) {
    return Fail(all.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*all);
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {
      {"project", ">queued", ">running", ">threads", ">data", ">models", ">weight"}};
  const auto of = [](int64_t used, int64_t share) {
    return share == 0 ? absl::StrCat(">", used) : absl::StrCat(">", used, " of ", share);
  };
  for (const v1::Project& project : all->projects()) {
    const Use& use = project.use();
    const Shares& shares = project.shares();
    rows.push_back(
        {project.name().substr(project.name().find('/') + 1),
         of(use.queued_jobs(), shares.queued_jobs()), of(use.running_jobs(), shares.running_jobs()),
         of(use.threads(), shares.threads()), of(use.dataset_bytes(), shares.dataset_bytes()),
         of(use.model_bytes(), shares.model_bytes()), absl::StrCat(">", Number(shares.weight()))});
  }
  PrintLines(Table(rows));
  return kSuccess;
}

}  // namespace

void AddQuota(CLI::App& app, Globals& globals) {
  CLI::App* const quota = app.add_subcommand("quota", "what projects have, and may have");
  quota->require_subcommand(1);
  quota->fallthrough();
  AddCommand(*quota, globals, "list", "all projects (for admins)",
             [&globals] { return List(globals); });

  const auto name = std::make_shared<std::string>();
  CLI::App* const show = AddCommand(
      *quota, globals, "show", "the shares of a project, and what it has of them",
      [&globals, name] {
        const std::string own =
            globals.access.project.empty() ? std::string("default") : globals.access.project;
        return Show(
            globals.Connect()->GetProject(ResourceName("projects", name->empty() ? own : *name)),
            globals);
      });
  show->add_option("project", *name, "its name; default: the one of --project, else default");

  const auto update = std::make_shared<v1::UpdateProjectRequest>();
  CLI::App* const set = AddCommand(
      *quota, globals, "set", "changes the shares of a project (for admins); 0: no limit",
      [&globals, update, name] {
        update->mutable_project()->set_name(ResourceName("projects", *name));
        return Show(globals.Connect()->UpdateProject(*update), globals);
      });
  set->add_option("project", *name, "its name; it is made if there is none")->required();
  for (const auto& [share, text] : std::vector<std::pair<std::string, std::string>>{
           {"queued_jobs", "jobs that may wait"},
           {"running_jobs", "jobs that may run at a time"},
           {"threads", "threads of its running jobs together"},
           {"memory_bytes", "memory of its running jobs together, by their plans"},
           {"dataset_bytes", "bytes of its data sets and uploads"},
           {"model_bytes", "bytes of its models, with which no new jobs are taken"},
           {"checkpoint_bytes", "bytes of its jobs' newest checkpoints, likewise"},
           {"calls_per_second", "calls a second of all its callers together"},
           {"weight", "its part of the machine beside other projects, 0.01 to 100"}}) {
    set->add_option_function<double>(
           absl::StrCat("--", absl::StrReplaceAll(share, {{"_", "-"}})),
           [update, share = share](const double& value) {
             Shares& shares = *update->mutable_project()->mutable_shares();
             const auto* const field = Shares::descriptor()->FindFieldByName(share);
             if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
               Shares::GetReflection()->SetInt64(&shares, field, static_cast<int64_t>(value));
             } else {
               Shares::GetReflection()->SetDouble(&shares, field, value);
             }
             update->mutable_update_mask()->add_paths(absl::StrCat("shares.", share));
           },
           text)
        ->check(CLI::Range(0.0, 1e15));
  }
}

}  // namespace hone::client::cli
