#include "client/cli/plan_table.h"

#include <functional>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace hone::client::cli {
namespace {

std::string Role(v1::LayerSummary::Role role) {
  return role == v1::LayerSummary::ROLE_UNSPECIFIED
             ? ""
             : absl::AsciiStrToLower(v1::LayerSummary::Role_Name(role));
}

// Of a checkpoint as it is: no data, and nothing to train.
bool OfCheckpoint(const v1::Plan& plan) {
  return plan.total_steps() == 0 && plan.train_examples() == 0 && plan.validation_examples() == 0 &&
         plan.test_examples() == 0;
}

std::string Right(const std::string& text) { return absl::StrCat(">", text); }

std::string OrDash(int64_t count) { return Right(count == 0 ? "–" : Count(count)); }

// One row of the totals: what it is called, and how a plan says it; "" where it has nothing to say.
struct Fact {
  const char* label;
  std::function<std::string(const v1::Plan&)> value;
};

std::string Parameters(const v1::Plan& plan) {
  std::string text = Count(plan.parameters());
  if (plan.frozen_parameters() > 0) {
    absl::StrAppend(&text, " (", Count(plan.trainable_parameters()), " trainable, ",
                    Count(plan.frozen_parameters()), " frozen)");
  }
  return text;
}

std::string Examples(const v1::Plan& plan) {
  if (OfCheckpoint(plan)) {
    return "";
  }
  std::string text = absl::StrCat(Count(plan.train_examples()), " training");
  if (plan.validation_examples() > 0) {
    absl::StrAppend(&text, ", ", Count(plan.validation_examples()), " validation");
  }
  if (plan.test_examples() > 0) {
    absl::StrAppend(&text, ", ", Count(plan.test_examples()), " test");
  }
  return text;
}

// Of language models; how many are learned, where that are not all.
std::string Tokens(const v1::Plan& plan) {
  if (plan.train_tokens() == 0) {
    return "";
  }
  const double share =
      static_cast<double>(plan.learned_tokens()) / static_cast<double>(plan.train_tokens());
  return absl::StrCat(Count(plan.train_tokens()), " training",
                      plan.learned_tokens() == plan.train_tokens()
                          ? ""
                          : absl::StrCat(", ", Count(plan.learned_tokens()), " of them learned (",
                                         absl::StrFormat("%.1f %%", 100 * share), ")"));
}

std::string Helper(const v1::Plan& plan) {
  if (!plan.has_helper()) {
    return "";
  }
  const v1::Plan::Helper& helper = plan.helper();
  return absl::StrCat("a ", helper.display_name(),
                      ", for the evaluation: ", Count(helper.parameters()), " parameters, ",
                      Count(helper.total_steps()), " steps",
                      helper.has_seconds() ? absl::StrCat(", ", Duration(helper.seconds())) : "");
}

std::string OrNothing(int64_t bytes) { return bytes > 0 ? Bytes(bytes) : ""; }

const std::vector<Fact>& Facts() {
  static const auto& facts = *new std::vector<Fact>{
      {"depth", [](const v1::Plan& p) { return absl::StrCat(p.depth(), " layers with weights"); }},
      {"parameters", Parameters},
      {"running statistics",
       [](const v1::Plan& p) { return p.buffer_values() > 0 ? Count(p.buffer_values()) : ""; }},
      {"forward",
       [](const v1::Plan& p) {
         return absl::StrCat(Flops(p.forward_flops_per_example()), " for one example");
       }},
      {"training",
       [](const v1::Plan& p) {
         return p.training_flops_per_example() > 0
                    ? absl::StrCat(Flops(p.training_flops_per_example()), " for one example")
                    : "";
       }},
      {"examples", Examples},
      {"tokens", Tokens},
      {"steps",
       [](const v1::Plan& p) {
         if (OfCheckpoint(p)) {
           return std::string();
         }
         return absl::StrCat(Count(p.total_steps()), " of ", Count(p.batch_size()), ", ",
                             Count(p.steps_per_epoch()), " an epoch");
       }},
      {"trained before it", Helper},
      {"threads",
       [](const v1::Plan& p) {
         return absl::StrCat(p.threads(),
                             p.shards() > 1 ? absl::StrCat(", ", p.shards(), " shards") : "", ", ",
                             p.precision());
       }},
      {"parameters in memory", [](const v1::Plan& p) { return OrNothing(p.parameter_bytes()); }},
      {"optimizer", [](const v1::Plan& p) { return OrNothing(p.optimizer_bytes()); }},
      {"activations",
       [](const v1::Plan& p) {
         return absl::StrCat(OrNothing(p.arena_bytes()),
                             p.recomputes() ? ", parts of them computed again backwards" : "");
       }},
      {"data", [](const v1::Plan& p) { return OrNothing(p.dataset_bytes()); }},
      {"kept of frozen layers",
       [](const v1::Plan& p) {
         constexpr int64_t kInMemory = int64_t{32} << 20;  // as TrainingSpec.cache_frozen says
         return p.trunk_bytes() > kInMemory
                    ? absl::StrCat(OrNothing(p.trunk_bytes()), " in a file of the run's folder")
                    : OrNothing(p.trunk_bytes());
       }},
      {"peak memory", [](const v1::Plan& p) { return OrNothing(p.peak_memory_bytes()); }},
      {"a checkpoint", [](const v1::Plan& p) { return OrNothing(p.checkpoint_bytes()); }},
      {"a step",
       [](const v1::Plan& p) {
         return p.has_step_seconds() ? absl::StrFormat("%.3g ms", 1e3 * p.step_seconds()) : "";
       }},
      {"time", [](const v1::Plan& p) {
         return p.has_seconds()   ? absl::StrCat("about ", Duration(p.seconds()))
                : OfCheckpoint(p) ? std::string()
                                  : "not measured";
       }}};
  return facts;
}

// From where a layer gets its values; of a residual stream, which all layers before have written,
// the last ones.
std::string Reads(const v1::LayerSummary& layer) {
  constexpr int kMost = 4, kLast = 2;
  const auto& inputs = layer.inputs();
  if (inputs.size() <= kMost) {
    return absl::StrJoin(inputs, ", ");
  }
  return absl::StrCat(inputs.size() - kLast, " before, ",
                      absl::StrJoin(inputs.end() - kLast, inputs.end(), ", "));
}

}  // namespace

