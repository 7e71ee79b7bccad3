#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_IMPL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_IMPL_H_

// The kernel of winograd_kernel.h for vectors of 4, 8 or 16 floats; included by
// winograd_kernel_variant.cc only. Everything here has internal linkage and calls nothing but
// built-ins, so that no function compiled for a newer processor can be linked in anybody else's
// place.

#include "runtime/engine/portable/winograd_kernel.h"

#if defined(__clang__)
#define COREML_DELEGATE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define COREML_DELEGATE_UNROLL
#endif

namespace coreml_delegate::engine::portable {
namespace {

// The elements of a transformed 4x4 tile.
inline constexpr int64_t kPoints = 16;
// Tiles that are multiplied together: with two vectors of output channels each they fill the
// registers.
inline constexpr int64_t kPanel = 12;
inline constexpr int64_t kIn = kWinogradInputBlock;
inline constexpr int64_t kOut = kWinogradOutputBlock;
// Between the sixteen planes of transformed values: written one after another at a power of two of
// bytes apart, they would all want the same few lines of the cache.
inline constexpr int64_t kStagger = 16;
// Channels of weights that are asked for ahead of their use. They come from main memory: between
// two calls a model reads all its others.
inline constexpr int64_t kAhead = 16;

template <int kLanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(kLanes * sizeof(float))));
};

template <typename V>
COREML_DELEGATE_ALWAYS_INLINE V load(const float* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));  // One instruction, without alignment.
  return value;
}

