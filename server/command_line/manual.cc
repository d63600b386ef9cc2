#include "server/command_line/manual.h"

#include <cstdlib>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace hone::server::command_line {
namespace {

bool IsShown(const CLI::Option& option) { return !option.get_group().empty(); }

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::string Bold(const std::string& text) { return absl::StrCat("\\fB", Escape(text), "\\fR"); }
std::string Italic(const std::string& text) { return absl::StrCat("\\fI", Escape(text), "\\fR"); }

// A sentence, with a capital and a full stop.
std::string Sentence(std::string text) {
  if (text.empty()) {
    return text;
  }
  text[0] = absl::ascii_toupper(static_cast<unsigned char>(text[0]));
  return absl::EndsWith(text, ".") ? text : text + ".";
}

// What CLI11 writes of a value: "TEXT:{a,b}", "INT:INT in [1 - 9]", "PATH=VALUE".
struct Value {
  std::string name = "";   // "a|b", "INT"
  std::string range = "";  // "1 - 9"; "": none
};
Value ValueOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t brace = type.find('{'), range = type.find(" in [");
  Value value{.name = std::string(absl::string_view(type).substr(0, type.find(':')))};
  if (const size_t end = type.find('}'); brace != std::string::npos && end > brace) {
    value.name = absl::StrReplaceAll(type.substr(brace + 1, end - brace - 1), {{",", "|"}});
  }
  if (range != std::string::npos) {
    value.range = type.substr(range + 5, type.find(']', range) - range - 5);
  }
  return value;
}

std::string OptionText(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) {
    names.push_back(Bold("-" + name));
  }
  for (const std::string& name : option.get_lnames()) {
    names.push_back(Bold("--" + name));
  }
  const Value value = ValueOf(option);
  std::string head =
      option.get_positional() ? Italic(option.get_name(true)) : absl::StrJoin(names, ", ");
  if (!option.get_positional() && option.get_items_expected_min() > 0) {
    absl::StrAppend(&head, " ", Italic(value.name));
  }
  std::string text = Sentence(option.get_description());
  const auto add = [&text](const std::string& more) {
    absl::StrAppend(&text, text.empty() ? "" : " ", more);
  };
  if (!value.range.empty()) {
    add(absl::StrCat("Range: ", absl::StrReplaceAll(value.range, {{" - ", " to "}}), "."));
  }
  if (!option.get_envname().empty()) {
    add(absl::StrCat("Variable: ", option.get_envname(), "."));
  }
  if (!option.get_default_str().empty()) {
    add(absl::StrCat("Default: ", option.get_default_str(), "."));
  }
  if (option.get_required() && !option.get_positional()) {
    add("Required.");
  }
  return absl::StrCat(".TP\n", head, "\n", Escape(text.empty() ? "See above." : text), "\n");
}

std::string OptionsText(const CLI::App& app) {
  std::string text;
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_positional() == positional && IsShown(*option) &&
          !option->check_name("--help")) {
        text += OptionText(*option);
      }
    }
  }
  return text;
}

// "hone jobs show JOB [OPTIONS]"
std::string Usage(const CLI::App& app, const std::string& path) {
  std::string usage = path;
  bool options = false;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      const std::string name = option->get_items_expected_max() > 1 ? option->get_name(true) + "..."
                                                                    : option->get_name(true);
      absl::StrAppend(&usage, " ", option->get_required() ? name : absl::StrCat("[", name, "]"));
    } else {
      options = options || (IsShown(*option) && !option->check_name("--help"));
    }
  }
  return options ? usage + " [OPTIONS]" : usage;
}

void AddVariables(const CLI::App& app, std::map<std::string, std::string>& variables) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_envname().empty() && !option->get_lnames().empty()) {
      variables.try_emplace(option->get_envname(),
                            absl::StrCat("Stands for --", option->get_lnames()[0], "."));
    }
  }
  for (const CLI::App* command : Commands(app)) {
    AddVariables(*command, variables);
  }
}

// Of the build, or what builds that are to be the same again say of themselves.
std::string Date() {
  const char* const epoch = std::getenv("SOURCE_DATE_EPOCH");
  int64_t seconds = 0;
  const absl::Time time = epoch != nullptr && absl::SimpleAtoi(epoch, &seconds)
                              ? absl::FromUnixSeconds(seconds)
                              : absl::Now();
  return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone());
}

