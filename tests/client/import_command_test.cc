// `hone models import`, and names of models.
#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>

#include <fstream>
#include <map>

#include "client/cli/folder_archive.h"
#include "tests/client/server_commands_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::client::cli {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImportCommand : public ServerCommandsTest {
 protected:
  void SetUp() override {
    ServerCommandsTest::SetUp();
    net_ = folder_ + "/net";
    std::filesystem::create_directories(net_ + "/1_Pooling");
    for (const auto& [name, bytes] : files_) {
      std::ofstream(net_ + "/" + name, std::ios::binary) << bytes;
    }
    std::ofstream(net_ + "/pytorch_model.bin") << "not sent";
  }

  // An adapter that has some things more than a server shall have.
  void MakeAdapter() {
    std::filesystem::create_directories(folder_ + "/adapter/base");
    for (const auto& [name, bytes] : adapter_files_) {
      std::ofstream(folder_ + "/adapter/" + name, std::ios::binary) << bytes;
    }
    for (const char* name : {"base/config.json", "other.safetensors", "optimizer.pt",
                             "model.safetensors.index.json"}) {
      std::ofstream(folder_ + "/adapter/" + name) << "not sent";
    }
  }

  // What a library reads in the bytes of a tar.
  static std::map<std::string, std::string> Unpacked(const std::string& bytes) {
    std::map<std::string, std::string> files;
    archive* reader = archive_read_new();
    archive_read_support_format_tar(reader);
    EXPECT_EQ(archive_read_open_memory(reader, bytes.data(), bytes.size()), ARCHIVE_OK);
    archive_entry* entry = nullptr;
    while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
      std::string contents(static_cast<size_t>(archive_entry_size(entry)), '\0');
      archive_read_data(reader, contents.data(), contents.size());
      files[archive_entry_pathname(entry)] = contents;
    }
    archive_read_free(reader);
    return files;
  }

  const std::map<std::string, std::string> files_ = {
      {"config.json", "{}"},
      {"model.safetensors", std::string(300'000, 'w')},
      {"vocab.txt", std::string(512, 'v')},
      {"1_Pooling/config.json", "{\"a\": 1}"}};
  const std::map<std::string, std::string> adapter_files_ = {
      {"adapter_config.json", "{\"r\": 8}"},
      {"config.json", "{\"id2label\": {\"0\": \"no\"}}"},
      {"adapter_model.safetensors", std::string(3000, 'a')},
      {"tokenizer.json", "{}"}};
  std::string net_;
};

TEST_F(ImportCommand, SendsTheFilesOfTheFolderAsAnArchive) {
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_EQ(Unpacked(uploads_.bytes), files_);
  EXPECT_EQ(uploads_.header.format(), v1::Dataset::TAR);
  EXPECT_EQ(uploads_.header.sha256(), Sha256(uploads_.bytes));
  EXPECT_EQ(uploads_.header.bytes(), static_cast<int64_t>(uploads_.bytes.size()));
}

TEST_F(ImportCommand, NamesTheModelAfterTheFolderAndRemovesTheDataSet) {
  EXPECT_EQ(Hone({"models", "import", "net/"}), 0) << output_;
  ASSERT_EQ(models_.imported.size(), 1u);
  EXPECT_EQ(models_.imported[0].display_name(), "net");
  EXPECT_THAT(uploads_.deleted, ElementsAre(models_.imported[0].dataset()));
  EXPECT_THAT(output_, HasSubstr("hone generate models/imported"));
}

TEST_F(ImportCommand, ACutUploadGoesOnWhereItStopped) {
  uploads_.cut_at = 128 << 10;
  EXPECT_EQ(Hone({"models", "import", "net", "--name", "minilm"}), 0) << output_;
  EXPECT_EQ(Unpacked(uploads_.bytes), files_);
  EXPECT_EQ(models_.imported[0].display_name(), "minilm");
}

TEST_F(ImportCommand, IsAskedForAgainAfterTheLineBroke) {
  models_.first_import = {grpc::StatusCode::UNAVAILABLE, "the line broke"};
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_EQ(models_.imported.size(), 2u);
}

TEST_F(ImportCommand, WhatIsThereAlreadyIsNotSentAgain) {
  v1::Model& known = models_.named.emplace_back();
  known.set_name("models/known");
  known.set_display_name("net");
  const auto archive = FolderArchive::Of(net_);
  ASSERT_THAT(archive, IsOk());
  known.set_archive_sha256(archive->Sha256().value());
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("models/known"));
  EXPECT_EQ(uploads_.bytes, "");
}

TEST_F(ImportCommand, WhatAnInterruptedImportLeftIsRemovedWhereTheModelIsThere) {
  v1::Model& known = models_.named.emplace_back();
  known.set_display_name("net");
  const std::string sha256 = FolderArchive::Of(net_)->Sha256().value();
  known.set_archive_sha256(sha256);
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_THAT(uploads_.deleted, ElementsAre("datasets/import-" + sha256.substr(0, 16)));
}

TEST_F(ImportCommand, BytesThatSomebodyElseRemovedAreSentAgain) {
  models_.first_import = {grpc::StatusCode::NOT_FOUND, "there is no such data set any more"};
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_EQ(models_.imported.size(), 2u);
}

