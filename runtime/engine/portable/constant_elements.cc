#include "runtime/engine/portable/constant_elements.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "openvino/core/type/float16.hpp"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/translation_budget.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;

template <typename T>
std::vector<float> numbers(const model::Constant& constant) {
  const size_t count = static_cast<size_t>(constant.type.element_count());
  std::vector<float> values(count);
  const std::byte* bytes = constant.data.data();
  for (size_t i = 0; i < count; ++i) {
    T element;
    std::memcpy(&element, bytes + i * sizeof(T), sizeof(T));
    values[i] = static_cast<float>(element);
  }
  return values;
}

}  // namespace

size_t unpacked_size(ElementType element) {
  return static_cast<size_t>(std::max(model::element_bits(element) / 8, 1));
}

std::vector<uint8_t> unpack_bits(ByteSpan packed, int bits, size_t count) {
  if (bits < 1 || bits > 8 || count > packed.size() * 8 / static_cast<size_t>(bits)) {
    throw OpError(corrupt_data(std::to_string(packed.size()) + " bytes are not " +
                               std::to_string(count) + " elements of " + std::to_string(bits) +
                               " bits"));
  }
  TranslationBudget::charge(count);
  std::vector<uint8_t> values(count);
  const auto* bytes = reinterpret_cast<const uint8_t*>(packed.data());
  const uint32_t mask = (1u << bits) - 1u;
  for (size_t i = 0; i < count; ++i) {
    const size_t bit = i * static_cast<size_t>(bits), byte = bit / 8, shift = bit % 8;
    uint32_t window = bytes[byte];
    if (shift + static_cast<size_t>(bits) > 8)
      window |= static_cast<uint32_t>(bytes[byte + 1]) << 8;
    values[i] = static_cast<uint8_t>((window >> shift) & mask);
  }
  return values;
}

std::vector<std::byte> unpack_elements(const model::Constant& constant) {
  const int bits = model::element_bits(constant.type.element);
  if (bits >= 8) {
    TranslationBudget::charge(constant.data.size());
    return std::vector<std::byte>(constant.data.span().begin(), constant.data.span().end());
  }
  const std::vector<uint8_t> values =
      unpack_bits(constant.data.span(), bits, static_cast<size_t>(constant.type.element_count()));
  std::vector<std::byte> unpacked(values.size());
  if (!values.empty()) std::memcpy(unpacked.data(), values.data(), values.size());
  return unpacked;
}

model::ConstantPtr pack_elements(ElementType element, const std::vector<int64_t>& shape,
                                 std::vector<std::byte> unpacked) {
  const int bits = model::element_bits(element);
  if (bits >= 8) return make_constant(element, shape, std::move(unpacked));
  TranslationBudget::charge(unpacked.size(), 1);
  std::vector<std::byte> packed((unpacked.size() * static_cast<size_t>(bits) + 7) / 8);
  for (size_t i = 0; i < unpacked.size(); ++i) {
    const size_t bit = i * static_cast<size_t>(bits), byte = bit / 8, shift = bit % 8;
    const uint32_t value = std::to_integer<uint32_t>(unpacked[i]) << shift;
    packed[byte] |= static_cast<std::byte>(value & 0xffu);
    if (value > 0xffu) packed[byte + 1] |= static_cast<std::byte>(value >> 8);
  }
  return make_constant(element, shape, std::move(packed));
}

std::vector<float> element_values(const model::Constant& constant) {
  TranslationBudget::charge(static_cast<uint64_t>(constant.type.element_count()), sizeof(float));
  switch (constant.type.element) {
    case ElementType::kFloat16:
      return numbers<ov::float16>(constant);
    case ElementType::kFloat32:
      return numbers<float>(constant);
    case ElementType::kInt8:
      return numbers<int8_t>(constant);
    case ElementType::kUInt8:
    case ElementType::kBool:
      return numbers<uint8_t>(constant);
    case ElementType::kInt32:
      return numbers<int32_t>(constant);
    case ElementType::kUInt1:
    case ElementType::kUInt2:
    case ElementType::kUInt3:
    case ElementType::kUInt4:
    case ElementType::kUInt6:
    case ElementType::kInt4: {
      const std::vector<uint8_t> codes =
          unpack_bits(constant.data.span(), model::element_bits(constant.type.element),
                      static_cast<size_t>(constant.type.element_count()));
      std::vector<float> values(codes.begin(), codes.end());
      if (constant.type.element == ElementType::kInt4) {
        for (float& value : values) value = value >= 8.0f ? value - 16.0f : value;
      }
      return values;
    }
    default: {
      const int64_t count = constant.type.element_count();
      std::vector<float> values(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i)
        values[static_cast<size_t>(i)] = static_cast<float>(constant.real_at(i));
      return values;
    }
  }
}

model::ConstantPtr make_real_constant(ElementType element, const std::vector<int64_t>& shape,
                                      const std::vector<float>& values) {
  TranslationBudget::charge(values.size(), sizeof(float));
  if (element == ElementType::kFloat32) {
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return make_constant(element, shape, std::move(bytes));
  }
  if (element != ElementType::kFloat16) {
    throw OpError(unsupported("a constant of the type " +
                              std::string(model::element_type_name(element)) +
                              " cannot be decompressed"));
  }
  std::vector<std::byte> bytes(values.size() * sizeof(uint16_t));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = ov::float16(values[i]).to_bits();
    std::memcpy(bytes.data() + i * sizeof(half), &half, sizeof(half));
  }
  return make_constant(element, shape, std::move(bytes));
}

}  // namespace coreml_delegate::engine::portable
