// Stands in for hone-worker under honed: what it does is told by the job's display name. Plans
// always fit, except for jobs called "misfit", "garbage plan" and "no network"; a prediction is one
// class for each input.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>

#include "server/worker_process/frames.h"

namespace {

namespace v1 = hone::v1;

volatile std::sig_atomic_t g_terminated = 0;

void Send(const v1::WorkerFrame& frame) {
  if (!hone::server::worker_process::WriteFrame(3, frame).ok()) {
    _exit(3);
  }
}

void SendMetrics(int64_t step, double loss, const std::map<std::string, double>& more = {}) {
  v1::WorkerFrame frame;
  v1::Metrics& metrics = *frame.mutable_event()->mutable_metrics();
  metrics.set_step(step);
  metrics.set_total_steps(10);
  metrics.set_samples(step * 32);
  (*metrics.mutable_values())["loss"] = loss;
  (*metrics.mutable_values())["accuracy"] = 0.5;
  metrics.mutable_values()->insert(more.begin(), more.end());
  Send(frame);
}

void SendFinished(const std::string& reason) {
  v1::WorkerFrame frame;
  frame.mutable_finished()->set_end_reason(reason);
  Send(frame);
}

void SendFailure(const std::string& reason, const std::string& message, int code,
                 bool infrastructure = false) {
  v1::WorkerFrame frame;
  frame.mutable_failure()->set_end_reason(reason);
  frame.mutable_failure()->set_message(message);
  frame.mutable_failure()->set_code(code);
  frame.mutable_failure()->set_infrastructure(infrastructure);
  Send(frame);
}

void SendCheckpoint(int64_t step) {
  v1::WorkerFrame frame;
  frame.mutable_event()->mutable_checkpoint()->set_step(step);
  Send(frame);
}

void SendStarted(const v1::WorkerRequest& request) {
  v1::WorkerFrame frame;
  frame.mutable_event()->mutable_started()->set_engine("scripted");
  frame.mutable_event()->mutable_started()->set_resumed_from_step(request.resume() ? 3 : 0);
  Send(frame);
}

void Publish(const v1::WorkerRequest& request) {
  const std::string folder = request.run_directory() + "/model";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/weights.bin") << std::string(3 << 20, 'w');
  std::ofstream(folder + "/empty.json");
  v1::WorkerFrame frame;
  frame.mutable_event()->mutable_evaluation()->set_split("test");
  if (request.spec().display_name() == "thousand classes") {
    frame.mutable_event()->mutable_evaluation()->mutable_confusion()->Resize(1'000'000, 1);
  }
  auto& metrics = *frame.mutable_event()->mutable_evaluation()->mutable_metrics();
  metrics["test_accuracy"] = 0.9;
  metrics["batch_size"] = static_cast<double>(request.spec().training().batch_size());
  Send(frame);
  frame.Clear();
  frame.mutable_event()->mutable_artifact()->set_kind("model");
  frame.mutable_event()->mutable_artifact()->set_path("model");
  Send(frame);
}

int Succeed(const v1::WorkerRequest& request) {
  SendStarted(request);
  for (int step = 1; step <= 10; ++step) {
    SendMetrics(step, 1.0 / step);
  }
  SendCheckpoint(10);
  Publish(request);
  SendFinished("COMPLETED");
  return 0;
}

// Has its model, and ends when its folder has a file "go".
int PublishWhenTold(const v1::WorkerRequest& request) {
  SendStarted(request);
  Publish(request);
  while (!std::filesystem::exists(request.run_directory() + "/go")) {
    usleep(2'000);
  }
  SendFinished("COMPLETED");
  return 0;
}

// Trains for ever; SIGTERM: a checkpoint, then the end.
int Wait(const v1::WorkerRequest& request) {
  SendStarted(request);
  for (int64_t step = 1; g_terminated == 0; ++step) {
    SendMetrics(step, 1.0);
    usleep(20'000);
  }
  SendCheckpoint(7);
  SendFinished("CANCELLED");
  return 0;
}

// Each point has a name of its own beside the curves': points of other names are never merged.
int Zigzag(const v1::WorkerRequest& request) {
  SendStarted(request);
  int64_t step = 0;
  for (const double loss : {5.0, 1.0, 9.0, 4.0}) {
    ++step;
    SendMetrics(step, loss, {{"only_at_" + std::to_string(step), 1.0}});
  }
  SendFinished("COMPLETED");
  return 0;
}

int Flood(const v1::WorkerRequest& request) {
  SendStarted(request);
  for (int i = 1; i <= 20'000; ++i) {
    SendMetrics(i, i);
    v1::WorkerFrame frame;
    frame.mutable_event()->mutable_log()->set_text("line " + std::to_string(i));
    Send(frame);
  }
  SendFinished("COMPLETED");
  return 0;
}

int LyingNumbers() {
  SendMetrics(1, std::numeric_limits<double>::quiet_NaN());
  v1::WorkerFrame frame;
  frame.mutable_event()->mutable_state()->set_state(v1::Job::SUCCEEDED);  // not its to say
  Send(frame);
  SendFinished("COMPLETED");
  return 0;
}

int EscapingModel(const v1::WorkerRequest& request) {
  v1::WorkerFrame frame;
  frame.mutable_event()->mutable_artifact()->set_kind("model");
  frame.mutable_event()->mutable_artifact()->set_path("../../../models");
  Send(frame);
  (void)request;
  SendFinished("COMPLETED");
  return 0;
}

// Leaves files, and links that lead to other places.
int Artifacts(const v1::WorkerRequest& request) {
  const std::filesystem::path folder = request.run_directory() + "/artifacts";
  std::filesystem::create_directories(folder / "samples");
  std::ofstream(folder / "samples" / "b.txt") << std::string(3 << 20, 'b');
  std::ofstream(folder / "a.txt") << "first";
  std::ofstream(folder / "empty");
  std::ofstream(folder / "c.txt.tmp.17") << "half writ";
  std::filesystem::create_symlink("/etc/passwd", folder / "link");
  std::filesystem::create_directory_symlink("/etc", folder / "etc");
  (void)!mkfifo((folder / "pipe").c_str(), 0600);
  return Succeed(request);
}

int Train(const v1::WorkerRequest& request) {
  const std::string& what = request.spec().display_name();
  if (what == "artifacts") {
    return Artifacts(request);
  }
  if (what == "wait") {
    return Wait(request);
  }
  if (what == "publish when told") {
    return PublishWhenTold(request);
  }
  if (what == "wait once then succeed") {
    return request.attempt() == 1 ? Wait(request) : Succeed(request);
  }
  if (what == "crash" || (what == "crash once" && request.attempt() == 1)) {
    std::abort();
  }
  if (what == "checkpoint and crash, then say what it was told") {
    if (request.attempt() == 1) {
      SendCheckpoint(7);
      std::abort();
    }
    SendFailure("BAD_DATA", "told of step " + std::to_string(request.checkpoint_step()), 3);
    return 1;
  }
  if (what == "say its limit") {
    SendFailure("BAD_DATA", std::to_string(request.memory_limit_bytes()), 3);
    return 1;
  }
  if (what == "killed four times" && request.attempt() <= 4) {
    std::raise(SIGKILL);
  }
  if (what == "hang") {
    std::signal(SIGTERM, SIG_IGN);
    SendStarted(request);
    for (;;) {
      pause();
    }
  }
  if (what == "alive but stuck") {
    std::signal(SIGTERM, SIG_IGN);
    SendStarted(request);
    for (;;) {
      v1::WorkerFrame frame;
      frame.mutable_progress()->set_phase("training");
      frame.mutable_progress()->set_still(true);
      Send(frame);
      usleep(20'000);
    }
  }
  if (what == "full disk twice" && request.attempt() <= 2) {
    SendFailure("STORAGE_FULL", "no space for the checkpoint", 8, /*infrastructure=*/true);
    return 1;
  }
  if (what == "zigzag") {
    return Zigzag(request);
  }
  if (what == "flood") {
    return Flood(request);
  }
  if (what == "garbage") {
    const std::string bytes = std::string("\x04\0\0\0", 4) + "\xff\xff\xff\xff";
    (void)!write(3, bytes.data(), bytes.size());
    return Wait(request);
  }
  if (what == "huge frame") {
    (void)!write(3, "\xff\xff\xff\xff", 4);
    return Wait(request);
  }
  if (what == "cut off") {
    (void)!write(3, "\x10\0\0\0abc", 7);
    return 0;
  }
  if (what == "without a word") {
    return 0;
  }
  if (what == "lying numbers") {
    return LyingNumbers();
  }
  if (what == "escaping model") {
    return EscapingModel(request);
  }
  if (what == "bad data once" && !request.resume()) {
    std::filesystem::create_directories(request.run_directory() + "/checkpoints/step-7");
    SendFailure("BAD_DATA", "line 7: no label", 3);
    return 1;
  }
  if (what == "bad data once" &&
      !std::filesystem::exists(request.run_directory() + "/checkpoints/step-7")) {
    SendFailure("BAD_DATA", "the old job's checkpoint is not here", 3);
    return 1;
  }
  if (what == "disk full") {
    v1::WorkerFrame frame;
    frame.mutable_failure()->set_end_reason("STORAGE_FULL");
    frame.mutable_failure()->set_checkpoint(true);
    Send(frame);
    return 1;
  }
  if (what == "bad data") {
    SendFailure("BAD_DATA", "line 7: no label", 3);
    return 1;
  }
  return Succeed(request);
}

int Plan(const v1::WorkerRequest& request) {
  if (request.spec().display_name() == "its limit") {
    v1::WorkerFrame frame;
    frame.mutable_plan()->set_peak_memory_bytes(request.memory_limit_bytes());
    Send(frame);
    return 0;
  }
  if (request.spec().display_name() == "misfit") {
    SendFailure("INVALID_SPEC", "model.layers[1]: does not fit", 3);
    return 1;
  }
  if (request.spec().display_name() == "garbage plan") {
    (void)!write(3, "\x04\0\0\0\xff\xff\xff\xff", 8);
    return 0;
  }
  if (request.spec().display_name() == "no network") {
    SendFailure("UNAVAILABLE", "data set mnist cannot be obtained", 14, /*infrastructure=*/true);
    return 1;
  }
  v1::WorkerFrame frame;
  frame.mutable_plan()->set_parameters(121'930);
  frame.mutable_plan()->set_threads(request.threads());
  frame.mutable_plan()->set_peak_memory_bytes(int64_t{60} << 20);
  frame.mutable_plan()->add_layers()->set_name("dense_1");
  Send(frame);
  return 0;
}

// Two tokens of the text that is asked for, "<1><2>", behind its prompt at first.
void Write(const v1::Writing& wish, v1::Prediction::Written& written) {
  int64_t done = wish.state().written();
  std::string text = wish.has_state() ? "" : wish.prompt() + ":";
  for (const int64_t end = std::min(done + 2, wish.count()); done < end;) {
    text += "<" + std::to_string(++done) + ">";
  }
  written.set_text(text);
  written.set_end(done == wish.count() ? v1::Writing::COUNT : v1::Writing::END_UNSPECIFIED);
  written.mutable_state()->set_written(done);
}

// A writing is answered, but for those whose prompts are "broken" and "a class". The image says
// what becomes of it: "broken", "die", "die once", "hang", "slow" (until the model's folder has a
// file "go"); else the class "seven" with this process's id as its probability.
void AnswerInputs(const v1::WorkerRequest& request, const v1::WorkerFrame& inputs) {
  v1::WorkerFrame frame;
  for (const v1::PredictInput& input : inputs.inputs().inputs()) {
    if (input.has_writing() && input.writing().prompt() == "broken") {
      return SendFailure("BAD_DATA", "inputs[0]: prompt: unknown", 3);
    }
    if (input.has_writing() && input.writing().prompt() != "a class") {
      Write(input.writing(), *frame.mutable_predictions()->add_predictions()->mutable_writing());
      continue;
    }
    const std::string& what = input.image();
    const std::string died = request.model_directory() + "/died";
    if (what == "broken") {
      return SendFailure("BAD_DATA", "inputs[0].image: not a PNG or JPEG file", 3);
    }
    if (what == "die" || (what == "die once" && !std::filesystem::exists(died))) {
      std::ofstream(died) << "once";
      std::abort();
    }
    if (what == "hang") {
      for (;;) {
        pause();
      }
    }
    while (what == "slow" && !std::filesystem::exists(request.model_directory() + "/go")) {
      usleep(2'000);
    }
    if (what == "its limit") {
      frame.mutable_predictions()->add_predictions()->mutable_regression()->add_values(
          static_cast<double>(request.memory_limit_bytes()));
      continue;
    }
    auto& one =
        *frame.mutable_predictions()->add_predictions()->mutable_classification()->add_classes();
    one.set_name(std::filesystem::exists(request.model_directory() + "/weights.bin") ? "seven"
                                                                                     : "");
    one.set_probability(getpid());
  }
  Send(frame);
}

// The data set's name says how: "slow" waits until a file "go" lies beside its bytes; "broken"
// cannot be read; "dies" takes the worker with it; else a report of a table.
int Inspect(const v1::WorkerRequest& request) {
  const std::string& what = request.spec().data().dataset();
  const std::filesystem::path folder = std::filesystem::path(request.dataset_path()).parent_path();
  while (what == "slow" && !std::filesystem::exists(folder / "go")) {
    usleep(2'000);
  }
  if (what == "dies") {
    std::abort();
  }
  if (what == "broken") {
    SendFailure("UNAVAILABLE", "the disk does not answer", 14, /*infrastructure=*/true);
    return 1;
  }
  v1::WorkerFrame frame;
  v1::DatasetReport& report = *frame.mutable_dataset();
  report.set_valid(true);
  report.set_format("csv");
  report.set_examples(1);
  for (int i = 0; i < request.preview_rows(); ++i) {
    report.add_rows()->add_cells(std::to_string(i));
  }
  Send(frame);
  return 0;
}

// As Inspect, by the data set's name; "broken" is no checkpoint, of "not-utf8" a file's name has no
// characters, and "no-disk" cannot write.
int Import(const v1::WorkerRequest& request) {
  const std::string& what = request.spec().data().dataset();
  const std::filesystem::path folder =
      std::filesystem::path(request.run_directory()).parent_path().parent_path() / "datasets";
  std::filesystem::create_directory(request.run_directory() + "/model");
  std::ofstream(request.run_directory() + "/model/config.json") << "{}";
  while (what == "slow" && !std::filesystem::exists(folder / "go")) {
    usleep(2'000);
  }
  if (what == "dies") {
    std::abort();
  }
  if (what == "broken") {
    SendFailure("BAD_DATA", what + ": has no config.json", 3);
    return 1;
  }
  if (what == "no-disk") {
    SendFailure("UNAVAILABLE", "the disk does not answer", 14, /*infrastructure=*/true);
    return 1;
  }
  if (what == "not-utf8") {
    std::ofstream(request.run_directory() + "/model/\xff.json") << "{}";
  }
  if (!std::filesystem::exists(request.dataset_path())) {
    SendFailure("BAD_DATA", request.dataset_path() + ": is gone", 5);
    return 1;
  }
  v1::WorkerFrame frame;
  frame.mutable_imported()->set_task("language_modeling");
  frame.mutable_imported()->mutable_plan()->add_layers()->set_name("token_embedding");
  Send(frame);
  return 0;
}

int Serve(const v1::WorkerRequest& request) {
  if (!std::filesystem::exists(request.model_directory())) {
    SendFailure("BAD_DATA", request.model_directory() + ": no such folder", 5);
    return 1;
  }
  if (std::filesystem::exists(request.model_directory() + "/corrupt")) {
    SendFailure("DATA_LOSS", request.model_directory() + "/weights: the header is cut off", 15);
    return 1;
  }
  if (std::filesystem::exists(request.model_directory() + "/deadly")) {
    std::abort();
  }
  v1::WorkerFrame ready;
  ready.mutable_progress()->set_phase("serving");
  Send(ready);
  hone::server::worker_process::FrameDecoder decoder;
  char bytes[4096];
  for (ssize_t count; (count = read(4, bytes, sizeof(bytes))) > 0;) {
    decoder.Append(absl::string_view(bytes, static_cast<size_t>(count)));
    for (;;) {
      const auto frame = decoder.Next();
      if (!frame.ok() || !frame->has_value()) {
        break;
      }
      AnswerInputs(request, **frame);
    }
  }
  return 0;
}

}  // namespace

// A trial of a sweep, "succeed-003", does what the sweep's name says.
void ForgetTrial(v1::JobSpec& spec) {
  std::string& name = *spec.mutable_display_name();
  const size_t dash = name.rfind('-');
  if (dash != std::string::npos && name.size() == dash + 4 &&
      name.find_first_not_of("0123456789", dash + 1) == std::string::npos) {
    name.resize(dash);
  }
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    return 98;
  }
  std::signal(SIGTERM, [](int) { g_terminated = 1; });
  v1::WorkerRequest request;
  std::ifstream file(argv[3], std::ios::binary);
  if (!request.ParseFromIstream(&file)) {
    return 97;
  }
  ForgetTrial(*request.mutable_spec());
  switch (request.mode()) {
    case v1::WorkerRequest::PLAN:
      return Plan(request);
    case v1::WorkerRequest::SERVE:
      return Serve(request);
    case v1::WorkerRequest::DATASET:
      return Inspect(request);
    case v1::WorkerRequest::IMPORT:
      return Import(request);
    default:
      return Train(request);
  }
}
