#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/plan/destinations.h"
#include "engine/plan/placement.h"
#include "engine/plan/program.h"

namespace hone::engine {

// Where a value is: the slot and layout that its producer chose, and copies in other layouts. A
// copy is known by what its reader took the memory for as well: a square matrix and its transpose
// have the same layout and other bytes.
struct Home {
  struct Copy {
    onednn::MemoryDesc wanted;
    onednn::MemoryDesc seen_as;
    Slot slot;
  };

  onednn::MemoryDesc desc;
  Slot slot = -1;
  std::vector<Copy> copies;
  // In the slot, if it is another than that of `desc`: a parameter kept in bf16.
  std::optional<DType> kept_dtype;
  bool is_view = false;  // with strides that only those see who ask for a view
};

// What one node after another is lowered into: the steps so far, and where values are.
struct Lowered {
  Lowered(const PlanGraph& graph, ParameterStore& s, const ProgramOptions& o)
      : plan(graph),
        store(s),
        options(o),
        placement(graph),
        homes(graph.nodes.size()),
        destinations(FindDestinations(graph)) {}

  const Home& home(Value v) const {
    return homes[static_cast<size_t>(v.node)][static_cast<size_t>(v.output)];
  }
  Home& home(Value v) { return homes[static_cast<size_t>(v.node)][static_cast<size_t>(v.output)]; }
  const TensorType& type(Value v) const {
    return plan.nodes[static_cast<size_t>(v.node)].types[static_cast<size_t>(v.output)];
  }

  const PlanGraph& plan;
  ParameterStore& store;
  const ProgramOptions& options;
  Placement placement;
  std::vector<std::vector<Home>> homes;  // by node and output
  std::vector<Program::Step> steps;
  std::vector<BindFunction> binds;
  std::vector<Program::Input> inputs;
  std::vector<Slot> carries;  // slots of inputs whose memory is given
  std::vector<Buffer> constants;
  int32_t first_backward = 0;  // nodes from here on belong to the gradient
  absl::flat_hash_map<int64_t, Destination> destinations;  // of values that are to be parts
  absl::flat_hash_map<int64_t, Slot> begun;  // memory of values some parts of which are there
  std::vector<ProgramRequest::Constant> known_constants = {};  // inputs
};

// One node on its way into steps: the Lowering that its op sees, and what the roots need of it.
class NodeLowering final : public Lowering {
 public:
  NodeLowering(Lowered& to, int32_t index) : to_(to), index_(index) {}

  // Lowers the node itself.
  absl::Status Lower();

  // The value, one of this node's, in another layout; copied by a step, or packed by the store.
  // `seen_as` describes the memory that is there.
  absl::StatusOr<Slot> Convert(Value value, const onednn::MemoryDesc& wanted,
                               const onednn::MemoryDesc& seen_as) {
    return Convert(value, wanted, seen_as, to_.home(value).slot);
  }
  // Steps without an op, under this node's name.
  void EmitCopy(Slot from, Slot to, int64_t bytes);
  // A step that brings a parameter's memory into another layout.
  absl::Status EmitConversion(const onednn::MemoryDesc& there, const onednn::MemoryDesc& wanted,
                              Slot from, Slot to, bool once = false);
  void EmitReorder(const onednn::Primitive& reorder, Slot from, Slot to, bool once = false);

  const TensorType& input_type(int i) const override { return to_.type(input(i)); }
  const TensorType& output_type(int i) const override {
    return node().types[static_cast<size_t>(i)];
  }
  absl::string_view name() const override { return node().name; }
  int threads() const override { return to_.options.threads; }
  DType compute_dtype() const override { return to_.options.compute; }
  DType output_dtype(int output) const override {
    return node().stored[static_cast<size_t>(output)];
  }
  bool wanted(int output) const override { return to_.placement.IsRead({index_, output}); }
  onednn::MemoryDesc desc(int i) const override;
  DType kept_dtype(int i) const override {
    return to_.home(input(i)).kept_dtype.value_or(desc(i).type().dtype);
  }
  Slot Input(int i) override;
  absl::StatusOr<Slot> Input(int i, const onednn::MemoryDesc& wanted,
                             const onednn::MemoryDesc& seen_as) override;
  absl::StatusOr<Strided> View(int i) override;
  absl::StatusOr<Slot> PackedInput(int i, absl::string_view key, int64_t bytes,
                                   const PackFunction& pack) override;
  Slot Output(int i, const onednn::MemoryDesc& desc) override;
  Slot OutputInPlace(int i, const onednn::MemoryDesc& desc, int in) override;
  void OutputAlias(int i, const onednn::MemoryDesc& desc, Slot slot) override;
  void OutputView(int i, const onednn::MemoryDesc& desc, Slot slot) override;
  Slot Inside(Slot whole, int64_t offset, int64_t bytes) override {
    return to_.placement.Use(to_.placement.Inside(whole, offset, bytes));
  }
  Slot Scratch(int64_t bytes) override { return to_.placement.Use(to_.placement.New(bytes)); }
  bool Lies(Slot part, Slot whole, int64_t offset) const override {
    return to_.placement.whole(part) == whole && to_.placement.offset(part) == offset;
  }
  onednn::MemoryDesc destination() const override;
  Slot OutputAtDestination() override;
  absl::StatusOr<std::shared_ptr<Subprogram>> Plan(const Graph& graph,
                                                   const SubprogramRequest& request) override;
  using Lowering::Emit;
  void Emit(absl::string_view label, BindFunction bind) override;

 private:
  const PlanGraph::Node& node() const { return to_.plan.nodes[static_cast<size_t>(index_)]; }
  Value input(int i) const { return node().inputs[static_cast<size_t>(i)]; }
  absl::StatusOr<Slot> Convert(Value value, const onednn::MemoryDesc& wanted,
                               const onednn::MemoryDesc& seen_as, Slot from);
  absl::Status LowerSource();
  // The parameter that the value is, in this program or as a constant of it; −1: none.
  absl::StatusOr<ParameterId> ParameterOf(Value value) const;
  // The value is an input that stays as it is between one Start and the next.
  bool IsConstant(Value value) const;
  // A slot for a copy of the value, from now on or for all runs after a Start.
  Slot CopySlot(Value value, int64_t bytes);
  void SetHome(Value value, const onednn::MemoryDesc& desc, Slot slot);
  absl::StatusOr<Slot> ConvertParameter(Value value, ParameterId id,
                                        const onednn::MemoryDesc& wanted,
                                        const onednn::MemoryDesc& seen_as);
  // The slot that has `value` in this layout already, or −1.
  Slot Converted(Value value, const onednn::MemoryDesc& wanted,
                 const onednn::MemoryDesc& seen_as) const;
  // Memory for the value: in the slab if it is a gradient that may lie there, else in the arena.
  Slot NewHome(Value value, const onednn::MemoryDesc& desc);
  // Where the gradient that this value is goes in the slab, if memory of this layout may lie there.
  void* SlabPlace(Value value, const onednn::MemoryDesc& desc) const;
  // INTERNAL where the op changes a buffer that takes its output and made a copy.
  absl::Status CheckChangedInPlace() const;
  // INTERNAL where an output has another element type than its op's rule says.
  absl::Status CheckPrecision() const;
  void AddStep(absl::string_view op, absl::string_view label, const Cost& cost, BindFunction bind,
               bool once = false);

  Lowered& to_;
  int32_t index_;
  bool cost_given_ = false;  // the op's first step carries its cost
  absl::Status failed_;      // the first error of a call that cannot give one
};

}  // namespace hone::engine
