#include "runtime/engine/portable/recurrent_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/half.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct NamedKernel {
  std::string name;
  const RecurrentKernel* kernel;
};

// Those that this processor executes and the environment allows.
std::vector<NamedKernel> kernels() {
  std::vector<NamedKernel> found = {{"baseline", &recurrent_kernel_baseline()}};
#if defined(__x86_64__)
  if (cpu_features().has({CpuFeature::kAvx2, CpuFeature::kFma, CpuFeature::kF16c}))
    found.push_back({"avx2", &recurrent_kernel_avx2()});
  if (cpu_features().has(kAvx512Core)) found.push_back({"avx512", &recurrent_kernel_avx512()});
#endif
  return found;
}

double activate(RecurrentActivation activation, double x) {
  switch (activation) {
    case RecurrentActivation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case RecurrentActivation::kTanh:
      return std::tanh(x);
    case RecurrentActivation::kRelu:
      return std::max(x, 0.0);
    case RecurrentActivation::kHardSigmoid:
      return std::clamp(static_cast<double>(0.2f) * x + 0.5, 0.0, 1.0);
    case RecurrentActivation::kLinear:
      return x;
  }
  return x;
}

// A layer with random weights and states. Every array is exactly as large as the kernel may read: a
// sanitizer sees what goes beyond.
struct Problem {
  RecurrentLayerShape shape;
  int64_t batch = 1;
  bool has_peephole = false;
  std::vector<uint16_t> halves;  // As `packed`, without loss.
  std::vector<float> x, weights, packed, bias, peephole, h, c;

  Problem(const RecurrentLayerShape& of, int64_t rows, bool peepholes, uint32_t seed)
      : shape(of), batch(rows), has_peephole(peepholes) {
    std::mt19937 generator(seed);
    const auto draw = [&](int64_t count, float scale) {
      std::uniform_real_distribution<float> uniform(-scale, scale);
      std::vector<float> values(static_cast<size_t>(count));
      for (float& value : values) value = uniform(generator);
      return values;
    };
    const int64_t gates = shape.gates(), hidden = shape.hidden, padded = shape.padded_units();
    // x has the products of two directions; the first one's are at the end of a row.
    x = draw((2 * batch - 1) * gates * hidden, 2.0f);
    weights = draw(gates * hidden * hidden, 2.0f / std::sqrt(static_cast<float>(hidden)));
    for (float& value : weights) value = half_to_float(float_to_half(value));
    packed.resize(static_cast<size_t>(shape.weights_size()));
    pack_recurrent_weights(shape, weights.data(), packed.data());
    for (const float value : packed) halves.push_back(float_to_half(value));
    bias = draw(gates * padded, 0.5f);
    peephole = draw(3 * padded, 0.5f);
    h = draw(batch * padded, 1.0f);
    c = draw(batch * padded, 1.0f);
  }

  float x_at(int64_t row, int64_t gate, int64_t unit) const {
    return x[static_cast<size_t>((2 * row * shape.gates() + gate) * shape.hidden + unit)];
  }
  float row_of(const std::vector<float>& rows, int64_t row, int64_t unit) const {
    return rows[static_cast<size_t>(row * shape.padded_units() + unit)];
  }

