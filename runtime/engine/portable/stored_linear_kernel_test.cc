#include "runtime/engine/portable/stored_linear_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/half.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

struct NamedKernel {
  std::string name;
  const StoredLinearKernel* kernel;
};

// Those that this processor executes and the environment allows.
std::vector<NamedKernel> kernels() {
  std::vector<NamedKernel> found;
#if defined(__x86_64__)
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma, CpuFeature::kF16c}))
    found.push_back({"avx2", &stored_linear_kernel_avx2()});
  if (cpu_features().has(kAvx512Core)) found.push_back({"avx512", &stored_linear_kernel_avx512()});
#endif
  return found;
}

// A matrix with random elements, in memory exactly as large as it needs: a sanitizer sees what goes
// beyond.
struct Problem {
  StoredMatrix matrix;
  std::vector<std::byte> data, scale, offset;
  std::vector<double> values;  // [rows, columns]
  std::mt19937 generator;

  Problem(StoredElement element, int64_t rows, int64_t columns, int64_t scale_rows, int64_t blocks,
          bool scale_is_half, bool has_offset, uint32_t seed)
      : generator(seed) {
    matrix.element = element;
    matrix.rows = rows;
    matrix.columns = columns;
    const bool is_half = element == StoredElement::kHalf;
    data = random_bytes(rows * stored_row_bytes(element, columns));
    if (is_half) {
      for (int64_t i = 0; i < rows * columns; ++i) put(data, 2 * i, float_to_half(normal()));
    } else {
      matrix.scale_rows = scale_rows;
      matrix.blocks = blocks;
      matrix.scale_is_half = scale_is_half;
      const int64_t count = scale_rows * blocks;
      scale.resize(static_cast<size_t>(count * (scale_is_half ? 2 : 4)));
      for (int64_t i = 0; i < count; ++i) {
        const float value = normal() * 0.01f;
        if (scale_is_half) {
          put(scale, 2 * i, float_to_half(value));
        } else {
          put(scale, 4 * i, value);
        }
      }
      if (has_offset) offset = random_bytes((count * bits() + 7) / 8);
    }
    matrix.data = data.data();
    matrix.scale = is_half ? nullptr : scale.data();
    matrix.offset = has_offset ? offset.data() : nullptr;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) values.push_back(value(row, column));
    }
  }

  int bits() const {
    const bool is_byte =
        matrix.element == StoredElement::kInt8 || matrix.element == StoredElement::kUInt8;
    return is_byte ? 8 : 4;
  }

  float normal() { return std::normal_distribution<float>()(generator); }

 private:
  std::vector<std::byte> random_bytes(int64_t size) {
    std::vector<std::byte> bytes(static_cast<size_t>(size));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator() & 255u);
    return bytes;
  }

  template <typename T>
  static void put(std::vector<std::byte>& table, int64_t at, T value) {
    std::memcpy(table.data() + at, &value, sizeof(value));
  }
  template <typename T>
  static T get(const std::vector<std::byte>& table, int64_t at) {
    T value;
    std::memcpy(&value, table.data() + at, sizeof(value));
    return value;
  }

  int integer(const std::vector<std::byte>& table, int64_t i) const {
    const bool is_signed =
        matrix.element == StoredElement::kInt8 || matrix.element == StoredElement::kInt4;
    const int limit = 1 << bits();
    const int byte = std::to_integer<int>(table[static_cast<size_t>(i * bits() / 8)]);
    const int value = bits() == 8 ? byte : byte >> (i % 2 * 4) & 15;
    return is_signed && value >= limit / 2 ? value - limit : value;
  }

  double value(int64_t row, int64_t column) const {
    const int64_t i = row * matrix.columns + column;
    if (matrix.element == StoredElement::kHalf) return half_to_float(get<uint16_t>(data, 2 * i));
    const int64_t block = column / (matrix.columns / matrix.blocks);
    const int64_t at = (matrix.scale_rows == 1 ? 0 : row) * matrix.blocks + block;
    const float factor = matrix.scale_is_half ? half_to_float(get<uint16_t>(scale, 2 * at))
                                              : get<float>(scale, 4 * at);
    const int zero = offset.empty() ? 0 : integer(offset, at);
    return static_cast<double>(factor) * (integer(data, i) - zero);
  }
};

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};

// The products of `count` rows, computed in `parts` parts of the rows of the matrix.
std::vector<float> run(const StoredLinearKernel& kernel, const StoredMatrix& matrix,
                       const std::vector<float>& x, int64_t count, int64_t parts) {
  std::vector<float> y(static_cast<size_t>(count * matrix.rows), std::nanf(""));
  const size_t size = kernel.scratch_size(matrix);
  const std::unique_ptr<float, Free> scratch(
      static_cast<float*>(std::aligned_alloc(64, (size * sizeof(float) + 63) / 64 * 64)));
  for (int64_t part = 0; part < parts; ++part) {
    // Nothing may depend on what the memory held.
    std::fill_n(scratch.get(), size, std::nanf(""));
    kernel.run(matrix, matrix.rows * part / parts, matrix.rows * (part + 1) / parts, x.data(),
               count, y.data(), scratch.get());
  }
  return y;
}

