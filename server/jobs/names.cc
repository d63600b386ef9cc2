#include "server/jobs/names.h"

#include <iterator>
#include <string>

#include "engine/base/utf8.h"

namespace hone::server::jobs {
namespace {

void Cut(std::string* name) {
  if (name->size() > kMaxName) {
    *name = CutUtf8(*name, kMaxName);
  }
}

template <typename Map>
void DropLong(Map& map) {
  for (auto it = map.begin(); it != map.end();) {
    it = it->first.size() > kMaxName ? map.erase(it) : std::next(it);
  }
}

}  // namespace

void CutNames(v1::Plan& plan) {
  for (v1::LayerSummary& layer : *plan.mutable_layers()) {
    Cut(layer.mutable_name());
    Cut(layer.mutable_kind());
    for (std::string& input : *layer.mutable_inputs()) {
      Cut(&input);
    }
  }
  if (plan.has_helper()) {
    Cut(plan.mutable_helper()->mutable_display_name());
  }
}

void CutNames(v1::Evaluation& evaluation) {
  DropLong(*evaluation.mutable_metrics());
  Cut(evaluation.mutable_split());
  for (v1::Evaluation::ClassReport& one : *evaluation.mutable_classes()) {
    Cut(one.mutable_name());
  }
}

void CutNames(v1::LayerStatistics& statistics) {
  for (v1::LayerStatistics::Layer& layer : *statistics.mutable_layers()) {
    Cut(layer.mutable_name());
    Cut(layer.mutable_verdict());
  }
}

void CutNames(v1::DataReport& report) {
  for (v1::DataReport::Split& split : *report.mutable_splits()) {
    Cut(split.mutable_name());
    DropLong(*split.mutable_classes());
  }
  for (v1::DataReport::Dropped& dropped : *report.mutable_dropped()) {
    Cut(dropped.mutable_reason());
  }
}

void CutNames(v1::DatasetReport& report) {
  for (v1::ClassCount& one : *report.mutable_classes()) {
    Cut(one.mutable_name());
  }
  for (std::string& column : *report.mutable_columns()) {
    Cut(&column);
  }
}

}  // namespace hone::server::jobs
