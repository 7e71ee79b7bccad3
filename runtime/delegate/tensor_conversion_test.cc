#include "runtime/delegate/tensor_conversion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/half.h"
#include "base/strides.h"
#include "gtest/gtest.h"

namespace coreml_delegate {
namespace {

constexpr DataType kAllTypes[] = {
    DataType::kBool,  DataType::kInt8,  DataType::kUInt8,   DataType::kInt16,   DataType::kUInt16,
    DataType::kInt32, DataType::kInt64, DataType::kFloat16, DataType::kFloat32, DataType::kFloat64,
};

// An element as a value that holds every dtype exactly (64 bits of significand).
long double get(DataType dtype, const std::byte* at) {
  const auto as = [&](auto value) {
    std::memcpy(&value, at, sizeof(value));
    return value;
  };
  switch (dtype) {
    case DataType::kBool:
    case DataType::kUInt8:
      return as(uint8_t{});
    case DataType::kInt8:
      return as(int8_t{});
    case DataType::kInt16:
      return as(int16_t{});
    case DataType::kUInt16:
      return as(uint16_t{});
    case DataType::kInt32:
      return as(int32_t{});
    case DataType::kInt64:
      return as(int64_t{});
    case DataType::kFloat16: {
      const uint16_t half = as(uint16_t{});
      float value = 0;
      half_to_float_portable(&half, &value, 1);
      return value;
    }
    case DataType::kFloat32:
      return as(float{});
    case DataType::kFloat64:
      return as(double{});
    case DataType::kInvalid:
      break;
  }
  return 0;
}

void put(DataType dtype, long double value, std::byte* at) {
  const auto as = [&](auto typed) { std::memcpy(at, &typed, sizeof(typed)); };
  switch (dtype) {
    case DataType::kBool:
      return as(static_cast<uint8_t>(value != 0));
    case DataType::kUInt8:
      return as(static_cast<uint8_t>(value));
    case DataType::kInt8:
      return as(static_cast<int8_t>(value));
    case DataType::kInt16:
      return as(static_cast<int16_t>(value));
    case DataType::kUInt16:
      return as(static_cast<uint16_t>(value));
    case DataType::kInt32:
      return as(static_cast<int32_t>(value));
    case DataType::kInt64:
      return as(static_cast<int64_t>(value));
    case DataType::kFloat16: {
      const float single = round_to_odd(static_cast<double>(value));
      uint16_t half = 0;
      float_to_half_portable(&single, &half, 1);
      return as(half);
    }
    case DataType::kFloat32:
      return as(static_cast<float>(value));
    case DataType::kFloat64:
      return as(static_cast<double>(value));
    case DataType::kInvalid:
      return;
  }
}

bool is_floating(DataType dtype) {
  return dtype == DataType::kFloat16 || dtype == DataType::kFloat32 || dtype == DataType::kFloat64;
}

// Smallest and largest integer of an integer type.
std::pair<long double, long double> bounds(DataType dtype) {
  switch (dtype) {
    case DataType::kInt8:
      return {-128, 127};
    case DataType::kUInt8:
      return {0, 255};
    case DataType::kInt16:
      return {-32768, 32767};
    case DataType::kUInt16:
      return {0, 65535};
    case DataType::kInt32:
      return {-2147483648.0L, 2147483647.0L};
    case DataType::kInt64:
      return {-9223372036854775808.0L, 9223372036854775807.0L};
    default:
      return {0, 1};
  }
}

// What the header promises: the value, or nothing where it does not fit.
std::optional<long double> expected(long double value, DataType to) {
  if (to == DataType::kBool) return value != 0 ? 1 : 0;
  if (!is_floating(to)) {
    if (!std::isfinite(value)) return std::nullopt;
    const long double whole = std::trunc(value);
    const auto [low, high] = bounds(to);
    if (whole < low || whole > high) return std::nullopt;
    return whole;
  }
  std::array<std::byte, 8> element{};
  put(to, value, element.data());
  const long double rounded = get(to, element.data());
  if (std::isfinite(value) && !std::isfinite(rounded)) return std::nullopt;
  return rounded;
}

bool same(long double a, long double b) { return (std::isnan(a) && std::isnan(b)) || a == b; }

// Values of the dtype that are at and beside every border another dtype has.
std::vector<long double> interesting_values(DataType dtype) {
  std::vector<long double> values;
  if (dtype == DataType::kBool) return {0, 1};
  std::vector<long double> candidates = {0, 1, -1, 2, 100, -100, 2049, -2049};
  for (const DataType other : kAllTypes) {
    const auto [low, high] = bounds(other);
    for (const long double step : {-1.0L, 0.0L, 1.0L}) {
      candidates.push_back(low + step);
      candidates.push_back(high + step);
    }
  }
  for (const long double border : {65504.0L, 65519.0L, 65520.0L, 65536.0L}) {
    candidates.push_back(border);
    candidates.push_back(-border);
  }
  if (is_floating(dtype)) {
    const long double largest = std::numeric_limits<float>::max();
    for (const long double value :
         {0.5L, -0.5L, -0.999L, 254.9L, 255.9L, 2.5L, 1e-8L, 1e-40L, -1e-40L, largest, -largest,
          1e39L, -1e39L, static_cast<long double>(INFINITY), -static_cast<long double>(INFINITY),
          static_cast<long double>(NAN)}) {
      candidates.push_back(value);
    }
  }
  for (const long double value : candidates) {
    if (!is_floating(dtype)) {
      const auto [low, high] = bounds(dtype);
      if (value < low || value > high) continue;
      values.push_back(value);
    } else {
      std::array<std::byte, 8> element{};
      put(dtype, value, element.data());
      values.push_back(get(dtype, element.data()));
    }
  }
  return values;
}

std::string pair_name(DataType from, DataType to) {
  return std::string(data_type_name(from)) + " to " + std::string(data_type_name(to));
}

TEST(TensorConversionTest, EveryValueOfEveryPairBecomesWhatTheHeaderSaysOrAnError) {
  for (const DataType from : kAllTypes) {
    for (const DataType to : kAllTypes) {
      bool failed = false;
      for (const long double value : interesting_values(from)) {
        SCOPED_TRACE(pair_name(from, to) + " of " + std::to_string(value));
        alignas(8) std::array<std::byte, 8> source{};
        alignas(8) std::array<std::byte, 8> target{};
        put(from, value, source.data());
        const Status status =
            convert_tensor({}, {from, source.data(), {}}, {to, target.data(), {}}, "input x");
        const std::optional<long double> wanted = from == to ? value : expected(value, to);
        if (wanted) {
          ASSERT_TRUE(status.ok()) << status.to_string();
          ASSERT_TRUE(same(get(to, target.data()), *wanted)) << get(to, target.data());
        } else {
          ASSERT_EQ(status.code(), StatusCode::kInvalidArgument);
          ASSERT_EQ(status.artifact(), "input x");
          failed = true;
        }
      }
      EXPECT_EQ(failed, conversion_can_fail(from, to)) << pair_name(from, to);
    }
  }
}

// Layouts of one shape: row by row, another dim order, gaps.
struct Layout {
  const char* name;
  std::vector<int64_t> strides;
};

size_t span_of(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  size_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += static_cast<size_t>((shape[i] - 1) * strides[i]);
  }
  return last + 1;
}

std::vector<Layout> layouts_of(const std::vector<int64_t>& shape) {
  std::vector<int64_t> rows(shape.size());
  contiguous_strides(shape, rows);
  std::vector<int64_t> reversed(shape.size());
  int64_t stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    reversed[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  std::vector<int64_t> gaps(shape.size());
  stride = 2;
  for (size_t i = shape.size(); i-- > 0;) {
    gaps[i] = stride;
    stride = stride * std::max<int64_t>(shape[i], 1) + 3;
  }
  std::vector<int64_t> channels_last = rows;
  if (shape.size() == 4) {
    channels_last = {shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]};
  }
  return {{"rows", rows}, {"reversed", reversed}, {"gaps", gaps}, {"channels last", channels_last}};
}

TEST(TensorConversionTest, EveryPairInEveryLayoutKeepsItsElements) {
  const std::vector<std::vector<int64_t>> shapes = {
      {},        {1},          {7},           {700},       {0},
      {3, 0, 2}, {2, 3, 4, 5}, {1, 3, 1, 17}, {2, 1, 300}, {2, 2, 2, 2, 3}};
  std::mt19937 random(1);
  for (const DataType from : kAllTypes) {
    for (const DataType to : kAllTypes) {
      for (const std::vector<int64_t>& shape : shapes) {
        for (const Layout& source_layout : layouts_of(shape)) {
          for (const Layout& target_layout : layouts_of(shape)) {
            SCOPED_TRACE(pair_name(from, to) + ", " + source_layout.name + " to " +
                         target_layout.name + ", " + shape_to_string(shape.data(), shape.size()));
            const size_t source_size = data_type_size(from);
            const size_t target_size = data_type_size(to);
            // As 8-byte words, so that they are aligned; guards behind the last element.
            std::vector<uint64_t> source_words(
                span_of(shape, source_layout.strides) * source_size / 8 + 2);
            std::vector<uint64_t> target_words(
                span_of(shape, target_layout.strides) * target_size / 8 + 2, 0xabababababababab);
            auto* source = reinterpret_cast<std::byte*>(source_words.data());
            auto* target = reinterpret_cast<std::byte*>(target_words.data());
            size_t count = 1;
            for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
            std::vector<std::pair<size_t, size_t>> offsets;
            for (size_t e = 0; e < count; ++e) {
              size_t rest = e;
              size_t source_offset = 0;
              size_t target_offset = 0;
              for (size_t d = shape.size(); d-- > 0;) {
                const size_t index = rest % static_cast<size_t>(shape[d]);
                rest /= static_cast<size_t>(shape[d]);
                source_offset += index * static_cast<size_t>(source_layout.strides[d]);
                target_offset += index * static_cast<size_t>(target_layout.strides[d]);
              }
              offsets.emplace_back(source_offset, target_offset);
              put(from, static_cast<long double>(random() % 100),
                  source + source_offset * source_size);
            }
            const Status status = convert_tensor(shape, {from, source, source_layout.strides},
                                                 {to, target, target_layout.strides}, "x");
            ASSERT_TRUE(status.ok()) << status.to_string();
            for (const auto& [source_offset, target_offset] : offsets) {
              const long double value = get(from, source + source_offset * source_size);
              ASSERT_EQ(get(to, target + target_offset * target_size), *expected(value, to));
            }
            const size_t end = span_of(shape, target_layout.strides) * target_size;
            for (size_t i = end; i < target_words.size() * 8; ++i) {
              ASSERT_EQ(target[i], std::byte{0xab}) << "written behind the end";
            }
          }
        }
      }
    }
  }
}

TEST(TensorConversionTest, AMisfitIsNamedByIndexAndValue) {
  std::vector<int64_t> values(600, 5);
  values[417] = 3'000'000'000;
  std::vector<int32_t> target(600);
  const std::vector<int64_t> shape = {2, 3, 100};
  std::vector<int64_t> strides(3);
  contiguous_strides(shape, strides);
  Status status =
      convert_tensor(shape, {DataType::kInt64, values.data(), strides},
                     {DataType::kInt32, target.data(), strides}, "input ids (argument 2)");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.artifact(), "input ids (argument 2)");
  EXPECT_EQ(status.message(), "the int64 value 3000000000 at index [1, 1, 17] does not fit int32");

