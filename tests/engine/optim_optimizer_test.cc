#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/team.h"
#include "engine/optim/optimizer.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::optim {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Odd sizes, one of them more than a block; the hole between the third and the fourth belongs to
// somebody else.
std::vector<ParameterRange> OddRanges(float decay) {
  return {{.begin = 32, .end = 33, .weight_decay = decay},
          {.begin = 48, .end = 65, .learning_rate_multiplier = 0.5f, .weight_decay = 0},
          {.begin = 80, .end = 80 + 5003, .weight_decay = decay},
          {.begin = 5200, .end = 5216, .learning_rate_multiplier = 2, .weight_decay = decay}};
}
constexpr int64_t kSlab = 5280;

// Slabs as the parameter store has them: zero but for the ranges; outside of all ranges there are
// other numbers.
class Fixture {
 public:
  Fixture(const std::vector<ParameterRange>& ranges, int shards)
      : ranges_(ranges), values_(kSlab * 4) {
    RandomStream random(7, "optimizer test");
    for (int s = 0; s < shards; ++s) {
      gradients_.emplace_back(kSlab * 4);
    }
    for (const ParameterRange& range : ranges) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        values()[i] = random.NextNormal();
      }
    }
    for (int64_t i = 0; i < 32; ++i) {
      values()[i] = 99;  // before the first range
    }
  }

  // Other gradients at every step, the same sum (nearly) for any number of shards.
  void MakeGradients(int step) {
    RandomStream random(8, "gradients", static_cast<uint64_t>(step));
    for (const ParameterRange& range : ranges_) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        float rest = random.NextNormal();
        for (size_t s = gradients_.size() - 1; s > 0; --s) {
          const float part = rest * 0.375f;
          gradient(s)[i] = part;
          rest -= part;
        }
        gradient(0)[i] = rest;
      }
    }
  }

  float* values() const { return values_.as<float>(); }
  float* gradient(size_t s) const { return gradients_[s].as<float>(); }
  Slabs slabs() {
    pointers_.clear();
    for (const Buffer& gradient : gradients_) {
      pointers_.push_back(gradient.as<float>());
    }
    return {.values = values(), .gradients = pointers_};
  }

 private:
  std::vector<ParameterRange> ranges_;
  Buffer values_;
  std::vector<Buffer> gradients_;
  std::vector<const float*> pointers_;
};

std::vector<OptimizerOptions> AllOptions() {
  return {Sgd{},
          Sgd{.momentum = 0.9},
          Sgd{.momentum = 0.8, .nesterov = true},
          Adam{},
          AdamW{},
          RmsProp{},
          RmsProp{.momentum = 0.5},
          RmsProp{.momentum = 0.5, .centered = true},
          RmsProp{.centered = true}};
}

// The formulas of optimizer.h for one number, in double.
class PlainLoop {
 public:
  double Update(const OptimizerOptions& options, double w, double g, double rate, double decay,
                double t) {
    if (const Sgd* sgd = std::get_if<Sgd>(&options)) {
      g += decay * w;
      u_ = sgd->momentum * u_ + g;
      return w - rate * (sgd->nesterov ? g + sgd->momentum * u_ : u_);
    }
    if (const RmsProp* o = std::get_if<RmsProp>(&options)) {
      g += decay * w;
      v_ = o->decay * v_ + (1 - o->decay) * g * g;
      a_ = o->decay * a_ + (1 - o->decay) * g;
      const double variance = o->centered ? v_ - a_ * a_ : v_;
      u_ = o->momentum * u_ + g / (std::sqrt(variance) + o->epsilon);
      return w - rate * u_;
    }
    if (std::holds_alternative<AdamW>(options)) {
      w *= 1 - rate * decay;
    } else {
      g += decay * w;
    }
    const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7;
    u_ = beta1 * u_ + (1 - beta1) * g;
    v_ = beta2 * v_ + (1 - beta2) * g * g;
    const double correction = std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
    return w - rate * correction * u_ / (std::sqrt(v_) + epsilon);
  }

 private:
  double u_ = 0, v_ = 0, a_ = 0;
};

void Train(Optimizer& optimizer, Fixture& fixture, int steps, int workers) {
  for (int step = 1; step <= steps; ++step) {
    fixture.MakeGradients(step);
    const Slabs slabs = fixture.slabs();
    const UpdateStep update = {
        .step = step, .learning_rate = 0.01, .scale = 0.5, .clip_value = 0.75};
    ForShares(
        optimizer.WriteFloats(), workers,
        [&](int64_t begin, int64_t end) { optimizer.Write(slabs, update, begin, end); },
        /*grain=*/16);
  }
}

