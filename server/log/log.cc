#include "server/log/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hone::server::log {
namespace {

std::atomic<Format> g_format = Format::kLogfmt;

// ASCII without control characters, so that no terminal and no reader of lines takes a part of it
// for something else; what is not UTF-8 becomes U+FFFD.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true,
                                   nlohmann::json::error_handler_t::replace);
}

bool IsBare(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '=' && c != '\\';
  });
}

void Write(spdlog::level::level_enum level, absl::string_view message,
           std::initializer_list<Field> fields) {
  spdlog::logger& logger = *spdlog::default_logger_raw();
  if (logger.should_log(level)) {
    logger.log(level, spdlog::string_view_t(Join(g_format, message, fields)));
  }
}

}  // namespace

Field::Field(absl::string_view key, int64_t number)
    : key_(key), value_(absl::StrCat(number)), is_text_(false) {}

Field::Field(absl::string_view key, double number)
    : key_(key), value_(absl::StrFormat("%.3f", number)), is_text_(false) {}

void Field::AppendTo(std::string& line, Format format) const {
  if (value_.empty()) {
    return;
  }
  const std::string text = value_.substr(0, kMaxText);
  const bool quote = is_text_ && (format == Format::kJson || !IsBare(text));
  const std::string value = quote ? Quoted(text) : text;
  if (format == Format::kJson) {
    absl::StrAppend(&line, line.empty() ? "" : ",", "\"", key_, "\":", value);
  } else {
    absl::StrAppend(&line, line.empty() ? "" : " ", key_, "=", value);
  }
}

std::string Join(Format format, absl::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  Field("msg", message).AppendTo(line, format);
  for (const Field& field : fields) {
    field.AppendTo(line, format);
  }
  return line;
}

void Begin(Format format, const std::string& level) {
  g_format = format;
  const auto logger = spdlog::stderr_logger_mt("honed");
  logger->set_pattern(format == Format::kJson
                          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                          : "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(logger);
}

void Debug(absl::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::debug, message, fields);
}
void Info(absl::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::info, message, fields);
}
void Warning(absl::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::warn, message, fields);
}
void Error(absl::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::err, message, fields);
}

}  // namespace hone::server::log
