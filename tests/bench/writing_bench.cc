// hone-bench-writing TEXTS [THREADS] [SECONDS]: tokens of texts that are written, timed.
//
// The net of shakespeare-gpt.yaml with its first weights (gpt of 4 layers × 128, 4 heads, window
// 64, 65 characters), TEXTS texts at once, a token of each at a time, chosen with temperature 1.
// Texts of 64 tokens: one that is given, 63 that are written; then the next ones. Afterwards as
// many prompts of 64 tokens are read. Prints one line of JSON; tests/bench/torch_writing.py is its
// peer.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/predict/decoder.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/task.h"
#include "engine/tensor/token_rows.h"
#include "engine/text/sampler.h"
#include "engine/text/tokenizer.h"

namespace hone::engine {
namespace {

constexpr int64_t kWindow = 64;
constexpr int kCharacters = 65;
constexpr int32_t kFirstCharacter = 3;  // the special tokens stand before

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A decoder over weights of its own.
class Net {
 public:
  absl::Status Make(int threads) {
    std::string characters;
    for (int i = 0; i < kCharacters; ++i) {
      characters.push_back(static_cast<char>(' ' + i));
    }
    info_.preprocessing.input = data::Preprocessing::Input::kText;
    info_.preprocessing.text.emplace();
    HONE_ASSIGN_OR_RETURN(
        info_.preprocessing.text->tokenizer,
        text::TrainTokenizer(text::CharacterTokens(),
                             {1, [&](int64_t) { return absl::string_view(characters); }}));
    model_.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
    model_.preset = {.name = "gpt",
                     .options = R"({"layers": 4, "heads": 4, "width": 128, "window": 64})"};
    HONE_ASSIGN_OR_RETURN(decoder_,
                          predict::Decoder::Make([this](const tasks::DecodingShape& shape) {
                            return task_->BuildDecoding(model_, info_, shape);
                          }));
    for (const Graph* graph : decoder_->graphs()) {
      for (const Graph::Node& node : graph->nodes()) {
        if (node.kind == Graph::Node::Kind::kParameter) {
          HONE_RETURN_IF_ERROR(store_.Declare(node.parameter).status());
        }
      }
    }
    store_.Allocate(0);
    store_.Initialize(1);
    HONE_RETURN_IF_ERROR(decoder_->Compile(store_, threads));
    store_.MarkChanged();
    store_.RefreshAll();
    return absl::OkStatus();
  }

  // Writes so many texts to the end of the window; `round` makes them other ones.
  absl::Status Write(int64_t texts, int64_t round, text::Sampler& sampler) {
    std::vector<std::vector<int32_t>> written(static_cast<size_t>(texts));
    for (size_t t = 0; t < written.size(); ++t) {
      written[t].reserve(kWindow);
      written[t].push_back(
          kFirstCharacter +
          static_cast<int32_t>((round * texts + static_cast<int64_t>(t)) % kCharacters));
    }
    std::vector<std::span<const int32_t>> asked(written.size());
    for (int64_t number = 0; number + 1 < kWindow; ++number) {
      std::ranges::copy(written, asked.begin());
      HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> logits, decoder_->Run(asked));
      for (size_t t = 0; t < written.size(); ++t) {
        written[t].push_back(
            sampler.Next(logits[t], written[t],
                         round * kWindow * texts + number * texts + static_cast<int64_t>(t)));
      }
    }
    return absl::OkStatus();
  }

  // Reads so many prompts as long as the window, other ones in each round.
  absl::Status Read(int64_t texts, int64_t round) {
    std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(texts));
    for (size_t t = 0; t < prompts.size(); ++t) {
      for (int64_t i = 0; i < kWindow; ++i) {
        const int64_t number = (round * texts + static_cast<int64_t>(t)) * 7 + i * (i + round);
        prompts[t].push_back(kFirstCharacter + static_cast<int32_t>(number % kCharacters));
      }
    }
    return decoder_->Run(std::vector<std::span<const int32_t>>(prompts.begin(), prompts.end()))
        .status();
  }

 private:
  const std::unique_ptr<tasks::Task> task_ = tasks::MakeLanguageModeling({.window = kWindow});
  models::ModelDescription model_;
  tasks::DataInfo info_;
  ParameterStore store_;
  std::unique_ptr<predict::Decoder> decoder_;
};

struct Rates {
  double written;
  double read;
};

// Tokens a second.
absl::StatusOr<Rates> Measure(int64_t texts, int threads, double seconds) {
  Net net;
  HONE_RETURN_IF_ERROR(net.Make(threads));
  text::Sampler sampler({}, {0, 1, 2});
  HONE_RETURN_IF_ERROR(net.Write(texts, 0, sampler));
  Clock::time_point begin = Clock::now();
  int64_t rounds = 0;
  do {
    HONE_RETURN_IF_ERROR(net.Write(texts, ++rounds, sampler));
  } while (SecondsSince(begin) < seconds);
  Rates rates = {
      .written = static_cast<double>(rounds * texts * (kWindow - 1)) / SecondsSince(begin),
      .read = 0};
  HONE_RETURN_IF_ERROR(net.Read(texts, ++rounds));  // its program is made
  begin = Clock::now();
  int64_t read = 0;
  do {
    HONE_RETURN_IF_ERROR(net.Read(texts, ++rounds));
    ++read;
  } while (SecondsSince(begin) < seconds / 4);
  rates.read = static_cast<double>(read * texts * kWindow) / SecondsSince(begin);
  return rates;
}

int Main(int argc, char** argv) {
  const int64_t texts = argc > 1 ? std::atoll(argv[1]) : 0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 2;
  if (texts < 1 || threads < 1) {
    std::fputs("usage: hone-bench-writing TEXTS [THREADS] [SECONDS]\n", stderr);
    return 2;
  }
  const absl::StatusOr<Rates> rates = Measure(texts, threads, argc > 3 ? std::atof(argv[3]) : 2);
  if (!rates.ok()) {
    std::fprintf(stderr, "hone-bench-writing: %s\n", rates.status().ToString().c_str());
    return 1;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"texts\": %lld, \"threads\": %d, \"tokens_per_second\": %.1f, "
      "\"read_per_second\": %.1f, \"peak_rss_mb\": %.1f}\n",
      static_cast<long long>(texts), threads, rates->written, rates->read,
      static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}

}  // namespace
}  // namespace hone::engine

int main(int argc, char** argv) { return hone::engine::Main(argc, argv); }
