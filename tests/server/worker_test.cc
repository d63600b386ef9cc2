#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "engine/base/files.h"
#include "google/protobuf/util/json_util.h"
#include "server/worker_process/confinement.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using worker_process::StartOptions;
using worker_process::WorkerProcess;

// A worker that says nothing for so long hangs.
constexpr absl::Duration kLongest = absl::Seconds(60);

// The real worker on a table of 200 rows made up here.
class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    std::string name = ::testing::TempDir() + "/hone-worker-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    std::ofstream table(folder_ + "/points.csv");
    table << "a,b,kind\n";
    for (int i = 0; i < 200; ++i) {
      table << (i % 2) + 0.01 * (i % 17) << "," << (i % 2) - 0.02 * (i % 13) << ","
            << (i % 2 == 0 ? "even" : "odd") << "\n";
    }
  }
  ~WorkerTest() override { std::filesystem::remove_all(folder_); }

  v1::WorkerRequest Request(v1::WorkerRequest::Mode mode, const std::string& training,
                            const std::string& run = "run") {
    v1::WorkerRequest request;
    request.set_mode(mode);
    const std::string spec =
        R"({"classification": {}, "data": {}, "training": )" + training +
        R"(, "model": {"layers": [{"dense": {"units": 4, "activation": "RELU"}},
                                                     {"dense": {"units": 2}}]}})";
    const auto status = google::protobuf::util::JsonStringToMessage(spec, request.mutable_spec());
    EXPECT_TRUE(status.ok()) << status.ToString();
    request.set_dataset_path(folder_ + "/points.csv");
    request.set_run_directory(folder_ + "/" + run);
    std::filesystem::create_directories(request.run_directory());
    request.set_threads(1);
    return request;
  }

  // All frames until the worker ends; sends SIGTERM after the first metrics if asked to.
  std::vector<v1::WorkerFrame> Run(const v1::WorkerRequest& request, bool terminate = false) {
    std::vector<v1::WorkerFrame> frames;
    const auto worker = WorkerProcess::Start(request, {.binary = HONE_WORKER_BINARY,
                                                       .request_path = folder_ + "/request",
                                                       .output_path = folder_ + "/log"});
    EXPECT_TRUE(worker.ok()) << worker.status();
    while (worker.ok()) {
      auto received = (*worker)->Read(kLongest);
      if (!received.ok() || !received->frame) {
        EXPECT_TRUE(received.ok() && received->ended) << "the worker is silent";
        break;
      }
      frames.push_back(*std::move(received->frame));
      if (terminate && frames.back().event().has_metrics()) {
        (*worker)->Signal(SIGTERM);
        terminate = false;
      }
    }
    exit_code_ = worker.ok() ? (*worker)->Wait(kLongest).code : -1;
    return frames;
  }

  // What /proc says of a worker: a file of it when it has said its last word. A process that has
  // ended keeps these until it is waited for.
  std::string ProcOf(const v1::WorkerRequest& request, const std::string& file, int nice = 0) {
    const auto worker = WorkerProcess::Start(request, {.binary = HONE_WORKER_BINARY,
                                                       .request_path = folder_ + "/request",
                                                       .output_path = folder_ + "/log",
                                                       .nice = nice});
    EXPECT_TRUE(worker.ok()) << worker.status();
    bool said = false;
    while (worker.ok()) {
      const auto received = (*worker)->Read(kLongest);
      if (!received.ok() || !received->frame) {
        EXPECT_TRUE(received.ok() && received->ended && said) << "the worker has not worked";
        std::ifstream stream("/proc/" + std::to_string((*worker)->pid()) + "/" + file);
        return {std::istreambuf_iterator<char>(stream), {}};
      }
      said = true;
    }
    return "";
  }

  std::string folder_;
  int exit_code_ = -1;
};

constexpr char kShort[] = R"({"epochs": 3})";

TEST_F(WorkerTest, TrainsAndEndsWithTheModel) {
  const auto frames = Run(Request(v1::WorkerRequest::TRAIN, kShort));
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().finished().end_reason(), "COMPLETED");
  EXPECT_EQ(exit_code_, 0);
  bool evaluated = false;
  for (const v1::WorkerFrame& frame : frames) {
    if (frame.event().has_artifact()) {
      const v1::Artifact& artifact = frame.event().artifact();
      EXPECT_EQ(
          Sha256OfFile(folder_ + "/run/" + artifact.path() + "/model.safetensors").value_or("none"),
          artifact.sha256());
    }
    evaluated = evaluated || frame.event().evaluation().metrics().contains("test_accuracy");
  }
  EXPECT_TRUE(evaluated);
}