class EachOptimizer : public ::testing::TestWithParam<int> {
 protected:
  const OptimizerOptions options_ = AllOptions()[static_cast<size_t>(GetParam())];
  const std::vector<ParameterRange> ranges_ = OddRanges(0.1f);
};

TEST_P(EachOptimizer, FollowsItsFormulaOverOddSizesForAnyNumberOfShards) {
  for (const int shards : {1, 2, 3}) {
    Fixture fixture(ranges_, shards);
    auto optimizer = Optimizer::Create(options_, ranges_);
    ASSERT_THAT(optimizer, IsOk());
    std::vector<double> expected(fixture.values(), fixture.values() + kSlab);
    std::vector<PlainLoop> loops(kSlab);
    for (int step = 1; step <= 5; ++step) {
      fixture.MakeGradients(step);
      for (const ParameterRange& range : ranges_) {
        for (int64_t i = range.begin; i < range.end; ++i) {
          double g = 0;
          for (int s = 0; s < shards; ++s) {
            g += fixture.gradient(static_cast<size_t>(s))[i];
          }
          double& w = expected[static_cast<size_t>(i)];
          w = loops[static_cast<size_t>(i)].Update(options_, w, std::clamp(g * 0.5, -0.75, 0.75),
                                                   0.01 * range.learning_rate_multiplier,
                                                   range.weight_decay, step);
        }
      }
    }
    Train(*optimizer, fixture, 5, 2);
    for (int64_t i = 0; i < kSlab; ++i) {
      ASSERT_NEAR(fixture.values()[i], expected[static_cast<size_t>(i)], 3e-6)
          << "value " << i << ", " << shards << " shards";
    }
  }
}

TEST_P(EachOptimizer, GivesTheSameBitsForAnyNumberOfWorkers) {
  Fixture one(ranges_, 2);
  auto alone = Optimizer::Create(options_, ranges_);
  Train(*alone, one, 4, 1);
  for (const int workers : {2, 3, 7}) {
    Fixture many(ranges_, 2);
    auto team = Optimizer::Create(options_, ranges_);
    Train(*team, many, 4, workers);
    EXPECT_EQ(std::memcmp(one.values(), many.values(), kSlab * 4), 0) << workers << " workers";
    for (int s = 0; s < alone->state_slabs(); ++s) {
      EXPECT_EQ(
          std::memcmp(alone->state(s).data(), team->state(s).data(), alone->state(s).size_bytes()),
          0)
          << "state " << s << ", " << workers << " workers";
    }
  }
}

TEST_P(EachOptimizer, LeavesGapsZeroAndOtherNumbersAlone) {
  Fixture fixture(ranges_, 2);
  auto optimizer = Optimizer::Create(options_, ranges_);
  Train(*optimizer, fixture, 3, 2);
  for (int64_t i = 0; i < kSlab; ++i) {
    bool owned = false;
    for (const ParameterRange& range : ranges_) {
      owned = owned || (i >= range.begin && i < range.end);
    }
    if (!owned) {
      ASSERT_EQ(fixture.values()[i], i < 32 ? 99 : 0) << "value " << i;
    }
  }
}

TEST_P(EachOptimizer, HasAsManyStateSlabsAsNames) {
  auto optimizer = Optimizer::Create(options_, ranges_);
  ASSERT_THAT(optimizer, IsOk());
  EXPECT_EQ(static_cast<size_t>(optimizer->state_slabs()), StateNames(options_).size());
  EXPECT_EQ(optimizer->state_begin(), 32);
}

INSTANTIATE_TEST_SUITE_P(All, EachOptimizer, ::testing::Range(0, 9), [](const auto& test) {
  return absl::StrCat(NameOf(AllOptions()[static_cast<size_t>(test.param)]), test.param);
});

// A read pass by `workers`.
GradientSummary ReadAll(Optimizer& optimizer, Fixture& fixture, int workers, double scale) {
  const Slabs slabs = fixture.slabs();
  ForShares(
      optimizer.ReadFloats(true), workers,
      [&](int64_t begin, int64_t end) { optimizer.Read(slabs, true, begin, end); }, /*grain=*/16);
  return optimizer.Summary(scale);
}

