#include "runtime/engine/portable/winograd_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

struct NamedKernel {
  std::string name;
  const WinogradKernel* kernel;
};

// Those that this processor executes and the environment allows, the fastest last.
std::vector<NamedKernel> kernels() {
  std::vector<NamedKernel> found = {{"baseline", &winograd_kernel_baseline()}};
#if defined(__x86_64__)
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma}))
    found.push_back({"avx2", &winograd_kernel_avx2()});
  if (cpu_features().has(kAvx512Core)) found.push_back({"avx512", &winograd_kernel_avx512()});
#endif
  return found;
}

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<float, Free>;

// Exactly as large as asked for, up to the alignment: a sanitizer sees what goes beyond.
Memory aligned(size_t elements) {
  const size_t size = (elements * sizeof(float) + 63) / 64 * 64;
  return Memory(static_cast<float*>(std::aligned_alloc(64, size)));
}

struct Problem {
  WinogradShape shape;
  std::vector<float> x, weights, bias, residual;

  Problem(const WinogradShape& of, uint32_t seed) : shape(of) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& values, int64_t size) {
      values.resize(static_cast<size_t>(size));
      for (float& value : values) value = normal(generator);
    };
    fill(x, shape.height * shape.width * shape.in_channels);
    fill(weights, shape.out_channels * shape.in_channels * 9);
    fill(bias, shape.out_channels);
    fill(residual, shape.out_height() * shape.out_width() * shape.out_channels);
  }

  // In the kernel's layout; the test's own is [blocks][in channels][9][32] too, so that one array
  // serves both.
  float weight(int64_t out, int64_t in, int64_t at) const {
    const int64_t block = out / kWinogradOutputBlock, lane = out % kWinogradOutputBlock;
    return weights[static_cast<size_t>(
        ((block * shape.in_channels + in) * 9 + at) * kWinogradOutputBlock + lane)];
  }
};

struct Sum {
  double value = 0;
  double magnitude = 0;  // Of the absolute values.
};

// One result before the epilogue, by the definition of a convolution.
Sum direct(const Problem& problem, int64_t row, int64_t column, int64_t out) {
  const WinogradShape& shape = problem.shape;
  Sum sum;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      const int64_t y = row + i - shape.pad_top, x = column + j - shape.pad_left;
      if (y < 0 || y >= shape.height || x < 0 || x >= shape.width) continue;
      for (int64_t in = 0; in < shape.in_channels; ++in) {
        const double product =
            static_cast<double>(problem.weight(out, in, 3 * i + j)) *
            problem.x[static_cast<size_t>((y * shape.width + x) * shape.in_channels + in)];
        sum.value += product;
        sum.magnitude += std::abs(product);
      }
    }
  }
  return sum;
}

// The results, computed in `parts` parts of the tiles and one for each block of channels.
std::vector<float> run(const WinogradKernel& kernel, const Problem& problem,
                       const WinogradEpilogue& epilogue, int64_t parts) {
  const WinogradShape& shape = problem.shape;
  std::vector<float> y(problem.residual.size(), std::nanf(""));
  for (int64_t i = 0; i < parts; ++i) {
    for (int64_t block = 0; block < shape.out_blocks(); ++block) {
      const WinogradPart part = {.tile_begin = shape.tiles() * i / parts,
                                 .tile_end = shape.tiles() * (i + 1) / parts,
                                 .out_block_begin = block,
                                 .out_block_end = block + 1};
      if (part.tile_begin == part.tile_end) continue;
      const Memory scratch = aligned(kernel.scratch_size(shape, part));
      // Nothing may depend on what the memory held.
      std::fill_n(scratch.get(), kernel.scratch_size(shape, part), std::nanf(""));
      kernel.run(shape, part, epilogue, problem.x.data(), problem.weights.data(), y.data(),
                 scratch.get());
    }
  }
  return y;
}

