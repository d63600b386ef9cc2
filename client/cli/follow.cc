#include "client/cli/follow.h"

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/live_view.h"
#include "client/cli/watching.h"

namespace hone::client::cli {
namespace {

// Pictures of events no older than this are shown.
constexpr absl::Duration kRecent = absl::Minutes(1);
constexpr int64_t kMostPictureBytes = 4 << 20;

class Follower {
 public:
  Follower(const std::string& job_name, const Globals& globals)
      : job_name_(job_name),
        globals_(globals),
        client_(globals.Connect()),
        screen_(Screen::Of(stdout)),
        view_(screen_) {}

  int Run() {
    Watching<v1::WatchJobResponse> watching(
        *client_, *globals_.interrupts,
        {.open =
             [this] {
               v1::WatchJobRequest request;
               request.set_name(job_name_);
               request.set_resume_token(token_);
               return client_->WatchJob(request);
             },
         .handle = [this](const v1::WatchJobResponse& response) { Handle(response); },
         .say =
             [this](const std::string& text) {
               if (!globals_.json) {
                 view_.Say(text);
               }
             }});
    const auto outcome = watching.Run();
    if (outcome.interrupted) {
      return Leave();
    }
    return outcome.status.ok() ? End() : Fail(outcome.status, globals_);
  }

 private:
  void Handle(const v1::WatchJobResponse& response) {
    token_ = response.resume_token();
    switch (response.kind_case()) {
      case v1::WatchJobResponse::kSnapshot:
        // After a reconnection the story knows more than how the job stands.
        if (story_.job().name().empty()) {
          story_.Apply(response.snapshot());
        }
        break;
      case v1::WatchJobResponse::kEvent:
        story_.Apply(response.event());
        FetchPicture(response.event());
        if (globals_.json) {
          PrintJsonLine(response.event());
        } else {
          view_.Show(response.event(), story_);
        }
        break;
      case v1::WatchJobResponse::kGap:
        if (!globals_.json) {
          view_.Say(absl::StrCat("events ", response.gap().from_sequence(), " to ",
                                 response.gap().to_sequence(), " were left out by the server"));
        }
        break;
      case v1::WatchJobResponse::kHeartbeat:
        // A job that waits has no events, but its place in the queue changes.
        if (story_.job().state() == v1::Job::QUEUED && !globals_.json) {
          if (const absl::StatusOr<v1::Job> job = client_->GetJob(job_name_); job.ok()) {
            story_.Apply(*job);
          }
        }
        break;
      default:
        break;
    }
    if (!globals_.json) {
      view_.Refresh(story_);
    }
  }

  // A grid of drawings, to be shown; not those of a history that is played again.
  void FetchPicture(const v1::Event& event) {
    absl::string_view path = event.artifact().path();
    const absl::Time time = absl::FromUnixSeconds(event.time().seconds());
    if (globals_.json || !screen_.terminal || event.artifact().kind() != "samples" ||
        event.artifact().bytes() > kMostPictureBytes || absl::Now() - time > kRecent ||
        !absl::ConsumePrefix(&path, "artifacts/")) {
      return;
    }
    v1::DownloadArtifactRequest request;
    request.set_name(job_name_);
    request.set_path(std::string(path));
    std::string file;
    const absl::Status status =
        client_->DownloadArtifact(request, [&](const v1::DownloadArtifactResponse& chunk) {
          file += chunk.data();
          return absl::OkStatus();
        });
    if (status.ok()) {
      story_.SetPicture(std::move(file));
    }
  }

  int Leave() {
    if (!globals_.json) {
      view_.Say(
          absl::StrCat("left; the job keeps running. To see it again: hone watch ", job_name_));
    }
    return kCancelled;
  }

  // The job as the server keeps it is the last word.
  int End() {
    if (const absl::StatusOr<v1::Job> job = client_->GetJob(job_name_); job.ok()) {
      story_.Apply(*job);
    }
    const v1::Job& job = story_.job();
    if (globals_.json) {
      PrintJsonLine(job);
    } else {
      view_.Finish(story_);
      if (!job.model().empty()) {
        PrintModel(job);
      }
    }
    return ExitCodeOf(job);
  }

  const std::string job_name_;
  const Globals& globals_;
  const std::unique_ptr<Client> client_;
  const Screen screen_;
  LiveView view_;
  Story story_;
  std::string token_;
};

}  // namespace

int Follow(const std::string& job_name, const Globals& globals) {
  return Follower(job_name, globals).Run();
}

}  // namespace hone::client::cli
