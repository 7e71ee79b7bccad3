#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_IMPL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_IMPL_H_

// The kernel of recurrent_kernel.h for vectors of 4, 8 or 16 floats; included by
// recurrent_kernel_variant.cc only. Everything here has internal linkage and calls nothing but
// built-ins, not even the inline functions of recurrent_kernel.h, so that no function compiled for a
// newer processor can be linked in anybody else's place.

#include "runtime/engine/portable/recurrent_kernel.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of what its own header for AVX-512 leaves open on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#if defined(__clang__)
#define COREML_DELEGATE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define COREML_DELEGATE_UNROLL _Pragma("GCC unroll 16")
#endif
#define COREML_DELEGATE_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace coreml_delegate::engine::portable {
namespace {

template <int kLanes>
struct Vectors {
  typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
  typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t))));
};

template <int kLanes>
class Kernel {
 public:
  static void run(const RecurrentLayerShape& shape, const RecurrentStep& step, int64_t phase,
                  int64_t block_begin, int64_t block_end) {
    const Call call = {shape,
                       step,
                       shape.hidden,
                       (shape.hidden + kRecurrentBlock - 1) / kRecurrentBlock * kRecurrentBlock,
                       block_begin * kRecurrentBlock,
                       block_end * kRecurrentBlock};
    if constexpr (kTakesHalves) {
      if (step.has_half_weights) return cell_of<Half>(call, phase);
    }
    cell_of<float>(call, phase);
  }

#if defined(__F16C__)
  static constexpr bool kTakesHalves = kLanes >= 8;
#else
  static constexpr bool kTakesHalves = false;
#endif

 private:
  using V = typename Vectors<kLanes>::Floats;
  using I = typename Vectors<kLanes>::Integers;
  // Sums that are under way together: as many products are begun before the first is finished, and
  // they take half of the registers.
  static constexpr int kSums = 8;
  static constexpr int kSumsOfRows = kLanes == 16 ? 16 : 8;

  struct Half {
    uint16_t bits;
  };

  struct Call {
    const RecurrentLayerShape& shape;
    const RecurrentStep& step;
    int64_t hidden, padded, unit_begin, unit_end;
  };