TEST(ReadPass, TakesTheNormOfTheScaledSumOfShardsForEachRangeAndInAll) {
  const auto ranges = OddRanges(0);
  Fixture fixture(ranges, 3);
  fixture.MakeGradients(1);
  auto optimizer = Optimizer::Create(Sgd{}, ranges);
  const GradientSummary summary = ReadAll(*optimizer, fixture, 2, 0.25);
  double all = 0;
  for (size_t r = 0; r < ranges.size(); ++r) {
    double gradients = 0, weights = 0;
    for (int64_t i = ranges[r].begin; i < ranges[r].end; ++i) {
      const double g = 0.25 * (static_cast<double>(fixture.gradient(0)[i]) +
                               fixture.gradient(1)[i] + fixture.gradient(2)[i]);
      gradients += g * g;
      weights += static_cast<double>(fixture.values()[i]) * fixture.values()[i];
    }
    all += gradients;
    const int index = static_cast<int>(r);
    EXPECT_NEAR(optimizer->SquaredGradientNorm(index, 0.25) / gradients, 1, 1e-5);
    EXPECT_NEAR(optimizer->SquaredWeightNorm(index) / weights, 1, 1e-5);
  }
  EXPECT_NEAR(summary.squared_norm / all, 1, 1e-5);
  EXPECT_TRUE(summary.finite);
}

TEST(ReadPass, GivesTheSameBitsForAnyNumberOfWorkers) {
  const auto ranges = OddRanges(0);
  Fixture fixture(ranges, 2);
  fixture.MakeGradients(1);
  auto optimizer = Optimizer::Create(Sgd{}, ranges);
  const double alone = ReadAll(*optimizer, fixture, 1, 1).squared_norm;
  for (const int workers : {2, 3, 7}) {
    auto other = Optimizer::Create(Sgd{}, ranges);
    EXPECT_EQ(ReadAll(*other, fixture, workers, 1).squared_norm, alone) << workers << " workers";
  }
}

TEST(ReadPass, FindsANumberThatIsNotFiniteAtAnyPositionOfAnyShard) {
  const auto ranges = OddRanges(0);
  Fixture fixture(ranges, 2);
  fixture.MakeGradients(1);
  auto optimizer = Optimizer::Create(Sgd{}, ranges);
  const Slabs slabs = fixture.slabs();
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const ParameterRange& range : ranges) {
      for (int64_t i = range.begin; i < range.end; i += i < 200 ? 1 : 61) {
        for (size_t s = 0; s < 2; ++s) {
          const float before = std::exchange(fixture.gradient(s)[i], bad);
          optimizer->Read(slabs, false, 0, optimizer->ReadFloats(false));
          ASSERT_FALSE(optimizer->Summary(1).finite) << bad << " at " << i << " of shard " << s;
          fixture.gradient(s)[i] = before;
        }
      }
    }
  }
  optimizer->Read(slabs, false, 0, optimizer->ReadFloats(false));
  EXPECT_TRUE(optimizer->Summary(1).finite);
}

TEST(ReadPass, MeasuresNormsWhoseSquaresAFloatCannotHold) {
  const std::vector<ParameterRange> ranges = {{.begin = 32, .end = 37}};
  for (const float size : {1e30f, 3e38f, 1e-20f, 1e-30f, 2e-38f}) {
    Fixture fixture(ranges, 1);
    fixture.gradient(0)[33] = size;
    auto optimizer = Optimizer::Create(Sgd{}, ranges);
    const GradientSummary summary = ReadAll(*optimizer, fixture, 1, 1);
    EXPECT_TRUE(summary.finite) << size;
    EXPECT_NEAR(summary.norm() / static_cast<double>(size), 1, 1e-6) << size;
  }
}

TEST(WritePass, CutsGradientsByValueButLetsNaNThrough) {
  const std::vector<ParameterRange> ranges = {{.begin = 32, .end = 36}};
  Fixture fixture(ranges, 1);
  const float gradients[] = {5, -5, 0.5f, std::numeric_limits<float>::quiet_NaN()};
  for (int i = 0; i < 4; ++i) {
    fixture.values()[32 + i] = 0;
    fixture.gradient(0)[32 + i] = gradients[i];
  }
  auto optimizer = Optimizer::Create(Sgd{}, ranges);
  optimizer->Write(fixture.slabs(), {.learning_rate = 1, .clip_value = 2}, 0,
                   optimizer->WriteFloats());
  EXPECT_EQ(fixture.values()[32], -2);
  EXPECT_EQ(fixture.values()[33], 2);
  EXPECT_EQ(fixture.values()[34], -0.5f);
  EXPECT_TRUE(std::isnan(fixture.values()[35]));
}

