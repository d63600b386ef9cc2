#include "server/translate/events.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace hone::server::translate {
namespace {

namespace job = engine::job;
namespace tasks = engine::tasks;
namespace train = engine::train;

v1::LayerSummary ToProto(const engine::models::LayerSummary& layer) {
  using engine::models::LayerRole;
  v1::LayerSummary out;
  out.set_name(layer.name);
  out.set_kind(layer.kind);
  out.set_role(layer.role == LayerRole::kInput    ? v1::LayerSummary::INPUT
               : layer.role == LayerRole::kOutput ? v1::LayerSummary::OUTPUT
                                                  : v1::LayerSummary::HIDDEN);
  for (const int64_t extent : layer.output_shape.dims()) {
    out.add_output_shape(extent);
  }
  out.set_weights(layer.weights);
  out.set_biases(layer.biases);
  out.set_trainable(layer.trainable);
  out.set_share(layer.share);
  for (const std::string& input : layer.inputs) {
    out.add_inputs(input);
  }
  out.set_forward_flops(layer.forward_flops);
  return out;
}

void AddSplit(const std::string& name, const engine::data::SplitReport& split,
              const std::vector<std::string>& classes, v1::DataReport& out) {
  if (split.examples == 0) {
    return;
  }
  v1::DataReport::Split& row = *out.add_splits();
  row.set_name(name);
  row.set_examples(split.examples);
  for (size_t c = 0; c < split.class_counts.size() && c < classes.size(); ++c) {
    (*row.mutable_classes())[classes[c]] = split.class_counts[c];
  }
}

// Counts that say something about the data without being drops.
void AddCounts(const engine::data::DataReport& report, v1::DataReport& out) {
  const auto note = [&](int64_t count, absl::string_view what) {
    if (count > 0) {
      out.add_notes(absl::StrCat(count, " ", what));
    }
  };
  note(report.duplicates, "examples are exact copies of an earlier one of the same part");
  note(report.duplicates_across_parts, "test examples are exact copies of a training example");
  note(report.contradictions, "examples have the features of an earlier one and another target");
  note(report.missing_cells, "cells are missing");
}

}  // namespace

v1::Plan ToProto(const job::Plan& plan) {
  v1::Plan out;
  out.set_display_name(plan.display_name);
  for (const engine::models::LayerSummary& layer : plan.layers) {
    *out.add_layers() = ToProto(layer);
  }
  out.set_depth(plan.depth);
  out.set_parameters(plan.parameters);
  out.set_trainable_parameters(plan.trainable_parameters);
  out.set_frozen_parameters(plan.frozen_parameters);
  out.set_buffer_values(plan.buffer_values);
  out.set_forward_flops_per_example(plan.forward_flops_per_example);
  out.set_training_flops_per_example(plan.training_flops_per_example);
  out.set_batch_size(plan.batch_size);
  out.set_steps_per_epoch(plan.steps_per_epoch);
  out.set_total_steps(plan.total_steps);
  out.set_train_examples(plan.train_examples);
  out.set_validation_examples(plan.validation_examples);
  out.set_test_examples(plan.test_examples);
  out.set_train_tokens(plan.train_tokens);
  out.set_learned_tokens(plan.learned_tokens);
  out.set_threads(plan.threads);
  out.set_shards(plan.shards);
  out.set_precision(plan.precision);
  out.set_arena_bytes(plan.arena_bytes);
  out.set_parameter_bytes(plan.parameter_bytes);
  out.set_optimizer_bytes(plan.optimizer_bytes);
  out.set_dataset_bytes(plan.dataset_bytes);
  out.set_peak_memory_bytes(plan.peak_memory_bytes);
  out.set_checkpoint_bytes(plan.checkpoint_bytes);
  out.set_recomputes(plan.recomputes);
  out.set_trunk_bytes(plan.trunk_bytes);
  if (plan.seconds) {
    out.set_seconds(*plan.seconds);
  }
  if (plan.step_seconds) {
    out.set_step_seconds(*plan.step_seconds);
  }
  if (plan.helper) {
    v1::Plan::Helper& helper = *out.mutable_helper();
    helper.set_display_name(plan.helper->display_name);
    helper.set_parameters(plan.helper->parameters);
    helper.set_total_steps(plan.helper->total_steps);
    if (plan.helper->seconds) {
      helper.set_seconds(*plan.helper->seconds);
    }
  }
  return out;
}

v1::Event ToEvent(const job::Started& started) {
  v1::Event event;
  *event.mutable_started()->mutable_plan() = ToProto(started.plan);
  event.mutable_started()->set_resumed_from_step(started.resumed_from_step);
  event.mutable_started()->set_engine(started.engine);
  return event;
}

