#include "server/command_line/parse.h"

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/command_line/completion.h"
#include "server/command_line/manual.h"

namespace hone::server::command_line {

std::optional<std::string> Tell(const CLI::App& app, int argc, const char* const* argv) {
  const absl::string_view asked = argc > 1 ? argv[1] : "";
  if (asked == "__complete" && argc > 2) {
    return CompletionText(argv[2], app, std::vector<std::string>(argv + 3, argv + argc), nullptr);
  }
  if (asked == "__describe") {
    return CommandText(app, app.get_name());
  }
  return std::nullopt;
}

std::optional<int> Parse(CLI::App& app, int argc, const char* const* argv) {
  if (const std::optional<std::string> text = Tell(app, argc, argv); text.has_value()) {
    std::fputs(text->c_str(), stdout);
    return 0;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

}  // namespace hone::server::command_line
