#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <numeric>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/batches.h"
#include "engine/data/generated_digits.h"

namespace {
std::atomic<long> allocations = 0;
}  // namespace

// Under sanitizers GCC takes malloc and free in these for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
// Counts every allocation of this test program.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace hone::engine::data {
namespace {

TEST(Step, OrdersGathersAndAugmentsWithoutAllocating) {
  const auto dataset = Dataset::Make(GenerateDigits({.count = 50, .seed = 1}));
  ASSERT_TRUE(dataset.ok());
  std::vector<int32_t> rows(50);
  std::iota(rows.begin(), rows.end(), 0);
  Batches batches(rows, {.batch_size = 8, .seed = 1});
  std::vector<uint8_t> pixels(8 * 784);
  std::vector<uint8_t> changed(784);
  std::vector<int32_t> labels(8);
  const Augmentation augmentation{.shift = 0.1f, .rotate_degrees = 10, .erase_probability = 0.5f};
  const long before = allocations;
  for (int step = 0; step < 20; ++step) {
    const Batch batch = batches.Next();
    dataset->Gather(batch.rows, pixels.data(), labels.data());
    Augment(augmentation, {1, batch.begin.epoch, batch.rows[0]}, pixels.data(),
            dataset->features().shape, changed.data());
  }
  EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace hone::engine::data
