// Graphs as ONNX, evaluated by plain loops, against what transformers computes
// (tests/golden/huggingface.py). `make interop` evaluates them by ONNX Runtime.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "absl/strings/match.h"
#include "engine/export/onnx_evaluate.h"
#include "engine/export/onnx_graph.h"
#include "engine/export/source.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/models/build.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/huggingface_answers.h"
#include "tests/engine/huggingface_testing.h"

namespace hone::engine::exports {
namespace {

using ::hone::engine::testing::GoldenCheckpoint;
using ::hone::engine::testing::NamesOfGoldenCheckpoints;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::RelativeError;
using ::hone::engine::testing::TensorsOf;
using ::hone::engine::testing::WriteCheckpoint;
using ::hone::testing::Folder;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 40, kClasses = 3;

// Texts of a golden case in a rectangle with a column that no text reaches.
struct Rectangle {
  std::vector<int32_t> lengths;
  int64_t columns = 0;
  std::map<std::string, OnnxArray> inputs;

  explicit Rectangle(const nlohmann::json& golden)
      : lengths(golden["lengths"].get<std::vector<int32_t>>()) {
    columns = *std::ranges::max_element(lengths) + 1;
    const auto rows = static_cast<int64_t>(lengths.size());
    for (const char* name : {"input_ids", "attention_mask", "token_type_ids"}) {
      inputs[name] = {.dims = {rows, columns},
                      .floats = {},
                      .wholes = std::vector<int64_t>(static_cast<size_t>(rows * columns)),
                      .is_float = false};
    }
    int64_t token = 0;
    for (int64_t text = 0; text < rows; ++text) {
      const int64_t length = lengths[static_cast<size_t>(text)];
      for (int64_t i = 0; i < length; ++i, ++token) {
        const auto at = static_cast<size_t>(text * columns + i);
        inputs["input_ids"].wholes[at] = static_cast<int64_t>(
            Number(testing::kTokenStream, token) % static_cast<uint64_t>(kVocabulary - 2) + 2);
        inputs["attention_mask"].wholes[at] = 1;
        inputs["token_type_ids"].wholes[at] = i >= (length + 1) / 2 ? 1 : 0;
      }
    }
  }

  // Those of true tokens, one text behind the other.
  std::vector<float> Rows(const std::vector<float>& values, int64_t width) const {
    std::vector<float> rows;
    for (size_t text = 0; text < lengths.size(); ++text) {
      const auto begin = values.begin() + static_cast<int64_t>(text) * columns * width;
      rows.insert(rows.end(), begin, begin + lengths[text] * width);
    }
    return rows;
  }
};

absl::Status Convert(const std::string& folder, const nlohmann::json& golden, onnx::Model& model) {
  constexpr int64_t kTexts = 2, kTokens = 8;
  HONE_ASSIGN_OR_RETURN(models::ModelDescription description, huggingface::DescribeModel(folder));
  Graph graph;
  std::vector<models::NamedValue> inputs = {
      {std::string(kTokensInput), graph.Input(kTokensInput, {{kTokens}, DType::kS32})},
      {std::string(kOffsetsInput), graph.Input(kOffsetsInput, {{kTexts + 1}, DType::kS32})}};
  if (golden["pairs"].get<bool>()) {
    description.inputs.emplace_back(kSegmentsInput);
    inputs.push_back(
        {std::string(kSegmentsInput), graph.Input(kSegmentsInput, {{kTokens}, DType::kS32})});
  }
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel built,
      models::BuildModel(
          graph, description, inputs,
          {.vocabulary = kVocabulary, .outputs = golden["of_tokens"].get<bool>() ? 0 : kClasses}));
  HONE_ASSIGN_OR_RETURN(const auto values, OpenCheckpointValues(folder));
  return ToOnnx(graph, built.output, *values, model);
}

// Of which the norms of heads have no form in ONNX here.
bool HasHeadNorms(const std::string& name) { return absl::StrContains(name, "qwen3"); }

std::vector<std::string> NamesThat(bool have_head_norms) {
  std::vector<std::string> names = NamesOfGoldenCheckpoints();
  std::erase_if(names,
                [=](const std::string& name) { return HasHeadNorms(name) != have_head_norms; });
  return names;
}

class CheckpointAsOnnx : public ::testing::TestWithParam<std::string> {};

TEST_P(CheckpointAsOnnx, AnswersAsTransformersDoes) {
  const nlohmann::json& golden = GoldenCheckpoint(GetParam());
  const Folder folder;
  WriteCheckpoint(folder.path(), golden["config"], TensorsOf(golden));
  onnx::Model model;
  ASSERT_THAT(Convert(folder.path(), golden, model), IsOk());
  const Rectangle texts(golden);
  const auto logits = EvaluateOnnx(std::move(model), texts.inputs, "logits");
  ASSERT_THAT(logits, IsOk());
  const std::vector<float> answers =
      golden["of_tokens"].get<bool>() ? texts.Rows(logits->floats, kVocabulary) : logits->floats;
  EXPECT_LE(RelativeError<float>(answers, golden["logits"]), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointAsOnnx, ::testing::ValuesIn(NamesThat(false)),
                         [](const auto& setting) { return setting.param; });

class CheckpointWithoutOnnx : public ::testing::TestWithParam<std::string> {};

TEST_P(CheckpointWithoutOnnx, IsRefusedByTheOpThatHasNoForm) {
  const nlohmann::json& golden = GoldenCheckpoint(GetParam());
  const Folder folder;
  WriteCheckpoint(folder.path(), golden["config"], TensorsOf(golden));
  onnx::Model model;
  EXPECT_THAT(
      Convert(folder.path(), golden, model),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("block_1.attention.query_norm")));
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointWithoutOnnx, ::testing::ValuesIn(NamesThat(true)),
                         [](const auto& setting) { return setting.param; });

// A number where a node of the model goes wrong.
class OnnxModel : public ::testing::Test {
 protected:
  OnnxModel() {
    model_.add_opset_import()->set_version(kOnnxOpset);
    onnx::Node& node = *model_.mutable_graph()->add_node();
    node.set_op_type("Gather");
    node.set_name("look up");
    node.add_input("table");
    node.add_input("rows");
    node.add_output("logits");
  }
  absl::Status Evaluate(int64_t row) {
    return EvaluateOnnx(model_,
                        {{"table", {.dims = {2, 1}, .floats = {1, 2}}},
                         {"rows", {.dims = {1}, .floats = {}, .wholes = {row}, .is_float = false}}},
                        "logits")
        .status();
  }
  onnx::Model model_;
};

TEST_F(OnnxModel, AsksForNoRowThatIsNotThere) {
  EXPECT_THAT(Evaluate(1), IsOk());
  EXPECT_THAT(Evaluate(2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("asks for row 2 of 2")));
}

TEST_F(OnnxModel, OfAnotherOpsetIsRefused) {
  model_.mutable_opset_import(0)->set_version(18);
  EXPECT_THAT(Evaluate(0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("opset 17")));
}

TEST_F(OnnxModel, WithAnOpThatIsNotKnownIsRefusedByTheNodesName) {
  model_.mutable_graph()->mutable_node(0)->set_op_type("GridSample");
  EXPECT_THAT(Evaluate(0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("look up")));
}

}  // namespace
}  // namespace hone::engine::exports
