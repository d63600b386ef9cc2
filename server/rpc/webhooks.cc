#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/webhooks/webhook.h"

namespace hone::server::rpc {

void CreateWebhook(const v1::CreateWebhookRequest& request, Deps& deps,
                   Done<v1::CreateWebhookResponse> done) {
  absl::StatusOr<v1::Webhook> checked = webhooks::Check(request, deps.webhooks.addresses());
  absl::StatusOr<std::string> secret = webhooks::SecretFor(request);
  if (!checked.ok() || !secret.ok()) {
    return done(checked.ok() ? secret.status() : checked.status());
  }
  v1::CreateWebhookResponse response;
  *response.mutable_webhook() = *std::move(checked);
  *response.mutable_webhook()->mutable_create_time() = jobs::ToTimestamp(absl::Now());
  response.set_secret(*std::move(secret));
  deps.writer.Submit<v1::CreateWebhookResponse>(
      [response](store::JobStore& store) -> absl::StatusOr<v1::CreateWebhookResponse> {
        HONE_RETURN_IF_ERROR(store.webhooks().Insert(response.webhook(), response.secret()));
        return response;
      },
      std::move(done));
}

absl::StatusOr<v1::Webhook> GetWebhook(const v1::GetWebhookRequest& request, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, store::WebhookId(request.name()));
  return deps.store.webhooks().Get(id);
}

absl::StatusOr<v1::ListWebhooksResponse> ListWebhooks(const v1::ListWebhooksRequest&, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const auto all, deps.store.webhooks().All());
  v1::ListWebhooksResponse response;
  for (const v1::Webhook& webhook : all) {
    *response.add_webhooks() = webhook;
  }
  return response;
}

void DeleteWebhook(const v1::DeleteWebhookRequest& request, Deps& deps,
                   Done<v1::DeleteWebhookResponse> done) {
  const absl::StatusOr<std::string> id = store::WebhookId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<v1::DeleteWebhookResponse>(
      [id = *id](store::JobStore& store) -> absl::StatusOr<v1::DeleteWebhookResponse> {
        HONE_RETURN_IF_ERROR(store.webhooks().Delete(id));
        return v1::DeleteWebhookResponse();
      },
      std::move(done));
}

void TestWebhook(const v1::TestWebhookRequest& request, Deps& deps,
                 Done<v1::WebhookDelivery> done) {
  const absl::StatusOr<std::string> id = store::WebhookId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<v1::WebhookDelivery>(
      [id = *id](store::JobStore& store) { return store.webhooks().Test(id, absl::Now()); },
      [done = std::move(done), &sender = deps.webhooks](absl::StatusOr<v1::WebhookDelivery> made) {
        sender.Wake();
        done(std::move(made));
      });
}

}  // namespace hone::server::rpc
