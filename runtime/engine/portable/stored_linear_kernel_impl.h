#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_IMPL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_IMPL_H_

// The kernel of stored_linear_kernel.h for vectors of 8 or 16 floats; included by
// stored_linear_kernel_variant.cc only. Everything here has internal linkage and calls nothing but
// intrinsics, so that no function compiled for a newer processor can be linked in anybody else's
// place.

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of what its own header for AVX-512 leaves open on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include "runtime/engine/portable/stored_linear_kernel.h"

#define COREML_DELEGATE_ALWAYS_INLINE __attribute__((always_inline)) inline

#if defined(__clang__)
#define COREML_DELEGATE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define COREML_DELEGATE_UNROLL
#endif

namespace coreml_delegate::engine::portable {
namespace {

// Rows of W that are multiplied together.
inline constexpr int64_t kRows = 4;
// Rows of W that are widened together where x has many rows, and the most columns of them: with the
// rows of x beside them they stay in a core's first-level cache.
inline constexpr int64_t kWideRows = 8;
inline constexpr int64_t kWideColumns = 640;
// Rows of x that are multiplied by all of W's before the next: what is read of them again and again
// stays in the second-level cache.
inline constexpr int64_t kPanel = 192;

COREML_DELEGATE_ALWAYS_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

COREML_DELEGATE_ALWAYS_INLINE float widen(uint16_t half) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

template <int kLanes>
struct Vector;

template <>
struct Vector<8> {
  using V = __m256;
  static COREML_DELEGATE_ALWAYS_INLINE V zero() { return _mm256_setzero_ps(); }
  static COREML_DELEGATE_ALWAYS_INLINE V all(float value) { return _mm256_set1_ps(value); }
  static COREML_DELEGATE_ALWAYS_INLINE V load(const float* from) { return _mm256_loadu_ps(from); }
  static COREML_DELEGATE_ALWAYS_INLINE void store(float* to, V value) {
    _mm256_storeu_ps(to, value);
  }
  static COREML_DELEGATE_ALWAYS_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static COREML_DELEGATE_ALWAYS_INLINE V halves(const std::byte* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  // The first eight bytes of `bytes`, as numbers.
  template <bool kSigned>
  static COREML_DELEGATE_ALWAYS_INLINE V integers(__m128i bytes) {
    return _mm256_cvtepi32_ps(kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
  }
  // What `bytes` has behind the first eight.
  static COREML_DELEGATE_ALWAYS_INLINE __m128i rest(__m128i bytes) {
    return _mm_srli_si128(bytes, 8);
  }
  // The sums of four vectors.
  static COREML_DELEGATE_ALWAYS_INLINE __m128 sums(V a, V b, V c, V d) {
    const V all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  }
};

#if defined(__AVX512F__)
template <>
struct Vector<16> {
  using V = __m512;
  static COREML_DELEGATE_ALWAYS_INLINE V zero() { return _mm512_setzero_ps(); }
  static COREML_DELEGATE_ALWAYS_INLINE V all(float value) { return _mm512_set1_ps(value); }
  static COREML_DELEGATE_ALWAYS_INLINE V load(const float* from) { return _mm512_loadu_ps(from); }
  static COREML_DELEGATE_ALWAYS_INLINE void store(float* to, V value) {
    _mm512_storeu_ps(to, value);
  }
  static COREML_DELEGATE_ALWAYS_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static COREML_DELEGATE_ALWAYS_INLINE V halves(const std::byte* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  template <bool kSigned>
  static COREML_DELEGATE_ALWAYS_INLINE V integers(__m128i bytes) {
    return _mm512_cvtepi32_ps(kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
  }
  static COREML_DELEGATE_ALWAYS_INLINE __m128 sums(V a, V b, V c, V d) {
    return Vector<8>::sums(halve(a), halve(b), halve(c), halve(d));
  }

 private:
  static COREML_DELEGATE_ALWAYS_INLINE __m256 halve(V value) {
    return _mm256_add_ps(_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1));
  }
};
#endif

// Sixteen integers of 4 bits to bytes of 0 to 15, or of -8 to 7.
template <bool kSigned>
COREML_DELEGATE_ALWAYS_INLINE __m128i nibbles(__m128i each_in_a_byte) {
  if constexpr (!kSigned) return each_in_a_byte;
  const __m128i value_of = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  return _mm_shuffle_epi8(value_of, each_in_a_byte);
}

// How rows of each element are read: kStoredLinearColumns elements from a column that is a multiple
// of it, as they are and without scale.
template <StoredElement kElement, int kLanes>
struct Reader {
  using Vec = Vector<kLanes>;
  using V = typename Vec::V;
  static constexpr int kVectors = static_cast<int>(kStoredLinearColumns) / kLanes;
  static constexpr bool kIsHalf = kElement == StoredElement::kHalf;
  static constexpr bool kIsSigned =
      kElement == StoredElement::kInt8 || kElement == StoredElement::kInt4;
  static constexpr bool kIsByte =
      kElement == StoredElement::kInt8 || kElement == StoredElement::kUInt8;

  static COREML_DELEGATE_ALWAYS_INLINE void read(const std::byte* row, int64_t column,
                                                 V (&to)[kVectors]) {
    if constexpr (kIsHalf) {
      COREML_DELEGATE_UNROLL
      for (int i = 0; i < kVectors; ++i) to[i] = Vec::halves(row + 2 * (column + i * kLanes));
    } else if constexpr (kIsByte) {
      const auto* const from = reinterpret_cast<const __m128i*>(row + column);
      split(_mm_loadu_si128(from), _mm_loadu_si128(from + 1), to);
    } else {
      const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + column / 2));
      const __m128i mask = _mm_set1_epi8(15);
      const __m128i even = _mm_and_si128(pairs, mask);
      const __m128i odd = _mm_and_si128(_mm_srli_epi16(pairs, 4), mask);
      split(nibbles<kIsSigned>(_mm_unpacklo_epi8(even, odd)),
            nibbles<kIsSigned>(_mm_unpackhi_epi8(even, odd)), to);
    }
  }

  // Element i of a table.
  static COREML_DELEGATE_ALWAYS_INLINE float at(const std::byte* table, int64_t i) {
    if constexpr (kIsByte) {
      const auto byte = static_cast<uint8_t>(table[i]);
      return kIsSigned ? static_cast<float>(static_cast<int8_t>(byte)) : static_cast<float>(byte);
    } else {
      const int nibble = static_cast<int>(table[i / 2]) >> (i % 2 * 4) & 15;
      return static_cast<float>(kIsSigned && nibble > 7 ? nibble - 16 : nibble);
    }
  }

 private:
  static COREML_DELEGATE_ALWAYS_INLINE void split(__m128i first, __m128i second,
                                                  V (&to)[kVectors]) {
    if constexpr (kLanes == 16) {
      to[0] = Vec::template integers<kIsSigned>(first);
      to[1] = Vec::template integers<kIsSigned>(second);
    } else {
      to[0] = Vec::template integers<kIsSigned>(first);
      to[1] = Vec::template integers<kIsSigned>(Vec::rest(first));
      to[2] = Vec::template integers<kIsSigned>(second);
      to[3] = Vec::template integers<kIsSigned>(Vec::rest(second));
    }
  }
};

COREML_DELEGATE_ALWAYS_INLINE float scale_at(const StoredMatrix& weight, int64_t i) {
  if (weight.scale_is_half) {
    uint16_t half;
    __builtin_memcpy(&half, weight.scale + 2 * i, sizeof(half));
    return widen(half);
  }
  float value;
  __builtin_memcpy(&value, weight.scale + 4 * i, sizeof(value));
  return value;
}

// Where the scales of a row begin in their table.
COREML_DELEGATE_ALWAYS_INLINE int64_t first_scale(const StoredMatrix& weight, int64_t row) {
  return weight.scale_rows == 1 ? 0 : row * weight.blocks;
}

template <int kLanes>
class Kernel {
 public:
  static size_t scratch_size(const StoredMatrix& weight) {
    return static_cast<size_t>(kWideRows * smaller(weight.columns, kWideColumns));
  }

