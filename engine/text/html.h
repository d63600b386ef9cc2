#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// What a reader sees of a piece of HTML. Tags and comments leave; so does what stands in script and
// style. A tag that begins a line (br, p, div, li, …) leaves a space. References become what they
// stand for: numbers, Latin-1's names and some of HTML 4.01's; others stay as they are. A '<' that
// begins no tag, as in "a < b", stays.
std::string StripHtml(absl::string_view html);

// The same in pieces, so that the result need not be in memory at once.
class HtmlStripper {
 public:
  // `html` must outlive it.
  explicit HtmlStripper(absl::string_view html);

  // Appends some more of the result, about as much as `bytes` of the text give, cut between two
  // characters; false: there is no more.
  bool Next(size_t bytes, std::string& out);

 private:
  bool IsClosed() const;
  void RemoveThrough(absl::string_view end);
  std::string TagName() const;
  void TakeTag(std::string& out);
  void RemoveContents(const std::string& tag);
  void TakeReference(std::string& out);
  void TakeOne(std::string& out);

  absl::string_view html_;  // what is left
  const char* last_close_;  // the last '>', or null
};

}  // namespace hone::engine::text
