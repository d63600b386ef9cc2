#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/huggingface/unpack.h"
#include "engine/job/checkpoint_plan.h"
#include "server/translate/events.h"
#include "server/worker/clients_words.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {
namespace {

absl::StatusOr<engine::job::CheckpointPlan> Import(const v1::WorkerRequest& request) {
  const std::string folder = ImportedFolder(request);
  if (::mkdir(folder.c_str(), 0755) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot create ", folder));
  }
  HONE_RETURN_IF_ERROR(engine::huggingface::Unpack(
      request.dataset_path(), folder, request.most_bytes(), request.disk_floor_bytes()));
  // Others would read it by other rules than those that it is checked by.
  if (!engine::huggingface::IsCheckpoint(folder)) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.dataset_path(), ": must be a checkpoint's folder, with config.json"));
  }
  return engine::job::PlanCheckpoint(folder, /*threads=*/1, /*memory=*/false);
}

}  // namespace

bool ImportCheckpoint(const v1::WorkerRequest& request, FrameWriter& writer) {
  writer.SetProgress("unpacking", -1);
  absl::StatusOr<engine::job::CheckpointPlan> imported = Import(request);
  if (!imported.ok()) {
    SendFailure(
        ToFailure(ClientsWords(request).Of(imported.status()), engine::job::Phase::kLoading, 0),
        writer);
    return false;
  }
  imported->plan.display_name = request.spec().data().dataset();
  v1::WorkerFrame frame;
  *frame.mutable_imported()->mutable_plan() = translate::ToProto(imported->plan);
  frame.mutable_imported()->set_task(imported->task);
  writer.Send(frame);
  writer.SendFinished("COMPLETED");
  return true;
}

}  // namespace hone::server::worker
