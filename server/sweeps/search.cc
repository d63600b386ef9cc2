#include "server/sweeps/search.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/field_errors.h"
#include "server/sweeps/assign.h"

namespace hone::server::sweeps {
namespace {

using engine::RandomStream;
using ::google::protobuf::FieldDescriptor;
using jobs::FieldErrors;

constexpr int kMostAxes = 16;
constexpr int kMostValues = 1000;
constexpr int kMostParallel = 64;
constexpr size_t kLongestValue = 4096;

bool IsWhole(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return true;
    default:
      return false;
  }
}

bool IsReal(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
}

int64_t LengthOf(const v1::JobSpec& job) {
  return std::max(job.training().epochs(), job.training().steps());
}

// Trials are drawn, not listed.
bool Draws(const v1::SweepSpec& spec) {
  return spec.has_random() || (spec.has_halving() && spec.halving().trials() > 0);
}

std::string Written(const FieldDescriptor& field, double value, int digits) {
  return IsWhole(field) ? absl::StrCat(std::llround(value))
                        : absl::StrFormat("%.*g", digits, value);
}

void CheckRange(const std::string& at, const v1::Range& range, const FieldDescriptor& field,
                bool logarithmic, bool draws, FieldErrors& errors) {
  constexpr double kMost = 1e15;
  if (!IsWhole(field) && !IsReal(field)) {
    errors.Add(at, absl::StrCat(field.name(), " is no number; give `values`"));
  }
  if (!(std::abs(range.from()) <= kMost && std::abs(range.to()) <= kMost) ||
      range.from() >= range.to()) {
    errors.Add(
        at, absl::StrCat("must have `from` below `to`, got ", range.from(), " and ", range.to()));
    return;
  }
  if (logarithmic && range.from() <= 0) {
    errors.Add(at + ".from", absl::StrCat("must be greater than 0, got ", range.from()));
  }
  const bool each = IsWhole(field) && !logarithmic && range.count() == 0;
  if (each && !draws && range.to() - range.from() >= kMostValues) {
    errors.Add(at + ".count", absl::StrCat("must be given where there are more than ", kMostValues,
                                           " whole numbers"));
  }
  if (!each && !(draws && range.count() == 0)) {
    errors.CheckInt(at + ".count", range.count(), 2, kMostValues);
  }
}

void CheckAxis(const std::string& at, const v1::Axis& axis, const v1::SweepSpec& spec, bool draws,
               FieldErrors& errors) {
  const auto field = FindField(spec.job(), axis.field());
  if (!field.ok()) {
    errors.Add(at + ".field", field.status().message());
    return;
  }
  const int kinds =
      (axis.values().empty() ? 0 : 1) + (axis.has_range() ? 1 : 0) + (axis.has_log_range() ? 1 : 0);
  if (kinds != 1) {
    errors.Add(at, absl::StrCat("must have one of `values`, `range` and `log_range`, got ", kinds));
    return;
  }
  if (axis.has_range()) {
    CheckRange(at + ".range", axis.range(), **field, false, draws, errors);
  }
  if (axis.has_log_range()) {
    CheckRange(at + ".log_range", axis.log_range(), **field, true, draws, errors);
  }
  errors.CheckInt(at + ".values", axis.values_size(), 0, kMostValues);
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < std::min(axis.values_size(), kMostValues); ++i) {
    const std::string here = absl::StrCat(at, ".values[", i, "]");
    if (axis.values(i).size() > kLongestValue) {
      errors.Add(here, absl::StrCat("must be at most ", kLongestValue, " bytes"));
      continue;
    }
    v1::JobSpec job = spec.job();
    if (const absl::Status status = Assign(axis.field(), axis.values(i), job); !status.ok()) {
      errors.Add(here, status.message());
    }
    if (!seen.insert(axis.values(i)).second) {
      errors.Add(here, absl::StrCat("is given twice: ", CutUtf8(axis.values(i), 80)));
    }
  }
}

