#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_H_

// One step of a recurrent layer in one direction. The products of the inputs with their weights are
// not part of it: a caller computes them for all steps at once.
//
//   RNN       h' = out(x + R h + b)
//   LSTM      i, f = gate(x + R h + b + p c)      z = cell(x + R h + b)
//             c' = clip(f c + i z)                o = gate(x + R h + b + p c')     h' = o out(c')
//   GRU       r, z = gate(x + R h + b)            n = out(x + R (r h) + b)         h' = z h + (1 - z) n
//   GRU, reset after the product                  n = out(x + r (R h + b))
//
// Each gate has its own rows of x, R and b; they come in this order: LSTM i, f, o, z; GRU r, z, n.
//
// Layouts, float32 but for weights that may be float16, widened as they are read; a row of states
// has padded_units() floats, those past the hidden units are read and may be written, and must be
// finite:
//   x        [batch][gates][hidden], rows x_stride apart
//   weights  [blocks of 16 units][hidden][gates][16]; of a GRU whose reset comes before the product
//            [blocks][hidden][2][16] of r and z, then [blocks][hidden][16] of n
//   bias     [gates][padded units]
//   peephole [i, f, o][padded units]
//   h, c     [batch][padded units]
//
// Sums are made from the first unit of h to the last. sigmoid and tanh are within 3 units of
// float32's rounding (2^-24, relative); sigmoid below -87 is that of -87, about 1e-38.
//
// Thread rule: functions without state.

#include <cstddef>
#include <cstdint>
#include <limits>

namespace coreml_delegate::engine::portable {

// Hidden units whose weights lie together.
inline constexpr int64_t kRecurrentBlock = 16;

enum class RecurrentCell : uint8_t { kRnn, kLstm, kGru, kGruResetAfter };
enum class RecurrentActivation : uint8_t { kSigmoid, kTanh, kRelu, kHardSigmoid, kLinear };

inline int64_t recurrent_gates(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::kRnn:
      return 1;
    case RecurrentCell::kLstm:
      return 4;
    case RecurrentCell::kGru:
    case RecurrentCell::kGruResetAfter:
      return 3;
  }
  return 0;
}

struct RecurrentLayerShape {
  RecurrentCell cell = RecurrentCell::kRnn;
  int64_t hidden = 0;
  RecurrentActivation gate = RecurrentActivation::kSigmoid;
  RecurrentActivation cell_activation = RecurrentActivation::kTanh;
  RecurrentActivation output = RecurrentActivation::kTanh;
  float clip = std::numeric_limits<float>::infinity();

  int64_t gates() const { return recurrent_gates(cell); }
  int64_t blocks() const { return (hidden + kRecurrentBlock - 1) / kRecurrentBlock; }
  int64_t padded_units() const { return blocks() * kRecurrentBlock; }
  // Calls of the kernel for a step, one after the other: the second one of a GRU whose reset comes
  // before the product reads what the first one made of all units.
  int64_t phases() const { return cell == RecurrentCell::kGru ? 2 : 1; }
  int64_t weights_size() const { return padded_units() * hidden * gates(); }
};

// Weights [gates * hidden, hidden], gates in the order of the cell, in the layout that the kernel
// reads: `packed` has weights_size() floats.
void pack_recurrent_weights(const RecurrentLayerShape& shape, const float* weights, float* packed);

struct RecurrentStep {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t batch = 0;
  const std::byte* weights = nullptr;  // Without alignment.
  bool has_half_weights = false;       // Where the kernel takes them.
  const float* bias = nullptr;
  const float* peephole = nullptr;  // Null for none.
  // The state before the step and after it; two buffers.
  const float* h = nullptr;
  float* h_next = nullptr;
  float* c = nullptr;  // LSTM: replaced.
  // GRU whose reset comes before the product: two more buffers as h, for r h and z.
  float* reset_h = nullptr;
  float* update = nullptr;
};

struct RecurrentKernel {
  // Phase `phase` for the units of blocks [block_begin, block_end), all rows of the batch.
  void (*run)(const RecurrentLayerShape& shape, const RecurrentStep& step, int64_t phase,
              int64_t block_begin, int64_t block_end);
  // Whether weights may be float16: half of what is read of a second-level cache, or of memory, in
  // each step.
  bool takes_half_weights;
};

const RecurrentKernel& recurrent_kernel_baseline();
#if defined(__x86_64__)
const RecurrentKernel& recurrent_kernel_avx2();  // And FMA and F16C.
const RecurrentKernel& recurrent_kernel_avx512();
#endif
// The fastest one that this processor executes.
const RecurrentKernel& recurrent_kernel();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_RECURRENT_KERNEL_H_
