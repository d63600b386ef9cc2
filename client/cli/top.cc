#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/follow.h"
#include "client/cli/live_view.h"
#include "client/cli/top_view.h"
#include "client/errors.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::client::cli {
namespace {

// What a server is asked for: one list a second, and the events of so many running jobs.
constexpr absl::Duration kAskEvery = absl::Seconds(1);
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);  // whether a person has quit
constexpr size_t kMostWatched = 8;
constexpr int kRunningPage = 100, kQueuePage = 200, kEndedPage = 50;
constexpr int kCurvePoints = 100;
// With one call: who quits waits no longer.
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr int kRedrawMilliseconds = 200;
constexpr int kPlainColumns = 160;  // where this is no terminal

enum class List { kRunning, kQueue, kEnded };

v1::ListJobsRequest RequestFor(List list) {
  v1::ListJobsRequest request;
  switch (list) {
    case List::kRunning:
      for (const auto state : {v1::Job::RUNNING, v1::Job::CANCELLING, v1::Job::PAUSING}) {
        request.add_states(state);
      }
      request.set_page_size(kRunningPage);
      request.set_oldest_first(true);
      break;
    case List::kQueue:
      request.add_states(v1::Job::QUEUED);
      request.add_states(v1::Job::PAUSED);
      request.set_page_size(kQueuePage);
      request.set_oldest_first(true);
      break;
    case List::kEnded:
      for (const auto state : {v1::Job::SUCCEEDED, v1::Job::FAILED, v1::Job::CANCELLED}) {
        request.add_states(state);
      }
      request.set_page_size(kEndedPage);
      break;
  }
  return request;
}

void Take(List list, v1::ListJobsResponse answer, TopData& data) {
  std::vector<v1::Job> jobs(std::make_move_iterator(answer.mutable_jobs()->begin()),
                            std::make_move_iterator(answer.mutable_jobs()->end()));
  data.away.clear();
  data.now = absl::Now();
  switch (list) {
    case List::kRunning:
      data.running = std::move(jobs);
      // Their curves go with them.
      std::erase_if(data.stories, [&](const auto& story) {
        return std::ranges::none_of(data.running,
                                    [&](const v1::Job& job) { return job.name() == story.first; });
      });
      return;
    case List::kQueue:
      data.queue = std::move(jobs);
      data.more_queued = !answer.next_page_token().empty();
      return;
    case List::kEnded:
      data.ended = std::move(jobs);
      return;
  }
}

// The first line of an error, as a person reads it.
std::string Words(const absl::Status& status) {
  const std::string message(status.message());
  return message.substr(0, message.find('\n'));
}