void CheckHalving(const v1::SweepSpec& spec, FieldErrors& errors) {
  const v1::Halving& halving = spec.halving();
  errors.CheckInt("halving.trials", halving.trials(), 0, kMostTrials);
  if (halving.keep_one_in() != 0) {
    errors.CheckInt("halving.keep_one_in", halving.keep_one_in(), 2, 100);
  }
  const int64_t length = LengthOf(spec.job());
  if (length < 2) {
    errors.Add("job.training", "must have at least 2 epochs or steps to be halved");
  } else {
    errors.CheckInt("halving.first", halving.first(), 0, length - 1);
  }
  if (spec.job().training().stop_after() != 0) {
    errors.Add("job.training.stop_after", "must not be given: halving decides it");
  }
  for (int i = 0; i < spec.axes_size(); ++i) {
    const std::string& field = spec.axes(i).field();
    if (field == "training" || field == "training.epochs" || field == "training.steps" ||
        field == "training.stop_after") {
      errors.Add(absl::StrCat("axes[", i, "].field"),
                 "must not be the length of the training, which halving decides");
    }
  }
}

std::vector<std::string> Spaced(const v1::Range& range, bool logarithmic,
                                const FieldDescriptor& field) {
  std::vector<std::string> values;
  const int count = range.count() > 0
                        ? range.count()
                        : static_cast<int>(std::floor(range.to()) - std::ceil(range.from())) + 1;
  for (int i = 0; i < count; ++i) {
    double value = std::ceil(range.from()) + i;
    if (range.count() > 0) {
      const double share = static_cast<double>(i) / (count - 1);
      value = logarithmic ? range.from() * std::pow(range.to() / range.from(), share)
                          : range.from() + share * (range.to() - range.from());
    }
    std::string text = Written(field, value, 6);
    if (values.empty() || values.back() != text) {  // whole numbers may lie close
      values.push_back(std::move(text));
    }
  }
  return values;
}

std::vector<std::string> ValuesOf(const v1::Axis& axis, const FieldDescriptor& field) {
  if (axis.has_range()) {
    return Spaced(axis.range(), false, field);
  }
  if (axis.has_log_range()) {
    return Spaced(axis.log_range(), true, field);
  }
  return {axis.values().begin(), axis.values().end()};
}

// Uniform in [0, 1).
double Unit(RandomStream& stream) { return static_cast<double>(stream.NextBits()) * 0x1.0p-32; }

std::string Drawn(const v1::Axis& axis, const FieldDescriptor& field, RandomStream& stream) {
  if (!axis.values().empty()) {
    return axis.values(
        static_cast<int>(stream.NextBelow(static_cast<uint64_t>(axis.values_size()))));
  }
  const v1::Range& range = axis.has_range() ? axis.range() : axis.log_range();
  const double share = Unit(stream);
  if (axis.has_log_range()) {
    return Written(field, range.from() * std::pow(range.to() / range.from(), share), 4);
  }
  if (IsWhole(field)) {
    const double first = std::ceil(range.from()), count = std::floor(range.to()) - first + 1;
    return absl::StrCat(std::llround(first + std::floor(share * std::max(count, 1.0))));
  }
  return Written(field, range.from() + share * (range.to() - range.from()), 4);
}

v1::Trial NewTrial(size_t number) {
  v1::Trial trial;
  trial.set_number(static_cast<int32_t>(number));
  trial.set_state(v1::Trial::WAITING);
  trial.set_rung(1);
  return trial;
}

absl::Status TooMany(double trials) {
  FieldErrors errors;
  errors.Add("axes",
             absl::StrFormat("make %.0f trials together, at most %d are allowed; give fewer "
                             "values, or `random` or `halving` with a number of trials",
                             trials, kMostTrials));
  return errors.ToStatus();
}

