// Texts in pieces: what comes of them does not depend on the pieces, nor on where they lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/data/running_text.h"
#include "engine/data/sentence_pairs.h"
#include "engine/data/text_stream.h"
#include "engine/data/texts.h"
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

using Encoding = TextOptions::Encoding;

// What a stream has to say of bytes, read in pieces.
absl::StatusOr<std::string> Decoded(absl::string_view bytes, Encoding encoding,
                                    int64_t piece_bytes) {
  const auto read = [&](char* out, int64_t size) -> absl::StatusOr<int64_t> {
    const absl::string_view piece = bytes.substr(0, static_cast<size_t>(size));
    std::ranges::copy(piece, out);
    bytes.remove_prefix(piece.size());
    return static_cast<int64_t>(piece.size());
  };
  TextStream stream(read, encoding, piece_bytes);
  return ReadAll(stream, 1 << 20);
}

TEST(TextStream, GivesTheTextOfTheWholeWhereverItIsCut) {
  const std::string texts[] = {"", "plain", "\xef\xbb\xbf",
                               "\xef\xbb\xbf"
                               "caf\xc3\xa9",
                               "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"};
  for (const std::string& text : texts) {
    for (int64_t piece_bytes = 1; piece_bytes < 8; ++piece_bytes) {
      EXPECT_EQ(Decoded(text, Encoding::kUtf8, piece_bytes).value(),
                DecodeText(text, Encoding::kUtf8).value());
      EXPECT_EQ(Decoded(text, Encoding::kLatin1, piece_bytes).value(),
                DecodeText(text, Encoding::kLatin1).value());
    }
  }
}

TEST(TextStream, NamesTheLineAndTheByteOfTheFileThatAreNoUtf8) {
  for (const absl::string_view text :
       {"fine\nm\xe4nnlich\n", "fine\n\xf0\x9f\x98", "\xe2\x82 a", "a\xc3",
        "\xef\xbb\xbf"
        "fine\nm\xe4nnlich\n"}) {
    const std::string wanted(DecodeText(std::string(text), Encoding::kUtf8).status().message());
    for (int64_t piece_bytes = 1; piece_bytes < 8; ++piece_bytes) {
      EXPECT_THAT(Decoded(text, Encoding::kUtf8, piece_bytes), StatusIs(kInvalid, wanted));
    }
  }
}

TEST(TextStream, HasLinesWhereverItIsCut) {
  const std::string text = "one\r\n\ntwo\nthree";
  for (int64_t piece_bytes = 1; piece_bytes < 8; ++piece_bytes) {
    absl::string_view rest = text;
    const auto read = [&](char* out, int64_t size) -> absl::StatusOr<int64_t> {
      const absl::string_view piece = rest.substr(0, static_cast<size_t>(size));
      std::ranges::copy(piece, out);
      rest.remove_prefix(piece.size());
      return static_cast<int64_t>(piece.size());
    };
    TextStream stream(read, Encoding::kUtf8, piece_bytes);
    std::vector<std::string> lines;
    ASSERT_THAT(ForEachLine(stream,
                            [&](absl::string_view line, int64_t number) {
                              lines.push_back(absl::StrCat(number, " ", line));
                              return absl::OkStatus();
                            }),
                IsOk());
    EXPECT_THAT(lines, ElementsAre("1 one", "2 ", "3 two", "4 three"));
  }
}

TEST(TextStream, ALineThatIsNeverEndedIsGivenUpAtItsLimit) {
  int64_t given = 0;
  const auto read = [&](char* out, int64_t size) -> absl::StatusOr<int64_t> {
    std::fill_n(out, size, 'x');
    *out = given == 0 ? '\n' : 'x';
    given += size;
    return size;
  };
  TextStream stream(read, Encoding::kUtf8, int64_t{8} << 20);
  EXPECT_THAT(
      ForEachLine(stream, [](absl::string_view, int64_t) { return absl::OkStatus(); }),
      StatusIs(kInvalid, AllOf(HasSubstr("line 2"), HasSubstr(absl::StrCat(kMostRecordBytes)))));
  EXPECT_LT(given, 2 * kMostRecordBytes);
}

class StreamedTexts : public DataTest {
 protected:
  StreamedTexts() {
    options_.text.emplace();
    options_.text->cleaning = {.html = true,
                               .normalization = text::Normalization::kNfkc,
                               .lower_case = true,
                               .control_characters = true,
                               .white_space = true};
    options_.validation_fraction = 0.2;
    options_.test_fraction = 0.2;
  }

