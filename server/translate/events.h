#pragma once

#include "engine/job/evaluator.h"
#include "engine/job/observer.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/plan.pb.h"

namespace hone::server::translate {

// What the engine tells, as events; sequence, time and attempt are the server's to fill.
v1::Plan ToProto(const engine::job::Plan& plan);
v1::Event ToEvent(const engine::job::Started& started);
// Values that are NaN or infinite are named instead of given.
v1::Event ToEvent(const engine::train::Metrics& metrics);
v1::Event ToEvent(const engine::train::LayerStatistics& statistics);
v1::Event ToEvent(const engine::train::CheckpointWritten& checkpoint);
v1::Event ToEvent(engine::train::Severity severity, const std::string& text);
v1::Event ToEvent(const engine::data::DataReport& report, const engine::tasks::DataInfo& info);
v1::Event ToEvent(const engine::tasks::Evaluation& evaluation);
v1::Event ToEvent(const engine::tasks::Artifact& artifact);
// An evaluation with its comparison, if there is one.
v1::Event ToEvent(const engine::job::EvaluationResult& result);

}  // namespace hone::server::translate
