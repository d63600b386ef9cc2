#include <gmock/gmock.h>

#include <fstream>

#include "tests/client/server_commands_testing.h"

// `hone models …` and `hone predict`.
namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

TEST_F(ModelsCommands, ExportDoesNotOverwrite) {
  std::filesystem::create_directory(folder_ + "/out");
  EXPECT_EQ(Hone({"models", "export", "1", "out"}), 2);
}

TEST_F(ModelsCommands, ExportInAFormatDoesNotOverwrite) {
  std::filesystem::create_directory(folder_ + "/out");
  EXPECT_EQ(Hone({"models", "export", "1", "out", "--format", "onnx"}), 2);
}

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

TEST_F(ModelsCommands, PredictAsksTheServer) {
  std::ofstream(folder_ + "/a.png") << "seven";
  EXPECT_EQ(Hone({"predict", "models/1", "a.png"}), 0);
  EXPECT_THAT(output_, HasSubstr("models/1 says seven"));
}

}  // namespace
}  // namespace hone::client::cli
