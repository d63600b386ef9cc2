#include "client/cli/command.h"
#include "client/cli/follow.h"

namespace hone::client::cli {

void AddWatch(CLI::App& app, Globals& globals) {
  const auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(app, globals, "watch", "Watch a job; it can be left (Ctrl-C) and watched again.",
                 [name, &globals] { return Follow(ResourceName("jobs", *name), globals); });
  command->add_option("JOB", *name, "jobs/<id>, or the id alone")->required();
}

}  // namespace hone::client::cli
