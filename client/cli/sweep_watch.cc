#include "client/cli/sweep_watch.h"

#include <cstdio>
#include <set>

#include "client/cli/live_view.h"
#include "client/cli/sweep_view.h"
#include "client/cli/watching.h"
#include "server/sweeps/advance.h"

namespace hone::client::cli {
namespace {

constexpr size_t kAll = 1000;

// Draws over what it drew before.
class Picture {
 public:
  explicit Picture(const Screen& screen) : screen_(screen) {}

  void Draw(const v1::Sweep& sweep) {
    Erase();
    const int width = screen_.width() - 1;
    const std::vector<Line> lines = RenderLiveSweep(sweep, width, screen_.height() - 2);
    for (const Line& line : lines) {
      std::fprintf(screen_.out, "%s\n", line.Render(width, screen_.color).c_str());
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

class SweepFollower {
 public:
  SweepFollower(Client& client, const std::string& name, const Globals& globals)
      : client_(client),
        name_(name),
        globals_(globals),
        screen_(Screen::Of(stdout)),
        picture_(screen_) {}

  int Run() {
    Watching<v1::WatchSweepResponse> watching(
        client_, *globals_.interrupts,
        {.open = [this] { return client_.WatchSweep(name_); },
         .handle = [this](const v1::WatchSweepResponse& response) { Handle(response); },
         .say = [this](const std::string& text) { Say(text); }});
    const auto outcome = watching.Run();
    if (outcome.interrupted) {
      std::fprintf(stderr, "the sweep goes on:  hone sweeps watch %s\n", name_.c_str());
      return kCancelled;
    }
    return outcome.status.ok() ? End() : Fail(outcome.status, globals_);
  }

 private:
  void Handle(const v1::WatchSweepResponse& response) {
    if (response.has_snapshot()) {
      sweep_ = response.snapshot();
    } else if (response.has_change()) {
      ApplyChange(response.change(), sweep_);
    } else {
      return;
    }
    TellEnds();
    if (screen_.terminal && !globals_.json) {
      picture_.Draw(sweep_);
    }
  }

  // Of trials: each once, also where a sweep was sent anew.
  void TellEnds() {
    for (const v1::Trial& trial : sweep_.trials()) {
      if (!server::sweeps::IsEnd(trial.state()) || !told_.insert(trial.number()).second) {
        continue;
      }
      if (globals_.json) {
        PrintJsonLine(trial);
      } else if (!screen_.terminal) {
        std::printf("%s\n", TrialLine(sweep_, trial).c_str());
        std::fflush(stdout);
      }
    }
  }

  void Say(const std::string& text) {
    if (!globals_.json) {
      picture_.Erase();
      std::printf("%s\n", text.c_str());
      std::fflush(stdout);
    }
  }

  int End() {
    if (globals_.json) {
      PrintJsonLine(sweep_);
    } else {
      picture_.Erase();
      PrintLines(RenderSweep(sweep_, kAll, screen_.width()));
    }
    return ExitCodeOf(sweep_);
  }

  Client& client_;
  const std::string name_;
  const Globals& globals_;
  const Screen screen_;
  Picture picture_;
  v1::Sweep sweep_;
  std::set<int> told_;  // trials whose end was
};

}  // namespace

int WatchSweep(Client& client, const std::string& name, const Globals& globals) {
  return SweepFollower(client, name, globals).Run();
}

void ApplyChange(const v1::Sweep& change, v1::Sweep& sweep) {
  v1::Sweep next = change;
  next.mutable_spec()->Swap(sweep.mutable_spec());
  next.mutable_trials()->Swap(sweep.mutable_trials());
  for (const v1::Trial& trial : change.trials()) {
    if (trial.number() >= 1 && trial.number() <= next.trials_size()) {
      *next.mutable_trials(trial.number() - 1) = trial;
    }
  }
  sweep.Swap(&next);
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
