#include "client/jobfile/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <new>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hone::client::jobfile {
namespace {

// Makes the tree from yaml-cpp's events, without ever resolving an alias: a bomb of aliases stays
// as small as its text. What it refuses it throws as yaml-cpp's own exception, through yaml-cpp's
// parser, to the fence in ReadDocument.
class TreeBuilder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Put(MakeNode(mark, "")); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases (*name) are not supported; write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    Node node = MakeNode(mark, tag);
    node.kind = Node::Kind::kScalar;
    node.text = value;
    node.quoted = tag == "!";
    Put(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, Node::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, Node::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  Node TakeRoot() { return std::move(root_); }

 private:
  struct OpenNode {
    Node node;
    bool key_next = true;  // of a map: what comes next is a key
  };

  Node MakeNode(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw YAML::ParserException(mark, absl::StrCat("tags (", tag, ") are not supported"));
    }
    if (++nodes_ > kMaxNodes) {
      throw YAML::ParserException(mark, absl::StrCat("more than ", kMaxNodes, " values"));
    }
    Node node;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, Node::Kind kind) {
    if (open_.size() >= static_cast<size_t>(kMaxDepth)) {
      throw YAML::ParserException(mark, absl::StrCat("nested deeper than ", kMaxDepth, " levels"));
    }
    open_.push_back({.node = MakeNode(mark, tag)});
    open_.back().node.kind = kind;
  }

  void Close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    Put(std::move(node));
  }

  void Put(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == Node::Kind::kMap) {
      (parent.key_next ? parent.node.keys : parent.node.items).push_back(std::move(node));
      parent.key_next = !parent.key_next;
    } else {
      parent.node.items.push_back(std::move(node));
    }
  }

  Node root_;
  std::vector<OpenNode> open_;
  int64_t nodes_ = 0;
};

// The first line that is indented with a tab, from 1; 0: none. yaml-cpp's words do not say it.
int LineWithTab(absl::string_view text) {
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())).find('\t') !=
        line.npos) {
      return number;
    }
  }
  return 0;
}

absl::Status ErrorAt(absl::string_view origin, const YAML::Mark& mark, absl::string_view what) {
  return absl::InvalidArgumentError(
      mark.is_null() ? absl::StrCat(origin, ": ", what)
                     : absl::StrCat(origin, ":", mark.line + 1, ":", mark.column + 1, ": ", what));
}

}  // namespace

std::string Node::Describe() const {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kSequence:
      return "a list";
    case Kind::kMap:
      return "a map";
    case Kind::kScalar:
      break;
  }
  return absl::StrCat("`", text.substr(0, 60), text.size() > 60 ? "…" : "", "`");
}

absl::StatusOr<Node> ReadDocument(absl::string_view text, absl::string_view origin) {
  if (static_cast<int64_t>(text.size()) > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        origin, ": is ", text.size(), " bytes long; a job file has at most ", kMaxFileBytes));
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder first;
    if (!parser.HandleNextDocument(first)) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin,
                       ":1:1: is empty; a job file has at least the keys classification or "
                       "regression, data, model and training"));
    }
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) {
      const Node extra = second.TakeRoot();
      return absl::InvalidArgumentError(absl::StrCat(origin, ":", extra.line, ":", extra.column,
                                                     ": a second document; a file has one job"));
    }
    return first.TakeRoot();
  } catch (const YAML::Exception& error) {
    if (const int line = LineWithTab(text); line > 0 && line <= error.mark.line + 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          origin, ":", line, ":1: is indented with a tab; YAML takes only spaces there"));
    }
    return ErrorAt(origin, error.mark, error.msg);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(origin, ": out of memory"));
  }
}

}  // namespace hone::client::jobfile
