#include "engine/onednn/primitive.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "engine/base/cpu.h"
#include "engine/base/status.h"
#include "engine/onednn/guard.h"
#include "engine/onednn/types.h"

namespace hone::engine::onednn {
namespace {

thread_local bool t_inside = false;

}  // namespace

struct Execution::Rep {
  dnnl::primitive primitive;
  dnnl::stream stream;
  std::vector<dnnl::memory> memories;
  std::vector<dnnl_exec_arg_t> arguments;
};

bool InsideOneDnn() { return t_inside; }

// oneDNN keeps to our instruction set, where that is less than the processor has. It takes the
// limit before it is first asked for anything; its own variable may limit it further.
void KeepToInstructionSet() {
  static const bool done = [] {
    if (std::getenv("HONE_MAX_CPU_ISA") == nullptr) {
      return true;
    }
    switch (CpuInstructionSet()) {
      case InstructionSet::kLeast:
        return dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41) == dnnl::status::success;
      case InstructionSet::kAvx2:
        return dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2) == dnnl::status::success;
      case InstructionSet::kAvx512:
        return dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_vnni) == dnnl::status::success;
      case InstructionSet::kAvx512Bf16:
        return dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16) == dnnl::status::success;
      case InstructionSet::kAmx:
        return true;
    }
    return true;
  }();
  static_cast<void>(done);
}

dnnl::engine& Cpu() {
  static dnnl::engine& engine = []() -> dnnl::engine& {
    KeepToInstructionSet();
    return *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

int ArgumentId(Arg arg) {
  switch (arg) {
    case Arg::kSrc:
      return DNNL_ARG_SRC;
    case Arg::kSrc1:
      return DNNL_ARG_SRC_1;
    case Arg::kWeights:
      return DNNL_ARG_WEIGHTS;
    case Arg::kBias:
      return DNNL_ARG_BIAS;
    case Arg::kDst:
      return DNNL_ARG_DST;
    case Arg::kDiffSrc:
      return DNNL_ARG_DIFF_SRC;
    case Arg::kDiffWeights:
      return DNNL_ARG_DIFF_WEIGHTS;
    case Arg::kDiffBias:
      return DNNL_ARG_DIFF_BIAS;
    case Arg::kDiffDst:
      return DNNL_ARG_DIFF_DST;
    case Arg::kWorkspace:
      return DNNL_ARG_WORKSPACE;
    case Arg::kScratchpad:
      return DNNL_ARG_SCRATCHPAD;
  }
  return 0;
}

MemoryDesc Primitive::desc(Arg arg) const {
  const dnnl::memory::desc desc = rep_->desc.query_md(dnnl::query::exec_arg_md, ArgumentId(arg));
  return desc.get_size() == 0 ? MemoryDesc() : Wrap(desc);
}

int64_t Primitive::scratchpad_bytes() const {
  return static_cast<int64_t>(rep_->desc.scratchpad_desc().get_size());
}

const std::string& Primitive::implementation() const { return rep_->implementation; }

absl::StatusOr<Execution> Execution::Create(const Primitive& primitive,
                                            absl::Span<const Argument> arguments) {
  Execution execution;
  HONE_RETURN_IF_ERROR(Guard(primitive.implementation(), [&] {
    auto rep = std::make_shared<Rep>();
    rep->primitive = primitive.rep().primitive;
    rep->stream = dnnl::stream(Cpu());
    for (const Argument& argument : arguments) {
      const dnnl::memory::desc desc =
          primitive.rep().desc.query_md(dnnl::query::exec_arg_md, ArgumentId(argument.arg));
      rep->memories.emplace_back(desc, Cpu(), argument.data);
    }
    for (size_t i = 0; i < arguments.size(); ++i) {
      rep->arguments.push_back({ArgumentId(arguments[i].arg), rep->memories[i].get()});
    }
    execution.rep_ = std::move(rep);
  }));
  return execution;
}

bool Execution::Run() const {
  t_inside = true;
  const dnnl_status_t status =
      dnnl_primitive_execute(rep_->primitive.get(), rep_->stream.get(),
                             static_cast<int>(rep_->arguments.size()), rep_->arguments.data());
  t_inside = false;
  return status == dnnl_success;
}

std::string Description() {
  KeepToInstructionSet();
  const dnnl_version_t* version = dnnl_version();
  absl::string_view isa = "older than AVX2";
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx2:
      isa = "AVX2";
      break;
    case dnnl::cpu_isa::avx512_core:
      isa = "AVX-512";
      break;
    case dnnl::cpu_isa::avx512_core_vnni:
      isa = "AVX-512 VNNI";
      break;
    case dnnl::cpu_isa::avx512_core_bf16:
      isa = "AVX-512 BF16";
      break;
    default:
      if (dnnl::get_effective_cpu_isa() > dnnl::cpu_isa::avx512_core_bf16) {
        isa = "AMX or later";
      }
  }
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch, ", ",
                      isa);
}

}  // namespace hone::engine::onednn
