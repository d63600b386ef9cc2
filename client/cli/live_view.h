#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/story.h"
#include "client/cli/text.h"

namespace hone::client::cli {

// Where a view is shown.
struct Screen {
  std::FILE* out = stdout;
  bool terminal = false;  // lines can be redrawn
  bool color = false;

  int width() const;   // columns; 100 where out is no terminal
  int height() const;  // rows

  // What `out` is: no redrawing with TERM=dumb, no colours with NO_COLOR.
  static Screen Of(std::FILE* out);
};

// To stdout; tables are wider than some terminals: they wrap rather than lose numbers.
void PrintLines(const std::vector<Line>& lines);

// A job as it happens. On a terminal one picture, redrawn in place at most ten times a second;
// elsewhere plain lines, one for an epoch or every five seconds. Not thread safe.
class LiveView {
 public:
  explicit LiveView(const Screen& screen);
  // Gives the cursor back.
  ~LiveView();
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

  // `story` has this event in it already.
  void Show(const v1::Event& event, const Story& story);
  // Something else has changed, such as the phase; or only time has passed.
  void Refresh(const Story& story);
  // A line of its own, above the picture.
  void Say(const std::string& text);
  // The last picture stays; then the end's tables.
  void Finish(const Story& story);

 private:
  void Draw(const Story& story);
  void Erase();
  void PlainEvent(const v1::Event& event, const Story& story);
  void PlainProgress(const Story& story, bool validated, absl::Time now);

  const Screen screen_;
  int drawn_lines_ = 0;
  bool cursor_hidden_ = false;
  absl::Time last_drawn_ = absl::InfinitePast();

  absl::Time last_line_ = absl::InfinitePast();
  int64_t last_epoch_ = 0;
  int64_t last_line_step_ = -1;
  std::vector<std::string> said_verdicts_;
  std::string said_phase_;
};

}  // namespace hone::client::cli