TEST_F(WorkerTest, SigtermLeavesACheckpointThatTheNextWorkerResumesFrom) {
  // Long enough that the signal comes in the middle.
  const auto frames =
      Run(Request(v1::WorkerRequest::TRAIN, R"({"steps": 1000000})"), /*terminate=*/true);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().finished().end_reason(), "CANCELLED");
  int64_t step = 0;
  for (const v1::WorkerFrame& frame : frames) {
    step = frame.event().has_checkpoint() ? frame.event().checkpoint().step() : step;
  }
  EXPECT_GT(step, 0);
  v1::WorkerRequest again = Request(v1::WorkerRequest::TRAIN, R"({"steps": 1000000})");
  again.set_resume(true);
  int64_t resumed = -1;
  for (const v1::WorkerFrame& frame : Run(again, /*terminate=*/true)) {
    resumed = frame.event().has_started() ? frame.event().started().resumed_from_step() : resumed;
  }
  EXPECT_EQ(resumed, step);
}

// How far a process gives way: the 19th of the fields in /proc/PID/stat; the second one, its name,
// is in brackets.
int NiceOf(const std::string& stat) {
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::vector<std::string> all{std::istream_iterator<std::string>(fields), {}};
  return all.size() > 16 ? std::atoi(all[16].c_str()) : -1;
}

TEST_F(WorkerTest, GivesWayAsFarAsItIsTold) {
  const v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  const int ours = NiceOf(ProcOf(request, "stat"));
  EXPECT_EQ(NiceOf(ProcOf(request, "stat", 3)), std::min(ours + 3, 19));
}

TEST_F(WorkerTest, ACheckpointThatIsMissingEndsTheRunAsDataLoss) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  request.set_resume(true);
  request.set_checkpoint_step(5);
  const v1::Failure failure = Run(request).back().failure();
  EXPECT_EQ(failure.end_reason(), "DATA_LOSS");
  EXPECT_FALSE(failure.infrastructure());
}

TEST_F(WorkerTest, CannotWriteOutsideItsFolder) {
  if (worker_process::LandlockAbi() == 0) {
    GTEST_SKIP() << "the kernel has no Landlock";
  }
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  std::filesystem::create_directories(folder_ + "/outside");
  std::filesystem::create_symlink(folder_ + "/outside", request.run_directory() + "/checkpoints");
  EXPECT_EQ(Run(request).back().failure().code(),
            static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/outside"));
}

// The program that trains it is started before the worker gives up starting any.
TEST_F(WorkerTest, HasATokenizerTrainedByAnotherProgram) {
  std::ofstream table(folder_ + "/texts.csv");
  table << "text,label\n";
  for (int i = 0; i < 60; ++i) {
    table << "the film number " << i % 7 << (i % 2 == 0 ? " was great,yes\n" : " was dull,no\n");
  }
  table.close();
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::TRAIN);
  const auto status = google::protobuf::util::JsonStringToMessage(
      R"({"classification": {},
          "data": {"text": {"tokenizer": {"sentencepiece": {"model": "BPE", "vocabulary": "40"}}}},
          "training": {"epochs": 1},
          "model": {"layers": [{"embedding": {"width": "4"}}, {"sequence_pool": {"kind": "MEAN"}},
                               {"dense": {"units": 2}}]}})",
      request.mutable_spec());
  ASSERT_TRUE(status.ok()) << status.ToString();
  request.set_dataset_path(folder_ + "/texts.csv");
  request.set_run_directory(folder_ + "/texts");
  std::filesystem::create_directories(request.run_directory());
  request.set_threads(1);
  const auto frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().finished().end_reason(), "COMPLETED")
      << frames.back().failure().message();
}