struct Case {
  std::string name;
  WinogradShape shape;
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

WinogradShape shape(int64_t in, int64_t out, int64_t height, int64_t width, int64_t pad) {
  return {.in_channels = in,
          .out_channels = out,
          .height = height,
          .width = width,
          .pad_top = pad,
          .pad_bottom = pad,
          .pad_left = pad,
          .pad_right = pad};
}

std::vector<Case> cases() {
  std::vector<Case> all = {
      {"even", shape(16, 32, 12, 14, 1)},
      {"odd", shape(16, 32, 13, 11, 1)},
      {"without_padding", shape(32, 32, 9, 10, 0)},
      {"one_result", shape(16, 32, 3, 3, 0)},
      {"one_row", shape(16, 32, 1, 37, 1)},
      {"one_column", shape(16, 32, 37, 1, 1)},
      {"wide_padding", shape(16, 32, 5, 6, 4)},
      {"channels", shape(48, 96, 8, 7, 1)},
      {"many_channels", shape(256, 64, 6, 6, 1)},
      {"more_than_a_panel_in_a_row", shape(16, 32, 4, 75, 1)},
  };
  WinogradShape uneven = shape(16, 64, 10, 9, 0);
  uneven.pad_top = 2;
  uneven.pad_right = 1;
  all.push_back({"uneven_padding", uneven});
  return all;
}

class WinogradKernelTest : public testing::TestWithParam<Case> {};

// The largest errors seen are 2.2 of the units below with fused products and sums, 3.7 without,
// where most of a window is padding.
TEST_P(WinogradKernelTest, AgreesWithTheDefinitionInAnyDivision) {
  const Problem problem(GetParam().shape, /*seed=*/7);
  const WinogradShape& s = problem.shape;
  const WinogradEpilogue plain = {
      .bias = problem.bias.data(), .residual = nullptr, .lowest = -kInfinity, .highest = kInfinity};
  std::vector<float> with_avx;
  for (const auto& [name, kernel] : kernels()) {
    SCOPED_TRACE(name);
    const std::vector<float> y = run(*kernel, problem, plain, 1);
    // Whether a processor has AVX-512 does not show.
    if (name != "baseline") {
      if (with_avx.empty()) with_avx = y;
      EXPECT_EQ(y, with_avx);
    }
    double worst = 0;
    for (int64_t row = 0; row < s.out_height(); ++row) {
      for (int64_t column = 0; column < s.out_width(); ++column) {
        for (int64_t out = 0; out < s.out_channels; ++out) {
          const Sum expected = direct(problem, row, column, out);
          const size_t at =
              static_cast<size_t>((row * s.out_width() + column) * s.out_channels + out);
          const double error =
              std::abs(y[at] - (expected.value + problem.bias[static_cast<size_t>(out)]));
          // A sum of n products in float32 is off by about sqrt(n) roundings of a typical term.
          worst = std::max(worst, error / (kEpsilon * (expected.magnitude + 1)));
        }
      }
    }
    RecordProperty(name + "_error", std::to_string(worst));
    EXPECT_LT(worst, 4) << "in units of epsilon x the sum of the products' magnitudes";
    // Each result is computed from its own tile in one order, wherever the parts begin.
    for (const int64_t parts : {2, 3, 5}) EXPECT_EQ(run(*kernel, problem, plain, parts), y);
  }
}

TEST_P(WinogradKernelTest, AddsTheResidualAndClamps) {
  const Problem problem(GetParam().shape, /*seed=*/11);
  const WinogradEpilogue plain = {
      .bias = problem.bias.data(), .residual = nullptr, .lowest = -kInfinity, .highest = kInfinity};
  WinogradEpilogue limited = plain;
  limited.residual = problem.residual.data();
  limited.lowest = -0.5f;
  limited.highest = 6.0f;
  for (const auto& [name, kernel] : kernels()) {
    SCOPED_TRACE(name);
    std::vector<float> expected = run(*kernel, problem, plain, 1);
    for (size_t i = 0; i < expected.size(); ++i)
      expected[i] = std::clamp(expected[i] + problem.residual[i], -0.5f, 6.0f);
    EXPECT_EQ(run(*kernel, problem, limited, 1), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, WinogradKernelTest, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

// relu of NaN is NaN in PyTorch too; an infinite input stays within its tiles.
TEST(WinogradKernelSpecialValuesTest, NanAndInfinityReachTheirTilesOnly) {
  Problem problem(shape(16, 32, 12, 12, 1), /*seed=*/3);
  const WinogradEpilogue relu = {
      .bias = problem.bias.data(), .residual = nullptr, .lowest = 0, .highest = kInfinity};
  for (const float special : {std::nanf(""), kInfinity}) {
    for (const auto& [name, kernel] : kernels()) {
      SCOPED_TRACE(name);
      problem.x[static_cast<size_t>((5 * 12 + 5) * 16 + 3)] = 0;
      const std::vector<float> before = run(*kernel, problem, relu, 1);
      problem.x[static_cast<size_t>((5 * 12 + 5) * 16 + 3)] = special;
      const std::vector<float> after = run(*kernel, problem, relu, 1);
      for (int64_t row = 0; row < 12; ++row) {
        for (int64_t column = 0; column < 12; ++column) {
          for (int64_t out = 0; out < 32; ++out) {
            const size_t at = static_cast<size_t>((row * 12 + column) * 32 + out);
            const bool is_in_the_window = std::abs(row - 5) <= 1 && std::abs(column - 5) <= 1;
            const bool is_in_the_tiles = row >= 4 && row <= 7 && column >= 4 && column <= 7;
            if (is_in_the_window) {
              // Infinity times a negative weight is clamped to 0.
              EXPECT_TRUE(std::isnan(after[at]) || (after[at] == kInfinity) || after[at] == 0);
              EXPECT_TRUE(std::isnan(after[at]) || !std::isnan(special));
            } else if (!is_in_the_tiles) {
              EXPECT_EQ(after[at], before[at]);
            }
          }
        }
      }
    }
  }
}

TEST(WinogradKernelChoiceTest, TakesTheFastestOne) {
  EXPECT_EQ(&winograd_kernel(), kernels().back().kernel);
  EXPECT_EQ(winograd_kernel_is_fast(), kernels().size() > 1);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
