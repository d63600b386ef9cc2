#include "client/cli/contexts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/jobfile/document.h"
#include "client/jobfile/problems.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

using jobfile::Node;

constexpr size_t kMostName = 64;
constexpr int64_t kMostBytes = 1 << 20;

std::string FileOf(const std::string& folder) { return folder + "/config.yaml"; }

// The fields of a context that are text, under their keys.
struct Field {
  const char* key;
  std::string Context::*value;
};
constexpr Field kFields[] = {{"server", &Context::server},         {"tls-ca", &Context::tls_ca},
                             {"tls-cert", &Context::tls_cert},     {"tls-key", &Context::tls_key},
                             {"token-file", &Context::token_file}, {"project", &Context::project}};

// Reads what Print writes, and what a person may make of it.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  absl::StatusOr<Contexts> Read(const Node& document) const {
    Contexts contexts;
    HONE_RETURN_IF_ERROR(NeedMap(document, "the file"));
    for (size_t i = 0; i < document.keys.size(); ++i) {
      const Node& key = document.keys[i];
      const Node& value = document.items[i];
      if (key.text == "current") {
        HONE_ASSIGN_OR_RETURN(contexts.current, Text(value, "current"));
      } else if (key.text == "contexts") {
        HONE_RETURN_IF_ERROR(ReadAll(value, contexts));
      } else {
        return Wrong(key, absl::StrCat("unknown key `", key.text, "`; known: current, contexts"));
      }
    }
    if (!contexts.current.empty() && !contexts.all.contains(contexts.current)) {
      return Wrong(document, absl::StrCat("`current` names `", contexts.current,
                                          "`, and there is no such context"));
    }
    return contexts;
  }

 private:
  absl::Status ReadAll(const Node& node, Contexts& contexts) const {
    if (node.kind == Node::Kind::kNull) {
      return absl::OkStatus();
    }
    HONE_RETURN_IF_ERROR(NeedMap(node, "contexts"));
    for (size_t i = 0; i < node.keys.size(); ++i) {
      const std::string& name = node.keys[i].text;
      if (const absl::Status status = CheckContextName(name); !status.ok()) {
        return Wrong(node.keys[i], status.message());
      }
      if (contexts.all.contains(name)) {
        return Wrong(node.keys[i], absl::StrCat("`", name, "` is there twice"));
      }
      HONE_ASSIGN_OR_RETURN(contexts.all[name], ReadOne(node.items[i], name));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Context> ReadOne(const Node& node, const std::string& name) const {
    Context context;
    if (node.kind == Node::Kind::kNull) {
      return context;
    }
    HONE_RETURN_IF_ERROR(NeedMap(node, name));
    for (size_t i = 0; i < node.keys.size(); ++i) {
      const Node& key = node.keys[i];
      const Field* const field =
          std::ranges::find_if(kFields, [&](const Field& one) { return key.text == one.key; });
      if (key.text == "tls") {
        HONE_ASSIGN_OR_RETURN(context.tls, Flag(node.items[i]));
      } else if (key.text == "token") {
        return Wrong(key,
                     "a token does not belong in this file; say `hone login`, which keeps it in a "
                     "file of its own, and take it away here");
      } else if (field == std::end(kFields)) {
        return Wrong(
            key, absl::StrCat("unknown key `", key.text, "`; known: tls, ",
                              absl::StrJoin(kFields, ", ", [](std::string* out, const Field& one) {
                                out->append(one.key);
                              })));
      } else {
        HONE_ASSIGN_OR_RETURN(context.*(field->value), Text(node.items[i], key.text));
      }
    }
    return context;
  }

  absl::Status NeedMap(const Node& node, absl::string_view what) const {
    return node.kind == Node::Kind::kMap
               ? absl::OkStatus()
               : Wrong(node, absl::StrCat(what, " must be a map, got ", node.Describe()));
  }
  absl::StatusOr<std::string> Text(const Node& node, absl::string_view what) const {
    if (node.kind == Node::Kind::kNull) {
      return std::string();
    }
    if (node.kind != Node::Kind::kScalar) {
      return Wrong(node, absl::StrCat(what, " must be text, got ", node.Describe()));
    }
    return node.text;
  }
  absl::StatusOr<bool> Flag(const Node& node) const {
    if (node.kind != Node::Kind::kScalar || (node.text != "true" && node.text != "false")) {
      return Wrong(node, absl::StrCat("tls must be true or false, got ", node.Describe()));
    }
    return node.text == "true";
  }
  absl::Status Wrong(const Node& node, absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", node.line, ":", node.column, ": ", what));
  }

  const std::string file_;
};

// Others could change it and have a token sent to them.
absl::Status CheckOwner(const std::string& file) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot read ", file));
  }
  if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": others may change this file; say `chmod 600 ", file, "`"));
  }
  if (found.st_uid != ::geteuid() && found.st_uid != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": it belongs to somebody else, who may change it"));
  }
  return absl::OkStatus();
}

