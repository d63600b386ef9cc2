#include "client/cli/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/render.h"

namespace hone::client::cli {
namespace {

constexpr int kBarColumns = 16;
constexpr int kSparkColumns = 12;
constexpr int kMostNameColumns = 32;
constexpr size_t kMostFilter = 64;
constexpr int kPage = 10;

std::string Lower(const std::string& name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", " "}});
}

std::string StateOf(const v1::Job& job) { return Lower(v1::Job::State_Name(job.state())); }

std::string NameOf(const v1::Job& job) {
  return job.display_name().empty() ? job.name() : job.display_name();
}

const Story* StoryOf(const TopData& data, const v1::Job& job) {
  const auto found = data.stories.find(job.name());
  return found == data.stories.end() ? nullptr : &found->second;
}

// Where a job stands: what its events say where they are newer than the list.
struct Standing {
  int64_t step = 0, total = 0;
  double eta_seconds = -1;
  std::string phase;
  std::optional<double> loss, speed;
};

std::optional<double> Find(const google::protobuf::Map<std::string, double>& values,
                           const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? std::nullopt : std::optional(found->second);
}

Standing StandingOf(const TopData& data, const v1::Job& job) {
  Standing standing{.step = job.progress().step(),
                    .total = job.progress().total_steps(),
                    .eta_seconds = job.progress().eta_seconds(),
                    .phase = job.progress().phase(),
                    .loss = Find(job.metrics(), "loss"),
                    .speed = Find(job.metrics(), "samples_per_second")};
  const Story* const story = StoryOf(data, job);
  if (story != nullptr && story->metrics().step() > standing.step) {
    standing.step = story->metrics().step();
    standing.total = std::max(standing.total, story->metrics().total_steps());
    standing.eta_seconds = story->Value("eta_seconds").value_or(standing.eta_seconds);
    standing.loss = story->Value("loss").has_value() ? story->Value("loss") : standing.loss;
    standing.speed = story->Value("samples_per_second").has_value()
                         ? story->Value("samples_per_second")
                         : standing.speed;
  }
  if (!standing.loss.has_value()) {
    standing.loss = Find(job.metrics(), "generator_loss");
  }
  return standing;
}

// A column of a table. Those of the highest rank go first where there is no room.
struct Column {
  const char* head;
  int rank = 0;
  bool right = false;
};
struct Cell {
  std::string text;
  Style style = Style::kPlain;
};
struct Row {
  std::string job;  // its name
  std::vector<Cell> cells;
};

// Which columns fit into `width`, and how wide they are; 0: it is left out.
std::vector<int> Widths(const std::vector<Column>& columns, const std::vector<Row>& rows,
                        int width) {
  std::vector<int> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    int widest = 0;
    for (const Row& row : rows) {
      widest = std::max(widest, Columns(row.cells[i].text));
    }
    widths.push_back(widest == 0 ? 0 : std::max(widest, Columns(columns[i].head)));
  }
  const auto total = [&] {
    int sum = 2;  // the mark
    for (const int one : widths) {
      sum += one == 0 ? 0 : one + 2;
    }
    return sum - 2;
  };
  while (total() > width) {
    size_t last = columns.size();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (widths[i] > 0 && columns[i].rank > 0 &&
          (last == columns.size() || columns[i].rank > columns[last].rank)) {
        last = i;
      }
    }
    if (last == columns.size()) {
      break;  // the lines are cut
    }
    widths[last] = 0;
  }
  return widths;
}

void AddCells(const std::vector<Column>& columns, const std::vector<int>& widths,
              const std::vector<Cell>& cells, Line& line) {
  int column = 2;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (widths[i] == 0) {
      continue;
    }
    line.PadTo(columns[i].right ? column + widths[i] - Columns(cells[i].text) : column);
    line.Add(cells[i].text, cells[i].style);
    column += widths[i] + 2;
  }
}

struct Section {
  std::string title;
  std::vector<Column> columns;
  std::vector<Row> rows = {};
};