// Keeps TopData as the server has it, on threads of its own. Wakes the screen when something is
// new.
class Source {
 public:
  Source(const Globals& globals, std::function<void()> wake)
      : globals_(globals), client_(ConnectTo(globals)), wake_(std::move(wake)) {
    data_.address = globals.access.address;
  }
  ~Source() { Stop(); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // `look` gets what is known now, and must not ask the source.
  template <typename Look>
  auto With(const Look& look) const {
    const std::lock_guard lock(mutex_);
    return look(data_);
  }

  // All three lists, once. The first error.
  absl::Status AskAll() {
    HONE_RETURN_IF_ERROR(AskInfo());
    for (const List list : {List::kRunning, List::kQueue, List::kEnded}) {
      HONE_RETURN_IF_ERROR(Ask(list));
    }
    const std::vector<v1::Job> running = With([](const TopData& data) { return data.running; });
    for (size_t i = 0; i < std::min(running.size(), kMostWatched); ++i) {
      Seed(running[i].name());
    }
    return absl::OkStatus();
  }

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  // Waits for calls that are under way.
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      for (auto& [name, watch] : watches_) {
        watch->Cancel();
      }
    }
    changed_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
    watches_.clear();  // joins
  }

  // A call for one job; what it came to is in TakeNote later.
  void Ask(const TopWish& wish) {
    {
      const std::lock_guard lock(mutex_);
      wishes_.push_back(wish);
    }
    changed_.notify_all();
  }
  std::string TakeNote() {
    const std::lock_guard lock(mutex_);
    return std::exchange(note_, "");
  }

 private:
  // The events of one job, from now on.
  class Watch {
   public:
    Watch(Source& source, const std::string& name) {
      v1::WatchJobRequest request;
      request.set_name(name);
      request.set_live_only(true);
      stream_ = source.client_->WatchJob(request);
      thread_ = std::thread([this, &source, name] {
        v1::WatchJobResponse response;
        while (stream_->Next(response)) {
          source.TakeEvent(name, response);
        }
        (void)stream_->Finish();
        ended_ = true;
      });
    }
    ~Watch() {
      stream_->Cancel();
      thread_.join();
    }
    void Cancel() { stream_->Cancel(); }
    bool ended() const { return ended_; }

   private:
    std::unique_ptr<WatchStream> stream_;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
  };

  static std::unique_ptr<Client> ConnectTo(const Globals& globals) {
    Globals patient = globals;
    patient.access.patience = kPatience;
    return patient.Connect();
  }

  // In turn: what runs is asked for as often as the others together; its events come by themselves.
  void Run() {
    constexpr List kTurns[] = {List::kRunning, List::kQueue, List::kRunning, List::kEnded};
    for (size_t turn = 0;; ++turn) {
      bool known = false;
      {
        const std::lock_guard lock(mutex_);
        known = !data_.info.version().empty() && data_.away.empty();
      }
      // Who comes back may be another version.
      const bool answers = known || AskInfo().ok();
      if (!known && answers) {
        (void)Ask(List::kQueue);
        (void)Ask(List::kEnded);
      }
      if (answers && Ask(kTurns[turn % std::size(kTurns)]).ok()) {
        WatchRunning();
      }
      wake_();
      if (!Rest(answers)) {
        return;
      }
    }
  }

  // Until the next turn, fulfilling wishes; false: it is to end.
  bool Rest(bool answers) {
    const absl::Duration until = SteadyNow() + kAskEvery;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (!wishes_.empty()) {
        const TopWish wish = wishes_.front();
        wishes_.pop_front();
        lock.unlock();
        Fulfil(wish);
        lock.lock();
        continue;
      }
      const absl::Duration left = until - SteadyNow();
      if (left <= absl::ZeroDuration()) {
        return true;
      }
      if (answers) {
        changed_.wait_for(lock, absl::ToChronoMicroseconds(left));
      } else {
        // The connection comes back only while somebody waits for it.
        lock.unlock();
        client_->Wait(std::min(left, kLookEvery));
        lock.lock();
      }
    }
    return false;
  }

  absl::Status AskInfo() {
    return Keep(client_->GetServerInfo(),
                [this](v1::ServerInfo info) { data_.info = std::move(info); });
  }
  absl::Status Ask(List list) {
    return Keep(client_->ListJobs(RequestFor(list)), [this, list](v1::ListJobsResponse answer) {
      Take(list, std::move(answer), data_);
    });
  }
  template <typename Answer, typename Into>
  absl::Status Keep(absl::StatusOr<Answer> answer, Into into) {
    const std::lock_guard lock(mutex_);
    if (answer.ok()) {
      into(*std::move(answer));
      return absl::OkStatus();
    }
    data_.away = absl::StrCat(
        IsLineError(answer.status()) ? "the server does not answer: " : "the server refuses: ",
        Words(answer.status()));
    return answer.status();
  }

  // The curve so far, in few points.
  void Seed(const std::string& name) {
    v1::GetMetricHistoryRequest request;
    request.set_name(name);
    request.set_max_points(kCurvePoints);
    request.add_metrics("loss");
    const absl::StatusOr<v1::MetricHistory> history = client_->GetMetricHistory(request);
    const std::lock_guard lock(mutex_);
    Story& story = data_.stories[name];
    if (history.ok()) {
      for (const v1::Metrics& point : history->points()) {
        v1::Event event;
        *event.mutable_metrics() = point;
        story.Apply(event);
      }
    }
  }

  // Those that have ended, and those of other jobs. A watch waits for its thread, which may want
  // the lock: so it goes without it.
  void EndWatches(const std::vector<std::string>& wanted) {
    std::vector<std::unique_ptr<Watch>> gone;
    const std::lock_guard lock(mutex_);
    for (auto at = watches_.begin(); at != watches_.end();) {
      if (at->second->ended() || std::ranges::find(wanted, at->first) == wanted.end()) {
        gone.push_back(std::move(at->second));
        at = watches_.erase(at);
      } else {
        ++at;
      }
    }
  }

  void WatchRunning() {
    std::vector<std::string> wanted;
    {
      const std::lock_guard lock(mutex_);
      for (const v1::Job& job : data_.running) {
        if (wanted.size() < kMostWatched) {
          wanted.push_back(job.name());
        }
      }
    }
    EndWatches(wanted);
    for (const std::string& name : wanted) {
      bool seeded = false;
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) {
          return;
        }
        seeded = data_.stories.contains(name);
      }
      if (!seeded) {
        Seed(name);
      }
      if (!watches_.contains(name)) {
        auto watch = std::make_unique<Watch>(*this, name);
        const std::lock_guard lock(mutex_);
        if (stopping_) {
          watch->Cancel();
        }
        watches_[name] = std::move(watch);
      }
    }
  }

  void TakeEvent(const std::string& name, const v1::WatchJobResponse& response) {
    {
      const std::lock_guard lock(mutex_);
      const auto story = data_.stories.find(name);
      if (!response.has_event() || story == data_.stories.end()) {
        return;
      }
      story->second.Apply(response.event());
    }
    wake_();
  }

  void Fulfil(const TopWish& wish) {
    absl::StatusOr<v1::Job> job = absl::InternalError("not asked");
    switch (wish.kind) {
      case TopWish::Kind::kCancel:
        job = client_->CancelJob(wish.job);
        break;
      case TopWish::Kind::kPause:
        job = client_->PauseJob(wish.job);
        break;
      case TopWish::Kind::kResume:
        job = client_->ResumeJob(wish.job);
        break;
      default:
        return;
    }
    {
      const std::lock_guard lock(mutex_);
      note_ = job.ok() ? absl::StrCat(wish.job, " is ",
                                      absl::AsciiStrToLower(v1::Job::State_Name(job->state())))
                       : Words(job.status());
    }
    for (const List list : {List::kRunning, List::kQueue, List::kEnded}) {
      (void)Ask(list);
    }
    wake_();
  }

  const Globals& globals_;
  const std::unique_ptr<Client> client_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  TopData data_;
  std::deque<TopWish> wishes_;
  std::string note_;
  bool stopping_ = false;
  // Changed by thread_ alone, and by Stop when that has ended; with the lock where Stop could look.
  std::map<std::string, std::unique_ptr<Watch>> watches_;
  std::thread thread_;
};

