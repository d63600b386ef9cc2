#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/task_programs.h"
#include "engine/text/beam_search.h"

namespace hone::engine::tasks {

// What a translator's programs are compiled for.
struct TranslatorShape {
  int64_t rows = 64;           // translations that are written at the same time
  int64_t source_rows = 1024;  // tokens that all sentences that are translated together may have
  int64_t window = 100;        // tokens of a translation at most
  // Above 0: there is a program that also tells what was looked at, of sentences of so many tokens
  // at most.
  int64_t longest_source = 0;

  // Of one sentence: beside it as many others as there are rows must have a token each.
  int64_t longest_sentence() const { return source_rows - rows + 1; }
};

// Its programs: one reads sentences, one writes a token of each translation, and there may be one
// that writes so and tells what it looks at (models/translation.h). All are over one store.
std::vector<ForwardSpec> TranslatorPrograms(const TranslatorShape& shape);
// The graph of one of them. `start` is an empty one.
absl::StatusOr<TaskGraph> BuildTranslatorProgram(TaskGraph start,
                                                 const models::ModelDescription& model,
                                                 const DataInfo& info, const TranslatorShape& shape,
                                                 const ForwardSpec& spec);

// What a sentence became.
struct Translated {
  std::vector<text::BeamText> texts;  // the best first, at least one
  // Where that was asked for, of each token of the first text, and its end: what share it looked at
  // each of the sentence's tokens with.
  std::vector<std::vector<float>> attention = {};
};

// Translates sentences, several at a time, by greedy or beam search (text/beam_search.h). A
// translation has at most twice its sentence's tokens and ten more. The token for what is unknown
// is never written. Not thread safe; the programs and the preprocessing outlive it.
class Translator {
 public:
  // NOT_FOUND where the programs are not there; INTERNAL where they are others.
  static absl::StatusOr<Translator> Make(ForwardPrograms& programs,
                                         const data::Preprocessing& preprocessing,
                                         const TranslatorShape& shape);

  struct Options {
    text::BeamOptions search = {};  // beams: at most the shape's rows; longest: at most its window
    bool attention = false;         // with one beam, of a shape with longest_source, which no
                                    // sentence may exceed
  };
  // In the order of the sentences, which have 1 to longest_sentence() tokens each.
  absl::StatusOr<std::vector<Translated>> Translate(
      std::span<const std::span<const int32_t>> sentences, const Options& options);

 private:
  // A sentence while it is translated.
  struct Writing {
    text::BeamSearch search;
    // Of each text that goes on, by place, the row where it had its token.
    std::vector<std::vector<int32_t>> ancestors;
    size_t place = 0;  // of the newest tokens
  };

  Translator(ForwardPrograms& programs, const TranslatorShape& shape)
      : programs_(programs), shape_(shape) {}
  absl::Status TranslateTogether(std::span<const std::span<const int32_t>> sentences,
                                 const Options& options, std::span<Translated*> results);
  absl::Status FillSources(const Program& program,
                           std::span<const std::span<const int32_t>> sentences) const;
  absl::Status FillStep(const Program& program, std::span<const Writing> writings,
                        int64_t beams) const;

  ForwardPrograms& programs_;
  TranslatorShape shape_;
  const Program* encode_ = nullptr;
  const Program* write_ = nullptr;
  const Program* attend_ = nullptr;
  text::SpecialTokens special_;
  int64_t vocabulary_ = 0;
};

}  // namespace hone::engine::tasks
