#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_H_

// 3x3 convolutions of stride 1 by Winograd's minimal filtering F(2x2, 3x3): a tile of 2x2 results
// takes 16 products per pair of channels instead of 36.
//
//   Y = A^T [(G g G^T) * (B^T d B)] A      g: 3x3 weights, d: 4x4 inputs, *: element by element,
//                                          summed over the input channels
//
// The matrices are those of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
// (arXiv:1509.09308), section 4.1. Larger tiles save more products and lose digits. With this one
// convolutions of 64 and of 256 channels are off by 2.1 and 4.0 units of float32's epsilon
// (l2-relative, normal values), torch's direct ones by 1.8 and 1.9. What differs in kind: rounding
// is relative to the largest of the 4x4 inputs of a tile, not of the 3x3 of one result; an input
// that is infinite or NaN reaches all four results of its tile; and inputs beyond a quarter of
// float32's largest number, or weights beyond a third, may overflow where their products would not.
//
// Layouts, float32 throughout:
//   x, residual, y  [height, width, channels]
//   weights         [blocks of 32 output channels][in channels][9][32]
// The transformed weights are made anew in each call, in scratch memory: that costs a few percent
// and keeps the weights in memory as small as those of a direct convolution.
//
// Thread rule: functions without state.

#include <cstddef>
#include <cstdint>

namespace coreml_delegate::engine::portable {

// Output channels that are computed together.
inline constexpr int64_t kWinogradOutputBlock = 32;
// Input channels come in multiples of this.
inline constexpr int64_t kWinogradInputBlock = 16;

// In each caller itself: a copy that was compiled for a newer processor must not be linked in
// everybody's place.
#define COREML_DELEGATE_ALWAYS_INLINE __attribute__((always_inline)) inline

struct WinogradShape {
  int64_t in_channels = 0;   // A multiple of kWinogradInputBlock.
  int64_t out_channels = 0;  // A multiple of kWinogradOutputBlock.
  int64_t height = 0;        // Of x.
  int64_t width = 0;
  int64_t pad_top = 0;  // Zeros around x; not negative.
  int64_t pad_bottom = 0;
  int64_t pad_left = 0;
  int64_t pad_right = 0;

  COREML_DELEGATE_ALWAYS_INLINE int64_t out_height() const {
    return height + pad_top + pad_bottom - 2;
  }
  COREML_DELEGATE_ALWAYS_INLINE int64_t out_width() const {
    return width + pad_left + pad_right - 2;
  }
  COREML_DELEGATE_ALWAYS_INLINE int64_t tile_rows() const { return (out_height() + 1) / 2; }
  COREML_DELEGATE_ALWAYS_INLINE int64_t tile_columns() const { return (out_width() + 1) / 2; }
  COREML_DELEGATE_ALWAYS_INLINE int64_t tiles() const { return tile_rows() * tile_columns(); }
  COREML_DELEGATE_ALWAYS_INLINE int64_t out_blocks() const {
    return out_channels / kWinogradOutputBlock;
  }
};

// What happens to a sum of products: y = min(max(sum + bias + residual, lowest), highest), where a
// NaN stays one.
struct WinogradEpilogue {
  const float* bias = nullptr;      // [out channels]
  const float* residual = nullptr;  // As y; may be null.
  float lowest = 0;                 // -infinity and infinity where nothing is clamped.
  float highest = 0;
};

// A part of the results: some of the tiles, which are counted row by row, and blocks of output
// channels.
struct WinogradPart {
  int64_t tile_begin = 0, tile_end = 0;
  int64_t out_block_begin = 0, out_block_end = 0;
};

struct WinogradKernel {
  // Elements of `scratch` for a part.
  size_t (*scratch_size)(const WinogradShape& shape, const WinogradPart& part);
  // Computes one part of y. `scratch` is aligned to 64 bytes and is the calling thread's. The part
  // is not empty.
  void (*run)(const WinogradShape& shape, const WinogradPart& part,
              const WinogradEpilogue& epilogue, const float* x, const float* weights, float* y,
              float* scratch);
};

// For any processor of the architecture.
const WinogradKernel& winograd_kernel_baseline();
#if defined(__x86_64__)
const WinogradKernel& winograd_kernel_avx2();  // And FMA. The same bits as with AVX-512.
const WinogradKernel& winograd_kernel_avx512();
#endif
// The fastest one that this processor executes.
const WinogradKernel& winograd_kernel();
// Whether that is one which was measured to be faster than OpenVINO's convolutions: AVX2 or
// AVX-512.
bool winograd_kernel_is_fast();

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_H_
