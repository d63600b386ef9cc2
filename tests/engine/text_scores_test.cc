#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text/bleu.h"
#include "engine/text/chrf.h"

namespace hone::engine::text {
namespace {

using ::testing::ElementsAreArray;

using Lines = std::vector<std::string>;

// Held against tests/golden/translation_scores.json: what sacreBLEU makes of the same lines.
const nlohmann::json& Golden() {
  static const auto* const golden = new nlohmann::json([] {
    std::ifstream file(HONE_SOURCE_DIR "/tests/golden/translation_scores.json");
    return nlohmann::json::parse(file);
  }());
  return *golden;
}

template <typename Metric>
Metric MetricOf(const nlohmann::json& of) {
  Metric metric;
  const auto hypotheses = of.at("hypotheses").get<Lines>();
  const auto references = of.at("references").get<std::vector<Lines>>();
  EXPECT_EQ(hypotheses.size(), references.size());
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    metric.Add(hypotheses[i], references[i]);
  }
  return metric;
}

TEST(TranslationScores, CutWordsAsSacreBleuDoes) {
  for (const nlohmann::json& of : Golden().at("words")) {
    const auto line = of.at("line").get<std::string>();
    EXPECT_THAT(Tokenize13a(line), ElementsAreArray(of.at("words").get<Lines>())) << line;
  }
}

TEST(TranslationScores, OfBleuAreThoseOfSacreBleu) {
  for (const auto& [name, of] : Golden().at("cases").items()) {
    const Bleu bleu = MetricOf<Bleu>(of);
    EXPECT_NEAR(bleu.score(), of.at("bleu").get<double>(), 1e-9) << name;
    EXPECT_EQ(bleu.signature(), of.at("bleu_signature").get<std::string>()) << name;
  }
}

TEST(TranslationScores, OfChrfAreThoseOfSacreBleu) {
  for (const auto& [name, of] : Golden().at("cases").items()) {
    const Chrf chrf = MetricOf<Chrf>(of);
    EXPECT_NEAR(chrf.score(), of.at("chrf").get<double>(), 1e-9) << name;
    EXPECT_EQ(chrf.signature(), of.at("chrf_signature").get<std::string>()) << name;
  }
}

TEST(TranslationScores, WithoutLinesAreNothing) {
  EXPECT_EQ(Bleu().score(), 0);
  EXPECT_EQ(Chrf().score(), 0);
}

}  // namespace
}  // namespace hone::engine::text
