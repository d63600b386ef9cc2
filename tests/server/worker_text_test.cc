#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "server/worker_process/worker_process.h"

namespace hone::server::worker {
namespace {

using ::testing::HasSubstr;

using Files = std::map<std::string, std::string>;

// What the real worker says of one of these files, or of "data", the folder that they are in, as
// honed reads it.
v1::WorkerFrame InspectOf(const Files& files, const std::string& what) {
  std::string folder = ::testing::TempDir() + "/hone-text-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    return {};
  }
  for (const auto& [name, text] : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / "data" / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::DATASET);
  request.set_dataset_path(folder + "/" + what);
  request.mutable_spec()->mutable_data()->set_dataset("t");
  request.set_preview_rows(1);
  request.set_threads(1);
  v1::WorkerFrame answer;
  auto worker = worker_process::WorkerProcess::Start(
      request, {.binary = HONE_WORKER_BINARY, .request_path = folder + "/r", .output_path = ""});
  EXPECT_TRUE(worker.ok()) << worker.status();
  for (bool ended = !worker.ok(); !ended;) {
    const auto received = (*worker)->Read(absl::Seconds(60));
    EXPECT_TRUE(received.ok()) << received.status();
    ended = !received.ok() || received->ended;
    if (!ended && received->frame.has_value() && received->frame->has_dataset()) {
      answer = *received->frame;
    }
  }
  std::filesystem::remove_all(folder);
  return answer;
}

v1::WorkerFrame Inspect(const std::string& table) {
  return InspectOf({{"t.csv", table}}, "data/t.csv");
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) {
    all += text;
  }
  return all;
}

TEST(DatasetReport, NamesTheLineThatIsNoUtf8) {
  const v1::DatasetReport report = Inspect("a,kind\n1,x\n2,m\xe4nnlich\n").dataset();
  EXPECT_FALSE(report.valid());
  ASSERT_EQ(report.problems_size(), 1);
  EXPECT_EQ(report.problems(0).line(), 3);
  EXPECT_THAT(report.problems(0).text(), HasSubstr("is not UTF-8"));
}

TEST(DatasetReport, AProblemWithASemicolonInItIsOneProblem) {
  const std::string table = "a|kind\n" + Repeated("1|x\n2|y\n", 20) + "x; y|x\n";
  const v1::DatasetReport report = Inspect(table).dataset();
  ASSERT_EQ(report.problems_size(), 1);
  EXPECT_EQ(report.problems(0).line(), 42);
  EXPECT_THAT(report.problems(0).text(), HasSubstr("'x; y' is not a number"));
}

TEST(DatasetReport, CutsLongNamesAndCellsBetweenCharacters) {
  const std::string odd = "x" + Repeated("\xc3\xa4", 150);
  const v1::DatasetReport report =
      Inspect(odd + ",kind,n\n" + odd + "!,x,1\n" + "b,y,2\n").dataset();
  ASSERT_EQ(report.rows_size(), 1);
  EXPECT_EQ(report.columns(0), odd.substr(0, 199));
  EXPECT_EQ(report.rows(0).cells(0), odd.substr(0, 199));
}

TEST(DatasetReport, TextsThatAreCalledAsPartsAreARunningText) {
  const v1::DatasetReport report =
      InspectOf({{"train.txt", "to be\nor not"}, {"test.txt", "to be\n"}}, "data").dataset();
  EXPECT_TRUE(report.valid());
  EXPECT_EQ(report.format(), "a running text in parts");
  EXPECT_EQ(report.examples(), 1);
  EXPECT_EQ(report.classes_size(), 0);
}

TEST(DatasetReport, TextsOfOneClassAloneAreARunningText) {
  for (const Files& files : {Files{{"plays.txt", "to be\nor not"}},
                             Files{{"plays/hamlet.txt", "to be"}, {"plays/lear.txt", "nothing"}}}) {
    const v1::DatasetReport report = InspectOf(files, "data").dataset();
    EXPECT_EQ(report.format(), "a running text in files");
    EXPECT_EQ(report.classes_size(), 0);
  }
}

TEST(DatasetReport, TextsOfSeveralClassesMayBeARunningTextToo) {
  const v1::DatasetReport report =
      InspectOf({{"Dutch.txt", "Aalst\nAart\n"}, {"Irish.txt", "Adam\n"}}, "data").dataset();
  EXPECT_EQ(report.format(), "texts in class files");
  EXPECT_EQ(report.classes_size(), 2);
  EXPECT_EQ(report.examples(), 3);
  ASSERT_EQ(report.notes_size(), 1);
  EXPECT_THAT(report.notes(0), HasSubstr("language_modeling"));
}

TEST(DatasetReport, CountsPreferencesAndTheirAnswers) {
  const std::string lines =
      "{\"prompt\": \"hi\", \"chosen\": \"good day\", \"rejected\": \"no\"}\n"
      "{\"prompt\": \"hi\", \"chosen\": \"good\", \"rejected\": \"never!\"}\n";
  const v1::DatasetReport report = InspectOf({{"t.jsonl", lines}}, "data/t.jsonl").dataset();
  EXPECT_TRUE(report.valid());
  EXPECT_EQ(report.format(), "preferences as JSON lines");
  EXPECT_EQ(report.examples(), 2);
  ASSERT_EQ(report.notes_size(), 3);
  EXPECT_EQ(report.notes(0),
            "chosen answers have 6 characters on average, 8 at most, 75.0 % of what is read with "
            "them");
  EXPECT_THAT(report.notes(1), HasSubstr("rejected answers have 4 characters on average, 6 at"));
}

TEST(DatasetReport, NamesTheLineThatIsNoPreference) {
  const std::string lines =
      "{\"prompt\": \"hi\", \"chosen\": \"good\", \"rejected\": \"no\"}\n"
      "{\"prompt\": \"hi\", \"chosen\": \"good\", \"rejected\": \"good\"}\n";
  const v1::DatasetReport report = InspectOf({{"t.jsonl", lines}}, "data/t.jsonl").dataset();
  EXPECT_FALSE(report.valid());
  ASSERT_EQ(report.problems_size(), 1);
  EXPECT_EQ(report.problems(0).line(), 2);
  EXPECT_THAT(report.problems(0).text(), HasSubstr("`chosen` and `rejected` are the same"));
}

TEST(DatasetReport, ShowsTheMostFrequentOfManyTags) {
  std::string sentence = "a often\nb often\n";
  for (int i = 0; i < 1004; ++i) {
    sentence += "a B-" + std::to_string(i) + std::string(300, 'x') + "\n";
  }
  const v1::DatasetReport report = InspectOf({{"t.conll", sentence}}, "data/t.conll").dataset();
  ASSERT_EQ(report.classes_size(), 1000);
  EXPECT_EQ(report.classes(0).name(), "often");
  EXPECT_EQ(report.classes(0).examples(), 2);
  EXPECT_EQ(report.classes(1).name().size(), 200u);
  ASSERT_EQ(report.notes_size(), 1);
  EXPECT_THAT(report.notes(0), HasSubstr("most frequent tags are shown; there are 5 more"));
}

}  // namespace
}  // namespace hone::server::worker
