#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/data/load.h"

namespace hone::engine::data {

// A folder that is gone after the test.
class DataTest : public ::testing::Test {
 protected:
  DataTest() {
    std::string name = ::testing::TempDir() + "/hone-data-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~DataTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }
  LoadOptions Options(const std::string& name = "") const {
    LoadOptions options;
    options.path = name.empty() ? folder_ : Path(name);
    return options;
  }

  std::string folder_;
};

// The folder of real data, or "" (then the test skips).
inline std::string RealData(const std::string& name) {
  const char* root = std::getenv("HONE_DATA_DIR");
  const std::string path = root == nullptr ? "" : std::string(root) + "/" + name;
  return !path.empty() && std::filesystem::exists(path) ? path : "";
}

#define HONE_NEEDS_REAL_DATA(path)                                               \
  if ((path).empty()) {                                                          \
    GTEST_SKIP() << "HONE_DATA_DIR does not lead to the real data of this test"; \
  }

inline std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

inline std::string IdxImages(uint32_t count, uint32_t height, uint32_t width,
                             const std::string& pixels) {
  return BigEndian(0x803) + BigEndian(count) + BigEndian(height) + BigEndian(width) + pixels;
}

inline std::string IdxLabels(uint32_t count, const std::string& labels) {
  return BigEndian(0x801) + BigEndian(count) + labels;
}

inline std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace hone::engine::data