TEST_F(ImportCommand, AnArchiveWithoutANameIsCalledAfterItsBytes) {
  const auto archive = FolderArchive::Of(net_);
  ASSERT_THAT(archive, IsOk());
  std::string whole(static_cast<size_t>(archive->bytes()), '\0');
  ASSERT_THAT(archive->Read(0, whole), IsOk());
  std::ofstream(folder_ + "/.tar", std::ios::binary) << whole;
  EXPECT_EQ(Hone({"models", "import", ".tar"}), 0) << output_;
  EXPECT_THAT(models_.imported.at(0).display_name(), ::testing::StartsWith("import-"));
}

TEST_F(ImportCommand, FilesOfAModelOfOursAreNotSent) {
  std::ofstream(net_ + "/model.json") << "{}";
  std::ofstream(net_ + "/manifest.json") << "{}";
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_EQ(Unpacked(uploads_.bytes), files_);
}

TEST_F(ImportCommand, AFolderWithoutWeightsIsRefusedBeforeAnythingIsSent) {
  std::filesystem::remove(net_ + "/model.safetensors");
  EXPECT_THAT(FolderArchive::Of(net_).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("hone plan")));
}

TEST_F(ImportCommand, SendsAnAdapterWithItsBase) {
  MakeAdapter();
  EXPECT_EQ(Hone({"models", "import", "adapter", "--base", "net"}), 0) << output_;
  std::map<std::string, std::string> expected = adapter_files_;
  for (const auto& [name, bytes] : files_) {
    expected["base/" + name] = bytes;
  }
  EXPECT_EQ(Unpacked(uploads_.bytes), expected);
  ASSERT_EQ(models_.imported.size(), 1u);
  EXPECT_EQ(models_.imported[0].display_name(), "adapter");
}

TEST_F(ImportCommand, AnAdapterWithoutItsBaseIsToldToNameIt) {
  MakeAdapter();
  std::filesystem::remove(folder_ + "/adapter/config.json");
  EXPECT_EQ(Hone({"models", "import", "adapter"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("with --base"));
  EXPECT_EQ(uploads_.bytes, "");
}

TEST_F(ImportCommand, AnAdapterBesideItsBaseIsSentAsItIs) {
  std::ofstream(net_ + "/adapter_config.json") << "{}";
  std::ofstream(net_ + "/adapter_model.safetensors") << "a";
  EXPECT_EQ(Hone({"models", "import", "net"}), 0) << output_;
  EXPECT_EQ(Unpacked(uploads_.bytes).size(), files_.size() + 2);
}

TEST_F(ImportCommand, ABaseOfWhatIsNoAdapterIsRefused) {
  EXPECT_EQ(Hone({"models", "import", "net", "--base", "net"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("--base: net is no adapter"));
}

TEST_F(ImportCommand, ABaseOfAnArchiveIsRefused) {
  std::ofstream(folder_ + "/a.tar") << "an archive";
  EXPECT_EQ(Hone({"models", "import", "a.tar", "--base", "net"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("--base: goes with an adapter's folder"));
}

TEST_F(ImportCommand, ABaseThatIsNotThereIsNamed) {
  MakeAdapter();
  EXPECT_EQ(Hone({"models", "import", "adapter", "--base", "nowhere"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("--base: nowhere: "));
}

TEST_F(ImportCommand, ABaseThatIsAnAdapterTooIsRefused) {
  MakeAdapter();
  EXPECT_EQ(Hone({"models", "import", "adapter", "--base", "adapter"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("--base: adapter is an adapter, too"));
}

TEST_F(ImportCommand, ABaseWithoutAConfigIsRefused) {
  MakeAdapter();
  std::filesystem::remove(net_ + "/config.json");
  EXPECT_EQ(Hone({"models", "import", "adapter", "--base", "net"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("--base: net: has no config.json"));
}

TEST_F(ImportCommand, AnArchiveIsReadFromAnyPlace) {
  const auto archive = FolderArchive::Of(net_);
  ASSERT_THAT(archive, IsOk());
  std::string whole(static_cast<size_t>(archive->bytes()), '\0');
  ASSERT_THAT(archive->Read(0, whole), IsOk());
  for (const int64_t offset : {int64_t{1}, int64_t{511}, int64_t{512}, int64_t{300'700}}) {
    std::string chunk(1000, '\0');
    ASSERT_THAT(archive->Read(offset, chunk), IsOk());
    EXPECT_EQ(chunk, whole.substr(static_cast<size_t>(offset), chunk.size())) << offset;
  }
  std::string behind(10, '\0');
  ASSERT_THAT(archive->Read(archive->bytes(), behind), IsOk());
  EXPECT_EQ(behind, "");
}

TEST_F(ImportCommand, AModelIsFoundByItsDisplayName) {
  v1::Model& known = models_.named.emplace_back();
  known.set_name("models/7");
  known.set_display_name("minilm");
  std::ofstream(folder_ + "/a.png") << "seven";
  EXPECT_EQ(Hone({"predict", "minilm", "a.png"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("models/7 says seven"));
}

TEST_F(ImportCommand, AModelThatNobodyHasIsToldSo) {
  std::ofstream(folder_ + "/a.png") << "seven";
  EXPECT_EQ(Hone({"predict", "minilm", "a.png"}), 2) << output_;
  EXPECT_THAT(output_, HasSubstr("none is called minilm"));
}

}  // namespace
}  // namespace hone::client::cli
