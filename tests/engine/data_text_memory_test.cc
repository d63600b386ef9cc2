// Texts and tables that are several times as large as the memory that a process may have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/data/running_text.h"
#include "engine/data/sentence_pairs.h"
#include "engine/data/texts.h"
#include "tests/engine/data_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::data {
namespace {

using ::hone::testing::IsOk;

// What sanitizers add to a process is no measure.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

constexpr int64_t kAllowed = int64_t{24} << 20;  // beside what the process has
constexpr int64_t kTextBytes = 3 * kAllowed;

class LargeTexts : public DataTest {
 protected:
  LargeTexts() {
    options_.text.emplace();
    options_.text->tokenizer = text::WordTokens{.split = text::WordSplit::kSpaces};
    options_.stream.memory_bytes = int64_t{1} << 20;
    options_.stream.folder = folder_;
    options_.test_fraction = 0.1;
  }

  // Lines of 2 KB, each with a label where that is wanted.
  std::string WriteLines(const std::string& name, bool labelled) const {
    std::ofstream file(Path(name), std::ios::binary);
    file << (labelled ? "label\ttext\n" : "");
    for (int64_t line = 0, written = 0; written < kTextBytes; ++line) {
      const std::string text =
          absl::StrCat(labelled ? (line % 2 == 0 ? "even\t" : "odd\t") : "", Words(line, 2000));
      file << text << '\n';
      written += static_cast<int64_t>(text.size()) + 1;
    }
    return Path(name);
  }

  // Pairs of 2 KB between tabs.
  std::string WritePairs(const std::string& name) const {
    std::ofstream file(Path(name), std::ios::binary);
    for (int64_t line = 0, written = 0; written < kTextBytes; ++line) {
      const std::string pair = absl::StrCat(Words(line, 1000), "\t", Words(line / 2, 1000));
      file << pair << '\n';
      written += static_cast<int64_t>(pair.size()) + 1;
    }
    return Path(name);
  }

  template <typename Load>
  static absl::StatusOr<LoadedData> WithinTheMemory(const Load& load) {
    ::malloc_trim(0);
    rlimit before{};
    ::getrlimit(RLIMIT_DATA, &before);
    const rlimit limit{.rlim_cur = static_cast<rlim_t>(DataBytes() + kAllowed),
                       .rlim_max = before.rlim_max};
    ::setrlimit(RLIMIT_DATA, &limit);
    absl::StatusOr<LoadedData> data = load();
    ::setrlimit(RLIMIT_DATA, &before);
    return data;
  }

  LoadOptions options_;

 private:
  // Words that a few thousand are taken of, of so many bytes or a few more.
  static std::string Words(int64_t first, size_t bytes) {
    std::string text;
    for (int64_t word = first; text.size() < bytes; word = word * 31 % 4999 + 1) {
      absl::StrAppend(&text, text.empty() ? "" : " ", "thing", word % 4999);
    }
    return text;
  }
  // VmData of this process: what RLIMIT_DATA limits.
  static int64_t DataBytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      long long kilobytes = 0;
      if (std::sscanf(line.c_str(), "VmData: %lld kB", &kilobytes) == 1) {
        return int64_t{kilobytes} << 10;
      }
    }
    return 0;
  }
};

TEST_F(LargeTexts, OfATableAreMadeReadyInLessMemoryThanTheyAre) {
  options_.path = WriteLines("lines.tsv", /*labelled=*/true);
  const auto data = WithinTheMemory([&] { return LoadTexts(options_); });
  ASSERT_THAT(data, IsOk());
  EXPECT_GT(data->report.train.tokens->tokens, 0);
}

TEST_F(LargeTexts, ThatAreOneTextAreMadeReadyInLessMemoryThanItIs) {
  options_.task = Task::kLanguageModeling;
  options_.text->cleaning = {.white_space = true};
  options_.path = WriteLines("lines.txt", /*labelled=*/false);
  const auto data = WithinTheMemory([&] { return LoadRunningText(options_, {.window = 512}); });
  ASSERT_THAT(data, IsOk());
  EXPECT_GT(data->report.train.tokens->tokens, 0);
}

TEST_F(LargeTexts, ThatArePairsAreMadeReadyInLessMemoryThanTheyAre) {
  options_.task = Task::kTranslation;
  options_.pairs.source_tokenizer = options_.pairs.target_tokenizer = options_.text->tokenizer;
  options_.path = WritePairs("pairs.txt");
  const auto data = WithinTheMemory([&] { return LoadSentencePairs(options_); });
  ASSERT_THAT(data, IsOk());
  EXPECT_GT(data->report.train.target_tokens->tokens, 0);
}

class LargeTables : public LargeTexts {
 protected:
  LargeTables() { options_.text.reset(); }
  // 200 columns of numbers, of which the last one is foretold.
  std::string WriteNumbers(const std::string& name) const {
    std::ofstream file(Path(name), std::ios::binary);
    int64_t number = 1;
    for (int64_t written = 0; written < kTextBytes;) {
      std::string line;
      for (int column = 0; column < 200; ++column) {
        number = number * 48271 % 2147483647;
        absl::StrAppend(&line, column == 0 ? "" : ",", number % 1000, ".", number % 89 + 10);
      }
      file << line << '\n';
      written += static_cast<int64_t>(line.size()) + 1;
    }
    return Path(name);
  }
};

TEST_F(LargeTables, OfNumbersAreMadeReadyInLessMemoryThanTheyAre) {
  options_.task = Task::kRegression;
  options_.path = WriteNumbers("numbers.csv");
  const auto data = WithinTheMemory([&] { return Load(options_); });
  ASSERT_THAT(data, IsOk());
  EXPECT_EQ(data->dataset.features().shape, Shape{199});
  EXPECT_LT(data->dataset.bytes(), kAllowed);
}

TEST_F(LargeTexts, WithoutAFolderAreMoreThanTheMemory) {
  options_.path = WriteLines("lines.tsv", /*labelled=*/true);
  options_.stream.folder = "";
  const auto data = WithinTheMemory([&] { return LoadTexts(options_); });
  EXPECT_TRUE(IsOutOfMemory(data.status())) << data.status();
}

#endif

}  // namespace
}  // namespace hone::engine::data
