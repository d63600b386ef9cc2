#include "client/cli/contexts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/access.h"

namespace hone::client::cli {
namespace {

using ::testing::HasSubstr;

class ContextsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "hone-contexts-XXXXXX";
    base_ = mkdtemp(pattern.data());
    folder_ = base_ + "/hone";
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  void Write(const std::string& text) const {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/config.yaml") << text;
    chmod((folder_ + "/config.yaml").c_str(), 0600);
  }
  std::string ErrorOf(const std::string& text) const {
    Write(text);
    return std::string(ReadContexts(folder_).status().message());
  }
  static unsigned ModeOf(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
    return found.st_mode & 0777u;
  }

  std::string base_, folder_;
};

TEST_F(ContextsTest, WhereThereIsNoFileThereAreNoContexts) {
  const absl::StatusOr<Contexts> contexts = ReadContexts(folder_);
  ASSERT_TRUE(contexts.ok()) << contexts.status();
  EXPECT_TRUE(contexts->all.empty());
}

TEST_F(ContextsTest, AFileOfCommentsAloneHasNoContexts) {
  Write("# later\n\n");
  const absl::StatusOr<Contexts> contexts = ReadContexts(folder_);
  ASSERT_TRUE(contexts.ok()) << contexts.status();
  EXPECT_TRUE(contexts->all.empty());
}

TEST_F(ContextsTest, WhatIsWrittenIsReadAgain) {
  const Context lab{.server = "lab.example.org:50051",
                    .tls = true,
                    .tls_ca = "/etc/a \"b\": c\n#d.pem",
                    .token_file = "/home/anna/token",
                    .project = "vision"};
  ASSERT_TRUE(ChangeContexts(folder_, [&](Contexts& contexts) {
                contexts.all["lab"] = lab;
                contexts.all["here"] = {};
                contexts.current = "lab";
                return absl::OkStatus();
              }).ok());
  const absl::StatusOr<Contexts> read = ReadContexts(folder_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->current, "lab");
  ASSERT_EQ(read->all.size(), 2u);
  const Context& found = read->all.at("lab");
  EXPECT_EQ(found.server, lab.server);
  EXPECT_TRUE(found.tls);
  EXPECT_EQ(found.tls_ca, lab.tls_ca);
  EXPECT_EQ(found.token_file, lab.token_file);
  EXPECT_EQ(found.project, lab.project);
}

TEST_F(ContextsTest, NobodyElseMayReadWhatIsWritten) {
  umask(0);
  ASSERT_TRUE(ChangeContexts(folder_, [](Contexts&) { return absl::OkStatus(); }).ok());
  ASSERT_TRUE(WriteToken(TokenFileOf(folder_, "lab"), "hone_secret").ok());
  EXPECT_EQ(ModeOf(folder_), 0700u);
  EXPECT_EQ(ModeOf(folder_ + "/config.yaml"), 0600u);
  EXPECT_EQ(ModeOf(TokenFileOf(folder_, "lab")), 0600u);
}

TEST_F(ContextsTest, ATokenThatWasWrittenIsReadAsAToken) {
  ASSERT_TRUE(WriteToken(TokenFileOf(folder_, "lab"), "hone_secret").ok());
  const absl::StatusOr<std::string> token = ReadToken(TokenFileOf(folder_, "lab"));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(*token, "hone_secret");
}

TEST_F(ContextsTest, AFileThatOthersMayChangeIsRefused) {
  Write("contexts: {}\n");
  chmod((folder_ + "/config.yaml").c_str(), 0622);
  EXPECT_THAT(ReadContexts(folder_).status().message(), HasSubstr("others may change this file"));
}

TEST_F(ContextsTest, ASyntaxErrorIsNamedWithItsLine) {
  EXPECT_THAT(ErrorOf("current: a\ncontexts:\n  a: [\n"), HasSubstr("config.yaml:4:"));
}

TEST_F(ContextsTest, AnUnknownKeyIsNamedWithItsLineAndTheKnownOnes) {
  EXPECT_THAT(ErrorOf("contexts:\n  a:\n    sever: b:1\n"),
              AllOf(HasSubstr("config.yaml:3:5: unknown key `sever`"), HasSubstr("server")));
}

TEST_F(ContextsTest, ATokenInTheFileIsRefused) {
  EXPECT_THAT(ErrorOf("contexts:\n  a:\n    token: hone_x\n"),
              AllOf(HasSubstr("config.yaml:3:5"), HasSubstr("hone login"),
                    ::testing::Not(HasSubstr("hone_x"))));
}

TEST_F(ContextsTest, ACurrentContextThatIsNotThereIsRefused) {
  EXPECT_THAT(ErrorOf("current: b\ncontexts: {a: {}}\n"), HasSubstr("`b`"));
}

TEST_F(ContextsTest, AContextThatIsThereTwiceIsRefused) {
  EXPECT_THAT(ErrorOf("contexts:\n  a: {}\n  a: {}\n"), HasSubstr("config.yaml:3:3"));
}

TEST_F(ContextsTest, TlsIsTrueOrFalse) {
  EXPECT_THAT(ErrorOf("contexts:\n  a: {tls: maybe}\n"), HasSubstr("must be true or false"));
}

TEST_F(ContextsTest, AChangeThatFailsLeavesTheFile) {
  Write("contexts: {a: {server: \"b:1\"}}\n");
  EXPECT_FALSE(ChangeContexts(folder_, [](Contexts& contexts) {
                 contexts.all.clear();
                 return absl::NotFoundError("no");
               }).ok());
  EXPECT_EQ(ReadContexts(folder_)->all.size(), 1u);
}

TEST_F(ContextsTest, ChangesAtTheSameTimeAllCount) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      EXPECT_TRUE(ChangeContexts(folder_, [i](Contexts& contexts) {
                    contexts.all[absl::StrCat("c", i)] = {};
                    return absl::OkStatus();
                  }).ok());
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(ReadContexts(folder_)->all.size(), 8u);
}

TEST_F(ContextsTest, AnUnknownContextIsToldTheNearestOne) {
  Contexts contexts;
  contexts.all["staging"] = {};
  EXPECT_THAT(FindContext(contexts, "stagign").status().message(),
              HasSubstr("did you mean `staging`"));
}

TEST(ContextNamesTest, ANameThatLeadsElsewhereIsRefused) {
  for (const char* name : {"", "../x", "a/b", ".hidden", "-x", "a b", "ü"}) {
    EXPECT_FALSE(CheckContextName(name).ok()) << name;
  }
  EXPECT_FALSE(CheckContextName(std::string(65, 'a')).ok());
  EXPECT_TRUE(CheckContextName("lab-2.example_org").ok());
}

}  // namespace
}  // namespace hone::client::cli
