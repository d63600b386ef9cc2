#include "engine/tasks/embedding_answers.h"

#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/base/status.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::tasks {
namespace {

constexpr char kSecond[] = "second";  // the tokens of a pair's second text

class EmbeddingAnswerer final : public Answerer {
 public:
  explicit EmbeddingAnswerer(const data::Preprocessing& preprocessing) : of_text_(preprocessing) {}

  absl::Status CheckOutputs(int64_t) const override { return absl::OkStatus(); }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* const pair = std::get_if<TextQuestion>(&question);
    if (pair == nullptr || !pair->second.has_value()) {
      return of_text_.Read(question, name);
    }
    HONE_ASSIGN_OR_RETURN(
        Example example,
        of_text_.Read(TextQuestion{.text = pair->text, .second = {}, .beams = pair->beams}, name));
    HONE_ASSIGN_OR_RETURN(
        Example second,
        of_text_.Read(TextQuestion{.text = *pair->second, .second = {}, .beams = 0}, name));
    example[kSecond] = std::move(second.at(std::string(kTokensInput)));
    return example;
  }

  int64_t BucketOf(std::span<const Example> examples) const override {
    return of_text_.BucketOf(examples);
  }
  absl::Status Fill(std::span<const Example> examples, const Inputs& inputs) const override {
    return of_text_.Fill(examples, inputs);
  }

  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override {
    std::vector<Example> texts;
    for (const Example& example : examples) {
      texts.push_back({{std::string(kTokensInput), example.at(std::string(kTokensInput))}});
      if (const auto second = example.find(kSecond); second != example.end()) {
        texts.push_back({{std::string(kTokensInput), second->second}});
      }
    }
    HONE_ASSIGN_OR_RETURN(const std::vector<std::vector<float>> vectors, run(texts));
    std::vector<Prediction> predictions;
    size_t next = 0;
    for (const Example& example : examples) {
      const std::vector<float>& vector = vectors[next++];
      Prediction::Embedding& answer = predictions.emplace_back().embedding.emplace();
      answer.values = vector;
      if (example.contains(kSecond)) {
        const std::vector<float>& other = vectors[next++];
        answer.similarity =
            std::inner_product(vector.begin(), vector.end(), other.begin(), double{0});
      }
    }
    return predictions;
  }

 private:
  FeaturesAnswerer of_text_;
};

}  // namespace

std::unique_ptr<Answerer> NewEmbeddingAnswerer(const data::Preprocessing& preprocessing) {
  return std::make_unique<EmbeddingAnswerer>(preprocessing);
}

}  // namespace hone::engine::tasks