std::string TermsText(const std::vector<std::pair<std::string, std::string>>& terms) {
  std::string text;
  for (const auto& [term, meaning] : terms) {
    absl::StrAppend(&text, ".TP\n", Bold(term), "\n", Escape(meaning), "\n");
  }
  return text;
}

std::string ProseText(const Prose& prose) {
  std::string text = absl::StrCat(".SH ", Escape(prose.heading), "\n", TermsText(prose.terms));
  bool example = false, begun = false;
  bool apart = !prose.terms.empty();  // a new paragraph comes next
  for (absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(prose.text), '\n')) {
    const bool now = absl::ConsumePrefix(&line, "    ");
    if (example && !now) {
      text += ".RE\n.fi\n";
    }
    if (line.empty() || (example && !now)) {
      apart = true;
    }
    if (line.empty()) {
      example = now;
      continue;
    }
    if (now && !example) {
      // An example stands apart from the text before it.
      text += apart || begun ? ".PP\n.nf\n.RS 4\n" : ".nf\n.RS 4\n";
    } else if (apart) {
      text += ".PP\n";
    }
    absl::StrAppend(&text, Escape(std::string(line)), "\n");
    apart = false;
    begun = true;
    example = now;
  }
  return example ? text + ".RE\n.fi\n" : text;
}

}  // namespace

std::string Escape(const std::string& text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  return absl::StrCat(absl::StartsWith(escaped, ".") || absl::StartsWith(escaped, "'") ? "\\&" : "",
                      absl::StrReplaceAll(escaped, {{"\n.", "\n\\&."}, {"\n'", "\n\\&'"}}));
}

std::string CommandText(const CLI::App& app, const std::string& path) {
  const std::vector<const CLI::App*> commands = Commands(app);
  std::string text = absl::StrCat(".SS ", Escape(path), "\n");
  if (commands.empty()) {
    absl::StrAppend(&text, Bold(Usage(app, path)), "\n.PP\n");
  }
  absl::StrAppend(&text, Escape(Sentence(app.get_description())), "\n", OptionsText(app));
  for (const CLI::App* command : commands) {
    text += CommandText(*command, absl::StrCat(path, " ", command->get_name()));
  }
  return text;
}

std::string TreeText(const CLI::App& app) {
  std::string text = absl::StrCat(".SH OPTIONS\n", OptionsText(app));
  const std::vector<const CLI::App*> commands = Commands(app);
  if (!commands.empty()) {
    text += ".SH COMMANDS\n";
  }
  for (const CLI::App* command : commands) {
    text += CommandText(*command, absl::StrCat(app.get_name(), " ", command->get_name()));
  }
  return text;
}

std::string EnvironmentText(const CLI::App& app,
                            const std::vector<std::pair<std::string, std::string>>& others) {
  std::map<std::string, std::string> variables(others.begin(), others.end());
  AddVariables(app, variables);
  return absl::StrCat(".SH ENVIRONMENT\n", TermsText({variables.begin(), variables.end()}));
}

std::string ManualPage(const Page& page, const std::string& tree) {
  std::string text =
      absl::StrCat(".TH ", absl::AsciiStrToUpper(Escape(page.name)), " ", page.section, " \"",
                   Date(), "\" \"Hone ", page.version, "\" \"Hone\"\n.SH NAME\n", Escape(page.name),
                   " \\- ", Escape(page.title), "\n");
  if (!page.synopsis.empty()) {
    absl::StrAppend(&text, ".SH SYNOPSIS\n", Bold(page.synopsis), "\n");
  }
  for (const Prose& prose : page.before) {
    text += ProseText(prose);
  }
  text += tree;
  for (const Prose& prose : page.after) {
    text += ProseText(prose);
  }
  if (!page.see_also.empty()) {
    absl::StrAppend(
        &text, ".SH SEE ALSO\n",
        absl::StrJoin(page.see_also, ", ",
                      [](std::string* out, const std::string& name) { out->append(Escape(name)); }),
        "\n");
  }
  return text;
}

}  // namespace hone::server::command_line
