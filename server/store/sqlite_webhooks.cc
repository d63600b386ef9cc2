#include "server/store/sqlite_webhooks.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"
#include "server/jobs/validate.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr char kWebhookPrefix[] = "webhooks/";
constexpr char kTestEvent[] = "test";
constexpr int kShownDeliveries = 50;
constexpr size_t kMostMessage = 500;
// Nobody waits for longer: a later time is of a clock that was wrong.
constexpr absl::Duration kLongestWait = absl::Hours(2);

struct WebhookRow {
  int64_t row = 0;
  v1::Webhook webhook;
};

absl::Status NoWebhook(absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("there is no webhook ", WebhookName(id)));
}

absl::StatusOr<WebhookRow> ReadWebhookRow(const Statement& statement) {
  WebhookRow row;
  row.row = statement.ColumnInt(0);
  const absl::string_view bytes = statement.ColumnBytes(1);
  return row.webhook.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))
             ? absl::StatusOr<WebhookRow>(std::move(row))
             : absl::DataLossError("a webhook's row is damaged");
}

absl::StatusOr<std::vector<WebhookRow>> AllRows(Statement& statement) {
  const Standing standing(statement);
  std::vector<WebhookRow> rows;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) {
      return rows;
    }
    HONE_ASSIGN_OR_RETURN(WebhookRow row, ReadWebhookRow(statement));
    rows.push_back(std::move(row));
  }
}

bool HasLabels(const jobs::Job& job, const v1::Webhook& webhook) {
  return std::ranges::all_of(webhook.labels(), [&](const auto& label) {
    const auto found = job.resolved.labels().find(label.first);
    return found != job.resolved.labels().end() && found->second == label.second;
  });
}

bool TellsEnd(const v1::Webhook& webhook, v1::Job::State state) {
  return webhook.ends().empty() ? webhook.metrics().empty()
                                : std::ranges::find(webhook.ends(), state) != webhook.ends().end();
}

bool IsBeyond(const v1::MetricThreshold& threshold, double value) {
  return threshold.has_above() ? value > threshold.above() : value < threshold.below();
}

v1::WebhookEvent EventOf(const jobs::Job& job) {
  v1::WebhookEvent event;
  event.set_job(jobs::JobName(job.id));
  event.set_display_name(job.resolved.display_name());
  *event.mutable_labels() = job.resolved.labels();
  event.set_task(jobs::TaskName(job.spec));
  event.set_state(jobs::ToProto(job.state));
  *event.mutable_metrics() =
      job.evaluation.metrics().empty() ? job.latest.values() : job.evaluation.metrics();
  return event;
}

class SqliteWebhooks final : public WebhookStore {
 public:
  absl::Status Open(sqlite3* writer, const std::string& path);

  absl::Status Insert(const v1::Webhook& webhook, const std::string& secret) override;
  absl::Status Delete(const std::string& project, const std::string& id) override;
  absl::StatusOr<v1::WebhookDelivery> Test(const std::string& project, const std::string& id,
                                           absl::Time now) override;
  absl::Status JobHasEnded(int64_t job_row, const jobs::Job& job, absl::Time now) override;
  absl::Status JobHasMetrics(int64_t job_row, const jobs::Job& job, const v1::Metrics& metrics,
                             absl::Time now) override;
  absl::Status Delivered(const std::string& id) override;
  absl::Status TryAgain(const std::string& id, absl::Time next,
                        const std::string& message) override;
  absl::Status GiveUp(const std::string& id, const std::string& message) override;
  absl::StatusOr<v1::Webhook> Get(const std::string& project, const std::string& id) const override;
  absl::StatusOr<std::vector<v1::Webhook>> All(const std::string& project) const override;
  absl::StatusOr<std::vector<DueDelivery>> Due(absl::Time now, int limit) const override;
  absl::StatusOr<WaitingDeliveries> Waiting() const override;

 private:
  absl::StatusOr<std::string> Enqueue(const WebhookRow& row, v1::WebhookEvent event,
                                      absl::Time now);
  absl::Status RemoveEnded(const std::string& id);

  sqlite3* writer_ = nullptr;
  Statement count_, load_, all_, with_metrics_, insert_, delete_;
  Statement waiting_of_, enqueue_, end_, again_, remove_ended_;
  Statement pass_, forget_passed_;

  mutable std::mutex mutex_;  // guards all below
  Connection reader_;
  mutable Statement get_, list_, deliveries_, due_, waiting_;
};

