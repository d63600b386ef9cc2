#include "client/cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

// What `hone top` shows, and what its keys do.
namespace hone::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Job JobOf(const std::string& id, const std::string& name, v1::Job::State state) {
  v1::Job job;
  job.set_name("jobs/" + id);
  job.set_display_name(name);
  job.set_state(state);
  job.set_threads(2);
  return job;
}

// One job runs, two wait, one is paused, one has ended.
TopData Example() {
  TopData data;
  data.address = "127.0.0.1:50051";
  data.info.set_version("0.1.0");
  data.info.set_threads(8);
  data.info.set_concurrent_jobs(1);
  data.now = absl::FromUnixSeconds(1000);
  v1::Job running = JobOf("run", "digits", v1::Job::RUNNING);
  running.mutable_progress()->set_step(25);
  running.mutable_progress()->set_total_steps(100);
  running.mutable_progress()->set_eta_seconds(42);
  (*running.mutable_metrics())["loss"] = 0.5;
  (*running.mutable_metrics())["samples_per_second"] = 1234;
  data.running = {running};
  v1::Job second = JobOf("second", "later", v1::Job::QUEUED);
  second.set_queue_position(2);
  v1::Job first = JobOf("first", "sooner", v1::Job::QUEUED);
  first.set_queue_position(1);
  first.set_queue_eta_seconds(185);
  data.queue = {JobOf("paused", "resting", v1::Job::PAUSED), second, first};
  v1::Job ended = JobOf("ended", "done", v1::Job::SUCCEEDED);
  (*ended.mutable_evaluation()->mutable_metrics())["test_accuracy"] = 0.991;
  ended.mutable_end_time()->set_seconds(995);
  data.ended = {ended};
  return data;
}

std::vector<std::string> Render(const TopData& data, const TopChoice& choice, int width = 140,
                                int height = 30) {
  std::vector<std::string> text;
  for (const Line& line : RenderTop(data, choice, width, height)) {
    text.push_back(line.Render(width, false));
  }
  return text;
}
std::string Join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}
std::string LineWith(const std::vector<std::string>& lines, const std::string& text) {
  for (const std::string& line : lines) {
    if (line.find(text) != std::string::npos) {
      return line;
    }
  }
  return "";
}

std::vector<std::string> Names(const std::vector<const v1::Job*>& jobs) {
  std::vector<std::string> names;
  for (const v1::Job* job : jobs) {
    names.push_back(job->name());
  }
  return names;
}

TopWish Press(const std::string& keys, const TopData& data, TopChoice& choice) {
  std::string bytes = keys;
  TopWish last;
  for (const TopInput& input : TakeKeys(bytes, /*all=*/true)) {
    last = HandleKey(input, data, choice);
  }
  return last;
}

TEST(TopViewTest, ARunningJobHasItsShareStepLossSpeedAndTimeLeft) {
  const std::string line = LineWith(Render(Example(), {}), "digits");
  for (const char* text : {"25 %", "25 of 100", "0.5000", "1,234", "42 s left", "jobs/run"}) {
    EXPECT_THAT(line, HasSubstr(text));
  }
}

TEST(TopViewTest, TheQueueIsInItsOrderAndWhatIsPausedComesLast) {
  EXPECT_THAT(Names(ShownJobs(Example(), {})),
              ElementsAre("jobs/run", "jobs/first", "jobs/second", "jobs/paused", "jobs/ended"));
}

TEST(TopViewTest, AJobOfTheQueueHasItsPlaceAndWhenItBegins) {
  const std::string line = LineWith(Render(Example(), {}), "sooner");
  EXPECT_THAT(line, HasSubstr("in about 3:05"));
}

TEST(TopViewTest, AJobThatHasEndedHasItsResultAndHowLongAgo) {
  const std::string line = LineWith(Render(Example(), {}), "succeeded");
  EXPECT_THAT(line, HasSubstr("99.10 %"));
  EXPECT_THAT(line, HasSubstr("5.0 s ago"));
}

TEST(TopViewTest, NewerEventsCountMoreThanTheList) {
  TopData data = Example();
  v1::Event event;
  event.mutable_metrics()->set_step(60);
  event.mutable_metrics()->set_total_steps(100);
  (*event.mutable_metrics()->mutable_values())["loss"] = 0.125;
  data.stories["jobs/run"].Apply(event);
  const std::string line = LineWith(Render(data, {}), "digits");
  EXPECT_THAT(line, HasSubstr("60 %"));
  EXPECT_THAT(line, HasSubstr("0.1250"));
}