template <typename V>
COREML_DELEGATE_ALWAYS_INLINE void store(float* to, V value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

// The parts of a thread's scratch memory.
struct Scratch {
  // [2 for each row of tiles + 2][2 tile columns + 2][in channels]: rows of x with the zeros around
  // them.
  float* patch = nullptr;
  // [kPoints][panels][in blocks][kPanel][kIn], tiles_point_ apart
  float* tiles = nullptr;
  // [kPoints][in channels][kOut], weights_point_ apart
  float* weights = nullptr;
  // [kPoints][kPanel][kOut]
  float* products = nullptr;
};

template <int kLanes>
class Kernel {
 public:
  static void run(const WinogradShape& shape, const WinogradPart& part,
                  const WinogradEpilogue& epilogue, const float* x, const float* weights, float* y,
                  float* memory) {
    Kernel kernel(shape, part, memory);
    kernel.pack(x);
    kernel.transform_tiles();
    for (int64_t block = part.out_block_begin; block < part.out_block_end; ++block) {
      kernel.transform_weights(weights + block * shape.in_channels * 9 * kOut);
      for (int64_t panel = 0; panel < kernel.panels_; ++panel) {
        kernel.multiply(panel);
        kernel.transform_products(panel, block, epilogue, y);
      }
    }
  }

  static size_t scratch_size(const WinogradShape& shape, const WinogradPart& part) {
    return Kernel(shape, part, nullptr).scratch_size_;
  }

 private:
  using V = typename VectorOf<kLanes>::Type;

  Kernel(const WinogradShape& shape, const WinogradPart& part, float* memory)
      : shape_(shape),
        first_tile_(part.tile_begin),
        tiles_(part.tile_end - part.tile_begin),
        tile_columns_(shape.tile_columns()),
        first_row_(part.tile_begin / tile_columns_),
        in_blocks_(shape.in_channels / kIn),
        patch_height_(2 * ((part.tile_end - 1) / tile_columns_ - first_row_) + 4),
        patch_width_(2 * tile_columns_ + 2),
        panels_((tiles_ + kPanel - 1) / kPanel),
        tiles_point_(panels_ * in_blocks_ * kPanel * kIn + kStagger),
        weights_point_(shape.in_channels * kOut + kStagger) {
    const auto take = [&](int64_t elements) {
      float* const start = memory == nullptr ? nullptr : memory + scratch_size_;
      scratch_size_ += (static_cast<size_t>(elements) + kIn - 1) / kIn * kIn;
      return start;
    };
    scratch_.patch = take(patch_height_ * patch_width_ * shape.in_channels);
    scratch_.tiles = take(kPoints * tiles_point_);
    scratch_.weights = take(kPoints * weights_point_);
    scratch_.products = take(kPoints * kPanel * kOut);
  }

  // Copies the rows of x that the part reads to scratch_.patch, with the zeros around them.
  void pack(const float* x) {
    const int64_t top = 2 * first_row_ - shape_.pad_top;  // The patch's first row, as a row of x.
    const int64_t channels = shape_.in_channels;
    const int64_t right = shape_.pad_left + shape_.width;
    for (int64_t row = 0; row < patch_height_; ++row) {
      float* const line = scratch_.patch + row * patch_width_ * channels;
      if (top + row < 0 || top + row >= shape_.height) {
        clear(line, patch_width_ * channels);
        continue;
      }
      clear(line, shape_.pad_left * channels);
      __builtin_memcpy(line + shape_.pad_left * channels, x + (top + row) * shape_.width * channels,
                       static_cast<size_t>(shape_.width * channels) * sizeof(float));
      clear(line + right * channels, (patch_width_ - right) * channels);
    }
  }

  // B^T d B of each tile.
  void transform_tiles() {
    const int64_t channels = shape_.in_channels, line = patch_width_ * channels;
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      const int64_t row = (first_tile_ + tile) / tile_columns_ - first_row_;
      const int64_t column = (first_tile_ + tile) % tile_columns_;
      const float* const patch = scratch_.patch + 2 * row * line + 2 * column * channels;
      float* const panel = scratch_.tiles + tile / kPanel * in_blocks_ * kPanel * kIn;
      for (int64_t channel = 0; channel < channels; channel += kLanes) {
        V w[4][4];
        for (int64_t j = 0; j < 4; ++j) {
          const float* const from = patch + j * channels + channel;
          const V d0 = load<V>(from), d1 = load<V>(from + line), d2 = load<V>(from + 2 * line),
                  d3 = load<V>(from + 3 * line);
          w[0][j] = d0 - d2;
          w[1][j] = d1 + d2;
          w[2][j] = d2 - d1;
          w[3][j] = d1 - d3;
        }
        float* const to = panel + (channel / kIn * kPanel + tile % kPanel) * kIn + channel % kIn;
        for (int64_t i = 0; i < 4; ++i) {
          float* const out = to + 4 * i * tiles_point_;
          store(out, w[i][0] - w[i][2]);
          store(out + tiles_point_, w[i][1] + w[i][2]);
          store(out + 2 * tiles_point_, w[i][2] - w[i][1]);
          store(out + 3 * tiles_point_, w[i][1] - w[i][3]);
        }
      }
    }
  }

  // G g G^T of each input channel, for one block of output channels.
  void transform_weights(const float* weights) {
    for (int64_t channel = 0; channel < shape_.in_channels; ++channel) {
      for (int64_t part = 0; part < kOut; part += kLanes) {
        const float* const from = weights + channel * 9 * kOut + part;
        for (int64_t j = 0; j < 9; ++j) ask_for(from + j * kOut, kAhead * 9 * kOut);
        V w[4][3];
        for (int64_t j = 0; j < 3; ++j) {
          const V g0 = load<V>(from + j * kOut), g1 = load<V>(from + (3 + j) * kOut),
                  g2 = load<V>(from + (6 + j) * kOut);
          const V sum = g0 + g2;
          w[0][j] = g0;
          w[1][j] = (sum + g1) * 0.5f;
          w[2][j] = (sum - g1) * 0.5f;
          w[3][j] = g2;
        }
        float* const to = scratch_.weights + channel * kOut + part;
        for (int64_t i = 0; i < 4; ++i) {
          const V sum = w[i][0] + w[i][2];
          store(to + (4 * i) * weights_point_, w[i][0]);
          store(to + (4 * i + 1) * weights_point_, (sum + w[i][1]) * 0.5f);
          store(to + (4 * i + 2) * weights_point_, (sum - w[i][1]) * 0.5f);
          store(to + (4 * i + 3) * weights_point_, w[i][2]);
        }
      }
    }
  }

  // The sixteen matrix products [tiles, in channels] x [in channels, kOut] of one panel.
  void multiply(int64_t panel) {
    const int64_t tiles = tiles_of(panel);
    for (int64_t point = 0; point < kPoints; ++point) {
      const float* const a =
          scratch_.tiles + point * tiles_point_ + panel * in_blocks_ * kPanel * kIn;
      const float* const b = scratch_.weights + point * weights_point_;
      float* const c = scratch_.products + point * kPanel * kOut;
      if constexpr (kLanes == 16) {
        // 32 registers: 12 tiles x 2 vectors of sums.
        if (tiles <= 4) {
          multiply_block<4>(a, b, c);
        } else if (tiles <= 8) {
          multiply_block<8>(a, b, c);
        } else {
          multiply_block<12>(a, b, c);
        }
      } else {
        // 16 registers: 6 tiles x 2 vectors of sums.
        for (int64_t tile = 0; tile < tiles; tile += 6) {
          for (int64_t part = 0; part < kOut; part += 2 * kLanes)
            multiply_block<6>(a + tile * kIn, b + part, c + tile * kOut + part);
        }
      }
    }
  }

  // c[kTiles, 2 vectors] of a panel's tiles and the transformed weights.
  template <int kTiles>
  COREML_DELEGATE_ALWAYS_INLINE void multiply_block(const float* a, const float* b,
                                                    float* c) const {
    V sums[kTiles][2] = {};
    for (int64_t block = 0; block < in_blocks_; ++block) {
      COREML_DELEGATE_UNROLL
      for (int k = 0; k < static_cast<int>(kIn); ++k) {
        const V b0 = load<V>(b + k * kOut), b1 = load<V>(b + k * kOut + kLanes);
        COREML_DELEGATE_UNROLL
        for (int tile = 0; tile < kTiles; ++tile) {
          const float factor = a[tile * kIn + k];
          sums[tile][0] += factor * b0;
          sums[tile][1] += factor * b1;
        }
      }
      a += kPanel * kIn;
      b += kIn * kOut;
    }
    COREML_DELEGATE_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      store(c + tile * kOut, sums[tile][0]);
      store(c + tile * kOut + kLanes, sums[tile][1]);
    }
  }

  // A^T m A of each tile of a panel, and what is done to each result, to y.
  void transform_products(int64_t panel, int64_t block, const WinogradEpilogue& epilogue,
                          float* y) const {
    constexpr int64_t kPoint = kPanel * kOut;
    const int64_t channels = shape_.out_channels, line = shape_.out_width() * channels;
    const V lowest = V{} + epilogue.lowest, highest = V{} + epilogue.highest;
    for (int64_t tile = 0; tile < tiles_of(panel); ++tile) {
      const int64_t row = (first_tile_ + panel * kPanel + tile) / tile_columns_;
      const int64_t column = (first_tile_ + panel * kPanel + tile) % tile_columns_;
      const int64_t rows = 2 * row + 1 < shape_.out_height() ? 2 : 1;
      const int64_t columns = 2 * column + 1 < shape_.out_width() ? 2 : 1;
      for (int64_t part = 0; part < kOut; part += kLanes) {
        const float* const from = scratch_.products + tile * kOut + part;
        V a[2][4];
        for (int64_t j = 0; j < 4; ++j) {
          const V m0 = load<V>(from + j * kPoint), m1 = load<V>(from + (4 + j) * kPoint),
                  m2 = load<V>(from + (8 + j) * kPoint), m3 = load<V>(from + (12 + j) * kPoint);
          a[0][j] = m0 + m1 + m2;
          a[1][j] = m1 - m2 - m3;
        }
        const V bias = load<V>(epilogue.bias + block * kOut + part);
        const int64_t first = 2 * row * line + 2 * column * channels + block * kOut + part;
        for (int64_t i = 0; i < rows; ++i) {
          const V results[2] = {a[i][0] + a[i][1] + a[i][2], a[i][1] - a[i][2] - a[i][3]};
          for (int64_t j = 0; j < columns; ++j) {
            const int64_t at = first + i * line + j * channels;
            V value = results[j] + bias;
            if (epilogue.residual != nullptr) value += load<V>(epilogue.residual + at);
            value = value < lowest ? lowest : value;
            store(y + at, value > highest ? highest : value);
          }
        }
      }
    }
  }

  int64_t tiles_of(int64_t panel) const {
    const int64_t left = tiles_ - panel * kPanel;
    return left < kPanel ? left : kPanel;
  }

  // Prefetches what lies `elements` after an address, which may be beyond the array.
  static COREML_DELEGATE_ALWAYS_INLINE void ask_for(const float* from, int64_t elements) {
    const auto address = reinterpret_cast<uintptr_t>(from);
    __builtin_prefetch(
        reinterpret_cast<const void*>(address + static_cast<uintptr_t>(elements) * sizeof(float)));
  }

  static COREML_DELEGATE_ALWAYS_INLINE void clear(float* from, int64_t count) {
    __builtin_memset(from, 0, static_cast<size_t>(count) * sizeof(float));
  }

  const WinogradShape& shape_;
  const int64_t first_tile_, tiles_, tile_columns_;
  const int64_t first_row_;  // Of tiles, that the part begins in.
  const int64_t in_blocks_;
  const int64_t patch_height_, patch_width_;
  const int64_t panels_;
  const int64_t tiles_point_, weights_point_;
  Scratch scratch_;
  size_t scratch_size_ = 0;
};

}  // namespace
}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_WINOGRAD_KERNEL_IMPL_H_
