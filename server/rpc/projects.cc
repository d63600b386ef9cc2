// Projects: what each has, and may have.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "server/jobs/job.h"
#include "server/jobs/reason.h"
#include "server/rpc/calls.h"
#include "server/store/project_store.h"

namespace hone::server::rpc {
namespace {

using Shares = v1::Project::Shares;

constexpr int kMostMaskPaths = 32;
constexpr int64_t kMostShare = int64_t{1} << 50;
constexpr double kLeastCalls = 0.01, kMostCalls = 1e6;
constexpr double kLeastWeight = 0.01, kMostWeight = 100;

Shares ToProto(const store::Shares& shares) {
  Shares proto;
  proto.set_queued_jobs(shares.queued_jobs);
  proto.set_running_jobs(shares.running_jobs);
  proto.set_threads(shares.threads);
  proto.set_memory_bytes(shares.memory_bytes);
  proto.set_dataset_bytes(shares.dataset_bytes);
  proto.set_model_bytes(shares.model_bytes);
  proto.set_checkpoint_bytes(shares.checkpoint_bytes);
  proto.set_calls_per_second(shares.calls_per_second);
  proto.set_weight(shares.weight);
  return proto;
}

store::Shares FromProto(const Shares& proto) {
  return {.queued_jobs = proto.queued_jobs(),
          .running_jobs = proto.running_jobs(),
          .threads = proto.threads(),
          .memory_bytes = proto.memory_bytes(),
          .dataset_bytes = proto.dataset_bytes(),
          .model_bytes = proto.model_bytes(),
          .checkpoint_bytes = proto.checkpoint_bytes(),
          .calls_per_second = proto.calls_per_second(),
          .weight = proto.weight()};
}

v1::Project ToProto(const store::Project& project, const store::ProjectUse& use) {
  v1::Project proto;
  proto.set_name(store::ProjectName(project.name));
  *proto.mutable_shares() = ToProto(project.shares);
  proto.mutable_use()->set_queued_jobs(use.queued_jobs);
  proto.mutable_use()->set_running_jobs(use.running_jobs);
  proto.mutable_use()->set_threads(use.threads);
  proto.mutable_use()->set_memory_bytes(use.memory_bytes);
  proto.mutable_use()->set_dataset_bytes(use.dataset_bytes);
  proto.mutable_use()->set_model_bytes(use.model_bytes);
  proto.mutable_use()->set_checkpoint_bytes(use.checkpoint_bytes);
  if (project.created != absl::InfinitePast()) {
    *proto.mutable_create_time() = jobs::ToTimestamp(project.created);
  }
  return proto;
}

std::vector<std::string> ShareNames() {
  std::vector<std::string> names;
  for (int i = 0; i < Shares::descriptor()->field_count(); ++i) {
    names.push_back(Shares::descriptor()->field(i)->name());
  }
  return names;
}

absl::Status NoSuchShare(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat("update_mask: must name some of shares.",
                                                 absl::StrJoin(ShareNames(), ", shares."),
                                                 ", got \"", CutUtf8(path, 80), "\""));
}

// The shares that a mask names; "shares" are all of them.
absl::StatusOr<std::vector<std::string>> NamesOf(const google::protobuf::FieldMask& mask) {
  if (mask.paths_size() > kMostMaskPaths) {
    return absl::InvalidArgumentError(absl::StrCat("update_mask: must be at most ", kMostMaskPaths,
                                                   " paths, got ", mask.paths_size()));
  }
  std::vector<std::string> names;
  for (const std::string& path : mask.paths()) {
    absl::string_view name = path;
    if (path == "shares") {
      names = ShareNames();
    } else if (absl::ConsumePrefix(&name, "shares.") &&
               Shares::descriptor()->FindFieldByName(std::string(name)) != nullptr) {
      names.emplace_back(name);
    } else {
      return NoSuchShare(path);
    }
  }
  if (names.empty()) {
    return NoSuchShare("");
  }
  return names;
}

absl::Status CheckShares(const Shares& shares, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto* const field = Shares::descriptor()->FindFieldByName(name);
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      const int64_t value = Shares::GetReflection()->GetInt64(shares, field);
      if (value < 0 || value > kMostShare) {
        return absl::InvalidArgumentError(absl::StrCat("project.shares.", name,
                                                       ": must be between 0 (no limit) and ",
                                                       kMostShare, ", got ", value));
      }
    }
    const double calls = shares.calls_per_second(), weight = shares.weight();
    if (name == "calls_per_second" && calls != 0 &&
        !(calls >= kLeastCalls && calls <= kMostCalls)) {
      return absl::InvalidArgumentError(
          absl::StrCat("project.shares.calls_per_second: must be 0 (no limit) or between ",
                       kLeastCalls, " and ", kMostCalls, ", got ", calls));
    }
    if (name == "weight" && !(weight >= kLeastWeight && weight <= kMostWeight)) {
      return absl::InvalidArgumentError(absl::StrCat("project.shares.weight: must be between ",
                                                     kLeastWeight, " and ", kMostWeight, ", got ",
                                                     weight));
    }
  }
  return absl::OkStatus();
}

