#include "engine/plan/packed_copy.h"

#include "absl/strings/str_cat.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

// Brings a parameter into the layout that a primitive wants.
class ReorderPacker final : public Packer {
 public:
  static absl::StatusOr<std::unique_ptr<Packer>> Make(const onednn::Primitive& reorder,
                                                      const void* values, void* packed) {
    Buffer scratch(reorder.scratchpad_bytes());
    std::vector<onednn::Execution::Argument> arguments = {{Arg::kSrc, const_cast<void*>(values)},
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

// Layouts have no name to compare, so their binary form is the key.
std::string KeyOf(const MemoryDesc& wanted, const MemoryDesc& seen_as) {
  return absl::StrCat(onednn::LayoutKey(seen_as), ">", onednn::LayoutKey(wanted));
}

// Calls a function with the parameter's values as floats.
class FunctionPacker final : public Packer {
 public:
  FunctionPacker(const PackFunction& pack, const ConstParameterView& values, void* packed)
      : pack_(pack),
        values_(values),
        packed_(packed),
        widened_(values.dtype == DType::kF32 ? 0 : values.shape.elements() * SizeOf(DType::kF32)) {}

  void Pack() const override {
    if (values_.dtype == DType::kF32) {
      pack_(static_cast<const float*>(values_.data), packed_);
      return;
    }
    auto* floats = widened_.as<float>();
    values_.CopyTo({floats, static_cast<size_t>(values_.shape.elements())});
    pack_(floats, packed_);
  }

 private:
  PackFunction pack_;
  ConstParameterView values_;
  void* packed_;
  Buffer widened_;
};

// Brings a dense layer's weights into the blocks that AMX's tiles read.
class TilePacker final : public Packer {
 public:
  TilePacker(const kernels::TileBlocks& blocks, const void* values, void* packed)
      : blocks_(blocks), values_(values), packed_(packed) {}

  void Pack() const override {
    kernels::Pack(blocks_, values_, static_cast<uint32_t*>(packed_), 0, blocks_.rows());
  }

 private:
  kernels::TileBlocks blocks_;
  const void* values_;
  void* packed_;
};

}  // namespace

bool IsConvertedAtUse(const ParameterStore& store, ParameterId id, const MemoryDesc& wanted,
                      const MemoryDesc& seen_as) {
  constexpr int64_t kMostCopied = int64_t{16} << 20;
  return store.borrowed(id) != nullptr && !store.HasPacked(id, KeyOf(wanted, seen_as)) &&
         store.packed_bytes(/*borrowed_only=*/true) + wanted.bytes() > kMostCopied;
}

absl::StatusOr<void*> PackedCopy(ParameterStore& store, ParameterId id, const MemoryDesc& wanted,
                                 const MemoryDesc& seen_as) {
  return store.Packed(
      id, KeyOf(wanted, seen_as), wanted.bytes(),
      [&](const void* values, void* packed) -> absl::StatusOr<std::unique_ptr<Packer>> {
        if (const auto blocks = AsTileBlocks(wanted, seen_as)) {
          return std::make_unique<TilePacker>(*blocks, values, packed);
        }
        HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder,
                              onednn::MakeReorder(seen_as, wanted));
        return ReorderPacker::Make(reorder, values, packed);
      });
}

std::optional<kernels::TileBlocks> AsTileBlocks(const MemoryDesc& wanted,
                                                const MemoryDesc& seen_as) {
  const TensorType from = seen_as.type();
  if (CpuInstructionSet() < InstructionSet::kAmx || from.shape.rank() != 2 ||
      (from.dtype != DType::kF32 && from.dtype != DType::kBf16) ||
      !(wanted == MemoryDesc::TileBlocks({from.shape, DType::kBf16}))) {
    return std::nullopt;
  }
  const int64_t outputs = from.shape[0], inputs = from.shape[1];
  const bool transposed = seen_as == MemoryDesc::Plain(from);
  if (!transposed && !(seen_as == MemoryDesc::Strided(from, {1, outputs}))) {
    return std::nullopt;
  }
  return kernels::TileBlocks{from.dtype, inputs, outputs, transposed};
}

absl::StatusOr<void*> PrivateCopy(ParameterStore& store, ParameterId id, absl::string_view key,
                                  int64_t bytes, const PackFunction& pack) {
  return store.Packed(id, absl::StrCat("private:", key), bytes,
                      [&](const void*, void* packed) -> absl::StatusOr<std::unique_ptr<Packer>> {
                        return std::make_unique<FunctionPacker>(
                            pack, std::as_const(store).values(id), packed);
                      });
}

}  // namespace hone::engine
