#include "engine/text/pretrained/token_template.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace hone::engine::text {
namespace {

using Part = TokenTemplate::Part;
using Kind = Part::Kind;

Part Special(int32_t id, int32_t type = 0) {
  return {.kind = Kind::kSpecial, .ids = {id}, .type = type};
}

// ["[SEP]", 102]
int32_t ReadSpecial(const JsonPart& json, int64_t size) {
  const std::vector<JsonPart> items = json.Items();
  if (items.size() != 2) {
    json.Fail("must be a token and its id");
    return 0;
  }
  items[0].AsString();
  return static_cast<int32_t>(items[1].AsCount(size - 1));
}

std::vector<Part> ReadParts(const JsonPart& json, const JsonPart& specials, int64_t size) {
  std::vector<Part> parts;
  constexpr int64_t kMostTypes = 1 << 16;
  for (const JsonPart& item : json.Items()) {
    item.KnowsOnly({"Sequence", "SpecialToken"});
    const bool is_text = item.Has("Sequence");
    const JsonPart part = item.At(is_text ? "Sequence" : "SpecialToken");
    Part read = {.type = static_cast<int32_t>(part.Count("type_id", kMostTypes))};
    if (is_text) {
      read.kind = part.OneOf("id", {"A", "B"}) == 0 ? Kind::kFirst : Kind::kSecond;
    } else {
      read.kind = Kind::kSpecial;
      const std::string name = part.String("id");
      if (!specials.Has(name)) {
        part.At("id").Fail(absl::StrCat("`", name, "` is none of ", specials.path()));
        break;
      }
      for (const JsonPart& id : specials.At(name).At("ids").Items()) {
        read.ids.push_back(static_cast<int32_t>(id.AsCount(size - 1)));
      }
    }
    parts.push_back(std::move(read));
    if (!json.ok()) {
      break;
    }
  }
  return parts;
}

bool Has(const std::vector<Part>& parts, Kind kind) {
  for (const Part& part : parts) {
    if (part.kind == kind) {
      return true;
    }
  }
  return false;
}

void ReadOne(const JsonPart& json, int64_t size, bool may_nest, TokenTemplate& out) {
  switch (json.OneOf("type", {"TemplateProcessing", "BertProcessing", "RobertaProcessing",
                              "ByteLevel", "Sequence"})) {
    case 0: {
      json.KnowsOnly({"type", "single", "pair", "special_tokens"});
      const JsonPart specials = json.At("special_tokens");
      out.single = ReadParts(json.At("single"), specials, size);
      out.pair = ReadParts(json.At("pair"), specials, size);
      if (Has(out.single, Kind::kSecond)) {
        json.At("single").Fail("must not have the second text of a pair");
      }
      return;
    }
    case 1: {
      json.KnowsOnly({"type", "sep", "cls"});
      const int32_t end = ReadSpecial(json.At("sep"), size);
      const int32_t begin = ReadSpecial(json.At("cls"), size);
      out.single = {Special(begin), {}, Special(end)};
      out.pair = {
          Special(begin), {}, Special(end), {.kind = Kind::kSecond, .type = 1}, Special(end, 1)};
      return;
    }
    case 2: {
      json.KnowsOnly({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
      const int32_t end = ReadSpecial(json.At("sep"), size);
      const int32_t begin = ReadSpecial(json.At("cls"), size);
      out.trims = json.Bool("trim_offsets");
      out.keeps_first_space = json.Bool("add_prefix_space");
      out.single = {Special(begin), {}, Special(end)};
      out.pair = {Special(begin),          {},          Special(end), Special(end),
                  {.kind = Kind::kSecond}, Special(end)};
      return;
    }
    case 3:
      json.KnowsOnly({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      out.trims = json.Bool("trim_offsets");
      out.keeps_first_space = json.Bool("add_prefix_space");
      return;
    default:
      break;
  }
  json.KnowsOnly({"type", "processors"});
  if (!may_nest) {
    json.Fail("a sequence within a sequence is not read");
    return;
  }
  // ByteLevel, and then what puts tokens around the text. Two of a kind would do so twice.
  bool has[2] = {};
  for (const JsonPart& step : json.At("processors").Items()) {
    const bool trims = step.Has("type") && step.String("type") == "ByteLevel";
    if (has[trims ? 1 : 0]) {
      step.Fail("two post-processors of a kind are not read");
    } else if (trims && has[0]) {
      step.Fail("ByteLevel behind a template is not read");
    }
    has[trims ? 1 : 0] = true;
    ReadOne(step, size, false, out);
    if (!step.ok()) {
      return;
    }
  }
}

}  // namespace

TokenizedText TokenTemplate::Apply(const TokenizedText& first, const TokenizedText* second) const {
  TokenizedText out;
  for (const Part& part : second == nullptr ? single : pair) {
    if (part.kind == Kind::kSpecial) {
      out.ids.insert(out.ids.end(), part.ids.begin(), part.ids.end());
      out.bytes.resize(out.ids.size());
    } else {
      const TokenizedText& text = part.kind == Kind::kFirst ? first : *second;
      out.ids.insert(out.ids.end(), text.ids.begin(), text.ids.end());
      out.bytes.insert(out.bytes.end(), text.bytes.begin(), text.bytes.end());
    }
    out.types.resize(out.ids.size(), part.type);
  }
  return out;
}

TokenTemplate ReadTokenTemplate(const JsonPart& json, int64_t size) {
  TokenTemplate out;
  if (!json.value().is_null()) {
    ReadOne(json, size, true, out);
  }
  return out;
}

}  // namespace hone::engine::text
