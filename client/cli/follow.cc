#include "client/cli/follow.h"

#include <cstdio>
#include <mutex>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/interrupts.h"
#include "client/cli/live_view.h"
#include "client/errors.h"
#include "engine/base/steady_clock.h"

namespace hone::client::cli {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(5);
// Pictures of events no older than this are shown.
constexpr absl::Duration kRecent = absl::Minutes(1);
constexpr int64_t kMostPictureBytes = 4 << 20;
constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
constexpr absl::Duration kLongestPause = absl::Seconds(2);

// The stream that an interrupt has to cancel: there is another one after each reconnection.
class CurrentStream {
 public:
  // nullptr: none. A stream that comes after an interrupt is cancelled at once.
  void Set(WatchStream* stream) {
    const std::lock_guard lock(mutex_);
    stream_ = stream;
    if (cancelled_ && stream_ != nullptr) {
      stream_->Cancel();
    }
  }
  void Cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (stream_ != nullptr) {
      stream_->Cancel();
    }
  }

 private:
  std::mutex mutex_;
  WatchStream* stream_ = nullptr;
  bool cancelled_ = false;
};

class Follower {
 public:
  Follower(const std::string& job_name, const Globals& globals)
      : job_name_(job_name),
        globals_(globals),
        client_(globals.Connect()),
        screen_(Screen::Of(stdout)),
        view_(screen_) {}

  int Run() {
    CurrentStream current;
    const Interrupts::Handler interrupts(*globals_.interrupts, [&] { current.Cancel(); });
    absl::Duration alive = SteadyNow();
    absl::Duration pause = kFirstPause;
    while (true) {
      v1::WatchJobRequest request;
      request.set_name(job_name_);
      request.set_resume_token(token_);
      const std::unique_ptr<WatchStream> stream = client_->WatchJob(request);
      current.Set(stream.get());
      v1::WatchJobResponse response;
      while (stream->Next(response)) {
        alive = SteadyNow();
        pause = kFirstPause;
        Handle(response);
      }
      current.Set(nullptr);
      const absl::Status end = stream->Finish();
      if (interrupts.count() > 0) {
        return Leave();
      }
      if (end.ok() && !going_away_) {
        return End();
      }
      const std::optional<absl::Duration> asked_for = RetryDelay(end);
      const bool retry = asked_for || ((going_away_ || IsBrokenLine(end)) && !token_.empty());
      if (!retry || SteadyNow() - alive > kPatience) {
        return Fail(end.ok() ? LineError(absl::StatusCode::kUnavailable, "it has shut down") : end,
                    globals_);
      }
      going_away_ = false;
      if (!globals_.json && pause == kFirstPause) {
        view_.Say(asked_for ? std::string(end.message())
                            : "the server cannot be reached; trying again");
      }
      Pause(std::max(pause, asked_for.value_or(absl::ZeroDuration())), interrupts);
      pause = std::min(pause * 2, kLongestPause);
    }
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
      case v1::WatchJobResponse::kGoodbye:
        going_away_ = true;
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

  void Pause(absl::Duration pause, const Interrupts::Handler& interrupts) {
    const absl::Duration until = SteadyNow() + pause;
    while (SteadyNow() < until && interrupts.count() == 0) {
      client_->Wait(absl::Milliseconds(20));
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
  bool going_away_ = false;
};

}  // namespace

int Follow(const std::string& job_name, const Globals& globals) {
  return Follower(job_name, globals).Run();
}

}  // namespace hone::client::cli
