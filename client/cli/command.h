#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/cli/interrupts.h"
#include "client/client.h"
#include "hone/v1/job_resource.pb.h"

namespace hone::client::cli {

// What the shell is told.
enum ExitCode {
  kSuccess = 0,
  kJobFailed = 1,  // or anything else that went wrong on the way
  kUsage = 2,      // a wrong command line or job file, a name that does not exist
  kUnreachable = 3,
  kCancelled = 4,
};

// What every command is told.
struct Globals {
  Access access;           // but for the token, which Connect reads
  std::string token_file;  // "": the token is HONE_TOKEN's, if it has one
  std::string context;     // that was named, or is the current one; "": none counts
  // Why a context that was to count cannot; Connect says it.
  absl::Status context_error = absl::OkStatus();
  bool json = false;
  int exit_code = kSuccess;          // set by the command that ran
  Interrupts* interrupts = nullptr;  // Main's; never null while a command runs

  bool tls() const {
    return access.tls || !access.ca_file.empty() || !access.certificate_file.empty();
  }
  // Throws CLI::ValidationError, which Main prints: what was said of TLS or the token is wrong.
  std::unique_ptr<Client> Connect() const;
};

// Makes a subcommand that every shared option works on. `body` runs when it was given and returns
// the exit code.
CLI::App* AddCommand(CLI::App& parent, Globals& globals, const std::string& name,
                     const std::string& description, std::function<int()> body);

// All of the program: its options, which `globals` gets, and its commands.
void Declare(CLI::App& app, Globals& globals);

// One for each subcommand, in its own file. Globals must outlive the app.
void AddRun(CLI::App& app, Globals& globals);
void AddPlan(CLI::App& app, Globals& globals);
void AddSubmit(CLI::App& app, Globals& globals);
void AddJobs(CLI::App& app, Globals& globals);
void AddWatch(CLI::App& app, Globals& globals);
void AddMetrics(CLI::App& app, Globals& globals);
void AddData(CLI::App& app, Globals& globals);
void AddModels(CLI::App& app, Globals& globals);
void AddPredict(CLI::App& app, Globals& globals);
void AddGenerate(CLI::App& app, Globals& globals);
void AddEvaluate(CLI::App& app, Globals& globals);
void AddSweep(CLI::App& app, Globals& globals);
void AddSweeps(CLI::App& app, Globals& globals);
void AddTop(CLI::App& app, Globals& globals);
void AddConfig(CLI::App& app, Globals& globals);
void AddLogin(CLI::App& app, Globals& globals);  // and logout
void AddCompletion(CLI::App& app, Globals& globals);
void AddQuota(CLI::App& app, Globals& globals);
void AddModelImport(CLI::App& models, Globals& globals);  // of `hone models`
void AddArtifacts(CLI::App& jobs, Globals& globals);      // of `hone jobs`
void AddCompare(CLI::App& jobs, Globals& globals);        // of `hone jobs`

// Says what is wrong (on stderr; as a JSON object on stdout, too, with --output json) and returns
// the exit code for it.
int Fail(const absl::Status& status, const Globals& globals);

// The exit code of a job that has ended.
int ExitCodeOf(const v1::Job& job);

// One JSON object in one line on stdout, at once.
void PrintJsonLine(const google::protobuf::Message& message);

// The model that a job made, and how it is asked.
void PrintModel(const v1::Job& job);

// `jobs/x` from `jobs/x` or `x`.
std::string ResourceName(const std::string& collection, const std::string& given);

// The whole command line; returns the exit code.
int Main(int argc, char** argv);

}  // namespace hone::client::cli