bool Fits(const v1::Job& job, const std::string& filter) {
  const std::string wanted = absl::AsciiStrToLower(filter);
  const auto has = [&](const std::string& text) {
    return absl::StrContains(absl::AsciiStrToLower(text), wanted);
  };
  return wanted.empty() || has(job.name()) || has(job.display_name()) || has(StateOf(job)) ||
         has(job.project()) || std::ranges::any_of(job.labels(), [&](const auto& label) {
           return has(absl::StrCat(label.first, "=", label.second));
         });
}

double TimeLeft(const TopData& data, const v1::Job& job) {
  if (job.state() == v1::Job::QUEUED) {
    return job.has_queue_eta_seconds() ? job.queue_eta_seconds()
                                       : std::numeric_limits<double>::max();
  }
  const Standing standing = StandingOf(data, job);
  return standing.total == 0 ? std::numeric_limits<double>::max() : standing.eta_seconds;
}

// Those of one list that are shown, in their order. `turn`: the order of the list's own.
std::vector<const v1::Job*> Sorted(
    const TopData& data, const std::vector<v1::Job>& jobs, const TopChoice& choice,
    const std::function<bool(const v1::Job&, const v1::Job&)>& turn) {
  std::vector<const v1::Job*> shown;
  for (const v1::Job& job : jobs) {
    if (Fits(job, choice.filter)) {
      shown.push_back(&job);
    }
  }
  std::ranges::stable_sort(shown, [&](const v1::Job* a, const v1::Job* b) {
    switch (choice.sort) {
      case TopChoice::Sort::kName:
        return NameOf(*a) < NameOf(*b);
      case TopChoice::Sort::kTimeLeft:
        return TimeLeft(data, *a) < TimeLeft(data, *b);
      case TopChoice::Sort::kTurn:
        break;
    }
    return turn(*a, *b);
  });
  return shown;
}

std::vector<const v1::Job*> Running(const TopData& data, const TopChoice& choice) {
  return Sorted(data, data.running, choice, [](const v1::Job& a, const v1::Job& b) {
    return a.start_time().seconds() < b.start_time().seconds();
  });
}
std::vector<const v1::Job*> Queue(const TopData& data, const TopChoice& choice) {
  // Those that are paused, or held, have no place in it.
  const auto place = [](const v1::Job& job) {
    return job.queue_position() > 0 ? job.queue_position() : std::numeric_limits<int>::max();
  };
  return Sorted(data, data.queue, choice,
                [&place](const v1::Job& a, const v1::Job& b) { return place(a) < place(b); });
}
std::vector<const v1::Job*> Ended(const TopData& data, const TopChoice& choice) {
  return Sorted(data, data.ended, choice, [](const v1::Job& a, const v1::Job& b) {
    return a.end_time().seconds() > b.end_time().seconds();
  });
}

Cell NameCell(const v1::Job& job) { return {Cut(NameOf(job), kMostNameColumns), Style::kBold}; }

// The bar with what is still to be done.
std::string WholeBar(double share) {
  std::string bar = Bar(share, kBarColumns);
  for (int column = Columns(bar); column < kBarColumns; ++column) {
    bar += "─";
  }
  return bar;
}

std::string Left(const Standing& standing) {
  return standing.total > 0 && standing.eta_seconds >= 0
             ? absl::StrCat(Duration(standing.eta_seconds), " left")
             : "";
}

