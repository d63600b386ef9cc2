#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/story.h"
#include "client/cli/text.h"
#include "hone/v1/training_service.pb.h"

namespace hone::client::cli {

// What `hone top` knows of a server.
struct TopData {
  std::string address;
  v1::ServerInfo info;  // empty before the first answer
  std::string away;     // that the server does not answer, or refuses, and why; "": it answers
  absl::Time now = absl::InfinitePast();  // of the last answer

  // Newest answers, at most one page of each.
  std::vector<v1::Job> running;  // and those that are about to end or to pause
  std::vector<v1::Job> queue;    // and those that are paused
  std::vector<v1::Job> ended;    // the newest first
  bool more_queued = false;      // than there are in `queue`

  // What was seen of running jobs, by name: their curves.
  std::map<std::string, Story> stories;
};

// What a person has chosen.
struct TopChoice {
  enum class Sort { kTurn, kName, kTimeLeft };
  Sort sort = Sort::kTurn;
  std::string filter;    // part of a name, a state, a task, a project or a label; "": all
  std::string selected;  // the job's name; "": none
  enum class Mode { kList, kFilter, kConfirm, kHelp };
  Mode mode = Mode::kList;
  std::string note;  // what the last key came to, for the last line; "": the keys
};

// What a key asks for beside a change of TopChoice; `job` names the job.
struct TopWish {
  enum class Kind { kNothing, kQuit, kWatch, kCancel, kPause, kResume };
  Kind kind = Kind::kNothing;
  std::string job = "";
};

// Keys as a terminal sends them: the sequences of ECMA-48 for arrows, else the byte.
enum class TopKey {
  kUp,
  kDown,
  kPageUp,
  kPageDown,
  kHome,
  kEnd,
  kEnter,
  kEscape,
  kBackspace,
  kText
};
struct TopInput {
  TopKey key = TopKey::kText;
  std::string text = "";  // of kText: one character, in UTF-8
};
// Takes whole keys from the beginning of `bytes`, which keeps what is only the beginning of one.
// With `all` that is taken as it is: an escape that nothing followed is the key Escape.
std::vector<TopInput> TakeKeys(std::string& bytes, bool all);

// The jobs of the three lists that fit the filter, in the order of the screen.
std::vector<const v1::Job*> ShownJobs(const TopData& data, const TopChoice& choice);

// Changes `choice` by one key. q and Ctrl-C quit; arrows, j and k select; Enter watches; c cancels
// when y confirms it; p pauses, or resumes; / filters; s sorts; ? explains.
TopWish HandleKey(const TopInput& input, const TopData& data, TopChoice& choice);

// The whole screen: at most `height` lines of `width` columns; the selected job is always among
// them. Columns that do not fit are left out, the least important first.
std::vector<Line> RenderTop(const TopData& data, const TopChoice& choice, int width, int height);

// The same where nobody presses keys: all jobs of the lists, and no keys explained.
std::vector<Line> RenderTopOnce(const TopData& data, int width);

// A curve in so many columns, the lowest value at the bottom; "" with fewer than two points.
std::string Sparkline(const Curve& curve, int columns);

}  // namespace hone::client::cli