  static COREML_DELEGATE_ALWAYS_INLINE V load(const float* from) {
    V value;
    __builtin_memcpy(&value, from, sizeof(V));  // One instruction, without alignment.
    return value;
  }
  static COREML_DELEGATE_ALWAYS_INLINE V load_weights(const float* from) { return load(from); }
#if defined(__F16C__)
  static COREML_DELEGATE_ALWAYS_INLINE V load_weights(const Half* from) {
    if constexpr (kLanes == 16) {
#if defined(__AVX512F__)
      return (V)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#endif
    } else if constexpr (kLanes == 8) {
      return (V)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
  }
#endif
  static COREML_DELEGATE_ALWAYS_INLINE void store(float* to, V value) {
    __builtin_memcpy(to, &value, sizeof(V));
  }
  static COREML_DELEGATE_ALWAYS_INLINE V all(float value) { return V{} + value; }
  // `count` values, fewer than a vector has at the end of a row; zeros behind them.
  static COREML_DELEGATE_ALWAYS_INLINE V load_some(const float* from, int64_t count) {
    if (count >= kLanes) return load(from);
    V value = {};
    for (int64_t i = 0; i < count; ++i) value[i] = from[i];
    return value;
  }
  // NaN stays NaN.
  static COREML_DELEGATE_ALWAYS_INLINE V clamp(V value, V low, V high) {
    value = value < low ? low : value;
    return value > high ? high : value;
  }

  // exp for -87.3 < x < 88: 2^n exp(r) with |r| <= log(2) / 2, exp(r) by a polynomial fitted to it.
  static COREML_DELEGATE_ALWAYS_INLINE V exponential(V x) {
    const V magic = all(12582912.0f);  // 1.5 * 2^23: a sum with it is rounded to an integer.
    const V shifted = x * all(1.44269504f) + magic;
    const V n = shifted - magic;
    V r = x - n * all(0.693145752f);
    r = r - n * all(1.42860677e-6f);
    V p = all(0.00139506022f) * r + all(0.00836895313f);
    p = p * r + all(0.041666206f);
    p = p * r + all(0.166665182f);
    p = p * r + all(0.5f);
    p = p * (r * r) + r;
    p = p + all(1.0f);
    // 2^n, whose exponent is in the last bits of `shifted`. A product: NaN has no exponent to add to.
    return p * (V)(((I)shifted << 23) + 0x3f800000);
  }

  static COREML_DELEGATE_ALWAYS_INLINE V sigmoid(V x) {
    return all(1.0f) / (all(1.0f) + exponential(clamp(-x, all(-87.0f), all(87.0f))));
  }

  // Near zero an odd polynomial fitted to it, else 1 - 2 / (exp(2 |x|) + 1) with the sign of x.
  static COREML_DELEGATE_ALWAYS_INLINE V hyperbolic_tangent(V x) {
    const I sign_bit = I{} + static_cast<int32_t>(0x80000000u);
    const I sign = (I)x & sign_bit;
    const V magnitude = (V)((I)x & ~sign_bit);
    const V twice = clamp(magnitude + magnitude, all(0.0f), all(87.0f));
    const V far = all(1.0f) - all(2.0f) / (exponential(twice) + all(1.0f));
    const V square = magnitude * magnitude;
    V p = all(-0.00569351856f) * square + all(0.0206304099f);
    p = p * square + all(-0.0537376143f);
    p = p * square + all(0.133314252f);
    p = p * square + all(-0.333332807f);
    const V near = (p * square) * magnitude + magnitude;
    return (V)((I)(magnitude < all(0.625f) ? near : far) | sign);
  }

  static COREML_DELEGATE_ALWAYS_INLINE V activate(RecurrentActivation activation, V x) {
    switch (activation) {
      case RecurrentActivation::kSigmoid:
        return sigmoid(x);
      case RecurrentActivation::kTanh:
        return hyperbolic_tangent(x);
      case RecurrentActivation::kRelu:
        return x < all(0.0f) ? all(0.0f) : x;
      case RecurrentActivation::kHardSigmoid:
        return clamp(x * all(0.2f) + all(0.5f), all(0.0f), all(1.0f));
      case RecurrentActivation::kLinear:
        return x;
    }
    return x;
  }

  // Where the values of one vector of units of one row of the batch are.
  struct Place {
    const Call& call;
    int64_t row, unit;

    COREML_DELEGATE_ALWAYS_INLINE V x(int64_t gate) const {
      return load_some(call.step.x + row * call.step.x_stride + gate * call.hidden + unit,
                       call.hidden - unit);
    }
    COREML_DELEGATE_ALWAYS_INLINE V bias(int64_t gate) const {
      return load(call.step.bias + gate * call.padded + unit);
    }
    COREML_DELEGATE_ALWAYS_INLINE V peephole(int64_t gate, V c) const {
      if (call.step.peephole == nullptr) return V{};
      return load(call.step.peephole + gate * call.padded + unit) * c;
    }
    template <typename T>
    COREML_DELEGATE_ALWAYS_INLINE T* in(T* rows) const {
      return rows + row * call.padded + unit;
    }
  };

  // The cells: how many products they need, of which rows with which weights, and what becomes of
  // the sums. finish() is a function of its own, as it is large and called once for many products.

  struct Rnn {
    static constexpr int kGates = 1;
    static const float* rows(const Call& call) { return call.step.h; }
    static int64_t weights_begin(const Call&) { return 0; }
    __attribute__((noinline)) static void finish(const Place& at, const V* sums) {
      const V h = activate(at.call.shape.output, at.x(0) + (sums[0] + at.bias(0)));
      store(at.in(at.call.step.h_next), h);
    }
  };

  struct Lstm {
    static constexpr int kGates = 4;
    static const float* rows(const Call& call) { return call.step.h; }
    static int64_t weights_begin(const Call&) { return 0; }
    __attribute__((noinline)) static void finish(const Place& at, const V* sums) {
      const RecurrentLayerShape& shape = at.call.shape;
      const auto sum = [&](int gate) __attribute__((always_inline)) {
        return at.x(gate) + (sums[gate] + at.bias(gate));
      };
      V c = load(at.in(at.call.step.c));
      const V i = activate(shape.gate, sum(0) + at.peephole(0, c));
      const V f = activate(shape.gate, sum(1) + at.peephole(1, c));
      const V z = activate(shape.cell_activation, sum(3));
      c = clamp(f * c + i * z, all(-shape.clip), all(shape.clip));
      const V o = activate(shape.gate, sum(2) + at.peephole(2, c));
      store(at.in(at.call.step.c), c);
      store(at.in(at.call.step.h_next), o * activate(shape.output, c));
    }
  };

  struct GruResetAfter {
    static constexpr int kGates = 3;
    static const float* rows(const Call& call) { return call.step.h; }
    static int64_t weights_begin(const Call&) { return 0; }
    __attribute__((noinline)) static void finish(const Place& at, const V* sums) {
      const RecurrentLayerShape& shape = at.call.shape;
      const V r = activate(shape.gate, at.x(0) + (sums[0] + at.bias(0)));
      const V z = activate(shape.gate, at.x(1) + (sums[1] + at.bias(1)));
      const V n = activate(shape.output, at.x(2) + r * (sums[2] + at.bias(2)));
      const V h = load(at.in(at.call.step.h));
      store(at.in(at.call.step.h_next), z * h + (all(1.0f) - z) * n);
    }
  };

  struct GruGates {
    static constexpr int kGates = 2;
    static const float* rows(const Call& call) { return call.step.h; }
    static int64_t weights_begin(const Call&) { return 0; }
    __attribute__((noinline)) static void finish(const Place& at, const V* sums) {
      const RecurrentLayerShape& shape = at.call.shape;
      const V r = activate(shape.gate, at.x(0) + (sums[0] + at.bias(0)));
      const V z = activate(shape.gate, at.x(1) + (sums[1] + at.bias(1)));
      store(at.in(at.call.step.reset_h), r * load(at.in(at.call.step.h)));
      store(at.in(at.call.step.update), z);
    }
  };

  struct GruOutput {
    static constexpr int kGates = 1;
    static const float* rows(const Call& call) { return call.step.reset_h; }
    static int64_t weights_begin(const Call& call) { return 2 * call.padded * call.hidden; }
    __attribute__((noinline)) static void finish(const Place& at, const V* sums) {
      const V n = activate(at.call.shape.output, at.x(2) + (sums[0] + at.bias(2)));
      const V z = load(at.in(at.call.step.update));
      const V h = load(at.in(at.call.step.h));
      store(at.in(at.call.step.h_next), z * h + (all(1.0f) - z) * n);
    }
  };

  // The sums of `kRows` rows of the batch and `kVectors` vectors of units, all gates.
  template <typename Cell, typename Weight, int kRows, int kVectors>
  static COREML_DELEGATE_ALWAYS_INLINE void tile(const Call& call, int64_t row, int64_t unit) {
    constexpr int kGates = Cell::kGates;
    V sums[kRows][kVectors][kGates];
    COREML_DELEGATE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      COREML_DELEGATE_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        COREML_DELEGATE_UNROLL
        for (int g = 0; g < kGates; ++g) sums[r][v][g] = V{};
      }
    }
    const Weight* weights[kVectors];
    COREML_DELEGATE_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const int64_t first = unit + v * kLanes;
      weights[v] = reinterpret_cast<const Weight*>(call.step.weights) + Cell::weights_begin(call) +
                   first / kRecurrentBlock * kRecurrentBlock * call.hidden * kGates +
                   first % kRecurrentBlock;
    }
    const float* const rows = Cell::rows(call) + row * call.padded;
    // `sums` stay in registers: nobody is told where they are.
    for (int64_t k = 0; k < call.hidden; ++k) {
      COREML_DELEGATE_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        COREML_DELEGATE_UNROLL
        for (int g = 0; g < kGates; ++g) {
          const V weight = load_weights(weights[v] + (k * kGates + g) * kRecurrentBlock);
          COREML_DELEGATE_UNROLL
          for (int r = 0; r < kRows; ++r)
            sums[r][v][g] = weight * rows[r * call.padded + k] + sums[r][v][g];
        }
      }
    }
    COREML_DELEGATE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      COREML_DELEGATE_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        if (v > 0 && unit + v * kLanes >= call.hidden) continue;
        V finished[kGates];
        COREML_DELEGATE_UNROLL
        for (int g = 0; g < kGates; ++g) finished[g] = sums[r][v][g];
        Cell::finish(Place{call, row + r, unit + v * kLanes}, finished);
      }
    }
  }

  template <typename Cell, typename Weight, int kRows, int kVectors>
  static COREML_DELEGATE_ALWAYS_INLINE int64_t rows_of(const Call& call, int64_t row,
                                                       int64_t unit) {
    for (; row + kRows <= call.step.batch; row += kRows)
      tile<Cell, Weight, kRows, kVectors>(call, row, unit);
    return row;
  }

  // One row of the batch with several vectors of units, or several rows with one.
  template <typename Cell, typename Weight>
  static void units_of(const Call& call) {
    constexpr int kVectors = (kSums + Cell::kGates - 1) / Cell::kGates;
    constexpr int kRows = kSumsOfRows / Cell::kGates < 8 ? kSumsOfRows / Cell::kGates : 8;
    const int64_t end = call.unit_end < call.hidden ? call.unit_end : call.hidden;
    int64_t unit = call.unit_begin;
    if (call.step.batch == 1) {
      for (; unit + kVectors * kLanes <= call.unit_end; unit += kVectors * kLanes)
        tile<Cell, Weight, 1, kVectors>(call, 0, unit);
    }
    for (; unit < end; unit += kLanes) {
      int64_t row = rows_of<Cell, Weight, kRows, 1>(call, 0, unit);
      row = rows_of<Cell, Weight, 2, 1>(call, row, unit);
      rows_of<Cell, Weight, 1, 1>(call, row, unit);
    }
  }

  template <typename Weight>
  static void cell_of(const Call& call, int64_t phase) {
    switch (call.shape.cell) {
      case RecurrentCell::kRnn:
        return units_of<Rnn, Weight>(call);
      case RecurrentCell::kLstm:
        return units_of<Lstm, Weight>(call);
      case RecurrentCell::kGruResetAfter:
        return units_of<GruResetAfter, Weight>(call);
      case RecurrentCell::kGru:
        return phase == 0 ? units_of<GruGates, Weight>(call) : units_of<GruOutput, Weight>(call);
    }
  }
};

}  // namespace
}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_IMPL_H_