Section RunningSection(const TopData& data, const TopChoice& choice) {
  Section section{.title = "RUNNING",
                  .columns = {{"name"},
                              {"job", 5},
                              {"", 2},
                              {"done", 0, true},
                              {"step", 7, true},
                              {"loss", 1, true},
                              {"", 4},
                              {"examples/s", 6, true},
                              {"", 3, true},
                              {"threads", 8, true},
                              {"project", 9},
                              {"", 2}}};
  for (const v1::Job* job : Running(data, choice)) {
    const Standing standing = StandingOf(data, *job);
    const Story* const story = StoryOf(data, *job);
    const double share =
        standing.total > 0
            ? std::clamp(static_cast<double>(standing.step) / static_cast<double>(standing.total),
                         0.0, 1.0)
            : 0;
    section.rows.push_back(
        {job->name(),
         {NameCell(*job),
          {job->name(), Style::kDim},
          {standing.total > 0 ? WholeBar(share) : "", Style::kTrain},
          {standing.total > 0 ? absl::StrCat(static_cast<int>(100 * share), " %") : "–"},
          {standing.total > 0 ? absl::StrCat(Count(standing.step), " of ", Count(standing.total))
                              : ""},
          {standing.loss.has_value() ? Significant(*standing.loss) : "–"},
          {story != nullptr ? Sparkline(story->train_loss(), kSparkColumns) : "", Style::kTrain},
          {standing.speed.has_value() ? Count(std::llround(*standing.speed)) : ""},
          {Left(standing)},
          {absl::StrCat(job->threads())},
          {job->project(), Style::kDim},
          job->state() == v1::Job::RUNNING
              ? Cell{standing.total > 0 ? "" : standing.phase, Style::kDim}
              : Cell{StateOf(*job), Style::kWarning}}});
  }
  return section;
}

Section QueueSection(const TopData& data, const TopChoice& choice) {
  Section section{.title = "QUEUE",
                  .columns = {{"", 1, true},
                              {"name"},
                              {"job", 3},
                              {"begins", 1},
                              {"threads", 5, true},
                              {"priority", 6, true},
                              {"project", 7},
                              {"", 4}}};
  for (const v1::Job* job : Queue(data, choice)) {
    const bool waits = job->state() == v1::Job::QUEUED && job->queue_position() > 0;
    section.rows.push_back(
        {job->name(),
         {{waits ? absl::StrCat(job->queue_position()) : "", Style::kDim},
          NameCell(*job),
          {job->name(), Style::kDim},
          waits ? Cell{job->has_queue_eta_seconds()
                           ? absl::StrCat("in about ", Duration(job->queue_eta_seconds()))
                           : "–"}
                : Cell{job->state() == v1::Job::PAUSED ? "paused" : "held", Style::kWarning},
          {absl::StrCat(job->threads())},
          {job->priority() != 0 ? absl::StrCat(job->priority()) : ""},
          {job->project(), Style::kDim},
          {waits ? "" : Cut(job->message(), 60), Style::kDim}}});
  }
  return section;
}

Section EndedSection(const TopData& data, const TopChoice& choice) {
  Section section{
      .title = "ENDED",
      .columns = {
          {"name"}, {"job", 3}, {"state"}, {"result", 1}, {"ended", 2, true}, {"project", 4}}};
  for (const v1::Job* job : Ended(data, choice)) {
    const Style style = job->state() == v1::Job::SUCCEEDED ? Style::kGood
                        : job->state() == v1::Job::FAILED  ? Style::kBad
                                                           : Style::kWarning;
    const std::string result = job->state() == v1::Job::SUCCEEDED
                                   ? FinalResult(job->evaluation())
                                   : Lower(v1::Job::EndReason_Name(job->end_reason()));
    const double ago =
        absl::ToDoubleSeconds(data.now - absl::FromUnixSeconds(job->end_time().seconds()));
    section.rows.push_back(
        {job->name(),
         {NameCell(*job),
          {job->name(), Style::kDim},
          {StateOf(*job), style},
          {Cut(result, 40)},
          {job->end_time().seconds() > 0 ? absl::StrCat(Duration(std::max(0.0, ago)), " ago") : ""},
          {job->project(), Style::kDim}}});
  }
  return section;
}