absl::Status SqliteWebhooks::Open(sqlite3* writer, const std::string& path) {
  writer_ = writer;
  for (const auto& [statement, sql] : std::initializer_list<std::pair<Statement*, std::string>>{
           {&count_, "SELECT count(*) FROM webhook WHERE project = ?"},
           {&load_, "SELECT row, payload FROM webhook WHERE project = ? AND id = ?"},
           {&all_, "SELECT row, payload FROM webhook WHERE project = ?"},
           {&with_metrics_,
            "SELECT row, payload FROM webhook WHERE project = ? AND has_metrics = 1"},
           {&insert_,
            "INSERT INTO webhook (project, id, secret, has_metrics, payload) VALUES (?, ?, ?, ?, "
            "?)"},
           {&delete_, "DELETE FROM webhook WHERE project = ? AND id = ?"},
           {&waiting_of_,
            "SELECT count(*) FROM webhook_delivery WHERE webhook_row = ? AND state = 'WAITING'"},
           {&enqueue_,
            "INSERT INTO webhook_delivery (id, webhook_row, event, job_id, body, state, "
            "create_time, next_time, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)"},
           {&end_,
            "UPDATE webhook_delivery SET state = ?, message = ?, attempts = attempts + 1 "
            "WHERE id = ? AND state = 'WAITING'"},
           {&again_,
            "UPDATE webhook_delivery SET next_time = ?, message = ?, attempts = attempts + 1 "
            "WHERE id = ? AND state = 'WAITING'"},
           {&remove_ended_,
            "DELETE FROM webhook_delivery WHERE row IN (SELECT row FROM webhook_delivery WHERE "
            "state != 'WAITING' AND webhook_row = (SELECT webhook_row FROM webhook_delivery WHERE "
            "id = ?) ORDER BY row DESC LIMIT -1 OFFSET ?)"},
           {&pass_, "INSERT OR IGNORE INTO webhook_passed VALUES (?, ?, ?)"},
           {&forget_passed_, "DELETE FROM webhook_passed WHERE job_row = ?"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(writer, sql));
  }
  HONE_ASSIGN_OR_RETURN(reader_, OpenReader(path));
  for (const auto& [statement, sql] : std::initializer_list<std::pair<Statement*, std::string>>{
           {&get_, "SELECT row, payload FROM webhook WHERE project = ? AND id = ?"},
           {&list_, "SELECT row, payload FROM webhook WHERE project = ? ORDER BY id"},
           {&deliveries_,
            "SELECT id, event, job_id, state, attempts, create_time, next_time, message FROM "
            "webhook_delivery WHERE webhook_row = ? ORDER BY row DESC LIMIT ?"},
           {&due_,
            "SELECT id, (SELECT payload FROM webhook WHERE webhook.row = webhook_row), (SELECT "
            "secret FROM webhook WHERE webhook.row = webhook_row), body, attempts, create_time "
            "FROM (SELECT *, row_number() OVER (PARTITION BY webhook_row ORDER BY next_time, row) "
            "AS place FROM webhook_delivery WHERE state = 'WAITING' AND (next_time <= ?1 OR "
            "next_time > "
            "?3)) "
            "WHERE place <= max(?2 / 4, 1) ORDER BY next_time, row LIMIT ?2"},
           {&waiting_,
            "SELECT count(*), min(create_time) FROM webhook_delivery WHERE state = 'WAITING'"},
       }) {
    HONE_RETURN_IF_ERROR(statement->Prepare(reader_.get(), sql));
  }
  return absl::OkStatus();
}

absl::Status SqliteWebhooks::Insert(const v1::Webhook& webhook, const std::string& secret) {
  HONE_ASSIGN_OR_RETURN(const std::string id, WebhookId(webhook.name()));
  const std::string& project = webhook.project();
  HONE_ASSIGN_OR_RETURN(const bool known, load_.Reset().Text(project).Text(id).Step());
  load_.Reset();
  if (known) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a webhook ", webhook.name(), "; delete it, or choose another name"));
  }
  {
    const Standing standing(count_);
    HONE_RETURN_IF_ERROR(count_.Reset().Text(webhook.project()).Step().status());
    if (count_.ColumnInt(0) >= kMost) {
      return absl::ResourceExhaustedError(absl::StrCat("the project has ", kMost, " webhooks"));
    }
  }
  return insert_.Reset()
      .Text(project)
      .Text(id)
      .Text(secret)
      .Int(webhook.metrics().empty() ? 0 : 1)
      .Blob(Serialize(webhook))
      .Run();
}

absl::Status SqliteWebhooks::Delete(const std::string& project, const std::string& id) {
  HONE_RETURN_IF_ERROR(delete_.Reset().Text(project).Text(id).Run());
  return sqlite3_changes(writer_) == 1 ? absl::OkStatus() : NoWebhook(id);
}

