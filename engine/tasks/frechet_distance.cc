#include "engine/tasks/frechet_distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hone::engine::tasks {
namespace {

double Trace(const std::vector<double>& matrix, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += matrix[static_cast<size_t>(i * n + i)];
  }
  return sum;
}

std::vector<double> Product(const std::vector<double>& a, const std::vector<double>& b, int64_t n) {
  std::vector<double> c(a.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < n; ++k) {
      const double factor = a[static_cast<size_t>(i * n + k)];
      for (int64_t j = 0; j < n; ++j) {
        c[static_cast<size_t>(i * n + j)] += factor * b[static_cast<size_t>(k * n + j)];
      }
    }
  }
  return c;
}

// The root of a matrix without negative eigenvalues; rounding may have left some.
std::vector<double> Root(const std::vector<double>& matrix, int64_t n) {
  std::vector<double> vectors;
  const std::vector<double> values = SymmetricEigenvalues(matrix, n, &vectors);
  std::vector<double> scaled = vectors, transposed(vectors.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(i * n + j);
      scaled[at] *= std::sqrt(std::max(values[static_cast<size_t>(j)], 0.0));
      transposed[static_cast<size_t>(j * n + i)] = vectors[at];
    }
  }
  return Product(scaled, transposed, n);
}

}  // namespace

void FeatureStatistics::Add(std::span<const float> features) {
  const auto n = static_cast<size_t>(size_);
  std::vector<double> d(n);
  for (size_t first = 0; first + n <= features.size(); first += n) {
    if (count_++ == 0) {
      first_.assign(features.begin(), features.begin() + static_cast<std::ptrdiff_t>(n));
    }
    for (size_t i = 0; i < n; ++i) {
      d[i] = features[first + i] - first_[i];
      sum_[i] += d[i];
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        products_[i * n + j] += d[i] * d[j];
      }
    }
  }
}

std::vector<double> FeatureStatistics::Mean() const {
  std::vector<double> mean(sum_.size());
  for (size_t i = 0; i < mean.size() && count_ > 0; ++i) {
    mean[i] = first_[i] + sum_[i] / static_cast<double>(count_);
  }
  return mean;
}

std::vector<double> FeatureStatistics::Covariance() const {
  std::vector<double> covariance(products_.size());
  const auto n = static_cast<size_t>(size_);
  const auto count = static_cast<double>(count_);
  for (size_t i = 0; i < n && count_ > 1; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      const double value = (products_[i * n + j] - sum_[i] * sum_[j] / count) / (count - 1);
      covariance[i * n + j] = covariance[j * n + i] = value;
    }
  }
  return covariance;
}

std::vector<double> SymmetricEigenvalues(std::vector<double> matrix, int64_t n,
                                         std::vector<double>* vectors) {
  constexpr int kMostSweeps = 60;
  const auto at = [&](int64_t i, int64_t j) -> double& {
    return matrix[static_cast<size_t>(i * n + j)];
  };
  if (vectors != nullptr) {
    vectors->assign(matrix.size(), 0);
    for (int64_t i = 0; i < n; ++i) {
      (*vectors)[static_cast<size_t>(i * n + i)] = 1;
    }
  }
  const double whole = std::inner_product(matrix.begin(), matrix.end(), matrix.begin(), 0.0);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double beside = 0;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        beside += 2 * at(p, q) * at(p, q);
      }
    }
    if (beside <= 1e-30 * whole) {
      break;
    }
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        if (at(p, q) == 0) {
          continue;
        }
        // The smaller of the two angles that turn the element beside the diagonal to 0.
        const double theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        const auto turn = [&](double& x, double& y) {
          const double old = x;
          x = c * old - s * y;
          y = s * old + c * y;
        };
        for (int64_t k = 0; k < n; ++k) {
          turn(at(k, p), at(k, q));
        }
        for (int64_t k = 0; k < n; ++k) {
          turn(at(p, k), at(q, k));
        }
        for (int64_t k = 0; vectors != nullptr && k < n; ++k) {
          turn((*vectors)[static_cast<size_t>(k * n + p)],
               (*vectors)[static_cast<size_t>(k * n + q)]);
        }
      }
    }
  }
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) {
    values.push_back(at(i, i));
  }
  return values;
}

absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b) {
  if (a.size() != b.size() || a.count() < 2 || b.count() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a Fréchet distance needs two vectors at least on both sides, of one size; got ", a.count(),
        " of ", a.size(), " and ", b.count(), " of ", b.size()));
  }
  const int64_t n = a.size();
  const std::vector<double> mean_a = a.Mean(), mean_b = b.Mean();
  const std::vector<double> of_a = a.Covariance(), of_b = b.Covariance();
  double distance = Trace(of_a, n) + Trace(of_b, n);
  for (size_t i = 0; i < mean_a.size(); ++i) {
    distance += (mean_a[i] - mean_b[i]) * (mean_a[i] - mean_b[i]);
  }
  const std::vector<double> root = Root(of_a, n);
  for (const double value : SymmetricEigenvalues(Product(Product(root, of_b, n), root, n), n)) {
    distance -= 2 * std::sqrt(std::max(value, 0.0));
  }
  return std::max(distance, 0.0);
}

}  // namespace hone::engine::tasks
