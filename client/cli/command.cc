#include "client/cli/command.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/handbook.h"
#include "client/cli/settings.h"
#include "client/errors.h"
#include "client/jobfile/print.h"
#include "engine/base/traceparent.h"

namespace hone::client::cli {

std::unique_ptr<Client> Globals::Connect() const {
  if (!context_error.ok()) {
    throw CLI::ValidationError(std::string(context_error.message()));
  }
  Access complete = access;
  complete.tls = tls();
  if (const char* const trace = std::getenv("TRACEPARENT");
      trace != nullptr && IsTraceparent(trace)) {
    complete.traceparent = trace;
  }
  const char* const token = std::getenv("HONE_TOKEN");
  if (!token_file.empty()) {
    absl::StatusOr<std::string> read = ReadToken(token_file);
    if (!read.ok()) {
      throw CLI::ValidationError("--token-file", std::string(read.status().message()));
    }
    complete.token = *std::move(read);
  } else if (token != nullptr) {
    complete.token = token;
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::For(complete);
  if (!client.ok()) {
    throw CLI::ValidationError(std::string(client.status().message()));
  }
  return *std::move(client);
}

CLI::App* AddCommand(CLI::App& parent, Globals& globals, const std::string& name,
                     const std::string& description, std::function<int()> body) {
  CLI::App* command = parent.add_subcommand(name, description);
  // --server and --output are taken after the subcommand, too.
  command->fallthrough();
  command->callback([&globals, body = std::move(body)] { globals.exit_code = body(); });
  return command;
}

int Fail(const absl::Status& status, const Globals& globals) {
  const std::string message(status.message());
  const bool unreachable =
      IsBrokenLine(status) || (IsLineError(status) && absl::IsDeadlineExceeded(status));
  // What a server with TLS looks like from here.
  const bool closed = !globals.tls() && absl::StrContains(message, "Socket closed");
  const std::string text =
      unreachable ? absl::StrCat("cannot reach the server at ", globals.access.address, ": ",
                                 message, closed ? " (if the server has TLS, say --tls)" : "")
                  : message;
  std::fprintf(stderr, "hone: %s\n", text.c_str());
  if (globals.json) {
    const nlohmann::ordered_json error = {
        {"error", {{"code", absl::StatusCodeToString(status.code())}, {"message", text}}}};
    std::printf(
        "%s\n",
        error.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    std::fflush(stdout);
  }
  if (unreachable) {
    return kUnreachable;
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return kUsage;
    case absl::StatusCode::kCancelled:
      return kCancelled;
    default:
      return kJobFailed;
  }
}

int ExitCodeOf(const v1::Job& job) {
  switch (job.state()) {
    case v1::Job::SUCCEEDED:
      return kSuccess;
    case v1::Job::CANCELLED:
      return kCancelled;
    default:
      return job.end_reason() == v1::Job::INVALID_SPEC ? kUsage : kJobFailed;
  }
}

void PrintJsonLine(const google::protobuf::Message& message) {
  std::printf("%s\n", jobfile::PrintJson(message).c_str());
  std::fflush(stdout);
}

namespace {

// The command that tries the job's model; "": there is none.
std::string NextCommand(const v1::Job& job) {
  switch (job.spec().task_case()) {
    case v1::JobSpec::kImageGeneration:
      return absl::StrCat("generate ", job.model(), " --out FILE.png");
    case v1::JobSpec::kRecommendation:
      return absl::StrCat("predict ", job.model(), " --user ID");
    case v1::JobSpec::kForecasting:
      return absl::StrCat("predict ", job.model(), " --series FILE.csv");
    case v1::JobSpec::kLanguageModeling:
      return absl::StrCat("generate ", job.model(),
                          job.spec().data().has_chat() ? " --chat" : " --prompt TEXT");
    case v1::JobSpec::kPreferenceOptimization:
      return absl::StrCat("generate ", job.model(), " --chat");
    case v1::JobSpec::kTranslation:
      return absl::StrCat("predict ", job.model(), " --text TEXT");
    case v1::JobSpec::kTextEmbedding:
      return absl::StrCat("predict ", job.model(), " --text TEXT --nearest FILE.txt");
    case v1::JobSpec::kTokenTagging:
      return absl::StrCat("predict ", job.model(), " --text TEXT");
    case v1::JobSpec::kMaskedLanguageModeling:
      return absl::StrCat("predict ", job.model(), " --text \"TEXT [MASK] TEXT\"");
    case v1::JobSpec::kReinforcementLearning:
      return job.spec().reinforcement_learning().has_maze()
                 ? absl::StrCat("predict ", job.model(), " --maze FILE.txt")
                 : "";
    default:
      break;
  }
  if (job.spec().data().has_text()) {
    const bool pairs = job.spec().data().text().second_columns_size() > 0;
    return absl::StrCat("predict ", job.model(), " --text TEXT", pairs ? " --text2 TEXT" : "");
  }
  const bool table = job.plan().layers_size() > 0 && job.plan().layers(0).output_shape_size() == 1;
  return absl::StrCat("predict ", job.model(), table ? " --csv FILE.csv" : " PICTURE.png");
}

}  // namespace

void PrintModel(const v1::Job& job) {
  std::printf("\n model: %s\n", job.model().c_str());
  if (const std::string next = NextCommand(job); !next.empty()) {
    std::printf(" next:  hone %s\n", next.c_str());
  }
}

std::string ResourceName(const std::string& collection, const std::string& given) {
  const std::string prefix = absl::StrCat(collection, "/");
  return absl::StartsWith(given, prefix) ? given : absl::StrCat(prefix, given);
}

namespace {

// A command or subcommand is missing, or is none: says which there are. False: it is not that.
bool ExplainMissingCommand(const CLI::App& app) {
  const CLI::App* at = &app;
  std::string path = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    absl::StrAppend(&path, " ", at->get_name());
  }
  std::vector<std::string> names;
  for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (names.empty()) {
    return false;
  }
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  std::fprintf(stderr, "hone: %s; there are: %s. `%s --help` explains them\n",
               rest.empty()
                   ? absl::StrCat("`", path, "` needs a command").c_str()
                   : absl::StrCat("there is no command `", path, " ", rest.front(), "`").c_str(),
               absl::StrJoin(names, ", ").c_str(), path.c_str());
  return true;
}

}  // namespace

void Declare(CLI::App& app, Globals& globals) {
  app.set_version_flag("--version", "hone " HONE_VERSION);
  app.require_subcommand(1);
  AddSettings(app, globals);
  const auto output = std::make_shared<std::string>("text");
  app.add_option("--output", *output,
                 "text, or json: one JSON object a line, the last one the result")
      ->check(CLI::IsMember({"text", "json"}))
      // With it the option's value lives as long as the option.
      ->each([&globals, output](const std::string& value) { globals.json = value == "json"; });
  AddRun(app, globals);
  AddPlan(app, globals);
  AddSubmit(app, globals);
  AddJobs(app, globals);
  AddWatch(app, globals);
  AddMetrics(app, globals);
  AddData(app, globals);
  AddModels(app, globals);
  AddPredict(app, globals);
  AddGenerate(app, globals);
  AddEvaluate(app, globals);
  AddSweep(app, globals);
  AddSweeps(app, globals);
  AddQuota(app, globals);
  AddWebhooks(app, globals);
  AddAdmin(app, globals);
  AddAudit(app, globals);
  AddTop(app, globals);
  AddConfig(app, globals);
  AddLogin(app, globals);
  AddCompletion(app, globals);
}

int Main(int argc, char** argv) {
  // The errors of calls say what there is to say, in their own words.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // A reader that has gone is seen as an error of the write, and a worker that has gone as the end
  // of its pipe.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app(kProgram, "hone");
  Interrupts interrupts;
  Globals globals;
  globals.interrupts = &interrupts;
  Declare(app, globals);
  if (const std::optional<int> code = TellShell(app, argc, argv); code.has_value()) {
    return *code;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError) &&
        ExplainMissingCommand(app)) {
      return kUsage;
    }
    // --help is no error, everything else is one of usage.
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  return globals.exit_code;
}

}  // namespace hone::client::cli
