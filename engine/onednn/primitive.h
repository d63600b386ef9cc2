#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/tensor/activation_kind.h"
#include "engine/tensor/tensor.h"

// The only door to oneDNN, 2.6 and later: its types and exceptions stay behind it.
namespace hone::engine::onednn {

// What is in a tensor's memory: extents, element type, layout. A value; copies share.
class MemoryDesc {
 public:
  struct Rep;

  MemoryDesc() = default;
  explicit MemoryDesc(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

  // Row major.
  static MemoryDesc Plain(const TensorType& type);
  // Strides in elements, one for each dimension.
  static MemoryDesc Strided(const TensorType& type, const std::vector<int64_t>& strides);
  // Channels in blocks of 16: [n, c, h, w] in memory as [n, c / 16, h, w, 16]. Channels are a
  // multiple of 16.
  static MemoryDesc ChannelBlocks(const TensorType& type);
  // [n, c, h, w] in memory as [n, h, w, c].
  static MemoryDesc ChannelsLast(const TensorType& type);
  // The kernel that goes with it: [o, i, h, w] in memory as [o / 16, i / 16, h, w, 16 i, 16 o].
  static MemoryDesc KernelBlocks(const TensorType& type);
  // The weights [o, i] of a dense layer as AMX's tiles read them: in memory as
  // [o / 64, i / 32, 16, 64 o, 2 i], rounded up to whole blocks.
  static MemoryDesc TileBlocks(const TensorType& type);
  // "Whatever is fastest": only to create primitives with, which then say what they chose.
  static MemoryDesc Any(const TensorType& type);

  // The same extents and strides with another element type; of a row major or strided one.
  MemoryDesc WithDType(DType dtype) const;

  bool empty() const { return rep_ == nullptr; }
  bool is_plain() const;
  // How many channels lie side by side: 16 or 8 in [n, c / 16, h, w, 16], all in [n, h, w, c], 1
  // row major, 0 otherwise.
  int64_t channel_block() const;
  // The same of these layouts for a tensor of other extents or another element type; empty for a
  // layout that is none of them.
  MemoryDesc WithType(const TensorType& type) const;
  // Memory holds more than the elements (channels rounded up to a block); the rest must stay zero.
  bool has_padding() const;
  int64_t bytes() const;
  TensorType type() const;
  // In elements, one for each dimension; empty where elements are in blocks or the layout is open.
  std::vector<int64_t> strides() const;
  const Rep& rep() const { return *rep_; }

  friend bool operator==(const MemoryDesc& a, const MemoryDesc& b);

 private:
  std::shared_ptr<const Rep> rep_;
};

// A text equal for equal descs and different for different ones.
std::string LayoutKey(const MemoryDesc& desc);

enum class Arg {
  kSrc,
  kSrc1,
  kWeights,
  kBias,
  kDst,
  kDiffSrc,
  kDiffWeights,
  kDiffBias,
  kDiffDst,
  kWorkspace,
  kScratchpad,
};

// A created primitive. A value; copies share. Made for the number of threads that the calling
// thread has at that time (ScopedThreads); may run on any thread.
class Primitive {
 public:
  struct Rep;

  Primitive() = default;
  explicit Primitive(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

  // The layout that the primitive wants or gives; empty if it has no such argument.
  MemoryDesc desc(Arg arg) const;
  int64_t scratchpad_bytes() const;
  // oneDNN's name of the code behind it, such as "jit:avx512_core".
  const std::string& implementation() const;
  const Rep& rep() const { return *rep_; }

 private:
  std::shared_ptr<const Rep> rep_;
};

// A primitive with its arguments in place: runs again and again without allocating outside oneDNN.
class Execution {
 public:
  struct Argument {
    Arg arg;
    void* data;
  };
  // Memory of the arguments must outlive the execution. Arguments whose desc is empty for this
  // primitive are refused.
  static absl::StatusOr<Execution> Create(const Primitive& primitive,
                                          absl::Span<const Argument> arguments);

  // False if oneDNN refused to run, which means a programming error.
  bool Run() const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

// True on this thread while oneDNN itself runs: what it allocates is not ours.
bool InsideOneDnn();

// Whether a product can compute the activation in the same pass: where its gradient needs the
// output alone and a NaN stays one: ReLU. oneDNN's tanh and sigmoid make numbers of a NaN.
bool IsPostOp(ActivationKind kind);

// All Make… functions: INVALID_ARGUMENT or UNIMPLEMENTED if oneDNN refuses the shapes,
// RESOURCE_EXHAUSTED without memory.

// A 2-d convolution: src [n, ic, h, w], weights [oc, ic, kh, kw] ([g, oc/g, ic/g, kh, kw] with
// groups), dst [n, oc, oh, ow].
struct Convolution {
  MemoryDesc src;
  MemoryDesc weights;
  MemoryDesc bias;  // empty: none
  MemoryDesc dst;
  int64_t stride[2] = {1, 1};
  int64_t dilation[2] = {1, 1};
  int64_t padding_before[2] = {0, 0};
  int64_t padding_after[2] = {0, 0};
};
absl::StatusOr<Primitive> MakeConvolution(const Convolution& geometry,
                                          ActivationKind post_op = ActivationKind::kNone);
// The tensors' descs in `geometry` are those of the gradients: src is diff_src, dst is diff_dst.
absl::StatusOr<Primitive> MakeConvolutionGradientOfData(const Convolution& geometry);
absl::StatusOr<Primitive> MakeConvolutionGradientOfWeights(const Convolution& geometry);

// dst[m, n] = src[m, k] · weights[n, k]ᵀ + bias[n].
struct InnerProduct {
  MemoryDesc src;
  MemoryDesc weights;
  MemoryDesc bias;  // empty: none
  MemoryDesc dst;
};
absl::StatusOr<Primitive> MakeInnerProduct(const InnerProduct& product,
                                           ActivationKind post_op = ActivationKind::kNone);
absl::StatusOr<Primitive> MakeInnerProductGradientOfData(const InnerProduct& product);
absl::StatusOr<Primitive> MakeInnerProductGradientOfWeights(const InnerProduct& product);

// dst[…, m, n] = src[…, m, k] · weights[…, k, n].
absl::StatusOr<Primitive> MakeMatMul(const MemoryDesc& src, const MemoryDesc& weights,
                                     const MemoryDesc& dst);

enum class Pooling { kMax, kAverage };
struct Pool {
  Pooling kind = Pooling::kMax;
  MemoryDesc src;
  MemoryDesc dst;
  int64_t kernel[2] = {2, 2};
  int64_t stride[2] = {2, 2};
  int64_t padding_before[2] = {0, 0};
  int64_t padding_after[2] = {0, 0};
};
// Padding does not count into averages. `training`: max pooling also gives the workspace that its
// gradient needs.
absl::StatusOr<Primitive> MakePool(const Pool& pool, bool training);
absl::StatusOr<Primitive> MakePoolGradient(const Pool& pool);

// Copies with another layout or element type.
absl::StatusOr<Primitive> MakeReorder(const MemoryDesc& from, const MemoryDesc& to);

// Version and instruction set, as in "oneDNN 2.6.3, avx512_core_bf16".
std::string Description();

}  // namespace hone::engine::onednn
