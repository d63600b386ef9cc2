#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "server/command_line/completion.h"
#include "server/command_line/manual.h"

// What a program says of its command line: completions for shells, and its manual page.
namespace hone::server::command_line {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() : app_("Does things.", "tool") {
    app_.add_option("--server", server_, "where it is; host and port")
        ->envname("TOOL_SERVER")
        ->capture_default_str();
    app_.add_flag("--loud", loud_, "says more");
    CLI::App* jobs = app_.add_subcommand("jobs", "The jobs.");
    jobs->fallthrough();
    CLI::App* show = jobs->add_subcommand("show", "One job.");
    show->fallthrough();
    show->add_option("JOB", job_, "its name")->required();
    show->add_option("--form", form_, ".starts with a dot")
        ->check(CLI::IsMember({"long", "short"}));
    show->add_option("--count", count_, "how many")->check(CLI::Range(1, 9));
    app_.add_subcommand("join", "Joins.");
  }

  std::vector<std::string> Words(const std::vector<std::string>& words) {
    const Completion found =
        Complete(app_, words,
                 [this](const std::string& what, const std::vector<std::string>& given,
                        Completion& completion) {
                   asked_ = what;
                   given_ = given;
                   if (what != "JOB") {
                     return false;
                   }
                   completion.words = {{"jobs/abc", "first"}, {"jobs/xyz", "second"}};
                   return true;
                 });
    files_ = found.files;
    std::vector<std::string> texts;
    for (const Word& word : found.words) {
      texts.push_back(word.text);
    }
    return texts;
  }

  CLI::App app_;
  std::string server_ = "a:1", job_, form_;
  bool loud_ = false;
  int count_ = 1;
  std::string asked_;
  std::vector<std::string> given_;
  bool files_ = false;
};

TEST_F(CommandLineTest, CommandsThatBeginSoAreOffered) {
  EXPECT_THAT(Words({"jo"}), ElementsAre("jobs", "join"));
  EXPECT_THAT(Words({"jobs", ""}), ElementsAre("show"));
}

TEST_F(CommandLineTest, OptionsOfTheProgramFitAfterACommand) {
  const std::vector<std::string> words = Words({"jobs", "show", "--"});
  EXPECT_THAT(words, Contains("--form"));
  EXPECT_THAT(words, Contains("--server"));
}

TEST_F(CommandLineTest, NamesAreAskedForWithTheOptionsOfTheLine) {
  EXPECT_THAT(Words({"--server", "b:2", "jobs", "show", "--loud", ""}),
              ElementsAre("jobs/abc", "jobs/xyz"));
  EXPECT_EQ(asked_, "JOB");
  EXPECT_THAT(given_, ElementsAre("--server=b:2", "--loud"));
}

TEST_F(CommandLineTest, ANameFitsByItsIdAlone) {
  EXPECT_THAT(Words({"jobs", "show", "xy"}), ElementsAre("xyz"));
  EXPECT_THAT(Words({"jobs", "show", "jobs/x"}), ElementsAre("jobs/xyz"));
}

TEST_F(CommandLineTest, NothingFitsAfterTheLastPositional) {
  EXPECT_THAT(Words({"jobs", "show", "abc", ""}), IsEmpty());
  EXPECT_FALSE(files_);
}

TEST_F(CommandLineTest, ChoicesFitAsWordsAndBehindTheSign) {
  EXPECT_THAT(Words({"jobs", "show", "--form", "s"}), ElementsAre("short"));
  EXPECT_THAT(Words({"jobs", "show", "--form=l"}), ElementsAre("--form=long"));
}

TEST_F(CommandLineTest, FilesFitWhereNothingIsKnownButNumbers) {
  Words({"--server", ""});
  EXPECT_TRUE(files_);
  Words({"jobs", "show", "--count", ""});
  EXPECT_FALSE(files_);
}

TEST_F(CommandLineTest, BashsPiecesAreOneWordAgain) {
  EXPECT_EQ(CompletionText("bash", app_, {"jobs", "show", "--form", "=", "l"}, nullptr),
            "long\t\n");
  EXPECT_EQ(CompletionText("bash", app_, {"--server", "a", ":", "1", "jobs", "sh"}, nullptr),
            "show\tOne job\n");
}

TEST_F(CommandLineTest, AnUnknownShellHasNoScript) {
  EXPECT_EQ(CompletionScript("csh", "tool"), "");
  for (const char* shell : kShells) {
    EXPECT_THAT(CompletionScript(shell, "tool"), HasSubstr("__complete")) << shell;
    EXPECT_THAT(CompletionScript(shell, "tool"), Not(HasSubstr("PROGRAM"))) << shell;
  }
}

TEST_F(CommandLineTest, ThePageHasEveryCommandOptionRangeVariableAndDefault) {
  const std::string page = TreeText(app_) + EnvironmentText(app_, {});
  for (const char* text : {"tool jobs show", "JOB", "\\-\\-form", "long|short", "1 to 9",
                           "TOOL_SERVER", "Default: a:1"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
}

TEST_F(CommandLineTest, TextIsNoCommandOfThePage) {
  EXPECT_THAT(TreeText(app_), HasSubstr("\n\\&.starts with a dot"));
  EXPECT_EQ(Escape("a\\b"), "a\\eb");
}

}  // namespace
}  // namespace hone::server::command_line
