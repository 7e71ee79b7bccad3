#include "runtime/model/float_formats.h"

#include <gtest/gtest.h>

#include <random>

#include "base/half.h"

namespace coreml_delegate::model {
namespace {

TEST(FloatFormats, EveryHalfSurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = half_to_float(half);
    const float reference = widen_ieee(half, 5, 10);
    if (std::isnan(reference)) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(reference)) << bits;
    ASSERT_EQ(float_to_half(value), half) << bits;
  }
}

// The half nearest to a value, by trying both neighbours in double.
uint16_t nearest_half(float value) {
  if (std::isinf(value) || std::fabs(value) >= 65520.0f) {
    return std::signbit(value) ? 0xfc00 : 0x7c00;
  }
  const double magnitude = std::fabs(static_cast<double>(value));
  uint16_t low = 0;
  uint16_t high = 0x7bff;
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (static_cast<double>(half_to_float(middle)) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - half_to_float(low);
  const double above = half_to_float(high) - magnitude;
  const bool up = above < below || (above == below && (high & 1) == 0);
  return static_cast<uint16_t>((up ? high : low) | (std::signbit(value) ? 0x8000 : 0));
}

TEST(FloatFormats, NarrowingRoundsToNearestEven) {
  std::mt19937 random(20240501);
  for (int i = 0; i < 200'000; ++i) {
    // Exponents around what a half can hold.
    const uint32_t exponent = 96 + random() % 50;
    const uint32_t bits = (random() & 0x807fffff) | (exponent << 23);
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(float_to_half(value), nearest_half(value)) << std::hexfloat << value;
  }
  EXPECT_EQ(float_to_half(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30f), 0xfc00);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);  // A tie, to even.
  EXPECT_EQ(float_to_half(0x1.8p-25f), 0x0001);
  EXPECT_EQ(float_to_half(-0.0f), 0x8000);
}

TEST(FloatFormats, OtherFormats) {
  EXPECT_EQ(bfloat16_to_float(0x3f80), 1.0f);
  EXPECT_EQ(float8_e5m2_to_float(0x3c), 1.0f);
  EXPECT_TRUE(std::isinf(float8_e5m2_to_float(0x7c)));
  EXPECT_EQ(float8_e4m3fn_to_float(0x38), 1.0f);
  EXPECT_EQ(float8_e4m3fn_to_float(0x7e), 448.0f);
  EXPECT_EQ(float8_e4m3fn_to_float(0x01), 0x1p-9f);
  EXPECT_EQ(float8_e4m3fn_to_float(0xb8), -1.0f);
  EXPECT_TRUE(std::isnan(float8_e4m3fn_to_float(0x7f)));
}

}  // namespace
}  // namespace coreml_delegate::model