std::vector<Line> LayerTable(const v1::Plan& plan) {
  bool named_inputs = false;
  for (const v1::LayerSummary& layer : plan.layers()) {
    named_inputs = named_inputs || layer.inputs_size() > 1;
  }
  std::vector<std::vector<std::string>> rows = {
      {"layer", "kind", "role", ">output", ">weights", ">biases", "", ">share"}};
  if (named_inputs) {
    rows[0].emplace_back("reads");
  }
  for (const v1::LayerSummary& layer : plan.layers()) {
    const int64_t parameters = layer.weights() + layer.biases();
    rows.push_back({layer.name(), layer.kind(), Role(layer.role()),
                    Right(absl::StrJoin(layer.output_shape(), "×")), OrDash(layer.weights()),
                    OrDash(layer.biases()),
                    parameters == 0     ? ""
                    : layer.trainable() ? "trainable"
                                        : "frozen",
                    Right(parameters == 0 ? "" : absl::StrFormat("%.1f %%", 100 * layer.share()))});
    if (named_inputs) {
      rows.back().push_back(Reads(layer));
    }
  }
  return Table(rows);
}

std::vector<Line> PlanTable(const v1::Plan& plan) {
  std::vector<Line> lines = {Line(), Line().Add(" ").Add(plan.display_name(), Style::kBold),
                             Line()};
  std::vector<Line> layers = LayerTable(plan);
  std::move(layers.begin(), layers.end(), std::back_inserter(lines));
  lines.emplace_back();
  for (const Fact& fact : Facts()) {
    if (const std::string value = fact.value(plan); !value.empty()) {
      lines.push_back(Line().Add(" ").Add(fact.label, Style::kDim).PadTo(23).Add(value));
    }
  }
  return lines;
}

std::vector<Line> CompareTable(const std::vector<v1::Plan>& plans) {
  std::vector<std::vector<std::string>> rows = {{""}};
  for (const v1::Plan& plan : plans) {
    rows[0].push_back(plan.display_name());
  }
  for (const Fact& fact : Facts()) {
    std::vector<std::string> row = {fact.label};
    bool any = false;
    for (const v1::Plan& plan : plans) {
      row.push_back(fact.value(plan));
      any = any || !row.back().empty();
    }
    if (any) {
      rows.push_back(std::move(row));
    }
  }
  std::vector<Line> lines = {Line()};
  std::vector<Line> table = Table(rows);
  std::move(table.begin(), table.end(), std::back_inserter(lines));
  return lines;
}

}  // namespace hone::client::cli
