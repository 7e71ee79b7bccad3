#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CONSTANT_ELEMENTS_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CONSTANT_ELEMENTS_H_

// Bulk access to the elements of MIL constants: what constexpr_* operations compute with. Constants
// below 8 bits are packed from the lowest bit, as programs store them.
//
// What is allocated here is charged to the translation's budget.
//
// Thread rule: free functions on values.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/engine/portable/graph.h"

namespace coreml_delegate::engine::portable {

// Bytes of one element when unpacked: 1 for types below 8 bits.
size_t unpacked_size(model::ElementType element);

// One element per unpacked_size() bytes. Elements below 8 bits are their bit patterns: not
// sign-extended.
std::vector<std::byte> unpack_elements(const model::Constant& constant);
// The same for `count` elements of `bits` each, 1 to 8, in plain bytes. Fails where `packed` does
// not have them.
std::vector<uint8_t> unpack_bits(ByteSpan packed, int bits, size_t count);
// The inverse of unpack_elements().
model::ConstantPtr pack_elements(model::ElementType element, const std::vector<int64_t>& shape,
                                 std::vector<std::byte> unpacked);

// Every element as a number.
std::vector<float> element_values(const model::Constant& constant);

// Numbers as a constant of kFloat16 (rounded to nearest even) or kFloat32.
model::ConstantPtr make_real_constant(model::ElementType element, const std::vector<int64_t>& shape,
                                      const std::vector<float>& values);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_CONSTANT_ELEMENTS_H_
