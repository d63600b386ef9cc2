#include "client/cli/live_view.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/render.h"
#include "hone/v1/worker.pb.h"

namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// What a worker said in a training of mnist-cnn: three epochs, a vanishing gradient, an evaluation.
std::vector<v1::WorkerFrame> Recording() {
  std::ifstream file(HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.frames");
  std::vector<v1::WorkerFrame> frames;
  for (std::string line; std::getline(file, line);) {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(line, &frames.emplace_back()))
        << line;
  }
  return frames;
}

Story NewStory() {
  Story story;
  story.job().set_display_name("mnist-cnn");
  story.job().mutable_spec()->mutable_training()->set_epochs(3);
  return story;
}

// Plays the first `share` of the recording; everything that the view writes.
std::string Play(bool terminal, Story& story, bool finish = true) {
  std::FILE* file = std::tmpfile();
  {
    LiveView view({.out = file, .terminal = terminal, .color = false});
    for (const v1::WorkerFrame& frame : Recording()) {
      if (frame.has_event()) {
        story.Apply(frame.event());
        view.Show(frame.event(), story);
      } else if (frame.has_progress()) {
        story.SetPhase(frame.progress().phase(), frame.progress().done());
        view.Refresh(story);
      }
    }
    if (finish) {
      story.job().set_state(v1::Job::SUCCEEDED);
      view.Finish(story);
    }
  }
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

std::string Text(const std::vector<Line>& lines, int width) {
  std::string text;
  for (const Line& line : lines) {
    text += line.Render(width, /*color=*/false) + "\n";
  }
  return text;
}

TEST(LiveView, WritesPlainLinesWhereOutputIsNoTerminal) {
  std::ifstream file(HONE_SOURCE_DIR "/tests/client/recordings/mnist-cnn.txt");
  std::stringstream golden;
  golden << file.rdbuf();
  Story story = NewStory();
  EXPECT_EQ(Play(/*terminal=*/false, story), golden.str());
}

TEST(LiveView, WritesNoEscapeSequenceWhereOutputIsNoTerminal) {
  Story story = NewStory();
  EXPECT_THAT(Play(/*terminal=*/false, story), Not(HasSubstr("\x1b")));
}

TEST(LiveView, GivesTheCursorBackAtTheEnd) {
  Story story = NewStory();
  const std::string text = Play(/*terminal=*/true, story);
  EXPECT_THAT(text, HasSubstr("\x1b[?25l"));
  EXPECT_THAT(text, EndsWith("\x1b[?25h"));
}

TEST(LiveView, GivesTheCursorBackWhenItIsLeft) {
  Story story = NewStory();
  EXPECT_THAT(Play(/*terminal=*/true, story, /*finish=*/false), EndsWith("\x1b[?25h"));
}

TEST(LiveView, RedrawsAtMostTenTimesASecond) {
  Story story = NewStory();
  const absl::Time begin = absl::Now();
  const std::string text = Play(/*terminal=*/true, story, /*finish=*/false);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  int pictures = 0;
  for (size_t at = text.find("\x1b[J"); at != text.npos; at = text.find("\x1b[J", at + 1)) {
    ++pictures;
  }
  EXPECT_GE(pictures, 1);
  EXPECT_LE(pictures, 1 + 10 * seconds);
}

TEST(RenderLive, KeepsWithinEveryTerminal) {
  Story story = NewStory();
  Play(/*terminal=*/false, story, /*finish=*/false);
  for (const int width : {20, 40, 80, 200}) {
    for (const int height : {5, 12, 24, 60}) {
      const std::vector<Line> lines = RenderLive(story, width, height);
      EXPECT_LT(static_cast<int>(lines.size()), height);
      for (const Line& line : lines) {
        EXPECT_LE(Columns(line.Render(width, false)), width);
      }
    }
  }
}

TEST(RenderLive, ShowsBarNumbersCurvesAndWarnings) {
  Story story = NewStory();
  Play(/*terminal=*/false, story, /*finish=*/false);
  EXPECT_THAT(Text(RenderLive(story, 100, 40), 100),
              AllOf(HasSubstr("step 5,064 of 5,064"), HasSubstr("100 %"), HasSubstr("loss 0.04090"),
                    HasSubstr("━ training loss   ━ validation loss"),
                    HasSubstr("⚠ vanishing gradients in dense_1, dense_2, dense_3 and 1 more")));
}

// A story of a training that has these numbers.
Story WithNumbers(const std::map<std::string, double>& values) {
  Story story = NewStory();
  v1::Event event;
  event.mutable_metrics()->set_step(10);
  event.mutable_metrics()->set_total_steps(20);
  event.mutable_metrics()->mutable_values()->insert(values.begin(), values.end());
  story.Apply(event);
  return story;
}

TEST(RenderLive, ShowsWhatALanguageModelIsJudgedBy) {
  const Story story = WithNumbers({{"loss", 1.5},
                                   {"token_accuracy", 0.5},
                                   {"validation_loss", 1.75},
                                   {"validation_perplexity", 5.75},
                                   {"validation_bits_per_byte", 2.5}});
  EXPECT_THAT(Text(RenderLive(story, 100, 40), 100),
              AllOf(HasSubstr("loss 1.500   tokens right 50.00 %"),
                    HasSubstr("loss 1.750   bits per byte 2.500   perplexity 5.750")));
  EXPECT_THAT(
      ProgressLine(story, /*with_validation=*/true),
      AllOf(HasSubstr("token accuracy 50.00 %"), HasSubstr("validation bits per byte 2.500")));
}

TEST(RenderLive, ShowsWhatATranslationIsJudgedBy) {
  const Story story = WithNumbers({{"loss", 1.5},
                                   {"token_accuracy", 0.5},
                                   {"validation_loss", 1.75},
                                   {"validation_perplexity", 5.75},
                                   {"validation_bleu", 31.25},
                                   {"validation_chrf", 52.5}});
  EXPECT_THAT(Text(RenderLive(story, 100, 40), 100),
              AllOf(HasSubstr("tokens right 50.00 %"),
                    HasSubstr("loss 1.750   BLEU 31.25   perplexity 5.750   chrF 52.50")));
}

TEST(RenderLive, ShowsTheRewardsOfBothAnswersWhileItTrains) {
  const Story story = WithNumbers({{"loss", 0.5},
                                   {"reward_accuracy", 0.75},
                                   {"rewards_margin", 1.25},
                                   {"rewards_chosen", 0.75},
                                   {"rewards_rejected", -0.5}});
  EXPECT_THAT(
      Text(RenderLive(story, 100, 40), 100),
      HasSubstr(
          "loss 0.5000   preferred 75.00 %   margin 1.250   chosen 0.7500   rejected -0.5000"));
}

TEST(ProgressLine, HasTheRewardsOfBothAnswers) {
  const Story story = WithNumbers({{"loss", 0.5},
                                   {"reward_accuracy", 0.75},
                                   {"rewards_margin", 1.25},
                                   {"rewards_chosen", 0.75},
                                   {"rewards_rejected", -0.5}});
  EXPECT_THAT(ProgressLine(story, /*with_validation=*/false),
              HasSubstr("reward accuracy 75.00 %   rewards margin 1.250   rewards chosen 0.7500   "
                        "rewards rejected -0.5000"));
}

TEST(RenderLive, ShowsTheRewardsOfBothAnswersOfAValidation) {
  const Story story = WithNumbers({{"loss", 0.5},
                                   {"validation_loss", 0.5},
                                   {"validation_reward_accuracy", 0.75},
                                   {"validation_rewards_margin", 1.25},
                                   {"validation_rewards_chosen", 0.75},
                                   {"validation_rewards_rejected", -0.5}});
  EXPECT_THAT(Text(RenderLive(story, 100, 40), 100),
              HasSubstr("preferred 75.00 %   margin 1.250   chosen 0.7500   rejected -0.5000"));
}

TEST(RenderLive, ShowsTheNormsOfTheLayersWhereThereIsRoom) {
  Story story = NewStory();
  Play(/*terminal=*/false, story, /*finish=*/false);
  EXPECT_THAT(Text(RenderLive(story, 100, 40), 100),
              AllOf(HasSubstr("layers at step 600"),
                    ::testing::ContainsRegex("dense_1 +1e-09 +3.000 +3.33e-10 +.* vanishing"),
                    ::testing::ContainsRegex("dense_5 +1.000 +3.000 +0.3333 +.* sound")));
  EXPECT_THAT(Text(RenderLive(story, 100, 24), 100), Not(HasSubstr("layers at step")));
}

TEST(RenderLayers, ShowsTheTwoEndsOfADeepNet) {
  v1::LayerStatistics statistics;
  for (int i = 1; i <= 30; ++i) {
    statistics.add_layers()->set_name(absl::StrCat("layer_", i));
  }
  const std::vector<Line> lines = RenderLayers(statistics, 8);
  EXPECT_EQ(lines.size(), 8u);
  EXPECT_THAT(Text(lines, 100), AllOf(HasSubstr("layer_3 "), HasSubstr("… 24 more"),
                                      HasSubstr("layer_28 "), HasSubstr("layer_30")));
  EXPECT_THAT(Text(lines, 100), Not(HasSubstr("layer_4 ")));
}

TEST(RenderLive, LeavesThePlotOutWhereThereIsNoRoom) {
  Story story = NewStory();
  Play(/*terminal=*/false, story, /*finish=*/false);
  EXPECT_THAT(Text(RenderLive(story, 80, 12), 80), Not(HasSubstr("┤")));
}

TEST(RenderLive, SaysThePlaceInTheQueue) {
  Story story;
  v1::Job job;
  job.set_name("jobs/1");
  job.set_display_name("x");
  job.set_state(v1::Job::QUEUED);
  job.set_queue_position(3);
  story.Apply(job);
  EXPECT_THAT(Text(RenderLive(story, 80, 24), 80), HasSubstr("waiting, number 3 in the queue"));
}

TEST(RenderEnd, ShowsTheMostFrequentMistakesOfManyClasses) {
  Story story = NewStory();
  story.job().set_state(v1::Job::SUCCEEDED);
  v1::Evaluation& evaluation = *story.job().mutable_evaluation();
  constexpr int kClasses = 30;
  for (int i = 0; i < kClasses; ++i) {
    evaluation.add_classes()->set_name(absl::StrCat("c", i));
  }
  for (int i = 0; i < kClasses * kClasses; ++i) {
    evaluation.add_confusion(i == 5 * kClasses + 7 ? 42 : 0);
  }
  EXPECT_THAT(Text(RenderEnd(story), 200), ::testing::ContainsRegex("c5 +c7 +42"));
}

TEST(Line, StripsControlCharactersFromWhatOthersWrote) {
  EXPECT_EQ(Line().Add("a\x1b[2Jb").Render(80, false), "a [2Jb");
}

TEST(Line, CutsByColumnsNotBytes) { EXPECT_EQ(Line().Add("åäöåäö").Render(4, false), "åäö…"); }

TEST(Curve, KeepsItsShapeInLittleMemory) {
  Curve curve;
  for (int i = 1; i <= 100'000; ++i) {
    curve.Add(i, i);
  }
  EXPECT_LE(curve.points().size(), 2048u);
  EXPECT_NEAR(curve.points().front().value, 0, 200);
  EXPECT_NEAR(curve.points().back().value, 100'000, 200);
}

TEST(Curve, ReplacesWhatAResumedJobDoesAgain) {
  Curve curve;
  for (const double step : {1, 2, 3, 2}) {
    curve.Add(step, 10 * step);
  }
  EXPECT_EQ(curve.points().size(), 2u);
}

TEST(Text, NumbersReadWell) {
  EXPECT_EQ(Count(121930), "121,930");
  EXPECT_EQ(Count(-1000), "-1,000");
  EXPECT_EQ(Bytes(142'000'000), "142 MB");
  EXPECT_EQ(Bytes(512), "512 B");
  EXPECT_EQ(Duration(0.84), "0.8 s");
  EXPECT_EQ(Duration(185), "3:05");
  EXPECT_EQ(Duration(3727), "1:02:07");
  EXPECT_EQ(Significant(0.0534), "0.05340");
  EXPECT_EQ(Significant(1.2e-7), "1.2e-07");
  EXPECT_EQ(Percent(0.9912), "99.12 %");
}

}  // namespace
}  // namespace hone::client::cli
