#include "client/cli/local_job.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/base/cpu.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/event_files/event_file.h"
#include "server/worker_process/worker_process.h"

namespace hone::client::cli {
namespace {

using ::hone::server::event_files::EventFile;
using ::hone::server::worker_process::ExitStatus;
using ::hone::server::worker_process::FindWorkerBinary;
using ::hone::server::worker_process::Received;
using ::hone::server::worker_process::WorkerProcess;

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kExitGrace = absl::Seconds(20);

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string CacheDirectory() {
  const std::string cache = Environment("XDG_CACHE_HOME");
  const std::string home = Environment("HOME");
  return cache.empty() ? absl::StrCat(home.empty() ? "/tmp" : home, "/.cache/hone")
                       : absl::StrCat(cache, "/hone");
}

// The last lines that a worker wrote before it ended without a word.
std::string TailOf(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 1 << 24);
  if (!text.ok() || text->empty()) {
    return "";
  }
  std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  std::string tail;
  for (size_t i = lines.size() > 5 ? lines.size() - 5 : 0; i < lines.size(); ++i) {
    absl::StrAppend(&tail, "\n  ", lines[i].substr(0, 200));
  }
  return tail;
}

// Removes itself and what is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hone-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) {
      path_ = pattern;
    }
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) {
      std::filesystem::remove_all(path_, ignored);
    }
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void StampNow(google::protobuf::Timestamp* stamp) {
  const absl::Time now = absl::Now();
  stamp->set_seconds(absl::ToUnixSeconds(now));
  stamp->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(now - absl::FromUnixSeconds(stamp->seconds()))));
}

// Turns frames into the events and the end that a server would make of them.
class LocalJob {
 public:
  LocalJob(const v1::WorkerRequest& request, const LocalJobObserver& observer, Story& story)
      : request_(request), observer_(observer), story_(story) {
    v1::Job& job = story_.job();
    job.set_display_name(request.spec().display_name());
    *job.mutable_spec() = request.spec();
    job.set_attempt(request.attempt());
    job.set_threads(request.threads());
    StampNow(job.mutable_create_time());
    *job.mutable_start_time() = job.create_time();
    v1::Event running;
    running.mutable_state()->set_state(v1::Job::RUNNING);
    Emit(running);
  }

  void Handle(const v1::WorkerFrame& frame) {
    switch (frame.kind_case()) {
      case v1::WorkerFrame::kEvent:
        if (frame.event().artifact().kind() == "model") {
          story_.job().set_model(
              absl::StrCat(request_.run_directory(), "/", frame.event().artifact().path()));
        }
        Emit(frame.event());
        break;
      case v1::WorkerFrame::kProgress:
        story_.SetPhase(frame.progress().phase(), frame.progress().done());
        Changed();
        break;
      case v1::WorkerFrame::kFailure: {
        ended_ = true;
        const v1::Failure& failure = frame.failure();
        const std::string step = absl::StrCat("step ", failure.step());
        End(v1::Job::FAILED, ReasonOf(failure.end_reason()),
            failure.step() > 0 && !absl::StrContains(failure.message(), step)
                ? absl::StrCat(failure.message(), " (", step, ")")
                : failure.message());
        break;
      }
      case v1::WorkerFrame::kFinished: {
        ended_ = true;
        const bool cancelled = frame.finished().end_reason() == "CANCELLED";
        End(cancelled ? v1::Job::CANCELLED : v1::Job::SUCCEEDED,
            cancelled ? v1::Job::USER : ReasonOf(frame.finished().end_reason()), "");
        break;
      }
      default:
        break;
    }
  }

  // The worker is gone. Unless its last frame has said how, that was not its plan.
  void Close(const ExitStatus& exit, bool interrupted, const absl::Status& pipe,
             const std::string& log) {
    if (ended_) {
      return;
    }
    if (interrupted && exit.signal != 0) {
      End(v1::Job::CANCELLED, v1::Job::USER, "ended before it could write another checkpoint");
      return;
    }
    End(v1::Job::FAILED, v1::Job::CRASHED,
        absl::StrCat("the worker ", exit.ToString(), " without an answer",
                     pipe.ok() ? "" : absl::StrCat(" (", pipe.message(), ")"), "; see ", log,
                     TailOf(log)));
  }

  void Changed() {
    if (observer_.on_change) {
      observer_.on_change();
    }
  }

 private:
  void Emit(v1::Event event) {
    event.set_sequence(story_.job().last_sequence() + 1);
    event.set_attempt(request_.attempt());
    StampNow(event.mutable_time());
    story_.Apply(event);
    Draw(event);
    if (observer_.on_event) {
      observer_.on_event(event);
    }
  }