  static void run(const StoredMatrix& weight, int64_t row_begin, int64_t row_end, const float* x,
                  int64_t count, float* y, float* scratch) {
    switch (weight.element) {
      case StoredElement::kHalf:
        return run_of<StoredElement::kHalf>(weight, row_begin, row_end, x, count, y, scratch);
      case StoredElement::kInt8:
        return run_of<StoredElement::kInt8>(weight, row_begin, row_end, x, count, y, scratch);
      case StoredElement::kUInt8:
        return run_of<StoredElement::kUInt8>(weight, row_begin, row_end, x, count, y, scratch);
      case StoredElement::kInt4:
        return run_of<StoredElement::kInt4>(weight, row_begin, row_end, x, count, y, scratch);
      case StoredElement::kUInt4:
        return run_of<StoredElement::kUInt4>(weight, row_begin, row_end, x, count, y, scratch);
    }
  }

 private:
  using Vec = Vector<kLanes>;
  using V = typename Vec::V;
  // Rows of x whose products with kRows of W are summed in registers: 32 of them, or 16.
  static constexpr int kMost = kLanes == 16 ? 6 : 2;

  template <StoredElement kElement>
  static void run_of(const StoredMatrix& weight, int64_t row_begin, int64_t row_end, const float* x,
                     int64_t count, float* y, float* scratch) {
    constexpr bool kIsHalf = kElement == StoredElement::kHalf;
    if (count == 1) {
      int64_t row = row_begin;
      for (; row + kRows <= row_end; row += kRows) one<kElement, kRows>(weight, row, x, y);
      for (; row < row_end; ++row) one<kElement, 1>(weight, row, x, y);
      return;
    }
    if constexpr (kIsHalf) {
      if (count <= kMost) return few(weight, row_begin, row_end, x, count, y);
    }
    many<kElement>(weight, row_begin, row_end, x, count, y, scratch);
  }