  // The states after the step, in double; `next_c` of an LSTM.
  void expect(std::vector<double>& next_h, std::vector<double>& next_c) const {
    const int64_t hidden = shape.hidden;
    const auto product = [&](int64_t gate, int64_t unit, const std::vector<double>& of) {
      const float* const row = weights.data() + (gate * hidden + unit) * hidden;
      const double* const values = of.data();
      double sum = 0;
      for (int64_t k = 0; k < hidden; ++k) sum += row[k] * values[k];
      return sum;
    };
    for (int64_t row = 0; row < batch; ++row) {
      std::vector<double> before, reset;
      for (int64_t k = 0; k < hidden; ++k) before.push_back(row_of(h, row, k));
      const auto sum = [&](int64_t gate, int64_t unit, const std::vector<double>& of) {
        return x_at(row, gate, unit) + product(gate, unit, of) + row_of(bias, gate, unit);
      };
      for (int64_t unit = 0; unit < hidden; ++unit) {
        if (shape.cell == RecurrentCell::kGru)
          reset.push_back(activate(shape.gate, sum(0, unit, before)) *
                          before[static_cast<size_t>(unit)]);
      }
      for (int64_t unit = 0; unit < hidden; ++unit) {
        const double old = before[static_cast<size_t>(unit)];
        double cell = row_of(c, row, unit), result = 0;
        switch (shape.cell) {
          case RecurrentCell::kRnn:
            result = activate(shape.output, sum(0, unit, before));
            break;
          case RecurrentCell::kLstm: {
            const auto peep = [&](int64_t gate) {
              return has_peephole ? row_of(peephole, gate, unit) * cell : 0.0;
            };
            const double i = activate(shape.gate, sum(0, unit, before) + peep(0));
            const double f = activate(shape.gate, sum(1, unit, before) + peep(1));
            const double z = activate(shape.cell_activation, sum(3, unit, before));
            cell = std::clamp<double>(f * cell + i * z, -shape.clip, shape.clip);
            const double o = activate(shape.gate, sum(2, unit, before) + peep(2));
            result = o * activate(shape.output, cell);
            break;
          }
          case RecurrentCell::kGru:
          case RecurrentCell::kGruResetAfter: {
            const double r = activate(shape.gate, sum(0, unit, before));
            const double z = activate(shape.gate, sum(1, unit, before));
            const double inner =
                shape.cell == RecurrentCell::kGru
                    ? sum(2, unit, reset)
                    : x_at(row, 2, unit) + r * (product(2, unit, before) + row_of(bias, 2, unit));
            const double n = activate(shape.output, inner);
            result = z * old + (1 - z) * n;
            break;
          }
        }
        next_h.push_back(result);
        next_c.push_back(cell);
      }
    }
  }

  // One step by `kernel`, its blocks in calls of `blocks_of_call`.
  void run(const RecurrentKernel& kernel, int64_t blocks_of_call, std::vector<float>& next_h,
           std::vector<float>& next_c, bool with_halves = false) const {
    const auto size = static_cast<size_t>(batch * shape.padded_units());
    next_h.assign(size, 0.0f);
    next_c = c;
    std::vector<float> reset(size), update(size);
    RecurrentStep step;
    step.x = x.data();
    step.x_stride = 2 * shape.gates() * shape.hidden;
    step.batch = batch;
    step.has_half_weights = with_halves;
    step.weights = with_halves ? reinterpret_cast<const std::byte*>(halves.data())
                               : reinterpret_cast<const std::byte*>(packed.data());
    step.bias = bias.data();
    step.peephole = has_peephole ? peephole.data() : nullptr;
    step.h = h.data();
    step.h_next = next_h.data();
    step.c = next_c.data();
    step.reset_h = reset.data();
    step.update = update.data();
    for (int64_t phase = 0; phase < shape.phases(); ++phase) {
      for (int64_t block = 0; block < shape.blocks(); block += blocks_of_call)
        kernel.run(shape, step, phase, block, std::min(block + blocks_of_call, shape.blocks()));
    }
  }
};

// The largest difference at the scale of what is expected, in units of epsilon.
double error_of(const Problem& problem, const std::vector<float>& actual,
                const std::vector<double>& expected) {
  double largest = 0, scale = 0;
  for (int64_t row = 0; row < problem.batch; ++row) {
    for (int64_t unit = 0; unit < problem.shape.hidden; ++unit) {
      const double wanted = expected[static_cast<size_t>(row * problem.shape.hidden + unit)];
      scale = std::max(scale, std::abs(wanted));
      largest = std::max(largest, std::abs(problem.row_of(actual, row, unit) - wanted));
    }
  }
  return largest == 0 ? 0 : largest / std::max(scale, 1e-30) / kEpsilon;
}

constexpr RecurrentCell kCells[] = {RecurrentCell::kRnn, RecurrentCell::kLstm, RecurrentCell::kGru,
                                    RecurrentCell::kGruResetAfter};

