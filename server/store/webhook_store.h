#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/webhook.pb.h"
#include "server/jobs/job.h"

namespace hone::server::store {

// One that is to be sent now.
struct DueDelivery {
  std::string id;
  std::string url;
  std::string secret;
  std::string body;
  int attempts = 0;  // before this one
  absl::Time created;
};

struct WaitingDeliveries {
  int64_t number = 0;
  absl::Time oldest = absl::InfiniteFuture();  // when it was made
};

// Webhooks and what they are to be told: part of a JobStore, with the same threads, transactions
// and errors. Each belongs to a project and is told of its jobs; names are the project's own.
class WebhookStore {
 public:
  static constexpr int kMost = 100;  // of a project
  // Of one webhook: what is more is given up at once.
  static constexpr int kMostWaiting = 10'000;
  // Of one webhook, that wait no more: the oldest go.
  static constexpr int kMostEnded = 200;

  virtual ~WebhookStore() = default;

  // ALREADY_EXISTS; RESOURCE_EXHAUSTED: there are kMost.
  virtual absl::Status Insert(const v1::Webhook& webhook, const std::string& secret) = 0;
  // With what it was to tell. NOT_FOUND.
  virtual absl::Status Delete(const std::string& project, const std::string& id) = 0;
  // A delivery of the event `test`. NOT_FOUND.
  virtual absl::StatusOr<v1::WebhookDelivery> Test(const std::string& project,
                                                   const std::string& id, absl::Time now) = 0;

  // What is to be told of the end of a job, which is as it is afterwards, and of its metrics. For
  // the store itself, in the transaction of the change.
  virtual absl::Status JobHasEnded(int64_t job_row, const jobs::Job& job, absl::Time now) = 0;
  virtual absl::Status JobHasMetrics(int64_t job_row, const jobs::Job& job,
                                     const v1::Metrics& metrics, absl::Time now) = 0;

  // OK also where the delivery has gone with its webhook.
  virtual absl::Status Delivered(const std::string& id) = 0;
  // To be tried again at `next`; `message` says why.
  virtual absl::Status TryAgain(const std::string& id, absl::Time next,
                                const std::string& message) = 0;
  virtual absl::Status GiveUp(const std::string& id, const std::string& message) = 0;

  // With its newest deliveries, at most 50. NOT_FOUND.
  virtual absl::StatusOr<v1::Webhook> Get(const std::string& project,
                                          const std::string& id) const = 0;
  // A project's by name, without deliveries.
  virtual absl::StatusOr<std::vector<v1::Webhook>> All(const std::string& project) const = 0;
  // Up to `limit` whose time has come, those that wait the longest first, at most a quarter of them
  // of one webhook.
  virtual absl::StatusOr<std::vector<DueDelivery>> Due(absl::Time now, int limit) const = 0;
  virtual absl::StatusOr<WaitingDeliveries> Waiting() const = 0;
};

// "webhooks/" + id and back. INVALID_ARGUMENT, with the shape that a name must have.
std::string WebhookName(absl::string_view id);
absl::StatusOr<std::string> WebhookId(absl::string_view name);

}  // namespace hone::server::store