// Every result against a sum in double, in units of float32's epsilon of the sum of magnitudes.
void expect_products(Problem& problem, int64_t count, int64_t parts, const std::string& what) {
  const StoredMatrix& matrix = problem.matrix;
  std::vector<float> x(static_cast<size_t>(count * matrix.columns));
  for (float& value : x) value = problem.normal();
  for (const NamedKernel& named : kernels()) {
    const std::vector<float> y = run(*named.kernel, matrix, x, count, parts);
    double largest = 0;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t row = 0; row < matrix.rows; ++row) {
        double sum = 0, magnitude = 1e-30;
        for (int64_t column = 0; column < matrix.columns; ++column) {
          const double product =
              problem.values[static_cast<size_t>(row * matrix.columns + column)] *
              static_cast<double>(x[static_cast<size_t>(i * matrix.columns + column)]);
          sum += product;
          magnitude += std::abs(product);
        }
        const double result = static_cast<double>(y[static_cast<size_t>(i * matrix.rows + row)]);
        const double error = std::abs(result - sum) / magnitude;
        largest = std::isnan(error) ? error : std::max(largest, error);
        if (std::isnan(error)) break;
      }
      if (std::isnan(largest)) break;
    }
    // Of a sum from left to right it would be half the number of columns at worst.
    EXPECT_LT(largest, 2 * kEpsilon) << named.name << " " << what;
  }
}

TEST(StoredLinearKernelTest, ThereIsOneWhereTheProcessorHasTheInstructions) {
  EXPECT_EQ(stored_linear_kernel() != nullptr, !kernels().empty());
}

TEST(StoredLinearKernelTest, Halves) {
  uint32_t seed = 1;
  for (const int64_t rows : {1, 3, 4, 8, 13, 32}) {
    for (const int64_t columns : {32, 96, 640, 672, 1312}) {
      Problem problem(StoredElement::kHalf, rows, columns, 0, 0, false, false, seed++);
      for (const int64_t count : {1, 2, 3, 6, 7, 12, 13, 29}) {
        expect_products(
            problem, count, 1,
            std::to_string(rows) + "x" + std::to_string(columns) + " by " + std::to_string(count));
      }
    }
  }
}

// More rows than stay in the cache together.
TEST(StoredLinearKernelTest, ManyRowsAtOnce) {
  Problem problem(StoredElement::kHalf, 9, 64, 0, 0, false, false, 7);
  for (const int64_t count : {191, 192, 193, 400}) {
    expect_products(problem, count, 1, std::to_string(count) + " rows");
  }
}

TEST(StoredLinearKernelTest, PartsOfTheMatrix) {
  Problem problem(StoredElement::kHalf, 29, 96, 0, 0, false, false, 8);
  for (const int64_t parts : {2, 3, 29}) {
    for (const int64_t count : {1, 4, 14})
      expect_products(problem, count, parts, std::to_string(parts) + " parts");
  }
}

TEST(StoredLinearKernelTest, IntegersWithScales) {
  uint32_t seed = 100;
  for (const StoredElement element :
       {StoredElement::kInt8, StoredElement::kUInt8, StoredElement::kInt4, StoredElement::kUInt4}) {
    for (const bool scale_is_half : {false, true}) {
      for (const bool has_offset : {false, true}) {
        struct Scales {
          int64_t rows, blocks;
        };
        // 13 rows, 192 columns: for all, for each row, for blocks of 32 and of 96.
        for (const Scales scales : {Scales{1, 1}, {13, 1}, {13, 6}, {13, 2}, {1, 6}}) {
          Problem problem(element, 13, 192, scales.rows, scales.blocks, scale_is_half, has_offset,
                          seed++);
          for (const int64_t count : {1, 2, 7, 13}) {
            expect_products(problem, count, 1,
                            "element " + std::to_string(static_cast<int>(element)) + ", scales " +
                                std::to_string(scales.rows) + "x" + std::to_string(scales.blocks) +
                                (scale_is_half ? " half" : "") + (has_offset ? ", offset" : "") +
                                ", by " + std::to_string(count));
          }
        }
      }
    }
  }
}

// A block may end within what is widened together.
TEST(StoredLinearKernelTest, LongRowsOfBlocks) {
  Problem problem(StoredElement::kInt4, 11, 1440, 11, 15, true, false, 9);
  for (const int64_t count : {1, 5, 14}) expect_products(problem, count, 1, "blocks of 96");
}

TEST(StoredLinearKernelTest, SpecialValuesReachTheirResultsAlone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Problem problem(StoredElement::kHalf, 9, 64, 0, 0, false, false, 10);
  const uint16_t infinite = 0x7c00, denormal = 1;
  std::memcpy(problem.data.data() + (2 * 64 + 5) * 2, &infinite, 2);
  for (int64_t column = 0; column < 64; ++column)
    std::memcpy(problem.data.data() + (4 * 64 + column) * 2, &denormal, 2);
  for (const NamedKernel& named : kernels()) {
    for (const int64_t count : {1, 2, 13}) {
      std::vector<float> x(static_cast<size_t>(count * 64), 1.0f);
      x[63] = std::nanf("");
      const std::vector<float> y = run(*named.kernel, problem.matrix, x, count, 1);
      for (int64_t row = 0; row < 9; ++row) {
        EXPECT_TRUE(std::isnan(y[static_cast<size_t>(row)])) << named.name;
        for (int64_t i = 1; i < count; ++i) {
          const float value = y[static_cast<size_t>(i * 9 + row)];
          EXPECT_EQ(value == kInfinity, row == 2) << named.name << " " << i << " " << row;
          if (row == 4) {
            EXPECT_EQ(value, 64 * 0x1p-24f) << named.name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
