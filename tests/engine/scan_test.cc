#include "engine/ops/scan.h"

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/graph/lowering.h"
#include "engine/ops/linear.h"
#include "engine/ops/mul.h"
#include "engine/plan/program.h"
#include "tests/support/status_matchers.h"

namespace hone::engine {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Eq;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Its numbers would be wrong: the states that the gradient reads depend on what it is taken of.
TEST(Scan, FailsWhereTheGradientOfItsGradientIsAskedFor) {
  Graph graph;
  const Value x = graph.Input("x", {Shape{3, 1}, DType::kF32});
  const Value start = graph.Input("start", {Shape{1}, DType::kF32});
  const ScanResult scan = Scan(graph, {.carries = {start}, .sequences = {x}, .constants = {}},
                               {.steps = 3}, [](Graph& body, const ScanStep& step) {
                                 const Value next = Mul(body, step.carries[0], step.sequences[0]);
                                 return ScanStepResult{.carries = {next}, .outputs = {}};
                               });
  const Value dy = graph.Input("dy", {Shape{1}, DType::kF32});
  const Value slope = Differentiate(graph, {{scan.carries[0], dy}}, {start})[0];
  ASSERT_THAT(graph.status(), IsOk());
  Differentiate(graph, {{slope, dy}}, {x});
  EXPECT_THAT(graph.status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("gradient of its gradient")));
}

// In the place of a body: does nothing and keeps where its inputs were placed.
class IdleBody final : public Subprogram {
 public:
  int64_t arena_bytes() const override { return 64; }
  void Place(absl::string_view input, void* data) override { placed_[std::string(input)] = data; }
  absl::Status Bind(std::byte*) override { return absl::OkStatus(); }
  bool Start(const RunScalars&) const override { return true; }
  void* input(absl::string_view) const override { return nullptr; }
  const void* fetched(size_t) const override { return nullptr; }
  bool Run(const RunScalars&) const override { return true; }

  void* place(const std::string& input) const {
    const auto found = placed_.find(input);
    return found == placed_.end() ? nullptr : found->second;
  }

 private:
  std::map<std::string, void*> placed_;
};

// Lowers one node of a graph, whose first output alone is wanted: plans what is inside it, as the
// compiler does, and keeps the steps. Row major f32 everywhere, in memory of each slot's own.
class OneNode final : public Lowering {
 public:
  OneNode(const Graph& graph, int32_t node) : graph_(graph), node_(graph.node(node)) {}

  // Lowers the node and binds its step.
  absl::Status Bind() {
    HONE_RETURN_IF_ERROR(node_.op->Lower(*this));
    std::vector<void*> addresses;
    for (const Buffer& buffer : slots_) {
      addresses.push_back(buffer.data());
    }
    return bind_(Memory(addresses)).status();
  }

  // What was planned inside.
  const std::vector<Program::Step>& steps() const { return planned_->steps(); }
  const std::vector<std::string>& carries() const { return carries_; }  // inputs, by name
  const IdleBody& body() const { return *body_; }
  const void* output() const { return slots_[static_cast<size_t>(output_)].data(); }