TEST(TopViewTest, NoScreenIsTooSmallOrTooNarrow) {
  TopChoice choice;
  choice.selected = "jobs/ended";
  for (const int height : {0, 1, 2, 5, 8, 12, 24, 100}) {
    for (const int width : {0, 1, 10, 40, 80, 200}) {
      const std::vector<std::string> lines = Render(Example(), choice, width, height);
      EXPECT_LE(static_cast<int>(lines.size()), height);
      for (const std::string& line : lines) {
        EXPECT_LE(Columns(line), width) << line;
      }
    }
  }
}

TEST(TopViewTest, ANarrowScreenKeepsNamesAndLeavesOutTheLeastImportant) {
  const std::string line = LineWith(Render(Example(), {}, 40), "digits");
  EXPECT_THAT(line, HasSubstr("25 %"));
  EXPECT_THAT(line, Not(HasSubstr("jobs/run")));
}

TEST(TopViewTest, TheSelectedJobIsOnTheScreenHoweverLongTheQueueIs) {
  TopData data = Example();
  for (int i = 3; i < 150; ++i) {
    v1::Job job = JobOf(absl::StrCat("more", i), "more", v1::Job::QUEUED);
    job.set_queue_position(i);
    data.queue.push_back(job);
  }
  for (const char* selected : {"jobs/run", "jobs/more149", "jobs/paused", "jobs/ended"}) {
    TopChoice choice;
    choice.selected = selected;
    EXPECT_THAT(Join(Render(data, choice, 140, 20)), HasSubstr("▸")) << selected;
  }
}

TEST(TopViewTest, AServerThatIsAwayIsSaidAndWhatWasKnownStays) {
  TopData data = Example();
  data.away = "the server does not answer: connection refused";
  const std::string text = Join(Render(data, {}));
  EXPECT_THAT(text, HasSubstr("connection refused; trying again"));
  EXPECT_THAT(text, HasSubstr("digits"));
}

TEST(TopViewTest, ANameCannotSteerTheTerminal) {
  TopData data = Example();
  data.running[0].set_display_name("a\x1b[2Jb\n");
  for (const Line& line : RenderTop(data, {}, 140, 30)) {
    EXPECT_THAT(line.Render(140, false), Not(HasSubstr("\x1b")));
  }
}

TEST(TopViewTest, AServerWithoutJobsSaysSo) {
  TopData data;
  data.address = "a:1";
  EXPECT_THAT(Join(Render(data, {})), HasSubstr("no jobs"));
}

TEST(TopViewTest, WithoutColoursThereAreNoEscapes) {
  EXPECT_THAT(Join(Render(Example(), {})), Not(HasSubstr("\x1b")));
}

TEST(TopKeysTest, ArrowsAndLettersSelect) {
  TopChoice choice;
  Press("\x1b[B", Example(), choice);
  EXPECT_EQ(choice.selected, "jobs/run");
  Press("jj", Example(), choice);
  EXPECT_EQ(choice.selected, "jobs/second");
  Press("\x1b[A", Example(), choice);
  EXPECT_EQ(choice.selected, "jobs/first");
  Press("\x1b[F", Example(), choice);
  EXPECT_EQ(choice.selected, "jobs/ended");
  Press("j", Example(), choice);
  EXPECT_EQ(choice.selected, "jobs/ended");
}

TEST(TopKeysTest, CancelAsksFirst) {
  TopChoice choice;
  EXPECT_EQ(Press("jc", Example(), choice).kind, TopWish::Kind::kNothing);
  EXPECT_THAT(Render(Example(), choice).back(), HasSubstr("cancel jobs/run?"));
  EXPECT_EQ(Press("n", Example(), choice).kind, TopWish::Kind::kNothing);
  EXPECT_EQ(Press("y", Example(), choice).kind, TopWish::Kind::kNothing);
  const TopWish wish = Press("cy", Example(), choice);
  EXPECT_EQ(wish.kind, TopWish::Kind::kCancel);
  EXPECT_EQ(wish.job, "jobs/run");
}