// `first` to `first + count` of the rows, below the title.
void AddSection(const Section& section, const TopChoice& choice, int width, size_t first,
                size_t count, std::vector<Line>& lines) {
  const std::vector<int> widths = Widths(section.columns, section.rows, width);
  Line title;
  title.Add(section.title, Style::kBold);
  if (count < section.rows.size()) {
    title.Add(absl::StrCat("  ", first + 1, " to ", first + count, " of ", section.rows.size()),
              Style::kDim);
  }
  lines.push_back(std::move(title));
  std::vector<Cell> heads;
  for (const Column& column : section.columns) {
    heads.push_back({column.head, Style::kDim});
  }
  Line head;
  AddCells(section.columns, widths, heads, head);
  lines.push_back(std::move(head));
  for (size_t i = first; i < first + count; ++i) {
    Line line;
    line.Add(!choice.selected.empty() && section.rows[i].job == choice.selected ? "▸ " : "  ",
             Style::kBold);
    AddCells(section.columns, widths, section.rows[i].cells, line);
    lines.push_back(std::move(line));
  }
}

// So many rows of `rows` that the selected one is among them.
size_t FirstRow(const std::vector<Row>& rows, size_t count, const std::string& selected) {
  const auto found = std::ranges::find(rows, selected, &Row::job);
  const auto at = static_cast<size_t>(found - rows.begin());
  return found == rows.end() || at < count ? 0 : at - count + 1;
}

std::vector<Line> Head(const TopData& data, const TopChoice& choice) {
  Line server;
  server.Add("hone", Style::kBold).Add(absl::StrCat("  ", data.address));
  if (!data.info.version().empty()) {
    server.Add(
        absl::StrCat("   honed ", data.info.version(), "   ", data.info.threads(), " threads, ",
                     data.info.concurrent_jobs(),
                     data.info.concurrent_jobs() == 1 ? " job at a time, " : " jobs at a time, ",
                     Bytes(data.info.memory_bytes())),
        Style::kDim);
  }
  Line counts;
  counts.Add(absl::StrCat(data.running.size(), " running, ", data.queue.size(),
                          data.more_queued ? "+" : "", " in the queue"));
  if (!choice.filter.empty()) {
    counts.Add(absl::StrCat("   only: ", choice.filter), Style::kWarning);
  }
  if (choice.sort != TopChoice::Sort::kTurn) {
    counts.Add(choice.sort == TopChoice::Sort::kName ? "   by name" : "   by time left",
               Style::kDim);
  }
  std::vector<Line> lines;
  lines.push_back(std::move(server));
  lines.push_back(std::move(counts));
  if (!data.away.empty()) {
    lines.push_back(Line().Add(absl::StrCat(data.away, "; trying again"), Style::kBad));
  }
  return lines;
}

std::vector<Line> Help() {
  std::vector<Line> lines;
  for (const auto& [keys, what] : std::initializer_list<std::pair<const char*, const char*>>{
           {"↑ ↓ j k", "select a job; Page Up and Page Down, Home and End, too"},
           {"Enter", "watch the job; Ctrl-C comes back"},
           {"c", "cancel the job; y confirms it"},
           {"p", "pause the job, or put a paused one back into the queue"},
           {"/",
            "show only jobs with a text in their name, state, project or labels; Escape ends it"},
           {"s", "sort by turn, by name, by the time left"},
           {"q", "quit; the jobs go on"}}) {
    Line line;
    line.Add("  ").Add(keys, Style::kBold);
    line.PadTo(12).Add(what);
    lines.push_back(std::move(line));
  }
  return lines;
}

Line Foot(const TopChoice& choice) {
  switch (choice.mode) {
    case TopChoice::Mode::kFilter:
      return Line().Add("only: ", Style::kBold).Add(choice.filter).Add("▏");
    case TopChoice::Mode::kConfirm:
      return Line().Add(absl::StrCat("cancel ", choice.selected, "?  y: yes  any other key: no"),
                        Style::kWarning);
    case TopChoice::Mode::kHelp:
      return Line().Add("any key comes back", Style::kDim);
    case TopChoice::Mode::kList:
      break;
  }
  return choice.note.empty()
             ? Line().Add(
                   "q quit  ↑↓ select  Enter watch  c cancel  p pause  / filter  s sort  ? help",
                   Style::kDim)
             : Line().Add(choice.note, Style::kWarning);
}

