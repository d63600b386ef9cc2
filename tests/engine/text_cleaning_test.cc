#include <gtest/gtest.h>

#include "engine/text/cleaning.h"
#include "engine/text/html.h"

namespace hone::engine::text {
namespace {

TEST(Normalize, ComposesALetterAndItsAccent) {
  EXPECT_EQ(Normalize("e\u0301te\u0301", Normalization::kNfc), "\u00e9t\u00e9");
}

TEST(Normalize, ReplacesWhatOnlyLooksDifferentInNfkcAlone) {
  EXPECT_EQ(Normalize("\ufb01n \u00b2", Normalization::kNfkc), "fin 2");
  EXPECT_EQ(Normalize("\ufb01n \u00b2", Normalization::kNfc), "\ufb01n \u00b2");
}

TEST(ToLower, KnowsLettersBeyondAscii) {
  EXPECT_EQ(ToLower("ÉCOLE ΑΒΓ Straße"), "école αβγ straße");
}

TEST(FromLatin1, GivesUtf8OfEachByte) { EXPECT_EQ(FromLatin1("caf\xe9"), "café"); }

TEST(IsSpace, HoldsForSpacesOfOtherScriptsAndNotForControlCharacters) {
  EXPECT_TRUE(IsSpace(0x3000));
  EXPECT_TRUE(IsSpace(0x00a0));
  EXPECT_FALSE(IsSpace(0x0007));
}

TEST(StripHtml, LeavesTheTextOfAReviewWithItsLinesApart) {
  EXPECT_EQ(StripHtml("Good.<br /><br />Very <b>good</b>ness"), "Good.  Very goodness");
}

TEST(StripHtml, TurnsReferencesIntoCharacters) {
  EXPECT_EQ(StripHtml("&lt;3 &amp; caf&eacute; &#39;x&#x27; &hellip;"), "<3 & café 'x' …");
}

TEST(StripHtml, LeavesWhatIsNoTagAndNoReference) {
  EXPECT_EQ(StripHtml("a < b && c &nonsense; &#xd800; <3 i<j"),
            "a < b && c &nonsense; &#xd800; <3 i<j");
}

TEST(StripHtml, RemovesScriptsStylesAndComments) {
  EXPECT_EQ(StripHtml("a<script>if (x < y) {}</script>b<!-- <p> --><style>p {}</STYLE>c"), "abc");
}

TEST(StripHtml, TakesTimeInProportionToATextOfOpenTagsAlone) {
  std::string hostile;
  for (int i = 0; i < 1 << 20; ++i) {
    hostile += "<a";
  }
  EXPECT_EQ(StripHtml(hostile), hostile);
}

TEST(Clean, ChangesNothingThatIsNotWanted) {
  const std::string text = " <b>A</b>\t\x01 B ";
  EXPECT_EQ(Clean(text, {}, nullptr), text);
}

TEST(Clean, AppliesItsStepsInTheirOrder) {
  const CleaningOptions all = {.html = true,
                               .normalization = Normalization::kNfkc,
                               .lower_case = true,
                               .control_characters = true,
                               .white_space = true};
  EXPECT_EQ(Clean("\ufeff<p>&Eacute;\x01T\u00c9</p>\u3000 \ufb01n ", all, nullptr), "été fin");
}

TEST(Clean, CountsTheTextsThatEachStepHasChanged) {
  CleaningCounts counts;
  const CleaningOptions options = {.lower_case = true, .white_space = true};
  Clean("ab", options, &counts);
  Clean("aB", options, &counts);
  Clean("aB  c", options, &counts);
  for (const CleaningCounts::Step& step : counts.steps) {
    const int64_t changed = step.name == "lower_case" ? 2 : step.name == "white_space" ? 1 : 0;
    EXPECT_EQ(step.changed, changed) << step.name;
  }
}

// All combinations of what may be done to a text.
std::vector<CleaningOptions> AllCleanings() {
  std::vector<CleaningOptions> all;
  for (int bits = 0; bits < 16; ++bits) {
    for (const Normalization form :
         {Normalization::kNone, Normalization::kNfc, Normalization::kNfkc}) {
      all.push_back({.html = (bits & 1) != 0,
                     .normalization = form,
                     .lower_case = (bits & 2) != 0,
                     .control_characters = (bits & 4) != 0,
                     .white_space = (bits & 8) != 0});
    }
  }
  return all;
}

TEST(CleanInPieces, GivesTheTextAndTheCountsOfClean) {
  const std::string texts[] = {
      "",
      "plain text, as it is",
      " \t two  spaces \n",
      "end ",
      "\u00a0",
      "e\u0301te\u0301 \ufb01n \u00b2 E\u0301\u0301",
      "\u0301e\u1100\u1161\u11a8 \u6211\u7231\u4f60\u3002a\u0308",
      "Good.<br /><br />Very <b>good</b>ness &amp; caf&eacute; &#39;x&#x27; a < b && c <3",
      "<script>x < y</script>A<!-- b --> C <p\n>D<i> never closed <",
      "a\x01\u0085b\ufeff C\u00c9\u0130",
  };
  for (const CleaningOptions& options : AllCleanings()) {
    for (const std::string& text : texts) {
      CleaningCounts wanted_counts;
      const std::string wanted = Clean(text, options, &wanted_counts);
      for (size_t piece_bytes = 1; piece_bytes < 12; ++piece_bytes) {
        std::string cleaned;
        CleaningCounts counts;
        const absl::Status status =
            CleanInPieces(text, options, piece_bytes, &counts, [&](absl::string_view piece) {
              cleaned.append(piece.data(), piece.size());
              return absl::OkStatus();
            });
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_EQ(cleaned, wanted) << "in pieces of " << piece_bytes << " bytes: " << text;
        for (size_t step = 0; step < counts.steps.size(); ++step) {
          ASSERT_EQ(counts.steps[step].changed, wanted_counts.steps[step].changed)
              << counts.steps[step].name << " in pieces of " << piece_bytes << " bytes: " << text;
        }
      }
    }
  }
}

}  // namespace
}  // namespace hone::engine::text