  // The same element of a transposed source: the index is the tensor's, not memory's.
  const std::vector<int64_t> reversed = {1, 2, 6};
  std::vector<int64_t> transposed(600, 5);
  transposed[1 * 1 + 1 * 2 + 17 * 6] = -3'000'000'000;
  status = convert_tensor(shape, {DataType::kInt64, transposed.data(), reversed},
                          {DataType::kInt32, target.data(), strides}, "x");
  EXPECT_EQ(status.message(), "the int64 value -3000000000 at index [1, 1, 17] does not fit int32");

  const std::vector<float> floats = {1, 2, -1e6f};
  std::vector<uint16_t> halves(3);
  const std::vector<int64_t> three = {3};
  const std::vector<int64_t> one = {1};
  status = convert_tensor(three, {DataType::kFloat32, floats.data(), one},
                          {DataType::kFloat16, halves.data(), one}, "x");
  EXPECT_EQ(status.message(), "the float32 value -1000000 at index [2] does not fit float16");
}

TEST(TensorConversionTest, WhatIsBeyondFloat16IsInfiniteWhereTheCallerWantsThat) {
  // Longer than a block, and with a stride.
  std::vector<float> floats(1200, 2.0f);
  floats[0] = 65519.0f;
  floats[600] = 65520.0f;
  floats[1198] = -1e30f;
  std::vector<uint16_t> halves(600);
  const std::vector<int64_t> shape = {600};
  const std::vector<int64_t> two = {2};
  const std::vector<int64_t> one = {1};
  const Status status =
      convert_tensor(shape, {DataType::kFloat32, floats.data(), two},
                     {DataType::kFloat16, halves.data(), one}, "x", Overflow::kInfinite);
  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(halves[0], 0x7bff);
  EXPECT_EQ(halves[1], 0x4000);
  EXPECT_EQ(halves[300], 0x7c00);
  EXPECT_EQ(halves[599], 0xfc00);
  // An integer still has to fit.
  const std::vector<int64_t> whole = {int64_t{1} << 40};
  int32_t narrow = 0;
  EXPECT_FALSE(convert_tensor(one, {DataType::kInt64, whole.data(), one},
                              {DataType::kInt32, &narrow, one}, "x", Overflow::kInfinite)
                   .ok());
}

