#include "runtime/delegate/tensor_conversion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/half.h"

namespace coreml_delegate {
namespace {

// The types behind two dtypes that C++ has no distinct type for.
struct Bool {
  uint8_t byte;
};
struct Half {
  uint16_t bits;
};

// Converts a row; strides in elements. Returns the position of the first value that does not fit,
// or `count`.
using RowKernel = size_t (*)(const void* source, int64_t source_stride, void* target,
                             int64_t target_stride, size_t count);

// Elements looked at between two checks for a value that does not fit, and the length of buffers on
// the stack.
constexpr size_t kBlock = 256;

template <typename S, typename D>
inline bool fits(S value) {
  if constexpr (std::is_integral_v<S> && std::is_integral_v<D>) {
    return std::in_range<D>(value);
  } else if constexpr (std::is_floating_point_v<S> && std::is_integral_v<D>) {
    // Both bounds are powers of two, exact in S; NaN compares false. What is cut off lies between
    // lowest - 1 and lowest.
    constexpr S kAbove = static_cast<S>(1ull << (std::numeric_limits<D>::digits - 1)) * 2;
    if constexpr (std::is_unsigned_v<D>) return value > S{-1} && value < kAbove;
    if constexpr (std::numeric_limits<D>::digits < std::numeric_limits<S>::digits) {
      return value > -kAbove - 1 && value < kAbove;
    }
    return value >= -kAbove && value < kAbove;
  } else if constexpr (std::is_same_v<S, double> && std::is_same_v<D, float>) {
    return !std::isfinite(value) || std::isfinite(static_cast<float>(value));
  } else {
    return true;
  }
}

template <typename S, typename D>
inline D convert_value(S value) {
  if constexpr (std::is_same_v<D, Bool>) {
    if constexpr (std::is_same_v<S, Bool>)
      return Bool{value.byte != 0};
    else
      return Bool{value != 0};
  } else if constexpr (std::is_same_v<S, Bool>) {
    return static_cast<D>(value.byte != 0);
  } else if constexpr (std::is_floating_point_v<S> && std::is_integral_v<D>) {
    return static_cast<D>(fits<S, D>(value) ? value : S{0});  // Out of range is undefined.
  } else {
    return static_cast<D>(value);
  }
}

// Of two types that are one, both sides are the same.
// NOLINTBEGIN(misc-redundant-expression)
template <typename S, typename D>
constexpr bool kAlwaysFits =
    std::is_same_v<S, D> || std::is_same_v<S, Bool> || std::is_same_v<D, Bool> ||
    (std::is_integral_v<S> && std::is_floating_point_v<D>) ||
    (std::is_same_v<S, float> && std::is_same_v<D, double>) ||
    (std::is_integral_v<S> && std::is_integral_v<D> &&
     std::numeric_limits<S>::digits <= std::numeric_limits<D>::digits &&
     (std::is_unsigned_v<S> || std::is_signed_v<D>));
// NOLINTEND(misc-redundant-expression)

template <typename S, typename D>
size_t convert_plain_row(const S* __restrict source, int64_t source_stride, D* __restrict target,
                         int64_t target_stride, size_t count) {
  if constexpr (kAlwaysFits<S, D>) {
    if (source_stride == 1 && target_stride == 1) {
      for (size_t i = 0; i < count; ++i) target[i] = convert_value<S, D>(source[i]);
    } else {
      for (size_t i = 0; i < count; ++i) {
        target[static_cast<int64_t>(i) * target_stride] =
            convert_value<S, D>(source[static_cast<int64_t>(i) * source_stride]);
      }
    }
    return count;
  } else {
    for (size_t begin = 0; begin < count; begin += kBlock) {
      const size_t length = std::min(kBlock, count - begin);
      const S* from = source + static_cast<int64_t>(begin) * source_stride;
      D* to = target + static_cast<int64_t>(begin) * target_stride;
      unsigned misfits = 0;  // A counter, not a branch, so that the loop is vectorised.
      if (source_stride == 1 && target_stride == 1) {
        for (size_t i = 0; i < length; ++i) {
          misfits |= static_cast<unsigned>(!fits<S, D>(from[i]));
          to[i] = convert_value<S, D>(from[i]);
        }
      } else {
        for (size_t i = 0; i < length; ++i) {
          const S value = from[static_cast<int64_t>(i) * source_stride];
          misfits |= static_cast<unsigned>(!fits<S, D>(value));
          to[static_cast<int64_t>(i) * target_stride] = convert_value<S, D>(value);
        }
      }
      if (misfits == 0) continue;
      for (size_t i = 0; i < length; ++i) {
        if (!fits<S, D>(from[static_cast<int64_t>(i) * source_stride])) return begin + i;
      }
    }
    return count;
  }
}

// From half: through a block of floats.
template <typename D>
size_t widen_row(const Half* source, int64_t source_stride, D* target, int64_t target_stride,
                 size_t count) {
  std::array<uint16_t, kBlock> halves;
  std::array<float, kBlock> floats;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const Half* from = source + static_cast<int64_t>(begin) * source_stride;
    if (source_stride == 1) {
      std::memcpy(halves.data(), from, length * sizeof(Half));
    } else {
      for (size_t i = 0; i < length; ++i)
        halves[i] = from[static_cast<int64_t>(i) * source_stride].bits;
    }
    D* to = target + static_cast<int64_t>(begin) * target_stride;
    if constexpr (std::is_same_v<D, float>) {
      if (target_stride == 1) {
        half_to_float(halves.data(), to, length);
        continue;
      }
    }
    half_to_float(halves.data(), floats.data(), length);
    const size_t converted =
        convert_plain_row<float, D>(floats.data(), 1, to, target_stride, length);
    if (converted != length) return begin + converted;
  }
  return count;
}

// To half: through a block of floats; what is finite must stay so where kRefuses.
template <typename S, bool kRefuses = true>
size_t narrow_row(const S* source, int64_t source_stride, Half* target, int64_t target_stride,
                  size_t count) {
  std::array<float, kBlock> floats;
  std::array<uint16_t, kBlock> halves;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const S* from = source + static_cast<int64_t>(begin) * source_stride;
    if constexpr (std::is_same_v<S, double>) {
      for (size_t i = 0; i < length; ++i) {
        floats[i] = round_to_odd(from[static_cast<int64_t>(i) * source_stride]);
      }
    } else {
      // Integers above 2^24 are rounded here, but they do not fit anyway.
      convert_plain_row<S, float>(from, source_stride, floats.data(), 1, length);
    }
    float_to_half(floats.data(), halves.data(), length);
    unsigned misfits = 0;
    for (size_t i = 0; kRefuses && i < length; ++i) {
      misfits |=
          static_cast<unsigned>((halves[i] & 0x7fffu) == 0x7c00u) &
          static_cast<unsigned>(std::fabs(floats[i]) != std::numeric_limits<float>::infinity());
    }
    if (misfits != 0) {
      for (size_t i = 0; i < length; ++i) {
        if ((halves[i] & 0x7fffu) == 0x7c00u && std::isfinite(floats[i])) return begin + i;
      }
    }
    Half* to = target + static_cast<int64_t>(begin) * target_stride;
    if (target_stride == 1) {
      std::memcpy(to, halves.data(), length * sizeof(Half));
    } else {
      for (size_t i = 0; i < length; ++i)
        to[static_cast<int64_t>(i) * target_stride].bits = halves[i];
    }
  }
  return count;
}