  // One row of x by kHeight rows of W.
  template <StoredElement kElement, int kHeight>
  static COREML_DELEGATE_ALWAYS_INLINE void one(const StoredMatrix& weight, int64_t row,
                                                const float* x, float* y) {
    using From = Reader<kElement, kLanes>;
    constexpr int kVectors = From::kVectors;
    const int64_t bytes = stored_row_bytes(kElement, weight.columns);
    const std::byte* const rows = weight.data + row * bytes;
    // Two sums for each row: an addition must not wait for the one before.
    V sums[kHeight][2];
    COREML_DELEGATE_UNROLL
    for (int i = 0; i < kHeight; ++i) sums[i][0] = sums[i][1] = Vec::zero();
    if constexpr (From::kIsHalf) {
      for (int64_t column = 0; column < weight.columns; column += kStoredLinearColumns) {
        COREML_DELEGATE_UNROLL
        for (int i = 0; i < kHeight; ++i) {
          V values[kVectors];
          From::read(rows + i * bytes, column, values);
          COREML_DELEGATE_UNROLL
          for (int j = 0; j < kVectors; ++j)
            sums[i][j % 2] =
                Vec::fma(values[j], Vec::load(x + column + j * kLanes), sums[i][j % 2]);
        }
      }
    } else {
      const int64_t width = weight.columns / weight.blocks;
      int64_t scales[kHeight];
      COREML_DELEGATE_UNROLL
      for (int i = 0; i < kHeight; ++i) scales[i] = first_scale(weight, row + i);
      for (int64_t block = 0; block < weight.blocks; ++block) {
        V parts[kHeight][2], offsets[kHeight];
        COREML_DELEGATE_UNROLL
        for (int i = 0; i < kHeight; ++i) {
          parts[i][0] = parts[i][1] = Vec::zero();
          offsets[i] = weight.offset == nullptr
                           ? Vec::zero()
                           : Vec::all(From::at(weight.offset, scales[i] + block));
        }
        for (int64_t column = block * width; column < (block + 1) * width;
             column += kStoredLinearColumns) {
          COREML_DELEGATE_UNROLL
          for (int i = 0; i < kHeight; ++i) {
            V values[kVectors];
            From::read(rows + i * bytes, column, values);
            if (weight.offset != nullptr) {
              COREML_DELEGATE_UNROLL
              for (int j = 0; j < kVectors; ++j) values[j] = values[j] - offsets[i];
            }
            COREML_DELEGATE_UNROLL
            for (int j = 0; j < kVectors; ++j)
              parts[i][j % 2] =
                  Vec::fma(values[j], Vec::load(x + column + j * kLanes), parts[i][j % 2]);
          }
        }
        COREML_DELEGATE_UNROLL
        for (int i = 0; i < kHeight; ++i) {
          sums[i][0] = Vec::fma(parts[i][0] + parts[i][1],
                                Vec::all(scale_at(weight, scales[i] + block)), sums[i][0]);
        }
      }
    }
    if constexpr (kHeight == kRows) {
      _mm_storeu_ps(y + row, Vec::sums(sums[0][0] + sums[0][1], sums[1][0] + sums[1][1],
                                       sums[2][0] + sums[2][1], sums[3][0] + sums[3][1]));
    } else {
      const V zero = Vec::zero();
      _mm_store_ss(y + row, Vec::sums(sums[0][0] + sums[0][1], zero, zero, zero));
    }
  }