std::vector<v1::Trial> DrawnTrials(const v1::SweepSpec& spec,
                                   const std::vector<const FieldDescriptor*>& fields) {
  const int trials = spec.has_random() ? spec.random().trials() : spec.halving().trials();
  const uint64_t seed = spec.has_random() ? (spec.random().has_seed() ? spec.random().seed() : 1)
                                          : (spec.halving().has_seed() ? spec.halving().seed() : 1);
  std::vector<v1::Trial> all;
  for (int t = 0; t < trials; ++t) {
    RandomStream stream(seed, "sweep trial", static_cast<uint64_t>(t));
    v1::Trial& trial = all.emplace_back(NewTrial(all.size() + 1));
    for (int a = 0; a < spec.axes_size(); ++a) {
      trial.add_settings(Drawn(spec.axes(a), *fields[static_cast<size_t>(a)], stream));
    }
  }
  return all;
}

}  // namespace

absl::Status Check(const v1::SweepSpec& spec) {
  FieldErrors errors;
  if (spec.display_name().size() > 100) {
    errors.Add("display_name",
               absl::StrCat("must be at most 100 bytes, got ", spec.display_name().size()));
  }
  if (std::ranges::any_of(spec.display_name(), [](unsigned char c) { return c < 0x20; })) {
    errors.Add("display_name", "must not have control characters");
  }
  if (!spec.has_job()) {
    errors.Add("job", "must be given: the job file of every trial");
  }
  const bool draws = Draws(spec);
  errors.CheckInt("axes", spec.axes_size(), 1, kMostAxes);
  absl::flat_hash_set<std::string> fields;
  for (int i = 0; i < std::min(spec.axes_size(), kMostAxes); ++i) {
    const std::string at = absl::StrCat("axes[", i, "]");
    CheckAxis(at, spec.axes(i), spec, draws, errors);
    if (!fields.insert(spec.axes(i).field()).second) {
      errors.Add(at + ".field", "is that of an axis above");
    }
  }
  if (spec.has_random()) {
    errors.CheckInt("random.trials", spec.random().trials(), 1, kMostTrials);
  }
  if (spec.has_halving()) {
    CheckHalving(spec, errors);
  }
  if (spec.objective().metric().empty()) {
    errors.Add("objective.metric", "must be given, such as validation_accuracy");
  } else if (spec.objective().metric().size() > 128) {
    errors.Add("objective.metric", "must be at most 128 bytes");
  }
  if (!v1::Objective::Goal_IsValid(spec.objective().goal())) {
    errors.Add("objective.goal", "must be one of MAXIMIZE, MINIMIZE");
  }
  errors.CheckInt("parallelism", spec.parallelism(), 0, kMostParallel);
  errors.CheckInt("budget.steps", spec.budget().steps(), 0, int64_t{1} << 50);
  if (!(spec.budget().seconds() >= 0 && spec.budget().seconds() <= 1e9)) {
    errors.Add("budget.seconds",
               absl::StrCat("must be between 0 and 1e9, got ", spec.budget().seconds()));
  }
  return errors.ToStatus();
}

v1::SweepSpec Resolve(const v1::SweepSpec& spec, int parallelism) {
  v1::SweepSpec resolved = spec;
  if (resolved.display_name().empty()) {
    resolved.set_display_name(
        spec.job().display_name().empty() ? "sweep" : CutUtf8(spec.job().display_name(), 100));
  }
  if (resolved.search_case() == v1::SweepSpec::SEARCH_NOT_SET) {
    resolved.mutable_grid();
  }
  if (resolved.has_random() && !resolved.random().has_seed()) {
    resolved.mutable_random()->set_seed(1);
  }
  if (resolved.has_halving()) {
    v1::Halving& halving = *resolved.mutable_halving();
    if (!halving.has_seed()) {
      halving.set_seed(1);
    }
    halving.set_first(std::max<int64_t>(halving.first(), 1));
    halving.set_keep_one_in(halving.keep_one_in() == 0 ? 3 : halving.keep_one_in());
  }
  if (resolved.objective().goal() == v1::Objective::GOAL_UNSPECIFIED) {
    const std::string metric = absl::AsciiStrToLower(resolved.objective().metric());
    const bool less = std::ranges::any_of(
        std::initializer_list<const char*>{"loss", "error", "mse", "mae", "mase", "distance",
                                           "seconds", "perplexity", "ratio", "bytes", "bits"},
        [&](const char* word) { return absl::StrContains(metric, word); });
    resolved.mutable_objective()->set_goal(less ? v1::Objective::MINIMIZE
                                                : v1::Objective::MAXIMIZE);
  }
  if (resolved.parallelism() == 0) {
    resolved.set_parallelism(std::clamp(parallelism, 1, kMostParallel));
  }
  return resolved;
}