template <typename S, typename D>
size_t convert_row(const void* source, int64_t source_stride, void* target, int64_t target_stride,
                   size_t count) {
  const auto* from = static_cast<const S*>(source);
  auto* to = static_cast<D*>(target);
  if constexpr (std::is_same_v<S, Half> && std::is_same_v<D, Half>) {
    for (size_t i = 0; i < count; ++i) {
      to[static_cast<int64_t>(i) * target_stride] = from[static_cast<int64_t>(i) * source_stride];
    }
    return count;
  } else if constexpr (std::is_same_v<S, Half>) {
    return widen_row<D>(from, source_stride, to, target_stride, count);
  } else if constexpr (std::is_same_v<D, Half>) {
    return narrow_row<S>(from, source_stride, to, target_stride, count);
  } else {
    return convert_plain_row<S, D>(from, source_stride, to, target_stride, count);
  }
}

size_t narrow_to_infinity(const void* source, int64_t source_stride, void* target,
                          int64_t target_stride, size_t count) {
  return narrow_row<float, /*kRefuses=*/false>(static_cast<const float*>(source), source_stride,
                                               static_cast<Half*>(target), target_stride, count);
}

template <typename S>
RowKernel kernel_from(DataType to) {
  switch (to) {
    case DataType::kBool:
      return convert_row<S, Bool>;
    case DataType::kInt8:
      return convert_row<S, int8_t>;
    case DataType::kUInt8:
      return convert_row<S, uint8_t>;
    case DataType::kInt16:
      return convert_row<S, int16_t>;
    case DataType::kUInt16:
      return convert_row<S, uint16_t>;
    case DataType::kInt32:
      return convert_row<S, int32_t>;
    case DataType::kInt64:
      return convert_row<S, int64_t>;
    case DataType::kFloat16:
      return convert_row<S, Half>;
    case DataType::kFloat32:
      return convert_row<S, float>;
    case DataType::kFloat64:
      return convert_row<S, double>;
    case DataType::kInvalid:
      return nullptr;
  }
  return nullptr;
}

