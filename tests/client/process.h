#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

namespace hone::testing {

// A program that a test runs: its output is collected, and it can be interrupted when it has said
// something.
class Process {
 public:
  // Environment variables are the test's own. `folder` becomes the working folder.
  Process(std::vector<std::string> arguments, const std::string& folder) {
    int ends[2];
    (void)!pipe(ends);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
      pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], 1);
      dup2(ends[1], 2);
      close(ends[0]);
      close(ends[1]);
      (void)!chdir(folder.c_str());
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    close(ends[1]);
    out_ = ends[0];
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
    close(out_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Reads until the output has `text` in it; false when the output ends before.
  bool AwaitOutput(const std::string& text) {
    while (output_.find(text) == std::string::npos) {
      if (!ReadMore()) {
        return false;
      }
    }
    return true;
  }
  void Signal(int signal) const { kill(pid_, signal); }

  // Reads everything and gives the exit code; -1 when a signal ended it.
  int Wait() {
    if (pid_ <= 0) {
      return code_;
    }
    while (ReadMore()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return code_;
  }
  const std::string& output() const { return output_; }

 private:
  bool ReadMore() {
    char bytes[4096];
    const ssize_t count = read(out_, bytes, sizeof(bytes));
    if (count <= 0) {
      return false;
    }
    output_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  int out_ = -1;
  int code_ = -1;
  std::string output_;
};

}  // namespace hone::testing
