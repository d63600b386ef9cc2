// Who is told how jobs go: `hone webhooks`.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/live_view.h"
#include "client/cli/text.h"
#include "client/cli/write_text.h"

namespace hone::client::cli {
namespace {

constexpr absl::Duration kAskAfter = absl::Milliseconds(300);
constexpr int kMostAsks = 60;

struct WebhookOptions {
  std::string id, url;
  std::vector<std::string> ends, above, below, labels;
};

// METRIC=NUMBER.
std::string CheckThreshold(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  double value = 0;
  return !parts.first.empty() && absl::SimpleAtod(parts.second, &value)
             ? ""
             : "must be METRIC=NUMBER, such as validation_loss=0.2";
}

void AddThresholds(const std::vector<std::string>& given, bool above, v1::Webhook& webhook) {
  for (const std::string& text : given) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    double value = 0;
    static_cast<void>(absl::SimpleAtod(parts.second, &value));
    v1::MetricThreshold& threshold = *webhook.add_metrics();
    threshold.set_metric(parts.first);
    above ? threshold.set_above(value) : threshold.set_below(value);
  }
}

// What it is told, in words.
std::string Told(const v1::Webhook& webhook) {
  std::vector<std::string> parts;
  for (const int end : webhook.ends()) {
    parts.push_back(absl::AsciiStrToLower(v1::Job::State_Name(static_cast<v1::Job::State>(end))));
  }
  if (webhook.ends().empty() && webhook.metrics().empty()) {
    parts.emplace_back("every end");
  }
  for (const v1::MetricThreshold& threshold : webhook.metrics()) {
    parts.push_back(absl::StrCat(threshold.metric(), threshold.has_above() ? " > " : " < ",
                                 threshold.has_above() ? threshold.above() : threshold.below()));
  }
  for (const auto& [key, value] : webhook.labels()) {
    parts.push_back(absl::StrCat("of ", key, "=", value));
  }
  return absl::StrJoin(parts, ", ");
}

int AddWebhook(const WebhookOptions& options, const Globals& globals) {
  v1::CreateWebhookRequest request;
  request.set_webhook_id(options.id);
  v1::Webhook& webhook = *request.mutable_webhook();
  webhook.set_url(options.url);
  for (const std::string& end : options.ends) {
    v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
    v1::Job::State_Parse(absl::AsciiStrToUpper(end), &state);
    webhook.add_ends(state);
  }
  AddThresholds(options.above, true, webhook);
  AddThresholds(options.below, false, webhook);
  for (const std::string& label : options.labels) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(label, absl::MaxSplits('=', 1));
    (*webhook.mutable_labels())[pair.first] = pair.second;
  }
  // Not by a flag: other users of the machine see the command line.
  if (const char* const secret = std::getenv("HONE_WEBHOOK_SECRET"); secret != nullptr) {
    request.set_secret(secret);
  }
  const absl::StatusOr<v1::CreateWebhookResponse> made = globals.Connect()->CreateWebhook(request);
  if (!made.ok()) {
    return Fail(made.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*made);
  } else {
    std::fprintf(stderr, "%s is told %s; its secret, which nobody can ask for again:\n",
                 made->webhook().name().c_str(), Told(made->webhook()).c_str());
    std::printf("%s\n", made->secret().c_str());
  }
  return kSuccess;
}

int ListWebhooks(const Globals& globals) {
  const absl::StatusOr<v1::ListWebhooksResponse> all = globals.Connect()->ListWebhooks();
  if (!all.ok()) {
    return Fail(all.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*all);
    return kSuccess;
  }
  if (all->webhooks().empty()) {
    std::printf("no webhooks\n");
    return kSuccess;
  }
  std::vector<std::vector<std::string>> rows = {{"webhook", "is told", "at"}};
  for (const v1::Webhook& webhook : all->webhooks()) {
    rows.push_back({webhook.name(), Told(webhook), webhook.url()});
  }
  PrintLines(Table(rows));
  return kSuccess;
}

int ShowWebhook(const std::string& name, const Globals& globals) {
  const absl::StatusOr<v1::Webhook> webhook =
      globals.Connect()->GetWebhook(ResourceName("webhooks", name));
  if (!webhook.ok()) {
    return Fail(webhook.status(), globals);
  }
  if (globals.json) {
    PrintJsonLine(*webhook);
    return kSuccess;
  }
  std::printf("%s is told %s at %s\n", webhook->name().c_str(), Told(*webhook).c_str(),
              webhook->url().c_str());
  std::vector<std::vector<std::string>> rows = {
      {"delivery", "event", "job", "state", ">tries", "what went wrong"}};
  for (const v1::WebhookDelivery& delivery : webhook->deliveries()) {
    rows.push_back({delivery.id(), delivery.event(), delivery.job(),
                    absl::AsciiStrToLower(v1::WebhookDelivery::State_Name(delivery.state())),
                    absl::StrCat(">", delivery.attempts()), delivery.message()});
  }
  if (!webhook->deliveries().empty()) {
    PrintLines(Table(rows));
  }
  return kSuccess;
}