// The terminal while it shows the other screen and gives every key at once; as it was before at the
// end.
class Terminal {
 public:
  explicit Terminal(const Screen& screen) : screen_(screen) {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // it would leave the terminal as it is now
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    Write("\x1b[?1049h\x1b[?25l\x1b[2J");
  }
  ~Terminal() {
    Write("\x1b[?25h\x1b[?1049l");
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // One write, so that no half of a picture is seen.
  void Show(const std::vector<Line>& lines, int width) {
    std::string picture = "\x1b[H";
    for (size_t i = 0; i < lines.size(); ++i) {
      absl::StrAppend(&picture, i > 0 ? "\n" : "", lines[i].Render(width, screen_.color), "\x1b[K");
    }
    Write(picture + "\x1b[J");
  }

 private:
  void Write(const std::string& bytes) const {
    std::fwrite(bytes.data(), 1, bytes.size(), screen_.out);
    std::fflush(screen_.out);
  }

  const Screen screen_;
  termios before_{};
};

class Top {
 public:
  explicit Top(const Globals& globals)
      : globals_(globals),
        screen_(Screen::Of(stdout)),
        woken_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Top() { close(woken_); }

  int Run() {
    // Connect says what is wrong with the command line before the screen changes.
    Source source(globals_, [this] { Wake(); });
    source.Start();
    while (true) {
      const TopWish wish = UntilWatch(source);
      if (wish.kind != TopWish::Kind::kWatch) {
        return interrupted_ ? kCancelled : kSuccess;
      }
      Follow(wish.job, globals_);
      if (!AwaitReturn()) {
        return kSuccess;
      }
    }
  }

 private:
  void Wake() const {
    const uint64_t one = 1;
    (void)!write(woken_, &one, sizeof one);
  }

