#include "engine/base/rng.h"

#include <immintrin.h>

#include <cmath>
#include <numbers>

#include "engine/base/cpu.h"

namespace hone::engine {
namespace {

uint32_t Low(uint64_t number) { return static_cast<uint32_t>(number); }
uint32_t High(uint64_t number) { return static_cast<uint32_t>(number >> 32); }
int Int(uint32_t bits) { return static_cast<int>(bits); }

// Philox of the counters {block, index} to {block + 15, index}: word w of block b at [w, b]. Of the
// lanes' products the even ones and the odd ones are taken apart, as the processor multiplies.
__attribute__((target("avx512f"))) void SixteenBlocks(uint64_t block, uint64_t index,
                                                      std::array<uint32_t, 2> key,
                                                      uint32_t* words) {
  constexpr __mmask16 kOdd = 0xaaaa;
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32(Int(Low(block))), lanes);
  const __mmask16 carried = _mm512_cmplt_epu32_mask(c0, lanes);
  __m512i c1 = _mm512_mask_add_epi32(_mm512_set1_epi32(Int(High(block))), carried,
                                     _mm512_set1_epi32(Int(High(block))), _mm512_set1_epi32(1));
  __m512i c2 = _mm512_set1_epi32(Int(Low(index))), c3 = _mm512_set1_epi32(Int(High(index)));
  const __m512i factor0 = _mm512_set1_epi32(Int(0xD2511F53)),
                factor1 = _mm512_set1_epi32(Int(0xCD9E8D57));
  for (int round = 0; round < 10; ++round) {
    const __m512i even0 = _mm512_mul_epu32(c0, factor0);
    const __m512i odd0 = _mm512_mul_epu32(_mm512_srli_epi64(c0, 32), factor0);
    const __m512i even1 = _mm512_mul_epu32(c2, factor1);
    const __m512i odd1 = _mm512_mul_epu32(_mm512_srli_epi64(c2, 32), factor1);
    const __m512i high0 = _mm512_mask_blend_epi32(kOdd, _mm512_srli_epi64(even0, 32), odd0);
    const __m512i high1 = _mm512_mask_blend_epi32(kOdd, _mm512_srli_epi64(even1, 32), odd1);
    c0 = _mm512_xor_si512(_mm512_xor_si512(high1, c1), _mm512_set1_epi32(Int(key[0])));
    c1 = _mm512_mask_blend_epi32(kOdd, even1, _mm512_slli_epi64(odd1, 32));
    c2 = _mm512_xor_si512(_mm512_xor_si512(high0, c3), _mm512_set1_epi32(Int(key[1])));
    c3 = _mm512_mask_blend_epi32(kOdd, even0, _mm512_slli_epi64(odd0, 32));
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  _mm512_storeu_si512(words, c0);
  _mm512_storeu_si512(words + 16, c1);
  _mm512_storeu_si512(words + 32, c2);
  _mm512_storeu_si512(words + 48, c3);
}

}  // namespace

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

uint64_t NameHash(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

RandomStream::RandomStream(uint64_t seed, absl::string_view name, uint64_t index) : index_(index) {
  const uint64_t mixed = seed * 0x9E3779B97F4A7C15 ^ NameHash(name);
  key_ = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

// One block at first, since many streams are asked for a few numbers alone; then many, which a wide
// processor computes side by side.
void RandomStream::Refill() {
  const uint32_t blocks = block_ == 0 ? 1 : kBlocks;
  static const bool wide = CpuInstructionSet() >= InstructionSet::kAvx512;
  if (blocks == kBlocks && wide) {
    SixteenBlocks(block_, index_, key_, words_.data());
  } else {
    for (uint32_t b = 0; b < blocks; ++b) {
      const uint64_t block = block_ + b;
      const std::array<uint32_t, 4> words =
          Philox({Low(block), High(block), Low(index_), High(index_)}, key_);
      for (size_t w = 0; w < words.size(); ++w) {
        words_[w * kBlocks + b] = words[w];
      }
    }
  }
  block_ += blocks;
  there_ = 4 * blocks;
  used_ = 0;
}

float RandomStream::NextNormal() {
  const double u = (NextBits() + 0.5) * 0x1.0p-32;
  const double v = NextBits() * 0x1.0p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

}  // namespace hone::engine
