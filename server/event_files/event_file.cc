#include "server/event_files/event_file.h"

#include <google/protobuf/util/time_util.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/files.h"
#include "tensorboard/event.pb.h"

namespace hone::server::event_files {
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

uint32_t BigEndian(absl::string_view bytes) {
  uint32_t value = 0;
  for (const char c : bytes) {
    value = value << 8 | static_cast<unsigned char>(c);
  }
  return value;
}

// Nothing of what is no PNG file, or gone.
void AddPicture(const v1::Artifact& artifact, const std::string& run_directory,
                ::tensorboard::Summary& summary) {
  constexpr int64_t kMostBytes = 4 << 20;
  constexpr absl::string_view kPng = "\x89PNG\r\n\x1a\n";
  constexpr size_t kHeader = 26;  // to the colour type: PNG specification, 5.2 and 11.2.2
  if (!absl::EndsWith(artifact.path(), ".png")) {
    return;
  }
  absl::StatusOr<std::string> file =
      ReadFile(absl::StrCat(run_directory, "/", artifact.path()), kMostBytes);
  if (!file.ok() || file->size() < kHeader || !absl::StartsWith(*file, kPng)) {
    return;
  }
  const absl::string_view bytes = *file;
  ::tensorboard::Summary::Value& value = *summary.add_value();
  value.set_tag(artifact.kind());
  value.mutable_image()->set_width(static_cast<int32_t>(BigEndian(bytes.substr(16, 4))));
  value.mutable_image()->set_height(static_cast<int32_t>(BigEndian(bytes.substr(20, 4))));
  value.mutable_image()->set_colorspace(bytes[25] == 0 ? 1 : 3);
  value.mutable_image()->set_encoded_image_string(*std::move(file));
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

absl::StatusOr<EventFile> EventFile::Begin(const std::string& directory, const v1::Event& begun,
                                           const std::string& run_directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  EventFile file;
  file.run_directory_ = run_directory;
  // TensorBoard reads the files in the order of their names.
  file.path_ = absl::StrFormat("%s/events.out.tfevents.%010d.attempt-%06d", directory,
                               begun.time().seconds(), begun.attempt());
  file.step_ = begun.started().resumed_from_step();
  file.stream_ = std::ofstream(file.path_, std::ios::binary | std::ios::app);
  ::tensorboard::Event record;
  record.set_wall_time(UnixSeconds(begun));
  record.set_file_version(kFileVersion);
  Write(file.stream_, record);
  record.set_step(file.step_ + 1);
  record.mutable_session_log()->set_status(::tensorboard::SessionLog::START);
  Write(file.stream_, record);
  if (!file.stream_) {
    return absl::UnavailableError(absl::StrCat(file.path_, " cannot be written"));
  }
  return file;
}

absl::Status EventFile::Add(const v1::Event& event) {
  if (event.has_metrics()) {
    step_ = event.metrics().step();
  }
  const Values values = event.has_metrics()      ? event.metrics().values()
                        : event.has_evaluation() ? MeasuresOf(event.evaluation())
                                                 : Values();
  ::tensorboard::Event record;
  if (event.has_artifact()) {
    AddPicture(event.artifact(), run_directory_, *record.mutable_summary());
  }
  if (values.empty() && record.summary().value().empty()) {
    return absl::OkStatus();
  }

  record.set_wall_time(UnixSeconds(event));
  record.set_step(step_);
  for (const auto& [name, number] : values) {
    ::tensorboard::Summary::Value& value = *record.mutable_summary()->add_value();
    value.set_tag(name);
    value.set_simple_value(static_cast<float>(number));
  }
  Write(stream_, record);
  return stream_ ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(path_, " ends here"));
}

}  // namespace hone::server::event_files
