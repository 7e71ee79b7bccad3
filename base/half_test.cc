#include "base/half.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace coreml_delegate {
namespace {

// By the definition of IEEE 754's binary16, in double.
double half_value(uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  const int exponent = (half >> 10) & 0x1f;
  const int mantissa = half & 0x3ff;
  if (exponent == 0x1f) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

// The half nearest to a finite value, ties to even, by looking at its neighbours.
uint16_t nearest_half(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (magnitude >= 65520) return static_cast<uint16_t>(sign | 0x7c00);
  uint16_t low = 0;
  uint16_t high = 0x7bff;
  while (low < high) {  // The largest half that is not above the value.
    const auto middle = static_cast<uint16_t>((low + high + 1) / 2);
    if (half_value(middle) <= magnitude)
      low = middle;
    else
      high = static_cast<uint16_t>(middle - 1);
  }
  if (low == 0x7bff) return static_cast<uint16_t>(sign | low);
  const double below = magnitude - half_value(low);
  const double above = half_value(static_cast<uint16_t>(low + 1)) - magnitude;
  const bool up = above < below || (above == below && (low & 1) != 0);
  return static_cast<uint16_t>(sign | (low + (up ? 1 : 0)));
}

TEST(HalfConversionTest, EveryHalfBecomesItsFloatAndBack) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> floats(halves.size());
  std::vector<float> portable(halves.size());
  half_to_float(halves.data(), floats.data(), halves.size());
  half_to_float_portable(halves.data(), portable.data(), halves.size());
  std::vector<uint16_t> back(halves.size());
  std::vector<uint16_t> portable_back(halves.size());
  float_to_half(floats.data(), back.data(), floats.size());
  float_to_half_portable(portable.data(), portable_back.data(), floats.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    const double expected = half_value(halves[i]);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(floats[i])) << i;
      ASSERT_TRUE(std::isnan(portable[i])) << i;
      ASSERT_TRUE(std::isnan(half_value(back[i]))) << i;
      ASSERT_TRUE(std::isnan(half_value(portable_back[i]))) << i;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]),
              std::bit_cast<uint32_t>(static_cast<float>(expected)));
    ASSERT_EQ(std::bit_cast<uint32_t>(portable[i]), std::bit_cast<uint32_t>(floats[i]));
    ASSERT_EQ(back[i], halves[i]);
    ASSERT_EQ(portable_back[i], halves[i]);
  }
}

TEST(HalfConversionTest, FloatsAreRoundedToNearestTiesToEven) {
  std::mt19937 random(20260801);
  std::vector<float> floats = {
      0.0f,         -0.0f,           65504.0f,        65519.996f,
      65520.0f,     65536.0f,        1e30f,           0x1p-24f,
      0x1p-25f,     0x1.000002p-25f, 0x1.8p-24f,      0x1.ffcp-15f,
      0x1.ffep-15f, 1.0f + 0x1p-11f, 1.0f + 0x3p-11f, std::numeric_limits<float>::denorm_min()};
  for (int i = 0; i < 200000; ++i) {
    floats.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
    // Most random floats are out of a half's range: as many within it.
    floats.push_back(std::ldexp(static_cast<float>(random()), -static_cast<int>(random() % 60)));
  }
  std::vector<uint16_t> halves(floats.size());
  std::vector<uint16_t> portable(floats.size());
  float_to_half(floats.data(), halves.data(), floats.size());
  float_to_half_portable(floats.data(), portable.data(), floats.size());
  for (size_t i = 0; i < floats.size(); ++i) {
    if (std::isnan(floats[i])) {
      ASSERT_TRUE(std::isnan(half_value(halves[i])));
      ASSERT_TRUE(std::isnan(half_value(portable[i])));
      continue;
    }
    ASSERT_EQ(halves[i], nearest_half(floats[i])) << floats[i];
    ASSERT_EQ(portable[i], halves[i]) << floats[i];
  }
}

TEST(HalfConversionTest, DoublesAreRoundedOnce) {
  // 1 + 2^-11 is a tie between two halves; the last bit says up, and a float cannot hold it:
  // rounding to float first gives a tie.
  const double above_tie = 1.0 + 0x1p-11 + 0x1p-40;
  const float twice = static_cast<float>(above_tie);
  uint16_t wrong = 0;
  float_to_half(&twice, &wrong, 1);
  EXPECT_EQ(wrong, 0x3c00);
  std::mt19937_64 random(7);
  std::vector<double> values = {above_tie, -above_tie,  1.0 + 0x1p-11 - 0x1p-40, 1e300, -1e300,
                                5e-324,    65520 - 1e-9};
  for (int i = 0; i < 100000; ++i) {
    values.push_back(std::ldexp(static_cast<double>(random()), -static_cast<int>(random() % 100)));
    // Close to ties.
    const auto half = static_cast<uint16_t>(random() % 0x7bff);
    const double tie = (half_value(half) + half_value(static_cast<uint16_t>(half + 1))) / 2;
    values.push_back(std::nextafter(tie, 0.0));
    values.push_back(tie);
    values.push_back(std::nextafter(tie, 1e9));
  }
  for (const double value : values) {
    const float odd = round_to_odd(value);
    uint16_t half = 0;
    float_to_half(&odd, &half, 1);
    ASSERT_EQ(half, nearest_half(value)) << value;
  }
  EXPECT_EQ(round_to_odd(std::numeric_limits<double>::infinity()),
            std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(round_to_odd(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_EQ(round_to_odd(0.5), 0.5f);
}

}  // namespace
}  // namespace coreml_delegate
