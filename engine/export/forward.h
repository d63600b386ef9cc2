#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/huggingface/write_tensors.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/model_file.h"

// What a model answers, by its own program: what an exported form of it is held against.
namespace hone::engine::exports {

// What a model is asked: texts, or rows of its input "features".
struct Questions {
  struct Text {
    std::vector<int32_t> tokens;
    std::vector<int32_t> segments;  // of each token, 0 or 1
    // The token whose row is answered, where a model has an answer for each: of one that finds
    // masked tokens any, of one that writes the last.
    int32_t asked = 0;
  };
  std::vector<Text> texts = {};
  int64_t rows = 0;
  std::vector<float> features = {};  // [rows, …]; of pixels whole numbers from 0 to 255
};

// Some sentences by the model's own tokens; of a model of pictures or tables random ones. The same
// model has the same questions. UNIMPLEMENTED: it is asked something else.
absl::StatusOr<Questions> MakeQuestions(const tasks::ModelFile& file);

// The model's forward graph for examples that come in that shape, as the task builds it.
// UNIMPLEMENTED where the task answers by other programs.
absl::StatusOr<tasks::TaskGraph> BuildForward(const tasks::ModelFile& file,
                                              const tasks::BatchShape& shape);

// The numbers of each question, one question after another. UNIMPLEMENTED where the model has an
// input that no question fills; INVALID_ARGUMENT where a value is missing or has another shape.
absl::StatusOr<std::vector<float>> Answers(const tasks::ModelFile& file,
                                           const huggingface::ModelValues& values,
                                           const Questions& questions);

// The largest difference of two vectors, as a share of the largest number of `wanted`; infinite
// where they are of different lengths, or a number is not finite.
double Difference(const std::vector<float>& got, const std::vector<float>& wanted);

}  // namespace hone::engine::exports
