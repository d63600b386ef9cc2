#include "engine/text/pretrained/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/pretrained/characters.h"

namespace hone::engine::text {
namespace {

// Steps of one search, and the memory in which it remembers where to go back to.
constexpr uint32_t kMostSteps = 1'000'000;
constexpr uint32_t kMostKilobytes = 16 << 10;

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string MessageOf(int error) {
  PCRE2_UCHAR message[256] = {};
  pcre2_get_error_message(error, message, sizeof message);
  return reinterpret_cast<const char*>(message);
}

class Regex final : public Pattern {
 public:
  Regex(std::unique_ptr<pcre2_code, Free> code, std::unique_ptr<pcre2_match_context, Free> limits)
      : code_(std::move(code)), limits_(std::move(limits)) {}

  void Divide(absl::string_view text, Found found) const override { TryToDivide(text, found); }

  // False: a search took too many steps.
  bool TryToDivide(absl::string_view text, Found found) const {
    const std::unique_ptr<pcre2_match_data, Free> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    size_t done = 0;
    bool within_limits = true;
    for (size_t from = 0; from <= text.size();) {
      // What is not UTF-8 must not reach PCRE2 unchecked; the first search checks all of it.
      const int count =
          pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                      from == 0 ? 0 : PCRE2_NO_UTF_CHECK, match.get(), limits_.get());
      if (count < 0) {
        within_limits = count == PCRE2_ERROR_NOMATCH;
        break;
      }
      const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
      const size_t begin = ends[0], end = ends[1];
      if (end <= begin) {  // an empty match says nothing of the text
        if (begin >= text.size()) {
          break;
        }
        from = begin + FirstOf(text.substr(begin)).size;
        continue;
      }
      if (done < begin) {
        found(done, begin, false);
      }
      found(begin, end, true);
      done = from = end;
    }
    if (done < text.size()) {
      found(done, text.size(), false);
    }
    return within_limits;
  }

 private:
  const std::unique_ptr<pcre2_code, Free> code_;
  const std::unique_ptr<pcre2_match_context, Free> limits_;
};

class Literal final : public Pattern {
 public:
  explicit Literal(std::string text) : text_(std::move(text)) {}

  void Divide(absl::string_view text, Found found) const override {
    size_t done = 0;
    while (!text_.empty()) {
      const size_t begin = text.find(text_, done);
      if (begin == absl::string_view::npos) {
        break;
      }
      if (done < begin) {
        found(done, begin, false);
      }
      done = begin + text_.size();
      found(begin, done, true);
    }
    if (done < text.size()) {
      found(done, text.size(), false);
    }
  }

 private:
  const std::string text_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Pattern>> NewRegex(const std::string& pattern) {
  constexpr size_t kLongest = 10'000;
  if (pattern.size() > kLongest) {
    return absl::InvalidArgumentError(
        absl::StrCat("a pattern may have ", kLongest, " bytes, this one has ", pattern.size()));
  }
  int error = 0;
  PCRE2_SIZE where = 0;
  std::unique_ptr<pcre2_code, Free> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr));
  if (code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("no regular expression of PCRE2: ", MessageOf(error), ", at byte ", where,
                     " of `", pattern, "`"));
  }
  // Without a compiler for this processor it is interpreted.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  std::unique_ptr<pcre2_match_context, Free> limits(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(limits.get(), kMostSteps);
  pcre2_set_heap_limit(limits.get(), kMostKilobytes);
  auto regex = std::make_unique<const Regex>(std::move(code), std::move(limits));
  // Many characters of one kind and one at the end that may spoil the match, by which patterns with
  // repetitions inside repetitions show themselves.
  for (const absl::string_view repeated :
       {"a", "A", "1", " ", "\n", ".", "é", "中", "a ", "a1", "'"}) {
    std::string text;
    for (int i = 0; i < 64; ++i) {
      absl::StrAppend(&text, repeated);
    }
    // A pattern that must end with a certain character gives up at once where the text has none.
    std::string every;
    for (char c = '~'; c >= ' '; --c) {
      every.push_back(c);
    }
    for (const absl::string_view end :
         {absl::string_view(), absl::string_view("\t"), absl::string_view("\xE2\x82\xAC"),
          absl::string_view(every)}) {
      if (!regex->TryToDivide(absl::StrCat(text, end), [](size_t, size_t, bool) {})) {
        return absl::InvalidArgumentError(
            absl::StrCat("matching takes too many steps on a text of 64 times `", repeated,
                         "`: the pattern may explode: `", pattern, "`"));
      }
    }
  }
  return regex;
}

std::unique_ptr<const Pattern> NewLiteral(std::string text) {
  return std::make_unique<const Literal>(std::move(text));
}

std::unique_ptr<const Pattern> ReadPattern(const JsonPart& json) {
  json.KnowsOnly({"String", "Regex"});
  if (json.Has("Regex")) {
    auto regex = NewRegex(json.String("Regex"));
    if (regex.ok()) {
      return *std::move(regex);
    }
    json.At("Regex").Fail(regex.status().message());
  }
  return NewLiteral(json.Has("Regex") ? "" : json.String("String"));
}

Replacement ReadReplacement(const JsonPart& json, double& growth) {
  json.KnowsOnly({"type", "pattern", "content"});
  const JsonPart pattern = json.At("pattern");
  Replacement out = {ReadPattern(pattern), json.String("content")};
  const size_t shortest = pattern.Has("String") ? pattern.String("String").size() : 1;
  MultiplyGrowth(
      json,
      static_cast<double>(out.content.size()) / static_cast<double>(std::max<size_t>(shortest, 1)),
      growth);
  return out;
}

void MultiplyGrowth(const JsonPart& json, double factor, double& growth) {
  growth *= std::max(1.0, factor);
  constexpr double kMostGrowth = 4096;
  if (growth > kMostGrowth) {
    json.Fail(absl::StrCat("the replacements, one after the other, may make a text more than ",
                           kMostGrowth, " times as long"));
  }
}

}  // namespace hone::engine::text
