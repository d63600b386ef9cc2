// Checkpoints in archives: what is kept of them, and what nobody may send.
#include <gmock/gmock.h>

#include <functional>

#include "engine/huggingface/unpack.h"
#include "tests/engine/checkpoint_folder.h"
#include "tests/engine/tar_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::huggingface {
namespace {

using ::hone::testing::Contents;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kRoom = 1 << 20;

using Files = std::vector<std::pair<std::string, std::string>>;
const Files kWhole = {{"config.json", "{}"}, {"model.safetensors", "weights"}};
const Files kOnBase = {{"adapter_config.json", "{}"},
                       {"adapter_model.safetensors", "factors"},
                       {"base/config.json", "{}"},
                       {"base/model.safetensors", "weights"}};

Files With(Files files, const std::string& name, const std::string& bytes = "x") {
  files.emplace_back(name, bytes);
  return files;
}

class UnpackTest : public ::testing::Test {
 protected:
  UnpackTest() { std::filesystem::create_directory(out_); }

  absl::Status UnpackFiles(const Files& files, int64_t room = kRoom,
                           const std::string& name = "model.tar") {
    return Unpack(data::Tar(folder_ / name, files), out_, room);
  }
  // With an entry whose kind `set` says.
  absl::Status UnpackWith(const std::function<void(archive_entry*)>& set) {
    const std::string path = folder_ / "odd.tar";
    archive* out = archive_write_new();
    archive_write_set_format_ustar(out);
    EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
    for (const auto& [name, bytes] : With(kWhole, "odd.txt", "")) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, name.c_str());
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_entry_set_perm(entry, 0644);
      archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
      if (name == "odd.txt") {
        set(entry);
      }
      EXPECT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
      archive_write_data(out, bytes.data(), bytes.size());
      archive_entry_free(entry);
    }
    archive_write_free(out);
    return Unpack(path, out_, kRoom);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(out_)) {
      if (entry.is_regular_file()) {
        names.push_back(std::filesystem::relative(entry.path(), out_).string());
      }
    }
    return names;
  }

  const Folder folder_;
  const std::string out_ = folder_ / "out";
};

TEST_F(UnpackTest, FilesOfTheCheckpointAreKeptAndOthersAreNot) {
  Files files = kWhole;
  for (const char* name : {"tokenizer.json", "vocab.txt", "1_Pooling/config.json", "README.md",
                           "pytorch_model.bin", "onnx/model.onnx", ".gitattributes", "x.png"}) {
    files.emplace_back(name, name);
  }
  ASSERT_THAT(UnpackFiles(files), IsOk());
  EXPECT_THAT(Names(),
              ::testing::UnorderedElementsAre("config.json", "model.safetensors", "tokenizer.json",
                                              "vocab.txt", "1_Pooling/config.json", "README.md"));
  EXPECT_EQ(Contents(out_ + "/model.safetensors"), "weights");
}

TEST_F(UnpackTest, FilesOfAModelOfOursAreNotKept) {
  ASSERT_THAT(UnpackFiles(With(With(kWhole, "model.json"), "manifest.json")), IsOk());
  EXPECT_THAT(Names(), ::testing::UnorderedElementsAre("config.json", "model.safetensors"));
}

TEST_F(UnpackTest, ANameThatTheDiskDoesNotTakeIsRefused) {
  EXPECT_THAT(UnpackFiles(With(kWhole, std::string(251, 'n') + ".json")),
              StatusIs(kInvalid, HasSubstr("at most 255 bytes")));
}

TEST_F(UnpackTest, ANameThatIsNotUtf8IsRefused) {
  EXPECT_THAT(UnpackFiles(With(kWhole, "a\xff.txt")),
              StatusIs(kInvalid, AllOf(HasSubstr("\\xff.txt"), HasSubstr("UTF-8"))));
}

TEST_F(UnpackTest, AFileThatIsAFolderTooIsRefused) {
  EXPECT_THAT(UnpackFiles(With(With(kWhole, "a.json"), "a.json/b.json")),
              StatusIs(kInvalid, HasSubstr("is a file and a folder")));
}

TEST_F(UnpackTest, AFolderThatIsAFileTooIsRefused) {
  EXPECT_THAT(UnpackFiles(With(With(kWhole, "a.json/b.json"), "a.json")),
              StatusIs(kInvalid, HasSubstr("is a file and a folder")));
}

