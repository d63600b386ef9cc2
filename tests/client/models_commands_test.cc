#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/server_commands_testing.h"

// `hone models …` and `hone predict`.
namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

using ModelsCommands = ServerCommandsTest;

TEST_F(ModelsCommands, ExportWritesTheFilesOfAModel) {
  EXPECT_EQ(Hone({"models", "export", "1", "out"}), 0) << output_;
  EXPECT_EQ(*ReadFile(folder_ + "/out/weights/model.safetensors"), "weights");
}

TEST_F(ModelsCommands, ExportTakesAFolderWithASlashAtItsEnd) {
  EXPECT_EQ(Hone({"models", "export", "1", "out/"}), 0) << output_;
  EXPECT_EQ(*ReadFile(folder_ + "/out/weights/model.safetensors"), "weights");
}

TEST_F(ModelsCommands, ExportLeavesNothingBehindWhenAFileIsDamaged) {
  models_.tail = "xxxx";
  EXPECT_NE(Hone({"models", "export", "1", "out"}), 0);
  EXPECT_THAT(output_, HasSubstr("SHA-256"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(ModelsCommands, ExportDoesNotWriteOutsideItsFolder) {
  models_.path = "../escaped";
  EXPECT_NE(Hone({"models", "export", "1", "out"}), 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/escaped"));
}

TEST_F(ModelsCommands, ExportLeavesFoldersWithNamesLikeItsOwnAlone) {
  std::filesystem::create_directory(folder_ + "/out.part");
  std::ofstream(folder_ + "/out.part/kept") << "kept";
  EXPECT_EQ(Hone({"models", "export", "1", "out"}), 0) << output_;
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/out.part/kept"));
}

// `hone models export` into `out`, where something is already.
struct Overwriting {
  const char* name;
  std::vector<std::string> arguments;
};

class ExportOver : public ServerCommandsTest, public ::testing::WithParamInterface<Overwriting> {
 protected:
  ExportOver() {
    // There is none: the folder is looked at before a worker is started.
    setenv("HONE_WORKER", "/nowhere/hone-worker", 1);
  }
  ~ExportOver() override { unsetenv("HONE_WORKER"); }

  void SetUp() override {
    ServerCommandsTest::SetUp();
    std::filesystem::create_directories(folder_ + "/mine/model");
  }
  int Export() {
    std::vector<std::string> arguments = {"models", "export"};
    arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
    return Hone(arguments);
  }
  // All that lies in the folder, and in folders in it.
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      files.push_back(std::filesystem::relative(entry.path(), folder_).string());
    }
    return files;
  }
};

TEST_P(ExportOver, AFolderIsRefusedByName) {
  std::filesystem::create_directory(folder_ + "/out");
  EXPECT_EQ(Export(), 2);
  EXPECT_THAT(output_, HasSubstr("hone: out exists already"));
}

TEST_P(ExportOver, AFolderChangesNothingInIt) {
  std::filesystem::create_directories(folder_ + "/out/weights");
  std::ofstream(folder_ + "/out/weights/model.safetensors") << "earlier ones";
  Export();
  EXPECT_EQ(*ReadFile(folder_ + "/out/weights/model.safetensors"), "earlier ones");
  EXPECT_THAT(Files(), UnorderedElementsAre("mine", "mine/model", "out", "out/weights",
                                            "out/weights/model.safetensors"));
}

TEST_P(ExportOver, AnEmptyFolderLeavesItEmpty) {
  std::filesystem::create_directory(folder_ + "/out");
  Export();
  EXPECT_THAT(Files(), UnorderedElementsAre("mine", "mine/model", "out"));
}

TEST_P(ExportOver, AFileIsRefusedAndKept) {
  std::ofstream(folder_ + "/out") << "a file";
  EXPECT_EQ(Export(), 2);
  EXPECT_THAT(output_, HasSubstr("hone: out exists already"));
  EXPECT_EQ(*ReadFile(folder_ + "/out"), "a file");
}

INSTANTIATE_TEST_SUITE_P(
    Ways, ExportOver,
    ::testing::Values(Overwriting{"AsItIs", {"1", "out"}}, Overwriting{"WithASlash", {"1", "out/"}},
                      Overwriting{"InAFormat", {"1", "out", "--format", "onnx"}},
                      Overwriting{"InATypeOfGguf",
                                  {"1", "out", "--format", "gguf", "--type", "f16"}},
                      Overwriting{"OfAFolderHere", {"mine", "out", "--format", "hf"}}),
    [](const auto& way) { return std::string(way.param.name); });

TEST_F(ModelsCommands, ATypeIsOfGgufAlone) {
  EXPECT_NE(Hone({"models", "export", "1", "out", "--format", "onnx", "--type", "f16"}), 0);
  EXPECT_THAT(output_, HasSubstr("--type"));
}

TEST_F(ModelsCommands, ListSaysHowGoodEachModelIs) {
  models_.metrics = {{"test_accuracy", 0.991}, {"test_hit_rate", 0.5}, {"test_rmse", 0.87}};
  EXPECT_EQ(Hone({"models", "list"}), 0) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("test accuracy 99.1"), HasSubstr("test hit rate at 10 50"),
                             HasSubstr("test RMSE 0.87")));
}

