#include "client/cli/comparison.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/curve.h"
#include "client/cli/render.h"
#include "client/jobfile/print.h"

namespace hone::client::cli {
namespace {

using Json = ::nlohmann::ordered_json;

constexpr Style kStyles[] = {Style::kTrain,   Style::kValidation, Style::kGood,
                             Style::kWarning, Style::kBad,        Style::kPlain};
constexpr int kPlotHeight = 10;
constexpr char kTask[] = "task";

// "A", "B", …, "Z", then "·".
std::string Letter(size_t i) { return i < 26 ? std::string(1, static_cast<char>('A' + i)) : "·"; }

struct Flat {
  std::string path;
  Json value;
};

void Flatten(const Json& value, const std::string& path, std::vector<Flat>& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, item] : value.items()) {
      Flatten(item, path.empty() ? key : absl::StrCat(path, ".", key), out);
    }
  } else if (value.is_array() && !value.empty() && value.front().is_structured()) {
    for (size_t i = 0; i < value.size(); ++i) {
      Flatten(value[i], absl::StrCat(path, "[", i, "]"), out);
    }
  } else {
    out.push_back({path, value});
  }
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The field of the job file that says what a job does: "classification", "evaluation".
std::string TaskOf(const v1::JobSpec& spec) {
  for (const char* const group : {"task", "kind"}) {
    const auto* const field = v1::JobSpec::GetReflection()->GetOneofFieldDescriptor(
        spec, v1::JobSpec::descriptor()->FindOneofByName(group));
    if (field != nullptr) {
      return field->name();
    }
  }
  return "";
}

bool SameTask(const std::vector<Compared>& jobs) {
  return std::ranges::all_of(jobs, [&](const Compared& compared) {
    return TaskOf(compared.job.spec()) == TaskOf(jobs.front().job.spec());
  });
}

// A job's settings; the kinds of oneofs, such as `wine: {}`, are fields without a value.
std::vector<Flat> Settings(const v1::Job& job) {
  v1::JobSpec spec = job.has_resolved_spec() ? job.resolved_spec() : job.spec();
  spec.clear_display_name();
  spec.clear_labels();
  spec.clear_priority();
  std::vector<Flat> out;
  Flatten(Json::parse(jobfile::PrintJson(spec)), "", out);
  return out;
}

// The union of lists of names, in the order of the first list that has each and, for what is new in
// a later one, behind the name before it there.
void Merge(const std::vector<std::string>& more, std::vector<std::string>& all) {
  auto at = all.begin();
  for (const std::string& name : more) {
    const auto found = std::ranges::find(all, name);
    at = found != all.end() ? found + 1 : all.insert(at, name) + 1;
  }
}

std::map<std::string, double> Numbers(const v1::Job& job) {
  std::map<std::string, double> numbers(job.evaluation().metrics().begin(),
                                        job.evaluation().metrics().end());
  if (job.plan().parameters() > 0) {
    numbers["parameters"] = static_cast<double>(job.plan().parameters());
    numbers["depth"] = job.plan().depth();
  }
  if (job.progress().step() > 0) {
    numbers["steps"] = static_cast<double>(job.progress().step());
    numbers["training_seconds"] = job.progress().active_seconds();
  }
  return numbers;
}

bool IsCount(const std::string& name) {
  return name == "parameters" || name == "depth" || name == "steps";
}

// All names of the jobs' numbers: the measure of success first, what it cost last.
std::vector<std::string> NumberNames(const std::vector<Compared>& jobs) {
  std::set<std::pair<int, std::string>> names;
  for (const Compared& compared : jobs) {
    for (const auto& [name, value] : Numbers(compared.job)) {
      names.emplace(name == "training_seconds" ? 3 : MetricRank(name), name);
    }
  }
  std::vector<std::string> sorted;
  for (const auto& [rank, name] : names) {
    sorted.push_back(name);
  }
  return sorted;
}

Curve CurveOf(const v1::MetricHistory& history, const std::string& metric) {
  Curve curve;
  for (const v1::Metrics& point : history.points()) {
    if (const auto value = point.values().find(metric); value != point.values().end()) {
      curve.Add(static_cast<double>(point.step()), value->second);
    }
  }
  return curve;
}

std::vector<std::string> Head(const std::vector<Compared>& jobs, const std::string& first) {
  std::vector<std::string> head = {first};
  for (size_t i = 0; i < jobs.size(); ++i) {
    head.push_back(absl::StrCat(">", Letter(i)));
  }
  return head;
}

void AppendTable(const std::vector<std::vector<std::string>>& rows, std::vector<Line>& lines) {
  lines.emplace_back();
  std::ranges::move(Table(rows), std::back_inserter(lines));
}

void AppendPlot(const std::vector<Compared>& jobs, const std::string& metric, int width,
                std::vector<Line>& lines) {
  std::vector<Curve> curves;
  for (const Compared& compared : jobs) {
    curves.push_back(CurveOf(compared.history, metric));
  }
  std::vector<NamedCurve> named;
  for (size_t i = 0; i < jobs.size(); ++i) {
    named.push_back({.curve = &curves[i],
                     .name = Cut(jobs[i].job.display_name(), 24),
                     .style = kStyles[i % std::size(kStyles)],
                     .mark = Letter(i)});
  }
  std::vector<Line> plot = PlotCurves(named, {.width = width, .height = kPlotHeight});
  if (!plot.empty()) {
    lines.emplace_back();
    lines.push_back(Line().Add(absl::StrCat(" ", MetricLabel(metric)), Style::kBold));
    std::ranges::move(plot, std::back_inserter(lines));
  }
}

}  // namespace

