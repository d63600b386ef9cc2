#include "engine/tasks/writing.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "engine/base/utf8.h"
#include "engine/tasks/chat_reader.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"
#include "engine/text/cleaning.h"
#include "engine/text/growing_text.h"
#include "engine/text/sampler.h"
#include "engine/text/unicode.h"

namespace hone::engine::tasks {
namespace {

using End = Prediction::Writing::End;

constexpr int64_t kMostCount = 1 << 20;
constexpr size_t kMostStops = 16;
constexpr size_t kMostStopBytes = 1024;
// Of an answer that is not a text's first one.
constexpr int64_t kTokensTogether = 8;
constexpr absl::Duration kMoment = absl::Milliseconds(20);
// So many texts come to the end of their answers before others begin: no more than those of which
// what they have had is kept (predict::Decoder::kMostRows). Else each token of each of them would
// cost the whole text.
constexpr size_t kTextsTogether = 8;

// A wish as an example's numbers, beside its tokens.
constexpr char kCountsInput[] = "counts";      // 64 bits as two s32: WishOf
constexpr char kSamplingInput[] = "sampling";  // bits of doubles in the same way
constexpr char kStopsInput[] = "stops";        // texts, each with a zero behind it
constexpr char kHeldInput[] = "held";

void AppendWide(uint64_t bits, std::vector<int32_t>& to) {
  to.push_back(static_cast<int32_t>(static_cast<uint32_t>(bits)));
  to.push_back(static_cast<int32_t>(static_cast<uint32_t>(bits >> 32)));
}
uint64_t WideAt(const std::vector<int32_t>& from, size_t i) {
  return static_cast<uint64_t>(static_cast<uint32_t>(from[2 * i + 1])) << 32 |
         static_cast<uint32_t>(from[2 * i]);
}

template <typename T>
const std::vector<T>& NumbersOf(const Example& example, absl::string_view name) {
  return std::get<std::vector<T>>(example.at(std::string(name)));
}
const std::vector<int32_t>& TokensOf(const Example& example) {
  return NumbersOf<int32_t>(example, kTokensInput);
}
std::vector<uint8_t> BytesOf(absl::string_view text) { return {text.begin(), text.end()}; }

Example ToExample(const WritingQuestion& wish, WritingState state) {
  const text::SamplingOptions& s = wish.sampling;
  std::vector<int32_t> counts, sampling;
  for (const int64_t count : {wish.count, state.written, s.top_k}) {
    AppendWide(static_cast<uint64_t>(count), counts);
  }
  AppendWide(s.seed, counts);
  for (const double option : {s.repetition_penalty, s.temperature, s.top_p}) {
    AppendWide(std::bit_cast<uint64_t>(option), sampling);
  }
  std::string stops;
  for (const std::string& stop : wish.stops) {
    stops.append(stop).push_back('\0');
  }
  return {{std::string(kTokensInput), std::move(state.tokens)},
          {kCountsInput, std::move(counts)},
          {kSamplingInput, std::move(sampling)},
          {kStopsInput, BytesOf(stops)},
          {kHeldInput, BytesOf(state.held)}};
}

WritingQuestion WishOf(const Example& example) {
  const auto& counts = NumbersOf<int32_t>(example, kCountsInput);
  const auto& sampling = NumbersOf<int32_t>(example, kSamplingInput);
  const auto& held = NumbersOf<uint8_t>(example, kHeldInput);
  WritingQuestion wish = {
      .count = static_cast<int64_t>(WideAt(counts, 0)),
      .sampling = {.repetition_penalty = std::bit_cast<double>(WideAt(sampling, 0)),
                   .temperature = std::bit_cast<double>(WideAt(sampling, 1)),
                   .top_k = static_cast<int64_t>(WideAt(counts, 2)),
                   .top_p = std::bit_cast<double>(WideAt(sampling, 2)),
                   .seed = WideAt(counts, 3)},
      .state = WritingState{.tokens = TokensOf(example),
                            .written = static_cast<int64_t>(WideAt(counts, 1)),
                            .held = std::string(held.begin(), held.end())}};
  std::string stop;
  for (const uint8_t byte : NumbersOf<uint8_t>(example, kStopsInput)) {
    if (byte == 0) {
      wish.stops.push_back(std::exchange(stop, ""));
    } else {
      stop.push_back(static_cast<char>(byte));
    }
  }
  return wish;
}

// Neither belongs into a text, but for a token that also ends one, or a turn, as checkpoints of
// others have it.
std::vector<int32_t> NeverWritten(const text::SpecialTokens& special, int32_t end_of_turn) {
  std::vector<int32_t> never = {special.unknown, special.begin};
  std::erase(never, special.end);
  std::erase(never, end_of_turn);
  return never;
}

// A text that is being written, for one answer.
class Writer {
 public:
  // `end_of_turn` ends the text, too; −1: there is none.
  Writer(WritingQuestion wish, const text::Tokenizer& tokenizer, int32_t end_of_turn,
         int64_t window)
      : count_(wish.count),
        end_of_text_(tokenizer.special().end),
        end_of_turn_(end_of_turn),
        window_(static_cast<size_t>(window)),
        most_(wish.state->written == 0 ? 1 : kTokensTogether),
        state_(std::move(*wish.state)),
        sampler_(wish.sampling, NeverWritten(tokenizer.special(), end_of_turn)),
        text_(tokenizer, state_.tokens.back(), std::move(wish.stops), std::move(state_.held)) {}

