#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/chats.h"
#include "engine/data/file_tree.h"
#include "engine/data/formats.h"
#include "engine/data/pair_files.h"
#include "engine/data/running_text_files.h"
#include "engine/data/tagged_rows.h"
#include "engine/data/text_files.h"
#include "engine/data/text_rows.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {
namespace {

namespace data = engine::data;

constexpr int kMostProblems = 20;
constexpr size_t kMostCellBytes = 200;
constexpr int kMostColumns = 200;
constexpr size_t kMostClasses = 1000;

// Each line that the readers complain of, or else what they say.
void AddProblems(const absl::Status& status, const std::string& path, const std::string& id,
                 v1::DatasetReport& report) {
  std::vector<Complaint> complaints = ComplaintsIn(status);
  if (complaints.empty()) {
    absl::string_view text = status.message();
    absl::ConsumePrefix(&text, absl::StrCat(path, ": "));
    complaints.push_back({.text = std::string(text)});
  }
  for (const Complaint& complaint : complaints) {
    if (report.problems_size() < kMostProblems) {
      v1::DatasetProblem& problem = *report.add_problems();
      problem.set_file(id);
      problem.set_line(complaint.line);
      problem.set_text(absl::StrReplaceAll(complaint.text, {{path, id}}));
    }
  }
}

std::string Cell(const data::Table& table, size_t column, int64_t row) {
  const data::Column& of = table.columns[column];
  if (of.is_category) {
    const int32_t code = table.code(column, row);
    return code < 0 ? "" : CutUtf8(of.categories[static_cast<size_t>(code)], kMostCellBytes);
  }
  const double number = table.number(column, row);
  return std::isnan(number) ? "" : absl::StrCat(number);
}

void DescribeTable(const data::Table& table, int rows, v1::DatasetReport& report) {
  report.add_shape(static_cast<int64_t>(table.columns.size()));
  const size_t columns = std::min<size_t>(table.columns.size(), kMostColumns);
  for (size_t i = 0; i < columns; ++i) {
    report.add_columns(CutUtf8(table.columns[i].name, kMostCellBytes));
  }
  for (int64_t row = 0; row < std::min<int64_t>(rows, table.rows); ++row) {
    v1::DatasetReport::Row& out = *report.add_rows();
    for (size_t i = 0; i < columns; ++i) {
      out.add_cells(Cell(table, i, row));
    }
  }
}

void DescribePictures(const data::DatasetParts& parts, v1::DatasetReport& report) {
  for (int64_t i = 0; i < parts.features.shape.rank(); ++i) {
    report.add_shape(parts.features.shape[i]);
  }
  for (const std::string& name : parts.class_names) {
    report.add_classes()->set_name(name);
  }
  for (const int32_t label : parts.labels) {
    if (label >= 0 && label < report.classes_size()) {
      v1::ClassCount& count = *report.mutable_classes(label);
      count.set_examples(count.examples() + 1);
    }
  }
}

absl::Status DescribeRunningText(const std::string& path, v1::DatasetReport& report) {
  HONE_ASSIGN_OR_RETURN(const data::RunningTextParts text,
                        data::InspectRunningText(path, data::TextOptions::Encoding::kUtf8));
  report.set_format(text.format);
  report.set_examples(1);
  return absl::OkStatus();
}

// Files of texts that can be no classes: there is one alone, or they are called as the parts of a
// running text are.
bool AreRunningText(const data::TextFiles& files) {
  std::set<std::string> classes;
  bool are_parts = true;
  for (const auto& [name, source] : files.sources) {
    if (source.label.empty()) {
      return false;
    }
    classes.insert(source.label);
    are_parts = are_parts && source.layout == data::TextLayout::kLines &&
                data::PartOf(source.label).has_value();
  }
  return classes.size() == 1 || are_parts;
}

std::string ShareOfAnswers(const data::ChatSummary& summary) {
  const double share = static_cast<double>(summary.answer_characters) /
                       static_cast<double>(std::max<int64_t>(summary.characters, 1));
  return absl::StrFormat("%.1f %%", 100 * share);
}

// Of the conversations with the chosen answers, or with the rejected ones.
std::string AnswersOf(const data::ChatSummary& summary) {
  const double mean = static_cast<double>(summary.answer_characters) /
                      static_cast<double>(std::max<int64_t>(summary.chats, 1));
  return absl::StrFormat(
      "answers have %.0f characters on average, %d at most, %s of what is read with them", mean,
      summary.longest_answer, ShareOfAnswers(summary));
}

// What the conversations have of tools, where they have anything.
void AddTools(const data::ToolCounts& counts, v1::DatasetReport& report) {
  if (counts.with_tools + counts.calls + counts.tool_turns > 0) {
    report.add_notes(absl::StrCat(data::Describe(counts),
                                  "; only the chat templates CHATML_TOOLS and LLAMA31 write them"));
  }
}

// Preferences, all of whose lines are looked at. False: the files are none.
absl::StatusOr<bool> DescribePreferences(const std::string& path, v1::DatasetReport& report) {
  HONE_ASSIGN_OR_RETURN(const std::optional<data::PreferenceSummary> found,
                        data::InspectPreferences(path));
  if (!found.has_value()) {
    return false;
  }
  report.set_format("preferences as JSON lines");
  report.set_examples(found->chosen.chats);
  report.add_notes(absl::StrCat("chosen ", AnswersOf(found->chosen)));
  report.add_notes(absl::StrCat("rejected ", AnswersOf(found->rejected)));
  AddTools(found->chosen, report);
  report.add_notes(
      "the answers are what a job of preference_optimization learns; their share of the tokens, "
      "which depends on the checkpoint, `hone plan` says");
  return true;
}

// Conversations, all of whose lines are looked at. False: the files are none.
absl::StatusOr<bool> DescribeChats(const std::string& path, v1::DatasetReport& report) {
  HONE_ASSIGN_OR_RETURN(const std::optional<data::ChatSummary> found, data::InspectChats(path));
  if (!found.has_value()) {
    return false;
  }
  report.set_format("conversations as JSON lines");
  report.set_examples(found->chats);
  report.add_notes(absl::StrCat(
      found->turns, " turns, of which ", found->answers, " are answers: ", ShareOfAnswers(*found),
      " of the characters, which is what a job with data.chat learns; the share of the tokens, "
      "which depends on the checkpoint, `hone plan` says"));
  AddTools(*found, report);
  return true;
}

using Counts = std::map<std::string, int64_t, std::less<>>;

// The classes, the most frequent first; what does not fit a report is counted, called `plural`.
void AddClasses(const Counts& counts, absl::string_view plural, v1::DatasetReport& report) {
  std::vector<std::pair<std::string, int64_t>> classes(counts.begin(), counts.end());
  std::ranges::stable_sort(classes, std::greater<>(), &std::pair<std::string, int64_t>::second);
  if (classes.size() > kMostClasses) {
    report.add_notes(absl::StrCat("the ", kMostClasses, " most frequent ", plural,
                                  " are shown; there are ", classes.size() - kMostClasses,
                                  " more"));
    classes.resize(kMostClasses);
  }
  for (const auto& [name, examples] : classes) {
    v1::ClassCount& count = *report.add_classes();
    count.set_name(CutUtf8(name, kMostCellBytes));
    count.set_examples(examples);
  }
}

// Texts; a single table of them is looked at as a table.
absl::Status DescribeTexts(data::LoadOptions options, v1::DatasetReport& report) {
  HONE_ASSIGN_OR_RETURN(const data::TextFiles files, data::FindTextFiles(options.path));
  if (AreRunningText(files)) {
    return DescribeRunningText(options.path, report);
  }
  const bool are_json = std::ranges::all_of(files.sources, [](const auto& file) {
    return file.second.layout == data::TextLayout::kJsonLines;
  });
  if (are_json) {
    // Preferences first: some data sets have a conversation beside both answers.
    HONE_ASSIGN_OR_RETURN(const bool are_preferences, DescribePreferences(options.path, report));
    if (are_preferences) {
      return absl::OkStatus();
    }
    HONE_ASSIGN_OR_RETURN(const bool are_chats, DescribeChats(options.path, report));
    if (are_chats) {
      return absl::OkStatus();
    }
  }
  report.set_format(files.format);
  const bool by_class = std::ranges::none_of(
      files.sources, [](const auto& file) { return file.second.label.empty(); });
  if (!by_class) {
    report.add_notes("which columns or keys are the text and the label is the job's to say");
    return absl::OkStatus();
  }
  report.add_notes("for language_modeling the files are one running text");
  options.text.emplace();
  data::DataReport found;
  // Labels are all that is asked for.
  const auto forget = [](data::TextRow&, data::ExampleTexts& texts) { texts = {}; };
  HONE_ASSIGN_OR_RETURN(const data::TextRows texts,
                        data::ReadTextRows(options.path, options, forget, found));
  report.set_examples(static_cast<int64_t>(texts.rows.size()));
  Counts classes;
  for (const data::TextRow& row : texts.rows) {
    const absl::string_view label = texts.label(row);
    if (const auto known = classes.find(label); known != classes.end()) {
      ++known->second;
    } else {
      classes.emplace(label, 1);
    }
  }
  AddClasses(classes, "classes", report);
  return absl::OkStatus();
}

// Sentences whose words have tags, which are the classes.
absl::Status DescribeTagged(data::LoadOptions options, v1::DatasetReport& report) {
  options.text.emplace();
  HONE_ASSIGN_OR_RETURN(const data::TaggedRows tagged, data::ReadTaggedRows(options.path, options));
  report.set_format(tagged.format);
  report.set_examples(static_cast<int64_t>(tagged.rows.size()));
  Counts tags;
  for (const data::TaggedRow& row : tagged.rows) {
    for (const std::string& tag : row.tags) {
      ++tags[tag];
    }
  }
  AddClasses(tags, "tags", report);
  if (tagged.rows.empty()) {
    return absl::InvalidArgumentError("the data set is empty: it needs at least one sentence");
  }
  return absl::OkStatus();
}

// Whether it holds files with a sentence a line that may be each other's translations.
bool DescribeParallelFiles(const std::string& path, v1::DatasetReport& report) {
  const absl::StatusOr<std::vector<std::string>> ends = data::ParallelEnds(path);
  if (!ends.ok() || ends->empty()) {
    return false;
  }
  report.set_format("sentence pairs in parallel files");
  report.add_notes(
      absl::StrCat("which files are the sources is the job's to say (data.pairs); "
                   "their names end in ",
                   absl::StrJoin(*ends, ", ")));
  return true;
}

// A training leaves out what is damaged; who asks whether the data are right is told where it is.
void AddDamaged(const data::DataReport& found, v1::DatasetReport& report) {
  for (const data::Dropped& dropped : found.dropped) {
    if (dropped.reason != data::kDamagedPicture) {
      continue;
    }
    for (const data::Dropped::Place& place : dropped.first) {
      if (report.problems_size() < kMostProblems) {
        v1::DatasetProblem& problem = *report.add_problems();
        problem.set_file(place.where);
        problem.set_text(place.why);
      }
    }
  }
}

void AddNotes(const data::DataReport& found, const std::string& path, const std::string& id,
              v1::DatasetReport& report) {
  for (const data::Dropped& dropped : found.dropped) {
    report.add_notes(absl::StrReplaceAll(
        absl::StrCat(
            dropped.count, " left out: ", dropped.reason,
            dropped.first.empty() ? "" : absl::StrCat(" (", dropped.first.front().ToString(), ")")),
        {{path, id}}));
  }
  for (const std::string& note : found.notes) {
    report.add_notes(absl::StrReplaceAll(note, {{path, id}}));
  }
}

// What may be larger than memory goes to files of `folder`.
absl::Status Describe(const std::string& path, const std::string& folder, const std::string& id,
                      int rows, v1::DatasetReport& report) {
  data::LoadOptions options;
  options.path = path;
  options.stream.folder = folder;
  data::DataReport found;
  const absl::StatusOr<const data::Format*> format = data::DetectFormat(path);
  if (data::IsTaggedFileName(path) ||
      (data::IsArchiveName(path) && data::HasFile(path, data::IsTaggedFileName))) {
    return DescribeTagged(options, report);
  }
  if (!format.ok() && data::FindTextFiles(path).ok()) {
    return DescribeTexts(options, report);
  }
  if (!format.ok() && data::IsArchiveName(path) && DescribeParallelFiles(path, report)) {
    return absl::OkStatus();
  }
  if (!format.ok()) {
    return data::IsTextFileName(path) ? DescribeRunningText(path, report) : format.status();
  }
  report.set_format((*format)->name);
  const absl::StatusOr<data::Examples> read =
      (*format)->read(path, options, data::Depth::kAll, found);
  if (!read.ok()) {
    const bool texts = data::IsArchiveName(path) && data::FindTextFiles(path).ok();
    return texts ? DescribeTexts(options, report) : read.status();
  }
  const data::Examples& examples = *read;
  AddNotes(found, path, id, report);
  AddDamaged(found, report);
  report.set_examples(examples.size());
  if (examples.size() == 0) {
    return absl::InvalidArgumentError("the data set is empty: it needs at least one example");
  }
  if (examples.table.has_value()) {
    DescribeTable(*examples.table, rows, report);
  } else {
    DescribePictures(examples.parts, report);
  }
  return absl::OkStatus();
}

}  // namespace

bool InspectDataset(const v1::WorkerRequest& request, FrameWriter& writer) {
  writer.SetProgress("reading", -1);
  const std::string& id = request.spec().data().dataset();
  v1::WorkerFrame frame;
  v1::DatasetReport& report = *frame.mutable_dataset();
  const absl::Status status =
      Describe(request.dataset_path(), request.run_directory(), id, request.preview_rows(), report);
  if (!status.ok() && !absl::IsInvalidArgument(status)) {
    SendFailure(ToFailure(status, engine::job::Phase::kLoading, 0), writer);
    return false;
  }
  report.set_valid(status.ok() && report.problems().empty());
  if (!status.ok()) {
    AddProblems(status, request.dataset_path(), id, report);
  }
  writer.Send(frame);
  writer.SendFinished("COMPLETED");
  return true;
}

}  // namespace hone::server::worker
