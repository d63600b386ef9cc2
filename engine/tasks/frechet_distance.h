#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

// Mean and covariance of vectors of numbers, in double.
class FeatureStatistics {
 public:
  explicit FeatureStatistics(int64_t size)
      : size_(size), sum_(static_cast<size_t>(size)), products_(static_cast<size_t>(size * size)) {}

  // One vector after another, of `size` numbers each.
  void Add(std::span<const float> features);

  int64_t size() const { return size_; }
  int64_t count() const { return count_; }
  std::vector<double> Mean() const;
  // [size, size], with count − 1 in the denominator; zeros of fewer than two vectors.
  std::vector<double> Covariance() const;

 private:
  int64_t size_;
  int64_t count_ = 0;
  std::vector<double> sum_;
  std::vector<double> products_;  // of two features, from the first vector on
  std::vector<double> first_;     // subtracted from all, so that large means cost no digits
};

// How far two sets of feature vectors are from each other, each taken for a normal distribution:
//   |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)
// Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule
// Converge to a Local Nash Equilibrium", 2017, equation 6; Dowson and Landau 1982. The trace of the
// root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½. INVALID_ARGUMENT: other sizes,
// or fewer than two vectors.
absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b);

// Of a symmetric matrix [n, n], row major, by Jacobi's rotations (1846; Golub and Van Loan, "Matrix
// Computations", 8.5): its eigenvalues, in no order. `vectors`, where it is not null, becomes the
// eigenvectors, as columns.
std::vector<double> SymmetricEigenvalues(std::vector<double> matrix, int64_t n,
                                         std::vector<double>* vectors = nullptr);

}  // namespace hone::engine::tasks