  using Loader = absl::FunctionRef<absl::StatusOr<LoadedData>(const LoadOptions& options)>;
  // The same in pieces of a byte and of some, in memory and in files.
  void ExpectTheSameInPieces(Loader load) {
    const auto whole = load(options_);
    ASSERT_THAT(whole, IsOk());
    std::filesystem::create_directories(Path("spools"));
    for (const std::string& folder : {std::string(), Path("spools")}) {
      for (const int64_t piece_bytes : {1, 17, 1000}) {
        LoadOptions options = options_;
        options.stream = {.folder = folder, .memory_bytes = 100, .piece_bytes = piece_bytes};
        const auto streamed = load(options);
        ASSERT_THAT(streamed, IsOk());
        EXPECT_EQ(streamed->fingerprint, whole->fingerprint) << folder << " " << piece_bytes;
        EXPECT_EQ(streamed->report.ToJson(), whole->report.ToJson()) << folder << piece_bytes;
        const int64_t in_memory = streamed->dataset.own()->bytes();
        EXPECT_EQ(in_memory < whole->dataset.own()->bytes(), !folder.empty()) << in_memory;
      }
    }
  }
  // Texts with copies, near copies, tags, accents and lines of their own.
  static std::string Text(int i) {
    std::string text = absl::StrCat("<b>Review</b> ", i % 50, ": caf\xc3\xa9 &amp;\tcre\xcc\x80me");
    for (int word = 0; word < 12; ++word) {
      absl::StrAppend(&text, " word", (i % 50) * 7 + word);
    }
    return absl::StrCat(text, i % 100 >= 50 ? " now" : "", i == 7 ? " \xef\xac\x81n" : "");
  }
  static std::string Table(absl::string_view end = "") {
    std::string table = absl::StrCat("label,text", end.empty() ? "" : ",other", "\n");
    for (int i = 0; i < 150; ++i) {
      absl::StrAppend(&table, i % 3 == 0 ? "good" : "bad", ",\"", Text(i), i % 4 == 0 ? "\nx" : "",
                      "\"", end, "\n");
    }
    return table;
  }

  LoadOptions options_;
};

TEST_F(StreamedTexts, OfATableAreTheSame) {
  options_.text->near_copies = 0.6;
  options_.text->min_characters = 3;
  options_.text->max_tokens = 9;
  options_.deduplicate = true;
  options_.path = Write("t.csv", Table());
  ExpectTheSameInPieces(LoadTexts);
}

TEST_F(StreamedTexts, OfAPackedTableOfPairsAreTheSame) {
  options_.text->second_columns = {"other"};
  options_.text->near_copies = 0.9;
  options_.text->keep = TextOptions::Keep::kLongest;
  options_.path = Write("t.csv.gz", Gzip(Table(",\"and more\"")));
  ExpectTheSameInPieces(LoadTexts);
}

TEST_F(StreamedTexts, OfJsonLinesInPartsAreTheSame) {
  for (const char* part : {"test", "train", "validation"}) {
    std::string lines;
    for (int i = 0; i < 60; ++i) {
      absl::StrAppend(&lines, nlohmann::json({{"text", Text(i)}, {"label", i * 0.5}}).dump(), "\n");
    }
    Write(absl::StrCat("set/", part, ".jsonl"), lines);
  }
  options_.task = Task::kRegression;
  options_.path = Path("set");
  ExpectTheSameInPieces(LoadTexts);
}

TEST_F(StreamedTexts, OfFilesAndLinesByClassAreTheSame) {
  for (int i = 0; i < 40; ++i) {
    Write(absl::StrCat("folders/", i % 2 == 0 ? "a" : "b", "/", i, ".txt"), Text(i));
  }
  options_.path = Path("folders");
  ExpectTheSameInPieces(LoadTexts);
  Write("files/x.txt", absl::StrCat(Text(1), "\r\n", Text(2), "\n", Text(3), "\n", Text(4)));
  Write("files/y.txt", absl::StrCat(Text(5), "\n", Text(6), "\n", Text(7), "\n", Text(8)));
  options_.path = Path("files");
  ExpectTheSameInPieces(LoadTexts);
}

class StreamedRunningText : public StreamedTexts {
 protected:
  StreamedRunningText() {
    options_.task = Task::kLanguageModeling;
    for (int i = 0; i < 60; ++i) {
      absl::StrAppend(&text_, Text(i), i % 4 == 0 ? "\n\n" : "  ");
    }
  }
  void ExpectTheSameInPieces() {
    for (const text::TokenizerOptions& tokenizer :
         {text::TokenizerOptions(text::WordTokens{}),
          text::TokenizerOptions(text::CharacterTokens{})}) {
      options_.text->tokenizer = tokenizer;
      StreamedTexts::ExpectTheSameInPieces([](const LoadOptions& options) {
        return LoadRunningText(options, {.window = 16, .batch = 4});
      });
    }
  }

  std::string text_;
};

TEST_F(StreamedRunningText, OfAFileIsTheSame) {
  options_.path = Write("text.txt.gz", Gzip(text_));
  ExpectTheSameInPieces();
}

TEST_F(StreamedRunningText, AsItWasReadIsTheSame) {
  options_.text->cleaning = {};
  options_.path = Write("text.txt", text_);
  ExpectTheSameInPieces();
}

