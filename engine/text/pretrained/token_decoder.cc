#include "engine/text/pretrained/token_decoder.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/utf8.h"
#include "engine/text/pretrained/byte_alphabet.h"
#include "engine/text/pretrained/pattern.h"
#include "engine/text/sentencepiece_model.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

using Tokens = std::vector<std::string>;
constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

void Fuse(Tokens& tokens) {
  std::string all = absl::StrJoin(tokens, "");
  tokens.assign(1, std::move(all));
}

class WordPieceDecoder final : public TokenDecoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}

  void Apply(bool, Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && absl::StartsWith(token, prefix_)) {
        token.erase(0, prefix_.size());
      } else if (i > 0) {
        token.insert(0, 1, ' ');
      }
      if (cleanup_) {
        // One after the other, as the crate does.
        constexpr std::pair<absl::string_view, absl::string_view> kChanges[] = {
            {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
            {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
            {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
        for (const auto& change : kChanges) {
          if (absl::StrContains(token, change.first)) {
            token = absl::StrReplaceAll(token, {change});
          }
        }
      }
    }
  }

 private:
  const std::string prefix_;
  const bool cleanup_;
};

class ByteLevelDecoder final : public TokenDecoder {
 public:
  void Apply(bool bytes, Tokens& tokens) const override {
    std::string token_bytes;
    for (std::string& token : tokens) {
      if (BytesOf(token, token_bytes)) {
        token = token_bytes;
      }
    }
    Fuse(tokens);
    if (!bytes) {
      tokens[0] = LossyUtf8(tokens[0]);
    }
  }

 private:
  // As Rust's String::from_utf8_lossy: U+FFFD once for the longest begin of a character.
  static std::string LossyUtf8(absl::string_view text) {
    std::string out;
    while (!text.empty()) {
      const size_t whole = Utf8Prefix(text);
      absl::StrAppend(&out, text.substr(0, whole));
      text.remove_prefix(whole);
      if (text.empty()) {
        break;
      }
      absl::StrAppend(&out, kReplacement);
      text.remove_prefix(BrokenBegin(text));
    }
    return out;
  }

  // How many bytes of a text, which does not begin with a character, are the begin of one.
  static size_t BrokenBegin(absl::string_view text) {
    const auto byte = [&](size_t i) {
      return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
    };
    const auto within = [&](size_t i, int low, int high) {
      return byte(i) >= low && byte(i) <= high;
    };
    const uint8_t first = byte(0);
    const int low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const int high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0xe0 || first > 0xf4 || !within(1, low, high)) {
      return 1;
    }
    return first >= 0xf0 && within(2, 0x80, 0xbf) ? 3 : 2;
  }
};

class ByteFallbackDecoder final : public TokenDecoder {
 public:
  void Apply(bool bytes, Tokens& tokens) const override {
    Tokens out;
    std::string run;
    const auto end_run = [&] {
      if (run.empty()) {
        return;
      }
      if (bytes || Utf8Prefix(run) == run.size()) {
        out.push_back(std::move(run));
      } else {
        out.insert(out.end(), run.size(), std::string(kReplacement));
      }
      run.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = ByteOfPiece(token); byte >= 0) {
        run.push_back(static_cast<char>(byte));
      } else {
        end_run();
        out.push_back(std::move(token));
      }
    }
    end_run();
    tokens = std::move(out);
  }
};

class MetaspaceDecoder final : public TokenDecoder {
 public:
  MetaspaceDecoder(std::string replacement, bool drops_first)
      : replacement_(std::move(replacement)), drops_first_(drops_first) {}

  void Apply(bool, Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const absl::string_view space = i == 0 && drops_first_ ? "" : " ";
      tokens[i] = absl::StrReplaceAll(tokens[i], {{replacement_, space}});
    }
  }

 private:
  const std::string replacement_;
  const bool drops_first_;
};

class FuseDecoder final : public TokenDecoder {
 public:
  void Apply(bool, Tokens& tokens) const override { Fuse(tokens); }
};