  const TensorType& input_type(int i) const override {
    return graph_.type(node_.inputs[static_cast<size_t>(i)]);
  }
  const TensorType& output_type(int i) const override {
    return node_.types[static_cast<size_t>(i)];
  }
  absl::string_view name() const override { return "the node"; }
  int threads() const override { return 1; }
  DType compute_dtype() const override { return DType::kF32; }
  DType output_dtype(int) const override { return DType::kF32; }
  bool wanted(int output) const override { return output == 0; }
  onednn::MemoryDesc desc(int i) const override { return onednn::MemoryDesc::Plain(input_type(i)); }
  DType kept_dtype(int i) const override { return input_type(i).dtype; }
  Slot Input(int i) override { return Scratch(input_type(i).bytes()); }
  absl::StatusOr<Slot> Input(int i, const onednn::MemoryDesc&, const onednn::MemoryDesc&) override {
    return Input(i);
  }
  absl::StatusOr<Strided> View(int i) override { return Strided{desc(i), Input(i)}; }
  absl::StatusOr<Slot> PackedInput(int, absl::string_view, int64_t, const PackFunction&) override {
    return absl::UnimplementedError("nothing is packed here");
  }
  Slot Output(int i, const onednn::MemoryDesc& wanted) override {
    const Slot slot = Scratch(wanted.bytes());
    output_ = i == 0 ? slot : output_;
    return slot;
  }
  Slot OutputInPlace(int i, const onednn::MemoryDesc& wanted, int) override {
    return Output(i, wanted);
  }
  void OutputAlias(int, const onednn::MemoryDesc&, Slot) override {}
  void OutputView(int, const onednn::MemoryDesc&, Slot) override {}
  Slot Inside(Slot whole, int64_t, int64_t) override { return whole; }
  Slot Scratch(int64_t bytes) override {
    slots_.emplace_back(bytes);
    return static_cast<Slot>(slots_.size()) - 1;
  }
  bool Lies(Slot, Slot, int64_t) const override { return false; }
  onednn::MemoryDesc destination() const override { return {}; }
  Slot OutputAtDestination() override { return -1; }
  absl::StatusOr<std::shared_ptr<Subprogram>> Plan(const Graph& graph,
                                                   const SubprogramRequest& request) override {
    ProgramRequest inner = {.graph = &graph, .fetch = request.fetch, .gradients = {}};
    for (const auto& [name, i] : request.constants) {
      inner.constants.push_back({.input = name});
    }
    for (const auto& [carry, next] : request.carries) {
      carries_.push_back(graph.node(carry.node).name);
    }
    inner.carries = request.carries;
    store_.Allocate(1);
    HONE_ASSIGN_OR_RETURN(Program program, Program::Compile(inner, store_, {}));
    planned_.emplace(std::move(program));
    body_ = std::make_shared<IdleBody>();
    return body_;
  }
  void Emit(absl::string_view, BindFunction bind) override { bind_ = std::move(bind); }

 private:
  const Graph& graph_;
  const Graph::Node& node_;
  ParameterStore store_;
  std::vector<Buffer> slots_;
  Slot output_ = -1;
  std::optional<Program> planned_;
  std::vector<std::string> carries_;
  std::shared_ptr<IdleBody> body_;
  BindFunction bind_;
};

// y = x · w over five steps, and the gradient of w: a sum over time, which is a carry of the scan
// that goes back.
class SumOverTime : public ::testing::Test {
 protected:
  SumOverTime() {
    constexpr int64_t kSteps = 5, kBatch = 4, kIn = 16, kUnits = 50;
    const Value x = graph_.Input("x", {Shape{kSteps, kBatch, kIn}, DType::kF32});
    const Value w = graph_.Input("w", {Shape{kIn, kUnits}, DType::kF32});
    const ScanResult scan =
        Scan(graph_, {.carries = {}, .sequences = {x}, .constants = {w}}, {.steps = kSteps},
             [](Graph& body, const ScanStep& step) {
               const Value y = Linear(body, step.sequences[0], step.constants[0], std::nullopt);
               return ScanStepResult{.carries = {}, .outputs = {y}};
             });
    const Value dy = graph_.Input("dy", {Shape{kSteps, kBatch, kUnits}, DType::kF32});
    gradient_ = Differentiate(graph_, {{scan.outputs[0], dy}}, {w})[0];
  }

  Graph graph_;
  Value gradient_;
};

TEST_F(SumOverTime, IsAddedToWithoutACopyOfTheSumInAnyStep) {
  ASSERT_THAT(graph_.status(), IsOk());
  OneNode back(graph_, gradient_.node);
  ASSERT_THAT(back.Bind(), IsOk());
  ASSERT_THAT(back.carries(), SizeIs(1));
  EXPECT_THAT(back.steps(), Not(IsEmpty()));
  EXPECT_THAT(back.steps(), Each(Field(&Program::Step::op, Not(AnyOf(Eq("copy"), Eq("reorder"))))));
}

TEST_F(SumOverTime, LiesInTheScansOutputFromTheFirstStepOn) {
  ASSERT_THAT(graph_.status(), IsOk());
  OneNode back(graph_, gradient_.node);
  ASSERT_THAT(back.Bind(), IsOk());
  ASSERT_THAT(back.carries(), SizeIs(1));
  ASSERT_NE(back.output(), nullptr);
  EXPECT_EQ(back.body().place(back.carries()[0]), back.output());
}

}  // namespace
}  // namespace hone::engine