  // A worker of another version may know more reasons.
  static v1::Job::EndReason ReasonOf(const std::string& name) {
    v1::Job::EndReason reason;
    return v1::Job::EndReason_Parse(name, &reason) ? reason : v1::Job::INTERNAL;
  }

  // Its curves in RUN/tensorboard, one file for each start; the job goes on without.
  void Draw(const v1::Event& event) {
    absl::Status status;
    if (event.has_started()) {
      auto begun = EventFile::Begin(absl::StrCat(request_.run_directory(), "/tensorboard"), event,
                                    request_.run_directory());
      status = begun.status();
      curves_ = begun.ok() ? std::optional(*std::move(begun)) : std::nullopt;
    } else if (curves_.has_value()) {
      status = curves_->Add(event);
    }
    if (!status.ok()) {
      curves_.reset();
      if (observer_.on_message) {
        observer_.on_message(absl::StrCat("no curves for TensorBoard: ", status.message()));
      }
    }
  }

  void End(v1::Job::State state, v1::Job::EndReason reason, const std::string& message) {
    StampNow(story_.job().mutable_end_time());
    v1::Event event;
    event.mutable_state()->set_state(state);
    event.mutable_state()->set_end_reason(reason);
    event.mutable_state()->set_message(message);
    Emit(event);
  }

  const v1::WorkerRequest& request_;
  const LocalJobObserver& observer_;
  Story& story_;
  std::optional<EventFile> curves_;
  bool ended_ = false;
};

}  // namespace

v1::WorkerRequest LocalRequest(v1::WorkerRequest::Mode mode, int threads,
                               const jobfile::JobFile& file) {
  v1::WorkerRequest request;
  request.set_mode(mode);
  *request.mutable_spec() = file.spec;
  request.set_dataset_path(file.paths.data);
  if (!file.paths.pretrained.empty()) {
    const std::string folder = ModelFolder(file.paths.pretrained);
    // What is not there is the worker's to say.
    request.set_model_directory(folder.empty() ? file.paths.pretrained : folder);
  }
  if (!file.paths.classifier.empty()) {
    const std::string folder = ModelFolder(file.paths.classifier);
    request.set_classifier_directory(folder.empty() ? file.paths.classifier : folder);
  }
  const auto asked = static_cast<int>(file.spec.training().threads());
  request.set_threads(threads > 0 ? threads : asked > 0 ? asked : AvailableThreads());
  request.set_cache_directory(CacheDirectory());
  request.set_data_mirror(Environment("HONE_DATA_DIR"));
  return request;
}

std::string ModelFolder(const std::string& path) {
  std::error_code error;
  const std::string in_run = absl::StrCat(path, "/model");
  if (std::filesystem::is_directory(in_run, error)) {
    return in_run;
  }
  return std::filesystem::is_directory(path, error) ? path : "";
}

namespace {

// Runs a worker until it has given the frame that is wanted from it, and again.
class Asked {
 public:
  using Wanted = bool (*)(const v1::WorkerFrame&);

  Asked(v1::WorkerRequest request, Interrupts& interrupts)
      : request_(std::move(request)), interrupted_(interrupts) {
    if (request_.mode() != v1::WorkerRequest::EXPORT) {
      request_.set_run_directory(folder_.path());
    }
  }

  absl::Status Start() {
    HONE_ASSIGN_OR_RETURN(const std::string binary, FindWorkerBinary());
    HONE_ASSIGN_OR_RETURN(
        worker_,
        WorkerProcess::Start(request_, {.binary = binary,
                                        .request_path = absl::StrCat(folder_.path(), "/request"),
                                        .output_path = Log()}));
    return absl::OkStatus();
  }

  absl::StatusOr<v1::WorkerFrame> Next(Wanted wanted,
                                       const std::function<void(const std::string&)>& on_phase) {
    while (interrupted_.count() == 0) {
      HONE_ASSIGN_OR_RETURN(Received received, worker_->Read(kTick));
      if (received.ended) {
        return Ended();
      }
      if (!received.frame) {
        continue;
      }
      if (wanted(*received.frame)) {
        return *std::move(received.frame);
      }
      if (received.frame->has_failure()) {
        const v1::Failure& failure = received.frame->failure();
        return absl::Status(failure.code() > 0 ? static_cast<absl::StatusCode>(failure.code())
                                               : absl::StatusCode::kInternal,
                            failure.message());
      }
      if (received.frame->has_progress() && on_phase) {
        on_phase(received.frame->progress().phase());
      }
    }
    return absl::CancelledError("interrupted");
  }

  absl::Status Send(const v1::WorkerFrame& frame) {
    constexpr absl::Duration kPatience = absl::Seconds(5);  // a worker takes it whatever it does
    const absl::Status sent = worker_->Write(frame, kPatience);
    return absl::IsUnavailable(sent) ? Ended() : sent;
  }