TEST_F(UnpackTest, TheFloorOfFreeDiskIsLeftAlone) {
  EXPECT_THAT(Unpack(data::Tar(folder_ / "model.tar", kWhole), out_, kRoom,
                     /*disk_floor_bytes=*/int64_t{1} << 60),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("the floor of")));
}

TEST_F(UnpackTest, TheCheckpointMayLieInAFolderOfAGzippedArchive) {
  ASSERT_THAT(UnpackFiles({{"./net/config.json", "{}"}, {"./net/model.safetensors", "weights"}},
                          kRoom, "model.tar.gz"),
              IsOk());
  EXPECT_EQ(Contents(out_ + "/model.safetensors"), "weights");
}

TEST_F(UnpackTest, ANameThatLeadsOutOfTheFolderIsRefused) {
  for (const char* name : {"../x.json", "a/../../x.json", "/x.json"}) {
    EXPECT_THAT(UnpackFiles(With(kWhole, name)), StatusIs(kInvalid, HasSubstr("leads out of")))
        << name;
    EXPECT_THAT(Names(), ::testing::IsEmpty());
  }
}

TEST_F(UnpackTest, ASymbolicLinkIsRefused) {
  EXPECT_THAT(UnpackWith([](archive_entry* entry) {
                archive_entry_set_filetype(entry, AE_IFLNK);
                archive_entry_set_symlink(entry, "/etc/passwd");
              }),
              StatusIs(kInvalid, AllOf(HasSubstr("odd.txt"), HasSubstr("not a link"))));
}

TEST_F(UnpackTest, AHardLinkIsRefused) {
  EXPECT_THAT(
      UnpackWith([](archive_entry* entry) { archive_entry_set_hardlink(entry, "config.json"); }),
      StatusIs(kInvalid, HasSubstr("not a link")));
}

TEST_F(UnpackTest, ADeviceIsRefused) {
  EXPECT_THAT(UnpackWith([](archive_entry* entry) { archive_entry_set_filetype(entry, AE_IFCHR); }),
              StatusIs(kInvalid, HasSubstr("a device")));
}

TEST_F(UnpackTest, FilesThatAreLargerTogetherThanTheRoomAreRefused) {
  EXPECT_THAT(UnpackFiles(With(kWhole, "other.bin", std::string(100, 'x')), 100),
              StatusIs(kInvalid, HasSubstr("more than 100 bytes")));
  EXPECT_THAT(Names(), ::testing::IsEmpty());
}

TEST_F(UnpackTest, AFileThatIsThereTwiceIsRefused) {
  EXPECT_THAT(UnpackFiles(With(kWhole, "./config.json")), StatusIs(kInvalid, HasSubstr("twice")));
}

TEST_F(UnpackTest, AnArchiveWithoutACheckpointIsRefused) {
  EXPECT_THAT(UnpackFiles({{"a.csv", "1,2"}}), StatusIs(kInvalid, HasSubstr("no config.json")));
}

TEST_F(UnpackTest, AnAdapterWithoutItsBaseIsRefused) {
  const Files files = {{"config.json", "{}"},
                       {"adapter_config.json", R"({"base_model_name_or_path": "/etc"})"},
                       {"adapter_model.safetensors", "x"}};
  EXPECT_THAT(UnpackFiles(files), StatusIs(kInvalid, HasSubstr("an adapter without its base")));
  EXPECT_THAT(UnpackFiles(With(files, "model.safetensors")), IsOk());
}

TEST_F(UnpackTest, AnAdapterWithoutAConfigIsToldToNameItsBase) {
  const Files files = {{"adapter_config.json", "{}"}, {"adapter_model.safetensors", "x"}};
  EXPECT_THAT(UnpackFiles(files), StatusIs(kInvalid, HasSubstr("--base")));
  // Weights without a config are no base.
  EXPECT_THAT(UnpackFiles(With(files, "model.safetensors")),
              StatusIs(kInvalid, HasSubstr("an adapter without its base")));
}