  bool wants_more() const { return end_ == End::kNone && added_ < most_; }
  const std::vector<int32_t>& tokens() const { return state_.tokens; }

  void Add(std::span<const float> logits) {
    const int32_t token = sampler_.Next(logits, state_.tokens, state_.written);
    ++added_;
    ++state_.written;
    if (token == end_of_text_ || token == end_of_turn_) {
      end_ = End::kEndOfText;
      return;
    }
    if (state_.tokens.size() >= window_) {
      const size_t kept = std::max<size_t>(window_ / 2, 1) - 1;  // beside the new one
      state_.tokens.erase(state_.tokens.begin(),
                          state_.tokens.end() - static_cast<std::ptrdiff_t>(kept));
    }
    state_.tokens.push_back(token);
    if (!text_.Add(token)) {
      end_ = End::kStop;
    } else if (state_.written >= count_) {
      end_ = End::kCount;
    }
  }

  Prediction Result() && {
    Prediction::Writing writing = {.text = text_.Take(), .end = end_};
    if (end_ != End::kNone) {
      writing.text += text_.Finish();
    }
    state_.held = text_.held();
    writing.state = std::move(state_);
    Prediction prediction;
    prediction.writing = std::move(writing);
    return prediction;
  }

 private:
  const int64_t count_;
  const int32_t end_of_text_;
  const int32_t end_of_turn_;
  const size_t window_;
  const int64_t most_;
  WritingState state_;
  text::Sampler sampler_;
  text::GrowingText text_;
  int64_t added_ = 0;
  End end_ = End::kNone;
};

class WritingAnswerer final : public Answerer {
 public:
  WritingAnswerer(const data::Preprocessing& preprocessing, int64_t window, bool begins_texts)
      : how_(*preprocessing.text),
        tokenizer_(*how_.tokenizer),
        window_(window),
        begins_texts_(begins_texts),
        chat_(ChatReader::Make(how_)) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    return outputs == tokenizer_.size()
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("the model gives ", outputs,
                                                         " numbers for a token, its "
                                                         "vocabulary has ",
                                                         tokenizer_.size(), " tokens"));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* wish = std::get_if<WritingQuestion>(&question);
    if (wish == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the model writes texts, this is ",
                                                     NameOf(question),
                                                     ": use `hone generate --prompt`"));
    }
    HONE_RETURN_IF_ERROR(Annotate(Check(*wish), name));
    if (wish->state.has_value()) {
      HONE_RETURN_IF_ERROR(Annotate(Check(*wish->state), name));
      return ToExample(*wish, *wish->state);
    }
    absl::StatusOr<std::vector<int32_t>> tokens =
        wish->messages.empty() ? TokensOfPrompt(wish->prompt) : TokensOfMessages(*wish);
    HONE_RETURN_IF_ERROR(Annotate(tokens.status(), name));
    return ToExample(*wish, {.tokens = *std::move(tokens)});
  }

  // The power of two that holds the tokens, so that there are few programs.
  int64_t BucketOf(std::span<const Example> examples) const override {
    size_t tokens = 0;
    for (const Example& example : examples) {
      tokens += TokensOf(example).size();
    }
    return PlannedRows(static_cast<int64_t>(std::bit_ceil(std::max<size_t>(tokens, 1))));
  }

  absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(TextFiller filler, TextFiller::Begin(inputs));
    for (const Example& example : examples) {
      HONE_RETURN_IF_ERROR(filler.Add(TokensOf(example)));
    }
    return filler.Finish();
  }

  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override {
    std::vector<Writer> writers;
    writers.reserve(examples.size());
    for (const Example& example : examples) {
      writers.emplace_back(WishOf(example), tokenizer_, chat_.ok() ? chat_->end_of_turn() : -1,
                           window_);
    }
    for (std::span<Writer> left(writers); !left.empty();) {
      const std::span<Writer> together = left.first(std::min(left.size(), kTextsTogether));
      HONE_RETURN_IF_ERROR(Write(together, run));
      left = left.subspan(together.size());
    }
    std::vector<Prediction> predictions;
    for (Writer& writer : writers) {
      predictions.push_back(std::move(writer).Result());
    }
    return predictions;
  }

 private:
  // A token of each text at a time. What a text has had before may have to be run first, which is
  // no reason to give one token of it alone.
  static absl::Status Write(std::span<Writer> writers, const RunExamples& run) {
    std::optional<absl::Duration> begin;
    do {
      std::vector<Example> asked;
      std::vector<Writer*> asking;
      for (Writer& writer : writers) {
        if (writer.wants_more()) {
          asking.push_back(&writer);
          asked.push_back({{std::string(kTokensInput), writer.tokens()}});
        }
      }
      if (asked.empty()) {
        break;
      }
      HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> logits, run(asked));
      for (size_t i = 0; i < asking.size(); ++i) {
        asking[i]->Add(logits[i]);
      }
      begin = begin.value_or(SteadyNow());
    } while (SteadyNow() - *begin < kMoment);
    return absl::OkStatus();
  }

  static absl::Status Check(const WritingQuestion& wish) {
    if (wish.count < 1 || wish.count > kMostCount) {
      return absl::InvalidArgumentError(
          absl::StrCat("count: must be 1 to ", kMostCount, ", got ", wish.count));
    }
    HONE_RETURN_IF_ERROR(text::CheckSampling(wish.sampling));
    if (wish.stops.size() > kMostStops) {
      return absl::InvalidArgumentError(
          absl::StrCat("stop: at most ", kMostStops, " texts, got ", wish.stops.size()));
    }
    for (const std::string& stop : wish.stops) {
      if (stop.size() > kMostStopBytes || absl::StrContains(stop, '\0')) {
        return absl::InvalidArgumentError(absl::StrCat(
            "stop: a text must have at most ", kMostStopBytes, " bytes, and no zero among them"));
      }
    }
    if (wish.prompt.size() > kMostPromptBytes) {
      return absl::InvalidArgumentError(absl::StrCat("prompt: must have at most ", kMostPromptBytes,
                                                     " bytes, got ", wish.prompt.size()));
    }
    return text::CheckStops(wish.stops);
  }

  absl::Status Check(const WritingState& state) const {
    const auto vocabulary = static_cast<int32_t>(tokenizer_.size());
    const bool known = std::ranges::all_of(
        state.tokens, [&](int32_t token) { return token >= 0 && token < vocabulary; });
    const auto count = static_cast<int64_t>(state.tokens.size());
    // What is held back is the begin of a stop text and of a character.
    if (!known || count < 1 || count > window_ || state.written < 0 || state.written > kMostCount ||
        state.held.size() > 2 * kMostStopBytes) {
      return absl::InvalidArgumentError("state: must be one that an answer of this model had");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<int32_t>> TokensOfPrompt(const std::string& prompt) const {
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(prompt), "prompt"));
    std::string cleaned = text::Clean(prompt, how_.cleaning, nullptr);
    if (how_.cleaning.white_space && !cleaned.empty() && absl::EndsWith(prompt, " ")) {
      cleaned.push_back(' ');
    }
    std::vector<int32_t> tokens;
    if (how_.in_template && !cleaned.empty()) {
      // What begins a text stands before it, and what would end it does not.
      tokens = how_.EncodeCleaned(cleaned);
      if (tokens.size() > 1 && tokens.back() == tokenizer_.special().end) {
        tokens.pop_back();
      }
    } else {
      tokenizer_.Encode(cleaned, tokens);
    }
    if (std::ranges::find(tokens, tokenizer_.special().unknown) != tokens.end()) {
      return Unknown(cleaned, tokens);
    }
    if (begins_texts_) {
      tokens.insert(tokens.begin(), tokenizer_.special().begin);
    }
    if (tokens.empty()) {
      tokenizer_.Encode("\n", tokens);
      if (tokens.size() != 1 || tokens[0] == tokenizer_.special().unknown) {
        tokens = {std::max(tokenizer_.special().end, 0)};
      }
    }
    if (const auto window = static_cast<size_t>(window_); tokens.size() > window) {
      tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(window));
    }
    return tokens;
  }

  absl::StatusOr<std::vector<int32_t>> TokensOfMessages(const WritingQuestion& wish) const {
    HONE_RETURN_IF_ERROR(Annotate(chat_.status(), "messages"));
    return chat_->Read(wish, window_);
  }

  // Names the first character that the vocabulary does not have, or the first word where its tokens
  // are longer.
  absl::Status Unknown(absl::string_view prompt, const std::vector<int32_t>& tokens) const {
    const auto is_unknown = [&](absl::string_view part) {
      std::vector<int32_t> of_part;
      tokenizer_.Encode(part, of_part);
      return std::ranges::find(of_part, tokenizer_.special().unknown) != of_part.end();
    };
    const bool characters = text::CountCharacters(prompt) == static_cast<int64_t>(tokens.size());
    absl::string_view left = prompt;
    while (!left.empty()) {
      const absl::string_view begin = left;
      char32_t character = text::TakeCharacter(left);
      while (!characters && !text::IsSpace(character) && !left.empty()) {
        absl::string_view next = left;
        character = text::TakeCharacter(next);
        left = text::IsSpace(character) ? left : next;
      }
      const absl::string_view part = begin.substr(0, begin.size() - left.size());
      if (is_unknown(part)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "prompt: the model's vocabulary does not have the ", characters ? "character" : "word",
            " \"", part, "\", at byte ", begin.data() - prompt.data()));
      }
    }
    return absl::InvalidArgumentError("prompt: the model's vocabulary does not have all of it");
  }

  const data::TextPreprocessing& how_;
  const text::Tokenizer& tokenizer_;
  const int64_t window_;
  const bool begins_texts_;
  const absl::StatusOr<ChatReader> chat_;  // why not, where conversations are not answered
};

}  // namespace

std::unique_ptr<Answerer> NewWritingAnswerer(const data::Preprocessing& preprocessing,
                                             int64_t window, bool begins_texts) {
  return std::make_unique<WritingAnswerer>(preprocessing, window, begins_texts);
}

}  // namespace hone::engine::tasks