TEST(TopKeysTest, PAPausedJobIsResumedAndAnotherPaused) {
  TopChoice choice;
  choice.selected = "jobs/paused";
  EXPECT_EQ(Press("p", Example(), choice).kind, TopWish::Kind::kResume);
  choice.selected = "jobs/run";
  EXPECT_EQ(Press("p", Example(), choice).kind, TopWish::Kind::kPause);
}

TEST(TopKeysTest, WhatHasEndedIsNotCancelled) {
  TopChoice choice;
  choice.selected = "jobs/ended";
  Press("c", Example(), choice);
  EXPECT_THAT(choice.note, HasSubstr("has ended"));
  EXPECT_EQ(Press("y", Example(), choice).kind, TopWish::Kind::kNothing);
}

TEST(TopKeysTest, WithoutASelectedJobNothingIsAskedFor) {
  TopChoice choice;
  for (const char* key : {"c", "p", "\r"}) {
    EXPECT_EQ(Press(key, Example(), choice).kind, TopWish::Kind::kNothing);
    EXPECT_THAT(choice.note, HasSubstr("select a job first"));
  }
}

TEST(TopKeysTest, EnterWatches) {
  TopChoice choice;
  choice.selected = "jobs/run";
  const TopWish wish = Press("\r", Example(), choice);
  EXPECT_EQ(wish.kind, TopWish::Kind::kWatch);
  EXPECT_EQ(wish.job, "jobs/run");
}

TEST(TopKeysTest, AFilterIsTypedAndKeepsWhatFits) {
  TopChoice choice;
  Press(
      "/sooq\x7f"
      "n",
      Example(), choice);
  EXPECT_EQ(choice.filter, "soon");
  EXPECT_THAT(Names(ShownJobs(Example(), choice)), ElementsAre("jobs/first"));
  Press("\r", Example(), choice);
  EXPECT_EQ(Press("q", Example(), choice).kind, TopWish::Kind::kQuit);
  Press("/", Example(), choice);
  Press("\x1b", Example(), choice);
  EXPECT_EQ(choice.filter, "");
}

TEST(TopKeysTest, SortingByNameIsByName) {
  TopChoice choice;
  Press("s", Example(), choice);
  EXPECT_THAT(Names(ShownJobs(Example(), choice)),
              ElementsAre("jobs/run", "jobs/second", "jobs/paused", "jobs/first", "jobs/ended"));
}

TEST(TopKeysTest, HelpNamesTheKeysAndAnyKeyComesBack) {
  TopChoice choice;
  Press("?", Example(), choice);
  EXPECT_THAT(Join(Render(Example(), choice)), HasSubstr("pause the job"));
  EXPECT_EQ(Press("q", Example(), choice).kind, TopWish::Kind::kNothing);
  EXPECT_EQ(choice.mode, TopChoice::Mode::kList);
}

TEST(TopKeysTest, AKeyThatComesInPiecesIsOne) {
  std::string bytes = "\x1b";
  EXPECT_TRUE(TakeKeys(bytes, false).empty());
  bytes += "[";
  EXPECT_TRUE(TakeKeys(bytes, false).empty());
  bytes += "B";
  const std::vector<TopInput> keys = TakeKeys(bytes, false);
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].key, TopKey::kDown);
  EXPECT_EQ(bytes, "");
}

TEST(TopKeysTest, AKeyWithoutAMeaningIsNoText) {
  TopChoice choice;
  Press("/\x1b[24~a", Example(), choice);
  EXPECT_EQ(choice.filter, "a");
}

TEST(SparklineTest, AFallingCurveFalls) {
  Curve curve;
  for (int i = 0; i < 8; ++i) {
    curve.Add(i, 8 - i);
  }
  EXPECT_EQ(Sparkline(curve, 8), "█▇▆▅▄▃▂▁");
}

TEST(SparklineTest, OnePointIsNoCurveAndNumbersThatAreNoneAreLeftOut) {
  Curve curve;
  curve.Add(0, 1);
  EXPECT_EQ(Sparkline(curve, 8), "");
  curve.Add(1, std::numeric_limits<double>::infinity());
  curve.Add(2, 2);
  EXPECT_EQ(Columns(Sparkline(curve, 8)), 8);
}

}  // namespace
}  // namespace hone::client::cli