class ReplaceDecoder final : public TokenDecoder {
 public:
  explicit ReplaceDecoder(Replacement replacement) : replacement_(std::move(replacement)) {}

  void Apply(bool, Tokens& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      replacement_.pattern->Divide(token, [&](size_t begin, size_t end, bool matches) {
        absl::StrAppend(&out, matches ? absl::string_view(replacement_.content)
                                      : absl::string_view(token).substr(begin, end - begin));
      });
      token = std::move(out);
    }
  }

 private:
  const Replacement replacement_;
};

class StripDecoder final : public TokenDecoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}

  void Apply(bool, Tokens& tokens) const override {
    for (std::string& token : tokens) {
      absl::string_view left = token;
      for (int64_t i = 0; i < start_ && absl::ConsumePrefix(&left, content_); ++i) {
      }
      for (int64_t i = 0; i < stop_ && absl::ConsumeSuffix(&left, content_); ++i) {
      }
      token = std::string(left);
    }
  }

 private:
  const std::string content_;
  const int64_t start_, stop_;
};

class SequenceDecoder final : public TokenDecoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<const TokenDecoder>> steps)
      : steps_(std::move(steps)) {}
  void Apply(bool bytes, Tokens& tokens) const override {
    for (const auto& step : steps_) {
      step->Apply(bytes, tokens);
    }
  }

 private:
  const std::vector<std::unique_ptr<const TokenDecoder>> steps_;
};

std::string ReadCharacter(const JsonPart& json, absl::string_view key) {
  const std::string character = json.String(key);
  if (CountCharacters(character) != 1) {
    json.At(key).Fail("must be one character");
  }
  return character;
}

std::unique_ptr<const TokenDecoder> ReadStep(const JsonPart& json, bool may_nest, double& growth) {
  constexpr int64_t kMostCut = 1 << 20;
  switch (json.OneOf("type", {"WordPiece", "ByteLevel", "Metaspace", "ByteFallback", "Fuse",
                              "Replace", "Strip", "Sequence"})) {
    case 0:
      json.KnowsOnly({"type", "prefix", "cleanup"});
      return std::make_unique<const WordPieceDecoder>(json.String("prefix"), json.Bool("cleanup"));
    case 1:
      json.KnowsOnly({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      return std::make_unique<const ByteLevelDecoder>();
    case 2: {
      json.KnowsOnly(
          {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
      const bool never = !json.Bool("add_prefix_space", true) ||
                         (json.Has("prepend_scheme") &&
                          json.OneOf("prepend_scheme", {"always", "never", "first"}) == 1);
      return std::make_unique<const MetaspaceDecoder>(ReadCharacter(json, "replacement"), !never);
    }
    case 3:
      json.KnowsOnly({"type"});
      return std::make_unique<const ByteFallbackDecoder>();
    case 4:
      json.KnowsOnly({"type"});
      return std::make_unique<const FuseDecoder>();
    case 5:
      return std::make_unique<const ReplaceDecoder>(ReadReplacement(json, growth));
    case 6:
      json.KnowsOnly({"type", "content", "start", "stop"});
      return std::make_unique<const StripDecoder>(ReadCharacter(json, "content"),
                                                  json.Count("start", kMostCut),
                                                  json.Count("stop", kMostCut));
    default:
      break;
  }
  json.KnowsOnly({"type", "decoders"});
  if (!may_nest) {
    json.Fail("a sequence within a sequence is not read");
    return nullptr;
  }
  std::vector<std::unique_ptr<const TokenDecoder>> steps;
  for (const JsonPart& step : json.At("decoders").Items()) {
    steps.push_back(ReadStep(step, false, growth));
    if (steps.back() == nullptr) {
      return nullptr;
    }
  }
  return std::make_unique<const SequenceDecoder>(std::move(steps));
}

}  // namespace

std::unique_ptr<const TokenDecoder> ReadTokenDecoder(const JsonPart& json) {
  double growth = 1;
  return json.value().is_null() ? nullptr : ReadStep(json, true, growth);
}

}  // namespace hone::engine::text