TEST(TensorConversionTest, ABoolByteThatIsNeitherZeroNorOneIsTrue) {
  const std::vector<uint8_t> bytes = {0, 1, 2, 255};
  std::vector<uint8_t> bools(4, 9);
  std::vector<float> floats(4);
  const std::vector<int64_t> four = {4};
  const std::vector<int64_t> one = {1};
  ASSERT_TRUE(convert_tensor(four, {DataType::kBool, bytes.data(), one},
                             {DataType::kBool, bools.data(), one}, "x")
                  .ok());
  EXPECT_EQ(bools, (std::vector<uint8_t>{0, 1, 1, 1}));
  ASSERT_TRUE(convert_tensor(four, {DataType::kBool, bytes.data(), one},
                             {DataType::kFloat32, floats.data(), one}, "x")
                  .ok());
  EXPECT_EQ(floats, (std::vector<float>{0, 1, 1, 1}));
}

TEST(TensorConversionTest, WhatCannotBeConvertedIsRefused) {
  float value = 0;
  EXPECT_EQ(
      convert_tensor({}, {DataType::kInvalid, &value, {}}, {DataType::kFloat32, &value, {}}, "x")
          .code(),
      StatusCode::kInternal);
  const std::vector<int64_t> too_many(kMaxConversionRank + 1, 1);
  EXPECT_EQ(convert_tensor(too_many, {DataType::kFloat32, &value, too_many},
                           {DataType::kFloat32, &value, too_many}, "x")
                .code(),
            StatusCode::kInternal);
}

TEST(TensorConversionTest, ContiguousStridesIgnoreExtentsOfOne) {
  const auto contiguous = [](std::vector<int64_t> shape, std::vector<int64_t> strides) {
    return is_contiguous(shape, strides);
  };
  EXPECT_TRUE(contiguous({}, {}));
  EXPECT_TRUE(contiguous({2, 3}, {3, 1}));
  EXPECT_TRUE(contiguous({2, 1, 3}, {3, 77, 1}));
  EXPECT_TRUE(contiguous({1, 3}, {0, 1}));
  EXPECT_TRUE(contiguous({0, 3}, {5, 5}));
  EXPECT_FALSE(contiguous({2, 3}, {1, 2}));
  EXPECT_FALSE(contiguous({2, 3}, {4, 1}));
}

}  // namespace
}  // namespace coreml_delegate