// Whatever it is asked to do, and also where it can do nothing of it: it is confined before. What
// a process that is confined so can still do: confine_test.cc.
class WorkerModeTest : public WorkerTest,
                       public ::testing::WithParamInterface<v1::WorkerRequest::Mode> {
 protected:
  v1::WorkerRequest OfMode() {
    v1::WorkerRequest request = Request(GetParam(), kShort);
    request.set_model_directory(folder_ + "/no model");
    return request;
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, WorkerModeTest,
                         ::testing::Values(v1::WorkerRequest::TRAIN, v1::WorkerRequest::PLAN,
                                           v1::WorkerRequest::PREDICT, v1::WorkerRequest::DATASET,
                                           v1::WorkerRequest::IMPORT, v1::WorkerRequest::SERVE,
                                           v1::WorkerRequest::EXPORT),
                         [](const auto& mode) { return v1::WorkerRequest::Mode_Name(mode.param); });

TEST_P(WorkerModeTest, HasNoNetworkWhereItDownloadsNothing) {
  if (!worker_process::HasSeccomp()) {
    GTEST_SKIP() << "the kernel filters no system calls";
  }
  EXPECT_THAT(ProcOf(OfMode(), "status"), HasSubstr("Seccomp:\t2\n"));
}

TEST_P(WorkerModeTest, GetsNoPrivileges) {
  EXPECT_THAT(ProcOf(OfMode(), "status"), HasSubstr("NoNewPrivs:\t1\n"));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_P(WorkerModeTest, CannotGetMoreMemoryThanItsRequestSays) {
  v1::WorkerRequest request = OfMode();
  constexpr int64_t kLimit = int64_t{3} << 30;
  request.set_memory_limit_bytes(kLimit);
  EXPECT_THAT(ProcOf(request, "limits"),
              ::testing::ContainsRegex("Max data size +" + std::to_string(kLimit) + " +" +
                                       std::to_string(kLimit) + " "));
}
#endif

TEST_F(WorkerTest, ACheckpointThatCannotBeWrittenIsSaidToBeTheFailure) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  std::ofstream(request.run_directory() + "/checkpoints") << "a file, not a folder";
  EXPECT_TRUE(Run(request).back().failure().checkpoint());
  request.set_dataset_path(folder_ + "/missing.csv");
  const v1::Failure other = Run(request).back().failure();
  EXPECT_FALSE(other.message().empty());
  EXPECT_FALSE(other.checkpoint());
}

TEST_F(WorkerTest, PlansWithoutTraining) {
  const auto frames = Run(Request(v1::WorkerRequest::PLAN, kShort));
  v1::Plan plan;
  for (const v1::WorkerFrame& frame : frames) {
    if (frame.has_plan()) {
      plan = frame.plan();
    }
  }
  EXPECT_EQ(plan.parameters(), 2 * 4 + 4 + 4 * 2 + 2);
  EXPECT_EQ(plan.layers_size(), 3);
  EXPECT_GT(plan.peak_memory_bytes(), 1 << 20);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/run/model"));
}

TEST_F(WorkerTest, PredictsWithTheModelItMade) {
  Run(Request(v1::WorkerRequest::TRAIN, R"({"epochs": 30, "optimizer": {"adam":
      {"learning_rate": 0.05}}})"));
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PREDICT);
  request.set_model_directory(folder_ + "/run/model");
  auto& cells = *request.add_inputs()->mutable_record()->mutable_cells();
  cells["a"] = "1.05";
  cells["b"] = "0.9";
  v1::Prediction prediction;
  for (const v1::WorkerFrame& frame : Run(request)) {
    if (frame.has_predictions()) {
      prediction = frame.predictions().predictions(0);
    }
  }
  ASSERT_EQ(prediction.classification().classes_size(), 2);
  EXPECT_EQ(prediction.classification().classes(0).name(), "odd");
}