// Commands that are given a display name, which two models have, or one.
class ModelsByName : public ServerCommandsTest {
 protected:
  void SetUp() override {
    ServerCommandsTest::SetUp();
    Add("models/8");
    Add("models/7");
  }
  void Add(const std::string& name) {
    v1::Model& model = models_.named.emplace_back();
    model.set_name(name);
    model.set_display_name("minilm");
  }
};

TEST_F(ModelsByName, ExportIsOfTheNewestOfThem) {
  EXPECT_EQ(Hone({"models", "export", "minilm", "out"}), 0) << output_;
  EXPECT_THAT(models_.downloaded, ElementsAre("models/8"));
}

TEST_F(ModelsByName, ExportInAFormatIsOfTheNewestOfThem) {
  setenv("HONE_WORKER", "/nowhere/hone-worker", 1);  // asked after the download
  Hone({"models", "export", "minilm", "out", "--format", "onnx"});
  unsetenv("HONE_WORKER");
  EXPECT_THAT(models_.downloaded, ElementsAre("models/8"));
}

TEST_F(ModelsByName, PinIsOfTheNewestOfThem) {
  EXPECT_EQ(Hone({"models", "pin", "minilm"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("models/8 is pinned"));
}

TEST_F(ModelsByName, UnpinIsOfTheNewestOfThem) {
  EXPECT_EQ(Hone({"models", "unpin", "minilm"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("models/8 is not pinned any more"));
}

TEST_F(ModelsByName, RenameIsOfTheNewestOfThem) {
  EXPECT_EQ(Hone({"models", "rename", "minilm", "large"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("models/8 is called large"));
}

TEST_F(ModelsByName, DeleteTakesANameThatOneModelHas) {
  models_.named.pop_back();
  EXPECT_EQ(Hone({"models", "delete", "minilm"}), 0) << output_;
  EXPECT_THAT(models_.deleted, ElementsAre("models/8"));
}

TEST_F(ModelsByName, DeleteRefusesANameThatSeveralHaveAndListsThem) {
  EXPECT_EQ(Hone({"models", "delete", "minilm"}), 2);
  EXPECT_THAT(output_, HasSubstr("several models are called minilm; say which one: "
                                 "models/8, models/7"));
}

TEST_F(ModelsByName, DeleteOfANameThatSeveralHaveDeletesNone) {
  Hone({"models", "delete", "minilm"});
  EXPECT_THAT(models_.deleted, ElementsAre());
}

TEST_F(ModelsByName, DeleteListsTwentyOfThemAtMost) {
  for (int i = 0; i < 30; ++i) {
    Add(absl::StrCat("models/old", i));
  }
  Hone({"models", "delete", "minilm"});
  EXPECT_THAT(output_, HasSubstr("models/old17, more\n"));
}

TEST_F(ModelsByName, ANameThatNobodyHasIsToldSo) {
  models_.named.clear();
  EXPECT_EQ(Hone({"models", "pin", "minilm"}), 2);
  EXPECT_THAT(output_, HasSubstr("none is called minilm"));
}

TEST_F(ModelsCommands, PredictAsksTheServer) {
  std::ofstream(folder_ + "/a.png") << "seven";
  EXPECT_EQ(Hone({"predict", "models/1", "a.png"}), 0);
  EXPECT_THAT(output_, HasSubstr("models/1 says seven"));
}

TEST_F(ModelsCommands, PredictAsksOfFewerInputsWhereTheAnswerIsTooLarge) {
  models_.most_inputs = 2;
  std::vector<std::string> arguments = {"predict", "models/1"};
  for (int i = 0; i < 5; ++i) {
    const std::string name = absl::StrCat(i, ".png");
    std::ofstream(absl::StrCat(folder_, "/", name)) << "picture" << i;
    arguments.push_back(name);
  }
  EXPECT_EQ(Hone(arguments), 0) << output_;
  EXPECT_THAT(models_.asked, ElementsAre(5, 2, 2, 1));
  EXPECT_THAT(output_, AllOf(HasSubstr("says picture0"), HasSubstr("says picture4")));
}

TEST_F(ModelsCommands, PredictSaysSoWhereOneInputHasTooLargeAnAnswer) {
  models_.most_inputs = 0;
  std::ofstream(folder_ + "/a.png") << "seven";
  EXPECT_NE(Hone({"predict", "models/1", "a.png"}), 0);
  EXPECT_THAT(output_, HasSubstr("the answer is too large"));
}

TEST_F(ModelsCommands, PredictAsksOfLongTextsInSeveralCalls) {
  std::ofstream texts(folder_ + "/texts.txt");
  for (int i = 0; i < 6; ++i) {
    texts << std::string(100000, 'x') << "\n";
  }
  texts.close();
  EXPECT_EQ(Hone({"predict", "models/1", "--text-file", "texts.txt"}), 0) << output_;
  EXPECT_THAT(models_.asked, ElementsAre(5, 1));
}

TEST_F(ModelsCommands, ChatNamesWhatIsNoUtf8) {
  EXPECT_EQ(Hone({"generate", "models/1", "--chat", "caf\xe9"}), 2);
  EXPECT_THAT(output_, HasSubstr("--chat: line 1 is not UTF-8"));
  EXPECT_EQ(Hone({"generate", "models/1", "--system", "caf\xe9", "--chat", "hi"}), 2);
  EXPECT_THAT(output_, HasSubstr("--system: line 1 is not UTF-8"));
}

}  // namespace
}  // namespace hone::client::cli