TEST_F(StreamedRunningText, OfAFolderIsTheSame) {
  Write("set/b.txt", text_);
  Write("set/a/2.txt", text_ + "<script>");
  Write("set/a.txt", "</script> begin");
  options_.path = Path("set");
  ExpectTheSameInPieces();
}

TEST_F(StreamedRunningText, InPartsIsTheSame) {
  Write("set/train.txt", text_);
  Write("set/valid.txt", text_ + "<p>end");
  options_.path = Path("set");
  ExpectTheSameInPieces();
}

class StreamedPairs : public StreamedTexts {
 protected:
  StreamedPairs() {
    options_.task = Task::kTranslation;
    options_.pairs.cleaning = options_.text->cleaning;
    options_.pairs.max_target_tokens = 16;
    options_.pairs.near_copies = 0.9;
    options_.deduplicate = true;
    options_.text.reset();
  }
  // Sentences that come again with other translations, and lines without words.
  static std::string Source(int i) { return absl::StrCat("Sentence ", i % 40, " caf\xc3\xa9"); }
  static std::string Target(int i) {
    std::string text = "<i>Phrase</i>";
    for (int word = 0; word <= i % 17; ++word) {
      absl::StrAppend(&text, " mot", i + word);
    }
    return text;
  }
  static std::string Lines(std::string (*side)(int)) {
    std::string lines;
    for (int i = 0; i < 120; ++i) {
      absl::StrAppend(&lines, side(i), "\r\n");
    }
    return lines;
  }
};

TEST_F(StreamedPairs, BetweenTabsAreTheSame) {
  options_.pairs.drop_empty = true;
  std::string lines = "\n \n";
  for (int i = 0; i < 120; ++i) {
    absl::StrAppend(&lines, Source(i), "\t", i % 30 == 0 ? " " : Target(i), "\tCC-BY\n",
                    i % 50 == 0 ? "\n" : "");
  }
  options_.path = Write("p.txt.gz", Gzip(lines));
  ExpectTheSameInPieces(LoadSentencePairs);
}

TEST_F(StreamedPairs, OfATableAndJsonLinesAreTheSame) {
  std::string table = "n,target,source\n", lines;
  for (int i = 0; i < 120; ++i) {
    absl::StrAppend(&table, i, ",\"", Target(i), "\n\",\"", Source(i), "\"\n");
    absl::StrAppend(&lines, nlohmann::json({{"source", Source(i)}, {"target", Target(i)}}).dump(),
                    "\n");
  }
  Write("set/train.csv", table);
  Write("set/test.jsonl", lines);
  options_.path = Path("set");
  ExpectTheSameInPieces(LoadSentencePairs);
}

TEST_F(StreamedPairs, OfParallelFilesAreTheSameInAFolderAndInAnArchive) {
  options_.pairs.source = "en";
  options_.pairs.target = "fr";
  // Of an archive neither the parts nor their sides stand in the order in which they are read.
  const std::vector<std::pair<std::string, std::string>> files = {{"val.fr", Target(3)},
                                                                  {"train.fr", Lines(Target)},
                                                                  {"train.en", Lines(Source)},
                                                                  {"val.en", Source(3)},
                                                                  {"README.md", "no part of it"}};
  for (const auto& [name, text] : files) {
    Write(absl::StrCat("set/", name), text);
  }
  options_.path = Path("set");
  ExpectTheSameInPieces(LoadSentencePairs);
  const std::string of_folder = LoadSentencePairs(options_).value().fingerprint;
  options_.path = Tar(Path("set.tar"), files);
  ExpectTheSameInPieces(LoadSentencePairs);
  EXPECT_EQ(LoadSentencePairs(options_).value().fingerprint, of_folder);
}

TEST_F(StreamedPairs, ThatAModelReadsHaveTheSameReferences) {
  options_.validation_fraction = options_.test_fraction = 0;
  options_.deduplicate = false;
  options_.pairs.near_copies = 0;
  options_.path = Write("p.tsv", "a b\tx y\nb\ty\n");
  options_.as = std::make_shared<const Preprocessing>(LoadSentencePairs(options_)->preprocessing);
  options_.path = Write("q.tsv", "a\tx\nb\ty y\na\ty\nb\ty y\na\tx\n");
  options_.stream = {.folder = folder_, .memory_bytes = 0, .piece_bytes = 3};
  const auto data = LoadSentencePairs(options_);
  ASSERT_THAT(data, IsOk());
  const SentencePairs& pairs = SentencePairsOf(data->dataset);
  EXPECT_THAT(pairs.references(0), ElementsAre("x", "y"));
  EXPECT_THAT(pairs.references(1), ElementsAre("y y"));
  EXPECT_THAT(pairs.references(4), ElementsAre("x", "y"));
}

}  // namespace
}  // namespace hone::engine::data