TEST(RecurrentKernelTest, AgreesWithDoubleForAllSizes) {
  for (const RecurrentCell cell : kCells) {
    for (const int64_t hidden : {1, 2, 7, 15, 16, 17, 33, 64, 100, 130}) {
      for (const int64_t batch : {1, 2, 3, 5, 19}) {
        RecurrentLayerShape shape;
        shape.cell = cell;
        shape.hidden = hidden;
        const Problem problem(shape, batch, hidden % 2 == 1, static_cast<uint32_t>(hidden + batch));
        std::vector<double> wanted_h, wanted_c;
        problem.expect(wanted_h, wanted_c);
        const double allowed = 8 + 0.1 * static_cast<double>(hidden);
        for (const NamedKernel& named : kernels()) {
          const std::string what = named.name + ", cell " + std::to_string(static_cast<int>(cell)) +
                                   ", " + std::to_string(hidden) + " units, batch " +
                                   std::to_string(batch);
          // Calls for parts of the units compute the same.
          for (const int64_t blocks_of_call : {shape.blocks(), int64_t{1}}) {
            std::vector<float> h, c;
            problem.run(*named.kernel, blocks_of_call, h, c);
            EXPECT_LE(error_of(problem, h, wanted_h), allowed) << what;
            if (cell == RecurrentCell::kLstm)
              EXPECT_LE(error_of(problem, c, wanted_c), allowed) << what;
            if (!named.kernel->takes_half_weights) continue;
            // The same numbers in float16 give the same sums.
            std::vector<float> from_halves_h, from_halves_c;
            problem.run(*named.kernel, blocks_of_call, from_halves_h, from_halves_c, true);
            EXPECT_EQ(from_halves_h, h) << what;
            EXPECT_EQ(from_halves_c, c) << what;
          }
        }
      }
    }
  }
}

TEST(RecurrentKernelTest, TakesAllActivationsPeepholesAndClipping) {
  constexpr RecurrentActivation kAll[] = {
      RecurrentActivation::kSigmoid, RecurrentActivation::kTanh, RecurrentActivation::kRelu,
      RecurrentActivation::kHardSigmoid, RecurrentActivation::kLinear};
  for (const NamedKernel& named : kernels()) {
    for (const RecurrentCell cell : kCells) {
      for (size_t i = 0; i < std::size(kAll); ++i) {
        for (const bool has_peephole : {false, true}) {
          for (const float clip : {kInfinity, 0.25f, 0.0f}) {
            RecurrentLayerShape shape;
            shape.cell = cell;
            shape.hidden = 20;
            shape.gate = kAll[i];
            shape.cell_activation = kAll[(i + 1) % std::size(kAll)];
            shape.output = kAll[(i + 3) % std::size(kAll)];
            shape.clip = clip;
            const Problem problem(shape, 3, has_peephole, static_cast<uint32_t>(i));
            std::vector<double> wanted_h, wanted_c;
            problem.expect(wanted_h, wanted_c);
            std::vector<float> h, c;
            problem.run(*named.kernel, shape.blocks(), h, c);
            EXPECT_LE(error_of(problem, h, wanted_h), 16)
                << named.name << ", cell " << static_cast<int>(cell) << ", gates " << i;
            if (cell == RecurrentCell::kLstm) EXPECT_LE(error_of(problem, c, wanted_c), 16);
          }
        }
      }
    }
  }
}

// One value through an RNN of one unit whose state is zero.
float through(const RecurrentKernel& kernel, RecurrentActivation activation, float value) {
  RecurrentLayerShape shape;
  shape.hidden = 1;
  shape.output = activation;
  Problem problem(shape, 1, false, 1);
  std::fill(problem.h.begin(), problem.h.end(), 0.0f);
  std::fill(problem.bias.begin(), problem.bias.end(), 0.0f);
  problem.x[0] = value;
  std::vector<float> h, c;
  problem.run(kernel, 1, h, c);
  return h[0];
}

TEST(RecurrentKernelTest, SigmoidAndTanhAreWithinThreeUnitsOfRounding) {
  for (const NamedKernel& named : kernels()) {
    for (const RecurrentActivation activation :
         {RecurrentActivation::kSigmoid, RecurrentActivation::kTanh}) {
      double worst = 0;
      float at = 0;
      for (double magnitude = 1e-30; magnitude < 80; magnitude *= magnitude < 1e-3 ? 3 : 1.03) {
        for (const double sign : {1.0, -1.0}) {
          const auto x = static_cast<float>(sign * magnitude);
          const double wanted = activate(activation, x);
          const double error =
              std::abs(through(*named.kernel, activation, x) / wanted - 1) / (kEpsilon / 2);
          if (error > worst) {
            worst = error;
            at = x;
          }
        }
      }
      EXPECT_LE(worst, 3) << named.name << ", activation " << static_cast<int>(activation) << " at "
                          << at;
    }
  }
}