RowKernel find_kernel(DataType from, DataType to, Overflow overflow) {
  if (overflow == Overflow::kInfinite && from == DataType::kFloat32 && to == DataType::kFloat16)
    return narrow_to_infinity;
  switch (from) {
    case DataType::kBool:
      return kernel_from<Bool>(to);
    case DataType::kInt8:
      return kernel_from<int8_t>(to);
    case DataType::kUInt8:
      return kernel_from<uint8_t>(to);
    case DataType::kInt16:
      return kernel_from<int16_t>(to);
    case DataType::kUInt16:
      return kernel_from<uint16_t>(to);
    case DataType::kInt32:
      return kernel_from<int32_t>(to);
    case DataType::kInt64:
      return kernel_from<int64_t>(to);
    case DataType::kFloat16:
      return kernel_from<Half>(to);
    case DataType::kFloat32:
      return kernel_from<float>(to);
    case DataType::kFloat64:
      return kernel_from<double>(to);
    case DataType::kInvalid:
      return nullptr;
  }
  return nullptr;
}

template <typename T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// The value as text, to as many digits as tell it from its neighbours.
std::string value_text(DataType dtype, const void* at) {
  char text[40];
  switch (dtype) {
    case DataType::kBool:
      return load<uint8_t>(at) != 0 ? "true" : "false";
    case DataType::kInt8:
      return std::to_string(load<int8_t>(at));
    case DataType::kUInt8:
      return std::to_string(load<uint8_t>(at));
    case DataType::kInt16:
      return std::to_string(load<int16_t>(at));
    case DataType::kUInt16:
      return std::to_string(load<uint16_t>(at));
    case DataType::kInt32:
      return std::to_string(load<int32_t>(at));
    case DataType::kInt64:
      return std::to_string(load<int64_t>(at));
    case DataType::kFloat16: {
      const auto half = load<uint16_t>(at);
      float value = 0;
      half_to_float(&half, &value, 1);
      std::snprintf(text, sizeof(text), "%.5g", static_cast<double>(value));
      return text;
    }
    case DataType::kFloat32:
      std::snprintf(text, sizeof(text), "%.9g", static_cast<double>(load<float>(at)));
      return text;
    case DataType::kFloat64:
      std::snprintf(text, sizeof(text), "%.17g", load<double>(at));
      return text;
    case DataType::kInvalid:
      break;
  }
  return "?";
}

// One level of the loops over a tensor.
struct Axis {
  int64_t extent = 1;
  int64_t source_stride = 0;
  int64_t target_stride = 0;
};

}  // namespace

