#include "engine/plan/packed_copy.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine {
namespace {

using onednn::Arg;
using onednn::MemoryDesc;

// Brings a parameter into the layout that a primitive wants.
class ReorderPacker final : public Packer {
 public:
  static absl::StatusOr<std::unique_ptr<Packer>> Make(const onednn::Primitive& reorder,
                                                      const float* values, void* packed) {
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

}  // namespace

absl::StatusOr<void*> PackedCopy(ParameterStore& store, ParameterId id, const MemoryDesc& wanted,
                                 const MemoryDesc& seen_as) {
  // Layouts have no name to compare, so their binary form is the key.
  const std::string key = absl::StrCat(onednn::LayoutKey(seen_as), ">", onednn::LayoutKey(wanted));
  return store.Packed(
      id, key, wanted.bytes(),
      [&](const float* values, void* packed) -> absl::StatusOr<std::unique_ptr<Packer>> {
        HONE_ASSIGN_OR_RETURN(const onednn::Primitive reorder,
                              onednn::MakeReorder(seen_as, wanted));
        return ReorderPacker::Make(reorder, values, packed);
      });
}

}  // namespace hone::engine
