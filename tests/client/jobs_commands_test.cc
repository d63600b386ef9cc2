#include <gmock/gmock.h>

#include <fstream>

#include "tests/client/server_commands_testing.h"

// `hone jobs …`.
namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using JobsCommands = ServerCommandsTest;

TEST_F(JobsCommands, RetryComesAgainWhenTheLineBreaksWithTheSameRequestId) {
  EXPECT_EQ(Hone({"jobs", "retry", "jobs/1"}), 0) << output_;
  ASSERT_EQ(training_.retried.size(), 2u);
  EXPECT_FALSE(training_.retried[0].request_id().empty());
  EXPECT_EQ(training_.retried[0].request_id(), training_.retried[1].request_id());
}

TEST_F(JobsCommands, AServerThatIsNotThereEndsWithThree) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"jobs", "list"},
                                                  {"watch", "1"},
                                                  {"models", "show", "1"},
                                                  {"sweeps", "watch", "1"}}) {
    std::vector<std::string> arguments = {"--server", "127.0.0.1:1"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    EXPECT_EQ(Hone(arguments), 3) << command[0];
    EXPECT_THAT(output_, HasSubstr("cannot reach the server at 127.0.0.1:1"));
  }
}

TEST_F(JobsCommands, AnUnknownJobEndsWithTwo) {
  EXPECT_EQ(Hone({"jobs", "show", "7"}), 2);
  EXPECT_THAT(output_, HasSubstr("no job jobs/7"));
}

TEST_F(JobsCommands, CancelSaysWhyItCannot) {
  EXPECT_EQ(Hone({"jobs", "cancel", "1"}), 2);
  EXPECT_THAT(output_, HasSubstr("has ended already"));
}

TEST_F(JobsCommands, ListReadsEveryPage) {
  EXPECT_EQ(Hone({"jobs", "list"}), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("jobs/2"), HasSubstr("jobs/1"), HasSubstr("succeeded")));
}

TEST_F(JobsCommands, AnUnknownSubcommandIsToldWhichThereAre) {
  EXPECT_EQ(Hone({"jobs", "frobnicate"}), 2);
  EXPECT_THAT(output_, AllOf(HasSubstr("there is no command `hone jobs frobnicate`"),
                             HasSubstr("list, show, cancel"), HasSubstr("`hone jobs --help`")));
  EXPECT_EQ(Hone({"jobs"}), 2);
  EXPECT_THAT(output_, HasSubstr("`hone jobs` needs a command; there are: list, show, cancel"));
}

TEST_F(JobsCommands, ListRefusesAnUnknownState) {
  EXPECT_EQ(Hone({"jobs", "list", "--state", "done"}), 2);
  EXPECT_THAT(output_, HasSubstr("known: queued, running"));
}

TEST_F(JobsCommands, UpdateSendsWhatWasGivenAndKeepsTheOtherLabels) {
  EXPECT_EQ(Hone({"jobs", "update", "1", "--priority", "0", "--label", "team=b", "--label", "x=y",
                  "--remove-label", "run"}),
            0)
      << output_;
  const v1::UpdateJobRequest& request = training_.updated;
  EXPECT_EQ(request.job().name(), "jobs/1");
  EXPECT_THAT(request.update_mask().paths(), ::testing::UnorderedElementsAre("priority", "labels"));
  EXPECT_THAT(request.job().labels(), ::testing::UnorderedElementsAre(::testing::Pair("team", "b"),
                                                                      ::testing::Pair("x", "y")));
}

TEST_F(JobsCommands, UpdateWithoutAChangeEndsWithTwo) {
  EXPECT_EQ(Hone({"jobs", "update", "1"}), 2);
  EXPECT_THAT(output_, HasSubstr("--priority"));
}

TEST_F(JobsCommands, ArtifactsAreListedFromEveryPage) {
  EXPECT_EQ(Hone({"jobs", "artifacts", "1"}), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("a.txt"), HasSubstr("samples/b.txt")));
}

TEST_F(JobsCommands, AnArtifactIsBroughtBelowTheFolderThatWasAskedFor) {
  EXPECT_EQ(Hone({"jobs", "artifacts", "1", "get", "samples/b.txt", "a.txt", "--to", "out"}), 0)
      << output_;
  EXPECT_EQ(*ReadFile(folder_ + "/out/samples/b.txt"), "one two");
  EXPECT_EQ(*ReadFile(folder_ + "/out/a.txt"), "one two");
}

TEST_F(JobsCommands, AnArtifactLeavesNothingBehindWhenItBreaksOff) {
  EXPECT_NE(Hone({"jobs", "artifacts", "1", "get", "cut.txt"}), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(JobsCommands, AnArtifactIsNeitherWrittenOutsideNorOverAFile) {
  EXPECT_NE(Hone({"jobs", "artifacts", "1", "get", "../a.txt"}), 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/../a.txt"));
  std::ofstream(folder_ + "/a.txt") << "mine";
  EXPECT_EQ(Hone({"jobs", "artifacts", "1", "get", "a.txt"}), 2);
  EXPECT_EQ(*ReadFile(folder_ + "/a.txt"), "mine");
}

}  // namespace
}  // namespace hone::client::cli