TEST(RecurrentKernelTest, ExtremesAndNaN) {
  for (const NamedKernel& named : kernels()) {
    const auto f = [&](RecurrentActivation activation, float x) {
      return through(*named.kernel, activation, x);
    };
    for (const float large : {200.0f, 1e30f, kInfinity}) {
      EXPECT_EQ(f(RecurrentActivation::kSigmoid, large), 1.0f) << named.name;
      EXPECT_LE(f(RecurrentActivation::kSigmoid, -large), 1e-37f) << named.name;
      EXPECT_GE(f(RecurrentActivation::kSigmoid, -large), 0.0f) << named.name;
      EXPECT_EQ(f(RecurrentActivation::kTanh, large), 1.0f) << named.name;
      EXPECT_EQ(f(RecurrentActivation::kTanh, -large), -1.0f) << named.name;
      EXPECT_EQ(f(RecurrentActivation::kHardSigmoid, large), 1.0f) << named.name;
      EXPECT_EQ(f(RecurrentActivation::kHardSigmoid, -large), 0.0f) << named.name;
    }
    EXPECT_EQ(f(RecurrentActivation::kTanh, 0.0f), 0.0f);
    EXPECT_EQ(f(RecurrentActivation::kSigmoid, 0.0f), 0.5f);
    for (const RecurrentActivation activation :
         {RecurrentActivation::kSigmoid, RecurrentActivation::kTanh, RecurrentActivation::kRelu,
          RecurrentActivation::kHardSigmoid, RecurrentActivation::kLinear}) {
      // With and without a payload, and with a sign.
      for (const uint32_t bits : {0x7fc00000u, 0x7fc00001u, 0x7fffffffu, 0xffffffffu}) {
        float nan;
        std::memcpy(&nan, &bits, sizeof(nan));
        EXPECT_TRUE(std::isnan(f(activation, nan)))
            << named.name << ", activation " << static_cast<int>(activation) << ", " << bits;
      }
    }
  }
}

// One unit of a GRU whose update gate is z, whose state is h, and whose candidate is n.
float blended(const RecurrentKernel& kernel, RecurrentCell cell, float z, float h, float n) {
  RecurrentLayerShape shape;
  shape.cell = cell;
  shape.hidden = 1;
  shape.gate = RecurrentActivation::kLinear;
  shape.output = RecurrentActivation::kLinear;
  Problem problem(shape, 1, false, 1);
  std::fill(problem.packed.begin(), problem.packed.end(), 0.0f);
  std::fill(problem.bias.begin(), problem.bias.end(), 0.0f);
  problem.h[0] = h;
  const float x[] = {0.0f, z, n};
  std::copy(std::begin(x), std::end(x), problem.x.begin());
  std::vector<float> made, c;
  problem.run(kernel, 1, made, c);
  return made[0];
}

TEST(RecurrentKernelTest, AStateThatIsKeptIsKeptBesideALargeCandidate) {
  for (const NamedKernel& named : kernels()) {
    for (const RecurrentCell cell : {RecurrentCell::kGru, RecurrentCell::kGruResetAfter}) {
      EXPECT_EQ(blended(*named.kernel, cell, 1.0f, 0.3f, 1e8f), 0.3f) << named.name;
      EXPECT_EQ(blended(*named.kernel, cell, 1.0f, 1e-30f, 0.5f), 1e-30f) << named.name;
      EXPECT_EQ(blended(*named.kernel, cell, 0.5f, 0.3f, kInfinity), kInfinity) << named.name;
    }
  }
}

TEST(RecurrentKernelTest, NoRowsAreNoWork) {
  for (const NamedKernel& named : kernels()) {
    RecurrentLayerShape shape;
    shape.hidden = 20;
    Problem problem(shape, 1, false, 1);
    problem.batch = 0;
    std::vector<float> h, c;
    problem.run(*named.kernel, shape.blocks(), h, c);
    EXPECT_TRUE(h.empty());
  }
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
