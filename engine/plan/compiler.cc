#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/plan/memory_plan.h"
#include "engine/plan/passes.h"
#include "engine/plan/program.h"

namespace hone::engine {

using onednn::Arg;
using onednn::MemoryDesc;
using onednn::Primitive;

namespace {

// Brings a parameter into the layout that a primitive wants.
class ReorderPacker final : public Packer {
 public:
  static absl::StatusOr<std::unique_ptr<Packer>> Make(const Primitive& reorder, const float* values,
                                                      void* packed) {
    Buffer scratch(reorder.scratchpad_bytes());
    std::vector<onednn::Execution::Argument> arguments = {{Arg::kSrc, const_cast<float*>(values)},
                                                          {Arg::kDst, packed}};
    if (scratch.bytes() > 0) {
      arguments.push_back({Arg::kScratchpad, scratch.data()});
    }
    HONE_ASSIGN_OR_RETURN(const onednn::Execution execution,
                          onednn::Execution::Create(reorder, arguments));
    return std::unique_ptr<Packer>(new ReorderPacker(std::move(scratch), execution));
  }

  void Pack() const override { execution_.Run(); }

 private:
  ReorderPacker(Buffer scratch, const onednn::Execution& execution)
      : scratch_(std::move(scratch)), execution_(execution) {}

  Buffer scratch_;
  onednn::Execution execution_;
};

class PlannedSubprogram final : public Subprogram {
 public:
  explicit PlannedSubprogram(Program program) : program_(std::move(program)) {}

  int64_t arena_bytes() const override { return program_.arena_bytes(); }
  void Place(absl::string_view input, void* data) override { program_.Place(input, data); }
  absl::Status Bind(std::byte* arena) override { return program_.Bind(arena); }
  void* input(absl::string_view name) const override { return program_.input(name); }
  const void* fetched(size_t i) const override { return program_.fetched(static_cast<int>(i)); }
  bool Run(const RunScalars& scalars) const override { return program_.Run(scalars).ok(); }

 private:
  Program program_;
};

}  // namespace

// Lowers one node after another; is the Lowering that ops see.
class Compiler final : public Lowering {
 public:
  Compiler(const ProgramRequest& request, ParameterStore& store, const ProgramOptions& options)
      : request_(request), store_(store), options_(options) {}

  absl::StatusOr<Program> Compile() {
    HONE_RETURN_IF_ERROR(request_.graph->status());
    if (!request_.gradients.empty() && options_.shard >= store_.shards()) {
      return absl::InternalError(absl::StrCat(
          "shard ", options_.shard, " has no gradient slab: the store has ", store_.shards()));
    }
    std::vector<Value> roots = request_.fetch;
    for (const auto& [value, id] : request_.gradients) {
      if (!value.valid()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the loss does not depend on parameter ", store_.spec(id).name));
      }
      roots.push_back(value);
    }
    if (request_.update_buffers) {
      for (const auto& [buffer, value] : request_.graph->updates()) {
        roots.push_back(buffer);
        roots.push_back(value);
      }
    }
    plan_ = MakePlanGraph(*request_.graph, roots);
    RemoveDeadNodes(plan_);
    FuseActivations(plan_);
    MoveActivationGradientsBehindPools(plan_);
    forward_nodes_ = FirstBackwardNode();
    HONE_RETURN_IF_ERROR(CountReaders());
    homes_.resize(plan_.nodes.size());
    const ScopedThreads threads(options_.threads);
    for (const int32_t index : plan_.order) {
      HONE_RETURN_IF_ERROR(LowerNode(index));
    }
    HONE_RETURN_IF_ERROR(LowerRoots());
    Finish();
    return std::move(program_);
  }

  // What ops see of the node that is being lowered.
  const TensorType& input_type(int i) const override { return TypeOf(input(i)); }
  const TensorType& output_type(int i) const override {
    return node().types[static_cast<size_t>(i)];
  }
  absl::string_view name() const override { return node().name; }
  int threads() const override { return options_.threads; }
  DType compute_dtype() const override { return options_.compute; }
  bool wanted(int output) const override {
    return readers_.contains(KeyOfValue({current_, output}));
  }
  bool is_parameter(int i) const override {
    return plan_.nodes[static_cast<size_t>(input(i).node)].kind == Graph::Node::Kind::kParameter;
  }
  bool is_constant(int i, double value) const override {
    const PlanGraph::Node& n = plan_.nodes[static_cast<size_t>(input(i).node)];
    return n.kind == Graph::Node::Kind::kConstant && n.source->constant == value;
  }
  MemoryDesc desc(int i) const override { return HomeOf(input(i)).desc; }

