#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/plan/program.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {

// The inputs of a program, to be filled before it runs. The program outlives it.
class Inputs {
 public:
  // `shape` is what the program was compiled for: its own part of a batch, and the bucket.
  Inputs(const Program& program, const BatchShape& shape) : program_(program), shape_(shape) {}

  const BatchShape& shape() const { return shape_; }

  // Of all inputs that the program reads.
  std::vector<std::string> names() const;

  // All numbers of an input, row major; none where the program does not read it. INTERNAL where
  // they are of another type than T.
  template <class T>
  absl::StatusOr<std::span<T>> Find(absl::string_view name) const {
    const absl::StatusOr<std::span<std::byte>> bytes = FindBytes(name, DTypeOf(T()));
    if (!bytes.ok()) {
      return bytes.status();
    }
    return std::span<T>(reinterpret_cast<T*>(bytes->data()), bytes->size() / sizeof(T));
  }
  // The same for a type that is known only now.
  absl::StatusOr<std::span<std::byte>> FindBytes(absl::string_view name, DType dtype) const;

 private:
  static constexpr DType DTypeOf(float) { return DType::kF32; }
  static constexpr DType DTypeOf(int32_t) { return DType::kS32; }
  static constexpr DType DTypeOf(uint8_t) { return DType::kU8; }

  const Program& program_;
  BatchShape shape_;
};

}  // namespace hone::engine::tasks
