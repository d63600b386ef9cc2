#include "server/metrics/tensorboard.h"

#include <google/protobuf/util/time_util.h>

#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/jobs/job.h"
#include "server/log/log.h"
#include "tensorboard/event.pb.h"

namespace hone::server::metrics {
namespace {

using Values = google::protobuf::Map<std::string, double>;

constexpr char kFileVersion[] = "brain.Event:2";

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    }
    table[byte] = crc;
  }
  return table;
}

void AppendLittleEndian(std::string& bytes, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) {
    bytes.push_back(static_cast<char>(value >> (8 * i)));
  }
}

void AppendMaskedCrc(std::string& bytes, absl::string_view of) {
  const uint32_t crc = Crc32c(of);
  AppendLittleEndian(bytes, ((crc >> 15) | (crc << 17)) + 0xA282EAD8u, 4);
}

double UnixSeconds(const v1::Event& event) {
  using google::protobuf::util::TimeUtil;
  return static_cast<double>(TimeUtil::TimestampToMicroseconds(event.time())) * 1e-6;
}

// "test_accuracy" and the like. Others (samples_per_second) have names of the curves.
Values MeasuresOf(const v1::Evaluation& evaluation) {
  Values measures;
  for (const auto& [name, value] : evaluation.metrics()) {
    if (absl::StartsWith(name, evaluation.split() + "_")) {
      measures[name] = value;
    }
  }
  return measures;
}

void Write(std::ofstream& stream, const ::tensorboard::Event& event) {
  const std::string record = TfRecord(event.SerializeAsString());
  // At once, so that a curve can be watched.
  stream.write(record.data(), static_cast<std::streamsize>(record.size())).flush();
}

}  // namespace

uint32_t Crc32c(absl::string_view data) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = ~0u;
  for (const char c : data) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  return ~crc;
}

std::string TfRecord(absl::string_view data) {
  std::string record;
  AppendLittleEndian(record, data.size(), 8);
  AppendMaskedCrc(record, record);
  absl::StrAppend(&record, data);
  AppendMaskedCrc(record, data);
  return record;
}

void TensorBoard::OnEvent(const store::LoggedEvent& logged) {
  const v1::Event& event = *logged.event;
  switch (event.kind_case()) {
    case v1::Event::kState: {
      const auto state = jobs::FromProto(event.state().state());
      if (state.ok() && !jobs::HasWorker(*state)) {
        files_.erase(logged.job_id);
      }
      return;
    }
    case v1::Event::kStarted:
      return Begin(logged);
    case v1::Event::kMetrics:
      if (const auto file = files_.find(logged.job_id); file != files_.end()) {
        file->second.step = event.metrics().step();
      }
      return Scalars(logged, event.metrics().values());
    case v1::Event::kEvaluation:
      return Scalars(logged, MeasuresOf(event.evaluation()));
    default:
      return;
  }
}

void TensorBoard::Begin(const store::LoggedEvent& logged) {
  const v1::Event& event = *logged.event;
  const std::string directory = directory_(logged.job_id);
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  // TensorBoard reads the files in the order of their names.
  const std::string path = absl::StrFormat("%s/events.out.tfevents.%010d.attempt-%06d", directory,
                                           event.time().seconds(), event.attempt());
  File& file = files_[logged.job_id];
  file.step = event.started().resumed_from_step();
  file.stream = std::ofstream(path, std::ios::binary | std::ios::app);
  ::tensorboard::Event record;
  record.set_wall_time(UnixSeconds(event));
  record.set_file_version(kFileVersion);
  Write(file.stream, record);
  record.set_step(file.step + 1);
  record.mutable_session_log()->set_status(::tensorboard::SessionLog::START);
  Write(file.stream, record);
  if (!file.stream) {
    log::Warning("no TensorBoard file can be written",
                 {{"job", logged.job_id}, {"attempt", event.attempt()}, {"path", path}});
    files_.erase(logged.job_id);
  }
}

void TensorBoard::Scalars(const store::LoggedEvent& logged,
                          const google::protobuf::Map<std::string, double>& values) {
  const auto found = files_.find(logged.job_id);
  if (found == files_.end() || values.empty()) {
    return;
  }
  File& file = found->second;
  ::tensorboard::Event record;
  record.set_wall_time(UnixSeconds(*logged.event));
  record.set_step(file.step);
  for (const auto& [name, number] : values) {
    ::tensorboard::Summary::Value& value = *record.mutable_summary()->add_value();
    value.set_tag(name);
    value.set_simple_value(static_cast<float>(number));
  }
  Write(file.stream, record);
  if (!file.stream) {
    log::Warning("a TensorBoard file ends here: it cannot be written",
                 {{"job", logged.job_id}, {"attempt", logged.event->attempt()}});
    files_.erase(found);
  }
}

}  // namespace hone::server::metrics
