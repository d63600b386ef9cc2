#include "client/cli/live_view.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/render.h"

namespace hone::client::cli {
namespace {

constexpr absl::Duration kRedrawEvery = absl::Milliseconds(100);
constexpr absl::Duration kLineEvery = absl::Seconds(5);
constexpr absl::Duration kEpochLineEvery = absl::Seconds(1);

winsize WindowOf(std::FILE* out) {
  winsize size = {};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0) {
    size = {};
  }
  return size;
}

}  // namespace

int Screen::width() const {
  const int columns = terminal ? WindowOf(out).ws_col : 0;
  return columns > 0 ? columns : 100;
}

int Screen::height() const {
  const int rows = terminal ? WindowOf(out).ws_row : 0;
  return rows > 0 ? rows : 24;
}

Screen Screen::Of(std::FILE* out) {
  const char* term = std::getenv("TERM");
  const char* no_color = std::getenv("NO_COLOR");
  Screen screen{.out = out};
  screen.terminal = isatty(fileno(out)) == 1 && term != nullptr && std::string(term) != "dumb";
  screen.color = screen.terminal && (no_color == nullptr || *no_color == '\0');
  return screen;
}

void PrintLines(const std::vector<Line>& lines) {
  const Screen screen = Screen::Of(stdout);
  for (const Line& line : lines) {
    std::printf("%s\n", line.Render(1 << 20, screen.color).c_str());
  }
}

LiveView::LiveView(const Screen& screen) : screen_(screen) {}

LiveView::~LiveView() {
  if (cursor_hidden_) {
    std::fputs("\x1b[?25h", screen_.out);
    std::fflush(screen_.out);
  }
}

void LiveView::Show(const v1::Event& event, const Story& story) {
  if (!screen_.terminal) {
    PlainEvent(event, story);
    return;
  }
  if (event.has_log() && event.log().severity() < v1::Log::WARNING) {
    Say(event.log().text());
  }
  if (event.has_state()) {
    Draw(story);  // perhaps the last for long
    return;
  }
  Refresh(story);
}

void LiveView::Refresh(const Story& story) {
  if (screen_.terminal) {
    if (absl::Now() - last_drawn_ >= kRedrawEvery) {
      Draw(story);
    }
    return;
  }
  if (!story.phase().empty() && story.phase() != "training" && story.phase() != said_phase_) {
    said_phase_ = story.phase();
    Say(said_phase_);
  }
}

void LiveView::Say(const std::string& text) {
  Erase();
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    std::fputs(absl::StrCat(Line().Add(line).Render(1 << 20, false), "\n").c_str(), screen_.out);
  }
  std::fflush(screen_.out);
}

void LiveView::Finish(const Story& story) {
  if (screen_.terminal) {
    if (story.metrics().total_steps() > 0) {
      Draw(story);
    } else {
      Erase();
    }
    drawn_lines_ = 0;
  } else if (story.metrics().step() != last_line_step_ && story.metrics().total_steps() > 0) {
    PlainProgress(story, /*validated=*/true, last_line_);
  }
  for (const Line& line : RenderEnd(story)) {
    // Tables are wider than some terminals: they wrap rather than lose numbers.
    std::fputs(absl::StrCat(line.Render(1 << 20, screen_.color), "\n").c_str(), screen_.out);
  }
  if (cursor_hidden_) {
    std::fputs("\x1b[?25h", screen_.out);
    cursor_hidden_ = false;
  }
  std::fflush(screen_.out);
}

// One write for the whole picture, so that no half of it is seen; each line is cleared to its end
// after it was written.
void LiveView::Draw(const Story& story) {
  const int width = screen_.width();
  std::string picture;
  if (!cursor_hidden_) {
    picture += "\x1b[?25l";
    cursor_hidden_ = true;
  }
  if (drawn_lines_ > 0) {
    absl::StrAppend(&picture, "\r\x1b[", drawn_lines_, "A");
  }
  const std::vector<Line> lines = RenderLive(story, width, screen_.height());
  for (const Line& line : lines) {
    absl::StrAppend(&picture, line.Render(width, screen_.color), "\x1b[K\n");
  }
  picture += "\x1b[J";
  drawn_lines_ = static_cast<int>(lines.size());
  last_drawn_ = absl::Now();
  std::fwrite(picture.data(), 1, picture.size(), screen_.out);
  std::fflush(screen_.out);
}

void LiveView::Erase() {
  if (drawn_lines_ > 0) {
    std::fputs(absl::StrCat("\r\x1b[", drawn_lines_, "A\x1b[J").c_str(), screen_.out);
    drawn_lines_ = 0;
  }
}

void LiveView::PlainEvent(const v1::Event& event, const Story& story) {
  const absl::Time now = event.has_time() ? absl::FromUnixSeconds(event.time().seconds()) +
                                                absl::Nanoseconds(event.time().nanos())
                                          : absl::Now();
  switch (event.kind_case()) {
    case v1::Event::kStarted:
      Say(StartLine(event.started(), story.job().display_name()));
      last_line_ = now;
      last_epoch_ = -1;
      break;
    case v1::Event::kDataReport:
      for (const std::string& line : DataLines(event.data_report())) {
        Say(line);
      }
      break;
    case v1::Event::kMetrics: {
      const auto epoch = static_cast<int64_t>(std::floor(event.metrics().epoch() + 1e-9));
      // Where there is validation, its numbers mark the end of an epoch; they may come in an event
      // of their own.
      const bool validated = event.metrics().values().contains("validation_loss") ||
                             event.metrics().values().contains("validation_mean_return");
      const bool new_epoch =
          story.job().plan().validation_examples() == 0 && last_epoch_ >= 0 && epoch > last_epoch_;
      last_epoch_ = epoch;
      // Of short epochs only some are shown.
      if (now - last_line_ >= (validated || new_epoch ? kEpochLineEvery : kLineEvery)) {
        PlainProgress(story, validated, now);
      }
      for (const std::string& name : event.metrics().non_finite()) {
        Say(absl::StrCat("warning: ", name, " is not a finite number at step ",
                         event.metrics().step()));
      }
      break;
    }
    case v1::Event::kLayerStatistics:
      if (story.verdicts() != said_verdicts_) {
        said_verdicts_ = story.verdicts();
        for (const std::string& verdict : said_verdicts_) {
          Say(absl::StrCat("warning: step ", Count(event.layer_statistics().step()), ": ",
                           verdict));
        }
      }
      break;
    case v1::Event::kLog:
      Say(absl::StrCat(event.log().severity() == v1::Log::WARNING ? "warning: "
                       : event.log().severity() == v1::Log::ERROR ? "error: "
                                                                  : "",
                       event.log().text()));
      break;
    case v1::Event::kArtifact:
      if (event.artifact().kind() != "model") {
        Say(absl::StrCat(event.artifact().kind(), ": ", event.artifact().path()));
      }
      break;
    case v1::Event::kState:
      // Its end is told by the summary.
      if (event.state().end_reason() == v1::Job::END_REASON_UNSPECIFIED) {
        Say(absl::StrCat("job is ",
                         absl::AsciiStrToLower(v1::Job::State_Name(event.state().state())),
                         event.state().message().empty() ? "" : ": ", event.state().message()));
      }
      break;
    default:
      break;
  }
}

void LiveView::PlainProgress(const Story& story, bool validated, absl::Time now) {
  Say(ProgressLine(story, validated));
  last_line_ = now;
  last_line_step_ = story.metrics().step();
}

}  // namespace hone::client::cli
