#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/rng.h"
#include "engine/tensor/tensor.h"

namespace hone::engine {

// How a parameter starts. The fans are given by who declares it: for a product its inputs and
// outputs, for a convolution the channels times the kernel's area, as Keras counts them.
struct Initializer {
  enum class Kind {
    kZeros,
    kOnes,
    kGlorotUniform,   // Glorot and Bengio 2010: ± sqrt(6 / (fan_in + fan_out))
    kGlorotNormal,    // deviation sqrt(2 / (fan_in + fan_out))
    kKaimingUniform,  // He et al. 2015: ± sqrt(6 / fan_in)
    kKaimingNormal,   // deviation sqrt(2 / fan_in)
    kNormal,          // deviation `stddev`
    kOrthogonal,  // Saxe et al. 2013: rows (or columns, whichever are fewer) of unit length and at
                  // right angles
    kForgetGate,  // of an LSTM's bias: ones in the second quarter, else zeros
  };
  Kind kind = Kind::kZeros;
  float stddev = 0.05f;
  double fan_in = 1;
  double fan_out = 1;
};

enum class ParameterRole {
  kTrainable,
  kFrozen,     // a value like any other, but never updated
  kBuffer,     // state that is not learned: running statistics, target networks
  kTransient,  // memory between runs that no file keeps: a key/value cache
};

struct ParameterSpec {
  std::string name;  // unique; a checkpoint's key, such as "conv2d_1.weight"
  Shape shape;
  Initializer initializer;
  ParameterRole role = ParameterRole::kTrainable;
  bool decays = true;         // weight decay applies: not to biases and normalisation
  DType dtype = DType::kF32;  // kBf16 only where it is frozen or transient: what is learned is f32
  // A table [rows, width] of which a batch reads few rows: where lookups alone read it, its
  // gradient is those rows and their sums.
  bool sparse = false;
};

// A parameter's values where they lie, row major. The store that gave the view outlives it.
struct ConstParameterView {
  DType dtype;
  const Shape& shape;
  const void* data;

  int64_t bytes() const { return SaturatingProduct(shape.elements(), SizeOf(dtype)); }
  // Of f32 only.
  std::span<const float> f32() const;
  // As floats, whatever they are; out.size() == shape.elements(). Exact.
  void CopyTo(std::span<float> out) const;
};
struct ParameterView {
  DType dtype;
  const Shape& shape;
  void* data;

  // Of f32 only.
  std::span<float> f32() const;
  // Rounded to the nearest bf16 where it is that; from.size() == shape.elements().
  void CopyFrom(std::span<const float> from) const;
};

// Read-only values in memory of somebody else's: a tensor of a mapped file.
struct BorrowedValues {
  DType dtype = DType::kF32;           // or kBf16
  const void* data = nullptr;          // row major, aligned to its elements
  std::shared_ptr<const void> memory;  // keeps `data` alive
  std::string sha256;                  // of the whole file, verified: names it in checkpoints
  std::string path;                    // for messages
};

using ParameterId = int32_t;

// Brings a parameter into another layout or element type. Made for one place to read and one to
// write, which stay where they are.
class Packer {
 public:
  virtual ~Packer() = default;
  // Allocates nothing.
  virtual void Pack() const = 0;
};
using PackerMaker =
    std::function<absl::StatusOr<std::unique_ptr<Packer>>(const void* values, void* packed)>;

// All parameters of a model, in flat aligned slabs: values, one slab of gradients for each shard,
// what is not trained. Programs point into it, so it outlives them. Two phases: Declare… and
// Borrow…, then Allocate once; pointers are good from then on. Not thread safe, except that
// different threads may work on different parts of the slabs.
class ParameterStore {
 public:
  // Parameters lie one after another, each starting at a multiple of this many floats; the gaps
  // stay zero.
  static constexpr int64_t kAlignment = 16;

  // The same name, shape and role again is the same parameter (tied weights). INVALID_ARGUMENT:
  // same name, other shape, role or dtype; a dtype that the role cannot have. FAILED_PRECONDITION:
  // already allocated and the name is new.
  absl::StatusOr<ParameterId> Declare(const ParameterSpec& spec);

  // The frozen parameter's values lie there; the store keeps no copy of them and never writes
  // them. INVALID_ARGUMENT: not frozen, or values of another type, misaligned or missing.
  // FAILED_PRECONDITION: already allocated.
  absl::Status Borrow(ParameterId id, BorrowedValues values);
  // Null where the store owns the values.
  const BorrowedValues* borrowed(ParameterId id) const;

  // The trainable parameter's gradient comes as rows, from where the programs leave it, and has no
  // place in the slabs. Before Allocate.
  void GiveRows(ParameterId id) { gives_rows_[static_cast<size_t>(id)] = true; }
  bool gives_rows(ParameterId id) const { return gives_rows_[static_cast<size_t>(id)]; }

