#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "server/jobs/job.h"
#include "server/rpc/calls.h"
#include "server/webhooks/webhook.h"

namespace hone::server::rpc {

void CreateWebhook(const v1::CreateWebhookRequest& request, const access::Caller& caller,
                   Deps& deps, Done<v1::CreateWebhookResponse> done) {
  absl::StatusOr<v1::Webhook> checked = webhooks::Check(request, deps.webhooks.addresses());
  absl::StatusOr<std::string> secret = webhooks::SecretFor(request);
  if (!checked.ok() || !secret.ok()) {
    return done(checked.ok() ? secret.status() : checked.status());
  }
  v1::CreateWebhookResponse response;
  *response.mutable_webhook() = *std::move(checked);
  response.mutable_webhook()->set_project(caller.project);
  response.mutable_webhook()->set_created_by(caller.name);
  *response.mutable_webhook()->mutable_create_time() = jobs::ToTimestamp(absl::Now());
  response.set_secret(*std::move(secret));
  deps.writer.Submit<v1::CreateWebhookResponse>(
      [response](store::JobStore& store) -> absl::StatusOr<v1::CreateWebhookResponse> {
        HONE_RETURN_IF_ERROR(store.webhooks().Insert(response.webhook(), response.secret()));
        return response;
      },
      std::move(done));
}

absl::StatusOr<v1::Webhook> GetWebhook(const v1::GetWebhookRequest& request,
                                       const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const std::string id, store::WebhookId(request.name()));
  return deps.store.webhooks().Get(caller.project, id);
}

absl::StatusOr<v1::ListWebhooksResponse> ListWebhooks(const v1::ListWebhooksRequest&,
                                                      const access::Caller& caller, Deps& deps) {
  HONE_ASSIGN_OR_RETURN(const auto all, deps.store.webhooks().All(caller.project));
  v1::ListWebhooksResponse response;
  for (const v1::Webhook& webhook : all) {
    *response.add_webhooks() = webhook;
  }
  return response;
}

void DeleteWebhook(const v1::DeleteWebhookRequest& request, const access::Caller& caller,
                   Deps& deps, Done<v1::DeleteWebhookResponse> done) {
  const absl::StatusOr<std::string> id = store::WebhookId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<v1::DeleteWebhookResponse>(
      [project = caller.project,
       id = *id](store::JobStore& store) -> absl::StatusOr<v1::DeleteWebhookResponse> {
        HONE_RETURN_IF_ERROR(store.webhooks().Delete(project, id));
        return v1::DeleteWebhookResponse();
      },
      std::move(done));
}

void TestWebhook(const v1::TestWebhookRequest& request, const access::Caller& caller, Deps& deps,
                 Done<v1::WebhookDelivery> done) {
  const absl::StatusOr<std::string> id = store::WebhookId(request.name());
  if (!id.ok()) {
    return done(id.status());
  }
  deps.writer.Submit<v1::WebhookDelivery>(
      [project = caller.project, id = *id](store::JobStore& store) {
        return store.webhooks().Test(project, id, absl::Now());
      },
      [done = std::move(done), &sender = deps.webhooks](absl::StatusOr<v1::WebhookDelivery> made) {
        sender.Wake();
        done(std::move(made));
      });
}

}  // namespace hone::server::rpc
