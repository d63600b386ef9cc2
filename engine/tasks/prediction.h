#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/preprocessing.h"
#include "engine/environments/maze_path.h"
#include "engine/image/image.h"
#include "engine/tasks/inputs.h"
#include "engine/text/sampler.h"

namespace hone::engine::tasks {

// What a model is asked. A task says which of these it answers (Answerer::Read).
struct PictureQuestion {
  std::string bytes;  // a PNG or JPEG file
};
struct RecordQuestion {
  std::map<std::string, std::string> cells;  // a row of a table by column name
};
struct UserQuestion {
  std::string id;  // as the ratings had it
  int top = 0;     // the best so many items; 0: as many as is usual
};
// What a model that draws is asked: one drawing, the same for the same values.
struct DrawingQuestion {
  uint64_t seed = 1;
  int64_t number = 0;           // of the seed's drawings
  std::string class_name = {};  // of a model that draws by class; "": class `number`, counted round
  // Instead, one that is `share` of the way from the seed's drawing to that of this seed.
  std::optional<uint64_t> to_seed = {};
  double share = 0;  // 0 to 1
};
struct MazeQuestion {
  std::string text;  // as environments::ParseMaze reads it
};
struct TextQuestion {
  std::string text;                        // UTF-8, as somebody wrote it
  std::optional<std::string> second = {};  // of a model that reads pairs of texts
  int64_t beams = 0;  // of a model that translates: see text::BeamOptions; 0: as it was trained
};
struct SeriesQuestion {
  std::string csv;  // a table with a row for each point, as the training had it, in its order
};
// Where a text that is being written has come to: what the next question goes on from.
struct WritingState {
  std::vector<int32_t> tokens;  // the last ones, as many as the model sees
  int64_t written = 0;          // tokens behind the prompt
  std::string held = {};        // their last text that was not shown yet (text::GrowingText)
};
// What a model that writes is asked: to go on with a text. An answer is a piece of that, some
// tokens; who wants more asks again, with the state that it ended in. The same wish gives the same
// text, but for rounding where others are written at the same time.
struct WritingQuestion {
  struct Message {
    std::string role;  // as text::ChatRoleOf knows it
    std::string content;
  };
  std::string prompt = {};  // UTF-8; may be empty. Not read where there is a state
  // Instead, of a model that chats: a conversation, whose last turn is the user's. Nor is it.
  std::vector<Message> messages = {};
  int64_t count = 0;  // of the whole text: tokens behind the prompt, at least 1
  text::SamplingOptions sampling = {};
  std::vector<std::string> stops = {};  // the text ends before the first of these
  std::optional<WritingState> state = {};
};
using Question = std::variant<PictureQuestion, RecordQuestion, UserQuestion, DrawingQuestion,
                              MazeQuestion, TextQuestion, SeriesQuestion, WritingQuestion>;
absl::string_view NameOf(const Question& question);  // "a picture"

// One example for a model: for each input of its prediction program, by name, the numbers of that
// example, row major.
using Numbers = std::variant<std::vector<float>, std::vector<int32_t>, std::vector<uint8_t>>;
using Example = std::map<std::string, Numbers>;

// What a model says of one example.
struct Prediction {
  struct Class {
    std::string name;
    double probability = 0;
  };
  std::vector<Class> classes;  // all of them, the most probable first
  std::vector<double> values;  // regression, in the targets' own units
  // Recommendation: the best items, those that the user has rated behind all others.
  struct Item {
    std::string id;
    std::string name;  // "": it has none
    // The rating that is expected, on the scale of the ratings that the model has seen; of implicit
    // feedback a number without a unit, larger for what is liked more.
    double score = 0;
    bool rated = false;
  };
  std::vector<Item> items;
  bool unknown_user = false;                 // the items are what others like best
  std::optional<image::Image> picture = {};  // drawn
  std::optional<environments::MazePath> path = {};
  // What comes next, in the target's own unit, behind the last points that are known.
  struct Forecast {
    std::string target;                           // a column
    std::vector<double> history;                  // its last points
    std::vector<std::string> history_times = {};  // of these, as they are written; empty: not known
    std::vector<std::string> times = {};          // of `values`; empty: not known
    std::vector<double> values = {};
  };
  std::optional<Forecast> forecast = {};
  struct Writing {
    enum class End { kNone, kCount, kStop, kEndOfText };  // kNone: there is more to ask for
    std::string text;                                     // behind what was answered before; UTF-8
    End end = End::kNone;
    WritingState state = {};
  };
  std::optional<Writing> writing = {};
  struct Translation {
    std::string text;
    double score = 0;    // text::BeamText
    bool ended = false;  // else it came to the greatest length
  };
  std::vector<Translation> translations = {};  // the best first, as many as were found
  // Of a text: a vector of length 1. Of a pair also the cosine of the angle between its vectors.
  struct Embedding {
    std::vector<float> values;
    std::optional<double> similarity = {};
  };
  std::optional<Embedding> embedding = {};
  // The words of a text in their order, each with its most probable tag.
  struct Word {
    std::string text;
    std::string tag;
    double probability = 0;
  };
  std::vector<Word> words = {};
  // `classes` are independent of each other: the example has those whose probability is at least
  // this.
  std::optional<double> threshold = {};
  // Of each mask of a text, from the first to the last: the tokens that fit best, the most probable
  // first.
  std::vector<std::vector<Class>> fills = {};
};

// Runs the prediction program over any number of examples: the model's output for each, row major.
using RunExamples =
    absl::FunctionRef<absl::StatusOr<std::vector<std::vector<float>>>(std::span<const Example>)>;

class ForwardPrograms;  // task_programs.h

// Stands between a trained model and those who ask it: makes examples of questions and answers of
// outputs. It is made once for a model file, so what it reads there (a vocabulary) it reads once.
// Not thread safe.
class Answerer {
 public:
  virtual ~Answerer() = default;

