#include "engine/text/html.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

// The characters U+00A0 to U+00FF by their names in HTML 4.01, section 24.2.
constexpr absl::string_view kLatin1Names =
    "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn "
    "sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave "
    "Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml "
    "ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN "
    "szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave "
    "iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute "
    "ucirc uuml yacute thorn yuml";
constexpr char32_t kFirstLatin1 = 0xa0;

constexpr std::pair<absl::string_view, char32_t> kNames[] = {
    {"amp", '&'},       {"lt", '<'},        {"gt", '>'},        {"quot", '"'},
    {"apos", '\''},     {"ndash", 0x2013},  {"mdash", 0x2014},  {"lsquo", 0x2018},
    {"rsquo", 0x2019},  {"sbquo", 0x201a},  {"ldquo", 0x201c},  {"rdquo", 0x201d},
    {"bdquo", 0x201e},  {"hellip", 0x2026}, {"bull", 0x2022},   {"euro", 0x20ac},
    {"trade", 0x2122},  {"OElig", 0x0152},  {"oelig", 0x0153},  {"Scaron", 0x0160},
    {"scaron", 0x0161}, {"dagger", 0x2020}, {"lsaquo", 0x2039}, {"rsaquo", 0x203a},
};

// Tags that begin or end a line.
constexpr absl::string_view kBreaks[] = {
    "address", "article", "aside", "blockquote", "br",    "dd",    "div", "dl",     "dt",
    "footer",  "form",    "h1",    "h2",         "h3",    "h4",    "h5",  "h6",     "head",
    "hr",      "header",  "li",    "main",       "nav",   "ol",    "p",   "pre",    "td",
    "th",      "tr",      "table", "tbody",      "thead", "title", "ul",  "option", "section",
};

constexpr size_t kLongestName = 32;  // of a tag or a reference

std::optional<char32_t> NumberedCharacter(absl::string_view digits) {
  uint32_t number = 0;
  const bool hex = absl::StartsWithIgnoreCase(digits, "x");
  const bool read =
      hex ? absl::SimpleHexAtoi(digits.substr(1), &number) : absl::SimpleAtoi(digits, &number);
  const bool surrogate = number >= 0xd800 && number < 0xe000;
  return read && number > 0 && number < 0x110000 && !surrogate ? std::optional<char32_t>(number)
                                                               : std::nullopt;
}

std::optional<char32_t> NamedCharacter(absl::string_view name) {
  static const std::vector<absl::string_view>& latin1 =
      *new std::vector<absl::string_view>(absl::StrSplit(kLatin1Names, ' '));
  if (const auto found = std::ranges::find(latin1, name); found != latin1.end()) {
    return kFirstLatin1 + static_cast<char32_t>(found - latin1.begin());
  }
  const auto found =
      std::ranges::find(kNames, name, &std::pair<absl::string_view, char32_t>::first);
  return found != std::end(kNames) ? std::optional(found->second) : std::nullopt;
}

}  // namespace

// Goes once through the text: every step looks at a bounded piece of it, or removes what it looks
// at.
HtmlStripper::HtmlStripper(absl::string_view html) : html_(html) {
  const size_t last = html.rfind('>');
  last_close_ = last == absl::string_view::npos ? nullptr : html.data() + last;
}

bool HtmlStripper::Next(size_t bytes, std::string& out) {
  const size_t wanted = html_.size() - std::min(html_.size(), bytes);  // that is still left then
  while (!html_.empty() && html_.size() > wanted) {
    const absl::string_view near = html_.substr(0, html_.size() - wanted);
    size_t plain = std::min(near.find_first_of("<&"), near.size());
    while (plain < html_.size() && ContinuesCharacter(html_[plain])) {
      ++plain;
    }
    out.append(html_.data(), plain);
    html_.remove_prefix(plain);
    if (absl::StartsWith(html_, "<")) {
      TakeTag(out);
    } else if (absl::StartsWith(html_, "&")) {
      TakeReference(out);
    }
  }
  return !html_.empty();
}

// There is a '>' behind the '<' at which the text stands.
bool HtmlStripper::IsClosed() const { return last_close_ != nullptr && last_close_ > html_.data(); }

void HtmlStripper::RemoveThrough(absl::string_view end) {
  const size_t at = html_.find(end);
  html_.remove_prefix(at == absl::string_view::npos ? html_.size() : at + end.size());
}

// Of a tag that begins with '<': "br", "/p"; "" where this is no tag.
std::string HtmlStripper::TagName() const {
  const size_t first = absl::StartsWith(html_, "</") ? 2 : 1;
  size_t end = first;
  while (end < std::min(html_.size(), kLongestName) &&
         absl::ascii_isalnum(static_cast<unsigned char>(html_[end]))) {
    ++end;
  }
  const bool named = end > first && absl::ascii_isalpha(static_cast<unsigned char>(html_[first]));
  return named && IsClosed() ? absl::AsciiStrToLower(html_.substr(1, end - 1)) : std::string();
}

// A tag or a comment, which begins with '<', or the '<' alone where it begins none.
void HtmlStripper::TakeTag(std::string& out) {
  if (absl::StartsWith(html_, "<!--")) {
    return RemoveThrough("-->");
  }
  if (absl::StartsWith(html_, "<!") && IsClosed()) {
    return RemoveThrough(">");
  }
  const std::string tag = TagName();
  if (tag.empty()) {
    return TakeOne(out);
  }
  RemoveThrough(">");
  if (tag == "script" || tag == "style") {
    RemoveContents(tag);
  }
  if (std::ranges::find(kBreaks, absl::StripPrefix(tag, "/")) != std::end(kBreaks)) {
    out.push_back(' ');
  }
}

// Script or style up to its closing tag, or to the end where there is none.
void HtmlStripper::RemoveContents(const std::string& tag) {
  const std::string end = absl::StrCat("/", tag);
  while (!html_.empty() && TagName() != end) {
    html_.remove_prefix(std::min(html_.find('<', 1), html_.size()));
  }
}

// A reference, which begins with '&', or the '&' alone where it begins none.
void HtmlStripper::TakeReference(std::string& out) {
  const size_t end = html_.substr(0, kLongestName).find(';');
  if (end == absl::string_view::npos) {
    return TakeOne(out);
  }
  const absl::string_view name = html_.substr(1, end - 1);
  const std::optional<char32_t> character =
      absl::StartsWith(name, "#") ? NumberedCharacter(name.substr(1)) : NamedCharacter(name);
  if (!character) {
    return TakeOne(out);
  }
  AppendCharacter(*character, out);
  html_.remove_prefix(end + 1);
}

void HtmlStripper::TakeOne(std::string& out) {
  out.push_back(html_[0]);
  html_.remove_prefix(1);
}

std::string StripHtml(absl::string_view html) {
  std::string out;
  out.reserve(html.size());
  HtmlStripper(html).Next(html.size(), out);
  return out;
}

}  // namespace hone::engine::text
