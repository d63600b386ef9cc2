#pragma once

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"

namespace hone::server::metrics {

// Every metric there is, in the order of kCatalog. Prometheus and whoever else shows numbers reads
// this list.
enum class Metric {
  kBuildInfo,
  kJobs,
  kProjectJobs,
  kJobsFinished,
  kSweeps,
  kSweepTrials,
  kQueueDepth,
  kQueueOldestAge,
  kQueueWait,
  kJobDuration,
  kSteps,
  kSamples,
  kStepDuration,
  kPhaseSeconds,
  kJobRunning,
  kJobLoss,
  kJobMetric,
  kJobLearningRate,
  kJobGradientNorm,
  kJobLayerGradientNorm,
  kJobLayerWeightNorm,
  kJobLayerVerdict,
  kJobSamplesPerSecond,
  kJobProgressRatio,
  kJobEtaSeconds,
  kJobLastStepTimestamp,
  kJobLastCheckpointTimestamp,
  kNonFiniteValues,
  kCheckpointWriteSeconds,
  kCheckpointFailures,
  kWorkerStarts,
  kWorkerThreads,
  kWorkerConfinement,
  kEngineMemoryBytes,
  kCpuQuotaCores,
  kCpuThrottledSeconds,
  kStorageBytes,
  kStorageFreeBytes,
  kStoreTransactionSeconds,
  kStoreErrors,
  kTasksQueued,
  kTasksRefused,
  kConnections,
  kConnectionsRefused,
  kCertificateEnd,
  kCallersRefused,
  kWatchStreams,
  kWatchEventsDropped,
  kRpcStarted,
  kRpcDuration,
};

enum class MetricType { kGauge, kCounter, kHistogram };

// What a histogram's buckets are made for: calls and disks, steps of training, whole jobs.
enum class Span { kCalls, kSteps, kJobs };

// `labels` are names in the order in which values are given; unused ones are empty. Units are base
// units and stand in the name.
struct MetricSpec {
  Metric metric;
  absl::string_view name;
  MetricType type;
  absl::string_view help;
  std::array<absl::string_view, 3> labels = {};
  Span span = Span::kCalls;

  // Metrics with this first label speak of one job and leave when it has ended.
  constexpr bool OfOneJob() const { return labels[0] == "training_job"; }
};

inline constexpr size_t kMetricCount = static_cast<size_t>(Metric::kRpcDuration) + 1;

extern const std::array<MetricSpec, kMetricCount> kCatalog;

inline const MetricSpec& SpecOf(Metric metric) { return kCatalog[static_cast<size_t>(metric)]; }

}  // namespace hone::server::metrics
