#include "client/cli/sweep_watch.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include "absl/time/time.h"
#include "client/cli/live_view.h"
#include "client/cli/sweep_view.h"
#include "client/errors.h"
#include "engine/base/steady_clock.h"
#include "server/sweeps/advance.h"

namespace hone::client::cli {
namespace {

constexpr absl::Duration kEvery = absl::Seconds(1);
constexpr absl::Duration kPiece = absl::Milliseconds(100);
// With a server that was there and is away.
constexpr absl::Duration kPatience = absl::Minutes(5);
constexpr size_t kAll = 1000;

// Draws over what it drew before.
class Picture {
 public:
  explicit Picture(const Screen& screen) : screen_(screen) {}

  void Draw(const v1::Sweep& sweep) {
    Erase();
    // A row of the table is one line of the screen; the plots come at the end.
    const int room = std::max(screen_.height() - 6, 3);
    std::vector<Line> lines = RenderSweep(sweep, static_cast<size_t>(room), /*width=*/0);
    lines.resize(std::min(lines.size(), static_cast<size_t>(screen_.height() - 2)));
    for (const Line& line : lines) {
      std::fprintf(screen_.out, "%s\n", line.Render(screen_.width() - 1, screen_.color).c_str());
    }
    drawn_ = static_cast<int>(lines.size());
    std::fflush(screen_.out);
  }
  void Erase() {
    if (drawn_ > 0) {
      std::fprintf(screen_.out, "\x1b[%dA\x1b[J", drawn_);
    }
    drawn_ = 0;
  }

 private:
  const Screen screen_;
  int drawn_ = 0;
};

}  // namespace

int WatchSweep(Client& client, const std::string& name, const Globals& globals) {
  const Screen screen = Screen::Of(stdout);
  Picture picture(screen);
  const Interrupts::Handler interrupted(*globals.interrupts);
  std::set<int> told;
  std::optional<absl::Duration> seen;  // SteadyNow()
  for (bool away = false;;) {
    const absl::StatusOr<v1::Sweep> sweep = client.GetSweep(name);
    if (!sweep.ok()) {
      if (!IsLineError(sweep.status()) || !seen.has_value() || SteadyNow() - *seen > kPatience) {
        return Fail(sweep.status(), globals);
      }
      if (!std::exchange(away, true) && !globals.json) {
        picture.Erase();
        std::printf("the server cannot be reached; trying again\n");
        std::fflush(stdout);
      }
    } else {
      seen = SteadyNow();
      away = false;
      for (const v1::Trial& trial : sweep->trials()) {
        if (server::sweeps::IsEnd(trial.state()) && told.insert(trial.number()).second) {
          if (globals.json) {
            PrintJsonLine(trial);
          } else if (!screen.terminal) {
            std::printf("%s\n", TrialLine(*sweep, trial).c_str());
            std::fflush(stdout);
          }
        }
      }
      const bool ended = server::sweeps::IsEnd(sweep->state());
      if (ended && globals.json) {
        PrintJsonLine(*sweep);
      } else if (ended) {
        picture.Erase();
        PrintLines(RenderSweep(*sweep, kAll, screen.width()));
      } else if (screen.terminal && !globals.json) {
        picture.Draw(*sweep);
      }
      if (ended) {
        return ExitCodeOf(*sweep);
      }
    }
    for (absl::Duration waited; waited < kEvery && interrupted.count() == 0; waited += kPiece) {
      client.Wait(kPiece);
    }
    if (interrupted.count() > 0) {
      std::fprintf(stderr, "the sweep goes on:  hone sweeps watch %s\n", name.c_str());
      return kCancelled;
    }
  }
}

int ExitCodeOf(const v1::Sweep& sweep) {
  switch (sweep.state()) {
    case v1::Sweep::SUCCEEDED:
      return kSuccess;
    case v1::Sweep::CANCELLED:
      return kCancelled;
    default:
      return kJobFailed;
  }
}

}  // namespace hone::client::cli