TEST(ClipFactor, BringsALargeNormDownToTheLimitAndLeavesOthers) {
  EXPECT_EQ(ClipFactor(10, 2.5), 0.25);
  EXPECT_EQ(ClipFactor(2, 2.5), 1);
  EXPECT_EQ(ClipFactor(10, 0), 1);
  EXPECT_EQ(ClipFactor(0, 1), 1);
}

TEST(AccumulateGradient, AddsEveryElementOnceForAnyNumberOfWorkers) {
  for (const int workers : {1, 2, 3}) {
    Buffer gradient(208 * 4), sum(208 * 4);
    for (int i = 0; i < 208; ++i) {
      gradient.as<float>()[i] = static_cast<float>(i);
      sum.as<float>()[i] = 1000;
    }
    const auto add = [&](int64_t begin, int64_t end) {
      AccumulateGradient(gradient.as<float>(), sum.as<float>(), begin, end);
    };
    ForShares(208, workers, add, /*grain=*/16);
    for (int i = 0; i < 208; ++i) {
      ASSERT_EQ(sum.as<float>()[i], static_cast<float>(1000 + i));
    }
  }
}

TEST(OptimizerOptions, NameTheFieldThatIsWrongAndWhatWouldBeRight) {
  EXPECT_THAT(Validate(Adam{.beta1 = 1.5}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "optimizer.adam.beta1: must be at least 0 and below 1, got 1.5"));
  EXPECT_THAT(Validate(RmsProp{.epsilon = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("optimizer.rmsprop.epsilon")));
  EXPECT_THAT(Validate(Sgd{.learning_rate = std::nan("")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sgd.learning_rate")));
  EXPECT_THAT(Validate(Sgd{.nesterov = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("momentum")));
  EXPECT_THAT(Validate(AdamW{}), IsOk());
}

TEST(Optimizer, RefusesRangesThatOverlapOrAreNotAligned) {
  const auto create = [](std::vector<ParameterRange> ranges) {
    return Optimizer::Create(Sgd{}, std::move(ranges)).status();
  };
  EXPECT_THAT(create({{.begin = 8, .end = 9}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("multiple of 16")));
  EXPECT_THAT(create({{.begin = 0, .end = 17}, {.begin = 16, .end = 18}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 32 on")));
}

TEST(StateNames, SayWhatEachSlabHolds) {
  EXPECT_THAT(StateNames(Sgd{}), ElementsAre());
  EXPECT_THAT(StateNames(AdamW{}), ElementsAre("m", "v"));
  EXPECT_THAT(StateNames(RmsProp{.momentum = 0.1, .centered = true}),
              ElementsAre("square", "velocity", "mean"));
}

TEST(Optimizer, ARangeRestsInItsFirstUpdatesAndThenBeginsAtItsFirst) {
  constexpr int kRests = 2;
  const std::vector<ParameterRange> ranges = {{.begin = 32, .end = 48},
                                              {.begin = 48, .end = 64, .rests = kRests}};
  Fixture fixture(ranges, 1);
  auto optimizer = Optimizer::Create(Adam{.learning_rate = 0.01}, ranges);
  ASSERT_THAT(optimizer, IsOk());
  for (int step = 1; step <= 3; ++step) {
    fixture.MakeGradients(step);
    const std::vector<float> before(fixture.values() + 48, fixture.values() + 64);
    optimizer->BeginUpdate(step);
    EXPECT_EQ(optimizer->Rests(1), step <= kRests);
    optimizer->Read(fixture.slabs(), false, 0, optimizer->ReadFloats(false));
    double squares = 0;
    for (int64_t i = 32; i < (step <= kRests ? 48 : 64); ++i) {
      squares += double{fixture.gradient(0)[i]} * double{fixture.gradient(0)[i]};
    }
    EXPECT_NEAR(optimizer->Summary(1).squared_norm, squares, 1e-5 * squares);
    optimizer->Write(fixture.slabs(), {.step = step, .learning_rate = 0.01}, 0,
                     optimizer->WriteFloats());
    for (size_t i = 0; i < before.size(); ++i) {
      // Adam's first step is the learning rate.
      EXPECT_NEAR(std::abs(fixture.values()[48 + i] - before[i]), step <= kRests ? 0 : 0.01, 1e-4);
    }
  }
}

}  // namespace
}  // namespace hone::engine::optim
