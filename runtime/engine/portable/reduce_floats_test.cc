#include "runtime/engine/portable/reduce_floats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace coreml_delegate::engine::portable {
namespace {

size_t count_of(const std::vector<size_t>& shape) {
  size_t count = 1;
  for (const size_t extent : shape) count *= extent;
  return count;
}

std::vector<float> run(FloatReduction kind, const std::vector<float>& x,
                       const std::vector<size_t>& shape, const std::vector<bool>& is_reduced) {
  std::vector<size_t> kept;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!is_reduced[i]) kept.push_back(shape[i]);
  }
  std::vector<float> result(count_of(kept), -7.0f);
  reduce_floats(kind, x.data(), shape, is_reduced, result.data());
  return result;
}

// One element after the other, in long double.
std::vector<float> expected(FloatReduction kind, const std::vector<float>& x,
                            const std::vector<size_t>& shape, const std::vector<bool>& is_reduced) {
  std::vector<size_t> strides(shape.size(), 0);
  size_t results = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (is_reduced[i]) continue;
    strides[i] = results;
    results *= shape[i];
  }
  std::vector<long double> totals(results, 0.0L);
  std::vector<bool> is_begun(results, false);
  for (size_t i = 0; i < x.size(); ++i) {
    size_t target = 0;
    for (size_t d = shape.size(), rest = i; d-- > 0; rest /= shape[d])
      target += rest % shape[d] * strides[d];
    const long double value = x[i];
    long double& total = totals[target];
    if (kind == FloatReduction::kSum || kind == FloatReduction::kMean) {
      total += value;
    } else if (!is_begun[target] || std::isnan(value) ||
               (kind == FloatReduction::kMaximum ? value > total : value < total)) {
      if (!is_begun[target] || !std::isnan(total)) total = value;
    }
    is_begun[target] = true;
  }
  std::vector<float> values;
  for (const long double total : totals) {
    const auto divisor = static_cast<long double>(x.size()) / static_cast<long double>(results);
    values.push_back(static_cast<float>(kind == FloatReduction::kMean ? total / divisor : total));
  }
  return values;
}

void compare(const std::vector<size_t>& shape, bool with_nan) {
  std::mt19937 random(static_cast<unsigned>(count_of(shape)));
  std::uniform_real_distribution<float> number(-1.0f, 2.0f);
  std::vector<float> x(count_of(shape));
  for (float& value : x) value = number(random);
  if (with_nan) x[x.size() / 3] = std::numeric_limits<float>::quiet_NaN();
  for (unsigned mask = 0; mask < 1u << shape.size(); ++mask) {
    std::vector<bool> is_reduced;
    for (size_t i = 0; i < shape.size(); ++i) is_reduced.push_back((mask >> i & 1u) != 0);
    for (const FloatReduction kind : {FloatReduction::kSum, FloatReduction::kMean,
                                      FloatReduction::kMaximum, FloatReduction::kMinimum}) {
      const std::vector<float> actual = run(kind, x, shape, is_reduced);
      const std::vector<float> wanted = expected(kind, x, shape, is_reduced);
      ASSERT_EQ(actual.size(), wanted.size());
      for (size_t i = 0; i < actual.size(); ++i) {
        if (std::isnan(wanted[i])) {
          EXPECT_TRUE(std::isnan(actual[i])) << "axes " << mask;
        } else {
          EXPECT_FLOAT_EQ(actual[i], wanted[i]) << "axes " << mask << " result " << i;
        }
      }
    }
  }
}

TEST(ReduceFloatsTest, EveryChoiceOfAxesOfEveryRank) {
  for (const bool with_nan : {false, true}) {
    compare({}, with_nan);
    compare({37}, with_nan);
    compare({5, 19}, with_nan);
    compare({4, 1, 33}, with_nan);
    compare({3, 5, 2, 17}, with_nan);
    compare({2, 3, 4, 5, 6}, with_nan);
  }
}

TEST(ReduceFloatsTest, MoreColumnsAndRowsThanOneThreadTakes) {
  compare({3, 40, 1100}, true);
  compare({30000, 3}, true);
}

TEST(ReduceFloatsTest, ManyElementsAreAsExactAsOneRounding) {
  const std::vector<float> x(4000000, 0.1f);
  const auto sum = static_cast<float>(4000000 * static_cast<double>(0.1f));
  EXPECT_EQ(run(FloatReduction::kSum, x, {4000000}, {true}), std::vector<float>{sum});
  EXPECT_EQ(run(FloatReduction::kSum, x, {2000000, 2}, {true, false}),
            std::vector<float>(2, sum / 2));
  EXPECT_EQ(run(FloatReduction::kMean, x, {2, 2000000}, {false, true}),
            std::vector<float>(2, 0.1f));
}

TEST(ReduceFloatsTest, Infinities) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> low(40, -kInfinity), high(40, kInfinity);
  EXPECT_EQ(run(FloatReduction::kMaximum, low, {40}, {true}), std::vector<float>{-kInfinity});
  EXPECT_EQ(run(FloatReduction::kMinimum, high, {40}, {true}), std::vector<float>{kInfinity});
  EXPECT_EQ(run(FloatReduction::kSum, high, {40}, {true}), std::vector<float>{kInfinity});
}

TEST(ReduceFloatsTest, Nothing) {
  EXPECT_EQ(run(FloatReduction::kSum, {}, {2, 0}, {false, true}), std::vector<float>(2, 0.0f));
  const std::vector<float> mean = run(FloatReduction::kMean, {}, {0, 3}, {true, false});
  ASSERT_EQ(mean.size(), 3u);
  for (const float value : mean) EXPECT_TRUE(std::isnan(value));
  EXPECT_TRUE(run(FloatReduction::kSum, {}, {0, 3}, {false, true}).empty());
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