absl::StatusOr<std::string> SqliteWebhooks::Enqueue(const WebhookRow& row, v1::WebhookEvent event,
                                                    absl::Time now) {
  HONE_RETURN_IF_ERROR(waiting_of_.Reset().Int(row.row).Step().status());
  const bool full = waiting_of_.ColumnInt(0) >= kMostWaiting;
  waiting_of_.Reset();
  const std::string id = jobs::NewId();
  event.set_id(id);
  *event.mutable_time() = jobs::ToTimestamp(now);
  event.set_webhook(row.webhook.name());
  std::string body;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;  // as hone --output json
  if (!google::protobuf::util::MessageToJsonString(event, &body, options).ok()) {
    return absl::InternalError("what a webhook is to be told cannot be written as JSON");
  }
  HONE_RETURN_IF_ERROR(
      enqueue_.Reset()
          .Text(id)
          .Int(row.row)
          .Text(event.event())
          .Text(absl::StripPrefix(event.job(), "jobs/"))
          .Text(body)
          .Text(full ? "FAILED" : "WAITING")
          .Int(ToNanos(now))
          .Text(full ? absl::StrCat("given up: ", kMostWaiting, " others wait") : "")
          .Run());
  return id;
}

absl::StatusOr<v1::WebhookDelivery> SqliteWebhooks::Test(const std::string& project,
                                                         const std::string& id, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const bool found, load_.Reset().Text(project).Text(id).Step());
  if (!found) {
    return NoWebhook(id);
  }
  absl::StatusOr<WebhookRow> row = ReadWebhookRow(load_);
  load_.Reset();
  HONE_RETURN_IF_ERROR(row.status());
  v1::WebhookEvent event;
  event.set_event(kTestEvent);
  v1::WebhookDelivery delivery;
  HONE_ASSIGN_OR_RETURN(*delivery.mutable_id(), Enqueue(*row, std::move(event), now));
  delivery.set_event(kTestEvent);
  delivery.set_state(v1::WebhookDelivery::WAITING);
  *delivery.mutable_create_time() = jobs::ToTimestamp(now);
  return delivery;
}

absl::Status SqliteWebhooks::JobHasEnded(int64_t job_row, const jobs::Job& job, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const std::vector<WebhookRow> rows,
                        AllRows(all_.Reset().Text(job.project)));
  if (rows.empty()) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(forget_passed_.Reset().Int(job_row).Run());
  for (const WebhookRow& row : rows) {
    if (!TellsEnd(row.webhook, jobs::ToProto(job.state)) || !HasLabels(job, row.webhook)) {
      continue;
    }
    v1::WebhookEvent event = EventOf(job);
    event.set_event(absl::StrCat("job.", absl::AsciiStrToLower(jobs::StateName(job.state))));
    event.set_end_reason(job.end_reason);
    event.set_message(job.message);
    event.set_model(job.model_id.empty() ? "" : jobs::ModelName(job.model_id));
    HONE_RETURN_IF_ERROR(Enqueue(row, std::move(event), now).status());
  }
  return absl::OkStatus();
}

absl::Status SqliteWebhooks::JobHasMetrics(int64_t job_row, const jobs::Job& job,
                                           const v1::Metrics& metrics, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const std::vector<WebhookRow> rows,
                        AllRows(with_metrics_.Reset().Text(job.project)));
  for (const WebhookRow& row : rows) {
    for (const v1::MetricThreshold& threshold : row.webhook.metrics()) {
      const auto found = metrics.values().find(threshold.metric());
      if (found == metrics.values().end() || !IsBeyond(threshold, found->second) ||
          !HasLabels(job, row.webhook)) {
        continue;
      }
      const double limit = threshold.has_above() ? threshold.above() : threshold.below();
      const std::string key =
          absl::StrCat(threshold.metric(), threshold.has_above() ? " above " : " below ", limit);
      HONE_RETURN_IF_ERROR(pass_.Reset().Int(job_row).Int(row.row).Text(key).Run());
      if (sqlite3_changes(writer_) == 0) {
        continue;  // it was told
      }
      v1::WebhookEvent event = EventOf(job);
      event.set_event("job.metric");
      for (const auto& [name, value] : metrics.values()) {
        (*event.mutable_metrics())[name] = value;
      }
      event.set_metric(threshold.metric());
      event.set_value(found->second);
      event.set_threshold(limit);
      HONE_RETURN_IF_ERROR(Enqueue(row, std::move(event), now).status());
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteWebhooks::RemoveEnded(const std::string& id) {
  return remove_ended_.Reset().Text(id).Int(kMostEnded).Run();
}

absl::Status SqliteWebhooks::Delivered(const std::string& id) {
  HONE_RETURN_IF_ERROR(end_.Reset().Text("DELIVERED").Text("").Text(id).Run());
  return RemoveEnded(id);
}

absl::Status SqliteWebhooks::TryAgain(const std::string& id, absl::Time next,
                                      const std::string& message) {
  return again_.Reset().Int(ToNanos(next)).Text(CutUtf8(message, kMostMessage)).Text(id).Run();
}

absl::Status SqliteWebhooks::GiveUp(const std::string& id, const std::string& message) {
  HONE_RETURN_IF_ERROR(
      end_.Reset().Text("FAILED").Text(CutUtf8(message, kMostMessage)).Text(id).Run());
  return RemoveEnded(id);
}

absl::StatusOr<v1::Webhook> SqliteWebhooks::Get(const std::string& project,
                                                const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const Standing standing(get_);
  HONE_ASSIGN_OR_RETURN(const bool found, get_.Reset().Text(project).Text(id).Step());
  if (!found) {
    return NoWebhook(id);
  }
  HONE_ASSIGN_OR_RETURN(WebhookRow row, ReadWebhookRow(get_));
  const Standing standing_deliveries(deliveries_);
  deliveries_.Reset().Int(row.row).Int(kShownDeliveries);
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool more, deliveries_.Step());
    if (!more) {
      return std::move(row.webhook);
    }
    v1::WebhookDelivery& delivery = *row.webhook.add_deliveries();
    delivery.set_id(std::string(deliveries_.ColumnBytes(0)));
    delivery.set_event(std::string(deliveries_.ColumnBytes(1)));
    const absl::string_view job = deliveries_.ColumnBytes(2);
    delivery.set_job(job.empty() ? "" : jobs::JobName(job));
    v1::WebhookDelivery::State state = v1::WebhookDelivery::STATE_UNSPECIFIED;
    v1::WebhookDelivery::State_Parse(std::string(deliveries_.ColumnBytes(3)), &state);
    delivery.set_state(state);
    delivery.set_attempts(static_cast<int>(deliveries_.ColumnInt(4)));
    *delivery.mutable_create_time() = jobs::ToTimestamp(FromNanos(deliveries_.ColumnInt(5)));
    if (state == v1::WebhookDelivery::WAITING) {
      *delivery.mutable_next_time() = jobs::ToTimestamp(FromNanos(deliveries_.ColumnInt(6)));
    }
    delivery.set_message(std::string(deliveries_.ColumnBytes(7)));
  }
}

