// Stands in for hone-worker: plays the script named by HONE_FAKE_SCRIPT on the event pipe. A line
// of it is a WorkerFrame in protobuf's text form, or one of
//   !sleep MS          !exit CODE        !abort            !raw TEXT (bytes that are no frame)
//   !await SIGTERM     goes on when SIGTERM has come       !ignore SIGTERM
//   !await parent      goes on when the parent's pipe is closed
//   !show request      a log event with the request in text form
//   !keep request FILE the same in a file
//   !show environment  a log event with the environment, one variable a line
//   !show descriptors  a log event with the open descriptors
//   !start a child     that waits until it is killed; a log event with its number
#include <google/protobuf/text_format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <string>

#include "server/worker_process/frames.h"

extern char** environ;

namespace {

volatile std::sig_atomic_t g_terminated = 0;

void Say(const std::string& text) {
  hone::v1::WorkerFrame frame;
  frame.mutable_event()->mutable_log()->set_text(text);
  (void)hone::server::worker_process::WriteFrame(3, frame);
}

std::string RequestText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  hone::v1::WorkerRequest request;
  request.ParseFromIstream(&file);
  std::string text;
  google::protobuf::TextFormat::PrintToString(request, &text);
  return text;
}

void ShowEnvironment() {
  std::string text;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    text += std::string(*entry) + "\n";
  }
  Say(text);
}

void ShowDescriptors() {
  std::set<int> open;
  for (int fd = 0; fd < 256; ++fd) {
    if (std::filesystem::is_symlink("/proc/self/fd/" + std::to_string(fd))) {
      open.insert(fd);
    }
  }
  std::string text;
  for (const int fd : open) {
    text += std::to_string(fd) + " ";
  }
  Say(text);
}

void Control(const std::string& line, const std::string& request_path) {
  if (line.rfind("!sleep ", 0) == 0) {
    usleep(static_cast<useconds_t>(std::stoi(line.substr(7))) * 1000);
  } else if (line.rfind("!exit ", 0) == 0) {
    _exit(std::stoi(line.substr(6)));
  } else if (line == "!abort") {
    std::abort();
  } else if (line.rfind("!raw ", 0) == 0) {
    (void)!write(3, line.data() + 5, line.size() - 5);
  } else if (line == "!await SIGTERM") {
    while (g_terminated == 0) {
      usleep(2000);
    }
  } else if (line == "!ignore SIGTERM") {
    std::signal(SIGTERM, SIG_IGN);
  } else if (line == "!await parent") {
    char byte;
    (void)!read(4, &byte, 1);
  } else if (line == "!show request") {
    Say(RequestText(request_path));
  } else if (line.rfind("!keep request ", 0) == 0) {
    std::ofstream(line.substr(14)) << RequestText(request_path);
  } else if (line == "!show environment") {
    ShowEnvironment();
  } else if (line == "!show descriptors") {
    ShowDescriptors();
  } else if (line == "!start a child") {
    const pid_t child = fork();
    while (child == 0) {
      pause();
    }
    Say(std::to_string(child));
  } else {
    std::cerr << "unknown line of the script: " << line << "\n";
    _exit(97);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* script = std::getenv("HONE_FAKE_SCRIPT");
  if (script == nullptr || argc != 4 || std::string(argv[2]) != "--request") {
    std::cerr << "usage: HONE_FAKE_SCRIPT=FILE fake_worker MODE --request FILE\n";
    return 98;
  }
  std::signal(SIGTERM, [](int) { g_terminated = 1; });
  // A script for each mode, where there is one.
  const std::string own = std::string(script) + "." + argv[1];
  std::ifstream lines(std::filesystem::exists(own) ? own : script);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    if (line[0] == '!') {
      Control(line, argv[3]);
      continue;
    }
    hone::v1::WorkerFrame frame;
    if (!google::protobuf::TextFormat::ParseFromString(line, &frame)) {
      return 96;
    }
    (void)hone::server::worker_process::WriteFrame(3, frame);
  }
  return 0;
}