  // Shows the list until a job is to be watched, or all is to end.
  TopWish UntilWatch(Source& source) {
    const Interrupts::Handler interrupts(*globals_.interrupts, [this] { Wake(); });
    Terminal terminal(screen_);
    std::string bytes;
    while (true) {
      if (const std::string note = source.TakeNote(); !note.empty()) {
        choice_.note = note;
      }
      const int width = screen_.width();
      terminal.Show(source.With([&](const TopData& data) {
        return RenderTop(data, choice_, width, screen_.height());
      }),
                    width);
      pollfd waits[] = {{STDIN_FILENO, POLLIN, 0}, {woken_, POLLIN, 0}};
      const int ready = poll(waits, 2, kRedrawMilliseconds);
      uint64_t count = 0;
      (void)!read(woken_, &count, sizeof count);
      if (interrupts.count() > 0) {
        interrupted_ = true;
        return {TopWish::Kind::kQuit};
      }
      char piece[256];
      const ssize_t got =
          (waits[0].revents & POLLIN) != 0 ? read(STDIN_FILENO, piece, sizeof piece) : 0;
      if ((waits[0].revents & (POLLHUP | POLLERR)) != 0 && got <= 0) {
        return {TopWish::Kind::kQuit};  // the terminal is gone
      }
      bytes.append(piece, static_cast<size_t>(std::max<ssize_t>(got, 0)));
      for (const TopInput& input : TakeKeys(bytes, /*all=*/ready == 0)) {
        const TopWish wish =
            source.With([&](const TopData& data) { return HandleKey(input, data, choice_); });
        if (wish.kind == TopWish::Kind::kQuit || wish.kind == TopWish::Kind::kWatch) {
          return wish;
        }
        if (wish.kind != TopWish::Kind::kNothing) {
          source.Ask(wish);
        }
      }
      // A burst of events is drawn once.
      absl::SleepFor(absl::Milliseconds(30));
    }
  }

  // The end of a job that was watched stays to be read; false: a person wants no more.
  bool AwaitReturn() {
    std::printf("\n Enter: back to all jobs   q, then Enter: quit\n");
    std::fflush(stdout);
    const Interrupts::Handler interrupts(*globals_.interrupts, [this] { Wake(); });
    std::string line;
    while (interrupts.count() == 0) {
      pollfd waits[] = {{STDIN_FILENO, POLLIN, 0}, {woken_, POLLIN, 0}};
      (void)poll(waits, 2, kRedrawMilliseconds);
      uint64_t count = 0;
      (void)!read(woken_, &count, sizeof count);
      char piece[256];
      const ssize_t got = (waits[0].revents & (POLLIN | POLLHUP)) != 0
                              ? read(STDIN_FILENO, piece, sizeof piece)
                              : -1;
      if (got == 0) {
        return false;
      }
      line.append(piece, static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (line.find('\n') != std::string::npos) {
        return line[0] != 'q';
      }
    }
    return false;
  }

  const Globals& globals_;
  const Screen screen_;
  const int woken_;
  TopChoice choice_;
  bool interrupted_ = false;
};

int Once(const Globals& globals) {
  Source source(globals, [] {});
  if (const absl::Status status = source.AskAll(); !status.ok()) {
    return Fail(status, globals);
  }
  source.With([&](const TopData& data) {
    if (!globals.json) {
      const Screen screen = Screen::Of(stdout);
      PrintLines(RenderTopOnce(data, screen.terminal ? screen.width() : kPlainColumns));
      return;
    }
    v1::ListJobsResponse all;
    for (const auto* jobs : {&data.running, &data.queue, &data.ended}) {
      for (const v1::Job& job : *jobs) {
        *all.add_jobs() = job;
      }
    }
    PrintJsonLine(all);
  });
  return kSuccess;
}

}  // namespace

void AddTop(CLI::App& app, Globals& globals) {
  const auto once = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(app, globals, "top", "The queue and the running jobs, live; ? explains the keys.",
                 [once, &globals] {
                   const bool live = !*once && !globals.json && Screen::Of(stdout).terminal &&
                                     isatty(STDIN_FILENO) == 1;
                   return live ? Top(globals).Run() : Once(globals);
                 });
  command->add_flag("--once", *once,
                    "what there is now, as plain lines; also where this is no terminal");
}

}  // namespace hone::client::cli