TEST_F(UnpackTest, AnAdapterIsKeptWithTheBaseInItsFolder) {
  Files files = kOnBase;
  for (const char* name : {"base/vocab.txt", "base/1_Pooling/config.json", "base/model.json",
                           "base/pytorch_model.bin", "base/.hidden.json", "other/vocab.txt"}) {
    files.emplace_back(name, name);
  }
  ASSERT_THAT(UnpackFiles(files), IsOk());
  EXPECT_THAT(Names(),
              ::testing::UnorderedElementsAre("adapter_config.json", "adapter_model.safetensors",
                                              "base/config.json", "base/model.safetensors",
                                              "base/vocab.txt", "base/1_Pooling/config.json"));
  EXPECT_EQ(Contents(out_ + "/base/model.safetensors"), "weights");
}

TEST_F(UnpackTest, AnAdapterAndItsBaseMayLieInAFolderOfTheArchive) {
  Files files;
  for (const auto& [name, bytes] : kOnBase) {
    files.emplace_back("./net/" + name, bytes);
  }
  ASSERT_THAT(UnpackFiles(files), IsOk());
  EXPECT_EQ(Contents(out_ + "/adapter_model.safetensors"), "factors");
  EXPECT_EQ(Contents(out_ + "/base/model.safetensors"), "weights");
}

TEST_F(UnpackTest, AFolderCalledBaseIsNoneInACheckpoint) {
  Files files = kWhole;
  files.emplace_back("base/config.json", "{}");
  files.emplace_back("base/model.safetensors", "weights");
  ASSERT_THAT(UnpackFiles(files), IsOk());
  EXPECT_THAT(Names(), ::testing::UnorderedElementsAre("config.json", "model.safetensors",
                                                       "base/config.json"));
}

TEST_F(UnpackTest, ABaseThatIsAnAdapterTooIsRefused) {
  EXPECT_THAT(UnpackFiles(With(kOnBase, "base/adapter_config.json")),
              StatusIs(kInvalid, HasSubstr("is an adapter, too")));
  EXPECT_THAT(Names(), ::testing::IsEmpty());
}

TEST_F(UnpackTest, ABaseWithoutWeightsIsRefused) {
  Files files = kOnBase;
  files.pop_back();
  EXPECT_THAT(UnpackFiles(files), StatusIs(kInvalid, HasSubstr("model.tar/base: has neither")));
}

TEST_F(UnpackTest, ANameThatLeadsOutOfTheBaseIsRefused) {
  EXPECT_THAT(UnpackFiles(With(kOnBase, "base/../../x.json")),
              StatusIs(kInvalid, HasSubstr("leads out of")));
}

TEST_F(UnpackTest, ALinkToTheBaseIsRefused) {
  EXPECT_THAT(UnpackWith([](archive_entry* entry) {
                archive_entry_set_pathname(entry, "base");
                archive_entry_set_filetype(entry, AE_IFLNK);
                archive_entry_set_symlink(entry, "/etc");
              }),
              StatusIs(kInvalid, HasSubstr("not a link")));
}

TEST_F(UnpackTest, AFileOfTheBaseThatIsAFolderTooIsRefused) {
  EXPECT_THAT(UnpackFiles(With(With(kOnBase, "base/a.json"), "base/a.json/b.json")),
              StatusIs(kInvalid, HasSubstr("is a file and a folder")));
}

TEST_F(UnpackTest, AnArchiveOfSeveralCheckpointsIsRefused) {
  EXPECT_THAT(UnpackFiles({{"a/config.json", "{}"}, {"b/config.json", "{}"}}),
              StatusIs(kInvalid, HasSubstr("several checkpoints")));
}

TEST_F(UnpackTest, WeightsThatAreAProgramsObjectsAreToBeConverted) {
  EXPECT_THAT(UnpackFiles({{"config.json", "{}"}, {"pytorch_model.bin", "x"}}),
              StatusIs(kInvalid, HasSubstr("Convert it")));
}

TEST_F(UnpackTest, ADamagedArchiveIsRefused) {
  const std::string path = data::Tar(folder_ / "model.tar", kWhole);
  std::filesystem::resize_file(path, 700);
  EXPECT_THAT(Unpack(path, out_, kRoom), StatusIs(kInvalid, HasSubstr("damaged or truncated")));
}

}  // namespace
}  // namespace hone::engine::huggingface
