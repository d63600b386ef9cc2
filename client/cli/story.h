#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/curve.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/job_resource.pb.h"

namespace hone::client::cli {

// What has happened to a job so far, put together from its events: what a view shows and what the
// job's last line in JSON holds.
class Story {
 public:
  // Events of a number at or below the last one seen are ignored (a stream that was left and
  // entered again); 0 is no number.
  void Apply(const v1::Event& event);
  // A job as the server keeps it, at the start of a stream or its end.
  void Apply(const v1::Job& job);
  void SetPhase(const std::string& phase, double done);

  // The job itself; `metrics` has the latest values and, at the end, those of the evaluation.
  const v1::Job& job() const { return job_; }
  v1::Job& job() { return job_; }

  const std::string& phase() const { return phase_; }
  double phase_done() const { return phase_done_; }  // 0 to 1; -1: not known
  const v1::Metrics& metrics() const { return metrics_; }
  // Two networks play against each other: the curves are the generator's and the discriminator's
  // losses.
  bool has_adversaries() const { return metrics_.values().contains("generator_loss"); }
  const Curve& train_loss() const { return train_loss_; }
  const Curve& validation_loss() const { return validation_loss_; }
  const std::optional<v1::DataReport>& data_report() const { return data_report_; }
  // The newest last, at most three.
  const std::deque<std::string>& warnings() const { return warnings_; }
  const v1::LayerStatistics& layers() const { return layers_; }  // the latest
  // The latest verdicts in words, such as "vanishing gradients in dense_1, dense_2 and 9 more";
  // empty: sound.
  const std::vector<std::string>& verdicts() const { return verdicts_; }
  // A picture of the job's own, the file's bytes, such as a grid of drawings; "": none yet.
  const std::string& picture() const { return picture_; }
  void SetPicture(std::string file) { picture_ = std::move(file); }
  // The latest value of a metric of the curves.
  std::optional<double> Value(const std::string& name) const;

  bool ended() const;

 private:
  void ApplyMetrics(const v1::Metrics& metrics);

  v1::Job job_;
  std::string phase_;
  double phase_done_ = -1;
  v1::Metrics metrics_;
  Curve train_loss_;
  Curve validation_loss_;
  std::optional<v1::DataReport> data_report_;
  std::deque<std::string> warnings_;
  v1::LayerStatistics layers_;
  std::vector<std::string> verdicts_;
  std::string picture_;
};

// "vanishing gradients in dense_1, dense_2 and 9 more", one for each verdict found; empty when all
// layers are sound.
std::vector<std::string> VerdictsInWords(const v1::LayerStatistics& statistics);

}  // namespace hone::client::cli