// Rows for each of the sections in `room` lines: first a row of the selected job's section, then of
// each; what is left has first what runs, then the queue's head and the newest ends by halves.
std::array<size_t, 3> ShareRoom(const std::array<Section, 3>& sections, size_t room,
                                const std::string& selected) {
  constexpr size_t kFrame = 3;  // title, head, and a line between
  std::array<size_t, 3> counts{};
  ++room;  // nothing comes after the last one's line between
  const auto open = [&](size_t i) {
    if (counts[i] == 0 && !sections[i].rows.empty() && room > kFrame) {
      counts[i] = 1;
      room -= kFrame + 1;
    }
  };
  for (size_t i = 0; i < sections.size(); ++i) {
    if (std::ranges::find(sections[i].rows, selected, &Row::job) != sections[i].rows.end()) {
      open(i);
    }
  }
  for (size_t i = 0; i < sections.size(); ++i) {
    open(i);
  }
  const auto give = [&](size_t i, size_t most) {
    const size_t more =
        counts[i] == 0 ? 0 : std::min({most, room, sections[i].rows.size() - counts[i]});
    counts[i] += more;
    room -= more;
  };
  give(0, room);
  give(1, (room + 1) / 2);
  give(2, room);
  give(1, room);
  return counts;
}

}  // namespace

std::string Sparkline(const Curve& curve, int columns) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::vector<Curve::Point>& points = curve.points();
  if (points.size() < 2 || columns < 1) {
    return "";
  }
  const double begin = points.front().step;
  const double span = std::max(points.back().step - begin, 1e-12);
  std::vector<double> sums(static_cast<size_t>(columns)), counts(sums.size());
  for (const Curve::Point& point : points) {
    if (std::isfinite(point.value)) {
      const auto at = static_cast<size_t>((point.step - begin) / span * (columns - 1) + 0.5);
      sums[at] += point.value;
      counts[at] += 1;
    }
  }
  double least = std::numeric_limits<double>::max(), most = std::numeric_limits<double>::lowest();
  for (size_t i = 0; i < sums.size(); ++i) {
    if (counts[i] > 0) {
      least = std::min(least, sums[i] / counts[i]);
      most = std::max(most, sums[i] / counts[i]);
    }
  }
  std::string text;
  double last = most;
  for (size_t i = 0; i < sums.size(); ++i) {
    last = counts[i] > 0 ? sums[i] / counts[i] : last;
    const double height = most > least ? (last - least) / (most - least) : 0;
    text += kBlocks[static_cast<size_t>(std::clamp(height, 0.0, 1.0) * 7 + 0.5)];
  }
  return text;
}