v1::Event ToEvent(const train::Metrics& metrics) {
  v1::Event event;
  v1::Metrics& out = *event.mutable_metrics();
  out.set_step(metrics.step);
  out.set_epoch(metrics.epoch);
  out.set_samples(metrics.samples);
  out.set_active_seconds(metrics.active_seconds);
  out.set_total_steps(metrics.total_steps);
  out.set_eta_seconds(metrics.eta_seconds);
  for (const auto& [name, value] : metrics.values) {
    if (std::isfinite(value)) {
      (*out.mutable_values())[name] = value;
    } else {
      out.add_non_finite(name);
    }
  }
  return event;
}

v1::Event ToEvent(const train::LayerStatistics& statistics) {
  v1::Event event;
  event.mutable_layer_statistics()->set_step(statistics.step);
  for (const train::LayerStatistics::Layer& layer : statistics.layers) {
    v1::LayerStatistics::Layer& out = *event.mutable_layer_statistics()->add_layers();
    out.set_name(layer.name);
    out.set_gradient_norm(layer.gradient_norm);
    out.set_weight_norm(layer.weight_norm);
    out.set_dead_share(layer.dead_share);
    out.set_verdict(layer.verdict);
  }
  return event;
}

v1::Event ToEvent(const train::CheckpointWritten& checkpoint) {
  v1::Event event;
  v1::CheckpointWritten& out = *event.mutable_checkpoint();
  out.set_step(checkpoint.step);
  out.set_path(checkpoint.path);
  out.set_bytes(checkpoint.bytes);
  out.set_seconds(checkpoint.seconds);
  out.set_best(checkpoint.best);
  return event;
}

v1::Event ToEvent(train::Severity severity, const std::string& text) {
  v1::Event event;
  event.mutable_log()->set_severity(severity == train::Severity::kError     ? v1::Log::ERROR
                                    : severity == train::Severity::kWarning ? v1::Log::WARNING
                                                                            : v1::Log::INFO);
  event.mutable_log()->set_text(text);
  return event;
}

v1::Event ToEvent(const engine::data::DataReport& report, const tasks::DataInfo& info) {
  v1::Event event;
  v1::DataReport& out = *event.mutable_data_report();
  out.set_source(report.source);
  const std::vector<std::string>& classes = info.preprocessing.class_names;
  AddSplit("train", report.train, classes, out);
  AddSplit("validation", report.validation, classes, out);
  AddSplit("test", report.test, classes, out);
  for (const engine::data::Dropped& dropped : report.dropped) {
    v1::DataReport::Dropped& row = *out.add_dropped();
    row.set_reason(dropped.reason);
    row.set_count(dropped.count);
  }
  for (const std::string& note : report.notes) {
    out.add_notes(note);
  }
  AddCounts(report, out);
  return event;
}

v1::Event ToEvent(const tasks::Evaluation& evaluation) {
  v1::Event event;
  v1::Evaluation& out = *event.mutable_evaluation();
  out.set_split(evaluation.split);
  for (const auto& [name, value] : evaluation.metrics) {
    if (std::isfinite(value)) {
      (*out.mutable_metrics())[name] = value;
    }
  }
  for (const tasks::Evaluation::Class& c : evaluation.classes) {
    v1::Evaluation::ClassReport& row = *out.add_classes();
    row.set_name(c.name);
    row.set_precision(c.precision);
    row.set_recall(c.recall);
    row.set_f1(c.f1);
    row.set_examples(c.examples);
  }
  out.mutable_confusion()->Add(evaluation.confusion.begin(), evaluation.confusion.end());
  out.set_fit_verdict(evaluation.fit_verdict);
  out.set_fit_reason(evaluation.fit_reason);
  return event;
}

v1::Event ToEvent(const job::EvaluationResult& result) {
  v1::Event event = ToEvent(result.evaluation);
  if (!result.comparison.has_value()) {
    return event;
  }
  const job::Comparison& comparison = *result.comparison;
  v1::ModelComparison& out = *event.mutable_evaluation()->mutable_comparison();
  for (const auto& [name, value] : comparison.other_metrics) {
    if (std::isfinite(value)) {
      (*out.mutable_other_metrics())[name] = value;
    }
  }
  out.set_examples(comparison.examples);
  out.set_both_right(comparison.both_right);
  out.set_only_first(comparison.only_first);
  out.set_only_second(comparison.only_second);
  out.set_both_wrong(comparison.both_wrong);
  if (comparison.p_value.has_value()) {
    out.set_p_value(*comparison.p_value);
  }
  out.set_difference(comparison.difference);
  out.set_low(comparison.low);
  out.set_high(comparison.high);
  out.set_verdict(comparison.verdict);
  return event;
}

v1::Event ToEvent(const tasks::Artifact& artifact) {
  v1::Event event;
  v1::Artifact& out = *event.mutable_artifact();
  out.set_kind(artifact.kind);
  out.set_path(artifact.path);
  out.set_bytes(artifact.bytes);
  out.set_sha256(artifact.sha256);
  return event;
}

}  // namespace hone::server::translate
