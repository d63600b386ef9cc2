#include "engine/export/export.h"

#include <string>

#include "engine/base/status.h"
#include "server/worker/failure.h"
#include "server/worker/modes.h"

namespace hone::server::worker {
namespace {

namespace exports = engine::exports;

absl::StatusOr<exports::ExportReport> Write(const v1::WorkerRequest& request) {
  exports::ExportOptions options = {.source = request.model_directory(),
                                    .directory = request.run_directory(),
                                    .job = request.export_job()};
  HONE_ASSIGN_OR_RETURN(options.format, exports::FormatOf(request.export_format()));
  if (!request.export_type().empty()) {
    HONE_ASSIGN_OR_RETURN(options.type, exports::GgufTypeOf(request.export_type()));
  }
  return exports::Export(options);
}

}  // namespace

bool ExportModel(const v1::WorkerRequest& request, FrameWriter& writer) {
  writer.SetProgress("exporting", -1);
  const absl::StatusOr<exports::ExportReport> report = Write(request);
  if (!report.ok()) {
    SendFailure(ToFailure(report.status(), engine::job::Phase::kLoading, 0), writer);
    return false;
  }
  v1::WorkerFrame frame;
  v1::WorkerFrame::Exported& exported = *frame.mutable_exported();
  exported.mutable_files()->Assign(report->files.begin(), report->files.end());
  exported.set_questions(report->questions);
  exported.set_difference(report->difference);
  writer.Send(frame);
  writer.SendFinished("COMPLETED");
  return true;
}

}  // namespace hone::server::worker