  Slot Input(int i) override { return Use(HomeOf(input(i)).slot); }

  absl::StatusOr<Slot> Input(int i, const MemoryDesc& wanted_desc,
                             const MemoryDesc& seen_as) override {
    const Value value = input(i);
    if (wanted_desc == seen_as) {
      return Use(HomeOf(value).slot);
    }
    return Convert(value, wanted_desc, seen_as);
  }

  Slot Output(int i, const MemoryDesc& desc) override {
    const Value value = {current_, i};
    Slot slot;
    const auto gradient = gradient_of_.find(KeyOfValue(value));
    if (gradient != gradient_of_.end() && IsSlabLayout(desc, gradient->second)) {
      slot = FixedSlot(store_.gradients(gradient->second, options_.shard).data());
      in_slab_.push_back(KeyOfValue(value));
    } else {
      slot = NewSlot(desc.bytes());
    }
    SetHome(value, desc, slot);
    return Use(slot);
  }

  Slot OutputInPlace(int i, const MemoryDesc& desc, int in) override {
    const Value source = input(in);
    const Slot slot = Converted(source, desc);
    const Value value = {current_, i};
    if (slot < 0 ||
        (places_[static_cast<size_t>(slot)].fixed != nullptr && !Updates(value, slot)) ||
        places_[static_cast<size_t>(slot)].pinned || gradient_of_.contains(KeyOfValue(value)) ||
        !LastReader(slot)) {
      return Output(i, desc);
    }
    SetHome(value, desc, slot);
    return Use(slot);
  }

  void OutputAlias(int i, const MemoryDesc& desc, Slot slot) override {
    SetHome({current_, i}, desc, slot);
    Use(slot);
  }

  Slot Scratch(int64_t bytes) override { return Use(NewSlot(bytes)); }

  absl::StatusOr<std::shared_ptr<Subprogram>> Plan(const Graph& graph,
                                                   const std::vector<Value>& fetch) override {
    HONE_ASSIGN_OR_RETURN(
        Program program,
        Program::Compile({.graph = &graph, .fetch = fetch, .gradients = {}}, store_, options_));
    return std::make_shared<PlannedSubprogram>(std::move(program));
  }

  void Emit(absl::string_view label, BindFunction bind) override {
    EmitStep(node().op == nullptr ? "copy" : node().op->kind(), label, std::move(bind));
  }

 private:
  // A buffer, its memory in the store, and the value that it takes.
  struct BufferUpdate {
    ParameterId id;
    void* memory;
    Value value;
  };
  // Where a value lies: the slot and layout its producer chose, and copies in other layouts.
  struct Home {
    MemoryDesc desc;
    Slot slot = -1;
    std::vector<std::pair<MemoryDesc, Slot>> copies;
  };
  struct Place {
    void* fixed = nullptr;
    Lifetime lifetime;
    std::vector<Value> values;  // all that lie here
    bool pinned = false;        // in use until the program ends
  };

  static int64_t KeyOfValue(Value value) { return (int64_t{value.node} << 16) + value.output; }

  PlanGraph::Node& node() { return plan_.nodes[static_cast<size_t>(current_)]; }
  const PlanGraph::Node& node() const { return plan_.nodes[static_cast<size_t>(current_)]; }
  Value input(int i) const { return node().inputs[static_cast<size_t>(i)]; }
  const TensorType& TypeOf(Value v) const {
    return plan_.nodes[static_cast<size_t>(v.node)].types[static_cast<size_t>(v.output)];
  }
  const Home& HomeOf(Value v) const {
    return homes_[static_cast<size_t>(v.node)][static_cast<size_t>(v.output)];
  }
  Home& HomeOf(Value v) {
    return homes_[static_cast<size_t>(v.node)][static_cast<size_t>(v.output)];
  }

  void SetHome(Value value, const MemoryDesc& desc, Slot slot) {
    HomeOf(value) = {desc, slot, {}};
    places_[static_cast<size_t>(slot)].values.push_back(value);
  }

  Slot NewSlot(int64_t bytes) {
    places_.push_back({nullptr, {bytes, Now(), Now()}, {}});
    return static_cast<Slot>(places_.size()) - 1;
  }
  Slot FixedSlot(void* data) {
    places_.push_back({data, {}, {}});
    return static_cast<Slot>(places_.size()) - 1;
  }

