#include "runtime/engine/portable/portable_state.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/half.h"

namespace coreml_delegate::engine::portable {

namespace {

// Zero bytes; null when there is no memory. Pages that are never used are never made.
std::shared_ptr<std::byte[]> allocate(size_t size) {
  // A cache line, which vector code likes; OpenVINO takes any.
  constexpr size_t kAlignment = 64;
  void* const memory = std::calloc(size + kAlignment, 1);
  if (memory == nullptr) return nullptr;
  const size_t past = reinterpret_cast<uintptr_t>(memory) % kAlignment;
  std::byte* const aligned = static_cast<std::byte*>(memory) + (kAlignment - past) % kAlignment;
  return std::shared_ptr<std::byte[]>(aligned, [memory](std::byte*) { std::free(memory); });
}

struct Half {
  uint16_t bits;
};

template <typename To, typename From>
To convert_one(From value) {
  if constexpr (std::is_same_v<From, Half>) {
    return convert_one<To>(half_to_float(value.bits));
  } else if constexpr (std::is_same_v<To, Half>) {
    return Half{float_to_half(static_cast<float>(value))};
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else {
    return static_cast<To>(value);
  }
}

template <typename From, typename To>
void convert_all(const std::byte* source, std::byte* destination, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, source + i * sizeof(From), sizeof(From));
    const To to = convert_one<To>(from);
    std::memcpy(destination + i * sizeof(To), &to, sizeof(To));
  }
}

template <typename Call>
bool with_float(DataType type, const Call& call) {
  switch (type) {
    case DataType::kFloat16:
      call(Half{});
      return true;
    case DataType::kFloat32:
      call(float{});
      return true;
    case DataType::kFloat64:
      call(double{});
      return true;
    default:
      return false;
  }
}

template <typename Call>
bool with_integer(DataType type, const Call& call) {
  switch (type) {
    case DataType::kBool:
      call(uint8_t{});
      return true;
    case DataType::kInt8:
      call(int8_t{});
      return true;
    case DataType::kUInt8:
      call(uint8_t{});
      return true;
    case DataType::kInt16:
      call(int16_t{});
      return true;
    case DataType::kUInt16:
      call(uint16_t{});
      return true;
    case DataType::kInt32:
      call(int32_t{});
      return true;
    case DataType::kInt64:
      call(int64_t{});
      return true;
    default:
      return false;
  }
}

}  // namespace

Status convert_elements(DataType from, const std::byte* source, DataType to, std::byte* destination,
                        size_t count) {
  if (from == to) {
    if (count != 0) std::memcpy(destination, source, count * data_type_size(from));
    return {};
  }
  bool done = false;
  const auto convert = [&](auto from_value, auto to_value) {
    convert_all<decltype(from_value), decltype(to_value)>(source, destination, count);
    done = true;
  };
  with_float(from, [&](auto from_value) {
    with_float(to, [&](auto to_value) { convert(from_value, to_value); });
  });
  with_integer(from, [&](auto from_value) {
    with_integer(to, [&](auto to_value) { convert(from_value, to_value); });
  });
  if (!done) {
    return unsupported("there is no conversion from " + std::string(data_type_name(from)) + " to " +
                       std::string(data_type_name(to)));
  }
  return {};
}

size_t StateLayout::element_count() const {
  size_t count = 1;
  for (const Dimension& dimension : spec.shape) count *= static_cast<size_t>(dimension.min);
  return count;
}

Status PortableState::Use::status() const {
  return ok_ ? Status()
             : failed_precondition(
                   "the state is in use by another execution; use one state for each sequence");
}

Result<std::unique_ptr<PortableState>> PortableState::create(
    const std::vector<StateLayout>& layouts, std::span<const InitialStateValue> initial) {
  std::unique_ptr<PortableState> state(new PortableState);
  for (const StateLayout& layout : layouts) {
    Slot slot{layout, {}, allocate(layout.buffer_bytes()), allocate(layout.buffer_bytes())};
    if (slot.current == nullptr || slot.next == nullptr) {
      return resource_exhausted("there is not enough memory for a state of twice " +
                                    std::to_string(layout.buffer_bytes()) + " bytes",
                                layout.spec.name);
    }
    state->slots_.push_back(std::move(slot));
  }
  for (const InitialStateValue& value : initial) {
    COREML_DELEGATE_RETURN_IF_ERROR(state->write(value.name, value.value.span()));
    for (Slot& slot : state->slots_) {
      if (slot.layout.spec.name != value.name) continue;
      slot.initial.assign(value.value.span().begin(), value.value.span().end());
    }
  }
  return state;
}

Status PortableState::reset() {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  for (Slot& slot : slots_) {
    if (slot.initial.empty()) {
      std::memset(slot.current.get(), 0, slot.layout.buffer_bytes());
    } else {
      COREML_DELEGATE_RETURN_IF_ERROR(convert_elements(slot.layout.spec.dtype, slot.initial.data(),
                                                       slot.layout.buffer_type, slot.current.get(),
                                                       slot.layout.element_count()));
    }
  }
  return {};
}

Result<const PortableState::Slot*> PortableState::find(std::string_view name) const {
  std::string names;
  for (const Slot& slot : slots_) {
    if (slot.layout.spec.name == name) return &slot;
    names += (names.empty() ? "" : ", ") + slot.layout.spec.name;
  }
  return not_found("there is no such state; the states are: " + (names.empty() ? "none" : names),
                   std::string(name));
}

PortableState::Slot* PortableState::find(const StateLayout& layout) {
  for (Slot& slot : slots_) {
    if (slot.layout == layout) return &slot;
  }
  return nullptr;
}

Status PortableState::read(std::string_view name, std::span<std::byte> destination) const {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Slot* slot, find(name));
  const StateLayout& layout = slot->layout;
  if (destination.size() != layout.described_bytes()) {
    return invalid_argument("reading the state takes " + std::to_string(layout.described_bytes()) +
                                " bytes, and the caller's buffer has " +
                                std::to_string(destination.size()),
                            layout.spec.to_string());
  }
  return convert_elements(layout.buffer_type, slot->current.get(), layout.spec.dtype,
                          destination.data(), layout.element_count());
}

Status PortableState::write(std::string_view name, ByteSpan source) {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Slot* slot, find(name));
  const StateLayout& layout = slot->layout;
  if (source.size() != layout.described_bytes()) {
    return invalid_argument("the state has " + std::to_string(layout.described_bytes()) +
                                " bytes, and the caller's buffer has " +
                                std::to_string(source.size()),
                            layout.spec.to_string());
  }
  return convert_elements(layout.spec.dtype, source.data(), layout.buffer_type, slot->current.get(),
                          layout.element_count());
}

Result<std::unique_ptr<State>> PortableState::copy() const {
  const Use use(*this);
  COREML_DELEGATE_RETURN_IF_ERROR(use.status());
  std::vector<StateLayout> layouts;
  for (const Slot& slot : slots_) layouts.push_back(slot.layout);
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<PortableState> result, create(layouts, {}));
  for (size_t i = 0; i < slots_.size(); ++i) {
    std::memcpy(result->slots_[i].current.get(), slots_[i].current.get(),
                slots_[i].layout.buffer_bytes());
    result->slots_[i].initial = slots_[i].initial;
  }
  return std::unique_ptr<State>(std::move(result));
}

}  // namespace coreml_delegate::engine::portable
