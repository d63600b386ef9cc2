#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/data/load.h"
#include "engine/image/image.h"
#include "tests/engine/data_testing.h"
#include "tests/engine/tar_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Png() { return image::EncodePng({1, 4, 4, std::vector<uint8_t>(16, 7)}).value(); }

// Names and words become the text of messages and model files, which is UTF-8.
class TextOfData : public DataTest {
 protected:
  absl::Status LoadStatus(const std::string& name = "") const {
    LoadOptions options = Options(name);
    options.test_fraction = 0;
    return Load(options).status();
  }
};

TEST_F(TextOfData, ATableOfAnotherEncodingIsRefusedWithItsLine) {
  Write("table.csv", "a,kind\n1,weiblich\n2,m\xe4nnlich\n");
  EXPECT_THAT(LoadStatus("table.csv"),
              StatusIs(kInvalid, AllOf(HasSubstr("table.csv: line 3 is not UTF-8"),
                                       HasSubstr("save the file as UTF-8"))));
}

TEST_F(TextOfData, ATableInUtf8IsReadAsItIs) {
  Write("table.csv",
        "gr\xc3\xb6\xc3\x9f"
        "e,kind\n1,weiblich\n2,m\xc3\xa4nnlich\n");
  LoadOptions options = Options("table.csv");
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("m\xc3\xa4nnlich", "weiblich"));
}

TEST_F(TextOfData, ACellThatIsQuotedInAnErrorIsCutBetweenItsCharacters) {
  std::string text = "a,y\n";
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&text, i, ",x", i % 2, "\n");
  }
  std::string word = "x";
  for (int i = 0; i < 30; ++i) {
    word += "\xc3\xa4";
  }
  Write("table.csv", text + word + ",x0\n");
  EXPECT_THAT(LoadStatus("table.csv"),
              StatusIs(kInvalid, HasSubstr(absl::StrCat("'", word.substr(0, 39), "'"))));
}

TEST_F(TextOfData, AFolderOfPicturesWhoseNameIsNoUtf8IsRefusedByName) {
  Write("cat/1.png", Png());
  Write("k\xe4tzchen/1.png", Png());
  EXPECT_THAT(LoadStatus(), StatusIs(kInvalid, AllOf(HasSubstr("k\\xe4tzchen/1.png"),
                                                     HasSubstr("is not UTF-8: rename"))));
}

TEST_F(TextOfData, NamesOfAnArchiveInUtf8AreItsClasses) {
  Tar(Path("set.tar"), {{"k\xc3\xa4tzchen/1.png", Png()}, {"dog/1.png", Png()}});
  LoadOptions options = Options("set.tar");
  options.test_fraction = 0;
  const auto data = Load(options);
  ASSERT_THAT(data, IsOk());
  EXPECT_THAT(data->dataset.class_names(), ElementsAre("dog", "k\xc3\xa4tzchen"));
}

}  // namespace
}  // namespace hone::engine::data