  // Time is the number of the node in the order, so all steps of a node see all its memory.
  int32_t Now() const { return now_; }
  Slot Use(Slot slot) {
    places_[static_cast<size_t>(slot)].lifetime.last = Now();
    return slot;
  }

  int32_t FirstBackwardNode() const {
    // Gradients are added behind the forward nodes; the first node that no fetched value needs is
    // theirs.
    int32_t last_forward = -1;
    for (const Value value : request_.fetch) {
      last_forward = std::max(last_forward, value.node);
    }
    return request_.gradients.empty() ? std::numeric_limits<int32_t>::max() : last_forward + 1;
  }

  absl::Status CountReaders() {
    for (size_t i = 0; i < plan_.order.size(); ++i) {
      for (const Value input : plan_.nodes[static_cast<size_t>(plan_.order[i])].inputs) {
        readers_[KeyOfValue(input)] = static_cast<int32_t>(i);
      }
    }
    size_t root = 0;
    for (; root < request_.fetch.size(); ++root) {
      readers_[KeyOfValue(plan_.roots[root])] = kForever;
    }
    for (const auto& [value, id] : request_.gradients) {
      const int64_t key = KeyOfValue(plan_.roots[root++]);
      readers_[key] = kForever;
      gradient_of_.try_emplace(key, id);
    }
    for (; root < plan_.roots.size();
         root += 2) {  // a buffer, which nothing reads here, and its value
      readers_[KeyOfValue(plan_.roots[root + 1])] = kForever;
      const std::string& name =
          plan_.nodes[static_cast<size_t>(plan_.roots[root].node)].source->parameter.name;
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Find(name));
      updates_.push_back({id, store_.values(id).data(), plan_.roots[root + 1]});
    }
    return absl::OkStatus();
  }

  // The slot is a buffer's memory in the store, and the buffer takes this value and no other.
  bool Updates(Value value, Slot slot) const {
    const void* memory = places_[static_cast<size_t>(slot)].fixed;
    const auto taken = std::ranges::find(updates_, memory, &BufferUpdate::memory);
    return taken != updates_.end() && taken->value == value &&
           std::ranges::count(updates_, memory, &BufferUpdate::memory) == 1;
  }

  // Nothing that lies in this slot is read by a later node.
  bool LastReader(Slot slot) const {
    return std::ranges::all_of(places_[static_cast<size_t>(slot)].values, [&](Value v) {
      const auto reader = readers_.find(KeyOfValue(v));
      return reader == readers_.end() || reader->second <= Now();
    });
  }

  bool IsSlabLayout(const MemoryDesc& desc, ParameterId id) const {
    const Shape& shape = store_.spec(id).shape;
    return desc.type().dtype == DType::kF32 && desc.bytes() == shape.elements() * 4 &&
           desc == MemoryDesc::Plain({shape, DType::kF32});
  }

  // The slot that has `value` in this layout already, or −1.
  Slot Converted(Value value, const MemoryDesc& desc) const {
    const Home& home = HomeOf(value);
    if (home.desc == desc) {
      return home.slot;
    }
    for (const auto& [known, slot] : home.copies) {
      if (known == desc) {
        return slot;
      }
    }
    return -1;
  }