  // What of a matrix of float32 or float16 is multiplied by rows of x.
  struct HalfRows {
    const std::byte* data;
    int64_t columns;
    COREML_DELEGATE_ALWAYS_INLINE V load(int64_t row, int64_t column) const {
      return Vec::halves(data + 2 * (row * columns + column));
    }
  };
  struct WideRows {
    const float* data;
    int64_t columns;
    COREML_DELEGATE_ALWAYS_INLINE V load(int64_t row, int64_t column) const {
      return Vec::load(data + row * columns + column);
    }
  };

  // y[0 ... kCount][0 ... kRows] (+)= x[kCount, columns] times rows of W.
  template <int kCount, bool kAdd, typename Rows>
  static COREML_DELEGATE_ALWAYS_INLINE void multiply(const Rows& rows, int64_t columns,
                                                     const float* x, int64_t x_stride, float* y,
                                                     int64_t y_stride) {
    V sums[kCount][kRows];
    COREML_DELEGATE_UNROLL
    for (int i = 0; i < kCount; ++i) {
      COREML_DELEGATE_UNROLL
      for (int j = 0; j < kRows; ++j) sums[i][j] = Vec::zero();
    }
    for (int64_t column = 0; column < columns; column += kLanes) {
      V values[kRows];
      COREML_DELEGATE_UNROLL
      for (int j = 0; j < kRows; ++j) values[j] = rows.load(j, column);
      COREML_DELEGATE_UNROLL
      for (int i = 0; i < kCount; ++i) {
        const V factor = Vec::load(x + i * x_stride + column);
        COREML_DELEGATE_UNROLL
        for (int j = 0; j < kRows; ++j) sums[i][j] = Vec::fma(factor, values[j], sums[i][j]);
      }
    }
    COREML_DELEGATE_UNROLL
    for (int i = 0; i < kCount; ++i) {
      float* const to = y + i * y_stride;
      const __m128 total = Vec::sums(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
      _mm_storeu_ps(to, kAdd ? _mm_add_ps(_mm_loadu_ps(to), total) : total);
    }
  }

  // The same for any number of rows of x.
  template <bool kAdd, typename Rows>
  static void multiply_all(const Rows& rows, int64_t columns, const float* x, int64_t x_stride,
                           int64_t count, float* y, int64_t y_stride) {
    int64_t i = 0;
    for (; i + kMost <= count; i += kMost)
      multiply<kMost, kAdd>(rows, columns, x + i * x_stride, x_stride, y + i * y_stride, y_stride);
    x += i * x_stride;
    y += i * y_stride;
    switch (count - i) {
      case 1:
        return multiply<1, kAdd>(rows, columns, x, x_stride, y, y_stride);
      case 2:
        return multiply<2, kAdd>(rows, columns, x, x_stride, y, y_stride);
      case 3:
        return multiply<3, kAdd>(rows, columns, x, x_stride, y, y_stride);
      case 4:
        return multiply<4, kAdd>(rows, columns, x, x_stride, y, y_stride);
      case 5:
        return multiply<5, kAdd>(rows, columns, x, x_stride, y, y_stride);
      default:
        return;
    }
  }

  // Up to kMost rows of x: each row of W is read once, and widened on the way.
  static void few(const StoredMatrix& weight, int64_t row_begin, int64_t row_end, const float* x,
                  int64_t count, float* y) {
    const int64_t columns = weight.columns;
    int64_t row = row_begin;
    for (; row + kRows <= row_end; row += kRows) {
      multiply_all<false>(HalfRows{weight.data + row * 2 * columns, columns}, columns, x, columns,
                          count, y + row, weight.rows);
    }
    for (; row < row_end; ++row) {
      for (int64_t i = 0; i < count; ++i)
        one<StoredElement::kHalf, 1>(weight, row, x + i * columns, y + i * weight.rows);
    }
  }

  // Rows [row, row + kWideRows) of W as float32, their columns [begin, begin + columns).
  template <StoredElement kElement>
  static void widen_rows(const StoredMatrix& weight, int64_t row, int64_t begin, int64_t columns,
                         float* to) {
    using From = Reader<kElement, kLanes>;
    const int64_t bytes = stored_row_bytes(kElement, weight.columns);
    const int64_t width = From::kIsHalf ? weight.columns : weight.columns / weight.blocks;
    for (int64_t i = 0; i < kWideRows; ++i, to += columns) {
      const std::byte* const from = weight.data + (row + i) * bytes;
      const int64_t scales = From::kIsHalf ? 0 : first_scale(weight, row + i);
      int64_t column = begin;
      while (column < begin + columns) {
        const int64_t block = column / width;
        const int64_t end = smaller((block + 1) * width, begin + columns);
        V scale = Vec::zero(), offset = Vec::zero();
        if constexpr (!From::kIsHalf) {
          scale = Vec::all(scale_at(weight, scales + block));
          if (weight.offset != nullptr) offset = Vec::all(From::at(weight.offset, scales + block));
        }
        for (; column < end; column += kStoredLinearColumns) {
          V values[From::kVectors];
          From::read(from, column, values);
          COREML_DELEGATE_UNROLL
          for (int j = 0; j < From::kVectors; ++j) {
            if constexpr (!From::kIsHalf) values[j] = (values[j] - offset) * scale;
            Vec::store(to + (column - begin) + j * kLanes, values[j]);
          }
        }
      }
    }
  }

  // Rows of W are widened once for all rows of x, a part of the columns at a time.
  template <StoredElement kElement>
  static void many(const StoredMatrix& weight, int64_t row_begin, int64_t row_end, const float* x,
                   int64_t count, float* y, float* scratch) {
    const int64_t columns = weight.columns;
    const int64_t parts = (columns + kWideColumns - 1) / kWideColumns;
    const int64_t units = columns / kStoredLinearColumns;
    for (int64_t first = 0; first < count; first += kPanel) {
      const int64_t rows_of_x = smaller(kPanel, count - first);
      int64_t row = row_begin;
      for (; row + kWideRows <= row_end; row += kWideRows) {
        float* const to = y + first * weight.rows + row;
        for (int64_t part = 0; part < parts; ++part) {
          const int64_t begin = units * part / parts * kStoredLinearColumns;
          const int64_t width = units * (part + 1) / parts * kStoredLinearColumns - begin;
          widen_rows<kElement>(weight, row, begin, width, scratch);
          const float* const from = x + first * columns + begin;
          // A few rows of x at a time, so that they are in the first-level cache for both halves.
          constexpr int64_t kTogether = 2 * kMost;
          for (int64_t i = 0; i < rows_of_x; i += kTogether) {
            const int64_t together = smaller(kTogether, rows_of_x - i);
            for (int64_t half = 0; half < kWideRows; half += kRows) {
              const WideRows rows{scratch + half * width, width};
              if (part == 0) {
                multiply_all<false>(rows, width, from + i * columns, columns, together,
                                    to + i * weight.rows + half, weight.rows);
              } else {
                multiply_all<true>(rows, width, from + i * columns, columns, together,
                                   to + i * weight.rows + half, weight.rows);
              }
            }
          }
        }
      }
      for (; row < row_end; ++row) {
        for (int64_t i = first; i < first + rows_of_x; ++i)
          one<kElement, 1>(weight, row, x + i * columns, y + i * weight.rows);
      }
    }
  }
};

}  // namespace
}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_STORED_LINEAR_KERNEL_IMPL_H_
