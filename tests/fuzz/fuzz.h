#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"

// A target is one function: whatever the bytes are, it must return; a sanitizer's report, a throw
// or a hang is a finding. `make fuzz` runs it under libFuzzer; in the test suite replay.cc gives it
// the files of corpus/TARGET.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace hone::fuzz {

inline absl::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A folder of this process in memory, for readers that want files.
class Folder {
 public:
  // Each of a process has another name.
  explicit Folder(const std::string& name = "")
      : path_((std::filesystem::is_directory("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                         : std::filesystem::temp_directory_path()) /
              ("hone-fuzz-" + std::to_string(::getpid()) + name)) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string Write(const std::string& name, absl::string_view bytes) const {
    const std::string file = path_ / name;
    std::ofstream(file, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace hone::fuzz