int RemoveWebhook(const std::string& name, const Globals& globals) {
  const std::string full = ResourceName("webhooks", name);
  if (const absl::Status status = globals.Connect()->DeleteWebhook(full); !status.ok()) {
    return Fail(status, globals);
  }
  globals.json ? PrintJsonLine(v1::DeleteWebhookResponse())
               : static_cast<void>(std::printf("%s is removed\n", full.c_str()));
  return kSuccess;
}

// Waits for what becomes of it the first time.
int TryWebhook(const std::string& name, const Globals& globals) {
  const std::unique_ptr<Client> client = globals.Connect();
  const std::string full = ResourceName("webhooks", name);
  const absl::StatusOr<v1::WebhookDelivery> begun = client->TestWebhook(full);
  if (!begun.ok()) {
    return Fail(begun.status(), globals);
  }
  v1::WebhookDelivery delivery = *begun;
  for (int ask = 0; ask < kMostAsks && delivery.attempts() == 0; ++ask) {
    client->Wait(kAskAfter);
    const absl::StatusOr<v1::Webhook> webhook = client->GetWebhook(full);
    if (!webhook.ok()) {
      return Fail(webhook.status(), globals);
    }
    for (const v1::WebhookDelivery& one : webhook->deliveries()) {
      delivery = one.id() == delivery.id() ? one : delivery;
    }
  }
  const bool delivered = delivery.state() == v1::WebhookDelivery::DELIVERED;
  if (globals.json) {
    PrintJsonLine(delivery);
  } else if (delivered) {
    std::printf("%s took the delivery %s\n", full.c_str(), delivery.id().c_str());
  } else {
    std::fprintf(stderr, "hone: %s did not take the delivery %s: %s\n", full.c_str(),
                 delivery.id().c_str(),
                 delivery.message().empty() ? "it still waits" : delivery.message().c_str());
  }
  return delivered ? kSuccess : kJobFailed;
}

}  // namespace

void AddWebhooks(CLI::App& app, Globals& globals) {
  CLI::App* webhooks = app.add_subcommand("webhooks", "Addresses that are told how jobs go.");
  webhooks->require_subcommand(1);
  webhooks->fallthrough();
  const auto options = std::make_shared<WebhookOptions>();
  CLI::App* add = AddCommand(*webhooks, globals, "add",
                             "Tell an address; prints the secret that deliveries are signed with "
                             "(HONE_WEBHOOK_SECRET gives one).",
                             [options, &globals] { return AddWebhook(*options, globals); });
  add->add_option("NAME", options->id, "what it is called")->required();
  add->add_option("URL", options->url, "http:// or https://")->required();
  add->add_option("--end", options->ends, "succeeded, failed or cancelled; default: every end")
      ->check(CLI::IsMember({"succeeded", "failed", "cancelled"}));
  add->add_option("--above", options->above, "METRIC=NUMBER: when it is first above that")
      ->check(CheckThreshold);
  add->add_option("--below", options->below, "METRIC=NUMBER: when it is first below that")
      ->check(CheckThreshold);
  add->add_option("--label", options->labels, "KEY=VALUE: only of jobs that have it")
      ->check([](const std::string& text) {
        return text.find('=') == std::string::npos ? "must be KEY=VALUE" : "";
      });
  AddCommand(*webhooks, globals, "list", "The webhooks there are.",
             [&globals] { return ListWebhooks(globals); });
  const auto name = std::make_shared<std::string>();
  const auto with_name = [&](const char* verb, const char* help, std::function<int()> body) {
    AddCommand(*webhooks, globals, verb, help, std::move(body))
        ->add_option("WEBHOOK", *name, "webhooks/<id>, or the id alone")
        ->required();
  };
  with_name("show", "One, with what became of its newest deliveries.",
            [name, &globals] { return ShowWebhook(*name, globals); });
  with_name("test", "Post a test, and say what became of it.",
            [name, &globals] { return TryWebhook(*name, globals); });
  with_name("remove", "Tell it nothing more, also what waits.",
            [name, &globals] { return RemoveWebhook(*name, globals); });
}

}  // namespace hone::client::cli