std::vector<TopInput> TakeKeys(std::string& bytes, bool all) {
  static constexpr std::pair<const char*, TopKey> kSequences[] = {
      {"\x1b[A", TopKey::kUp},      {"\x1bOA", TopKey::kUp},      {"\x1b[B", TopKey::kDown},
      {"\x1bOB", TopKey::kDown},    {"\x1b[5~", TopKey::kPageUp}, {"\x1b[6~", TopKey::kPageDown},
      {"\x1b[H", TopKey::kHome},    {"\x1bOH", TopKey::kHome},    {"\x1b[F", TopKey::kEnd},
      {"\x1bOF", TopKey::kEnd},     {"\r", TopKey::kEnter},       {"\n", TopKey::kEnter},
      {"\x7f", TopKey::kBackspace}, {"\b", TopKey::kBackspace},
  };
  std::vector<TopInput> keys;
  absl::string_view rest = bytes;
  while (!rest.empty()) {
    const auto* const known = std::ranges::find_if(
        kSequences, [&](const auto& one) { return absl::StartsWith(rest, one.first); });
    if (known != std::end(kSequences)) {
      keys.push_back({known->second});
      rest.remove_prefix(std::char_traits<char>::length(known->first));
      continue;
    }
    const auto first = static_cast<unsigned char>(rest[0]);
    if (first == 0x1b) {
      if (rest.size() > 1 && (rest[1] == '[' || rest[1] == 'O')) {
        // A key that means nothing here: to its last byte.
        size_t end = 2;
        while (end < rest.size() && (rest[end] < '@' || rest[end] > '~')) {
          ++end;
        }
        if (end == rest.size() && !all) {
          break;
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
        continue;
      }
      if (rest.size() == 1 && !all) {
        break;
      }
      keys.push_back({TopKey::kEscape});
      rest.remove_prefix(1);
      continue;
    }
    const size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (rest.size() < length && !all) {
      break;
    }
    keys.push_back({TopKey::kText, std::string(rest.substr(0, length))});
    rest.remove_prefix(std::min(length, rest.size()));
  }
  bytes = std::string(rest);
  return keys;
}

std::vector<const v1::Job*> ShownJobs(const TopData& data, const TopChoice& choice) {
  std::vector<const v1::Job*> all = Running(data, choice);
  for (const auto& more : {Queue(data, choice), Ended(data, choice)}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

namespace {

// `by` jobs further; the first one where none is selected.
void Select(const std::vector<const v1::Job*>& jobs, int64_t by, TopChoice& choice) {
  if (jobs.empty()) {
    choice.selected.clear();
    return;
  }
  const auto at = std::ranges::find(
      jobs, choice.selected, [](const v1::Job* job) -> const auto& { return job->name(); });
  const int64_t from = at == jobs.end() ? (by < 0 ? 1 : -1) : at - jobs.begin();
  const int64_t last = static_cast<int64_t>(jobs.size()) - 1;
  choice.selected = jobs[static_cast<size_t>(std::clamp<int64_t>(from + by, 0, last))]->name();
}

// Null: none is selected, or it is shown no more.
const v1::Job* Selected(const std::vector<const v1::Job*>& jobs, const TopChoice& choice) {
  const auto at = std::ranges::find(
      jobs, choice.selected, [](const v1::Job* job) -> const auto& { return job->name(); });
  return at == jobs.end() ? nullptr : *at;
}

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::Job::SUCCEEDED || job.state() == v1::Job::FAILED ||
         job.state() == v1::Job::CANCELLED;
}

void EditFilter(const TopInput& input, TopChoice& choice) {
  std::string& filter = choice.filter;
  switch (input.key) {
    case TopKey::kEnter:
      choice.mode = TopChoice::Mode::kList;
      return;
    case TopKey::kEscape:
      filter.clear();
      choice.mode = TopChoice::Mode::kList;
      return;
    case TopKey::kBackspace:
      // The last code point.
      while (!filter.empty() && (static_cast<unsigned char>(filter.back()) & 0xC0) == 0x80) {
        filter.pop_back();
      }
      if (!filter.empty()) {
        filter.pop_back();
      }
      return;
    case TopKey::kText:
      if (static_cast<unsigned char>(input.text[0]) >= ' ' &&
          filter.size() + input.text.size() <= kMostFilter) {
        filter += input.text;
      }
      return;
    default:
      return;
  }
}

// Of a key that is about one job.
TopWish WishFor(char key, const v1::Job* job, TopChoice& choice) {
  if (job == nullptr) {
    choice.note = "select a job first, with the arrows or j and k";
    return {};
  }
  if (key == '\r') {
    return {TopWish::Kind::kWatch, job->name()};
  }
  if (HasEnded(*job)) {
    choice.note = absl::StrCat(job->name(), " has ended");
    return {};
  }
  if (key == 'c') {
    choice.mode = TopChoice::Mode::kConfirm;
    return {};
  }
  return {job->state() == v1::Job::PAUSED ? TopWish::Kind::kResume : TopWish::Kind::kPause,
          job->name()};
}

}  // namespace

TopWish HandleKey(const TopInput& input, const TopData& data, TopChoice& choice) {
  const char key = input.key == TopKey::kText && input.text.size() == 1 ? input.text[0] : '\0';
  constexpr char kInterrupt = 3;
  choice.note.clear();
  if (key == kInterrupt) {
    return {TopWish::Kind::kQuit};
  }
  if (choice.mode == TopChoice::Mode::kFilter) {
    EditFilter(input, choice);
    return {};
  }
  if (choice.mode == TopChoice::Mode::kHelp) {
    choice.mode = TopChoice::Mode::kList;
    return {};
  }
  if (choice.mode == TopChoice::Mode::kConfirm) {
    choice.mode = TopChoice::Mode::kList;
    return key == 'y' ? TopWish{TopWish::Kind::kCancel, choice.selected} : TopWish{};
  }
  const std::vector<const v1::Job*> jobs = ShownJobs(data, choice);
  switch (input.key) {
    case TopKey::kUp:
      Select(jobs, -1, choice);
      return {};
    case TopKey::kDown:
      Select(jobs, 1, choice);
      return {};
    case TopKey::kPageUp:
      Select(jobs, -kPage, choice);
      return {};
    case TopKey::kPageDown:
      Select(jobs, kPage, choice);
      return {};
    case TopKey::kHome:
      Select(jobs, -static_cast<int64_t>(jobs.size()), choice);
      return {};
    case TopKey::kEnd:
      Select(jobs, static_cast<int64_t>(jobs.size()), choice);
      return {};
    case TopKey::kEnter:
      return WishFor('\r', Selected(jobs, choice), choice);
    case TopKey::kEscape:
      choice.filter.clear();
      return {};
    default:
      break;
  }
  switch (key) {
    case 'q':
      return {TopWish::Kind::kQuit};
    case 'k':
      Select(jobs, -1, choice);
      return {};
    case 'j':
      Select(jobs, 1, choice);
      return {};
    case 'c':
    case 'p':
      return WishFor(key, Selected(jobs, choice), choice);
    case '/':
      choice.mode = TopChoice::Mode::kFilter;
      return {};
    case '?':
      choice.mode = TopChoice::Mode::kHelp;
      return {};
    case 's':
      choice.sort = choice.sort == TopChoice::Sort::kTurn   ? TopChoice::Sort::kName
                    : choice.sort == TopChoice::Sort::kName ? TopChoice::Sort::kTimeLeft
                                                            : TopChoice::Sort::kTurn;
      return {};
    default:
      return {};
  }
}

std::vector<Line> RenderTop(const TopData& data, const TopChoice& choice, int width, int height) {
  std::vector<Line> lines = Head(data, choice);
  lines.emplace_back();
  const auto room = static_cast<size_t>(std::max(0, height - 1));  // without the last line
  if (choice.mode == TopChoice::Mode::kHelp) {
    for (Line& line : Help()) {
      lines.push_back(std::move(line));
    }
  } else {
    const std::array<Section, 3> sections = {
        RunningSection(data, choice), QueueSection(data, choice), EndedSection(data, choice)};
    const std::array<size_t, 3> counts =
        ShareRoom(sections, room > lines.size() ? room - lines.size() : 0, choice.selected);
    for (size_t i = 0; i < sections.size(); ++i) {
      if (counts[i] > 0) {
        AddSection(sections[i], choice, width,
                   FirstRow(sections[i].rows, counts[i], choice.selected), counts[i], lines);
        lines.emplace_back();
      }
    }
    const bool none =
        std::ranges::all_of(sections, [](const Section& section) { return section.rows.empty(); });
    if (none && data.away.empty()) {
      lines.push_back(Line().Add(choice.filter.empty() ? "no jobs" : "no job fits", Style::kDim));
    }
  }
  lines.resize(room);
  if (height > 0) {
    lines.push_back(Foot(choice));
  }
  return lines;
}

std::vector<Line> RenderTopOnce(const TopData& data, int width) {
  const TopChoice choice;
  std::vector<Line> lines = Head(data, choice);
  for (const Section& section :
       {RunningSection(data, choice), QueueSection(data, choice), EndedSection(data, choice)}) {
    if (!section.rows.empty()) {
      lines.emplace_back();
      AddSection(section, choice, width, 0, section.rows.size(), lines);
    }
  }
  return lines;
}

}  // namespace hone::client::cli
