#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/status.h"
#include "server/worker/answer.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::worker {
namespace {

using engine::predict::Example;
using engine::predict::Prediction;
using engine::predict::Predictor;

// The frames on descriptor 4, taken as they come, so that the parent never waits for a prediction
// to be done. At its end the parent is gone, and the process ends.
class Requests {
 public:
  Requests() {
    std::thread([this] { Read(); }).detach();
  }

  // All that have come, at least one.
  std::vector<v1::WorkerFrame> Take() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return !frames_.empty(); });
    std::vector<v1::WorkerFrame> taken;
    taken.swap(frames_);
    return taken;
  }

 private:
  void Read() {
    worker_process::FrameDecoder decoder;
    std::array<char, 1 << 16> bytes;
    for (;;) {
      const ssize_t count = read(worker_process::kParentAliveFd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count <= 0) {
        _exit(1);
      }
      decoder.Append(absl::string_view(bytes.data(), static_cast<size_t>(count)));
      for (;;) {
        absl::StatusOr<std::optional<v1::WorkerFrame>> frame = decoder.Next();
        if (!frame.ok()) {
          _exit(1);
        }
        if (!frame->has_value()) {
          break;
        }
        const std::lock_guard lock(mutex_);
        frames_.push_back(**std::move(frame));
        came_.notify_one();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<v1::WorkerFrame> frames_;  // guarded by mutex_
};

// Runs the inputs of all requests together; one that is wrong is answered for itself.
void Answer(std::vector<v1::WorkerFrame> requests, Predictor& predictor, FrameWriter& writer) {
  struct Part {
    absl::Status status;
    size_t examples = 0;
  };
  std::vector<Part> parts;
  std::vector<Example> all;
  for (const v1::WorkerFrame& request : requests) {
    Part& part = parts.emplace_back();
    absl::StatusOr<std::vector<Example>> examples =
        ToExamples(request.inputs().inputs(), predictor);
    part.status = examples.status();
    if (examples.ok()) {
      part.examples = examples->size();
      std::move(examples->begin(), examples->end(), std::back_inserter(all));
    }
  }
  const absl::StatusOr<std::vector<Prediction>> predictions = predictor.Predict(all);
  size_t begin = 0;
  for (const Part& part : parts) {
    if (!part.status.ok()) {
      writer.Send(ToAnswer(part.status));
    } else if (!predictions.ok()) {
      writer.Send(ToAnswer(predictions.status()));
    } else {
      const auto first = predictions->begin() + static_cast<std::ptrdiff_t>(begin);
      writer.Send(ToAnswer(
          std::vector<Prediction>(first, first + static_cast<std::ptrdiff_t>(part.examples))));
    }
    begin += part.examples;
  }
}

}  // namespace

bool Serve(const v1::WorkerRequest& request, FrameWriter& writer) {
  // From here on, so that the process ends with its parent also while it loads. Its thread goes on
  // for as long as the process.
  static Requests& requests = *new Requests();
  writer.SetProgress("loading", -1);
  const absl::StatusOr<std::unique_ptr<Predictor>> predictor =
      Predictor::Load(request.model_directory(), request.threads());
  if (!predictor.ok()) {
    SendFailure(ToFailure(predictor.status(), engine::job::Phase::kLoading, 0), writer);
    return false;
  }
  writer.StopHeartbeat();
  writer.SetProgress("serving", -1);
  for (;;) {
    Answer(requests.Take(), **predictor, writer);
  }
}

}  // namespace hone::server::worker