Status convert_tensor(std::span<const int64_t> shape, const ConversionSource& source,
                      const ConversionTarget& target, const std::string& what, Overflow overflow) {
  const RowKernel kernel = find_kernel(source.dtype, target.dtype, overflow);
  if (kernel == nullptr || shape.size() > kMaxConversionRank ||
      source.strides.size() != shape.size() || target.strides.size() != shape.size()) {
    return internal_error("a tensor of dtype " + std::string(data_type_name(source.dtype)) +
                              " and rank " + std::to_string(shape.size()) +
                              " cannot be converted to " +
                              std::string(data_type_name(target.dtype)),
                          what);
  }
  // Axes that both tensors walk through without a jump become one, so that rows are as long as they
  // can be.
  std::array<Axis, kMaxConversionRank> axes;
  size_t rank = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return Status();
    if (shape[i] == 1) continue;
    const Axis axis{shape[i], source.strides[i], target.strides[i]};
    Axis* outer = rank > 0 ? &axes[rank - 1] : nullptr;
    if (outer && outer->source_stride == axis.source_stride * axis.extent &&
        outer->target_stride == axis.target_stride * axis.extent) {
      *outer = {outer->extent * axis.extent, axis.source_stride, axis.target_stride};
    } else {
      axes[rank++] = axis;
    }
  }
  if (rank == 0) axes[rank++] = {1, 1, 1};

  const Axis row = axes[rank - 1];
  const size_t outer_rank = rank - 1;
  const size_t source_size = data_type_size(source.dtype);
  const size_t target_size = data_type_size(target.dtype);
  const auto* from = static_cast<const std::byte*>(source.data);
  auto* to = static_cast<std::byte*>(target.data);
  const bool is_copy = source.dtype == target.dtype && source.dtype != DataType::kBool &&
                       row.source_stride == 1 && row.target_stride == 1;
  std::array<int64_t, kMaxConversionRank> position{};
  int64_t source_offset = 0;
  int64_t target_offset = 0;
  int64_t row_number = 0;
  while (true) {
    const std::byte* row_from = from + source_offset * static_cast<int64_t>(source_size);
    std::byte* row_to = to + target_offset * static_cast<int64_t>(target_size);
    const auto count = static_cast<size_t>(row.extent);
    if (is_copy) {
      std::memcpy(row_to, row_from, count * source_size);
    } else {
      const size_t converted =
          kernel(row_from, row.source_stride, row_to, row.target_stride, count);
      if (converted != count) {
        // The position in row-major order; axes were joined in that order.
        int64_t rest = row_number * row.extent + static_cast<int64_t>(converted);
        std::array<int64_t, kMaxConversionRank> index{};
        for (size_t i = shape.size(); i-- > 0;) {
          index[i] = rest % shape[i];
          rest /= shape[i];
        }
        const std::byte* at = row_from + static_cast<int64_t>(converted) * row.source_stride *
                                             static_cast<int64_t>(source_size);
        return invalid_argument("the " + std::string(data_type_name(source.dtype)) + " value " +
                                    value_text(source.dtype, at) + " at index " +
                                    shape_to_string(index.data(), shape.size()) + " does not fit " +
                                    std::string(data_type_name(target.dtype)),
                                what);
      }
    }
    ++row_number;
    size_t axis = outer_rank;
    while (axis > 0) {
      --axis;
      source_offset += axes[axis].source_stride;
      target_offset += axes[axis].target_stride;
      if (++position[axis] < axes[axis].extent) break;
      source_offset -= axes[axis].source_stride * axes[axis].extent;
      target_offset -= axes[axis].target_stride * axes[axis].extent;
      position[axis] = 0;
      if (axis == 0) return Status();
    }
    if (outer_rank == 0) return Status();
  }
}

bool conversion_can_fail(DataType from, DataType to, Overflow overflow) {
  if (overflow == Overflow::kInfinite && from == DataType::kFloat32 && to == DataType::kFloat16)
    return false;
  if (from == to || from == DataType::kBool || to == DataType::kBool) return false;
  struct Range {
    bool is_floating;
    bool is_signed;
    int digits;    // Of an integer: bits without the sign.
    int exponent;  // Of a floating-point type: largest power of two.
  };
  const auto range = [](DataType dtype) -> Range {
    switch (dtype) {
      case DataType::kInt8:
        return {false, true, 7, 0};
      case DataType::kUInt8:
        return {false, false, 8, 0};
      case DataType::kInt16:
        return {false, true, 15, 0};
      case DataType::kUInt16:
        return {false, false, 16, 0};
      case DataType::kInt32:
        return {false, true, 31, 0};
      case DataType::kInt64:
        return {false, true, 63, 0};
      case DataType::kFloat16:
        return {true, true, 11, 15};
      case DataType::kFloat32:
        return {true, true, 24, 127};
      case DataType::kFloat64:
        return {true, true, 53, 1023};
      case DataType::kBool:
      case DataType::kInvalid:
        break;
    }
    return {false, false, 0, 0};
  };
  const Range source = range(from);
  const Range target = range(to);
  if (source.is_floating && !target.is_floating) return true;
  if (source.is_floating) return source.exponent > target.exponent;
  if (target.is_floating) return source.digits > target.exponent;
  return source.digits > target.digits || (source.is_signed && !target.is_signed);
}

}  // namespace coreml_delegate