std::vector<Difference> Differences(const std::vector<Compared>& jobs) {
  std::vector<std::map<std::string, std::string>> values;
  std::vector<std::string> fields;
  const bool same_task = SameTask(jobs);
  for (const Compared& compared : jobs) {
    std::vector<std::string> names;
    auto& of_job = values.emplace_back();
    const std::string task = TaskOf(compared.job.spec());
    if (!same_task) {
      of_job[kTask] = task;
    }
    for (const Flat& flat : Settings(compared.job)) {
      if (!same_task && (flat.path == task || absl::StartsWith(flat.path, task + "."))) {
        continue;
      }
      names.push_back(flat.path);
      of_job[flat.path] = TextOf(flat.value);
    }
    Merge(names, fields);
  }
  if (!same_task) {
    fields.insert(fields.begin(), kTask);
  }
  std::vector<Difference> differences;
  for (const std::string& field : fields) {
    Difference difference{.field = field, .values = {}};
    for (const auto& of_job : values) {
      const auto found = of_job.find(field);
      difference.values.push_back(found == of_job.end() ? "" : found->second);
    }
    const bool same = std::ranges::all_of(
        difference.values, [&](const std::string& v) { return v == difference.values.front(); });
    if (!same) {
      differences.push_back(std::move(difference));
    }
  }
  return differences;
}

std::vector<FinalNumber> FinalNumbersOf(const std::vector<Compared>& jobs) {
  std::vector<FinalNumber> all;
  for (const std::string& name : NumberNames(jobs)) {
    FinalNumber& number = all.emplace_back(FinalNumber{.name = name, .values = {}});
    for (const Compared& compared : jobs) {
      const std::map<std::string, double> numbers = Numbers(compared.job);
      const auto found = numbers.find(name);
      number.values.push_back(found == numbers.end() ? ""
                              : IsCount(name)        ? Count(static_cast<int64_t>(found->second))
                                                     : MetricText(name, found->second));
    }
  }
  return all;
}

std::vector<Line> RenderComparison(const std::vector<Compared>& jobs,
                                   const std::vector<std::string>& metrics, int width) {
  std::vector<Line> lines;
  std::vector<std::vector<std::string>> rows = {{"", "job", "name", "state"}};
  for (size_t i = 0; i < jobs.size(); ++i) {
    rows.push_back({Letter(i), jobs[i].job.name(), jobs[i].job.display_name(),
                    absl::AsciiStrToLower(v1::Job::State_Name(jobs[i].job.state()))});
  }
  std::ranges::move(Table(rows), std::back_inserter(lines));
  rows = {Head(jobs, "setting")};
  for (const Difference& difference : Differences(jobs)) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(difference.field);
    for (const std::string& value : difference.values) {
      row.push_back(absl::StrCat(">", value.empty() ? "–" : Cut(value, 40)));
    }
  }
  if (rows.size() > 1) {
    AppendTable(rows, lines);
  } else {
    lines.emplace_back();
    lines.push_back(Line().Add(" no setting differs", Style::kDim));
  }
  for (const std::string& metric : metrics) {
    AppendPlot(jobs, metric, width, lines);
  }
  rows = {Head(jobs, "final numbers")};
  for (const FinalNumber& number : FinalNumbersOf(jobs)) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(MetricLabel(number.name));
    for (const std::string& value : number.values) {
      row.push_back(absl::StrCat(">", value.empty() ? "–" : value));
    }
  }
  if (rows.size() > 1) {
    AppendTable(rows, lines);
  }
  return lines;
}

std::string ComparisonJson(const std::vector<Compared>& jobs) {
  Json out;
  for (const char* part : {"jobs", "differences", "metrics", "history"}) {
    out[part] = Json::array();
  }
  for (const Compared& compared : jobs) {
    out["jobs"].push_back({{"name", compared.job.name()},
                           {"display_name", compared.job.display_name()},
                           {"state", v1::Job::State_Name(compared.job.state())}});
    out["history"].push_back(Json::parse(jobfile::PrintJson(compared.history)));
  }
  for (const Difference& difference : Differences(jobs)) {
    Json values = Json::array();
    for (const std::string& value : difference.values) {
      values.push_back(value.empty() ? Json() : Json(value));
    }
    out["differences"].push_back({{"field", difference.field}, {"values", std::move(values)}});
  }
  for (const std::string& name : NumberNames(jobs)) {
    Json values = Json::array();
    for (const Compared& compared : jobs) {
      const std::map<std::string, double> numbers = Numbers(compared.job);
      const auto found = numbers.find(name);
      values.push_back(found == numbers.end() ? Json() : Json(found->second));
    }
    out["metrics"].push_back({{"name", name}, {"values", std::move(values)}});
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hone::client::cli
