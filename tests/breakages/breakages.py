#!/usr/bin/env python3
"""breakages.py BATCH|--check|--clean|--list: each fault of the server that was mended has a test that fails without the mend.

BATCH (1 to 6): breaks this worktree by the batch's edits, builds the tests that judge them, runs each one's filter for at most 90
seconds, and says CAUGHT or MISSED for each. The files are restored, whatever happens. `--only NAME…` after BATCH takes some of a batch.
--check: each old text occurs exactly once. --clean: builds unbroken and runs all filters, which must pass. JOBS: as in ninja -j.
Nothing may be uncommitted in a file that is broken."""
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree

ROOT = os.environ.get("ROOT", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = f"{ROOT}/build/release"
SECONDS = 90
ARTIFACTS, STORE, SCHEDULER, RPC = "server_artifacts_test", "server_store_test", "server_scheduler_test", "server_rpc_test"
CALLS, HONED, WORKER, NET = "server_calls_test", "server_honed_test", "server_worker_test", "server_net_test"
RETENTION, FAILURE = "server_retention_test", "server_failure_test"

# batch: [(name, the fault it stands for, file, old, new, test, filter)]. In a batch every file is edited once, and no edit makes another's
# test fail.
BATCHES = {1: [], 2: [], 3: [], 4: [], 5: [], 6: []}


def add(batch, name, fault, file, old, new, test, wanted):
    BATCHES[batch].append((name, fault, file, old, new, test, wanted))


DATA, START, DOOR = "server/artifacts/data_directory.cc", "server/scheduler/start_jobs.cc", "server/net/door.cc"

# 1: a folder that cannot be read, iterators that throw, checkpoints below the row's step, retention against a retry
add(1, "latest-attempt", "1 LatestAttempt answers 0 on EMFILE", DATA,
    "  HONE_RETURN_IF_ERROR(names.status());\n  int latest = 0;", "  if (!names.ok()) {\n    return 0;\n  }\n  int latest = 0;",
    ARTIFACTS, "FaultyDiskTest.TheNextAttemptIsNotMadeEmpty")
add(2, "inherit", "1 InheritCheckpoints inherits nothing on EMFILE", DATA,
    "  HONE_ASSIGN_OR_RETURN(const Checkpoints checkpoints, CheckpointsOf(from));\n",
    "  const Checkpoints checkpoints = CheckpointsOf(from).value_or(Checkpoints());\n",
    ARTIFACTS, "FaultyDiskTest.ARetryDoesNotBeginWithoutTheCheckpointsOfItsJob")
add(3, "find-checkpoints", "1 retention and retries: no checkpoints on EMFILE", DATA,
    "  HONE_ASSIGN_OR_RETURN(const Checkpoints checkpoints,\n"
    "                        CheckpointsOf(absl::StrCat(root_, \"/runs/\", job_id)));\n",
    "  const Checkpoints checkpoints =\n      CheckpointsOf(absl::StrCat(root_, \"/runs/\", job_id)).value_or(Checkpoints());\n",
    ARTIFACTS, "FaultyDiskTest.ItIsNotSaidThatAJobHasNoCheckpoints")
add(1, "throwing-iterator", "1 an iterator that throws ends honed", "server/artifacts/entries.cc",
    "!error && it != end; it.increment(error)) {", "!error && it != end; ++it) {",
    ARTIFACTS, "FaultyDiskTest.ADiskThatFailsWhileAFolderIsListedIsAnErrorThatIsNotThrown")
add(1, "checkpoint-step-untold", "1 the worker is not told the step of the row's checkpoint", "server/scheduler/attempt.cc",
    "  request.set_checkpoint_step(job.checkpoint_step);\n", "",
    SCHEDULER, "SchedulerTest.AWorkerIsToldOfTheNewestCheckpointOfItsJob")
add(1, "checkpoint-missing", "1 a worker below the row's checkpoint goes on", "engine/train/checkpoints.cc",
    "if (config.known_checkpoint <= (any ? steps->back() : 0)) {",
    "if (config.known_checkpoint <= (any ? steps->back() : config.known_checkpoint)) {",
    WORKER, "WorkerTest.ACheckpointThatIsMissingEndsTheRunAsDataLoss")
add(1, "retention-before-row", "1 retention against a RetryJob acknowledged in between", "server/retention/retention.cc",
    "if (files == CheckpointFiles::kWhole) {", "if (files == CheckpointFiles::kUnfinished) {",
    RETENTION, "RetentionNeedsTest.ARetryThatComesAfterTheCheckpointsWereForgottenIsRefused")
add(2, "retention-of-needed", "1 retention takes the checkpoints of a retry that waits", "server/store/sqlite_removal.cc",
    "    HONE_RETURN_IF_ERROR(CheckNobodyGoesOnFrom(id));\n    return forget_checkpoints_", "    return forget_checkpoints_",
    RETENTION, "RetentionNeedsTest.CheckpointsThatAWaitingRetryBeginsWithStay")
add(3, "retry-of-forgotten", "1 a retry of checkpoints that were forgotten is taken", "server/store/sqlite_jobs.cc",
    "if (old.job.checkpoints_removed) {", "if (old.job.checkpoint_step < 0) {",
    STORE, "*NoJobBeginsWithCheckpointsThatWereForgotten*")

# seen in use: descriptors, connections, readiness, probes
add(2, "descriptor-limit", "seen 1, 1: RLIMIT_NOFILE is not raised", "server/main.cc",
    "limit.rlim_cur < kEnough", "limit.rlim_cur > limit.rlim_max", HONED, "HonedTest.TakesAsManyDescriptorsAsItMayHave")
add(1, "silent-unbounded", "seen 1: connections that wait have no bound", DOOR,
    "if (waiting_.size() > options_.most_waiting) {", "if (waiting_.size() > options_.most_waiting + 100'000) {",
    NET, "DoorTest.WhoIsSilentKeepsNobodyOut")
add(2, "emfile-for-ever", "seen 1: after EMFILE nobody is taken any more", DOOR,
    "          MakeRoom(listener);\n          return true;", "          pause_until_ = absl::InfiniteDuration();\n          return true;",
    NET, "DoorTest.ItGoesOnWhenThereAreDescriptorsAgain")
add(3, "listener-lost", "seen 1: a listener that is lost is not made again", DOOR,
    "        case Accepted::kBroken:\n          return false;", "        case Accepted::kBroken:\n          return true;",
    NET, "DoorTest.AListeningSocketThatFailsIsMadeAnew")
add(4, "probes-behind-idle", "seen 2, 9: who probes is sent away while others are silent", DOOR,
    "            CloseOldest();\n          }\n          break;", "            waiting_.pop_back();\n          }\n          break;",
    HONED, "HonedTest.SilentConnectionsToTheMetricsPortHoldUpNoProbe")
add(3, "probes-behind-scrapes", "9 probes wait for scrapes", "server/metrics/prometheus.cc",
    'if (request.known && request.path == "/metrics") {', "if (request.known) {", RPC, "SlowListsTest.ScrapesHoldUpNoProbe")
add(5, "connections-unbounded", "seen 1, 1: clients have no bound and take all descriptors", "server/rpc/connections.cc",
    "    if (given_.size() >= limits_.open) {\n      return hooks_.refused();\n    }\n", "",
    HONED, "HonedTest.ManyClientsLeaveTheServerTheDescriptorsThatItWorksWith")
add(6, "ready-unasked", "seen 1: ready, although no new call is answered", "server/rpc/server.cc",
    "return ready_ && self_check_->answered();", "return ready_;", HONED, "HonedTest.WhereNoNewClientIsAnsweredItIsNotReady")

# 2 and seen 3: a head of the queue that cannot be started
add(1, "threads-above", "seen 3, 2: a job with more threads than the server has holds up the queue", START,
    "if (job.threads > threads) {", "if (job.threads > threads + 1000) {",
    SCHEDULER, "SchedulerTest.AJobThatAsksForMoreThreadsThanThereAreHoldsUpNoOther")
add(2, "memory-above", "2: a job that needs more memory than its share is started", START,
    "if (memory_bytes > 0 && needed > memory_bytes) {", "if (memory_bytes < 0 && needed > memory_bytes) {",
    SCHEDULER, "SchedulerTest.AJobThatNeedsMoreMemoryThanItsShareHoldsUpNoOther")
add(3, "dataset-gone", "2: a job whose data set is gone is tried again and again", START,
    "if (absl::IsFailedPrecondition(prepared.options.status())) {", "if (absl::IsDataLoss(prepared.options.status())) {",
    SCHEDULER, "SchedulerTest.AJobWhoseDataSetIsGoneIsHeldWithTheReasonAndHoldsUpNoOther")
add(4, "retry-threads", "seen 3: RetryJob copies threads unchecked", "server/rpc/retry_job.cc",
    "if (jobs::ThreadsOf(old.spec) > deps.config.threads) {", "if (jobs::ThreadsOf(old.spec) > 1000 * deps.config.threads) {",
    RPC, "FewerThreadsTest.ARetryThatAsksForMoreThreadsThanThereAreIsRefused")
add(4, "starvation", "2: small jobs overtake a large one for ever", "server/store/sqlite_queue.cc",
    '"ORDER BY priority DESC, row LIMIT 1"', '"ORDER BY threads, priority DESC, row LIMIT 1"',
    STORE, "*AJobThatWaitsForThreadsIsNotOvertaken*")

# 3: a job that takes the server down
add(3, "recoveries-free", "3: recoveries do not count", "server/store/sqlite_queue.cc",
    ".recoveries = row->job.recoveries + 1};", ".recoveries = row->job.recoveries};",
    STORE, "*AJobThatTakesTheServerDownAgainAndAgainEndsAsPoison*")
add(1, "recoveries-for-ever", "3: a newer checkpoint does not forgive recoveries", "server/store/sqlite_jobs.cc",
    '       "recoveries = iif(?4 > checkpoint_step, 0, recoveries), "\n', "",
    STORE, "*RecoveriesAreForgivenWhereTheJobHasANewerCheckpoint*")
add(4, "suspect-beside-others", "3: a suspect is started beside others", START,
    "const bool waits = next->recoveries >= store::kRecoveriesBeforeAlone &&", "const bool waits = next->recoveries < 0 &&",
    SCHEDULER, "SchedulerTest.AJobThatMayTakeTheServerDownWaitsUntilNothingRuns")
add(5, "others-beside-suspect", "3: others are started beside a suspect", START,
    "return job.recoveries >= store::kRecoveriesBeforeAlone;", "return job.recoveries < 0;",
    SCHEDULER, "SchedulerTest.AJobThatMayTakeTheServerDownRunsAlone")

# 4: limits of workers
add(2, "memory-train", "4: TRAIN has no limit of memory", "server/scheduler/attempt.cc",
    "if (options.memory_bytes > 0) {", "if (options.memory_bytes < 0) {",
    SCHEDULER, "SchedulerTest.AJobsWorkerMayUseItsShareOfTheMemoryAndALittleToReserve")
add(2, "memory-plan-dataset", "4: PLAN and DATASET have no limit of memory", "server/scheduler/worker_calls.cc",
    "if (memory_bytes_ > 0) {", "if (memory_bytes_ < 0) {",
    SCHEDULER, "WorkerCallsTest.EachWorkerMayUseSoMuchMemoryAndALittleToReserve")
add(3, "memory-serve", "4: SERVE has no limit of memory", "server/predict/predictor_process.cc",
    "if (memory_bytes > 0) {", "if (memory_bytes < 0) {",
    "server_predict_test", "ModelCacheTest.AProcessMayUseSoMuchMemoryAndALittleToReserve")
add(4, "memory-unheeded", "4: the worker sets itself no limit", "server/worker/main.cc",
    "if (bytes > 0) {", "if (bytes < 0) {", WORKER, "WorkerTest.WhatNeedsMoreThanItsMemoryEndsAsThatAndNotByASignal")
add(3, "memory-blame", "4: another job's worker is charged for a lack of memory", "server/scheduler/decide.cc",
    "outcome.exit.peak_resident_bytes >= share;", "outcome.exit.peak_resident_bytes >= std::min<int64_t>(share, 0);",
    SCHEDULER, "Decide.WhoHeldLessThanItsShareIsNotChargedForAKillForLackOfMemory")
add(3, "landlock", "4: a worker writes outside its folder", "server/worker/confine.cc",
    "if (abi < 1) {", "if (abi < 1000) {", WORKER, "WorkerTest.CannotWriteOutsideItsFolder")
add(2, "network", "4: a worker that downloads nothing has the network", "server/worker/confine.cc",
    "const bool network = worker_process::MayDownload(request);",
    "const bool network = worker_process::MayDownload(request) || request.threads() >= 0;",
    WORKER, "*HasNoNetworkWhereItDownloadsNothing*")
add(1, "network-for-uploads", "4: who learns from an upload may download", "server/worker_process/confinement.cc",
    "return reads_examples && request.dataset_path().empty();", "return reads_examples;",
    "server_worker_process_test", "MayDownload.OnlyWhoLearnsFromANameOfTheCatalogue")
add(4, "proxy", "4: every worker inherits the proxy's password", "server/worker_process/worker_process.cc",
    "(network && std::ranges::find(kNetworkNames", "((network || !name.empty()) && std::ranges::find(kNetworkNames",
    "server_worker_process_test", "WorkerEnvironment.NamesProxiesOnlyToWhoNeedsTheNetwork")
add(5, "landlock-metric", "4: Landlock's level is no metric", "server/rpc/server.cc",
    '    registry_.Set(Metric::kWorkerConfinement, {"files"}, worker_process::LandlockAbi());\n', "",
    RPC, "RpcMetricsTest.HowFarTheKernelConfinesWorkersIsSaid")

# 5: bytes, not counts
add(1, "bus-of-a-job", "5: events that are held of a job have no bound in bytes", "server/metrics/bus.cc",
    "while (job.newest.size() > kHeldPerJob || job.bytes > kHeldBytesPerJob) {", "while (job.newest.size() > kHeldPerJob) {",
    CALLS, "BusBytes.AJobHoldsNoMoreThanItsShareAndTheNewestStay")
add(2, "bus-of-all", "5: events that are held of all jobs have no bound in bytes", "server/metrics/bus.cc",
    "while (bytes_ > kHeldBytes) {", "while (bytes_ > 1000 * kHeldBytes) {",
    CALLS, "BusBytes.AllJobsTogetherHoldNoMoreThanTheirShareAndTheOneQuietLongestIsForgotten")
add(2, "watchers-events", "5: what watchers are sent has no bound in bytes", "server/rpc/watch_job.cc",
    "  answer_share_ = budget_->Take(AsAnswer(sent));", "  answer_share_ = budget_->Charge(AsAnswer(sent));",
    CALLS, "JobWatchTest.AThousandWatchersOfAMegabyteHoldNoMoreThanTheBudgetTogether")
add(3, "watchers-log", "5: what watchers read of the log has no bound in bytes", "server/rpc/watch_job.cc",
    "next_share_ = budget_->Take(bytes);", "next_share_ = budget_->Charge(bytes);",
    CALLS, "JobWatchTest.WhatManyWatchersReadOfTheLogHasABoundTogether")
add(1, "histories", "5: histories are bounded in points alone", "server/rpc/metric_points.cc",
    "while (size() > kMostPoints || values_ > kMostValues) {", "while (size() > kMostPoints) {",
    CALLS, "MetricPoints.ManyCurvesAreHeldInNoMoreMemoryThanFew")
add(3, "plans", "5: plans that are kept have no bound in bytes", "server/rpc/plan_cache.cc",
    "while (bytes_ > capacity_) {", "while (bytes_ > 1000 * capacity_) {",
    CALLS, "PlanCache.HoldsNoMoreBytesThanItMayAndThePlansUsedLast")
add(1, "unary-calls", "5: concurrent unary calls have no bound in bytes", "server/rpc/unary.h",
    "reactor_->request = deps_.budget.Take(bytes_);", "reactor_->request = deps_.budget.Charge(bytes_);",
    RPC, "SlowListsTest.LargeRequestsThatWaitHaveABoundInBytes")

# 6: unknown fields
add(3, "unknown-fields", "6: unknown fields are not seen", "server/jobs/unknown_fields.cc",
    "!unknown.empty()) {", "unknown.field_count() < 0) {",
    "server_validate_test", "UnknownFields.EachIsNamedByThePathOfItsMessageAndItsNumber")
add(5, "unknown-fields-of-calls", "6: calls take unknown fields", "server/rpc/unary.h",
    "    asked_ = jobs::CheckFieldsAreKnown(request);\n", "", "ctest:e2e_rpc_matrix", "")

# 7: readers
add(3, "labels", "7: a list takes any number of labels", "server/store/sqlite_lists.cc",
    "if (what.labels.size() > ListJobs::kMostLabels) {", "if (what.labels.size() > 1000 * ListJobs::kMostLabels) {",
    STORE, "*MoreLabelsThanAListMayHaveAreRefused*")
add(4, "page-bytes", "7: a page has no bound in bytes", "server/store/sqlite_lists.cc",
    "if (full || (!page.items.empty() && bytes > what.max_bytes)) {", "if (full || (!page.items.empty() && bytes < 0)) {",
    RPC, "RpcTest.APageEndsBeforeItIsLargerThanAClientTakes")
add(3, "progress-handler", "7: a read has no deadline", "server/store/sqlite.cc",
    "->until_ ? 1 : 0;", "->until_ + absl::Hours(1) ? 1 : 0;",
    STORE, "SqliteStoreTest.AReadThatTakesTooLongIsGivenUpAndTheNextOneIsNot")
add(2, "lists-on-grpcs-threads", "7: slow lists hold gRPC's threads", "server/rpc/services.cc",
    ".On(deps_.lists, *request, rpc::ListJobs);", ".Now(*request, rpc::ListJobs);",
    RPC, "SlowListsTest.HoldUpNoCallThatTakesAMoment")

# 8: the scheduler's thread
add(5, "publish-on-the-loop", "8: the scheduler's thread hashes models", "server/scheduler/publish.cc",
    """  files_.Submit([this, path, job = running.attempt->job().id,
                 model = running.attempt->job().makes_model,
                 folder = running.attempt->run_directory()] {
    Published published = PublishFiles(job, model, folder, path);
    const std::lock_guard lock(mutex_);
    published_.push_back(std::move(published));
    Wake();  // with the lock, as in Prepare
  });
""", """  Published published =
      PublishFiles(running.attempt->job().id, running.attempt->job().makes_model,
                   running.attempt->run_directory(), path);
  const std::lock_guard lock(mutex_);
  published_.push_back(std::move(published));
  Wake();
""", SCHEDULER, "SchedulerTest.AModelThatIsPublishedSlowlyHoldsUpNoOtherJob")
add(6, "prepare-on-the-loop", "8: the scheduler's thread copies checkpoints", START,
    """  files_.Submit([this, job] {
    Prepared prepared{.job = job, .options = PrepareAttempt(job)};
    const std::lock_guard lock(mutex_);
    prepared_.push_back(std::move(prepared));
    Wake();  // with the lock: who takes the last result may end the scheduler
  });
""", """  Prepared prepared{.job = job, .options = PrepareAttempt(job)};
  const std::lock_guard lock(mutex_);
  prepared_.push_back(std::move(prepared));
  Wake();
""", SCHEDULER, "SlowFolderTest.HoldsUpNoOtherJob")

# 10 to 12: evaluations, codes, lengths
add(3, "evaluation-of-many-classes", "10: an evaluation above 1,000 classes is one event, which is lost",
    "server/worker/evaluation_file.cc", "if (evaluation.ByteSizeLong() <= kMostEvaluationBytes) {",
    "if (evaluation.ByteSizeLong() <= (size_t{1} << 40)) {",
    FAILURE, "EvaluationFileTest.OfManyClassesTheEventHasTheWorstAndTheFileHasAll")
add(1, "memory-by-word", "11: OUT_OF_MEMORY by the word in a path", "server/worker/failure.cc",
    "return IsOutOfMemory(status) ?", 'return status.message().find("memory") != absl::string_view::npos ?',
    FAILURE, "Failure.AFullDiskIsNoLackOfMemoryWhateverItsPathIsCalled")
add(1, "names-of-metrics", "12: names of metrics have any length", "server/scheduler/report.cc",
    "it = it->first.size() > kMaxName ?", "it = it->first.size() > 1000 * kMaxName ?",
    SCHEDULER, "ReportBuffer.ANameThatIsTooLongGoesWithItsValue")
add(2, "names-of-layers", "12: names of layers and classes have any length", "server/jobs/names.cc",
    "if (name->size() > kMaxName) {", "if (name->size() > 1000 * kMaxName) {",
    SCHEDULER, "ReportBuffer.CutsNamesOfLayersAndClassesThatAreTooLong")
add(4, "messages", "12: a worker's message has any length", "server/scheduler/decide.cc",
    "CutUtf8(failure.message(), kMostMessage)", "CutUtf8(failure.message(), 1000 * kMostMessage)",
    SCHEDULER, "Decide.AWorkersMessageIsCut")

# 13: rows before files, durable folders, the clock
add(3, "draft", "13: a model's folder is made before the store knows of it", "server/scheduler/publish.cc",
    "  const absl::Status drafted =\n"
    "      writer_.RunStatus([&](store::JobStore& store) { return store.DraftModel(model_id); });\n",
    "  const absl::Status drafted = absl::OkStatus();\n",
    SCHEDULER, "SchedulerFaultsTest.TheStoreKnowsAModelsFolderBeforeItKnowsTheEndOfTheJob")
add(1, "drafts-stay", "13: what a kill left of a model is not collected", "server/removal/remover.cc",
    "  HONE_RETURN_IF_ERROR(Remove(drafts));\n", "",
    RETENTION, "RemoverTest.AModelWhoseJobsEndWasNeverStoredIsGoneBeforeAnythingIsPublished")
add(4, "runs-stay", "13: what a kill left of a deleted job is not collected", "server/store/sqlite_removal.cc",
    "return ListForRemoval({.kind = Folder::Kind::kRun, .id = id});", "return absl::OkStatus();",
    RETENTION, "RemoverTest.WhatAKilledServerForgotAndDidNotRemoveGoesAtTheNextStart")
add(4, "folders-not-synced", "13: new folders are not synced into their parents", DATA,
    'return SyncDirectory(above.empty() ? "." : above.string());', "return absl::OkStatus();",
    ARTIFACTS, "FaultyDiskTest.ANewFolderIsDurableInTheOneAboveIt")
add(3, "clock", "13: the clock is trusted at once", "server/retention/clock.cc",
    "return steady - even_since_->steady >= kTrustAfter;", "return steady >= even_since_->steady;",
    RETENTION, "ClockTrust.AClockIsNotBelievedAtTheStart")
add(2, "clock-unasked", "13: retention does not ask whether the clock is trusted", "server/retention/retention.cc",
    "Sweep(clock.Trusts(now, SteadyNow()) ? std::optional(now) : std::nullopt);",
    "clock.Trusts(now, SteadyNow());\n    Sweep(now);", RETENTION, "RetentionTest.TheFirstRoundAfterAStartBelievesNoClock")

# 15
add(2, "catalogue-name", "15: an upload takes the name of the catalogue", "server/datasets/datasets.cc",
    "if (IsCatalogName(header.dataset_id())) {", "if (IsCatalogName(header.dataset_id()) && header.bytes() < 0) {",
    "server_datasets_test", "DatasetServiceTest.ANameOfTheCatalogueIsRefused")
add(2, "retry-request-id", "15: `hone jobs retry` sends no request_id", "client/cli/jobs.cc",
    "  request.set_request_id(NewRequestId());\n", "",
    "client_server_commands_test", "JobsCommands.RetryComesAgainWhenTheLineBreaksWithTheSameRequestId")
add(1, "sighup", "15: SIGHUP ends honed at once", "server/main.cc",
    "  sigaddset(&signals, SIGHUP);  // a terminal that is closed\n", "", HONED, "HonedTest.AClosedTerminalDrainsLikeSigterm")
add(2, "unknown-dataset", "15: an unknown data set is no wrong spec", "server/worker/failure.cc",
    "(absl::IsInvalidArgument(status) || absl::IsNotFound(status))", "absl::IsInvalidArgument(status)",
    WORKER, "WorkerTest.ADataSetThatNobodyKnowsIsABadSpec")
add(3, "wrong-spec-exit-code", "15: a wrong spec ends `hone run` with 1", "client/cli/command.cc",
    "return job.end_reason() == v1::Job::INVALID_SPEC ? kUsage : kJobFailed;", "return kJobFailed;",
    "client_run_test", "RunTest.ADataSetThatNobodyKnowsEndsWithTwo")

# A listing that breaks off, and who removes files
add(5, "published-in-part", "a disk that fails while a model's files are listed publishes a part of them", DATA,
    '  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot list ", directory)));\n', "",
    ARTIFACTS, "FaultyDiskTest.AModelIsNotPublishedWithAPartOfItsFiles")
add(6, "throwing-copy", "fs::copy throws where a checkpoint's folder cannot be read, which ends honed", DATA,
    "    status = LinkTree(checkpoints.folder, attempt + \"/checkpoints\");\n",
    "    std::error_code failed;\n    fs::copy(checkpoints.folder, attempt + \"/checkpoints\", fs::copy_options::recursive, failed);\n"
    "    status = ToStatus(failed, checkpoints.folder);\n    (void)LinkTree;\n",
    ARTIFACTS, "FaultyDiskTest.ACheckpointThatCannotBeReadToItsEndIsAnErrorThatIsNotThrown")
add(1, "model-removed-by-the-writer", "the store's writer removes the files of a model that is deleted", "server/rpc/models.cc",
    "        deps.remover.Wake();\n", "        deps.directory.RemoveModel(*deleted).IgnoreError();\n        deps.remover.Wake();\n",
    RPC, "SlowRemovalTest.NobodyWaitsForTheFilesOfAModelThatIsDeleted")
add(2, "job-removed-by-the-writer", "the store's writer removes the folders of a job that is deleted", "server/rpc/jobs.cc",
    "        deps.remover.Wake();\n", "        deps.directory.RemoveRun(*deleted).IgnoreError();\n        deps.remover.Wake();\n",
    RPC, "SlowRemovalTest.NobodyWaitsForTheFilesOfAJobThatIsDeleted")
add(3, "data-set-removed-by-grpc", "gRPC's threads remove the files of data sets that are deleted", "server/rpc/datasets.cc",
    "  OnExecutor<v1::DeleteDatasetResponse>(\n"
    "      deps, done,\n"
    "      [&deps, request, project = caller.project]() -> absl::StatusOr<v1::DeleteDatasetResponse> {\n"
    "        HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));\n"
    "        HONE_RETURN_IF_ERROR(deps.datasets.Delete(project, id, request.force()));\n"
    "        return v1::DeleteDatasetResponse();\n"
    "      });\n",
    "  const auto work = [&]() -> absl::StatusOr<v1::DeleteDatasetResponse> {\n"
    "    HONE_ASSIGN_OR_RETURN(const std::string id, datasets::DatasetId(request.name()));\n"
    "    HONE_RETURN_IF_ERROR(deps.datasets.Delete(caller.project, id, request.force()));\n"
    "    return v1::DeleteDatasetResponse();\n"
    "  };\n"
    "  done(work());\n",
    RPC, "SlowRemovalTest.WhoDeletesADataSetWaitsAloneForItsFile")
add(4, "doctor-says-mended", "doctor says that it mended what it could not remove", "server/doctor/doctor.cc",
    "      mended = mend && status.ok();\n", "      mended = mend;\n",
    "server_doctor_test", "DoctorTest.WhatCannotBeMendedIsNotSaidToBe")

# Projects.
add(1, "turn-of-the-absent", "who was away saves up turns and has the machine alone when it is back", "server/store/fair_queue.h",
    "return std::max(served, contender.used + contender.running / contender.weight);",
    "return contender.used + contender.running / contender.weight + 0 * served;",
    STORE, "*WhoWasAwayGetsNoMoreThanItsPartWhenItIsBack*")
add(2, "another-projects-job", "a name of another project's leads to it", "server/rpc/admit.cc",
    "*project == caller.project ? absl::OkStatus()", "!project->empty() ? absl::OkStatus()",
    RPC, "RpcProjectsTest.AJobOfAnotherProjectIsAnsweredAsOneThatDoesNotExist")
add(3, "bytes-for-their-sha256", "who names a SHA-256 gets the bytes that another project has sent", "server/store/sqlite_datasets.cc",
    "AND bytes = ? AND project = ? LIMIT 1", "AND bytes = ? AND ? != '' LIMIT 1",
    STORE, "*NobodyGetsAnothersBytesForTheirSha256*")

# What ctest runs needs these.
OF_CTEST = {"ctest:e2e_rpc_matrix": ["honed", "hone-worker", "descriptors"]}


def targets(breakages):
    wanted = set()
    for _, _, _, _, _, test, _ in breakages:
        wanted.update(OF_CTEST[test] if test.startswith("ctest:") else [test])
    return sorted(wanted)


def build(wanted):
    """The lines of errors; none: all is built."""
    jobs = ["-j", os.environ["JOBS"]] if "JOBS" in os.environ else []
    run = subprocess.run(["ninja", "-k", "0", *jobs, "-C", BUILD, *wanted], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode == 0:
        return []
    marks = (" error: ", "FAILED: ", "undefined reference", "ninja: error", "fatal error")
    return [line for line in run.stdout.splitlines() if any(mark in line for mark in marks)] or run.stdout.splitlines()[-5:]


def first_failure(text):
    lines = text.splitlines()
    for marks in ((": Failure", "FAIL: ", "ERROR: "), ("[  FAILED  ]", "terminate called", "Error", "Failed")):
        for i, line in enumerate(lines):
            if any(mark in line for mark in marks):
                return " | ".join(part.strip() for part in lines[i:i + 4] if part.strip())[:300]
    return (lines[-1] if lines else "no output")[:300]


def judge(test, wanted):
    """(verdict, words): passed, failed, skipped or none, where the filter finds no test."""
    folder = f"{BUILD}/tests"
    report = f"/tmp/breakages-{os.getpid()}.xml"
    if test.startswith("ctest:"):
        command = ["ctest", "--test-dir", BUILD, "-R", f"^{test[6:]}$", "--output-on-failure", "--no-tests=error"]
    else:
        command = [f"{folder}/{test}", f"--gtest_filter={wanted}", f"--gtest_output=xml:{report}"]
    if os.path.exists(report):
        os.unlink(report)
    try:
        process = subprocess.Popen(command, cwd=folder, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    except OSError as error:
        return "none", str(error)
    try:
        text, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            text, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            text = ""  # something that it began still has the pipe
        said = first_failure(text) if ": Failure" in text else ""
        return "failed", f"not done after {SECONDS} s {said}".strip()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode != 0:
        return "failed", first_failure(text)
    if test.startswith("ctest:"):
        return ("skipped", "ctest skipped it") if "Skipped" in text else ("passed", "")
    cases = xml.etree.ElementTree.parse(report).getroot().findall(".//testcase")
    os.unlink(report)
    if not cases:
        return "none", f"no test is called {wanted}"
    if all(case.find("skipped") is not None or case.get("result") == "skipped" for case in cases):
        return "skipped", next((line for line in text.splitlines() if "Skipped" in line), "")
    return "passed", ""


def read(file):
    with open(f"{ROOT}/{file}", encoding="utf-8") as source:
        return source.read()


def git(*arguments):
    return subprocess.check_output(["git", "-C", ROOT, *arguments], text=True)


def check():
    wrong = []
    for batch, breakages in BATCHES.items():
        files = [file for _, _, file, *_ in breakages]
        wrong += [f"batch {batch}: {file} is edited twice" for file in set(files) if files.count(file) > 1]
        judges = [(test, wanted) for *_, test, wanted in breakages]
        wrong += [f"batch {batch}: {one} judges twice" for one in set(judges) if judges.count(one) > 1]
        for name, _, file, old, new, _, _ in breakages:
            count = read(file).count(old) if os.path.exists(f"{ROOT}/{file}") else 0
            if count != 1 or old == new:
                wrong.append(f"{batch} {name}: the old text occurs {count} times in {file}")
    names = [name for breakages in BATCHES.values() for name, *_ in breakages]
    wrong += [f"{name} is there twice" for name in set(names) if names.count(name) > 1]
    wrong += missing_tests()
    print("\n".join(wrong) or f"{len(names)} breakages in {len(BATCHES)} batches, each old text there once, each test in the sources")
    return bool(wrong)


def missing_tests():
    """Filters whose test's name stands in no source."""
    sources = subprocess.run(["grep", "-rhE", "^TEST", f"{ROOT}/tests"], text=True, stdout=subprocess.PIPE).stdout
    wrong = []
    for breakages in BATCHES.values():
        for name, _, _, _, _, test, wanted in breakages:
            case = wanted.strip("*").split(".")[-1]
            if case and f", {case})" not in sources.replace(",\n", ", "):
                wrong.append(f"{name}: no test {case} in {ROOT}/tests")
    return wrong


def run_all(breakages, good, say):
    fine = True
    for name, fault, _, _, _, test, wanted in breakages:
        verdict, words = judge(test, wanted)
        fine = fine and verdict == good
        label = say.get(verdict, verdict.upper())
        print(f"{label:<8} {name:<28} {fault}\n         {test} {wanted}" + (f"\n         {words}" if words else ""), flush=True)
    return fine


def run_batch(breakages):
    files = [file for _, _, file, *_ in breakages]
    if changed := git("status", "--porcelain", "--", *files):
        sys.exit(f"uncommitted changes in files that are to be broken:\n{changed}")
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda *_: sys.exit("ended by a signal"))
    try:
        for name, _, file, old, new, _, _ in breakages:
            text = read(file)
            if text.count(old) != 1:
                sys.exit(f"{name}: the old text occurs {text.count(old)} times in {file}")
            with open(f"{ROOT}/{file}", "w", encoding="utf-8") as source:
                source.write(text.replace(old, new))
        if errors := build(targets(breakages)):
            print("NOT BUILT\n" + "\n".join(errors[:40]))
            return False
        return run_all(breakages, "failed", {"failed": "CAUGHT", "passed": "MISSED"})
    finally:
        git("checkout", "-q", "--", *files)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--check"]:
        return check()
    if arguments == ["--list"]:
        for batch, breakages in BATCHES.items():
            for name, fault, file, *_, test, wanted in breakages:
                print(f"{batch} {name:<28} {file:<42} {test} {wanted}\n  {fault}")
        return 0
    if arguments == ["--clean"]:
        every = [one for breakages in BATCHES.values() for one in breakages]
        if errors := build(targets(every)):
            print("NOT BUILT\n" + "\n".join(errors[:40]))
            return 1
        return not run_all(every, "passed", {"passed": "PASSED", "failed": "FAILED"})
    if not arguments or not arguments[0].isdigit() or int(arguments[0]) not in BATCHES:
        print(__doc__)
        return 2
    breakages = BATCHES[int(arguments[0])]
    if len(arguments) > 2 and arguments[1] == "--only":
        breakages = [one for one in breakages if one[0] in arguments[2:]]
    return not run_batch(breakages)


if __name__ == "__main__":
    sys.exit(main())