TEST_F(WorkerTest, ServesManyRequestsWithOneLoadAndTellsAWrongOneFromTheOthers) {
  Run(Request(v1::WorkerRequest::TRAIN, R"({"epochs": 30, "optimizer": {"adam":
      {"learning_rate": 0.05}}})"));
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::SERVE);
  request.set_model_directory(folder_ + "/run/model");
  request.set_threads(1);
  auto worker = WorkerProcess::Start(
      request,
      {.binary = HONE_WORKER_BINARY, .request_path = folder_ + "/request", .output_path = ""});
  ASSERT_TRUE(worker.ok()) << worker.status();
  const auto with = [](const std::string& a, const std::string& b) {
    v1::WorkerFrame frame;
    auto& cells = *frame.mutable_inputs()->add_inputs()->mutable_record()->mutable_cells();
    cells["a"] = a;
    cells["b"] = b;
    return frame;
  };
  for (const v1::WorkerFrame& frame :
       {with("1.05", "0.9"), with("1.05", "not a number"), with("0.05", "-0.1")}) {
    ASSERT_TRUE((*worker)->Write(frame, kLongest).ok());
  }
  std::vector<std::string> answers;
  while (answers.size() < 3) {
    const auto received = (*worker)->Read(kLongest);
    ASSERT_TRUE(received.ok() && received->frame.has_value());
    if (received->frame->has_predictions()) {
      answers.push_back(
          received->frame->predictions().predictions(0).classification().classes(0).name());
    } else if (received->frame->has_failure()) {
      answers.push_back(received->frame->failure().message());
    }
  }
  EXPECT_EQ(answers[0], "odd");
  EXPECT_THAT(answers[1], AllOf(HasSubstr("inputs[0]"), HasSubstr("b")));
  EXPECT_EQ(answers[2], "even");
}

TEST_F(WorkerTest, AJobThatWasNotPlannedAndNeedsMoreMemoryThanItMayIsRefusedBeforeItTrains) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  request.set_memory_bytes(1 << 20);
  const auto frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "OUT_OF_MEMORY");
  EXPECT_THAT(frames.back().failure().message(), HasSubstr("gives each job 2 MiB"));
  for (const v1::WorkerFrame& frame : frames) {
    EXPECT_FALSE(frame.event().has_started());
  }
}

TEST_F(WorkerTest, NamesEveryWrongField) {
  const auto frames =
      Run(Request(v1::WorkerRequest::TRAIN, R"({"epochs": 1, "batch_size": 0, "clip_norm": -1})"));
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "INVALID_SPEC");
  EXPECT_THAT(frames.back().failure().message(),
              AllOf(HasSubstr("training.batch_size"), HasSubstr("training.clip_norm")));
  EXPECT_EQ(exit_code_, 1);
}

TEST_F(WorkerTest, ADataSetThatNobodyKnowsIsABadSpec) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  request.clear_dataset_path();
  request.mutable_spec()->mutable_data()->set_dataset("minst");
  const auto frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "INVALID_SPEC");
  EXPECT_EQ(frames.back().failure().code(), static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_THAT(frames.back().failure().message(), HasSubstr("mnist"));
}

TEST_F(WorkerTest, BadDataIsToldFromABadSpec) {
  std::ofstream(folder_ + "/points.csv", std::ios::app) << "1,2\n";
  const auto frames = Run(Request(v1::WorkerRequest::TRAIN, kShort));
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "BAD_DATA");
  EXPECT_THAT(frames.back().failure().message(), HasSubstr("points.csv"));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(WorkerTest, WhatNeedsMoreThanItsMemoryEndsAsThatAndNotByASignal) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, R"({"epochs": 1})");
  request.mutable_spec()->mutable_model()->mutable_layers(0)->mutable_dense()->set_units(8192);
  *request.mutable_spec()->mutable_model()->add_layers() = request.spec().model().layers(1);
  request.mutable_spec()->mutable_model()->mutable_layers(1)->mutable_dense()->set_units(8192);
  request.set_memory_limit_bytes(int64_t{300} << 20);
  const std::vector<v1::WorkerFrame> frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "OUT_OF_MEMORY")
      << frames.back().ShortDebugString();
}
#endif

TEST_F(WorkerTest, AFailedDownloadIsNotBadData) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  request.clear_dataset_path();
  request.mutable_spec()->mutable_data()->set_dataset("iris");
  // No folder can be made there, as on a disk that has gone.
  std::ofstream(folder_ + "/iris") << "a file where the data set's folder should be";
  request.set_cache_directory(folder_);
  const auto frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "UNAVAILABLE");
  EXPECT_TRUE(frames.back().failure().infrastructure());
  EXPECT_EQ(frames.back().failure().code(), static_cast<int>(absl::StatusCode::kUnavailable));
}

TEST_F(WorkerTest, AModelThatDoesNotFitTheDataIsABadSpec) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN, kShort);
  request.mutable_spec()->mutable_model()->mutable_layers(1)->mutable_dense()->set_units(5);
  const auto frames = Run(request);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().failure().end_reason(), "INVALID_SPEC");
  EXPECT_THAT(frames.back().failure().message(), HasSubstr("dense_2"));
}

}  // namespace
}  // namespace hone::server::worker
