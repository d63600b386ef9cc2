// The real worker takes a checkpoint in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "server/worker_process/worker_process.h"
#include "tests/engine/huggingface_testing.h"
#include "tests/engine/tar_testing.h"

namespace hone::server::worker {
namespace {

using ::hone::engine::data::Tar;
using ::hone::engine::testing::CheckpointTensor;
using ::hone::engine::testing::WriteTensors;
using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class WorkerImportTest : public ::testing::Test {
 protected:
  WorkerImportTest() {
    namespace golden = ::hone::engine::testing;
    const std::string model = folder_ / "written";
    std::filesystem::create_directory(model);
    const nlohmann::json& bert = golden::GoldenCheckpoint("bert");
    golden::WriteCheckpoint(model, bert["config"], golden::TensorsOf(bert));
    files_ = {{"config.json", Contents(model + "/config.json")},
              {"model.safetensors", Contents(model + "/model.safetensors")},
              {"vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n"}};
  }

  // What the worker answers.
  v1::WorkerFrame Ask(const v1::WorkerRequest& request) {
    v1::WorkerFrame answer;
    auto worker =
        worker_process::WorkerProcess::Start(request, {.binary = HONE_WORKER_BINARY,
                                                       .request_path = folder_ / "request",
                                                       .output_path = folder_ / "log"});
    EXPECT_TRUE(worker.ok()) << worker.status();
    for (bool ended = !worker.ok(); !ended;) {
      const auto received = (*worker)->Read(absl::Seconds(60));
      ended = !received.ok() || received->ended;
      if (!ended && received->frame.has_value() && !received->frame->has_progress() &&
          !received->frame->has_finished()) {
        answer = *received->frame;
      }
    }
    return answer;
  }
  v1::WorkerFrame Import() {
    v1::WorkerRequest request;
    request.set_mode(v1::WorkerRequest::IMPORT);
    request.mutable_spec()->mutable_data()->set_dataset("net");
    request.set_dataset_path(Tar(folder_ / "net.tar", files_));
    request.set_run_directory(folder_ / "run");
    std::filesystem::create_directory(request.run_directory());
    request.set_most_bytes(1 << 30);
    request.set_threads(1);
    return Ask(request);
  }

  // The checkpoint moves into a folder `base`, and an adapter that reads so many numbers lies
  // above.
  void PutAdapterOnBase(int64_t in) {
    for (auto& [name, bytes] : files_) {
      name = "base/" + name;
    }
    const std::string query = "base_model.model.bert.encoder.layer.1.attention.self.query";
    const CheckpointTensor a = {.name = query + ".lora_A.weight",
                                .shape = {2, in},
                                .values = std::vector<float>(static_cast<size_t>(2 * in), 0.5f)};
    const CheckpointTensor b = {
        .name = query + ".lora_B.weight", .shape = {24, 2}, .values = std::vector<float>(48, 0.5f)};
    WriteTensors(folder_ / "adapter.safetensors", std::vector{a, b});
    // What it names is there, but is not the server's to read.
    files_.emplace_back("adapter_config.json",
                        nlohmann::json{{"peft_type", "LORA"},
                                       {"r", 2},
                                       {"task_type", "SEQ_CLS"},
                                       {"base_model_name_or_path", folder_ / "written"}}
                            .dump());
    files_.emplace_back("adapter_model.safetensors", Contents(folder_ / "adapter.safetensors"));
  }

  const Folder folder_;
  std::vector<std::pair<std::string, std::string>> files_;
};

TEST_F(WorkerImportTest, UnpacksTheCheckpointAndTellsItsLayers) {
  const v1::WorkerFrame frame = Import();
  ASSERT_TRUE(frame.has_imported()) << frame.failure().message();
  EXPECT_GT(frame.imported().plan().parameters(), 0);
  EXPECT_EQ(frame.imported().plan().display_name(), "net");
  EXPECT_EQ(Contents(folder_ / "run/model/config.json"), files_[0].second);
}

TEST_F(WorkerImportTest, SaysWhatIsWrongByTheNameOfTheDataSet) {
  files_[1].second.resize(files_[1].second.size() / 2);
  const v1::WorkerFrame frame = Import();
  EXPECT_THAT(frame.failure().message(),
              AllOf(HasSubstr("net/model.safetensors"), Not(HasSubstr(folder_.path()))));
}

TEST_F(WorkerImportTest, ATokenizerThatDoesNotFitIsRefused) {
  for (int i = 0; i < 40; ++i) {
    files_[2].second += "word" + std::to_string(i) + "\n";
  }
  EXPECT_THAT(Import().failure().message(), HasSubstr("vocab_size"));
}

TEST_F(WorkerImportTest, TakesAnAdapterInOnTheBaseThatCameWithIt) {
  PutAdapterOnBase(24);
  hone::testing::Put(folder_ / "written/config.json", "not the base that came");
  const v1::WorkerFrame frame = Import();
  ASSERT_TRUE(frame.has_imported()) << frame.failure().message();
  EXPECT_EQ(frame.imported().task(), "classification");
  EXPECT_EQ(Contents(folder_ / "run/model/base/config.json"), files_[0].second);
  EXPECT_EQ(Contents(folder_ / "run/model/adapter_model.safetensors"), files_.back().second);
}

TEST_F(WorkerImportTest, AnAdapterOfAnotherBaseIsRefusedByItsShapes) {
  PutAdapterOnBase(32);
  EXPECT_THAT(Import().failure().message(),
              AllOf(HasSubstr("does not fit its base"), HasSubstr("must be [2, 24], got [2, 32]"),
                    Not(HasSubstr(folder_.path()))));
}

TEST_F(WorkerImportTest, AnAdapterWhoseBaseLiesOnTheServerAloneIsRefused) {
  PutAdapterOnBase(24);
  files_.erase(files_.begin(), files_.begin() + 3);
  EXPECT_THAT(Import().failure().message(),
              AllOf(HasSubstr("net: is an adapter without its base"), HasSubstr("--base")));
}

TEST_F(WorkerImportTest, PlansACheckpointWithoutAJob) {
  hone::testing::Put(folder_ / "written/vocab.txt", files_[2].second);
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  request.set_model_directory(folder_ / "written");
  request.set_threads(1);
  const v1::WorkerFrame frame = Ask(request);
  ASSERT_TRUE(frame.has_plan()) << frame.failure().message();
  EXPECT_EQ(frame.plan().display_name(), "written");
  EXPECT_GT(frame.plan().peak_memory_bytes(), frame.plan().parameter_bytes());
  EXPECT_EQ(frame.plan().total_steps(), 0);
}

}  // namespace
}  // namespace hone::server::worker