  // Lays out the slabs: trainable parameters in the order of declaration, those that give rows
  // behind; the others apart.
  void Allocate(int shards);
  bool allocated() const { return allocated_; }

  // Starts every parameter from its initializer, or those for which `wanted` says so; none that is
  // borrowed. A parameter's values depend on the seed and its name only.
  void Initialize(uint64_t seed);
  void Initialize(uint64_t seed, absl::FunctionRef<bool(ParameterId)> wanted);

  int size() const { return static_cast<int>(specs_.size()); }
  const ParameterSpec& spec(ParameterId id) const { return specs_[static_cast<size_t>(id)]; }
  // NOT_FOUND with the names there are.
  absl::StatusOr<ParameterId> Find(absl::string_view name) const;

  // First float of a trainable parameter in the value slab.
  int64_t offset(ParameterId id) const { return offsets_[static_cast<size_t>(id)]; }
  ConstParameterView values(ParameterId id) const;
  // Not of a borrowed one: its data is null.
  ParameterView mutable_values(ParameterId id);
  // Trainable parameters that do not give rows only.
  std::span<float> gradients(ParameterId id, int shard);

  // Whole slabs; gaps included. The gradient slabs cover what stands before the parameters that
  // give rows.
  int64_t trainable_slab_size() const { return trainable_size_; }
  int64_t gradient_slab_size() const { return dense_size_; }
  float* value_slab() { return values_.as<float>(); }
  float* gradient_slab(int shard) { return gradients_[static_cast<size_t>(shard)].as<float>(); }
  int shards() const { return static_cast<int>(gradients_.size()); }

  // Bytes of all slabs, also before Allocate; saturating. Bytes of the packed copies there are, and
  // of what is borrowed.
  int64_t SlabBytes(int shards) const;
  int64_t packed_bytes(bool borrowed_only = false) const;
  int64_t borrowed_bytes() const;

  // A copy of a parameter in another layout, kept here and shared by all programs that ask with the
  // same key. It is brought up to date by Refresh, never while a program runs. The error is make's.
  absl::StatusOr<void*> Packed(ParameterId id, absl::string_view key, int64_t bytes,
                               const PackerMaker& make);
  bool HasPacked(ParameterId id, absl::string_view key) const;

  // to = from, and to = (1 − rate) · to + rate · from: target networks. Same shapes, both f32.
  // INVALID_ARGUMENT otherwise.
  absl::Status Copy(ParameterId from, ParameterId to) { return Blend(from, to, 1); }
  absl::Status Blend(ParameterId from, ParameterId to, float rate);

  // Values have changed, all or those of some parameters: their packed copies are stale.
  void MarkChanged();
  void MarkChanged(std::span<const ParameterId> ids);
  // Bytes of the stale copies, as of the last change.
  int64_t stale_bytes() const { return stale_bytes_; }
  // Brings those up to date whose middle lies in [begin, end) of the stale bytes. Workers share
  // them out among themselves; all of them must be done before a program runs.
  void Refresh(int64_t begin, int64_t end);
  void RefreshAll() { Refresh(0, stale_bytes_); }

 private:
  struct PackedCopy {
    ParameterId parameter;
    Buffer data;
    std::unique_ptr<Packer> packer;
    uint64_t version = 0;      // of the parameter, when it was packed
    int64_t stale_before = 0;  // bytes of the stale copies before this one
  };
  bool IsStale(const PackedCopy& copy) const {
    return copy.version != versions_[static_cast<size_t>(copy.parameter)];
  }
  void PlanRefresh();

  bool allocated_ = false;
  std::vector<ParameterSpec> specs_;
  std::vector<int64_t> offsets_;
  std::vector<bool> gives_rows_;
  std::vector<std::byte*> owned_;  // where the values lie; null: borrowed
  absl::flat_hash_map<ParameterId, BorrowedValues> borrowed_;
  absl::flat_hash_map<std::string, ParameterId> by_name_;
  int64_t dense_size_ = 0;
  int64_t trainable_size_ = 0;
  Buffer values_;     // the trainable ones
  Buffer untrained_;  // frozen ones, buffers and transient state
  std::vector<Buffer> gradients_;
  absl::flat_hash_map<std::string, size_t> packed_by_key_;
  std::vector<PackedCopy> packed_;
  std::vector<uint64_t> versions_;  // of the parameters' values
  int64_t stale_bytes_ = 0;
};

// Writes a parameter's starting values.
void FillInitial(const ParameterSpec& spec, uint64_t seed, std::span<float> values);

}  // namespace hone::engine