absl::StatusOr<std::vector<v1::Webhook>> SqliteWebhooks::All(const std::string& project) const {
  const std::lock_guard lock(mutex_);
  HONE_ASSIGN_OR_RETURN(std::vector<WebhookRow> rows, AllRows(list_.Reset().Text(project)));
  std::vector<v1::Webhook> webhooks;
  for (WebhookRow& row : rows) {
    webhooks.push_back(std::move(row.webhook));
  }
  return webhooks;
}

absl::StatusOr<std::vector<DueDelivery>> SqliteWebhooks::Due(absl::Time now, int limit) const {
  const std::lock_guard lock(mutex_);
  const Standing standing(due_);
  due_.Reset().Int(ToNanos(now)).Int(limit).Int(ToNanos(now + kLongestWait));
  std::vector<DueDelivery> due;
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, due_.Step());
    if (!found) {
      return due;
    }
    const absl::string_view payload = due_.ColumnBytes(1);
    v1::Webhook webhook;
    if (!webhook.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      return absl::DataLossError("a webhook's row is damaged");
    }
    due.push_back({.id = std::string(due_.ColumnBytes(0)),
                   .url = webhook.url(),
                   .secret = std::string(due_.ColumnBytes(2)),
                   .body = std::string(due_.ColumnBytes(3)),
                   .attempts = static_cast<int>(due_.ColumnInt(4)),
                   .created = FromNanos(due_.ColumnInt(5))});
  }
}

absl::StatusOr<WaitingDeliveries> SqliteWebhooks::Waiting() const {
  const std::lock_guard lock(mutex_);
  const Standing standing(waiting_);
  HONE_RETURN_IF_ERROR(waiting_.Reset().Step().status());
  WaitingDeliveries waiting{.number = waiting_.ColumnInt(0)};
  if (!waiting_.IsNull(1)) {
    waiting.oldest = FromNanos(waiting_.ColumnInt(1));
  }
  return waiting;
}

}  // namespace

std::string WebhookName(absl::string_view id) { return absl::StrCat(kWebhookPrefix, id); }

absl::StatusOr<std::string> WebhookId(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kWebhookPrefix) || !jobs::IsDatasetName(id)) {
    return jobs::WithReason(absl::InvalidArgumentError(absl::StrCat(
                                "name: must be webhooks/<id>, got \"", CutUtf8(name, 100), "\"")),
                            jobs::reason::kInvalidName);
  }
  return std::string(id);
}

absl::StatusOr<std::unique_ptr<WebhookStore>> OpenSqliteWebhooks(sqlite3* writer,
                                                                 const std::string& path) {
  auto webhooks = std::make_unique<SqliteWebhooks>();
  HONE_RETURN_IF_ERROR(webhooks->Open(writer, path));
  return webhooks;
}

}  // namespace hone::server::store