// Something beside empty lines and comments.
bool HasContent(absl::string_view text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view content = absl::StripAsciiWhitespace(line);
    if (!content.empty() && content[0] != '#') {
      return true;
    }
  }
  return false;
}

// A folder for its owner alone.
absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("cannot make ", path));
  }
  return absl::OkStatus();
}

// Through a new file that is put into the old one's place; only its owner may read it.
absl::Status WritePrivately(const std::string& path, const std::string& text) {
  std::string made = path + ".XXXXXX";
  const int fd = ::mkostemp(made.data(), O_CLOEXEC);  // with the mode 0600
  if (fd < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  }
  absl::Status status = WriteAll(fd, text, absl::StrCat("cannot write ", path));
  if (status.ok() && ::fsync(fd) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  }
  if (::close(fd) != 0 && status.ok()) {
    status = ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  }
  if (status.ok() && std::rename(made.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  }
  if (!status.ok()) {
    ::unlink(made.c_str());
  }
  return status;
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::string> ConfigFolder() {
  // The specification ignores what is no absolute path.
  if (const char* const base = std::getenv("XDG_CONFIG_HOME"); base != nullptr && *base == '/') {
    return absl::StrCat(base, "/hone");
  }
  if (const char* const home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return absl::StrCat(home, "/.config/hone");
  }
  return absl::NotFoundError("neither XDG_CONFIG_HOME nor HOME names a folder for contexts");
}

absl::Status CheckContextName(absl::string_view name) {
  const bool fits = std::ranges::all_of(name, [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (name.empty() || name.size() > kMostName || !fits || name[0] == '.' || name[0] == '-') {
    return absl::InvalidArgumentError(
        absl::StrCat("a context's name must be 1 to ", kMostName,
                     " letters, digits, '.', '_' or '-', the first one a letter, a digit or '_', "
                     "got `",
                     name, "`"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Contexts> ReadContexts(const std::string& folder) {
  const std::string file = FileOf(folder);
  const absl::StatusOr<std::string> text = ReadFile(file, kMostBytes);
  if (absl::IsNotFound(text.status())) {
    return Contexts();
  }
  HONE_RETURN_IF_ERROR(text.status());
  HONE_RETURN_IF_ERROR(CheckOwner(file));
  if (!HasContent(*text)) {
    return Contexts();
  }
  HONE_ASSIGN_OR_RETURN(const Node document, jobfile::ReadDocument(*text, file));
  return Reader(file).Read(document);
}

absl::Status ChangeContexts(const std::string& folder,
                            absl::FunctionRef<absl::Status(Contexts&)> change) {
  HONE_RETURN_IF_ERROR(MakeFolder(folder));
  const std::string lock = folder + "/config.lock";
  const int fd = ::open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", lock));
  }
  const absl::Cleanup unlock = [fd] { ::close(fd); };
  if (::flock(fd, LOCK_EX) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot lock ", lock));
  }
  HONE_ASSIGN_OR_RETURN(Contexts contexts, ReadContexts(folder));
  HONE_RETURN_IF_ERROR(change(contexts));
  return WritePrivately(FileOf(folder), Print(contexts));
}

absl::StatusOr<Context> FindContext(const Contexts& contexts, const std::string& name) {
  const auto found = contexts.all.find(name);
  if (found != contexts.all.end()) {
    return found->second;
  }
  std::vector<std::string> names;
  for (const auto& [known, context] : contexts.all) {
    names.push_back(known);
  }
  const std::string near = jobfile::Nearest(name, names);
  return absl::NotFoundError(absl::StrCat(
      "there is no context `", name, "`",
      names.empty() ? "; `hone config set-context` makes one"
      : near.empty()
          ? absl::StrCat("; there are: ", absl::StrJoin(names, ", "))
          : absl::StrCat("; did you mean `", near, "`? There are: ", absl::StrJoin(names, ", "))));
}

std::string Print(const Contexts& contexts) {
  std::string text =
      absl::StrCat("# The servers that hone knows by name; see `hone config`.\ncurrent: ",
                   Quoted(contexts.current), "\ncontexts:\n");
  for (const auto& [name, context] : contexts.all) {
    absl::StrAppend(&text, "  ", Quoted(name), ":\n");
    for (const Field& field : kFields) {
      if (const std::string& value = context.*(field.value); !value.empty()) {
        absl::StrAppend(&text, "    ", field.key, ": ", Quoted(value), "\n");
      }
    }
    absl::StrAppend(&text, "    tls: ", context.tls ? "true" : "false", "\n");
  }
  return text;
}

std::string TokenFileOf(const std::string& folder, const std::string& context) {
  return absl::StrCat(folder, "/tokens/", context);
}

absl::Status WriteToken(const std::string& path, const std::string& token) {
  const std::string folder = std::filesystem::path(path).parent_path();
  HONE_RETURN_IF_ERROR(MakeFolder(std::filesystem::path(folder).parent_path()));
  HONE_RETURN_IF_ERROR(MakeFolder(folder));
  return WritePrivately(path, token + "\n");
}

}  // namespace hone::client::cli
