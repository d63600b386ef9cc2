#include "engine/text/pretrained/aligned_text.h"

#include <algorithm>
#include <utility>

#include "engine/text/pretrained/characters.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {

using Bytes = AlignedText::Bytes;

Bytes AlignedText::OriginAt(size_t byte) const {
  if (changed_) {
    return origins_[byte];
  }
  if (!part_of_.empty()) {
    return part_of_[byte];
  }
  size_t begin = byte, end = byte + 1;
  while (begin > 0 && ContinuesCharacter(given_[begin])) {
    --begin;
  }
  while (end < given_.size() && ContinuesCharacter(given_[end])) {
    ++end;
  }
  return {static_cast<uint32_t>(base_ + begin), static_cast<uint32_t>(base_ + end)};
}

Bytes AlignedText::OriginOf(size_t begin, size_t end) const {
  if (begin >= end) {
    const auto at = static_cast<uint32_t>(base_ + begin);
    return {at, at};
  }
  return {OriginAt(begin).begin, OriginAt(end - 1).end};
}

AlignedText AlignedText::Part(size_t begin, size_t end) const {
  AlignedText part(text().substr(begin, end - begin), base_ + begin, tracked_);
  if (tracked_ && (changed_ || !part_of_.empty())) {
    part.part_of_ =
        (changed_ ? std::span<const Bytes>(origins_) : part_of_).subspan(begin, end - begin);
    part.base_ = OriginAt(begin).begin;
  }
  return part;
}

void AlignedText::Become(std::string text, std::vector<Bytes> origins) {
  own_ = std::move(text);
  origins_ = std::move(origins);
  changed_ = true;
}

void AlignedText::Transform(std::span<const Change> changes, size_t removed) {
  const absl::string_view old = text();
  size_t offset = 0;
  const auto skip = [&](size_t characters) {
    for (; characters > 0 && offset < old.size(); --characters) {
      offset += FirstOf(old.substr(offset)).size;
    }
  };
  skip(removed);
  std::string out;
  std::vector<Bytes> origins;
  out.reserve(old.size());
  for (const Change& change : changes) {
    const bool more = change.change > 0;
    const size_t from =
        std::min(more && offset > 0 ? offset - 1 : offset, old.empty() ? 0 : old.size() - 1);
    AppendCharacter(change.character, out);
    if (tracked_) {
      const auto none = static_cast<uint32_t>(base_);
      origins.resize(out.size(),
                     old.empty() || (more && offset == 0) ? Bytes{none, none} : OriginAt(from));
    }
    if (!more) {
      skip(1 + static_cast<size_t>(-change.change));
    }
  }
  Become(std::move(out), std::move(origins));
}

void AlignedText::Prepend(absl::string_view prefix) {
  Rewriter rewriter(*this);
  rewriter.Put(prefix, 0);
  rewriter.Copy(0, text().size());
  rewriter.Finish();
}

AlignedText::Rewriter::Rewriter(AlignedText& text) : text_(text) {
  out_.reserve(text.text().size() + text.text().size() / 8);
}

void AlignedText::Rewriter::Copy(size_t begin, size_t end) {
  out_.append(text_.text().data() + begin, end - begin);
  if (text_.tracked_) {
    for (size_t i = begin; i < end; ++i) {
      origins_.push_back(text_.OriginAt(i));
    }
  }
}

void AlignedText::Rewriter::Put(absl::string_view bytes, size_t from) {
  out_.append(bytes.data(), bytes.size());
  if (text_.tracked_) {
    origins_.resize(out_.size(), text_.OriginAt(from));
  }
}

void AlignedText::Rewriter::Put(char32_t character, size_t from) {
  if (character < 0x80) {
    out_.push_back(static_cast<char>(character));
  } else {
    AppendCharacter(character, out_);
  }
  if (text_.tracked_) {
    origins_.resize(out_.size(), text_.OriginAt(from));
  }
}

void AlignedText::Rewriter::Finish() { text_.Become(std::move(out_), std::move(origins_)); }

}  // namespace hone::engine::text