absl::StatusOr<std::vector<v1::Trial>> Expand(const v1::SweepSpec& spec) {
  std::vector<const FieldDescriptor*> fields;
  for (const v1::Axis& axis : spec.axes()) {
    HONE_ASSIGN_OR_RETURN(const FieldDescriptor* field, FindField(spec.job(), axis.field()));
    fields.push_back(field);
  }
  if (Draws(spec)) {
    return DrawnTrials(spec, fields);
  }
  std::vector<std::vector<std::string>> values;
  double trials = 1;
  for (int a = 0; a < spec.axes_size(); ++a) {
    values.push_back(ValuesOf(spec.axes(a), *fields[static_cast<size_t>(a)]));
    trials *= static_cast<double>(values.back().size());
  }
  if (trials > kMostTrials) {
    return TooMany(trials);
  }
  std::vector<v1::Trial> all;
  for (size_t t = 0; t < static_cast<size_t>(trials); ++t) {
    v1::Trial& trial = all.emplace_back(NewTrial(t + 1));
    size_t rest = static_cast<size_t>(trials), place = t;
    for (const std::vector<std::string>& of_axis : values) {
      rest /= of_axis.size();
      trial.add_settings(of_axis[place / rest]);
      place %= rest;
    }
  }
  return all;
}

std::vector<int64_t> Rungs(const v1::SweepSpec& spec) {
  const int64_t length = LengthOf(spec.job());
  std::vector<int64_t> rungs;
  if (spec.has_halving()) {
    const int64_t factor = std::max(spec.halving().keep_one_in(), 2);
    for (int64_t rung = std::max<int64_t>(spec.halving().first(), 1); rung < length;
         rung *= factor) {
      rungs.push_back(rung);
    }
  }
  rungs.push_back(length);
  return rungs;
}

int64_t TrialsInRung(const v1::SweepSpec& spec, int64_t trials, int rung) {
  const int64_t factor = spec.has_halving() ? std::max(spec.halving().keep_one_in(), 2) : 1;
  for (int r = 1; r < rung; ++r) {
    trials = (trials + factor - 1) / factor;
  }
  return trials;
}

absl::StatusOr<v1::JobSpec> JobOf(const v1::SweepSpec& spec, const v1::Trial& trial) {
  v1::JobSpec job = spec.job();
  for (int a = 0; a < spec.axes_size() && a < trial.settings_size(); ++a) {
    const std::string& field = spec.axes(a).field();
    HONE_RETURN_IF_ERROR(
        Annotate(Assign(field, trial.settings(a), job), absl::StrCat("axes[", a, "]")));
    // A job has one length: that of the axis takes the template's place.
    if (field == "training.steps") {
      job.mutable_training()->clear_epochs();
    } else if (field == "training.epochs") {
      job.mutable_training()->clear_steps();
    }
  }
  job.set_display_name(absl::StrFormat("%s-%03d", spec.display_name(), trial.number()));
  const std::vector<int64_t> rungs = Rungs(spec);
  if (trial.rung() >= 1 && trial.rung() < static_cast<int>(rungs.size())) {
    job.mutable_training()->set_stop_after(rungs[static_cast<size_t>(trial.rung()) - 1]);
  }
  return job;
}

std::string SettingsInWords(const v1::SweepSpec& spec, const v1::Trial& trial) {
  std::string words;
  for (int a = 0; a < spec.axes_size() && a < trial.settings_size(); ++a) {
    absl::StrAppend(&words, a == 0 ? "" : ", ", spec.axes(a).field(), "=",
                    CutUtf8(trial.settings(a), 80));
  }
  return words;
}

}  // namespace hone::server::sweeps