  absl::StatusOr<Slot> Convert(Value value, const MemoryDesc& desc, const MemoryDesc& seen_as) {
    if (const Slot known = Converted(value, desc); known >= 0) {
      return Use(known);
    }
    const PlanGraph::Node& producer = plan_.nodes[static_cast<size_t>(value.node)];
    HONE_ASSIGN_OR_RETURN(const Primitive reorder, onednn::MakeReorder(seen_as, desc));
    Slot slot;
    if (producer.kind == Graph::Node::Kind::kParameter) {
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Find(producer.source->parameter.name));
      HONE_ASSIGN_OR_RETURN(void* packed, PackedCopy(id, desc, seen_as, reorder));
      slot = FixedSlot(packed);
    } else {
      slot = NewSlot(desc.bytes());
      places_[static_cast<size_t>(slot)].values.push_back(value);
      EmitReorder(reorder, Use(HomeOf(value).slot), slot);
    }
    HomeOf(value).copies.emplace_back(desc, slot);
    return Use(slot);
  }

  void EmitReorder(const Primitive& reorder, Slot from, Slot to) {
    std::vector<std::pair<Arg, Slot>> arguments = {{Arg::kSrc, from}, {Arg::kDst, to}};
    emitting_reorder_ = true;
    EmitPrimitive(reorder, std::move(arguments));
    emitting_reorder_ = false;
  }

  absl::StatusOr<void*> PackedCopy(ParameterId id, const MemoryDesc& desc,
                                   const MemoryDesc& seen_as, const Primitive& reorder) {
    // Layouts have no name to compare, so their binary form is the key.
    return store_.Packed(id, absl::StrCat(onednn::LayoutKey(seen_as), ">", onednn::LayoutKey(desc)),
                         desc.bytes(), [&](const float* values, void* packed) {
                           return ReorderPacker::Make(reorder, values, packed);
                         });
  }

  void EmitStep(absl::string_view op, absl::string_view label, BindFunction bind) {
    Program::Step step;
    step.layer = node().name;
    step.op = emitting_reorder_ ? "reorder" : std::string(op);
    step.implementation = std::string(label);
    step.backward = current_ >= forward_nodes_;
    if (!emitting_reorder_ && !cost_given_ && node().op != nullptr) {
      std::vector<TensorType> in;
      for (const Value value : node().inputs) {
        in.push_back(TypeOf(value));
      }
      step.cost = node().op->EstimateCost(in, node().types);
      cost_given_ = true;
    }
    program_.steps_.push_back(std::move(step));
    program_.binds_.push_back(std::move(bind));
  }

  absl::Status LowerNode(int32_t index) {
    current_ = index;
    cost_given_ = false;
    PlanGraph::Node& n = node();
    homes_[static_cast<size_t>(index)].resize(n.types.size());
    switch (n.kind) {
      case Graph::Node::Kind::kInput: {
        // Filled before the run, and left as they are, so that steps can be run again on their own
        // (profiles).
        const Slot slot = NewSlot(n.types[0].bytes());
        places_[static_cast<size_t>(slot)].lifetime.first = -1;
        places_[static_cast<size_t>(slot)].pinned = true;
        SetHome({index, 0}, MemoryDesc::Plain(n.types[0]), slot);
        program_.inputs_.emplace_back(n.source->name, slot);
        break;
      }
      case Graph::Node::Kind::kParameter: {
        HONE_ASSIGN_OR_RETURN(const ParameterId id, store_.Find(n.source->parameter.name));
        SetHome({index, 0}, MemoryDesc::Plain(n.types[0]), FixedSlot(store_.values(id).data()));
        break;
      }
      case Graph::Node::Kind::kConstant: {
        program_.constants_.emplace_back(int64_t{64});
        *program_.constants_.back().as<float>() = static_cast<float>(n.source->constant);
        SetHome({index, 0}, MemoryDesc::Plain(n.types[0]),
                FixedSlot(program_.constants_.back().data()));
        break;
      }
      case Graph::Node::Kind::kOp:
        HONE_RETURN_IF_ERROR(
            Annotate(n.op->Lower(*this), absl::StrCat(n.name, " (", n.op->kind(), ")")));
        break;
    }
    ++now_;
    return absl::OkStatus();
  }

  // Fetched values row major, gradients in the slab, buffers in the store.
  absl::Status LowerRoots() {
    size_t root = 0;
    for (; root < request_.fetch.size(); ++root) {
      const Value value = plan_.roots[root];
      current_ = value.node;
      const Home& home = HomeOf(value);
      MemoryDesc plain = home.desc;
      if (TypeOf(value).dtype == DType::kF32) {
        plain = MemoryDesc::Plain(TypeOf(value));
      }
      HONE_ASSIGN_OR_RETURN(Slot slot, Convert(value, plain, home.desc));
      if (IsOverwritten(slot)) {
        slot = Saved(slot, plain);
      }
      places_[static_cast<size_t>(slot)].pinned = true;
      program_.fetched_.push_back(slot);
    }
    for (const auto& [unused, id] : request_.gradients) {
      const Value value = plan_.roots[root++];
      if (std::ranges::find(in_slab_, KeyOfValue(value)) == in_slab_.end() ||
          gradient_of_.at(KeyOfValue(value)) != id) {
        HONE_RETURN_IF_ERROR(
            CopyTo(value, store_.gradients(id, options_.shard).data(), store_.spec(id).shape));
      }
    }
    // All buffers change at once: what one takes is kept before another is written.
    for (const BufferUpdate& update : updates_) {
      const Home home = HomeOf(update.value);
      if (IsOverwritten(home.slot) && !LiesIn(update, home.slot)) {
        current_ = update.value.node;
        HomeOf(update.value).slot = Saved(home.slot, home.desc);
      }
    }
    for (const BufferUpdate& update : updates_) {
      program_.updated_.push_back(update.id);
      if (!LiesIn(update, HomeOf(update.value).slot)) {
        HONE_RETURN_IF_ERROR(CopyTo(update.value, update.memory, store_.spec(update.id).shape));
      }
    }
    return absl::OkStatus();
  }

  bool LiesIn(const BufferUpdate& update, Slot slot) const {
    return places_[static_cast<size_t>(slot)].fixed == update.memory;
  }

  // The slot is a buffer's memory, and at the end of the run a value from elsewhere goes there.
  bool IsOverwritten(Slot slot) const {
    return std::ranges::any_of(updates_, [&](const BufferUpdate& update) {
      return LiesIn(update, slot) && !LiesIn(update, HomeOf(update.value).slot);
    });
  }

  // A copy of the slot as it is when all ops have run.
  Slot Saved(Slot slot, const MemoryDesc& desc) {
    const Slot copy = NewSlot(desc.bytes());
    EmitCopy(Use(slot), copy, desc.bytes());
    ++now_;
    return copy;
  }

  // Mostly a few numbers: a primitive would wake every thread for them.
  void EmitCopy(Slot from, Slot to, int64_t bytes) {
    cost_given_ = true;
    EmitStep("copy", "memcpy",
             [=, size = static_cast<size_t>(bytes)](
                 const Memory& memory) -> absl::StatusOr<StepFunction> {
               return [source = memory[from], target = memory[to], size](const RunScalars&) {
                 std::memcpy(target, source, size);
                 return true;
               };
             });
  }

  absl::Status CopyTo(Value value, void* data, const Shape& shape) {
    current_ = value.node;
    cost_given_ = true;
    const Home& home = HomeOf(value);
    // A grouped kernel's gradient has the same elements in the same order with one more dimension.
    const Shape seen = home.desc.type().shape;
    const MemoryDesc plain =
        MemoryDesc::Plain({seen.elements() == shape.elements() ? seen : shape, DType::kF32});
    if (home.desc == plain) {
      EmitCopy(Use(home.slot), FixedSlot(data), plain.bytes());
    } else {
      HONE_ASSIGN_OR_RETURN(const Primitive reorder, onednn::MakeReorder(home.desc, plain));
      EmitReorder(reorder, Use(home.slot), FixedSlot(data));
    }
    ++now_;
    return absl::OkStatus();
  }

  void Finish() {
    std::vector<Lifetime> pieces;
    std::vector<size_t> which;
    for (size_t i = 0; i < places_.size(); ++i) {
      Place& place = places_[i];
      program_.places_.push_back({place.fixed, 0});
      if (place.fixed == nullptr) {
        place.lifetime.last = place.pinned ? now_ : place.lifetime.last;
        pieces.push_back(place.lifetime);
        which.push_back(i);
      }
    }
    const MemoryPlan memory = PlanMemory(pieces);
    for (size_t i = 0; i < pieces.size(); ++i) {
      program_.places_[which[i]].offset = memory.offsets[i];
      program_.intervals_.push_back(
          {memory.offsets[i], pieces[i].bytes, pieces[i].first, pieces[i].last});
    }
    program_.arena_bytes_ = memory.bytes;
  }

  static constexpr int32_t kForever = std::numeric_limits<int32_t>::max();

  const ProgramRequest& request_;
  ParameterStore& store_;
  const ProgramOptions& options_;
  PlanGraph plan_;
  Program program_;
  std::vector<std::vector<Home>> homes_;
  std::vector<Place> places_;
  absl::flat_hash_map<int64_t, int32_t> readers_;  // the last node in the order that reads a value
  absl::flat_hash_map<int64_t, ParameterId> gradient_of_;
  std::vector<int64_t> in_slab_;
  std::vector<BufferUpdate> updates_;
  int32_t current_ = 0;
  int32_t now_ = 0;
  int32_t forward_nodes_ = 0;
  bool cost_given_ = false;
  bool emitting_reorder_ = false;
};

absl::StatusOr<Program> Program::Compile(const ProgramRequest& request, ParameterStore& store,
                                         const ProgramOptions& options) {
  return Compiler(request, store, options).Compile();
}

}  // namespace hone::engine