  // INVALID_ARGUMENT where so many outputs for an example do not fit what the model file says.
  virtual absl::Status CheckOutputs(int64_t outputs) const = 0;
  // INVALID_ARGUMENT where the model does not answer such a question, or cannot read it; `name`
  // tells an error's reader which of several questions it was.
  virtual absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const = 0;
  // The bucket of the program that these examples are run in (TaskModel::BuildPrediction); of none,
  // the least one. As it stands here: there is one, 0.
  virtual int64_t BucketOf(std::span<const Example>) const { return 0; }
  // Fills all inputs of a program that was made for as many examples as these, and their bucket. As
  // it stands here: with the numbers that each example has under the input's name. INVALID_ARGUMENT
  // where it has too few or too many of them; INTERNAL where it has none, or of another type.
  virtual absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const;
  // One answer for each example, in their order. As it stands here: one run over all, and what
  // ReadOutput makes of each output. A task may run several times (a path, step by step), with
  // examples that it makes of those that it was given.
  virtual absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                         RunExamples run) const;
  // The same by the task's own programs (TaskModel::answering), where it has some: then Fill,
  // BucketOf and Answer are not asked. As it stands here: INTERNAL.
  virtual absl::StatusOr<std::vector<Prediction>> AnswerBy(std::span<const Example> examples,
                                                           ForwardPrograms& programs) const;

 protected:
  // As it stands here: the output's numbers as `values`.
  virtual Prediction ReadOutput(std::span<const float> output) const;
};

// Answers questions about pictures or rows of a table, by the input "features", or about texts, by
// their tokens, whichever the model was trained on. What is left to say is what the outputs mean.
class FeaturesAnswerer : public Answerer {
 public:
  // The preprocessing outlives it.
  explicit FeaturesAnswerer(const data::Preprocessing& preprocessing)
      : preprocessing_(preprocessing) {}
  absl::Status CheckOutputs(int64_t outputs) const override;
  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const final;
  // Of texts: the power of two that holds their tokens, so that there are few programs.
  int64_t BucketOf(std::span<const Example> examples) const final;
  absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const final;

 protected:
  const data::Preprocessing& preprocessing() const { return preprocessing_; }

 private:
  const data::Preprocessing& preprocessing_;
};

}  // namespace hone::engine::tasks
