#include "engine/graph/flat_memory.h"

#include "engine/base/status.h"
#include "engine/base/team.h"

namespace hone::engine {

absl::Status LowerElementwise(Lowering& l, absl::string_view label, BinaryKernel kernel) {
  const DType dtype = l.output_dtype(0);
  // In the layout of the first input that has the result's element type already.
  const int leader = l.desc(0).type().dtype != dtype && l.desc(1).type().dtype == dtype ? 1 : 0;
  const onednn::MemoryDesc desc = FlatDesc(l.desc(leader), dtype, /*keeps_zero=*/true);
  HONE_ASSIGN_OR_RETURN(const Slot a, l.Input(0, desc));
  HONE_ASSIGN_OR_RETURN(const Slot b, l.Input(1, desc));
  const Slot y = l.OutputInPlace(0, desc, leader);
  const int64_t n = FlatElements(desc);
  l.Emit(label, [=, threads = l.threads()](const Memory& m) {
    void* from_a = m[a];
    void* from_b = m[b];
    void* to = m[y];
    ForElements(n, threads,
                [&](int64_t begin, int64_t end) { kernel(dtype, from_a, from_b, to, begin, end); });
  });
  return absl::OkStatus();
}

}  // namespace hone::engine