absl::Status NoSuchProject(const std::string& name) {
  return jobs::WithReason(
      absl::NotFoundError(absl::StrCat("there is no project ", store::ProjectName(name))),
      jobs::reason::kProjectNotFound);
}

absl::StatusOr<v1::Project> Read(const store::Project& project, const Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const store::ProjectUse use, deps.store.projects().Use(project.name));
  return ToProto(project, use);
}

}  // namespace

absl::StatusOr<v1::ListProjectsResponse> ListProjects(const v1::ListProjectsRequest&,
                                                      const access::Caller&, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::vector<store::Project> all, deps.store.projects().All());
  v1::ListProjectsResponse response;
  for (const store::Project& project : all) {
    HONE_ASSIGN_OR_RETURN(*response.add_projects(), Read(project, deps));
  }
  return response;
}

absl::StatusOr<v1::Project> GetProject(const v1::GetProjectRequest& request,
                                       const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string name, store::ProjectOfName(request.name()));
  // Who may not look at another one is told the same of one that is there and of one that is not.
  if (name != caller.project && caller.role < access::Role::kAdmin) {
    return NoSuchProject(name);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<store::Project> all, deps.store.projects().All());
  const auto found = std::ranges::find(all, name, &store::Project::name);
  if (found != all.end()) {
    return Read(*found, deps);
  }
  // The caller's own is there for the caller, before anything belongs to it.
  return name == caller.project ? absl::StatusOr<v1::Project>(ToProto({.name = name}, {}))
                                : NoSuchProject(name);
}

void UpdateProject(const v1::UpdateProjectRequest& request, Deps& deps, Done<v1::Project> done) {
  const absl::StatusOr<std::string> name = store::ProjectOfName(request.project().name());
  if (!name.ok()) {
    return done(name.status());
  }
  absl::StatusOr<std::vector<std::string>> names = NamesOf(request.update_mask());
  if (!names.ok()) {
    return done(names.status());
  }
  if (const absl::Status status = CheckShares(request.project().shares(), *names); !status.ok()) {
    return done(status);
  }
  deps.projects.SetShares(
      *name,
      [asked = request.project().shares(), names = *std::move(names)](store::Shares& shares) {
        Shares changed = ToProto(shares);
        const auto* const reflection = Shares::GetReflection();
        for (const std::string& one : names) {
          const auto* const field = Shares::descriptor()->FindFieldByName(one);
          if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
            reflection->SetInt64(&changed, field, reflection->GetInt64(asked, field));
          } else {
            reflection->SetDouble(&changed, field, reflection->GetDouble(asked, field));
          }
        }
        shares = FromProto(changed);
        return absl::OkStatus();
      },
      absl::Now(),
      [&deps, done = std::move(done)](const absl::StatusOr<store::Project>& set) {
        if (!set.ok()) {
          return done(set.status());
        }
        deps.scheduler.Wake();  // jobs that waited for a share may run now
        // Read on another thread: this is the store's writer.
        if (!deps.lists.Submit([&deps, done, project = *set] { done(Read(project, deps)); })) {
          done(ToProto(*set, {}));
        }
      });
}

}  // namespace hone::server::rpc
