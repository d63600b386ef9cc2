#pragma once

#include <string>

#include "client/cli/command.h"
#include "client/cli/write_text.h"
#include "hone/v1/prediction.pb.h"

namespace hone::client::cli {

struct ChatWish {
  std::string question = {};  // "": questions are lines of the standard input, until it ends
  std::string system = {};    // "": the model's own
  v1::Writing options = {};   // how answers are written
};

// Asks the model, shows its answer as it is written, and, where questions are read, asks on with
// all that was said before. Returns the exit code.
int RunChat(TextWriter& writer, const ChatWish& wish, const Globals& globals);

}  // namespace hone::client::cli