  bool interrupted() const { return interrupted_.count() > 0; }

 private:
  std::string Log() const { return absl::StrCat(folder_.path(), "/worker.log"); }
  absl::Status Ended() {
    return absl::InternalError(absl::StrCat("the worker ", worker_->Wait(kExitGrace).ToString(),
                                            " without an answer", TailOf(Log())));
  }

  const TemporaryFolder folder_;
  v1::WorkerRequest request_;
  const Interrupts::Handler interrupted_;
  std::unique_ptr<WorkerProcess> worker_;
};

class ServingModel final : public LocalModel {
 public:
  ServingModel(v1::WorkerRequest request, Interrupts& interrupts)
      : asked_(std::move(request), interrupts) {}

  absl::Status Start() {
    HONE_RETURN_IF_ERROR(asked_.Start());
    const auto is_ready = [](const v1::WorkerFrame& frame) {
      return frame.has_progress() && frame.progress().phase() == "serving";
    };
    return asked_.Next(is_ready, nullptr).status();
  }

  absl::StatusOr<v1::PredictResponse> Ask(const std::vector<v1::PredictInput>& inputs) override {
    v1::WorkerFrame question;
    question.mutable_inputs()->mutable_inputs()->Add(inputs.begin(), inputs.end());
    HONE_RETURN_IF_ERROR(asked_.Send(question));
    const auto is_answer = [](const v1::WorkerFrame& frame) { return frame.has_predictions(); };
    HONE_ASSIGN_OR_RETURN(v1::WorkerFrame frame, asked_.Next(is_answer, nullptr));
    if (frame.predictions().predictions_size() != static_cast<int>(inputs.size())) {
      return absl::InternalError(absl::StrCat("the worker answered ",
                                              frame.predictions().predictions_size(), " of ",
                                              inputs.size(), " inputs"));
    }
    v1::PredictResponse response;
    response.mutable_predictions()->Swap(frame.mutable_predictions()->mutable_predictions());
    return response;
  }

  bool interrupted() const override { return asked_.interrupted(); }

 private:
  Asked asked_;
};

}  // namespace

absl::StatusOr<v1::WorkerFrame> AskWorker(v1::WorkerRequest request, Interrupts& interrupts,
                                          const std::function<void(const std::string&)>& on_phase) {
  Asked asked(std::move(request), interrupts);
  HONE_RETURN_IF_ERROR(asked.Start());
  return asked.Next(
      [](const v1::WorkerFrame& frame) {
        return frame.has_plan() || frame.has_predictions() || frame.has_exported();
      },
      on_phase);
}

absl::StatusOr<std::unique_ptr<LocalModel>> LocalModel::Load(const std::string& folder,
                                                             Interrupts& interrupts) {
  v1::WorkerRequest request = LocalRequest(v1::WorkerRequest::SERVE, 0, {});
  request.set_model_directory(folder);
  auto model = std::make_unique<ServingModel>(std::move(request), interrupts);
  HONE_RETURN_IF_ERROR(model->Start());
  return model;
}

absl::Status RunLocalJob(v1::WorkerRequest request, Interrupts& interrupts,
                         const LocalJobObserver& observer, Story& story) {
  HONE_ASSIGN_OR_RETURN(const std::string binary, FindWorkerBinary());
  const std::string log = absl::StrCat(request.run_directory(), "/worker.log");
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<WorkerProcess> worker,
                        WorkerProcess::Start(request, {.binary = binary,
                                                       .request_path = absl::StrCat(
                                                           request.run_directory(), "/request"),
                                                       .output_path = log}));
  const Interrupts::Handler interrupted(interrupts);
  LocalJob job(request, observer, story);
  int passed_on = 0;
  absl::Status pipe;
  while (true) {
    if (const int count = interrupted.count(); count > passed_on) {
      passed_on = count;
      worker->Signal(count == 1 ? SIGTERM : SIGKILL);
      if (observer.on_message) {
        observer.on_message(count == 1
                                ? "stopping after a checkpoint; press Ctrl-C again to stop at once"
                                : "killed");
      }
    }
    absl::StatusOr<Received> received = worker->Read(kTick);
    if (!received.ok()) {
      pipe = received.status();
      worker->Signal(SIGKILL);
      break;
    }
    if (received->ended) {
      break;
    }
    if (received->frame) {
      job.Handle(*received->frame);
    } else {
      job.Changed();
    }
  }
  job.Close(worker->Wait(kExitGrace), passed_on > 0, pipe, log);
  return absl::OkStatus();
}

}  // namespace hone::client::cli
